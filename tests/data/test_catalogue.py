"""The data sets known by name."""

import bz2
import gzip
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn.data import load
from xpnn.data.catalogue import CATALOGUE, NAMES
from xpnn.data.places import CACHE_VARIABLE, DATA_VARIABLE, cache_folder
from xpnn.errors import DataError


def write_mnist(folder: Path, *, test_side: int = 2) -> None:
    folder.mkdir(parents=True)
    for part, count, side in (("train", 5, 2), ("t10k", 3, test_side)):
        images = struct.pack(">IIII", 0x803, count, side, side) + bytes(range(count * side * side))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">II", 0x801, count) + bytes(range(count)))
        )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder: what the user has in theirs is not looked at."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("xpnn.data.places.cache_folder", lambda: folder)
    return folder


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


@pytest.mark.mnist
def test_the_real_mnist() -> None:
    data = load("mnist")
    assert data.test is not None
    assert data.train.targets is not None
    assert (data.train.inputs.shape, data.test.inputs.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.train.targets).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train.inputs.mean() == pytest.approx(33.318, abs=1e-3)


def write_emnist(folder: Path, split: str, images: np.ndarray[Any, Any], labels: list[int]) -> None:
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        head = struct.pack(">IIII", 0x803, *images.shape)
        path = folder / f"emnist-{split}-{part}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(head + images.astype(np.uint8).tobytes()))
        path = folder / f"emnist-{split}-{part}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(struct.pack(">II", 0x801, len(labels)) + bytes(labels)))


def test_data_come_from_the_first_place_that_has_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    write_mnist(cache / "mnist")
    assert load("mnist").image_shape == (2, 2)
    (tmp_path / "mnist").mkdir()
    assert load("mnist").image_shape == (2, 2)
    shutil.rmtree(tmp_path / "mnist")
    write_mnist(tmp_path / "mnist")
    shutil.rmtree(cache)
    write_mnist(cache / "mnist", test_side=3)  # would not load
    assert load("mnist").image_shape == (2, 2)
    monkeypatch.delenv(DATA_VARIABLE)
    with pytest.raises(DataError, match="the images differ in size: 2 x 2 pixels for training, 3 x 3 for the test"):
        load("mnist")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_what_is_not_there_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, name: str
) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(DataError) as caught:
        load(name)
    text = str(caught.value)
    assert text.startswith(
        f"{name}: it is not here (looked in {cache / name}): `xpnn data get {name}` downloads it, or"
    )
    assert text.endswith(f" from {'gzip.zip of ' * ('emnist' in name)}{CATALOGUE[name].mirrors[0]} into {cache / name}")
    assert all(file.name in text for file in CATALOGUE[name].files)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(DataError) as caught:
        load(name)
    assert f"looked in {tmp_path / name} and {cache / name}" in str(caught.value)
    assert str(caught.value).endswith(f" into {tmp_path / name}")


def test_a_variable_that_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    write_mnist(cache / "mnist")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "file"))
    assert load("mnist").image_shape == (2, 2)  # it may not be there yet
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"XPNN_DATA_DIR is .*file, which is no folder: set it to one that holds mnist"):
        load("mnist")


def test_what_is_damaged_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>not found</html>")
    remedy = r"\(`xpnn data get mnist` downloads what is not as published\)"
    with pytest.raises(DataError, match=f"isn't gzipped: .* {remedy}$"):
        load("mnist")


