"""USPS as it is published: text in LIBSVM's format, a label of 1 to 10 and then index:value for each pixel.

Labels stand for the digits 0 to 9, values go from -1 (paper) to 1 (ink): the page of LIBSVM's data sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import check_limit, shown
from xpnn.data.lines import read_lines
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

IMAGE_SHAPE = (16, 16)
PIXELS = 256
MOST_ROWS = 9298  # of USPS, training and test rows together


def read_usps(path: Path, *, limit: int | None = None) -> Samples:
    """Read a file of USPS, packed with bzip2 or not: inputs (n, 256) uint8, targets (n,) int64 from 0 to 9.

    limit: read the first rows only, as many as this.

    A pixel that a line leaves out is 0, LIBSVM's rule. Raises DataError for any other or damaged file; ValueError if
    `limit` is less than 1.
    """
    check_limit(limit)
    pixels = bytearray()
    labels: list[int] = []
    for number, line in read_lines(path):
        label, *pairs = line.split(maxsplit=PIXELS + 1)
        if len(pairs) > PIXELS or len(labels) == MOST_ROWS:
            problem = f"more than the {MOST_ROWS:,} rows of {PIXELS} pixels that USPS has: this is another file"
            raise DataError(problem, path, line=number)
        if label not in map(str, range(1, 11)):
            raise DataError(f"begins with {shown(label)}, expected a label of 1 to 10", path, line=number)
        labels.append(int(label) - 1)
        pixels += np.rint((_pixels(pairs, path, number) + 1) * 127.5).astype(np.uint8).tobytes()
        if len(labels) == limit:
            break
    if not labels:
        raise DataError("holds no rows", path)
    return Samples(np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS), np.array(labels, dtype=np.int64))


def _pixels(pairs: list[str], path: Path, line: int) -> NDArray[np.float64]:
    pixels = np.zeros(PIXELS)
    if pairs:
        try:
            indices, texts = zip(*[pair.split(":") for pair in pairs], strict=True)
            columns, values = np.array(list(map(int, indices))), np.array(list(map(float, texts)))
            fits = (columns >= 1) & (columns <= PIXELS) & (np.abs(values) <= 1)  # nan does not
        except ValueError:
            fits = np.array([_is_pixel(pair) for pair in pairs])
        if not fits.all():
            wrong = shown(pairs[int(np.argmin(fits))])
            problem = f"{wrong} is no pixel: expected index:value, the index of 1 to {PIXELS}, the value of -1 to 1"
            raise DataError(problem, path, line=line)
        pixels[columns - 1] = values
    return pixels


def _is_pixel(pair: str) -> bool:
    index, _, text = pair.partition(":")
    try:
        return 1 <= int(index) <= PIXELS and abs(float(text)) <= 1
    except ValueError:
        return False
