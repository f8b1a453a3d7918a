"""Reading IDX files with the labels beside them, and refusing damaged ones."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from xpnn import load
from xpnn.data.idx import find_labels, read_idx
from xpnn.errors import DataError
from xpnn.stored import StoredRows

IMAGES = struct.pack(">IIII", 0x803, 2, 2, 3) + bytes(range(12))
LABELS = struct.pack(">II", 0x801, 2) + bytes([7, 1])


def write(folder: Path, images: bytes = IMAGES, labels: bytes = LABELS) -> Path:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(images)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    return path


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("images", "labels.gz"),
    ],
)
def test_labels_are_found_by_name(tmp_path: Path, images: str, labels: str) -> None:
    for name, content in ((images, IMAGES), (labels, LABELS)):
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    samples, image_shape = read_idx(tmp_path / images)
    assert samples.targets is not None
    assert image_shape == (2, 3)
    assert samples.inputs.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert samples.targets.tolist() == [7, 1]
    assert samples.inputs.dtype == np.uint8
    assert samples.targets.dtype == np.int64


def test_a_folder_named_images_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = write(tmp_path / "images")
    assert find_labels(path) == str(tmp_path / "images" / "train-labels-idx1-ubyte")


def test_limit_and_labelled(tmp_path: Path) -> None:
    path = write(tmp_path)
    samples, _ = read_idx(path, limit=1)
    assert samples.targets is not None
    assert samples.inputs.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert samples.targets.tolist() == [7]
    assert len(read_idx(path, limit=5)[0]) == 2
    with pytest.raises(ValueError, match="limit must be at least 1, not -1"):
        read_idx(path, limit=-1)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert read_idx(path, labelled=False)[0].targets is None


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (b"", r"not an IDX file: begins with 0x\?, expected 0x00000803"),
        (b"\x89PNG", "not an IDX file: begins with 0x89504e47, expected 0x00000803"),
        (b"\x00\x00\x07\x03" + IMAGES[4:], "not an IDX file: begins with 0x00000703"),
        (b"\x00\x00\x0d\x03" + IMAGES[4:], "holds elements of type float32, only uint8 can be read"),
        (b"\x00\x00\x0c\x03" + IMAGES[4:], "holds elements of type int32"),
        (LABELS, "this is a labels file .magic 0x00000801.: give the images file, its labels are found by name"),
        (b"\x00\x00\x08\x04" + IMAGES[4:], "this is a file of 4 dimensions, expected an images file"),
        (IMAGES[:10], "cut short: the header ends after 10 of 16 bytes"),
        (IMAGES[:-1], "cut short: 11 bytes follow the header, which promises 2 x 2 x 3 = 12: fetch it again"),
        (IMAGES[:16], "cut short: 0 bytes follow"),
        (IMAGES + b"\0", "more bytes follow than the 2 x 2 x 3 = 12 that the header promises"),
        (struct.pack(">IIII", 0x803, 0, 28, 28), "holds 0 images of 28 x 28 pixels: there is nothing to read"),
        (struct.pack(">IIII", 0x803, 9, 0, 28), "holds 9 images of 0 x 28 pixels"),
        (gzip.compress(IMAGES, mtime=0)[:-9], "damaged gzip file"),
    ],
)
def test_refused_images(tmp_path: Path, images: bytes, problem: str) -> None:
    path = write(tmp_path, images=images)
    with pytest.raises(DataError, match=problem) as caught:
        read_idx(path)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (IMAGES, "this is an images file .magic 0x00000803., expected a labels file .magic 0x00000801."),
        (LABELS[:-1], "cut short: 1 bytes follow the header, which promises 2 = 2"),
        (LABELS + b"\0", "more bytes follow than the 2 = 2"),
        (struct.pack(">II", 0x801, 3) + bytes(3), "holds 3 labels for 2 images: they don't belong together"),
    ],
)
def test_refused_labels(tmp_path: Path, labels: bytes, problem: str) -> None:
    path = write(tmp_path, labels=labels)
    with pytest.raises(DataError, match=problem) as caught:
        read_idx(path)
    assert caught.value.path == str(tmp_path / "train-labels-idx1-ubyte")


def test_missing_labels(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(IMAGES))
    looked_for = "looked for train-labels-idx1-ubyte.gz and train-labels-idx1-ubyte"
    with pytest.raises(DataError, match=f"no labels file beside it: {looked_for}"):
        read_idx(path)
    path = path.rename(tmp_path / "digits")
    with pytest.raises(DataError, match="the name must hold 'images'"):
        read_idx(path)


def test_a_lying_header_allocates_no_more_than_the_file_holds(tmp_path: Path) -> None:
    path = write(tmp_path, images=struct.pack(">IIII", 0x803, *[2**32 - 1] * 3) + bytes(1000))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="cut short: 1000 bytes follow"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.memory.SHARE", 0.0)


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("limit", [None, 1, 5])
def test_images_that_are_too_large_stay_in_the_file(tmp_path: Path, limit: int | None) -> None:
    path = write(tmp_path)
    samples, shape = read_idx(path, limit=limit, may_stay=True)
    expected, _ = read_idx(path, limit=limit)
    assert isinstance(samples.inputs, StoredRows)
    assert isinstance(expected.inputs, np.ndarray)
    assert shape == (2, 3)
    np.testing.assert_array_equal(np.asarray(samples.inputs), expected.inputs)
    np.testing.assert_array_equal(np.array(samples.targets), np.array(expected.targets))


@pytest.mark.usefixtures("no_room")
def test_a_packed_file_is_read_into_memory(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(gzip.compress(IMAGES))
    assert isinstance(read_idx(path, may_stay=True)[0].inputs, np.ndarray)


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("content", [IMAGES[:-1], IMAGES[:10], IMAGES + b"\0", IMAGES[:16]])
def test_a_file_of_another_size_than_its_header_says_is_told_in_the_same_words(tmp_path: Path, content: bytes) -> None:
    words = []
    for may_stay in (False, True):
        with pytest.raises(DataError) as caught:
            read_idx(write(tmp_path, content), may_stay=may_stay)
        words.append(str(caught.value))
    assert words[0] == words[1]


@pytest.mark.usefixtures("no_room")
def test_a_folder_may_stay_in_its_files_and_a_named_set_may_not(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{name}-ubyte").write_bytes((tmp_path / f"train-{name}-ubyte").read_bytes())
    data = load(tmp_path, classes=8)
    assert isinstance(data.train.inputs, StoredRows)
    assert data.test is not None
    assert isinstance(data.test.inputs, StoredRows)
    assert isinstance(load("digits").train.inputs, np.ndarray)
