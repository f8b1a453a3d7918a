"""Cuts between digits that touch: the least ink of all paths, and the surest of all chains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xpnn.data.cuts import STEP, _surest, cut_apart, least_ink


@pytest.mark.parametrize("seed", range(20))
def test_no_path_crosses_less_ink(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strokes = rng.integers(0, 2, (5, 6)).astype(np.float32)  # so that many paths cross as much
    middle, reach = rng.uniform(1, 5), 2.0
    within = [x for x in range(7) if abs(x - middle) <= reach]
    ink = np.pad(strokes, ((0, 0), (1, 1)), mode="edge")

    def cost(path: tuple[int, ...]) -> float:
        steps = np.abs(np.diff(path))
        crossed = sum(ink[row, x] + ink[row, x + 1] for row, x in enumerate(path))
        return float(crossed + STEP * np.count_nonzero(steps)) if steps.max() <= 1 else np.inf

    found = tuple(least_ink(strokes, middle, reach).tolist())
    assert set(found) <= set(within)
    assert cost(found) == pytest.approx(min(map(cost, itertools.product(within, repeat=5))), abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_the_chain_is_the_surest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    sure = {(i, j): float(rng.random()) for i in range(count) for j in range(i + 1, count + 1) if rng.random() < 0.7}
    chains = []
    for size in range(count):
        for inner in itertools.combinations(range(1, count), size):
            ends = [0, *inner, count]
            chains.append((min(sure.get(pair, 0.0) for pair in itertools.pairwise(ends)), ends))
    best = max(least for least, _ in chains)
    found = _surest(sure, count)
    if best > 0:
        assert (best, found) in chains
    else:
        assert found == [0, count]


def test_of_equally_sure_chains_the_shorter_is_taken() -> None:
    assert _surest({(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}, 2) == [0, 2]
    assert _surest(dict.fromkeys([(0, 1), (1, 2), (2, 4), (0, 3), (3, 4)], 1.0), 4) == [0, 3, 4]


@pytest.mark.parametrize("shape", [(100, 90), (9, 20), (20, 121)])
def test_narrow_low_and_long_strokes_are_not_looked_at(shape: tuple[int, int]) -> None:
    strokes = np.ones(shape, dtype=np.float32)
    (piece,) = cut_apart(strokes, lambda several: pytest.fail("asked"))
    assert piece.strokes is strokes


def test_a_line_that_rises_slowly_is_left_whole() -> None:
    strokes = np.zeros((60, 300), dtype=np.float32)
    for step in range(10):
        strokes[6 * step : 6 * step + 6, 30 * step : 30 * step + 30] = 1
    (piece,) = cut_apart(strokes, lambda several: pytest.fail("asked"))
    assert piece.strokes is strokes


def test_pieces_are_where_they_were() -> None:
    strokes = np.zeros((50, 80), dtype=np.float32)
    strokes[:, :20] = strokes[10:, 60:] = 1
    strokes[20:22, 20:60] = 0.5
    pieces = cut_apart(strokes, lambda several: np.array([1 - one.shape[1] / 100 for one in several]))
    assert len(pieces) > 1
    again = np.zeros_like(strokes)
    for found, left, top in pieces:
        again[top : top + found.shape[0], left : left + found.shape[1]] += found
    np.testing.assert_array_equal(again, strokes)
