"""Samples: stratified splits, and what doesn't fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from xpnn import MLP, DataError, Samples, evaluate, load, standardization_of, train
from xpnn.samples import row_weights


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
    with pytest.raises(DataError, match=r"not \(3, 2, 2\): give inputs\.reshape\(len\(inputs\), -1\)$"):
        Samples(np.zeros((3, 2, 2)))
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


def test_weights_go_with_their_rows() -> None:
    samples = Samples(np.arange(10.0)[:, None], np.arange(10) % 2, np.arange(10.0))
    np.testing.assert_array_equal(samples.take(np.array([3, 1])).weights, [3, 1])
    for part in samples.split(0.3):
        np.testing.assert_array_equal(part.weights, part.inputs[:, 0])
    assert len(samples.take(slice(0))) == 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(2), r"weights must be 3 numbers, one a row, not float64 of shape \(2,\)"),
        (np.ones((3, 1)), "one a row"),
        (np.array(["1", "2", "3"]), "row 0, counted from 0, holds '1', but these must be numbers"),
        (np.array([1, -1, 1]), "none below 0"),
        (np.array([1, np.nan, 1]), "must be finite"),
        (np.array([1, np.inf, 1]), "must be finite"),
    ],
)
def test_weights_that_cannot_be(weights: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Samples(np.zeros((3, 1)), np.zeros(3, dtype=int), weights)


def test_balanced_class_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    found = row_weights(Samples(np.zeros((100, 1)), labels), 3, "balanced")
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert found is not None
    np.testing.assert_allclose(found, expected[labels], rtol=1e-15)


def test_class_weights_multiply_the_rows_own() -> None:
    samples = Samples(np.zeros((4, 1)), np.array([0, 2, 2, 0]), np.array([1, 2, 3, 4], dtype="int8"))
    assert row_weights(Samples(samples.inputs, samples.targets), 3, None) is None
    for class_weight, expected in (
        (None, [1, 2, 3, 4]),
        ([0.5, 9, 2], [0.5, 4, 6, 2]),
        ("balanced", [2 / 3, 4 / 3, 2, 8 / 3]),  # class 1 has no rows, and divides nothing by zero
    ):
        found = row_weights(samples, 3, class_weight)
        assert found is not None
        np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("heavy", "unknown class_weight 'heavy'"),
        ([1, 2], "must be 3 finite numbers of 0 or more"),
        ([1, 2, -1], "0 or more"),
        ([1, 2, float("nan")], "finite"),
    ],
)
def test_class_weights_that_cannot_be(class_weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        row_weights(Samples(np.zeros((2, 1)), np.array([0, 2])), 3, class_weight)
    with pytest.raises(ValueError, match="needs class labels"):
        row_weights(Samples(np.zeros((2, 1)), np.zeros((2, 3))), 3, class_weight)


@pytest.mark.parametrize("count", [2, 5, 7])
def test_folds_measure_every_row_once_and_keep_each_labels_share(count: int) -> None:
    train = load("digits").train
    assert train.targets is not None
    rows = Samples(np.arange(len(train))[:, None], train.targets)
    measured = []
    for others, part in rows.folds(count, seed=3):
        assert len(others) + len(part) == len(rows)
        assert not set(others.inputs[:, 0]) & set(part.inputs[:, 0])
        assert part.targets is not None
        shares = np.bincount(part.targets) - np.bincount(train.targets) / count
        assert abs(shares).max() <= 1
        measured += part.inputs[:, 0].tolist()
    assert sorted(measured) == list(range(len(rows)))
    first, again, other = (next(iter(rows.folds(count, seed)))[1].inputs for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("count", [-1, 0, 1, 11])
def test_impossible_folds_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"10 rows can be cut into 2 to 10 folds, not {count}"):
        Samples(np.zeros((10, 1)), np.zeros(10, dtype=int)).folds(count)


def test_standardization_is_scikit_learns() -> None:
    x = np.random.default_rng(3).normal([0, 1e6, -3, 7], [1, 0.5, 1e-3, 0], size=(500, 4))
    means, deviations = standardization_of(x)
    scaler = StandardScaler().fit(x)
    np.testing.assert_allclose(means, scaler.mean_, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(deviations, scaler.scale_, rtol=1e-9)  # the deviation of 1e6 + 0.5 z loses six digits
    assert (means.dtype, deviations.dtype, deviations[3]) == (np.dtype("float64"), np.dtype("float64"), 1)
    single = x.astype("float32")  # summed in float64
    np.testing.assert_allclose(standardization_of(single)[1][:3], single.astype("float64").std(axis=0)[:3])


def test_a_column_that_is_constant_up_to_its_mean_has_the_deviation_1() -> None:
    x = np.full((10, 2), 0.1)
    assert (x.std(axis=0) > 0).all()  # for the mean of ten times 0.1 is rounded
    assert standardization_of(x)[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 2)), r"there must be rows to take means of, \(n, columns\), not \(0, 2\)"),
        (np.zeros(3), r"not \(3,\)"),
        (np.array([[0, np.nan]]), "column 1, counted from 0, has values that are not finite"),
        (np.array([[0, 1], [np.inf, 2]]), "column 0"),
        (np.array([[0, 1e300], [0, -1e300]]), "column 1, .* above 1e150: rescale it"),
    ],
)
def test_what_has_no_standardization(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        standardization_of(values)


def test_rows_of_which_none_counts_are_refused_where_they_are_used(device: str) -> None:
    net = MLP([1, 3], device=device)
    rows = Samples(np.zeros((4, 1)), np.array([0, 1, 2, 2]), np.array([1, 1, 0, 0]))
    none = rows.take(slice(2, 4))  # a part may have no row that counts
    for use in (lambda: evaluate(net, none), lambda: train(net, none), lambda: train(net, rows, validation=none)):
        with pytest.raises(DataError, match="weights are all 0: there are no rows to .* that count"):
            use()
    with pytest.raises(DataError, match="too large or too small for float32"):
        train(net, rows, class_weight=[0, 0, 1])
    with pytest.raises(DataError, match="up to 1e\\+39, are too large or too small for float32"):
        train(net, Samples(rows.inputs, rows.targets, np.full(4, 1e39)))


def test_the_rows_set_aside_are_of_all_places_in_the_order_of_labels() -> None:
    """Of 60 rows, 6 of each label: a tenth takes about one of each, and not always the first label's first."""
    rows = Samples(np.arange(60)[:, None], np.arange(60) % 10)
    parts = [rows.split(0.1, seed)[1] for seed in range(50)]
    assert all(len(part) == 6 for part in parts)
    counts = np.bincount(np.concatenate([np.asarray(part.targets) for part in parts]), minlength=10)
    assert counts.min() > 15  # 30 on average
    assert all(np.bincount(np.asarray(part.targets)).max() == 1 for part in parts)


def test_lists_become_arrays() -> None:
    rows = Samples([[1.0, 2.0]], [0], [1.0])  # type: ignore[arg-type]  # what a newcomer may give
    assert rows.inputs.shape == (1, 2)
    assert rows.take(np.array([0])).weights is not None


def test_a_data_set_shows_shapes_and_types_instead_of_numbers() -> None:
    samples = Samples(np.zeros((3, 2), dtype="uint8"), np.array([0, 1, 1]), np.ones(3))
    assert repr(samples) == "Samples(inputs: uint8 (3, 2), targets: int64 (3,), weights: float64 (3,))"
    assert repr(Samples(np.zeros((3, 2)))) == "Samples(inputs: float64 (3, 2))"
