"""Pictures of one digit, brought to the form of MNIST's: light strokes on black, of one size, in the middle.

MNIST's authors scaled their digits into 20 x 20 pixels, keeping the proportions and with greys at the edges, and
placed them in 28 x 28 so that the centre of mass is in the middle; the same is done here.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import opened
from xpnn.errors import DataError, Path

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
WORKING_SIDE = 512  # pixels; larger pictures are reduced to it first
SMALLEST_PHOTO = 64  # pixels of the shorter side; a smaller picture is a drawing, on paper of one brightness
FAINTEST = 24  # grey levels of 255 by which ink must differ from paper
FEWEST = 4  # pixels of ink, below which it is noise


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes (12 or more) is a picture of a kind that can be read."""
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return bitmap or webp or head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"))


def read_image(path: Path, shape: tuple[int, int] = (28, 28)) -> NDArray[np.uint8]:
    """Read a picture of one digit in MNIST's form, whatever its size, colours, paper and ink.

    Paper is what the border shows; ink may be darker or lighter. Transparent parts are taken as white.
    The strokes are cut out, scaled to fit, and placed by their centre of mass. A margin of a seventh of a side
    is left free at either end, none where the side is shorter than 16 pixels.

    shape: (height, width) of the result.

    Returns (height * width,) uint8: 0 the background, 255 the strongest stroke.
    Raises DataError if the file is no picture, damaged, too large or blank, or if Pillow isn't installed.
    """
    ink = _remove_paper(_read_grey(path))
    if ink is None:
        raise DataError("the picture is blank: no strokes stand out from the background", path)
    return _place(_crop(ink), shape).reshape(-1)


def _read_grey(path: Path) -> NDArray[np.float32]:
    """The picture's brightness, (height, width) from 0 to 255, no side longer than WORKING_SIDE."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise DataError("reading pictures needs Pillow: pip install pillow", path) from error
    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as image:
                return _to_grey(ImageOps.exif_transpose(image))
        except UnidentifiedImageError as error:
            raise DataError(f"not a picture that can be read ({', '.join(FORMATS)})", path) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError("too many pixels for a picture of one digit: reduce it first", path) from error
        except Exception as error:  # for damage Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"damaged picture ({error})", path) from error


def _to_grey(image: Image.Image) -> NDArray[np.float32]:
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would cut off at 255
        image = Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    else:
        image = image.convert("RGB").convert("L")
    image.thumbnail((WORKING_SIDE, WORKING_SIDE))
    return np.asarray(image).astype(np.float32)


def _remove_paper(grey: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """By how much each pixel of ink differs from the paper; 0 for paper, None if all is paper."""
    border = np.ones(grey.shape, dtype=bool)
    edge = max(1, min(grey.shape) // 20)
    border[edge:-edge, edge:-edge] = False
    difference = grey - _paper(grey, border)
    if np.sum(difference**3) < 0:  # the cube lets the few pixels of ink outvote the many of the paper
        difference = -difference
    if difference.max() < FAINTEST:
        return None
    # The paper's own spread (standard deviation) is taken on the side where no ink is. Four spreads leave 3 pixels
    # of 100,000 of its noise; a third of the way to the ink keeps the strokes' soft edges.
    spread = 1.4826 * np.median(-difference[border & (difference <= 0)])
    is_ink = difference > max(4 * spread, _otsu(difference.clip(0)) / 3)
    if np.count_nonzero(is_ink) < max(FEWEST, 2e-4 * grey.size) or difference[is_ink].mean() < FAINTEST:
        return None
    return np.where(is_ink, difference, np.float32(0))


def _paper(grey: NDArray[np.float32], border: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The paper's brightness under every pixel, (height, width), from the pixels of the border.

    In a photo it is a quadratic surface, which follows a shadow or a lamp on one side. Least absolute errors, found
    as least squares that are weighted anew ten times, make it pass by strokes that reach the border.
    """
    height, width = grey.shape
    if min(height, width) < SMALLEST_PHOTO:
        return np.full_like(grey, np.median(grey[border]))
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    terms = np.stack([np.broadcast_to(term, grey.shape) for term in (np.ones(()), y, x, y * y, x * y, x * x)], axis=-1)
    weights = np.ones(np.count_nonzero(border))
    for _ in range(10):
        scales = np.sqrt(weights)
        surface = np.linalg.lstsq(terms[border] * scales[:, None], grey[border] * scales, rcond=None)[0]
        weights = 1 / (1 + np.abs(grey[border] - terms[border] @ surface))
    return (terms @ surface).astype(np.float32)


def _otsu(values: NDArray[np.float32]) -> float:
    """Otsu's threshold, which parts the values into two groups as unlike as can be; the values must differ."""
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[1:] + edges[:-1]) / 2
    below, sum_below = np.cumsum(counts)[:-1], np.cumsum(counts * middles)[:-1]
    total, mean = counts.sum(), np.average(middles, weights=counts)
    between = (mean * below - sum_below) ** 2 / (below * (total - below))
    return float(middles[np.argmax(between)])


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part that holds the strokes: half a percent of the ink may be left out on each side, as dust."""

    def extent(profile: NDArray[np.float32]) -> slice:
        share = np.cumsum(profile) / profile.sum()
        return slice(int(np.searchsorted(share, 0.005)), int(np.searchsorted(share, 0.995)) + 1)

    return ink[extent(ink.sum(axis=1)), extent(ink.sum(axis=0))]


def _place(ink: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale the strokes to fit within the margins of `shape` and put their centre of mass in the middle."""
    from PIL import Image

    free = [side - 2 * round(side / 7) if side >= 16 else side for side in shape]
    scale = min(free[0] / ink.shape[0], free[1] / ink.shape[1])
    height, width = (max(1, round(scale * side)) for side in ink.shape)
    scaled = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    corner = []
    for axis, side in enumerate(scaled.shape):
        centre = float(np.average(np.arange(side), weights=scaled.sum(axis=1 - axis)))
        middle = (shape[axis] - 1) / 2 if shape[axis] < 16 else shape[axis] / 2  # MNIST's is half a pixel off
        corner.append(min(max(round(middle - centre), 0), shape[axis] - side))
    placed = np.zeros(shape, dtype=np.uint8)
    placed[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = np.rint(scaled * (255 / scaled.max()))
    return placed
