"""The data sets known by name."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from xpnn.data import load
from xpnn.data.catalogue import DATA_VARIABLE, MNIST_FILES
from xpnn.errors import DataError


def write_mnist(folder: Path, *, test_side: int = 2) -> None:
    folder.mkdir(parents=True)
    for part, count, side in (("train", 5, 2), ("t10k", 3, test_side)):
        images = struct.pack(">IIII", 0x803, count, side, side) + bytes(range(count * side * side))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">II", 0x801, count) + bytes(range(count)))
        )


def test_digits() -> None:
    data = load("digits")
    assert data.test is not None
    assert data.train.targets is not None
    assert data.test.targets is not None
    assert (data.name, data.classes, data.labels, data.image_shape) == ("digits", 10, tuple("0123456789"), (8, 8))
    assert (data.train.inputs.shape, data.test.inputs.shape) == ((1442, 64), (355, 64))
    assert np.unique(data.train.inputs).tolist() == [round(level * 255 / 16 + 1e-9) for level in range(17)]
    share = np.bincount(data.test.targets) / np.bincount(np.concatenate([data.train.targets, data.test.targets]))
    assert np.abs(share - 0.2).max() < 0.005  # stratified
    assert len(load("digits", limit=7).train) == 7


def test_digits_are_those_of_scikit_learn() -> None:
    published = pytest.importorskip("sklearn.datasets").load_digits()
    data = load("digits")
    assert data.test is not None
    every = np.concatenate([data.train.inputs, data.test.inputs])
    assert sorted(map(bytes, every)) == sorted(map(bytes, np.rint(published.data * 255 / 16 + 1e-9).astype(np.uint8)))
    zeros = np.flatnonzero(published.target == 0)[4::5]
    assert data.test.targets is not None
    of_zeros = data.test.inputs[data.test.targets == 0]
    assert np.array_equal(of_zeros, np.rint(published.data[zeros] * 255 / 16 + 1e-9))


@pytest.mark.parametrize("dotted", [False, True])
def test_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dotted: bool) -> None:
    write_mnist(tmp_path / "mnist")
    if dotted:
        for file in (tmp_path / "mnist").iterdir():
            file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    data = load("mnist", limit=2)
    assert data.test is not None
    assert data.test.targets is not None
    assert (data.classes, data.labels, data.image_shape) == (10, tuple("0123456789"), (2, 2))
    assert data.train.inputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert data.test.targets.tolist() == [0, 1, 2]


def test_the_folder_may_be_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / "data" / "mnist")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, "data")
    assert len(load("mnist").train) == 5
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(DATA_VARIABLE, "~/data")
    monkeypatch.chdir("/")
    assert len(load("mnist").train) == 5


def test_mnist_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv(DATA_VARIABLE, raising=False) if value is None else monkeypatch.setenv(DATA_VARIABLE, value)
        with pytest.raises(
            DataError, match="set XPNN_DATA_DIR to the folder that holds mnist/ with train-images"
        ) as caught:
            load("mnist")
        assert all(name in str(caught.value) for name in MNIST_FILES)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="mnist: no such folder: XPNN_DATA_DIR must name the folder that holds mnist/"):
        load("mnist")
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="mnist: t10k-labels-idx1-ubyte is missing: a folder of data must hold"):
        load("mnist")
    shutil.rmtree(tmp_path / "mnist")
    write_mnist(tmp_path / "mnist", test_side=3)
    with pytest.raises(DataError, match="the images differ in size: 2 x 2 pixels for training, 3 x 3 for the test"):
        load("mnist")


@pytest.mark.mnist
def test_the_real_mnist() -> None:
    data = load("mnist")
    assert data.test is not None
    assert data.train.targets is not None
    assert (data.train.inputs.shape, data.test.inputs.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.train.targets).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train.inputs.mean() == pytest.approx(33.318, abs=1e-3)
