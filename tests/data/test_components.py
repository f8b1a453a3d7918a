"""Connected components agree with SciPy's, and make digits as people see them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from xpnn.data import components as module
from xpnn.data.components import Part, components, digits_of, lines_of, off_the_border


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_components_are_those_of_scipy(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(module, "SPECK", -1)
    rng = np.random.default_rng(0)
    for _ in range(30):
        is_ink = rng.random(rng.integers(1, 40, 2)) < share
        labels, parts = components(is_ink)
        expected, count = ndimage.label(is_ink, np.ones((3, 3)))
        assert len(parts) == count
        same = dict(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
        np.testing.assert_array_equal(np.vectorize(same.get, otypes=[int])(labels), expected)
        assert len(set(same.values())) == len(same)
        boxes = ndimage.find_objects(expected)
        for part in parts:
            rows, columns = boxes[same[part.labels[0]] - 1]
            assert part[1:] == (columns.start, rows.start, columns.stop, rows.stop)


def spiral(turns: int) -> NDArray[np.bool_]:
    """One line that winds inwards, which a scan by rows sees as many components that join late."""
    is_ink = np.zeros((4 * turns + 1,) * 2, dtype=bool)
    y, x, (down, right), length = 0, 0, (0, 1), 4 * turns
    for leg in range(4 * turns - 1):
        for _ in range(length):
            is_ink[y, x] = True
            y, x = y + down, x + right
        down, right = right, -down
        length -= 2 * (leg % 2 == 0 and leg > 0)
    return is_ink


def test_a_spiral_is_one_component() -> None:
    is_ink = spiral(20)
    assert ndimage.label(is_ink, np.ones((3, 3)))[1] == 1
    assert np.count_nonzero(is_ink) > 3000
    _, parts = components(is_ink)
    assert len(parts) == 1


def test_specks_are_no_components() -> None:
    is_ink = np.zeros((40, 40), dtype=bool)
    is_ink[5:25, 5:15] = True  # 200 pixels
    is_ink[30, 30:34] = True  # 4
    is_ink[35, 30:35] = True  # 5
    labels, parts = components(is_ink)
    assert [part[1:] for part in parts] == [(5, 5, 15, 25), (30, 35, 35, 36)]
    assert labels.max() == 3


def part(left: int, top: int, right: int, bottom: int) -> Part:
    return Part((left,), left, top, right, bottom)


@pytest.mark.parametrize(
    ("parts", "digits"),
    [
        ([part(40, 0, 60, 50), part(0, 0, 20, 50)], [(0, 0, 20, 50), (40, 0, 60, 50)]),  # from left to right
        ([part(0, 10, 30, 50), part(8, 0, 40, 6)], [(0, 0, 40, 50)]),  # a 5 and its bar
        ([part(0, 0, 20, 40), part(12, 0, 32, 40)], [(0, 0, 20, 40), (12, 0, 32, 40)]),  # less than half: slanted ones
        ([part(0, 0, 20, 40), part(9, 0, 29, 40)], [(0, 0, 29, 40)]),  # more than half
        ([part(10, 0, 30, 60), part(0, 5, 8, 12), part(1, 50, 7, 58)], [(0, 0, 30, 60)]),  # a broken 3: near fragments
        ([part(0, 0, 30, 60), part(100, 30, 103, 34)], [(0, 0, 30, 60)]),  # far away: a blot
        ([part(0, 0, 30, 60), part(50, 20, 70, 50)], [(0, 0, 30, 60), (50, 20, 70, 50)]),  # a smaller digit
        ([part(0, 0, 4, 9), part(2, 5, 20, 30), part(15, 0, 36, 30)], [(0, 0, 20, 30), (15, 0, 36, 30)]),
        ([], []),
    ],
)
def test_components_make_digits(parts: list[Part], digits: list[tuple[int, ...]]) -> None:
    for order in (parts, parts[::-1]):
        assert [digit[1:] for digit in digits_of(order)] == digits
    found = [label for digit in digits_of(parts) for label in digit.labels]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("boxes", "lines"),
    [
        ([(0, 0, 20, 40), (30, 5, 50, 40), (0, 60, 20, 100), (30, 60, 50, 100)], [[0, 1], [2, 3]]),
        ([(30 * i, 4 * i, 30 * i + 20, 4 * i + 40) for i in range(12)], [[*range(12)]]),  # a line that falls
        ([(900, 126, 920, 166), (0, 60, 20, 100), (30, 64, 50, 104)], [[0], [1, 2]]),  # falling, the upper far right
        ([(0, 0, 20, 40), (30, 25, 45, 40), (60, 2, 80, 40)], [[0, 1, 2]]),  # a small one stands on the line
        ([(0, 0, 20, 40), (5, 50, 25, 90), (10, 100, 30, 140)], [[0], [1], [2]]),
        ([], []),
    ],
)
def test_digits_make_lines(boxes: list[tuple[int, ...]], lines: list[list[int]]) -> None:
    digits = [Part((number,), *box) for number, box in enumerate(boxes)]
    for order in (digits, digits[::-1]):
        assert [[digit.labels[0] for digit in line] for line in lines_of(order)] == lines


def test_marks_at_the_border() -> None:
    is_ink = np.zeros((100, 100), dtype=bool)
    is_ink[30:70, 20:30] = is_ink[30:70, 60:70] = True  # two digits
    is_ink[95:, 40:50] = True  # low, at the border
    is_ink[:60, 90:95] = True  # as high as a digit
    assert boxes_off_the_border(is_ink) == ([(90, 0, 95, 60), (20, 30, 30, 70), (60, 30, 70, 70)], [(40, 95, 50, 100)])
    is_ink[:3] = is_ink[-3:] = is_ink[:, :3] = is_ink[:, -3:] = True  # a frame
    kept, dropped = boxes_off_the_border(is_ink)
    assert (20, 30, 30, 70) in kept
    assert dropped == [(0, 0, 100, 100)]
    cropped = is_ink[30:70, 20:70]
    assert boxes_off_the_border(cropped)[1] == []


def boxes_off_the_border(is_ink: NDArray[np.bool_]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    labels, parts = components(is_ink)
    kept, dropped = off_the_border(parts, labels)
    return [part[1:] for part in kept], [part[1:] for part in dropped]
