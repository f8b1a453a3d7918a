"""NPY, NumPy's file of one array, and the labels in a second one beside it: inputs in one, targets in the other.

The inputs' name tells that of the labels: images.npy and labels.npy, inputs.npy and targets.npy, x.npy and y.npy, each
with the same words before and after, as in x_train.npy and y_train.npy.
"""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import check_limit, opened
from xpnn.data.npz import array_in, check_finite, checked_labels, checked_pixels, read_header
from xpnn.errors import DataError, Path
from xpnn.failures import first_line
from xpnn.memory import fits
from xpnn.samples import Samples
from xpnn.stored import FlatFile, StoredRows

NPY_MAGIC = b"\x93NUMPY"
LABELS = {"images": "labels", "inputs": "targets", "x": "y"}
WORD = re.compile(r"(?<![a-z])(images|inputs|x)(?![a-z])", re.IGNORECASE)


def read_npy(path: Path, *, limit: int | None = None, labelled: bool = True) -> tuple[Samples, tuple[int, int] | None]:
    """Read inputs from an NPY file and, from the one beside it, their labels.

    limit:    read the first rows only, as many as this.
    labelled: look for the labels; if False, the targets are None.

    Inputs have shape (n, n_in) or (n, height, width): whole numbers of 0-255, which become uint8, or floats, which
    become float32 or stay float64. Where they would take too much memory (`xpnn.memory`) they stay in the file,
    which must then hold uint8 or floats, row after row. Labels (n,) are whole numbers from 0.

    Returns (samples, (height, width) of pictures).
    Raises DataError for any other, missing or damaged file; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    inputs, shape = _read_inputs(path, limit)
    if not labelled:
        return Samples(inputs), shape
    labels_path = find_labels(path)
    labels = checked_labels(_load(labels_path), "the file", labels_path)[:limit]
    if len(labels) != len(inputs):
        raise DataError(f"holds {len(labels)} labels for {len(inputs)} rows: they don't belong together", labels_path)
    return Samples(inputs, labels), shape


def find_labels(path: Path) -> str:
    """The file of the labels beside that of the inputs. Raises DataError naming what was looked for."""
    folder, name = os.path.split(os.fspath(path))
    words = WORD.findall(name)
    if len(words) != 1:
        problem = "the labels can't be found: of the words images, inputs and x the name must hold one, for"
        raise DataError(f"{problem} which that of the labels has labels, targets or y, as x_train.npy", path)
    label = LABELS[words[0].lower()]
    name = WORD.sub(label.upper() if words[0].isupper() and len(words[0]) > 1 else label, name)
    if not os.path.exists(os.path.join(folder, name)):
        raise DataError(f"no labels file beside it: looked for {name}", path)
    return os.path.join(folder, name)


def _read_inputs(path: Path, limit: int | None) -> tuple[Any, tuple[int, int] | None]:
    """(n, n_in), and (height, width) of pictures."""
    mapped = _load(path, mmap_mode="r")
    if mapped.ndim not in (2, 3) or not mapped.size:
        needed = "(n, pixels) or (n, height, width), none of them 0"
        raise DataError(f"the array has shape {mapped.shape}, expected {needed}", path)
    if mapped.dtype.kind not in "iuf":
        raise DataError(f"holds {mapped.dtype}, expected uint8, whole numbers or floats", path)
    shape = (mapped.shape[1], mapped.shape[2]) if mapped.ndim == 3 else None
    kept = mapped[:limit]
    if isinstance(mapped, np.memmap) and not fits(kept.nbytes):
        return _left_in_file(mapped, kept, path), shape
    inputs = np.array(kept, order="C").reshape(len(kept), -1)
    if inputs.dtype.kind in "iu":
        return checked_pixels(inputs, "the file", path), shape
    check_finite(inputs, "the file", path)
    return inputs.astype(np.float64 if inputs.dtype.itemsize >= 8 else np.float32, copy=False), shape


def _left_in_file(mapped: np.memmap[Any, Any], kept: NDArray[Any], path: Path) -> StoredRows:
    too_large = f"holds {kept.nbytes / 1e9:.3g} GB, too much for this machine's memory, and can't be read in parts"
    if not mapped.flags.c_contiguous:
        raise DataError(f"{too_large} because it is stored column by column: save np.ascontiguousarray of it", path)
    if mapped.dtype.kind != "f" and mapped.dtype != np.uint8:
        raise DataError(f"{too_large} because it holds {mapped.dtype}: save pixels as uint8, or floats", path)
    row = int(np.prod(mapped.shape[1:]))
    return StoredRows.of(FlatFile(path, mapped.offset, (len(kept), row), mapped.dtype))


def _load(path: Path, mmap_mode: Any = None) -> Any:
    """The array of a file; packed ones can't be mapped, and are read."""
    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's on files of Python 2
        try:
            if mmap_mode is None or not file.seekable():
                return array_in(file)
            read_header(file)  # NumPy's reader, which comes next, sets aside as much as a header says that it is long
            return np.load(path, mmap_mode=mmap_mode)
        except (DataError, OSError, EOFError):  # for `opened`
            raise
        except Exception as error:  # for damage NumPy raises ValueError, SyntaxError, TypeError, ...
            raise DataError(f"damaged NPY file, or one with pickled objects ({first_line(error)})", path) from error
