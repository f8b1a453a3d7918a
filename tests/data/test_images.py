"""Pictures brought to MNIST's form: whatever paper, ink, size and mode, the same digit comes out."""

import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

import xpnn.data
from xpnn.data.form import is_in_form
from xpnn.data.images import is_image, read_digits, read_image
from xpnn.errors import DataError
from xpnn.plots import digit_png

STROKES = [(0.3, 0.3), (0.4, 0.2), (0.6, 0.2), (0.65, 0.35), (0.3, 0.8), (0.7, 0.8)]  # a 2


def draw(size: int = 280, paper: int = 255, ink: int = 0) -> Image.Image:
    image = Image.new("L", (size, size), paper)
    points = [(x * size, y * size) for x, y in STROKES]
    ImageDraw.Draw(image).line(points, fill=ink, width=size // 12, joint="curve")
    return image


def light(image: Image.Image, noise: float = 5) -> Image.Image:
    """As a lamp from the left and a cheap camera would show it."""
    grey = np.asarray(image) * np.linspace(1, 0.5, image.width)
    noisy = grey + np.random.default_rng(0).normal(0, noise, grey.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def read(folder: Path, image: Image.Image, **options: object) -> NDArray[np.uint8]:
    path = folder / "digit.png"
    image.save(path, format="PNG" if image.mode != "CMYK" else "JPEG", **options)
    return read_image(path)


def distance(digit: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean difference in grey levels where the two lie best: the centre of mass may be rounded either way."""
    picture = digit.reshape(28, 28).astype(float)
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return float(min(np.abs(np.roll(picture, move, (0, 1)) - other.reshape(28, 28)).mean() for move in moves))


def test_the_form_is_that_of_mnist(tmp_path: Path) -> None:
    digit = read(tmp_path, draw())
    assert digit.shape == (784,)
    assert digit.dtype == np.uint8
    assert digit.max() == 255
    picture = digit.reshape(28, 28).astype(float)
    assert np.count_nonzero(picture) < 784 / 3
    assert np.count_nonzero((picture > 0) & (picture < 255)) > 20  # antialiased
    rows, columns = np.nonzero(picture)
    assert np.ptp(rows) + 1 == 20  # the longer side
    assert np.ptp(columns) + 1 in (11, 12, 13)  # its proportion kept
    assert np.average(np.arange(28), weights=picture.sum(axis=1)) == pytest.approx(14, abs=0.5)
    assert np.average(np.arange(28), weights=picture.sum(axis=0)) == pytest.approx(14, abs=0.5)


def rotated_by_exif() -> tuple[Image.Image, dict[str, object]]:
    exif = Image.Exif()
    exif[0x0112] = 8  # shown turned by 90 degrees anticlockwise
    return draw().transpose(Image.Transpose.ROTATE_270), {"exif": exif}


def transparent() -> Image.Image:
    image = Image.new("RGBA", (280, 280), (0, 0, 0, 0))
    image.paste((0, 0, 10, 255), mask=ImageOps.invert(draw()))
    return image


def sixteen_bits(low: int, high: int) -> Image.Image:
    return Image.fromarray((low + np.asarray(draw()) / 255 * (high - low)).astype(np.uint16))


@pytest.mark.parametrize(
    ("image", "tolerance"),
    [
        (ImageOps.invert(draw()), 1),
        (draw(paper=180, ink=60), 1),
        (draw(paper=40, ink=200), 1),
        (draw(size=2800), 4),
        (draw(size=1400).convert("RGB"), 4),
        (ImageOps.expand(draw(), 500, fill=255), 8),
        (draw(size=56), 12),
        (light(draw()), 4),
        (light(draw(paper=40, ink=230)), 4),
        (light(draw(size=1500), noise=15), 6),
        (draw().convert("1"), 2),
        (draw().convert("P"), 1),
        (draw().convert("LA"), 1),
        (draw().convert("RGB").quantize(4), 1),
        (draw().convert("CMYK"), 2),
        (transparent(), 1),
        (transparent().convert("LA"), 1),
        (transparent().quantize(8), 1),
        (sixteen_bits(0, 65535), 1),
        (sixteen_bits(20_000, 50_000), 1),
        (sixteen_bits(50_000, 20_000), 1),
    ],
)
def test_paper_ink_size_and_mode_make_no_difference(tmp_path: Path, image: Image.Image, tolerance: float) -> None:
    assert distance(read(tmp_path, image), read(tmp_path, draw())) < tolerance  # between a 2 and a 7 it is over 20


def test_orientation_and_transparency_given_apart(tmp_path: Path) -> None:
    expected = read(tmp_path, draw())
    image, options = rotated_by_exif()
    assert distance(read(tmp_path, image, **options), expected) < 1
    assert distance(read(tmp_path, draw(paper=0, ink=10), transparency=0), expected) < 1


def test_grey_paper_and_its_noise_are_removed(tmp_path: Path) -> None:
    noisy = light(draw(paper=190, ink=60), noise=8)
    clean = read(tmp_path, draw()).reshape(28, 28)
    picture = read(tmp_path, noisy).reshape(28, 28)
    near_strokes = np.zeros((30, 30), dtype=bool)
    for row, column in np.argwhere(clean > 0):
        near_strokes[row : row + 3, column : column + 3] = True
    assert picture[~near_strokes[1:-1, 1:-1]].max() == 0


@pytest.mark.parametrize(("shape", "extent"), [((8, 8), 8), ((15, 15), 15), ((16, 16), 12), ((56, 28), 20)])
def test_other_shapes(tmp_path: Path, shape: tuple[int, int], extent: int) -> None:
    draw().crop((80, 50, 200, 240)).rotate(90, expand=True, fillcolor=255).save(tmp_path / "wide.png")
    picture = read_image(tmp_path / "wide.png", shape).reshape(shape)
    columns = np.flatnonzero(picture.any(axis=0))
    assert np.ptp(columns) + 1 == extent
    assert picture.max() == 255


@pytest.mark.mnist
@pytest.mark.parametrize("paper", ["black", "photo"])
def test_mnist_digits_come_out_as_they_were(tmp_path: Path, paper: str) -> None:
    data = xpnn.data.load("mnist", limit=1)
    assert data.test is not None
    distances, moved = [], 0
    for digit in data.test.inputs[:50]:
        image = Image.fromarray(digit.reshape(28, 28))
        if paper == "photo":
            big = image.resize((280, 280), Image.Resampling.BICUBIC)
            image = light(ImageOps.invert(big).point(lambda level: 60 + level * 0.6))
        read_again = read(tmp_path, image)
        distances.append(distance(read_again, digit))
        moved += np.abs(read_again.astype(float) - digit).mean() > distances[-1]
    if paper == "black":  # the lamp moves the centre of mass
        assert moved < 10
    assert np.mean(distances) < (2 if paper == "black" else 8)
    assert max(distances) < (5 if paper == "black" else 20)  # two digits' own distance is about 30


def test_digits_that_xpnn_drew_come_through_unchanged(tmp_path: Path) -> None:
    test = xpnn.load("digits").test
    assert test is not None
    path, unchanged = tmp_path / "drawn.png", 0
    for digit in test.inputs[:100]:
        path.write_bytes(digit_png(digit))
        if not is_in_form(digit.reshape(8, 8).astype(np.float32), (8, 8)):  # strokes that don't fill the picture
            continue
        (found,) = read_digits(path, (8, 8))
        np.testing.assert_array_equal(found.pixels, digit)
        assert found.box == (0, 0, 280, 280)
        unchanged += 1
    assert unchanged > 90

    square = np.asarray(Image.open(path)).copy()
    square[1, 1] = 255  # a spot within a square: these are no enlarged pixels
    Image.fromarray(square).save(path)
    assert not np.array_equal(read_image(path, (8, 8)), test.inputs[99])


def noise(spread: float) -> Image.Image:
    grey = np.random.default_rng(0).normal(180, spread, (200, 200))
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (28, 28), 255),
        Image.new("L", (28, 28), 0),
        Image.new("RGBA", (28, 28), (0, 0, 0, 0)),
        Image.new("L", (1, 1), 0),
        Image.new("L", (1, 300), 0),
        light(Image.new("L", (300, 300), 220)),
        noise(2),
        noise(20),
    ],
)
def test_blank_pictures_are_refused(tmp_path: Path, image: Image.Image) -> None:
    with pytest.raises(DataError, match=r"digit.png: the picture is blank: no strokes stand out from the background"):
        read(tmp_path, image)


def encoded(image: Image.Image, kind: str) -> bytes:
    image.save(content := io.BytesIO(), kind)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a picture that can be read"),
        (b"5,0,0\n", "not a picture that can be read .PNG, JPEG, BMP, GIF, WEBP."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture that can be read"),
        (encoded(draw(), "PNG")[:400], "damaged picture"),
        (encoded(draw(), "JPEG")[:400], "damaged picture"),
        (encoded(draw(), "BMP")[:400], "damaged picture"),
        (encoded(draw(), "PNG").replace(b"\0\0\1\x18\0\0\1\x18", b"\0\0\0\0\0\0\0\0"), "picture"),
        (encoded(draw(), "BMP").replace(b"\x18\1\0\0\x18\1\0\0", b"\0\0\0\0\0\0\0\0"), "picture"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        read_image(path)
    assert caught.value.path == path


@pytest.mark.parametrize("limit", [50_000, 10_000])  # Pillow warns of the first, and refuses the second itself
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="too many pixels for a picture of digits: reduce it first"):
        read(tmp_path, draw())


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.png: no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(DataError, match="this is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_damage_anywhere_is_a_data_error(tmp_path: Path, kind: str) -> None:
    content = encoded(draw(size=60), kind)
    assert is_image(content[:12])
    rng = random.Random(0)  # noqa: S311 (no secret)
    for _ in range(150):
        damaged = bytearray(content[: rng.choice([len(content), rng.randrange(1, len(content))])])
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "digit").write_bytes(damaged)
        try:
            assert read_image(tmp_path / "digit").shape == (784,)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 (most damage is refused, some goes unnoticed)


def test_only_pictures_are_taken_for_pictures() -> None:
    for head in (
        b"",
        b"label,1x1,1x2",
        b"BMI,1x1,1x2,1x3",
        b"\0\0\x08\x03\0\0\0\0\0\0\0\0",
        b"PK\x03\x04",
        b"RIFF1234WAVE",
    ):
        assert not is_image(head)


def test_pillow_is_imported_only_for_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "import sys, xpnn.data; sys.exit('PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
    draw().save(tmp_path / "digit.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="reading pictures needs Pillow: pip install pillow"):
        read_image(tmp_path / "digit.png")
