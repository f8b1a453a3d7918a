"""Folders of pictures by class, and ZIP files of them: Pillow writes them, and what it reads is what must come back."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xpnn.data import folders, load, pictures, read_samples
from xpnn.data.images import to_grey
from xpnn.errors import DataError

Pack = Callable[[Path], Path]


def picture(level: int = 7, size: tuple[int, int] = (3, 2)) -> NDArray[np.uint8]:
    """(height, width) pixels that tell which picture it is."""
    return np.arange(level, level + size[0] * size[1], dtype=np.uint8).reshape(size)


def put(path: Path, pixels: NDArray[Any] | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if pixels is None else pixels).save(path, **options)
    return path


def as_folder(root: Path) -> Path:
    return root


def as_zip(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", root))


def as_zip_with_a_folder_around(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", root.parent, root.name))


@pytest.fixture(params=[as_folder, as_zip, as_zip_with_a_folder_around])
def pack(request: pytest.FixtureRequest) -> Pack:
    made: Pack = request.param
    return made


# -- what is read ------------------------------------------------------------------------------------------------------


def test_classes_are_the_folders_in_natural_order(tmp_path: Path, pack: Pack) -> None:
    root = tmp_path / "data"
    for level, name in enumerate(["10/a.png", "9/a.bmp", "9/b.PNG", "cat/1.gif", "10/b.png", "10/c.png"]):
        put(root / name, picture(level))
    data = load(pack(root))
    assert (data.labels, data.classes, data.image_shape, data.test) == (("9", "10", "cat"), 3, (3, 2), None)
    assert data.train.targets is not None
    assert data.train.inputs.dtype == np.uint8
    # The first picture of each class, then the second ones: the first rows are of all classes.
    assert data.train.targets.tolist() == [0, 1, 2, 0, 1, 1]
    assert data.train.inputs[:, 0].tolist() == [1, 0, 3, 2, 4, 5]
    np.testing.assert_array_equal(data.train.inputs[1].reshape(3, 2), picture(0))
    assert load(pack(root), limit=2).train.targets.tolist() == [0, 1]  # type: ignore[union-attr]
    assert load(pack(root), limit=2).labels == ("9", "10", "cat")
    assert read_samples(pack(root), labelled=False).targets is None


@pytest.mark.parametrize("names", [("train", "test", "val"), ("Training", "testing", "validation")])
def test_parts(tmp_path: Path, pack: Pack, names: tuple[str, ...]) -> None:
    root, (train, test, validation) = tmp_path / "data", names
    put(root / train / "a" / "1.png", picture(1))
    put(root / train / "b" / "1.png", picture(2))
    put(root / validation / "a" / "1.png", picture(3))
    data = load(pack(root))
    assert data.test is not None  # without a test folder
    assert (data.test.inputs[:, 0].tolist(), len(data.train)) == ([3], 2)
    put(root / test / "b" / "1.png", picture(4))
    data = load(pack(root))
    assert data.test is not None
    assert data.test.targets is not None
    assert (data.test.inputs[:, 0].tolist(), data.test.targets.tolist()) == ([4], [1])
    assert read_samples(pack(root)).inputs[:, 0].tolist() == [4]
    assert read_samples(root / validation, labels=data.labels).inputs[:, 0].tolist() == [3]


@pytest.mark.parametrize("name", ["test", "val"])
def test_one_part_alone_is_what_there_is(tmp_path: Path, pack: Pack, name: str) -> None:
    """Such a folder is given to test a net on, and not to learn from."""
    for level, label in enumerate(("a", "b")):
        put(tmp_path / "data" / name / label / "1.png", picture(level))
    samples = read_samples(pack(tmp_path / "data"), labels=("b", "a"))
    assert samples.targets is not None
    assert samples.targets.tolist() == [1, 0]
    np.testing.assert_array_equal(samples.inputs, [picture(0).reshape(-1), picture(1).reshape(-1)])
    role = {"val": "validation"}.get(name, name)
    with pytest.raises(
        DataError, match=rf"there is no training part, only one that is called {role}: give the {role} "
    ):
        load(pack(tmp_path / "data"))
    assert len(load(tmp_path / "data" / name).train) == 2


def test_colours_become_grey_and_grey_stays_as_it_is(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    put(tmp_path / "a" / "grey.png", levels)
    put(tmp_path / "a" / "rgb.png", np.repeat(levels[..., None], 3, axis=2))
    put(tmp_path / "a" / "rgba.png", np.dstack([levels, levels, levels, np.full_like(levels, 255)]))
    put(tmp_path / "a" / "x16.png", levels.astype(np.uint16) * 257)
    put(tmp_path / "b" / "colours.png", colours)
    put(tmp_path / "b" / "photo.jpg", colours)
    put(tmp_path / "b" / "two levels.png", levels > 99)
    data = load(tmp_path)
    rows = {0: [], 1: []}  # type: dict[int, list[Any]]
    for row, label in zip(data.train.inputs, data.train.targets, strict=True):  # type: ignore[arg-type]
        rows[int(label)].append(row.reshape(16, 16))
    for found in rows[0]:
        np.testing.assert_array_equal(found, levels)
    np.testing.assert_array_equal(rows[1][0], np.asarray(Image.fromarray(colours).convert("L")))
    with Image.open(tmp_path / "b" / "photo.jpg") as photo:
        np.testing.assert_array_equal(rows[1][1], np.asarray(photo.convert("L")))
    np.testing.assert_array_equal(rows[1][2], np.where(levels > 99, 255, 0))


def test_a_camera_held_upright_and_transparent_paper(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter
    put(tmp_path / "a" / "1.png", picture(), exif=exif)
    ink = np.zeros((2, 3, 2), dtype=np.uint8)
    ink[0, 0] = 0, 255  # black on nothing
    put(tmp_path / "b" / "1.png", ink)
    rows = load(tmp_path).train.inputs
    np.testing.assert_array_equal(rows[0].reshape(2, 3), np.rot90(picture(), -1))
    assert rows[1].tolist() == [0, 255, 255, 255, 255, 255]


def test_what_is_hidden_or_no_picture_is_passed_over(tmp_path: Path, pack: Pack) -> None:
    root = tmp_path / "data"
    for name in ("a/1.png", "b/1.png", "a/.2.png", ".cache/c/1.png", "__MACOSX/a/1.png"):
        put(root / name)
    for name in ("README.md", "a/Thumbs.db", "a/notes.csv"):
        (root / name).write_bytes(b"no picture")
    (root / "empty").mkdir()
    data = load(pack(root))
    assert (data.labels, len(data.train)) == (("a", "b"), 2)


def test_names_in_a_zip_made_on_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in ("a\\1.png", "./b/1.png", "b/"):
            archive.writestr(name, put(tmp_path / "p.png").read_bytes() if name[-1] != "/" else b"")
    assert load(tmp_path / "data.zip").labels == ("a", "b")


def test_test_rows_find_their_classes_by_name(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "train/c", "other/b", "other/c"):
        put(tmp_path / name / "1.png")
    data = load(tmp_path / "train", test_data=tmp_path / "other")
    assert data.test is not None
    assert data.test.targets is not None
    assert data.test.targets.tolist() == [1, 2]
    assert read_samples(tmp_path / "other", labels=data.labels).targets.tolist() == [1, 2]  # type: ignore[union-attr]
    put(tmp_path / "other" / "d" / "1.png")
    with pytest.raises(DataError, match=r"other: the label 'd', in row 2, .*, is none of the classes 'a', 'b', 'c': "):
        load(tmp_path / "train", test_data=tmp_path / "other")
    with pytest.raises(DataError, match=r"other: the label 'b', in row 0, .*, is none of the classes '0', '1'"):
        read_samples(tmp_path / "other", labels=("0", "1"))


def test_pictures_without_classes_can_be_asked_about(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        put(tmp_path / f"{number}.png", picture(number))
    assert read_samples(tmp_path, labelled=False).inputs[:, 0].tolist() == [2, 9, 10]
    with pytest.raises(
        DataError, match=r"png: the picture lies in no class's folder: move it to CLASS, or away; a fol"
    ):
        load(tmp_path)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_another_size(tmp_path: Path, pack: Pack) -> None:
    root = tmp_path / "data"
    put(root / "a" / "1.png")
    for pixels, size in ((picture(size=(2, 3)), "2 x 3"), (picture(size=(4, 4)), "4 x 4")):
        put(root / "b" / "2.png", pixels)
        with pytest.raises(
            DataError, match=rf"b/2.png: the picture has {size} pixels .*, but the first one 3 x 2: bring"
        ):
            load(pack(root))


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "no picture": ({"a/1.png": b"nothing of the kind"}, "a/1.png: not a picture that can be read"),
    "empty": ({"a/1.jpg": b""}, "a/1.jpg: not a picture that can be read"),
    "damaged": ({"a/1.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}, "a/1.png: "),
    "tiff": ({"a/1.tif": b"II*\0"}, "a/1.tif: pictures of this kind (.tif) are not read: convert them to PNG"),
    "too deep": ({"a/b/c/1.png": b"", "d/1.png": b""}, "a/b/c/1.png: it lies too deep: move it to CLASS, or away"),
    "beside the parts": ({"train/a/1.png": b"", "b/1.png": b""}, "b/1.png: the picture lies in no class's folder"),
    "test without classes": ({"train/a/1.png": b"", "test/1.png": b""}, "test/1.png: the picture lies in no class's"),
    "no pictures": ({"a/notes.txt": b""}, ""),
}


@pytest.mark.parametrize(("files", "problem"), BAD.values(), ids=BAD)
def test_refused(tmp_path: Path, pack: Pack, files: dict[str, bytes], problem: str) -> None:
    root = tmp_path / "data"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    path = pack(root)
    with pytest.raises(DataError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert problem in text.replace(os.sep, "/")
    assert "\n" not in text


def test_progress_is_told_of_each_part(tmp_path: Path, pack: Pack) -> None:
    for part, count in (("train", 5), ("test", 3)):
        for number in range(count):
            put(tmp_path / "data" / part / "ab"[number % 2] / f"{number}.png", picture(number))
    told: list[tuple[int, int]] = []
    load(pack(tmp_path / "data"), progress=lambda read, of: told.append((read, of)))
    assert told == [(2, 5), (3, 5), (4, 5), (5, 5), (2, 3), (3, 3)]


def test_a_class_of_the_test_that_training_lacks(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/c"):
        put(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"1\.png: no training picture is of the class 'c'; the classes are 'a', 'b'"):
        load(tmp_path)


def test_too_large_pictures_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a" / "1.png", np.zeros((2048, 2049), dtype=np.uint8))
    with pytest.raises(DataError, match=r"1\.png: 2048 x 2049 pixels, more than the 4,194,304 that a row may have"):
        load(tmp_path)
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "1.png", np.zeros((2000, 2000), dtype=np.uint8))
    kept = to_grey
    monkeypatch.setattr(
        pictures, "to_grey", lambda image: kept(image) if image.size == (2, 3) else pytest.fail("decoded")
    )
    with pytest.raises(DataError, match="the picture has 2000 x 2000 pixels"):
        load(tmp_path)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "1.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match="it lies too deep"):
        load(tmp_path)


# -- ZIP files ---------------------------------------------------------------------------------------------------------


def write_zip(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "PNG")
    return file.getvalue()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_BYTES", 1 << 20)
    bomb = b"\0" * (1 << 23)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(bomb)
    with pytest.raises(DataError, match=r"a.1\.png: more than 1 MiB, too large for a picture: take it out"):
        load(tmp_path)
    path = write_zip(tmp_path / "b.zip", {"a/1.png": bomb, "b/1.png": png()}, compression=zipfile.ZIP_DEFLATED)
    with monkeypatch.context() as patched:
        patched.setattr(folders, "read_up_to", lambda *_: pytest.fail("its size is known before it is read"))
        with pytest.raises(DataError, match=r"b\.zip/a/1\.png: more than 1 MiB, too large for a picture: take it out"):
            load(path)
    content = path.read_bytes()
    for place in (22, content.index(b"PK\x01\x02") + 24):  # the size unpacked, in both of its places: a lie
        content = content[:place] + struct.pack("<I", 1000) + content[place + 4 :]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"b\.zip/a/1\.png: damaged ZIP file \(Bad CRC-32"):
        load(path)


def test_encrypted_and_damaged_zips(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", {"a/1.png": png(), "b/1.png": png()})
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.zip/a/1\.png: it is encrypted"):
        load(path)
    content[place + 8] &= 0xFE
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.zip/a/1\.png: damaged ZIP file \(.*\): fetch it again"):
        load(path)
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"data\.zip: damaged ZIP file \(.*\): fetch it again"):
        load(path)


def test_nothing_is_written_whatever_the_names_in_a_zip_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    path = write_zip(tmp_path / "data.zip", {"../a/1.png": png(), "/b/1.png": png(), "c/d/../1.png": png()})
    with pytest.raises(DataError):
        load(path)
    assert os.listdir() == []
    assert os.listdir("..") == ["inside", "data.zip"] or sorted(os.listdir("..")) == ["data.zip", "inside"]


def test_a_zip_of_other_files(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", {"train.csv": b"0,1", "test.csv": b"0,1"})
    with pytest.raises(
        DataError, match=r"data\.zip: this ZIP file holds no pictures, but 'train.csv', 'test.csv': unp"
    ):
        load(path)
    with pytest.raises(DataError, match=r"empty\.zip: there are no pictures \(\.png, "):
        load(write_zip(tmp_path / "empty.zip", {}))


def test_npz_files_stay_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.zip.npz", x=np.zeros((2, 4)), y=np.array([0, 1]))
    (tmp_path / "data.zip.npz").rename(tmp_path / "data.zip")
    assert load(tmp_path / "data.zip").train.inputs.shape == (2, 4)
