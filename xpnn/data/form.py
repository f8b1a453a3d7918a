"""The form of MNIST's digits, and strokes brought to it.

Digits are scaled into 20 x 20 pixels, their proportions kept and with greys at the edges, and placed in 28 x 28 so that
the centre of mass is in the middle (LeCun, Cortes & Burges, "The MNIST database of handwritten digits", 1998).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALL = 16  # pixels; a side that is shorter has no margins, as in the embedded digits
FINER = 4  # pixels a side for each of a short side's: the embedded digits had 32 x 32
STEEPEST = 1.0  # 45 degrees; what leans further is no upright stroke

Strokes = NDArray[np.float32]


def is_in_form(grey: Strokes, shape: tuple[int, int]) -> bool:
    """Whether a picture, (height, width) of 0 to 255, has the size and form of a net's own digits.

    Then its border is black and its strokes fill the room between the margins. Where there are margins, the centre of
    mass is in the middle; rounding may have moved it by half a pixel.
    """
    if grey.shape != shape or np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])) > 0:
        return False
    left_free = []
    for axis, side in enumerate(shape):
        profile = grey.sum(axis=1 - axis)
        if not profile.any():
            return False
        left_free.append(free(side) - np.ptp(np.flatnonzero(profile)) - 1)
        if side >= SMALL and abs(np.average(np.arange(side), weights=profile) - side / 2) > 0.55:
            return False
    return min(left_free) in {0, 1}  # MNIST has a few digits of 19 pixels


def free(side: int) -> int:
    """The room for strokes along a side, both in pixels: what a margin of a seventh leaves at either end."""
    return side - 2 * round(side / 7) if side >= SMALL else side


def deskewed(strokes: Strokes) -> Strokes:
    """The strokes slanted back, so that their axis stands upright, and cropped: (new height, new width) float32.

    The slant is that of the second moments, mu_xy / mu_yy, at most 45 degrees (LeCun, Bottou, Bengio & Haffner,
    "Gradient-based learning applied to document recognition", 1998).
    """
    from PIL import Image

    height, width = strokes.shape
    y, x = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    middle_y, middle_x = np.average(y[:, 0], weights=strokes.sum(axis=1)), np.average(x[0], weights=strokes.sum(axis=0))
    spread = np.sum(strokes * (y - middle_y) ** 2)
    slant = np.sum(strokes * (y - middle_y) * (x - middle_x)) / spread if spread > 0 else 0.0
    slant = float(np.clip(slant, -STEEPEST, STEEPEST))
    room = int(np.ceil(abs(slant) * height))
    size, shear = (width + 2 * room, height), (1, slant, -room - slant * middle_y, 0, 1, 0)
    image = Image.fromarray(strokes).transform(size, Image.Transform.AFFINE, shear, Image.Resampling.BICUBIC)
    upright = np.asarray(image).clip(0)
    rows, columns = (np.flatnonzero(upright.max(axis=axis) > 0.05 * upright.max()) for axis in (1, 0))
    return upright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def placed(strokes: Strokes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The strokes scaled to fit between the margins of `shape`, their centre of mass in the middle: uint8 to 255.

    Where a side is short they are placed on finer pixels, of which squares are then averaged, as the embedded digits'
    are (Alpaydin & Kaynak, "Cascading classifiers", 1998).
    """
    finer = FINER if min(shape) < SMALL else 1
    pixels = np.zeros([finer * side for side in shape], dtype=np.float32)
    scaled = _scaled(strokes, [finer * free(side) for side in shape])
    corner = []
    for axis, extent in enumerate(scaled.shape):
        side = pixels.shape[axis]
        centre = float(np.average(np.arange(extent), weights=scaled.sum(axis=1 - axis)))
        middle = (side - 1) / 2 if shape[axis] < SMALL else side / 2  # MNIST's is half a pixel off
        corner.append(min(max(round(middle - centre), 0), side - extent))
    pixels[corner[0] : corner[0] + scaled.shape[0], corner[1] : corner[1] + scaled.shape[1]] = scaled
    means = pixels.reshape(shape[0], finer, shape[1], finer).mean(axis=(1, 3))
    digit: NDArray[np.uint8] = np.rint(means * (255 / means.max())).astype(np.uint8)
    return digit


def _scaled(strokes: Strokes, room: list[int]) -> Strokes:
    """As large as fits, (height, width)."""
    from PIL import Image

    scale = min(side / extent for side, extent in zip(room, strokes.shape, strict=True))
    height, width = (max(1, round(scale * extent)) for extent in strokes.shape)
    return np.asarray(Image.fromarray(strokes).resize((width, height), Image.Resampling.BICUBIC)).clip(0)
