"""Photos, scans and drawings of digits, read as rows of pixels in MNIST's form.

A file is decoded to grey; `ink.py` finds the strokes, `components.py` the digits, `form.py` scales and places them.
"""

from __future__ import annotations

import functools
import io
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.data.components import Labels, Part, components, digits_of, lines_of, off_the_border
from xpnn.data.cuts import Piece, cut_apart
from xpnn.data.files import check_unpacked, opened
from xpnn.data.form import deskewed, is_in_form, placed
from xpnn.data.ink import FAINTEST, SMALLEST_PHOTO, Grey, separate_ink
from xpnn.data.rules import without_rules
from xpnn.errors import DataError, Path
from xpnn.failures import first_line

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
WORKING_SIZE = (400, 1200)  # pixels of the shorter and the longer side; larger pictures are reduced to it first
MOST_SCANS = 100  # of a JPEG, each of which takes as long as the picture; progressive ones have ten
REDUCE_FIRST = "reduce it first"
MOST_PARTS = 500  # components in a picture of digits; texture and noise have more
MOST_CUT = 30  # digits of a picture in which some may touch; of a page of words each would be cut apart, for seconds


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes (12 or more) is a picture of a kind that can be read."""
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return bitmap or webp or head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"))


class Digit(NamedTuple):
    """A digit that was found in a picture.

    pixels: (height * width,) uint8 in MNIST's form: 0 the background, 255 the strongest stroke.
    box:    (left, top, right, bottom) in pixels of the picture as it is shown; the far sides are not in it.
    line:   which line of digits it is in, from 1 at the top.
    """

    pixels: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    line: int = 1


class Photo(NamedTuple):
    """The digits of a picture in the order of reading, and remarks on what else was seen there."""

    digits: list[Digit]
    remarks: list[str]


Confidence = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


def read_image(path: Path, shape: tuple[int, int] = (28, 28), *, deskew: bool = False) -> NDArray[np.uint8]:
    """Read a picture of one digit in MNIST's form, whatever its size, colours, paper and ink.

    As `read_digits`, but all strokes are taken for one digit. Returns its pixels, (height * width,) uint8.
    """
    ((digit,), _) = _read(path, shape, deskew, _all_in_one, None)
    return digit.pixels


def read_digits(path: Path, shape: tuple[int, int] = (28, 28), *, deskew: bool = False) -> list[Digit]:
    """The digits of `read_photo`, without its remarks; those that touch stay together."""
    return read_photo(path, shape, deskew=deskew).digits


def read_photo(
    path: Path, shape: tuple[int, int] = (28, 28), *, deskew: bool = False, confidence: Confidence | None = None
) -> Photo:
    """Read the digits of a picture in MNIST's form, whatever its size, colours and light.

    They come line by line, each line from left to right.

    Ink may be darker or lighter than its paper. Behind transparent parts the paper is taken as white, or as black if
    nothing shows on white. The strokes are cut out, scaled to fit, and placed by their centre of mass. A margin of a
    seventh of a side is left free at either end, none where the side is shorter than 16 pixels. A picture that has
    this form already comes through unchanged, also with its pixels enlarged to squares, as `xpnn draw --out` writes it.

    Strokes that overlap sideways by more than half, and are near one another, are one digit. What lies along the
    picture's border or far from the digits is passed over, and a remark says so.

    shape:      (height, width) of each result.
    deskew:     slant the digits back upright, see `xpnn.data.form.deskewed`.
    confidence: of each row, (n, height * width) uint8, how sure a net is of its answer, (n,): by it digits that touch
                are cut apart, see `xpnn.data.cuts`; None: they are left as one.

    Raises DataError if the file is no picture, damaged, too large, blank or too untidy, or if Pillow isn't installed.
    """
    return _read(path, shape, deskew, digits_of, confidence)


def _read(
    path: Path,
    shape: tuple[int, int],
    deskew: bool,
    group: Callable[[list[Part]], list[Part]],
    confidence: Confidence | None,
) -> Photo:
    grey, zoom = _read_grey(path)
    own = _each_pixel_once(grey, shape)
    if not deskew and is_in_form(own, shape):
        return Photo([Digit(own.astype(np.uint8).reshape(-1), _box(0, 0, grey.shape, zoom))], [])
    ink, rules = _ink(grey, path)
    labels, parts, passed_over = _marks(ink, path)
    groups = group(parts)
    used = {label for part in groups for label in part.labels}
    passed_over += [part for part in parts if used.isdisjoint(part.labels)]

    def in_form(strokes: NDArray[np.float32]) -> NDArray[np.uint8]:
        return placed(deskewed(strokes) if deskew else strokes, shape).reshape(-1)

    def pieces_of(part: Part) -> list[Piece]:
        area = slice(part.top, part.bottom), slice(part.left, part.right)
        strokes = np.where(np.isin(labels[area], part.labels), ink[area], np.float32(0))
        if confidence is None or len(groups) > MOST_CUT:
            return [Piece(strokes, 0, 0)]
        return cut_apart(strokes, lambda several: confidence(np.stack([in_form(one) for one in several])))

    digits: list[Digit] = []
    cut: list[tuple[int, int]] = []
    for line, members in enumerate(lines_of(groups), 1):
        for part in members:
            pieces = pieces_of(part)
            if len(pieces) > 1:
                cut.append((len(digits) + 1, len(digits) + len(pieces)))
            for strokes, left, top in pieces:
                box = _box(part.left + left, part.top + top, strokes.shape, zoom)
                digits.append(Digit(in_form(strokes), box, line))
    boxes = [_box(part.left, part.top, (part.height, part.width), zoom) for part in passed_over]
    return Photo(digits, _remarks(boxes, cut, rules))


def _ink(grey: Grey, path: Path) -> tuple[Grey, int]:
    """The ink of all strokes, and from how many ruled lines they were told."""
    ink = separate_ink(grey)
    if ink is None:
        raise DataError("the picture is blank: no strokes stand out from the background", path)
    strokes, rules = without_rules(ink) if min(ink.shape) >= SMALLEST_PHOTO else (ink, 0)
    return (strokes, rules) if strokes.any() else (ink, 0)


def _marks(ink: Grey, path: Path) -> tuple[Labels, list[Part], list[Part]]:
    """The ink's components by labels, those that may be strokes, and those at the border that are none."""
    labels, parts = components(ink > 0)
    if len(parts) > MOST_PARTS:
        problem = f"more than {MOST_PARTS} separate marks: crop it to the digits, or write them on plain paper"
        raise DataError(problem, path)
    parts, outside = off_the_border(parts, labels)
    if outside:  # beside the digits alone, less is a speck
        labels, parts = components((ink > 0) & ~np.isin(labels, [label for part in outside for label in part.labels]))
    return labels, parts, outside


