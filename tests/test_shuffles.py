"""The shuffles: permutations, the same on every device, and as random as their use asks for."""

from __future__ import annotations

import itertools
import math
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import lowbias32
from numpy.typing import NDArray
from scipy.special import chdtrc

from xpnn import to_host
from xpnn.noise import keys
from xpnn.shuffles import BLOCKS, IN_WINDOWS, MOST_ROWS, STREAM, block_shuffled, shuffled

SIZES = [*range(1, 301), 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 60_000, 65_535, 65_536, 65_537]


@cache
def orders(n: int, count: int) -> NDArray[np.int64]:
    """(count, n): the first orders of a seed."""
    return np.array([shuffled(np, n, 7, epoch) for epoch in range(count)])


def chance(counts: NDArray[Any], expected: NDArray[Any] | float) -> float:
    """The probability of counts as uneven as these or more, by the chi-square test."""
    return float(chdtrc(counts.size - 1, ((counts - expected) ** 2 / expected).sum()))


def inversions(order: NDArray[np.int64]) -> int:
    """How many pairs stand in falling order."""
    return int(np.count_nonzero(np.triu(order[:, None] > order)))


def by_definition(n: int, seed: int, epoch: int) -> list[int]:
    """The order in Python's whole numbers, a number at a time, the halves as numbers of their own."""
    bits = max(6, math.ceil(math.log2(n)))
    half = (bits + 1) // 2
    drawn: list[int] = keys(seed, STREAM, 11 * epoch, 11).tolist()
    rotation, *of_rounds = drawn

    def network(number: int) -> int:
        high, low = divmod((number + rotation) % (1 << bits), 1 << half)
        for of_even, of_odd in zip(of_rounds[::2], of_rounds[1::2], strict=True):
            high ^= lowbias32(low ^ of_even) % (1 << bits) >> half
            low ^= lowbias32(high << half ^ of_odd) % (1 << half)
        return high << half | low

    return [word for word in map(network, range(1 << bits)) if word < n]


@pytest.mark.parametrize("n", [1, 2, 3, 63, 64, 65, 129, 1000])
def test_the_words_below_n_stay_in_the_order_that_the_network_gives(xp: ModuleType, n: int) -> None:
    assert shuffled(xp, n, 2**40 + 5, 3).tolist() == by_definition(n, 2**40 + 5, 3)


def test_an_order_has_each_number_once() -> None:
    for n in SIZES:
        order = shuffled(np, n, 1, n)
        assert (order.dtype, order.shape) == ("int64", (n,))
        np.testing.assert_array_equal(np.bincount(order, minlength=n), 1)


def test_devices_give_the_same_bits(xp: ModuleType) -> None:
    for n in (*range(1, 40), 1023, 1024, 1025, 60_000):
        order = shuffled(xp, n, 3, 2)
        assert order.dtype == "int64"
        np.testing.assert_array_equal(to_host(order), shuffled(np, n, 3, 2))


def test_seeds_epochs_and_sizes_give_other_orders() -> None:
    cases = itertools.product([0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**70], [0, 1, 2, 3, 1000])
    found = {shuffled(np, 100, seed, epoch).tobytes() for seed, epoch in cases}
    assert len(found) == 7 * 5
    assert shuffled(np, 101, 0, 0)[:100].tobytes() not in found


@pytest.mark.parametrize("n", [-1, 0, MOST_ROWS + 1])
def test_too_few_and_too_many_rows_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 1073741824 rows can be shuffled, not {n}"):
        shuffled(np, n, 0, 0)


@pytest.mark.parametrize(("n", "count"), [(2, 400), (3, 600), (4, 1200), (5, 3600)])
def test_all_orders_of_few_rows_come_equally_often(n: int, count: int) -> None:
    _, counts = np.unique(orders(n, count), axis=0, return_counts=True)
    assert len(counts) == math.factorial(n)
    assert chance(counts, count / len(counts)) > 1e-4


@pytest.mark.parametrize("n", [63, 64])
def test_half_of_the_orders_are_even(n: int) -> None:
    """At a power of two the network without its rotation would give even orders only."""
    odd = sum(inversions(order) % 2 for order in orders(n, 1500))
    assert abs(odd - 750) < 4 * math.sqrt(1500 / 4)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_squares_of_rows_stay_squares_no_more_often_than_by_chance(n: int) -> None:
    """The most telling of these tests: three of four numbers whose exclusive or is 0 give the fourth, one of n - 3."""
    drawn, kept, squares = orders(n, 2000), np.zeros(2000), 0
    for a, b in itertools.combinations([1 << bit for bit in range(n.bit_length() - 1)], 2):
        row = np.array([row for row in range(n) if not row & (a | b)])
        four = drawn[:, row] ^ drawn[:, row ^ a] ^ drawn[:, row ^ b] ^ drawn[:, row ^ a ^ b]
        kept, squares = kept + np.count_nonzero(four == 0, axis=1), squares + len(row)
    assert abs(kept.mean() - squares / (n - 3)) < 4 * kept.std() / math.sqrt(len(kept))


