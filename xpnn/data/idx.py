"""IDX, the format MNIST is published in: a header of big-endian numbers, then the bytes.

The header is two zero bytes, the element type, the number of dimensions, and each dimension in four bytes.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import check_limit, opened, read_up_to
from xpnn.errors import DataError, Path
from xpnn.memory import fits
from xpnn.samples import Samples
from xpnn.stored import FlatFile, StoredRows

ELEMENT_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
UINT8 = 0x08


def read_idx(
    images_path: Path, *, limit: int | None = None, labelled: bool = True, may_stay: bool = False
) -> tuple[Samples, tuple[int, int]]:
    """Read an IDX file of images and, beside it, the labels file of the same name, each gzipped or not.

    limit:    read the first images only, as many as this.
    labelled: look for the labels; if False, the targets are None.
    may_stay: images that take too much memory (`xpnn.memory`) stay in the file, if it is not packed.

    Returns (samples, (height, width)): inputs (n, height * width) uint8, an array or StoredRows, targets (n,) int64.
    Raises DataError for a missing, damaged or different file; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    inputs, (height, width) = _read_images(images_path, limit, may_stay)
    if not labelled:
        return Samples(inputs), (height, width)
    labels_path = find_labels(images_path)
    labels = read_idx_array(labels_path, 1, limit=limit)
    if len(labels) != len(inputs):
        raise DataError(f"holds {len(labels)} labels for {len(inputs)} images: they don't belong together", labels_path)
    return Samples(inputs, labels.astype(np.int64)), (height, width)


def _read_images(path: Path, limit: int | None, may_stay: bool) -> tuple[Any, tuple[int, int]]:
    """(n, height * width) and (height, width)."""
    stored = _left_in_file(path, limit) if may_stay else None
    if stored is not None:
        return stored
    images = read_idx_array(path, 3, limit=limit)
    height, width = images.shape[1:]
    return images.reshape(len(images), -1), (height, width)


def _empty(path: Path, count: int, height: int, width: int) -> DataError:
    return DataError(f"holds {count} images of {height} x {width} pixels: there is nothing to read", path)


def _left_in_file(path: Path, limit: int | None) -> tuple[StoredRows, tuple[int, int]] | None:
    """The images that are not read now, and their shape; None where they fit into memory, or the file is packed."""
    with opened(path) as file:
        if not file.seekable():  # it is unpacked
            return None
        count, height, width = _read_shape(file, path, 3)
        rows = count if limit is None else min(limit, count)
        if fits(rows * height * width):
            return None
        _check_length(os.path.getsize(path) - file.tell(), (count, height, width), rows, path)
        images = FlatFile(path, file.tell(), (rows, height * width), np.dtype(np.uint8))
    return StoredRows.of(images), (height, width)


def read_idx_array(path: Path, dimensions: int, *, limit: int | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of uint8 with that many dimensions; `limit` cuts the first one.

    Returns the array in the file's own shape. Raises DataError for any other file.
    """
    with opened(path) as file:
        shape = _read_shape(file, path, dimensions)
        if dimensions == 3 and not math.prod(shape):  # the other sizes may be too large for an array
            raise _empty(path, *shape)
        row = math.prod(shape[1:])
        rows = shape[0] if limit is None else min(limit, shape[0])
        # One byte more than promised shows whether the file goes on.
        content = read_up_to(file, rows * row + 1)
    _check_length(len(content), shape, rows, path)
    return np.frombuffer(content, np.uint8, count=rows * row).reshape(rows, *shape[1:])


def _check_length(found: int, shape: tuple[int, ...], rows: int, path: Path) -> None:
    """Raise DataError unless so many bytes hold the first `rows` of what the header promises, and no more than that."""
    row, promised = math.prod(shape[1:]), " x ".join(map(str, shape))
    if found < rows * row:
        problem = f"cut short: {found} bytes follow the header, which promises {promised}"
        raise DataError(f"{problem} = {shape[0] * row}: fetch it again", path)
    if found > shape[0] * row:
        raise DataError(f"more bytes follow than the {promised} = {shape[0] * row} that the header promises", path)


def find_labels(images_path: Path) -> str:
    """The labels file beside an images file: train-images-idx3-ubyte.gz -> train-labels-idx1-ubyte[.gz].

    Raises DataError naming what was looked for if there is none.
    """
    folder, name = os.path.split(os.fspath(images_path))
    if "images" not in name:
        problem = "the labels can't be found: the name must hold 'images' where that of the labels file holds 'labels'"
        raise DataError(f"{problem}, as train-images-idx3-ubyte does", images_path)
    name = name.replace("images", "labels").replace("idx3", "idx1")
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    for candidate in (name, other):
        if os.path.exists(os.path.join(folder, candidate)):
            return os.path.join(folder, candidate)
    raise DataError(f"no labels file beside it: looked for {name} and {other}", images_path)


def is_idx(head: bytes) -> bool:
    """Whether a file that begins with these bytes (4 or more) is an IDX file."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in ELEMENT_TYPES


def _read_shape(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    magic = file.read(4)
    if not is_idx(magic):
        expected = f"0x0000{UINT8:02x}{dimensions:02x}"
        raise DataError(f"not an IDX file: begins with 0x{magic.hex() or '?'}, expected {expected}", path)
    if magic[2] != UINT8:
        raise DataError(f"holds elements of type {ELEMENT_TYPES[magic[2]]}, only uint8 can be read", path)
    if magic[3] != dimensions:
        raise DataError(_wrong_dimensions(magic[3], dimensions), path)
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"cut short: the header ends after {4 + len(sizes)} of {4 + 4 * dimensions} bytes", path)
    return struct.unpack(f">{dimensions}I", sizes)


def _wrong_dimensions(found: int, expected: int) -> str:
    kinds = {1: "a labels file (magic 0x00000801)", 3: "an images file (magic 0x00000803)"}
    if found == 1:
        return f"this is {kinds[1]}: give the images file, its labels are found by name"
    return f"this is {kinds.get(found, f'a file of {found} dimensions')}, expected {kinds[expected]}"
