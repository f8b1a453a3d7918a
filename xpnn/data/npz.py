"""NPZ, NumPy's archive of named arrays, with the names that Keras' mnist.npz has.

NumPy's own reader sets aside as much memory as an array's header asks for. Here it is read, and the header parsed by
NumPy, only as far as the file's size lets it be meant.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import check_limit, check_unpacked, first_bytes, read_up_to, shown
from xpnn.data.zips import opened_zip
from xpnn.errors import DataError, Path
from xpnn.failures import first_line
from xpnn.samples import Samples

if TYPE_CHECKING:
    import zipfile

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without members
TRAIN_NAMES = (("x_train", "y_train"), ("x", "y"), ("inputs", "targets"))
TEST_NAMES = ("x_test", "y_test")
PACKINGS = (0, 8)  # stored as it is, or deflated
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
    if first_bytes(path, 4) not in ZIP_MAGICS:
        raise DataError("not an NPZ file", path)
    with opened_zip(path) as archive:
        try:
            names = _names(archive)
            train, shape = _read_samples(archive, _train_names(names), labelled, path)
            if TEST_NAMES[0] in names:
                test, test_shape = _read_samples(archive, TEST_NAMES, labelled, path)
        except (DataError, OSError):  # the second is for `opened`
            raise
        except Exception as error:  # for damage ValueError, SyntaxError, TypeError, BadZipFile, zlib.error, ...
            raise DataError(f"damaged NPZ file, or one with pickled objects ({first_line(error)})", path) from error
    if test is not None and test_shape != shape:
        raise DataError(f"a row has shape {shape} in training but {test_shape} in x_test", path)
    picture = (shape[0], shape[1]) if len(shape) == 2 else None
    return (train if limit is None else train.take(slice(limit))), test, picture


def _names(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays' names, and where they are."""
    return {member.filename.removesuffix(".npy"): member for member in archive.infolist()}


def _train_names(found: dict[str, zipfile.ZipInfo]) -> tuple[str, str]:
    return next((names for names in TRAIN_NAMES if names[0] in found), TRAIN_NAMES[0])


def _read_samples(
    archive: zipfile.ZipFile, names: tuple[str, str], labelled: bool, path: Path
) -> tuple[Samples, tuple[int, ...]]:
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


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    members = _names(archive)
    if name not in members:
        found = ", ".join(shown(other)[1:-1] for other in [*members][:20]) or "none"
        expected = "x_train, y_train, x_test, y_test, or x, y, or inputs, targets"
        raise DataError(f"no array is called {name}; found {found}; expected {expected}", path)
    member = members[name]
    if member.compress_type not in PACKINGS:
        raise DataError(f"{name} is packed as NumPy never does it: save it anew, with numpy.savez_compressed", path)
    check_unpacked(path, member.file_size, "save it with numpy.savez, which doesn't pack")
    with cast("zipfile.ZipExtFile", archive.open(member)) as file:
        if not file.peek(6).startswith(np.lib.format.MAGIC_PREFIX):
            raise DataError(f"{name} is not a NumPy array", path)
        return array_in(cast(BinaryIO, file))


def array_in(file: BinaryIO) -> NDArray[Any]:
    """The array in an open NPY file, of which no more is set aside than there is, whatever the header asks for.

    Raises ValueError and others for any other or damaged file.
    """
    shape, by_columns, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    content = read_up_to(file, size + 1)  # one byte more shows whether it goes on
    if len(content) != size:
        raise ValueError("it holds more or less than its header promises")
    return np.ndarray(shape, dtype, buffer=content, order="F" if by_columns else "C")


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored by columns, and type. Raises ValueError unless it is an array of plain values."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # whose header is 64 kB at most; those of others may ask for 4 GB
        raise ValueError(f"version {version} of NumPy's format is for tables")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's on files of Python 2
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, by_columns, dtype


def _checked_inputs(inputs: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """The inputs as uint8 or floats of this machine's byte order."""
    if inputs.dtype.kind in "iu":
        return checked_pixels(inputs, name, path)
    if inputs.dtype.kind != "f":
        raise DataError(f"{name} holds {inputs.dtype}, expected uint8, whole numbers or floats", path)
    check_finite(inputs, name, path)
    if hold_pixels(inputs):
        return inputs.astype(np.uint8)
    return inputs.astype(np.float64 if inputs.dtype.itemsize >= 8 else np.float32, copy=False)


def check_finite(inputs: NDArray[Any], name: str, path: Path) -> None:
    """Raise DataError naming the first row of (n, ...) with a number that is not finite, or too large for float32."""
    fits = np.abs(inputs) <= np.finfo(np.float32).max  # nan does not
    if not fits.all():
        row = int(np.argwhere(~fits)[0, 0])
        fault = "too large (beyond 3.4e38)" if np.isfinite(inputs[row]).all() else "not finite (nan or inf)"
        problem = f"{name} has a value that is {fault} in row {row}, counted from 0"
        raise DataError(f"{problem}: correct it, or leave the row out", path)


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
        remedy = "labels.astype(int) makes them of floats, labels.argmax(axis=1) of rows of 0 with a 1"
        raise DataError(f"{found}, expected one whole number a row, the label: {remedy}", path)
    converted = labels.astype(np.int64)
    wrong = np.flatnonzero(converted < 0)  # where unsigned numbers were too large, too
    if wrong.size:
        problem = f"{name} has the label {labels[wrong[0]]} in row {wrong[0]}, counted from 0"
        raise DataError(f"{problem}: labels are whole numbers from 0", path)
    return converted
