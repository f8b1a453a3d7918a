"""load(): formats told apart by content, and what must agree between files and labels."""

import bz2
import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xpnn.data import load, read_samples
from xpnn.errors import DataError

ROWS = "0,1,2,3,4\n2,5,6,7,8\n1,9,9,9,9\n"
INPUTS = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]]


def write(path: Path, text: str = ROWS) -> Path:
    path.write_text(text)
    return path


def write_idx(folder: Path, part: str = "train") -> Path:
    pixels = bytes(np.array(INPUTS, dtype=np.uint8).ravel())
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 3) + bytes([0, 2, 1]))
    path = folder / f"{part}-images-idx3-ubyte"
    path.write_bytes(struct.pack(">IIII", 0x803, 3, 2, 2) + pixels)
    return path


def write_npz(folder: Path, **arrays: object) -> Path:
    pictures = np.array(INPUTS, dtype=np.uint8).reshape(3, 2, 2)
    path = folder / "data.npz"
    np.savez(path, **(arrays or {"x_train": pictures, "y_train": [0, 2, 1]}))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("kind", ["csv", "idx", "npz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_the_content_tells_the_format(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    path = write_npz(tmp_path) if kind == "npz" else write_idx(tmp_path) if kind == "idx" else write(tmp_path / "data")
    path.write_bytes(pack(path.read_bytes()))
    path = path.rename(path.with_name("images.data"))
    if kind == "idx":
        (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "labels.data")
    data = load(path)
    assert data.train.targets is not None
    assert (data.name, data.test, data.classes, data.labels) == (str(path), None, 3, ("0", "1", "2"))
    assert data.image_shape == (2, 2)
    assert data.train.inputs.tolist() == INPUTS
    assert data.train.targets.tolist() == [0, 2, 1]
    assert load(str(path)).train.inputs.tolist() == INPUTS
    assert load(path, test_data=path, limit=1).classes == 3
    assert read_samples(path, limit=2).inputs.tolist() == INPUTS[:2]
    unlabelled = read_samples(path, labelled=False)
    assert unlabelled.targets is None
    assert unlabelled.inputs.shape == (3, 5 if kind == "csv" else 4)


def test_a_damaged_bzip2_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.bz2"
    content = bytearray(bz2.compress(ROWS.encode()))
    path.write_bytes(content[:-4])
    with pytest.raises(DataError, match=r"rows\.csv\.bz2: damaged bzip2 file \(.*\): fetch it again"):
        load(path)
    content[20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.csv\.bz2: damaged bzip2 file \(.*\): fetch it again"):
        load(path)


def test_a_folder_named_as_mnist_is(tmp_path: Path) -> None:
    write_idx(tmp_path, "train")
    write_idx(tmp_path, "t10k")
    data = load(tmp_path, limit=1)
    assert data.test is not None
    assert (len(data.train), len(data.test), data.image_shape, data.classes) == (1, 3, (2, 2), 3)
    assert len(read_samples(tmp_path, limit=2)) == 2
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is missing"):
        load(tmp_path)


def test_limit_and_test_data(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", "4,0,0,0,0\n3,0,0,0,0\n")
    data = load(write(tmp_path / "train.csv"), test_data=test, limit=1)
    assert data.test is not None
    assert (len(data.train), len(data.test), data.classes) == (1, 2, 5)
    arrays = {"x": np.zeros((3, 4)), "y": np.ones(3, int)}
    keras = write_npz(
        tmp_path, x_train=arrays["x"], y_train=arrays["y"], x_test=arrays["x"][:2], y_test=arrays["y"][:2]
    )
    data = load(keras, limit=1)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (1, 2)
    assert len(read_samples(keras)) == 2  # its test rows
    assert len(read_samples(keras, limit=1)) == 1
    for reader in (load, read_samples):
        with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
            reader("digits", limit=0)


def test_image_shape(tmp_path: Path) -> None:
    assert load(write(tmp_path / "five.csv", "1,0,0,0,0,0\n")).image_shape is None
    assert load(write_npz(tmp_path, x=np.zeros((1, 4), int), y=np.ones(1, int))).image_shape is None
    wide = write_npz(tmp_path, x=np.zeros((1, 2, 3), int), y=np.ones(1, int))
    assert load(wide).image_shape == (2, 3)


def test_a_name_wins_over_a_file_and_a_path_does_not_look_like_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("digits"))
    assert load("digits").image_shape == (8, 8)
    assert load("./digits").image_shape == (2, 2)
    assert load(Path("digits")).image_shape == (2, 2)
    with pytest.raises(
        DataError, match="mnsit: no such file; the data sets known by name are digits, mnist, .* and usps"
    ):
        load("mnsit")


def test_a_picture_is_no_data_set(tmp_path: Path) -> None:
    path = tmp_path / "digit.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    with pytest.raises(DataError, match=r"digit\.csv: this is a picture, not a data set: .*for `xpnn query`"):
        load(path)


def test_training_and_test_data_must_agree(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.csv"), write(tmp_path / "test.csv", "1,0,0\n")
    with pytest.raises(DataError, match=r"test.csv: 2 inputs a row, but 4 in .*train.csv") as caught:
        load(train, test_data=test)
    assert caught.value.path == test
    floats = write_npz(tmp_path, x=np.zeros((1, 4)), y=np.zeros(1, int))
    with pytest.raises(DataError, match=r"data.npz: inputs are float64, but uint8 in .*train.csv"):
        load(train, test_data=floats)


def test_training_and_test_data_in_one_file_must_agree(tmp_path: Path) -> None:
    y = np.array([0, 1])
    path = write_npz(tmp_path, x_train=np.full((2, 4), 255.0), y_train=y, x_test=np.full((2, 4), 0.5), y_test=y)
    with pytest.raises(DataError, match=r"data.npz: inputs are float64, but uint8 in .*data.npz: training and test"):
        load(path)


def test_labels_out_of_range(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "label,1x1\n\n" + "0,0\n2,0\n")
    problem = "label 2 is out of range: 2 classes have the labels 0 to 1"
    with pytest.raises(DataError) as caught:
        load(path, classes=2)
    assert str(caught.value) == f"{path}, line 4: {problem}"
    small = write(tmp_path / "small.csv", "0,0\n")
    with pytest.raises(DataError) as caught:
        load(small, test_data=path, classes=2)
    assert str(caught.value) == f"{path}, line 4: {problem}"
    with pytest.raises(DataError, match=r"data\.npz: label 2 in training row 1, counted from 0, is out of range"):
        load(write_npz(tmp_path), classes=2)
    with pytest.raises(DataError, match="digits: label 9 in training row 9, counted from 0, is out of range"):
        load("digits", classes=5)
    assert load(path, classes=12).labels == tuple(map(str, range(12)))
    for classes in (1, 65_537, 10**30):
        with pytest.raises(ValueError, match=f"classes must be at least 2 and at most 65,536, not {classes}"):
            load(path, classes=classes)
    with pytest.raises(DataError, match="label 65536 in training row 0, counted from 0, is out of range"):
        load(write_npz(tmp_path, x=np.zeros((1, 4)), y=np.array([65536])))


def test_one_class_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "label_last.csv", "0,0,5,1\n0,9,3,2\n")
    with pytest.raises(
        DataError, match="all labels are 0, but at least two classes .*: is the label the first"
    ) as caught:
        load(path)
    assert caught.value.path == path
    assert load(path, classes=2).classes == 2


def test_samples_of_a_given_number_of_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv")
    assert len(read_samples(path, classes=3)) == 3
    with pytest.raises(DataError) as caught:
        read_samples(path, classes=2)
    assert str(caught.value) == f"{path}, line 2: label 2 is out of range: 2 classes have the labels 0 to 1"


def test_test_data_by_name() -> None:
    own, named = load("digits").test, load("digits", limit=5, test_data="digits").test
    assert own is not None
    assert named is not None
    assert np.array_equal(named.inputs, own.inputs)
    assert np.array_equal(read_samples("digits", limit=3).inputs, own.inputs[:3])


def test_a_limit_beyond_all_numbers_is_the_whole_file(tmp_path: Path) -> None:
    for path in (write(tmp_path / "rows.csv"), write_npz(tmp_path), write_idx(tmp_path)):
        assert len(load(path, limit=10**20).train) == 3


def test_a_mistyped_label_does_not_make_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "".join(f"{label},0\n" for label in [*range(10), 72, 7]))
    problem = "label 72 makes 73 classes, but no row has the label 10: correct it, or if it is meant,"
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == f"{path}, line 11: {problem} pass classes=73 (--classes 73)"
    assert load(path, classes=73).classes == 73
    with pytest.raises(DataError, match=r"no row of the first 11 has the label 10: .*=N \(--classes N\) for the N cl"):
        load(path, limit=11)
    assert load(path, limit=10).classes == 10
    every = write(tmp_path / "letters.csv", "".join(f"{label},0\n" for label in range(26)))
    assert load(every).classes == 26
    half, other = (
        write(tmp_path / f"{start}.csv", "".join(f"{v},0\n" for v in range(start, 12, 2))) for start in (0, 1)
    )
    assert load(half, test_data=other).classes == 12  # each label is in one of the two
    assert load(write(tmp_path / "few.csv", "7,0\n3,0\n")).classes == 8
