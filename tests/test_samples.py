"""Samples: stratified splits, and what doesn't fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnn import DataError, Samples, load


def test_split_keeps_every_row_and_each_labels_share() -> None:
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    samples = Samples(np.arange(1000.0)[:, None], labels)
    rest, aside = samples.split(0.1, seed=3)
    assert sorted([*rest.inputs[:, 0], *aside.inputs[:, 0]]) == [*range(1000)]
    assert aside.targets is not None
    assert np.abs(np.bincount(aside.targets) - [70, 20, 10]).max() <= 1
    np.testing.assert_array_equal(labels[aside.inputs[:, 0].astype(int)], aside.targets)


def test_split_depends_on_its_seed_alone() -> None:
    samples = Samples(np.arange(100.0)[:, None], np.arange(100) % 4)
    first, again, other = (samples.split(0.25, seed)[1].inputs for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_without_labels() -> None:
    rest, aside = Samples(np.arange(10.0)[:, None]).split(0.3)
    assert (len(rest), len(aside)) == (7, 3)
    assert aside.targets is None


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_fractions_that_cannot_be(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Samples(np.zeros((5, 1))).split(fraction)


def test_split_that_leaves_a_part_empty() -> None:
    with pytest.raises(ValueError, match="leaves one part empty"):
        Samples(np.zeros((3, 1))).split(0.1)


def test_what_does_not_fit_together() -> None:
    with pytest.raises(DataError, match=r"shape \(n, n_in\), not \(3,\)"):
        Samples(np.zeros(3))
    with pytest.raises(DataError, match="3 inputs but 2 targets"):
        Samples(np.zeros((3, 1)), np.zeros(2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (load("digits"), "this is a whole data set; give its rows: data.train or data.test"),
        (np.zeros((2, 2)), r"give Samples, or a pair \(inputs, targets\), not ndarray"),
        ((np.zeros((2, 2)),), "not tuple"),
        (None, "not NoneType"),
    ],
)
def test_what_are_no_samples(rows: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Samples.of(rows)


def test_pairs_of_lists_become_samples() -> None:
    samples = Samples.of(([[1.0, 2.0]], [0]))
    assert samples.inputs.shape == (1, 2)
    assert Samples.of(samples) is samples
