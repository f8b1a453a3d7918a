"""Writing files so that nothing is ever lost: whole and new, or untouched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xpnn.errors import XpnnError

FULL = {errno.ENOSPC, errno.EDQUOT}  # of the disk, and of the user's share of it
DRAFTS = f".{'[0-9a-f]' * 16}.draft"  # their names, as a pattern


def write_atomically(path: str | os.PathLike[str], *content: bytes | memoryview) -> None:
    """Write `content` to `path`: the file is written under another name beside it, then renamed over it.

    content: the file's bytes, in as many pieces as there are, one after the other.
    When this returns, the disk has both the content and the name. A process that is killed may leave its draft.
    Where `path` is a symbolic link, the file that it leads to is replaced.
    Raises XpnnError if that can't be done; a file that was there before is then still as it was.
    """
    with _draft_beside(path) as (draft, target):
        with open(draft, "xb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
        _sync_folder(target.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in; when this returns, the disk has them.

    Raises OSError if that can't be done.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """See to it that the disk has the folder's new names; on Windows it does so by itself."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written to, but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks can't, and then it's theirs
            raise
    finally:
        os.close(descriptor)


def remove_drafts(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder, in which none is at work now."""
    for path in folder.glob(DRAFTS):
        with suppress(OSError):
            path.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise XpnnError if `write_atomically` can't write there: before long work, not after it. Leaves nothing."""
    with _draft_beside(path) as (draft, _):
        draft.touch()


def not_written(path: str | os.PathLike[str], error: OSError | ValueError) -> XpnnError:
    """The error of a file or folder that can't be written, with what to do about it."""
    reason = getattr(error, "strerror", None) or error
    remedy = "make room" if getattr(error, "errno", None) in FULL else "choose another place"
    return XpnnError(f"{path}: can't be written ({reason}); {remedy}")


@contextmanager
def _draft_beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """A new name beside the file, and the file's own; afterwards, and on Ctrl-C too, no draft is left."""
    draft = None
    try:
        target = Path(os.path.realpath(path))
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(target).st_mode):
                raise ValueError("a folder or device is there, not a file")
        draft = target.with_name(f".{os.urandom(8).hex()}.draft")
        yield draft, target
    except (OSError, ValueError) as error:  # a NUL byte inside the name is a ValueError
        raise not_written(path, error) from error
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()
