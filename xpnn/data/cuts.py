"""Digits that touch, cut apart where a net says that their parts look more like digits than the whole.

Many cuts are tried, each the path from top to bottom that crosses the least ink in its part of the width (Wang & Jean,
"Segmentation of merged characters by neural networks and shortest path", 1994). The pieces between any two cuts are
shown to the net, and the chain of pieces is taken whose least confident one is the most confident (heuristic
over-segmentation: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# All in units of the strokes' height.
NARROW = 0.9  # narrower strokes are one digit: 3 of 4 digits are
LONGEST = 6.0  # longer strokes are no digits, and would take long
WIDEST = 1.6  # no digit is wider
SPACING = 0.1  # between the middles of the cuts' ways
SIDEWAYS = 0.1  # a cut leaves its middle by no more
LOWEST = 0.6  # no piece is lower
FEWEST_ROWS, ROWS = 10, 100  # pixels: lower strokes tell too little, higher ones are reduced
STEP = 0.01  # of a pixel's ink: what a step sideways costs

Strokes = NDArray[np.float32]


class Piece(NamedTuple):
    """A digit's strokes, (height, width), without paper around, and where in the whole they begin."""

    strokes: Strokes
    left: int
    top: int


def cut_apart(strokes: Strokes, confidence: Callable[[list[Strokes]], NDArray[np.floating]]) -> list[Piece]:
    """The digits that the strokes are, from left to right.

    strokes:    (height, width) float32, 0 for paper, without paper around.
    confidence: of each of several strokes, (their height, their width) float32, how sure it is that they are a digit.
                They are cut only if each piece is surer to be one than the whole.
    """
    height, width = strokes.shape
    if height < FEWEST_ROWS or not NARROW * height < width <= LONGEST * height:
        return [Piece(strokes, 0, 0)]
    small = _reduced(strokes)
    count = round(width / height / SPACING)
    middles = np.arange(1, count) * (small.shape[1] / count)
    ends = np.zeros(len(small), dtype=np.intp), np.full(len(small), small.shape[1])
    paths = [ends[0], *(least_ink(small, middle, SIDEWAYS * len(small)) for middle in middles), ends[1]]
    spans = [(i, j) for i in range(count) for j in range(i + 1, count + 1) if (j - i) * SPACING <= WIDEST]
    pieces = {(i, j): _piece(small, paths[i], paths[j]) for i, j in spans}
    whole = {
        span: piece.strokes for span, piece in pieces.items() if piece and len(piece.strokes) > LOWEST * len(small)
    }
    if not whole:  # a line that rises across the page, perhaps
        return [Piece(strokes, 0, 0)]
    sure = confidence([*whole.values()]).tolist()
    chain = _surest(dict(zip(whole, sure, strict=True)), count)
    rows = np.linspace(0, len(small) - 1, height)
    cuts = [np.interp(rows, np.arange(len(small)), paths[end]) * (width / small.shape[1]) for end in chain]
    found = [_piece(strokes, left, right) for left, right in itertools.pairwise(cuts)]
    return [piece for piece in found if piece]


def least_ink(strokes: Strokes, middle: float, reach: float) -> NDArray[np.intp]:
    """The path from top to bottom that crosses the least ink: for each row, how many columns are to its left.

    It goes within `reach` columns of the middle, at most one sideways a row.
    """
    height, width = strokes.shape
    x = np.arange(width + 1)
    ink = np.pad(strokes, ((0, 0), (1, 1)), mode="edge")
    total = np.where(np.abs(x - middle) <= reach, ink[:, 1:] + ink[:, :-1], np.float32(np.inf))
    for row in range(1, height):
        before, best = total[row - 1] + STEP, total[row - 1].copy()
        np.minimum(best[1:], before[:-1], out=best[1:])
        np.minimum(best[:-1], before[1:], out=best[:-1])
        total[row] += best
    path = np.empty(height, dtype=np.intp)
    cost = total[-1] + 1e-4 * np.abs(x - middle)  # of equal ones that near the middle
    for row in range(height - 1, -1, -1):
        path[row] = np.argmin(cost)
        cost = np.where(np.abs(x - path[row]) <= 1, total[row - 1] + STEP * (x != path[row]), np.float32(np.inf))
    return path


def _surest(sure: dict[tuple[int, int], float], count: int) -> list[int]:
    """The ends of the chain of pieces from 0 to `count` whose least confidence is the greatest; the shorter of two."""
    best: list[tuple[float, list[int]]] = [(np.inf, [0])]
    for last in range(1, count + 1):
        chains = [
            (min(best[first][0], sure[first, last]), [*best[first][1], last])
            for first in range(last)
            if (first, last) in sure and best[first][1]
        ]
        best.append(max(chains, key=lambda chain: (chain[0], -len(chain[1])), default=(0.0, [])))
    return best[count][1] or [0, count]


def _reduced(strokes: Strokes) -> Strokes:
    """At most ROWS high."""
    from PIL import Image

    height, width = strokes.shape
    size = max(1, round(width * min(1, ROWS / height))), min(height, ROWS)
    return np.asarray(Image.fromarray(strokes).resize(size, Image.Resampling.BOX))


def _piece(strokes: Strokes, left: NDArray[np.number], right: NDArray[np.number]) -> Piece | None:
    """What is between two paths; None if it is paper."""
    x = np.arange(strokes.shape[1])
    piece = np.where((x >= left[:, None]) & (x < right[:, None]), strokes, np.float32(0))
    rows, columns = (np.flatnonzero(piece.max(axis=axis) > 0) for axis in (1, 0))
    if not rows.size:
        return None
    return Piece(piece[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(columns[0]), int(rows[0]))