@pytest.mark.parametrize("row", [0, 1, 31, 32, 500, 999])
def test_a_row_lands_everywhere_equally_often(row: int) -> None:
    drawn = orders(1000, 2000)
    for places in (drawn[:, row], np.argmax(drawn == row, axis=1)):
        assert chance(np.bincount(places // 20, minlength=50), len(drawn) / 50) > 1e-4


def test_fixed_points_have_the_mean_and_the_variance_of_a_poisson_distribution() -> None:
    drawn = orders(1000, 2000)
    fixed = (drawn == np.arange(1000)).sum(axis=1)
    assert abs(fixed.mean() - 1) < 4 * math.sqrt(1 / len(drawn))
    assert abs(fixed.var() - 1) < 4 * math.sqrt(3 / len(drawn))  # its fourth central moment is 4


@pytest.mark.parametrize("apart", [1, 2, 32, 500])
@pytest.mark.parametrize("step", [1, -1, 2, -2, 32, -32, 500, -500])
def test_neighbours_stay_neighbours_no_more_often_than_by_chance(apart: int, step: int) -> None:
    drawn, n = orders(1000, 2000), 1000
    together = (drawn[:, apart:] - drawn[:, :-apart] == step).sum(axis=1)
    expected = (n - apart) * (n - abs(step)) / (n * (n - 1))
    assert abs(together.mean() - expected) < 4 * math.sqrt(expected / len(drawn))


def test_the_number_of_inversions_is_normal_with_the_known_mean_and_variance() -> None:
    n, drawn = 200, orders(200, 1000)
    mean, variance = n * (n - 1) / 4, n * (n - 1) * (2 * n + 5) / 72
    z = (np.array([inversions(order) for order in drawn]) - mean) / math.sqrt(variance)
    assert abs(z.mean()) < 4 / math.sqrt(len(z))
    assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / len(z))
    for limit in (1, 2):
        share = math.erfc(limit / math.sqrt(2))
        assert abs((abs(z) > limit).mean() - share) < 4 * math.sqrt(share / len(z))


def test_an_epochs_rows_are_not_those_of_the_next_in_another_place() -> None:
    """Orders of epochs that follow each other are as strange to each other as to the plain order."""
    drawn = orders(1000, 2000)
    common = (drawn[1:] == drawn[:-1]).sum(axis=1)
    assert abs(common.mean() - 1) < 4 * math.sqrt(1 / len(common))
    assert abs(common.var() - 1) < 4 * math.sqrt(3 / len(common))


def test_keys_meet_those_of_no_layer() -> None:
    shuffles = keys(5, STREAM, 0, 11 * 100)
    for stream in range(50):
        assert len(np.intersect1d(shuffles, keys(5, stream, 0, 1000))) < 3


@pytest.mark.parametrize(("n", "block", "window"), [(1, 1, 1), (10, 4, 2), (1000, 7, 5), (1000, 1000, 1), (64, 8, 3)])
def test_blocks_are_read_in_random_order_and_rows_are_shuffled_within_a_window(
    xp: ModuleType, n: int, block: int, window: int
) -> None:
    order, blocks = (to_host(part) for part in block_shuffled(xp, n, block, window, 5, 3))
    count = math.ceil(n / block)
    assert blocks.tolist() == shuffled(np, count, 5, 3, BLOCKS).tolist()
    windows, place = math.ceil(count / window), 0
    for number in range(windows):
        of_window = blocks[number * window : (number + 1) * window]
        rows = [row for first in of_window for row in range(first * block, min((first + 1) * block, n))]
        within = shuffled(np, len(rows), 5, 3 * windows + number, IN_WINDOWS)
        assert order[place : place + len(rows)].tolist() == [rows[place] for place in within]
        place += len(rows)
    assert sorted(order) == [*range(n)]


def test_without_a_seed_blocks_and_rows_are_in_the_order_given(xp: ModuleType) -> None:
    order, blocks = block_shuffled(xp, 10, 4, 2, None, 3)
    assert (to_host(order).tolist(), to_host(blocks).tolist()) == ([*range(10)], [0, 1, 2])


def test_each_row_is_at_each_place_of_a_block_shuffle_as_often() -> None:
    n, block, window, epochs = 24, 3, 2, 4000
    found = np.array([block_shuffled(np, n, block, window, 7, epoch)[0] for epoch in range(epochs)])
    counts = np.array([np.bincount(column, minlength=n) for column in found.T])
    assert chance(counts, epochs / n) > 1e-3
