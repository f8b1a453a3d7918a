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


def test_nothing_to_score() -> None:
    net = MLP([5, 3])
    with pytest.raises(DataError, match="no rows"):
        evaluate(net, (np.zeros((0, 5)), np.zeros(0, dtype=int)))
    with pytest.raises(DataError, match="needs targets"):
        evaluate(net, Samples(np.zeros((2, 5))))
