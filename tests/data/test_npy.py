"""NPY files with their labels beside them, and what of them stays in the file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import DataError, load, memory
from xpnn.data import file_format, read_npy, read_samples
from xpnn.data.npy import find_labels
from xpnn.stored import StoredRows

PIXELS: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (30, 3, 4), dtype=np.uint8)
LABELS = np.arange(30) % 3


def write(folder: Path, inputs: NDArray[Any] = PIXELS, labels: NDArray[Any] = LABELS) -> Path:
    np.save(folder / "x_train.npy", inputs)
    np.save(folder / "y_train.npy", labels)
    return folder / "x_train.npy"


@pytest.fixture(params=[0.0, 0.5], ids=["in file", "in memory"])
def share(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(memory, "SHARE", request.param)
    return float(request.param)


def test_the_first_rows_are_read_where_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2.0 * 7 * 12)
    path = write(tmp_path)
    for limit, stays in ((7, False), (8, True), (None, True)):
        assert isinstance(read_npy(path, limit=limit)[0].inputs, StoredRows) == stays


@pytest.mark.parametrize("limit", [None, 7, 100])
def test_rows_and_labels_are_those_of_the_files(tmp_path: Path, share: float, limit: int | None) -> None:
    path = write(tmp_path)
    assert file_format(path) == "npy"
    samples, shape = read_npy(path, limit=limit)
    assert shape == (3, 4)
    assert isinstance(samples.inputs, StoredRows) == (share == 0)
    assert samples.inputs.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(samples.inputs), PIXELS.reshape(30, 12)[:limit])
    assert samples.targets is not None
    assert samples.targets.tolist() == LABELS[:limit].tolist()
    assert samples.targets.dtype == np.int64


def test_it_is_a_data_set(tmp_path: Path, share: float) -> None:
    path = write(tmp_path)
    data = load(path, test_data=path, limit=9)
    assert data.test is not None
    assert (len(data.train), len(data.test), data.classes, data.image_shape) == (9, 30, 3, (3, 4))
    assert read_samples(path, labelled=False).targets is None


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        *(("images.npy", "labels.npy"), ("train-images.npy", "train-labels.npy"), ("inputs.npy", "targets.npy")),
        *(("x.npy", "y.npy"), ("X_train.npy", "y_train.npy"), ("big_X.npy", "big_y.npy"), ("Images.npy", "labels.npy")),
    ],
)
def test_labels_are_found_by_name(tmp_path: Path, inputs: str, labels: str) -> None:
    (tmp_path / labels).touch()
    assert find_labels(tmp_path / inputs) == str(tmp_path / labels)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("rows.npy", "rows.npy: the labels can't be found: of the words images, inputs and x the name must hold one"),
        ("max.npy", "the labels can't be found"),
        ("x_images.npy", "the labels can't be found"),
        ("x.npy", "x.npy: no labels file beside it: looked for y.npy"),
    ],
)
def test_labels_that_are_not_found(tmp_path: Path, name: str, problem: str) -> None:
    np.save(tmp_path / name, PIXELS)
    with pytest.raises(DataError, match=problem):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("inputs", "dtype"),
    [
        *((PIXELS.astype(np.int64), "uint8"), (PIXELS.astype(">f4"), "float32"), (PIXELS / 7, "float64")),
        *((PIXELS.astype("f2"), "float32"), (np.asfortranarray(PIXELS), "uint8"), (PIXELS[:, ::2], "uint8")),
    ],
)
def test_other_arrays_are_read_into_memory(tmp_path: Path, inputs: NDArray[Any], dtype: str) -> None:
    samples, _ = read_npy(write(tmp_path, inputs))
    assert samples.inputs.dtype == dtype
    assert samples.inputs.flags.c_contiguous
    assert type(samples.inputs) is np.ndarray  # no mapping
    np.testing.assert_array_equal(samples.inputs, inputs.reshape(30, -1))


def test_a_packed_file_is_read_into_memory(tmp_path: Path, share: float) -> None:
    path = write(tmp_path)
    packed = tmp_path / "packed_x.npy"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    samples, _ = read_npy(packed, labelled=False)
    np.testing.assert_array_equal(samples.inputs, PIXELS.reshape(30, 12))


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        (np.arange(3), "the array has shape (3,), expected (n, pixels) or (n, height, width), none of them 0"),
        (np.zeros((0, 3)), "the array has shape (0, 3), expected"),
        (np.zeros((30, 3), dtype=complex), "holds complex128, expected uint8, whole numbers or floats"),
        (np.full((30, 3), 256), "the file has whole numbers from 256 to 256, expected 0 to 255"),
        (
            np.where(np.arange(90).reshape(30, 3) == 7, np.nan, 0.5),
            "x_train.npy: the file has a value that is not finite",
        ),
        (
            np.where(np.arange(90).reshape(30, 3) == 7, 1e40, 0.5),
            "has a value that is too large (beyond 3.4e38) in row 2",
        ),
        (PIXELS[:20], "holds 30 labels for 20 rows: they don't belong together"),
    ],
)
def test_arrays_that_are_no_inputs(tmp_path: Path, inputs: NDArray[Any], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        read_npy(write(tmp_path, inputs))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        (np.asfortranarray(PIXELS), "because it is stored column by column: save np.ascontiguousarray of it"),
        (PIXELS.astype(np.int32), "because it holds int32: save pixels as uint8, or floats"),
    ],
)
def test_what_is_too_large_and_can_not_be_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: NDArray[Any], problem: str
) -> None:
    monkeypatch.setattr(memory, "SHARE", 0.0)
    with pytest.raises(DataError) as caught:
        read_npy(write(tmp_path, inputs))
    assert "x_train.npy: holds " in str(caught.value)
    assert problem in str(caught.value)


def test_damaged_files(tmp_path: Path, share: float) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:50], whole[:7], whole[:20] + b"?" * 60 + whole[80:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="x_train.npy: damaged NPY file, or one with pickled objects"):
            read_npy(path)
    path.write_bytes(whole)
    np.save(tmp_path / "y_train.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="y_train.npy: damaged NPY file, or one with pickled objects"):
        read_npy(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="x_train.npy: damaged NPY file, or one with pickled objects"):
        read_npy(path)
