"""Writing files so that nothing is ever lost: whole and new, or untouched."""

from __future__ import annotations

import os
from pathlib import Path

from xpnn.errors import XpnnError


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`: the file is written under another name beside it, then renamed over it.

    Raises XpnnError if that can't be done; a file that was there before is then still as it was.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise XpnnError(f"{target}: can't be written ({error.strerror}); choose another place with --out") from error
    except BaseException:  # Ctrl-C in the middle: leave no draft behind
        draft.unlink(missing_ok=True)
        raise
