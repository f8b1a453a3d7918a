"""Scores against scikit-learn's, and what can't be scored."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from xpnn import MLP, DataError, Samples, evaluate, to_host
from xpnn.network import QUERY_ROWS

N = 2 * QUERY_ROWS + 7  # several chunks, the last one ragged


def test_scores_are_scikit_learns(device: str) -> None:
    generator = np.random.default_rng(7)
    x, labels = generator.normal(size=(N, 5)), generator.integers(0, 3, N)  # of four classes one never occurs
    net = MLP([5, 6, 4], device=device, dtype="float64", seed=2)
    found = evaluate(net, Samples(x, labels))
    y, said = to_host(net.query(x)), to_host(net.predict(x))

    assert found.confusion is not None
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, said, labels=range(4)))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, said), rel=1e-15)
    assert found.loss == pytest.approx(metrics.log_loss(labels, y, labels=range(4)), rel=1e-12)  # sums of N terms
    names = ("precision", "recall", "f1", "support")
    scores = metrics.precision_recall_fscore_support(labels, said, labels=range(4), zero_division=0)
    for name, expected in zip(names, scores, strict=True):
        np.testing.assert_allclose(found.per_class()[name], expected, rtol=1e-15)


def test_loss_of_coded_and_of_dense_targets(device: str) -> None:
    x, labels = np.random.default_rng(8).normal(size=(9, 5)), np.arange(9) % 3
    net = MLP([5, 3], output="sigmoid", loss="squared-error", target_range=(0.01, 0.99), device=device, dtype="float64")
    t = np.where(np.eye(3)[labels] == 1, 0.99, 0.01)
    expected = ((to_host(net.query(x)) - t) ** 2).sum() / 2 / 9
    assert evaluate(net, (x, labels)).loss == pytest.approx(expected, rel=1e-14)
    dense = evaluate(net, (x, t))
    assert dense.loss == pytest.approx(expected, rel=1e-14)
    assert dense.accuracy is None
    with pytest.raises(ValueError, match="need class labels"):
        dense.per_class()


def test_a_row_that_is_not_finite_is_named_wherever_it_stands(device: str) -> None:
    x = np.zeros((N, 5))
    x[QUERY_ROWS + 1, 3] = np.nan
    with pytest.raises(DataError, match=f"row {QUERY_ROWS + 1}, counted from 0"):
        evaluate(MLP([5, 3], device=device), (x, np.zeros(N, dtype=int)))


def test_scores_of_numbers_are_scikit_learns(device: str) -> None:
    generator = np.random.default_rng(9)
    x, t = (
        generator.normal(size=(N, 5)),
        generator.normal(1e4, 1, size=(N, 3)),
    )  # sums of squares would fail
    t[:, 2] += generator.normal(scale=100, size=N)
    net = MLP([5, 6, 3], output="identity", device=device, dtype="float64", seed=2)
    assert net.layers[1].b is not None
    net.layers[1].b[...] = 1e4
    found, y = evaluate(net, (x, t)), to_host(net.query(x))
    assert found.mean_absolute_error == pytest.approx(metrics.mean_absolute_error(t, y), rel=1e-12)
    assert found.root_mean_squared_error == pytest.approx(metrics.root_mean_squared_error(t, y), rel=1e-12)
    assert found.r2 == pytest.approx(metrics.r2_score(t, y), rel=1e-9)  # 1 - a quotient of small differences from 1e4
    assert (found.accuracy, found.exact_match, found.hamming_accuracy) == (None, None, None)
    assert evaluate(MLP([5, 3]), (x, np.zeros(N, dtype=int))).r2 is None


def test_r2_of_constant_targets(device: str) -> None:
    net = MLP([2, 2], output="identity", device=device, dtype="float64")
    net.parameters.fill(0)
    for t, y in (([[0, 3], [0, 3]], [[0, 0], [0, 0]]), ([[0, 0], [0, 0]], [[0, 0], [0, 0]])):
        targets = np.array(t, dtype=float)
        assert evaluate(net, (np.zeros((2, 2)), targets)).r2 == metrics.r2_score(targets, y)


def test_scores_of_several_labels_a_row_are_scikit_learns(device: str) -> None:
    generator = np.random.default_rng(10)
    x, t = generator.normal(size=(N, 5)), generator.integers(0, 2, (N, 3)).astype(float)
    net = MLP([5, 6, 3], output="sigmoid", device=device, dtype="float64", seed=2)
    found, said = evaluate(net, (x, t)), to_host(net.query(x)) > 0.5
    assert found.exact_match == pytest.approx(metrics.accuracy_score(t, said), rel=1e-15)
    assert found.hamming_accuracy == pytest.approx(1 - metrics.hamming_loss(t, said), rel=1e-14)
    assert found.accuracy is None
    t[0, 0] = 0.25
    assert evaluate(net, (x, t)).exact_match is None


def test_loss_is_weighted_and_nothing_else(device: str) -> None:
    generator = np.random.default_rng(11)
    x, labels, weights = generator.normal(size=(N, 5)), generator.integers(0, 3, N), generator.random(N)
    weights[:QUERY_ROWS] = 0  # a whole chunk that doesn't count
    net = MLP([5, 6, 3], device=device, dtype="float64", seed=2)
    found, plain = evaluate(net, Samples(x, labels, weights)), evaluate(net, (x, labels))
    expected = metrics.log_loss(labels, to_host(net.query(x)), sample_weight=weights)
    assert found.loss == pytest.approx(expected, rel=1e-12)
    assert found.loss != pytest.approx(plain.loss, rel=1e-6)
    assert found.accuracy == plain.accuracy


def test_nothing_to_score() -> None:
    net = MLP([5, 3])
    with pytest.raises(DataError, match="no rows"):
        evaluate(net, (np.zeros((0, 5)), np.zeros(0, dtype=int)))
    with pytest.raises(DataError, match="needs targets"):
        evaluate(net, Samples(np.zeros((2, 5))))


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.1])
def test_r2_of_targets_that_are_all_the_same_is_0_or_1(value: float) -> None:
    """Their mean may be rounded to another number than they are."""
    net = MLP([2, 1], output="identity", dtype="float64")
    for n in (3, 7, 1500):
        assert evaluate(net, (np.ones((n, 2)), np.full((n, 1), value))).r2 == 0


def test_an_evaluation_shows_the_scores_that_it_has() -> None:
    net = MLP([2, 1], output="identity")
    net.parameters[:] = 0
    found = evaluate(net, (np.ones((2, 2)), np.array([1.0, -1.0])))
    assert repr(found) == ("Evaluation(n=2, loss=0.5, mean_absolute_error=1, root_mean_squared_error=1, r2=0)")
    labels = evaluate(MLP([2, 2], bias=False), (np.zeros((4, 2)), np.array([0, 0, 0, 1])))
    assert repr(labels) == "Evaluation(n=4, loss=0.693147, accuracy=0.75)"
