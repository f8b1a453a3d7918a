"""Training on sparse rows: what dense ones teach, in a fraction of their memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import xpnn.sparse
from xpnn import MLP, Regularization, Samples, optimizers, train
from xpnn.sparse import SparseTraining

ROWS, COLUMNS = 500, 20
X = sparse.csr_array(sparse.random(ROWS, COLUMNS, 0.2, random_state=0))
LABELS = np.asarray(X.argmax(axis=1)).reshape(-1) % 3
OPTIONS: dict[str, Any] = {"batch_size": 32, "regularization": Regularization(dropout=0.3, l2=1e-3), "seed": 3}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 3, ROWS)])
def test_it_learns_what_dense_rows_teach(monkeypatch: pytest.MonkeyPatch, shuffle: bool, weights: Any) -> None:
    monkeypatch.setattr(xpnn.sparse, "BLOCK_BYTES", 100 * COLUMNS * 8)  # three batches a block
    nets = [MLP([COLUMNS, 7, 3], dtype="float64", seed=1) for _ in range(2)]
    options = OPTIONS | {"epochs": 3, "shuffle": shuffle, "optimizer": optimizers.adam()}
    expected = list(train(nets[0], Samples(X.toarray(), LABELS, weights), **options))
    run = SparseTraining(nets[1], X, LABELS, weights, resume=None, **options)
    with pytest.raises(RuntimeError, match="has not begun"):
        run.state()
    found = list(run)
    np.testing.assert_allclose(nets[1].parameters, nets[0].parameters, rtol=1e-9)
    for ours, dense in zip(found, expected, strict=True):
        assert (ours.number, ours.rate) == (dense.number, dense.rate)
        assert ours.accuracy == pytest.approx(dense.accuracy)
        assert ours.loss == pytest.approx(dense.loss)
    assert run.state().updates == 3 * 16

    more = SparseTraining(nets[1], X, LABELS, weights, resume=run.state(), **options | {"epochs": 4})
    list(more)
    fresh = MLP([COLUMNS, 7, 3], dtype="float64", seed=1)
    list(SparseTraining(fresh, X, LABELS, weights, resume=None, **options | {"epochs": 4}))
    assert fresh.parameters.tobytes() == nets[1].parameters.tobytes()


def test_a_block_of_no_weight_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xpnn.sparse, "BLOCK_BYTES", 100 * COLUMNS * 8)
    weights = np.r_[np.zeros(96), np.ones(ROWS - 96)]
    net, rest = (MLP([COLUMNS, 7, 3], dtype="float64", seed=1) for _ in range(2))
    options: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 32,
        "shuffle": False,
        "seed": 0,
        "optimizer": optimizers.sgd(),
    }
    list(SparseTraining(net, X, LABELS, weights, resume=None, **options))
    list(SparseTraining(rest, X[96:], LABELS[96:], weights[96:], resume=None, **options))
    np.testing.assert_array_equal(net.parameters, rest.parameters)


def test_no_more_than_a_block_is_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    block = 2_000_000
    monkeypatch.setattr(xpnn.sparse, "BLOCK_BYTES", block)
    wide = sparse.csr_array(sparse.random(4000, 2000, 0.005, random_state=0))  # 64 MB if dense
    net = MLP([2000, 4, 1], output="identity", dtype="float64")
    options = OPTIONS | {"epochs": 1, "shuffle": True, "optimizer": optimizers.sgd()}
    tracemalloc.start()
    try:
        list(SparseTraining(net, wide, np.ones((4000, 1)), None, resume=None, **options))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * block  # a block, the step's copy of a batch, and what a run keeps
