"""The reference step: it allocates nothing once it is warm, and sums up what it measured."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES, LOSS_NAMES

from xpnn import MLP, Augmentation, optimizers
from xpnn.losses import loss_named
from xpnn.optimizers import OPTIMIZERS, Optimizer
from xpnn.regularization import Regularization
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

N, BATCH = 640, 256  # two full batches and one of 128


def make_step(
    optimizer: Optimizer, weights: bool = False, options: dict[str, Any] | None = None, **net_options: Any
) -> ReferenceStep:
    generator = np.random.default_rng(4)
    net = MLP([100, 64, 50, 10], seed=1, **net_options)
    inputs, labels = generator.integers(0, 256, (N, 100), dtype="uint8"), generator.integers(0, 10, N)
    counts = net.xp.asarray(generator.random((N, 1)), dtype=net.dtype) if weights else None
    placed = net.place_inputs(inputs), net.place_targets(labels)
    step = ReferenceStep(net, optimizer, *placed, BATCH, weights=counts, **options or {})
    steps = np.arange(30.0)
    step.begin_epoch(0, net.xp.asarray(update_table(optimizer, steps, optimizer.schedule(steps)), dtype=net.dtype))
    return step


def run(step: ReferenceStep, order: Any, rounds: int) -> None:
    for _ in range(rounds):
        for start in range(0, N, BATCH):
            step(order[start : start + BATCH])


ALL_REGULARIZATION = {"regularization": Regularization(*[0.1] * 8), "average_decay": 0.9}
ALLOCATION_CASES: list[tuple[Optimizer, dict[str, Any]]] = [
    *((make(), {}) for make in OPTIMIZERS.values()),
    *((made, {}) for made in (optimizers.sgd(0.001), optimizers.rmsprop(momentum=0.9))),
    *((optimizers.sgd(0.001), {"hidden": name}) for name in HIDDEN_NAMES),
    *((optimizers.sgd(0.001), {"output": name, "loss": "squared-error"}) for name in ACTIVATION_NAMES),
    *(
        (optimizers.sgd(0.001), {"output": loss_named(name).link or "tanh", "loss": name, "weights": True})
        for name in LOSS_NAMES
    ),
    *(
        (optimizers.adam(), {"output": name, "options": {"label_smoothing": 0.1}, "weights": True})
        for name in ("sigmoid", "softmax")
    ),
    (optimizers.adamw(), {"options": ALL_REGULARIZATION}),
    (optimizers.adam(), {"options": {"augmentation": Augmentation(1, 10, 0.1, 5, 34, 3)}}),
    (optimizers.adamw(), {"options": ALL_REGULARIZATION, "hidden": "gelu", "bias": False}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("optimizer", "options"), ALLOCATION_CASES)
def test_warm_step_allocates_nothing_on_the_host(optimizer: Optimizer, options: dict[str, Any], dtype: str) -> None:
    step, order = make_step(optimizer, **options, dtype=dtype), np.arange(N)
    run(step, order, 1)
    # NumPy's own scratch for broadcasting, as a rule 8,192 elements whatever the arrays' size, would hide small arrays.
    usual = np.setbufsize(16)
    tracemalloc.start()
    try:
        run(step, order, 5)  # as often as below: Python's own free lists have then grown as far as they will
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run(step, order, 5)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        np.setbufsize(usual)

    # Views and the arguments of calls come and go in less than 4 KiB; every matrix of a batch here is larger.
    assert peak - before < 4096
    assert after - before < 512


def test_ragged_batch_shares_the_full_batches_memory(device: str) -> None:
    step = make_step(optimizers.sgd(0.1), hidden=("gelu", "tanh"), device=device)
    order = step.net.xp.asarray(np.arange(N))
    run(step, order, 1)
    assert sorted(step.buffers) == [128, 256]
    step.buffers[128].x[...] = 7
    assert float(step.buffers[256].x[0, 0]) == 7
    for n in (128, 256):
        assert [saved.shape for saved in step.buffers[n].saved] == [(3, n, 64), (n, 50), (n, 10)]
    for saved, y in zip(step.buffers[128].saved[1:], step.buffers[256].outputs[1:], strict=True):
        y.fill(3)
        assert float(saved[0, 0]) == 3  # where f' is worked out from y, that is what is saved
    step.buffers[128].saved[0][1, 2, 3] = 5
    assert float(step.buffers[256].saved[0][1, 2, 3]) == 5


def test_totals_are_those_of_the_rows_at_the_time(device: str) -> None:
    step = make_step(optimizers.sgd(1e-30), device=device, dtype="float64")  # so small a rate moves nothing
    net, order = step.net, step.net.xp.asarray(np.arange(N))
    run(step, order, 2)
    loss, hits = step.totals()
    y = np.asarray([[float(v) for v in row] for row in net.query(step.inputs).tolist()])
    labels = np.asarray(step.targets.tolist())
    assert hits == 2 * (y.argmax(axis=1) == labels).sum()
    assert loss == pytest.approx(-2 * np.log(y[np.arange(N), labels]).sum(), rel=1e-12)  # float64 sums of 1,280 terms
    step.begin_epoch(0, step.table)
    assert step.totals() == (0.0, 0)


def test_losses_are_summed_in_double_precision(device: str) -> None:
    """An epoch has millions of rows: a float32 sum would stand still at 2^24."""
    step = make_step(optimizers.sgd(1e-30), device=device)
    step.total_loss.fill(2.0**40)
    step(step.net.xp.asarray(np.arange(BATCH)))
    gained = step.totals()[0] - 2.0**40
    assert gained == pytest.approx(float(step.loss), rel=1e-3)
