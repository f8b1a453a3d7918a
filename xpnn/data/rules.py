"""Ruled and squared paper: its lines are told from strokes, and taken away.

A line is found by the Hough transform of the middles of thin runs of ink (Duda & Hart, "Use of the Hough transformation
to detect lines and curves in pictures", 1972). Its runs are deleted where they are thin; where a stroke crosses it the
run is longer, and stays whole (Dalitz, Droettboom, Pranzas & Fujinaga, "A comparative study of staff removal
algorithms", 2008).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpnn.data.components import runs

THIN = 0.02  # of the shorter side: no rule is thicker
SLOPES = np.tan(np.radians(np.linspace(-8, 8, 65)))
COVERED = 0.6  # of a line's columns without strokes: a rule's ink is in more of them
SPAN = 0.8  # of the picture's width: a rule is longer, if the paper is no smaller
LONG = 1.25  # of the height of all other ink: a lone rule is longer, and no bar of a 7
MOST = 100

Grey = NDArray[np.float32]
Runs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


def without_rules(ink: Grey) -> tuple[Grey, int]:
    """The ink without ruled lines, and how many there were.

    ink: (height, width), 0 for paper. Lines run across the page, at most 8 degrees from level or upright.
    """
    is_level, level = _rules(ink > 0)
    ink = np.where(is_level, np.float32(0), ink)
    if level < 2:  # no squares
        return ink, level
    is_upright, upright = _rules((ink > 0).T)
    return np.where(is_upright.T, np.float32(0), ink), level + upright


def _rules(is_ink: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Which pixels are of nearly level lines, and how many lines there are."""
    height, width = is_ink.shape
    column, start, end = runs(is_ink.T)
    thin = end - start <= THIN * min(height, width)
    is_thick = np.zeros(is_ink.shape, dtype=bool)
    is_thick.T[is_ink.T] = np.repeat(~thin, end - start)  # the runs and pixels come in one order, column by column
    left, x, middle = thin.copy(), column - width / 2, (start + end - 1) / 2
    lines = 0
    while lines < MOST and left.any():
        slope, offset = _likeliest(x[left], middle[left])
        away = np.abs(middle - slope * x - offset)
        of_line = left & (away <= 1.5 + (end - start) / 2)
        if not _is_rule(column[of_line], slope * (np.arange(width) - width / 2) + offset, is_thick):
            break
        left &= ~of_line
        lines += 1
    is_rule = np.zeros(is_ink.shape, dtype=bool)
    is_rule.T[is_ink.T] = np.repeat(thin & ~left, end - start)
    strokes = np.flatnonzero((is_ink & ~is_rule).any(axis=1))
    if lines == 1 and strokes.size and width < LONG * np.ptp(strokes):
        return np.zeros_like(is_rule), 0
    return is_rule, lines


def _likeliest(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    """The slope, and the height at x = 0, of the line that most points lie on, to a pixel."""
    best = 0, 0.0, 0.0
    for slope in SLOPES.tolist():
        offset = np.rint(y - slope * x).astype(np.intp)
        least = int(offset.min())
        votes = np.convolve(np.bincount(offset - least), (1, 1, 1), mode="same")
        best = max(best, (int(votes.max()), slope, float(least + votes.argmax())))
    return best[1:]


def _is_rule(columns: NDArray[np.intp], line: NDArray[np.floating], is_thick: NDArray[np.bool_]) -> bool:
    """Whether thin ink in these columns makes a rule; `line` is its height in each column of the picture."""
    row = np.rint(line).astype(np.intp)
    inside = np.flatnonzero((row >= 0) & (row < len(is_thick)))
    free = inside[~is_thick[row[inside], inside]]
    if free.size < len(line) / 2:
        return False
    covered = np.flatnonzero(np.isin(free, columns))
    if covered.size < 2 or np.ptp(covered) < SPAN * free.size:
        return False
    return bool(covered.size > COVERED * np.ptp(covered))
