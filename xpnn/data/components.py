"""Connected components of a picture's ink, and which of them make one digit.

Components are found by runs: the stretches of ink in each row are nodes, and two that touch in neighbouring rows are
joined by union-find (Rosenfeld & Pfaltz, "Sequential operations in digital picture processing", 1966; by runs and
union-find: He, Chao & Suzuki, "A run-based two-scan labeling algorithm", 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SPECK = 0.02  # of the largest component's area: smaller ones are noise
FRAGMENT = 0.4  # of the tallest group's height: lower ones are no digits of their own
APART = 0.3  # of the tallest component's height: digits of two lines are that far apart
AROUND = 0.4  # of the picture's border: what lies along more of it is no stroke
NEAR = 0.2  # of the tallest group's height: how far a fragment may lie from its digit

Labels = NDArray[np.int32]


class Part(NamedTuple):
    """Components that belong together: their labels, and their box in pixels, whose far sides are not in it."""

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    def gap(self, other: Part) -> int:
        """The pixels between the two, sideways or from top to bottom, whichever are more; below 0: boxes overlap."""
        sideways = max(self.left, other.left) - min(self.right, other.right)
        return max(sideways, max(self.top, other.top) - min(self.bottom, other.bottom))

    def __or__(self, other: Part) -> Part:
        """The two as one."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        right, bottom = max(self.right, other.right), max(self.bottom, other.bottom)
        return Part(self.labels + other.labels, left, top, right, bottom)


def components(is_ink: NDArray[np.bool_]) -> tuple[Labels, list[Part]]:
    """The components of the ink, of which pixels that touch by a side or a corner are one.

    is_ink: (height, width).

    Returns the labels, (height, width) int32, 0 for paper and from 1 for ink, and the components without specks, each
    a Part of one label.
    """
    row, start, end = runs(is_ink)
    _, of_run = np.unique(_joined(row, start, end, is_ink.shape[1]), return_inverse=True)
    labels = np.zeros(is_ink.shape, dtype=np.int32)
    labels[is_ink] = np.repeat(of_run + 1, end - start)  # runs and pixels come in one order, row by row
    count = int(of_run.max(initial=-1)) + 1
    box = np.full((4, count), np.iinfo(np.intp).max)
    for side, positions in zip(box, (start, row, -end, -row - 1), strict=True):
        np.minimum.at(side, of_run, positions)
    box[2:] *= -1
    area = np.bincount(of_run, weights=end - start, minlength=count)
    return labels, [
        Part((int(i) + 1,), *box[:, i].tolist()) for i in np.flatnonzero(area > SPECK * area.max(initial=0))
    ]


def runs(is_ink: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The row, first column and last column plus one of each stretch of ink, row by row from the left."""
    steps = np.diff(np.pad(is_ink, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(steps == 1)
    return row, start, np.nonzero(steps == -1)[1]


def _joined(row: NDArray[np.intp], start: NDArray[np.intp], end: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """For each run the number of the first run in its component."""
    stride = width + 2  # so that a run's end in one row lies before any start in the next
    below = (row + 1) * stride
    first = np.searchsorted(row * stride + end, below + start)  # the runs of the next row that it touches: from here
    behind = np.searchsorted(row * stride + start, below + end, side="right")  # to before here
    touching = np.maximum(behind - first, 0)
    above = np.repeat(np.arange(len(row)), touching)
    under = np.arange(len(above)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(first, touching)
    root = np.arange(len(row))
    while (apart := root[above] != root[under]).any():
        ends = root[above[apart]], root[under[apart]]
        np.minimum.at(root, np.maximum(*ends), np.minimum(*ends))
        while (root[root] != root).any():
            root = root[root]
    return root


def off_the_border(parts: list[Part], labels: Labels) -> tuple[list[Part], list[Part]]:
    """The parts that may be strokes, and those at the picture's border that are none.

    None is what lies along most of the border, as the table around a paper does; nor what touches it and is much lower
    than a part that doesn't, as a finger or the rest of a shadow. In a picture that is cropped to its digits all stay.
    """
    height, width = labels.shape
    sides = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    along = np.bincount(sides, minlength=int(labels.max()) + 1) / sides.size
    touching = [part.left == 0 or part.top == 0 or part.right == width or part.bottom == height for part in parts]
    tallest = max((part.height for part, touches in zip(parts, touching, strict=True) if not touches), default=0)
    kept: list[Part] = []
    dropped: list[Part] = []
    for part, touches in zip(parts, touching, strict=True):
        is_around = len(parts) > 1 and along[list(part.labels)].sum() > AROUND
        (dropped if is_around or (touches and part.height < FRAGMENT * tallest) else kept).append(part)
    return kept, dropped


def digits_of(parts: list[Part]) -> list[Part]:
    """The components grouped into digits, from left to right.

    Parts of which one covers more than half of the other's width are one digit, unless they are far apart in height: a
    5 and its bar, a broken stroke. What is then much lower than the tallest digit belongs to the nearest digit if that
    is near, and is noise if not.
    """
    groups: list[Part] = []
    reach = APART * max((part.height for part in parts), default=0)
    for part in sorted(parts, key=lambda part: -part.width):
        groups = _merged(groups, part, reach)
    tallest = max((group.height for group in groups), default=0)
    digits = [group for group in groups if group.height >= FRAGMENT * tallest]
    for fragment in (group for group in groups if group.height < FRAGMENT * tallest):
        nearest = min(range(len(digits)), key=lambda i: digits[i].gap(fragment))
        if digits[nearest].gap(fragment) <= NEAR * tallest:
            digits[nearest] |= fragment
    return sorted(digits, key=lambda digit: digit.left + digit.right)


def lines_of(digits: list[Part]) -> list[list[Part]]:
    """The digits of each line, from left to right, and the lines from top to bottom.

    A digit goes on the line of the nearest one to its left that it is level with, so that lines may rise or fall.
    """
    lines: list[list[Part]] = []
    for digit in sorted(digits, key=lambda digit: digit.left + digit.right):
        before = [line for line in lines if _are_level(line[-1], digit)]
        if before:
            max(before, key=lambda line: line[-1].left + line[-1].right).append(digit)
        else:
            lines.append([digit])
    across = [[(part.left + part.right) / 2 for part in line] for line in lines]
    down = [[(part.top + part.bottom) / 2 for part in line] for line in lines]
    spread = sum(float(np.var(line)) * len(line) for line in across)
    rise = sum(float(np.cov(x, y, bias=True)[0, 1]) * len(x) for x, y in zip(across, down, strict=True))
    slope = rise / spread if spread > 0 else 0.0  # that all lines have in common
    heights = [float(np.mean(y) - slope * np.mean(x)) for x, y in zip(across, down, strict=True)]
    return [line for _, line in sorted(zip(heights, lines, strict=True), key=lambda pair: pair[0])]


def _are_level(one: Part, other: Part) -> bool:
    return min(one.bottom, other.bottom) - max(one.top, other.top) > min(one.height, other.height) / 3


def _merged(groups: list[Part], part: Part, reach: float) -> list[Part]:
    """The groups with one more part, which is joined to all that it belongs to, and these to what they then do."""
    while True:
        near = next((group for group in groups if _belong_together(group, part, reach)), None)
        if near is None:
            return [*groups, part]
        groups = [group for group in groups if group is not near]
        part = near | part


def _belong_together(one: Part, other: Part, reach: float) -> bool:
    overlap = min(one.right, other.right) - max(one.left, other.left)
    return overlap > min(one.width, other.width) / 2 and one.gap(other) < min(max(one.height, other.height) / 2, reach)
