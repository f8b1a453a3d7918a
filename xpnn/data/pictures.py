"""Pictures that are rows of a data set: their pixels stay as they are, and are not looked through for digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpnn.data.images import opened_picture, to_grey
from xpnn.errors import DataError, Path

MOST_PIXELS = 1 << 22  # of a row: a net of more inputs is no use
MOST_BYTES = 1 << 26  # of a picture's file


def decoded(content: bytes, path: Path | None = None, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """The brightness of a picture, (height, width) uint8, in the file's own values; a colour's is its luminance.

    content: the bytes of a PNG, JPEG, BMP, GIF or WebP file.
    path:    what an error names.
    shape:   (height, width) that it must have, that of the first picture; None: any, up to MOST_PIXELS.

    Behind transparent parts the paper is white, or black if nothing shows on white.
    Raises DataError if it is no picture, damaged, too large or of another size.
    """
    with opened_picture(content, path) as image:
        if image.width * image.height > MOST_PIXELS:
            problem = f"{image.height} x {image.width} pixels, more than the {MOST_PIXELS:,} that a row may have"
            raise DataError(f"{problem}: make the pictures smaller", path)
        if shape is None or image.width * image.height == shape[0] * shape[1]:  # else it need not be decoded
            pixels = np.asarray(to_grey(image))
            if shape is None or pixels.shape == shape:
                return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)
        found, first = f"{image.height} x {image.width}", f"{shape[0]} x {shape[1]}"
        problem = f"the picture has {found} pixels (height x width), but the first one {first}"
        remedy = f"bring all to one size, for instance with ImageMagick's mogrify -resize '{shape[1]}x{shape[0]}!'"
        raise DataError(f"{problem}: {remedy}, on a copy, for it writes over the files", path)
