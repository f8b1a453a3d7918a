"""NPZ, NumPy's archive of named arrays, with the names that Keras' mnist.npz has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import check_limit, opened
from xpnn.errors import DataError, Path
from xpnn.failures import first_line
from xpnn.samples import Samples

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without members
TRAIN_NAMES = (("x_train", "y_train"), ("x", "y"), ("inputs", "targets"))
TEST_NAMES = ("x_test", "y_test")
BRIGHT = 128  # whole numbers that are stored as floats and reach this, and no more than 255, are pixels


def read_npz(
    path: Path, *, limit: int | None = None, labelled: bool = True
) -> tuple[Samples, Samples | None, tuple[int, int] | None]:
    """Read inputs and labels by name: x_train, y_train, x_test, y_test, or x, y, or inputs, targets.

    limit:    keep the first rows of the training samples only; the test samples stay whole.
    labelled: read the labels; if False, the targets are None and need not be in the file.

    Inputs have shape (n, n_in) or (n, height, width), labels (n,) whole numbers from 0. Integers become uint8, and so
    do floats that are whole numbers of 0-255 and reach at least 128: pixels, stored as floats. Other floats become
    float32 or stay float64.

    Returns (training samples, test samples if there are any, (height, width) if the inputs are pictures).
    Raises DataError for any other or damaged file; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    test, test_shape = None, None
    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's on files of Python 2
        if file.read(4) not in ZIP_MAGICS:
            raise DataError("not an NPZ file", path)
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                train, shape = _read_samples(archive, _train_names(archive.files), labelled, path)
                if TEST_NAMES[0] in archive.files:
                    test, test_shape = _read_samples(archive, TEST_NAMES, labelled, path)
        except (DataError, OSError):  # the second is for `opened`
            raise
        except Exception as error:  # for damage NumPy raises ValueError, SyntaxError, TypeError, LZMAError, ...
            raise DataError(f"damaged NPZ file, or one with pickled objects ({first_line(error)})", path) from error
    if test is not None and test_shape != shape:
        raise DataError(f"a row has shape {shape} in training but {test_shape} in x_test", path)
    picture = (shape[0], shape[1]) if len(shape) == 2 else None
    return (train if limit is None else train.take(slice(limit))), test, picture


def _train_names(found: list[str]) -> tuple[str, str]:
    return next((names for names in TRAIN_NAMES if names[0] in found), TRAIN_NAMES[0])


def _read_samples(archive: Any, names: tuple[str, str], labelled: bool, path: Path) -> tuple[Samples, tuple[int, ...]]:
    """One pair of arrays as samples, and the shape that a row of inputs has in the file."""
    inputs = _read_array(archive, names[0], path)
    if inputs.ndim not in (2, 3) or not inputs.size:
        needed = "(n, pixels) or (n, height, width), none of them 0"
        raise DataError(f"{names[0]} has shape {inputs.shape}, expected {needed}", path)
    rows = _checked_inputs(inputs, names[0], path).reshape(len(inputs), -1)
    if not labelled:
        return Samples(rows), inputs.shape[1:]
    labels = checked_labels(_read_array(archive, names[1], path), names[1], path)
    if len(labels) != len(inputs):
        raise DataError(f"{names[0]} has {len(inputs)} rows but {names[1]} has {len(labels)}", path)
    return Samples(rows, labels), inputs.shape[1:]


def _read_array(archive: Any, name: str, path: Path) -> NDArray[Any]:
    if name not in archive.files:
        found = ", ".join(archive.files[:20]) or "none"
        expected = "x_train, y_train, x_test, y_test, or x, y, or inputs, targets"
        raise DataError(f"no array is called {name}; found {found}; expected {expected}", path)
    array = archive[name]
    if not isinstance(array, np.ndarray):  # NumPy hands over the bytes of a member that isn't its own format
        raise DataError(f"{name} is not a NumPy array", path)
    return array


def _checked_inputs(inputs: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """The inputs as uint8 or floats of this machine's byte order."""
    if inputs.dtype.kind in "iu":
        return checked_pixels(inputs, name, path)
    if inputs.dtype.kind != "f":
        raise DataError(f"{name} holds {inputs.dtype}, expected uint8, whole numbers or floats", path)
    fits = np.abs(inputs) <= np.finfo(np.float32).max  # nan does not
    if not fits.all():
        row = int(np.argwhere(~fits)[0, 0])
        fault = "too large (beyond 3.4e38)" if np.isfinite(inputs[row]).all() else "not finite (nan or inf)"
        raise DataError(f"{name} has a value that is {fault} in row {row}, counted from 0", path)
    if hold_pixels(inputs):
        return inputs.astype(np.uint8)
    return inputs.astype(np.float64 if inputs.dtype.itemsize >= 8 else np.float32, copy=False)


def hold_pixels(values: NDArray[Any]) -> bool:
    """Whether these are whole numbers from 0 to 255, and some of them BRIGHT: pixels, whatever they are stored as."""
    if values.min() < 0 or not BRIGHT <= values.max() <= 255:
        return False
    return values.dtype.kind in "iu" or np.array_equal(values, np.rint(values))


def checked_pixels(pixels: NDArray[Any], name: str, path: Path) -> NDArray[np.uint8]:
    """Whole numbers as uint8. Raises DataError for those that can't be."""
    if pixels.min() < 0 or pixels.max() > 255:
        problem = f"{name} has whole numbers from {pixels.min()} to {pixels.max()}, expected 0 to 255"
        raise DataError(f"{problem}: store other values as floats", path)
    return pixels.astype(np.uint8, copy=False)


def checked_labels(labels: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
    """Class labels (n,) as int64. Raises DataError for what is none."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"{name} has shape {labels.shape} and holds {labels.dtype}"
        raise DataError(f"{found}, expected one whole number a row: the label", path)
    converted = labels.astype(np.int64)
    wrong = np.flatnonzero(converted < 0)  # where unsigned numbers were too large, too
    if wrong.size:
        problem = f"{name} has the label {labels[wrong[0]]} in row {wrong[0]}, counted from 0"
        raise DataError(f"{problem}: labels are whole numbers from 0", path)
    return converted
