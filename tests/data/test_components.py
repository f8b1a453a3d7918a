"""Connected components agree with SciPy's, and make digits as people see them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from xpnn.data import components as module
from xpnn.data.components import Part, components, digits_of


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
