"""Reading NPZ archives by the names of their arrays, and refusing all others."""

import io
import random
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn.data.npz import read_npz
from xpnn.errors import DataError

X = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
Y = np.array([0, 2, 1, 2])


def write(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_keras_names(tmp_path: Path) -> None:
    path = write(tmp_path, x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
    train, test, image_shape = read_npz(path)
    assert image_shape == (2, 3)
    assert train.targets is not None
    assert test is not None
    assert np.array_equal(train.inputs, X.reshape(4, 6))
    assert train.inputs.dtype == np.uint8
    assert train.targets.dtype == np.int64
    assert train.targets.tolist() == Y.tolist()
    assert np.array_equal(test.inputs, X[:2].reshape(2, 6))
    train, test, _ = read_npz(path, limit=1)
    assert test is not None
    assert (len(train), len(test)) == (1, 2)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        read_npz(path, limit=0)


@pytest.mark.parametrize("names", [("x", "y"), ("inputs", "targets"), ("x_train", "y_train")])
def test_one_pair(tmp_path: Path, names: tuple[str, str]) -> None:
    train, test, image_shape = read_npz(write(tmp_path, **dict(zip(names, (X.reshape(4, 6), Y), strict=True))))
    assert (len(train), test, image_shape) == (4, None, None)


def test_inputs_alone(tmp_path: Path) -> None:
    path = write(tmp_path, x=X)
    train, _, _ = read_npz(path, labelled=False)
    assert train.targets is None
    with pytest.raises(DataError, match="no array is called y; found x; expected x_train, y_train"):
        read_npz(path)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("i8", "u1"), (">u2", "u1"), ("f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("f2", "f4")],
)
def test_dtypes(tmp_path: Path, given: str, kept: str) -> None:
    inputs = read_npz(write(tmp_path, x=X.astype(given), y=Y))[0].inputs
    assert inputs.dtype == np.dtype(kept)
    assert inputs.dtype.isnative
    assert np.array_equal(inputs, X.reshape(4, 6))


@pytest.mark.parametrize(
    ("inputs", "is_pixels"),
    [
        ([0, 7, 255], True),
        ([0, 0, 128], True),
        ([0, 7, 16], False),  # scikit-learn's digits: a network learns more from them as they are
        ([0, 1, 1], False),
        ([0, 0.5, 255], False),
        ([-1, 7, 255], False),
        ([0, 7, 256], False),
    ],
)
def test_pixels_stored_as_floats(tmp_path: Path, inputs: list[float], is_pixels: bool) -> None:
    for dtype in ("f2", "f4", "f8"):
        found = read_npz(write(tmp_path, x=np.array([inputs], dtype), y=Y[:1]))[0].inputs
        assert (found.dtype == np.uint8) == is_pixels
        assert found.tolist() == [inputs]


OBJECTS = np.array([None] * 4)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (
            {"a": X, "b": Y},
            "no array is called x_train; found a, b; expected x_train, y_train, x_test, y_test, or x, y",
        ),
        ({}, "no array is called x_train; found none"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "no array is called y_test; found x_train, y_train, x_test"),
        ({"x": X, "y": OBJECTS}, "damaged NPZ file, or one with pickled objects"),
        ({"x": OBJECTS, "y": Y}, "damaged NPZ file, or one with pickled objects"),
        ({"x": X[:, 0, 0], "y": Y}, r"x has shape \(4,\), expected \(n, pixels\) or \(n, height, width\)"),
        ({"x": X[..., None], "y": Y}, r"x has shape \(4, 2, 3, 1\)"),
        ({"x": X[:0], "y": Y[:0]}, r"x has shape \(0, 2, 3\)"),
        ({"x": X[:, :0], "y": Y}, r"x has shape \(4, 0, 3\)"),
        ({"x": X.astype(int) - 1, "y": Y}, "x has whole numbers from -1 to 22, expected 0 to 255"),
        ({"x": X.astype(int) + 233, "y": Y}, "x has whole numbers from 233 to 256"),
        ({"x": X.astype(str), "y": Y}, "x holds <U3, expected uint8, whole numbers or floats"),
        ({"x": X.astype(bool), "y": Y}, "x holds bool"),
        ({"x": X.astype(complex), "y": Y}, "x holds complex128"),
        (
            {"x": np.where(X == 13, np.nan, X), "y": Y},
            "x has a value that is not finite .nan or inf. in row 2, counted",
        ),
        ({"x": np.where(X == 0, -np.inf, X), "y": Y}, "x has a value that is not finite .nan or inf. in row 0"),
        ({"x": X * 1e300, "y": Y}, "x has a value that is too large .beyond 3.4e38. in row 0, counted from 0"),
        ({"x": X, "y": Y[:3]}, "x has 4 rows but y has 3"),
        ({"x": X, "y": Y - 1}, "y has the label -1 in row 0, counted from 0: labels are whole numbers from 0"),
        ({"x": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}, "y has the label 9223372036854775808 in row 0"),
        (
            {"x": X, "y": Y.astype(float)},
            r"y has shape \(4,\) and holds float64, expected one whole number a row, .*: labels.astype",
        ),
        ({"x": X, "y": np.eye(3, dtype=int)[Y]}, r"y has shape \(4, 3\)"),
        (
            {"x_train": X, "y_train": Y, "x_test": X.reshape(4, 6), "y_test": Y},
            r"a row has shape \(2, 3\) in .* \(6,\) in x_test",
        ),
    ],
)
def test_refused(tmp_path: Path, arrays: dict[str, Any], problem: str) -> None:
    path = write(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        read_npz(path)
    assert caught.value.path == path
    assert re.match(f"{re.escape(str(path))}: {problem}", str(caught.value))


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.save(tmp_path / "one.npy", X)
    for content in (b"", b"PK", b"5,0\n", (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not an NPZ file"):
            read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array at all")
        archive.writestr("y", b"nor this")
    with pytest.raises(DataError, match="x is not a NumPy array"):
        read_npz(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{1:\n",
        b"{'descr': ',', 'fortran_order': False, 'shape': (4, 6)}\n",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (True, 12)}\n",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (4L, 600L)}\n",  # Python 2 wrote so; too long for its body
    ],
)
def test_hostile_headers(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(24))
    with pytest.raises(DataError, match=r"damaged NPZ file, or one with pickled objects \(.+\)"):
        read_npz(path)


def test_members_that_are_packed_otherwise_are_refused(tmp_path: Path) -> None:
    """An LZMA header asks for up to 4 GB."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        array = io.BytesIO()
        np.save(array, np.arange(10_000, dtype=np.uint8))
        archive.writestr("x.npy", array.getvalue())
    with pytest.raises(
        DataError, match=r"x is packed as NumPy never does it: save it anew, with numpy.savez_compressed"
    ):
        read_npz(path)


def test_damage_anywhere_is_a_data_error(tmp_path: Path) -> None:
    path = write(tmp_path, x=X, y=Y)
    with zipfile.ZipFile(path) as members, zipfile.ZipFile(stored := io.BytesIO(), "w") as archive:
        for name in members.namelist():
            archive.writestr(name, members.read(name))
    rng = random.Random(0)  # noqa: S311 (no secret)
    for content in (path.read_bytes(), stored.getvalue()):
        for _ in range(600):
            damaged = bytearray(content[: rng.choice([len(content), rng.randrange(5, len(content))])])
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(4, len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged)
            try:
                read_npz(path)
            except DataError as error:
                assert "\n" not in str(error)  # noqa: PT017 (most damage is refused, some goes unnoticed)
