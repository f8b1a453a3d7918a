"""The counter-based random numbers: the same on every device and from any step on, uniform, and independent."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import lowbias32
from numpy.typing import NDArray

from xpnn import to_host
from xpnn.noise import Mask, Normal, draw_words, keys, places


def words(xp: ModuleType, count: int, key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    where = places(xp, count)
    out = xp.empty_like(where)
    draw_words(where, xp.asarray(key), out, xp.empty_like(where))
    host: NDArray[np.uint32] = to_host(out)
    return host


def masks(xp: ModuleType, rate: float, all_keys: NDArray[np.uint32], n: int = 64, units: int = 50) -> NDArray[Any]:
    """(keys, n, units), True where a unit is kept."""
    mask = Mask(xp, n, units, rate, "float32")
    kept = []
    for key in all_keys:
        mask.draw(xp.asarray(np.array([key])))
        kept.append(to_host(mask.values).copy() > 0)
    return np.array(kept)


def test_the_hash_gives_the_published_figures(xp: ModuleType) -> None:
    where = [lowbias32((i + 0x9E3779B9) % 2**32) for i in range(3)]
    assert words(xp, 3, np.array([77], dtype=np.uint32)).tolist() == [lowbias32(place ^ 77) for place in where]


def test_keys_of_a_run_can_be_taken_up_at_any_step() -> None:
    whole = keys(5, 1, 0, 1000)
    np.testing.assert_array_equal(whole, np.concatenate([keys(5, 1, 0, 7), keys(5, 1, 7, 500), keys(5, 1, 507, 493)]))
    np.testing.assert_array_equal(keys(5, 1, 2**32 - 1, 2)[1:], keys(5, 1, 2**32, 1))
    assert keys(5, 1, 2**32, 1) != keys(5, 1, 0, 1)


def test_keys_differ_between_steps_streams_and_seeds() -> None:
    seeds = [0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**70]
    drawn = np.concatenate([keys(seed, stream, 0, 5000) for seed in seeds for stream in range(4)])
    # of 140,000 draws from 2^32 numbers about 2.3 pairs fall together
    assert len(drawn) - len(np.unique(drawn)) < 12


def test_words_are_uniform(xp: ModuleType) -> None:
    drawn = np.concatenate([words(xp, 20_000, key[None]) for key in keys(0, 0, 0, 20)])
    for shift in (0, 8, 16, 24):
        counts = np.bincount((drawn >> np.uint32(shift)) & 255, minlength=256)
        chi2 = float(((counts - len(drawn) / 256) ** 2).sum() / (len(drawn) / 256))
        assert abs(chi2 - 255) < 4 * math.sqrt(2 * 255)  # four standard deviations


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """In standard deviations of what independent bits would give."""
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float(abs((a * b).sum()) / math.sqrt((a * a).sum() * (b * b).sum()) * math.sqrt(a.size))


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_masks_are_independent_of_each_other(xp: ModuleType, rate: float) -> None:
    layer, other_layer = (masks(xp, rate, keys(3, stream, 0, 60)) for stream in (0, 1))
    other_seed = masks(xp, rate, keys(4, 0, 0, 60))
    pairs = {
        "layers": (layer, other_layer),
        "seeds": (layer, other_seed),
        "steps": (layer[:-1], layer[1:]),
        "distant steps": (layer[:-32], layer[32:]),
        "units": (layer[:, :, :-1], layer[:, :, 1:]),
        "halves of a word": (layer[:, :, 0::2], layer[:, :, 1::2]),
        "rows": (layer[:, :-1], layer[:, 1:]),
        "a step and the next unit": (layer[:-1, :, 1:], layer[1:, :, :-1]),
    }
    for what, (a, b) in pairs.items():
        assert correlation(a, b) < 4, what


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.9])
def test_a_mask_keeps_its_share_and_the_mean(xp: ModuleType, rate: float) -> None:
    mask = Mask(xp, 100, 101, rate, "float64")
    kept = masks(xp, rate, keys(0, 0, 0, 50), 100, 101)
    assert abs(kept.mean() - (1 - rate)) < 4 * math.sqrt(rate * (1 - rate) / kept.size)
    mask.draw(xp.asarray(keys(0, 0, 0, 1)))
    values = np.unique(to_host(mask.values))
    np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-4)  # the rate is kept to 1 / 65,536
    assert mask.kept * float(values[1]) == pytest.approx(65536, rel=1e-15)  # and the mean exactly


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_have_the_moments_and_tails_of_a_normal_distribution(xp: ModuleType, dtype: str) -> None:
    noise, drawn = Normal(xp, 100, 100, dtype), []
    for key in keys(1, 0, 0, 40):
        noise.draw(xp.asarray(np.array([key])))
        drawn.append(to_host(noise.values).copy())
    z = np.array(drawn, dtype=np.float64)
    n = z.size
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    for limit in (1, 2, 3):
        share = math.erfc(limit / math.sqrt(2))
        assert abs((abs(z) > limit).mean() - share) < 4 * math.sqrt(share / n)
    assert correlation(z[:-1], z[1:]) < 4
    assert correlation(z[:, :, :-1], z[:, :, 1:]) < 4


def test_fake_and_numpy_bits_agree(xp: ModuleType) -> None:
    np.testing.assert_array_equal(words(xp, 999, keys(9, 2, 4, 1)), words(np, 999, keys(9, 2, 4, 1)))


def test_a_word_of_zero_gives_a_finite_normal_number(xp: ModuleType) -> None:
    key = np.array([12345], dtype=np.uint32)
    noise = Normal(xp, 2, 3, "float32")
    noise.places.fill(12345)  # whose exclusive or with the key is 0, and so is its hash
    noise.draw(xp.asarray(key))
    largest = math.sqrt(-2 * math.log(0.5 / 2**24))
    np.testing.assert_allclose(to_host(noise.values), largest, rtol=1e-5)
