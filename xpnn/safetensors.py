"""Safetensors files: named arrays, and texts about them. Reading one runs no code.

A file is a length (8 bytes, little-endian), a JSON header of that length (for each tensor its dtype, shape and place,
and a `__metadata__` of strings), and the tensors' bytes. The reader trusts nothing: every number is checked against
the file's true size before memory is asked for.

A file may have a checksum, a SHA-256 of all of it in its metadata, by which each wrong bit is noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import ModelFileError
from xpnn.errors import Path as PathLike
from xpnn.files import write_atomically

DTYPES = {"float32": "F32", "float64": "F64"}
_MAX_HEADER = 1 << 24  # 100,000 columns with their names, means and deviations need less than half of it
_MAX_BRACKETS = 1 << 18  # in the header: an empty list is 2 bytes there, and 80 in memory
CHECKSUM = "sha256"
_BLANK = "0" * 64  # stands where the checksum will, while it is made


def write_tensors(
    path: PathLike, metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]], *, checked: bool = False
) -> None:
    """Write a file, whole or not at all; checked: with a checksum.

    tensors: of float32 or float64.
    Raises XpnnError if the file can't be written; one that was there before is then untouched.
    """
    header: dict[str, Any] = {"__metadata__": {CHECKSUM: _BLANK, **metadata} if checked else metadata}
    start = 0
    for name, tensor in tensors.items():
        place = [start, start + tensor.nbytes]
        header[name] = {"dtype": DTYPES[tensor.dtype.name], "shape": tensor.shape, "data_offsets": place}
        start = place[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    parts = [_bytes_of(tensor) for tensor in tensors.values()]
    if checked:
        text = text.replace(_BLANK.encode(), _checksum(text, *parts).encode(), 1)
    write_atomically(path, len(text).to_bytes(8, "little"), text, *parts)


def _bytes_of(tensor: NDArray[Any]) -> memoryview:
    """As the file has them; the tensor's own memory, where it lies there in this order, for it may be large."""
    return np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _checksum(*parts: bytes | memoryview) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


class Tensors(NamedTuple):
    """What is in a file: its metadata, what the header says of each tensor, and their bytes. Nothing is checked yet."""

    path: PathLike
    metadata: dict[str, Any]
    entries: dict[str, Any]
    body: bytes

    def tensor(self, name: str, like: NDArray[Any], finite: bool = True) -> NDArray[Any]:
        """The tensor `name`, read-only, of the shape and dtype of `like`; finite: all of its values have to be.

        Raises ModelFileError where the file hasn't got it.
        """
        entry = self.entries.get(name)
        expected = {"dtype": DTYPES[like.dtype.name], "shape": list(like.shape)}
        if not isinstance(entry, dict) or {key: entry.get(key) for key in expected} != expected:
            raise damaged(self.path, f"the tensor {name} is missing or not {expected}")
        match entry.get("data_offsets"):
            case [int(start), int(stop)] if 0 <= start and stop - start == like.nbytes and stop <= len(self.body):
                dtype = like.dtype.newbyteorder("<")
                values = np.frombuffer(self.body, dtype=dtype, count=math.prod(like.shape), offset=start)
            case _:
                raise damaged(self.path, f"the tensor {name} lies outside the file")
        if finite and not np.isfinite(values).all():
            raise damaged(self.path, f"the tensor {name} holds values that are not finite")
        return values.reshape(like.shape)

    def text(self, name: str) -> dict[str, Any]:
        """The JSON object that the metadata have by this name; raises ModelFileError where there is none."""
        try:
            found = json.loads(self.metadata[name])
            if not isinstance(found, dict):
                raise TypeError("not an object")
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            raise damaged(self.path, f"its description of the {name} is wrong: {error!r}") from error
        return found


def read_tensors(path: PathLike) -> Tensors:
    """Read a file.

    Raises ModelFileError if it is missing, no safetensors file, or not as it was when its checksum was made.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")  # some devices never end
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            fits = length <= min(_MAX_HEADER, os.fstat(file.fileno()).st_size)  # read() sets aside what it is asked for
            text, body = (file.read(length), file.read()) if fits else (b"", b"")
    except (OSError, ValueError) as error:  # a NUL byte inside the name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path}: can't be read ({reason}); check the name") from error
    try:
        if text.count(b"[") + text.count(b"{") > _MAX_BRACKETS:
            raise ValueError("more lists than a net has")
        header = json.loads(text)
        if not isinstance(header, dict):
            raise TypeError("the header is no object")
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: this is no safetensors file, or it is cut off; give one of xpnn train"
        ) from error
    metadata = header.pop("__metadata__", None)
    metadata = metadata if isinstance(metadata, dict) else {}
    checksum = metadata.get(CHECKSUM)
    if checksum is not None and checksum != _checksum(
        text.replace(str(checksum).encode(errors="replace"), _BLANK.encode(), 1), body
    ):
        raise damaged(path, "it doesn't have the checksum that it was written with")
    return Tensors(Path(path), metadata, header, body)


def damaged(path: PathLike, problem: str) -> ModelFileError:
    """The error of a file that isn't as it was written."""
    return ModelFileError(f"{path}: the file is damaged ({problem[:200]}); copy it again, or train anew")
