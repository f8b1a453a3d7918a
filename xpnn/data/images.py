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

from xpnn.data.components import Part, components, digits_of
from xpnn.data.files import check_unpacked, opened
from xpnn.data.form import deskewed, is_in_form, placed
from xpnn.data.ink import FAINTEST, separate_ink
from xpnn.errors import DataError, Path
from xpnn.failures import first_line

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
WORKING_SIZE = (400, 1200)  # pixels of the shorter and the longer side; larger pictures are reduced to it first
MOST_SCANS = 100  # of a JPEG, each of which takes as long as the picture; progressive ones have ten
REDUCE_FIRST = "reduce it first"
MOST_PARTS = 500  # components in a picture of digits; texture and noise have more


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes (12 or more) is a picture of a kind that can be read."""
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return bitmap or webp or head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"))


class Digit(NamedTuple):
    """A digit that was found in a picture.

    pixels: (height * width,) uint8 in MNIST's form: 0 the background, 255 the strongest stroke.
    box:    (left, top, right, bottom) in pixels of the picture as it is shown; the far sides are not in it.
    """

    pixels: NDArray[np.uint8]
    box: tuple[int, int, int, int]


def read_image(path: Path, shape: tuple[int, int] = (28, 28), *, deskew: bool = False) -> NDArray[np.uint8]:
    """Read a picture of one digit in MNIST's form, whatever its size, colours, paper and ink.

    As `read_digits`, but all strokes are taken for one digit. Returns its pixels, (height * width,) uint8.
    """
    (digit,) = _read(path, shape, deskew, _all_in_one)
    return digit.pixels


def read_digits(path: Path, shape: tuple[int, int] = (28, 28), *, deskew: bool = False) -> list[Digit]:
    """Read the digits of a line, from left to right, in MNIST's form, whatever the picture's size, colours and light.

    Ink may be darker or lighter than its paper. Behind transparent parts the paper is taken as white, or as black if
    nothing shows on white. The strokes are cut out, scaled to fit, and placed by their centre of mass. A margin of a
    seventh of a side is left free at either end, none where the side is shorter than 16 pixels. A picture that has
    this form already comes through unchanged.

    Digits must not touch one another; strokes that overlap sideways by more than half are one digit.

    shape:  (height, width) of each result.
    deskew: slant the digits back upright, see `xpnn.data.form.deskewed`.

    Raises DataError if the file is no picture, damaged, too large, blank or too untidy, or if Pillow isn't installed.
    """
    return _read(path, shape, deskew, digits_of)


def _read(path: Path, shape: tuple[int, int], deskew: bool, group: Callable[[list[Part]], list[Part]]) -> list[Digit]:
    grey, zoom = _read_grey(path)
    if not deskew and is_in_form(grey, shape):
        return [Digit(grey.astype(np.uint8).reshape(-1), (0, 0, shape[1], shape[0]))]
    ink = separate_ink(grey)
    if ink is None:
        raise DataError("the picture is blank: no strokes stand out from the background", path)
    labels, parts = components(ink > 0)
    if len(parts) > MOST_PARTS:
        problem = f"more than {MOST_PARTS} separate marks: crop it to the digits, or write them on plain paper"
        raise DataError(problem, path)
    found = []
    for part in group(parts):
        left, top, right, bottom = (round(zoom * side) for side in (part.left, part.top, part.right, part.bottom))
        cut = slice(part.top, part.bottom), slice(part.left, part.right)
        strokes = np.where(np.isin(labels[cut], part.labels), ink[cut], np.float32(0))
        pixels = placed(deskewed(strokes) if deskew else strokes, shape).reshape(-1)
        found.append(Digit(pixels, (left, top, right, bottom)))
    return found


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