def _box(left: int, top: int, shape: tuple[int, ...], zoom: float) -> tuple[int, int, int, int]:
    """In the file's pixels."""
    height, width = shape
    return round(zoom * left), round(zoom * top), round(zoom * (left + width)), round(zoom * (top + height))


def _remarks(passed_over: list[tuple[int, int, int, int]], cut: list[tuple[int, int]], rules: int) -> list[str]:
    remarks = [f"passed over {rules} ruled line{'s' if rules > 1 else ''}"] if rules else []
    if passed_over:
        left, top, right, bottom = max(passed_over, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        where = f"{left} to {right} from the left, {top} to {bottom} from the top"
        what = f"{len(passed_over)} marks, the largest" if len(passed_over) > 1 else "a mark"
        remarks.append(f"passed over {what} at pixels {where}; if it is a digit's, crop the picture to the digits")
    remarks += [
        f"digits {first} to {last} touch, or are one: cut apart, for the model was surer of the parts"
        for first, last in cut
    ]
    return remarks


def _each_pixel_once(grey: Grey, shape: tuple[int, int]) -> Grey:
    """A picture whose pixels were enlarged to squares, as by `xpnn draw --out`, in its own size; others as they are."""
    square = grey.shape[0] // shape[0]
    if square < 2 or grey.shape != (square * shape[0], square * shape[1]):
        return grey
    small = grey[::square, ::square]
    return small if np.array_equal(np.kron(small, np.ones((square, square), dtype=np.float32)), grey) else grey


def _all_in_one(parts: list[Part]) -> list[Part]:
    return [functools.reduce(operator.or_, parts)]


def _read_grey(path: Path) -> tuple[NDArray[np.float32], float]:
    """The brightness, (height, width) from 0 to 255, within WORKING_SIZE; and the file's pixels for each of these."""
    with opened(path) as file:
        content = file.read()
    with opened_picture(content, path) as image:
        longest = max(image.size)
        grey = to_grey(image)
        grey.thumbnail(WORKING_SIZE if grey.height > grey.width else WORKING_SIZE[::-1])
        return np.asarray(grey).astype(np.float32), longest / max(grey.size)


@contextmanager
def opened_picture(content: bytes, path: Path | None = None) -> Iterator[Image.Image]:
    """The picture that a file holds; what goes wrong inside the with block is a DataError that names it.

    Its size is known; its pixels are decoded where they are used.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DataError("reading pictures needs Pillow: pip install pillow", path) from error
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MOST_SCANS:
        raise DataError(f"more than {MOST_SCANS} scans in a JPEG: save it anew", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                size = image.width * image.height * (1 if image.mode in ("1", "L") else 4)  # as Pillow keeps them
                check_unpacked(path or "", size, REDUCE_FIRST, len(content))
                yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(f"not a picture that can be read ({', '.join(FORMATS)})", path) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"too many pixels for a picture of digits: {REDUCE_FIRST}", path) from error
        except Exception as error:  # for damage Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"damaged picture ({first_line(error)})", path) from error


def to_grey(image: Image.Image) -> Image.Image:
    """The brightness, 0 to 255, upright: whole numbers, but of pictures with 16 bits a pixel floats."""
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    image.load()
    if image.has_transparency_data:
        image = _on_paper(image.convert("RGBA"))
    if image.mode == "L":
        return image
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would cut off at 255
        return Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    return image.convert("L") if image.mode == "1" else image.convert("RGB").convert("L")


def _on_paper(image: Image.Image) -> Image.Image:
    """A transparent picture on white; on black if nothing would show on white."""
    from PIL import Image

    papers = (Image.alpha_composite(Image.new("RGBA", image.size, paper), image) for paper in ("white", "black"))
    on_white = next(papers)
    return on_white if np.ptp(np.asarray(on_white.convert("L"))) >= FAINTEST else next(papers)
