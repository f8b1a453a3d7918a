"""Pictures of digits on a terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import to_host
from xpnn.network import MLP
from xpnn.plots import draw_digit
from xpnn.samples import Samples

SEARCHED = 10_000  # rows, for one that the net gets wrong
ACROSS = 4  # pictures side by side, where there is room
GAP = "   "
TO_ASCII = str.maketrans("░▒▓█▄▀", ".:*#.'")


def printable(picture: str) -> str:
    """The picture in characters that stdout can show."""
    try:
        picture.encode(getattr(sys.stdout, "encoding", None) or "ascii")  # a closed stdout is None
    except UnicodeEncodeError:
        return picture.translate(TO_ASCII)
    return picture


def width_of(text: str) -> int:
    """How many columns of a terminal the text takes: Chinese and Japanese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "FW" else 1 for character in text)


def aligned_right(text: str, width: int) -> str:
    """The text with spaces before it, to fill so many columns."""
    return " " * (width - width_of(text)) + text


def predictions_picture(net: MLP, samples: Samples, shape: tuple[int, int] | None, count: int = 4) -> str:
    """The first rows side by side, each under what the net takes it for; the last is one that it gets wrong, if any.

    An empty text where the rows are no pictures.
    """
    if shape is None or samples.targets is None or samples.inputs.dtype != np.uint8:
        return ""
    inputs, targets = samples.inputs[:SEARCHED], samples.targets[:SEARCHED]
    predicted = to_host(net.predict(inputs))
    wrong = np.flatnonzero(predicted != targets)
    rows = [*range(min(count, len(samples)))]
    if wrong.size and wrong[0] >= len(rows):
        rows[-1] = int(wrong[0])
    titles = []
    for row in rows:
        said, true = net.labels[predicted[row]], net.labels[targets[row]]
        titles.append(f"{said}" if said == true else f"{said}, but it is {true}")
    return titled_pictures(titles, np.asarray(inputs[rows]), shape)


def titled_pictures(titles: Sequence[str], rows: NDArray[Any], shape: tuple[int, int]) -> str:
    """The rows, (n, height * width), as pictures in strips, each under its title."""
    return strips([[title, *draw_digit(row, shape).splitlines()] for title, row in zip(titles, rows, strict=True)])


def strips(columns: list[list[str]]) -> str:
    """Texts, each a list of as many lines as the others: ACROSS beside each other, or as many as fit the terminal."""
    across = ACROSS
    if sys.stdout is not None and sys.stdout.isatty():
        width = max(width_of(line) for column in columns for line in column)
        across = max(1, min(ACROSS, (shutil.get_terminal_size().columns + len(GAP)) // (width + len(GAP))))
    return printable("\n".join(_side_by_side(columns[i : i + across]) for i in range(0, len(columns), across)))


def _side_by_side(columns: list[list[str]]) -> str:
    widths = [max(map(width_of, column)) for column in columns]
    lines: Any = zip(*columns, strict=True)
    return "\n".join(
        GAP.join(part + " " * (w - width_of(part)) for part, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