def test_a_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        load("mnist")
    text = str(caught.value)
    assert text.startswith("mnist: t10k-labels-idx1-ubyte.gz is missing (looked in ")
    assert "`xpnn data get mnist` downloads it, or put t10k-labels-idx1-ubyte.gz from https://" in text
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing: a folder of data must hold train-images"):
        load(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").mkdir()  # which is no file
    both = r"t10k-images-idx3-ubyte\.gz and t10k-labels-idx1-ubyte\.gz"
    with pytest.raises(DataError, match=rf"mnist: {both} are missing .* downloads them, or put {both} from https"):
        load("mnist")
    cache.mkdir()
    (tmp_path / "mnist").rename(cache / "mnist")
    with pytest.raises(DataError, match=rf"labels-idx1-ubyte\.gz are missing .* into {cache / 'mnist'}$"):
        load("mnist")


def test_classes_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    for name in ("fashion-mnist", "kmnist"):
        write_mnist(tmp_path / name)
        assert load(name).labels == CATALOGUE[name].labels
        assert load(name).classes == 10
    assert load("fashion-mnist").labels[::9] == ("T-shirt/top", "Ankle boot")
    assert load("kmnist", classes=11).labels == (*"おきすつなはまやれを", "10")
    assert load("fashion-mnist", classes=6).labels[-1] == "Sandal"
    # the label of a class is the position of its name: the published mapping has b before d, and no c
    assert CATALOGUE["emnist-balanced"].labels[35:39] == ("Z", "a", "b", "d")
    sizes = {name: len(entry.labels) for name, entry in CATALOGUE.items()}
    assert sizes == dict.fromkeys(NAMES, 10) | {"emnist-letters": 26, "emnist-balanced": 47}
    assert all(len(set(entry.labels)) == len(entry.labels) for entry in CATALOGUE.values())


@pytest.mark.parametrize("split", ["digits", "letters", "balanced"])
def test_emnist_stands_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    upright = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 9, 0], [0, 9, 0], [0, 9, 9]]])
    write_emnist(tmp_path / f"emnist-{split}", split, upright.transpose(0, 2, 1), [1, 9])
    data = load(f"emnist-{split}")
    assert data.test is not None
    for samples in (data.train, data.test):
        assert samples.inputs.reshape(2, 3, 3).tolist() == upright.tolist()
        assert samples.targets is not None
        assert [data.labels[label] for label in samples.targets] == (["A", "I"] if split == "letters" else ["1", "9"])
    assert len(load(f"emnist-{split}", limit=1).train) == 1


def test_letters_are_1_to_26(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    write_emnist(tmp_path / "emnist-letters", "letters", np.zeros((3, 2, 2)), [26, 0, 1])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: label 0 in row 1, counted from 0: EMNIST's let"):
        load("emnist-letters")


def usps_line(label: int, *pairs: tuple[int, float]) -> str:
    return " ".join([str(label), *(f"{index}:{value}" for index, value in pairs)]) + "\n"


@pytest.mark.parametrize("packed", [False, True])
def test_usps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "usps").mkdir()
    train = usps_line(10, (1, -1), (2, 1), (256, -0.5)) + usps_line(1, *((index, -1) for index in range(1, 257)))
    for name, text in (("usps", train), ("usps.t", usps_line(3, (17, 0.0)))):
        content = bz2.compress(text.encode()) if packed else text.encode()
        (tmp_path / "usps" / f"{name}{'.bz2' * packed}").write_bytes(content)
    data = load("usps")
    assert data.test is not None
    assert data.train.targets is not None
    assert data.test.targets is not None
    assert (data.image_shape, data.classes) == ((16, 16), 10)
    assert data.train.inputs[0, [0, 1, 2, 255]].tolist() == [0, 255, 128, 64]  # what a line leaves out is 0
    assert not data.train.inputs[1].any()
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([9, 0], [2])
    assert data.train.targets.dtype == np.int64
    assert len(load("usps", limit=1).train) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 1:0", "line 2: begins with '0', expected a label of 1 to 10"),
        ("1 257:0", "line 2: '257:0' is no pixel: expected index:value, the index of 1 to 256, the value of -1 to 1"),
        ("1 0:0", "'0:0' is no pixel"),
        ("1 1:1.5", "'1:1.5' is no pixel"),
        ("1 1:nan", "'1:nan' is no pixel"),
        ("1 1", "'1' is no pixel"),
        ("1 1:0 2:x 3:y", "'2:x' is no pixel"),
        ("1 1:0 2:0:0", "'2:0:0' is no pixel"),
        (f"1 {10**30}:0", f"'{10**18}…' is no pixel"),
    ],
)
def test_usps_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, problem: str) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "usps").mkdir()
    for name in ("usps", "usps.t"):
        (tmp_path / "usps" / name).write_text(f"1 1:0\n{line}\n")
    with pytest.raises(DataError) as caught:
        load("usps")
    assert problem in str(caught.value)


def test_digits_are_as_the_catalogue_says() -> None:
    data, entry = load("digits"), CATALOGUE["digits"]
    assert data.test is not None
    assert ((len(data.train), len(data.test)), data.image_shape) == (entry.rows, entry.image_shape)


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is a variable of Linux' desktops")
def test_the_cache_folder_is_the_systems_unless_the_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "xpnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "xpnn"
    monkeypatch.setenv(CACHE_VARIABLE, "~/elsewhere")
    assert cache_folder() == tmp_path / "elsewhere"


def test_where_the_variable_leads_to_the_data_no_cache_folder_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr("xpnn.data.places.cache_folder", None)
    write_mnist(tmp_path / "mnist")
    assert len(load("mnist").train) == 5
