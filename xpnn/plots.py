"""Pictures of digits: as text for a terminal, and as PNG files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHADES = " ░▒▓█"
HALVES = " ▄▀█"  # lower and upper half of a character cell: neither, lower, upper, both


def draw_digit(pixels: Any, shape: tuple[int, int] | None = None) -> str:
    """A picture as lines of text, bright pixels full.

    pixels: (height * width,) uint8, or floats; those of a picture within 0-1 count as shares of 255.
    shape:  (height, width), None for a square.
    Small pictures get two characters a pixel in five shades, larger ones two pixels a character in black and white.
    Raises ValueError if the pixels don't fill the shape.
    """
    image = _as_image(pixels, shape)
    if image.shape[1] <= 16:
        shades = image.astype(int) * len(SHADES) // 256
        return "\n".join("".join(2 * SHADES[shade] for shade in row) for row in shades)
    bright = np.pad(image > 96, ((0, image.shape[0] % 2), (0, 0)))
    cells = 2 * bright[0::2] + bright[1::2]
    return "\n".join("".join(HALVES[cell] for cell in row) for row in cells)


def digit_png(pixels: Any, shape: tuple[int, int] | None = None, height: int = 280) -> bytes:
    """The picture as the bytes of a PNG file, each pixel enlarged to a square; about `height` pixels high.

    Needs Pillow. Raises ValueError if the pixels don't fill the shape.
    """
    from PIL import Image

    image = _as_image(pixels, shape)
    zoom = max(1, height // image.shape[0])
    file = io.BytesIO()
    Image.fromarray(np.kron(image, np.ones((zoom, zoom), dtype=np.uint8))).save(file, "PNG")
    return file.getvalue()


def _as_image(pixels: Any, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
    values = np.asarray(pixels)
    if shape is None:
        shape = (math.isqrt(values.size),) * 2
    if shape[0] * shape[1] != values.size:
        raise ValueError(f"{values.size} pixels don't fill {shape[0]} x {shape[1]}; pass shape=(height, width)")
    if values.dtype.kind == "f" and values.size and 0 <= values.min() and values.max() <= 1:
        values = np.rint(values * 255)
    return values.clip(0, 255).reshape(shape).astype(np.uint8)
