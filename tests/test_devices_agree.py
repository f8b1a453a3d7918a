"""The same lines on both devices: on the fake one, which rounds as NumPy does, the results are equal bit for bit.

And what makes the step quick: once warm, it neither waits for the device nor allocates on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from fake_device import FakeCupy
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES, LOSS_NAMES
from numpy.typing import NDArray

from xpnn import MLP, Samples, evaluate, optimizers, to_host, train
from xpnn.losses import loss_named
from xpnn.optimizers import OPTIMIZERS, Optimizer
from xpnn.regularization import Regularization
from xpnn.samples import row_weights
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

N, N_IN = 23, 6  # a batch of 5 leaves a ragged one of 3
BATCH = 5


class Case(NamedTuple):
    """A net and how it is trained."""

    sizes: tuple[int, ...] = (N_IN, 7, 4)
    net: dict[str, Any] = {}  # noqa: RUF012  never written to
    optimizer: Callable[[], Optimizer] = optimizers.sgd
    inputs: str = "floats"
    targets: str = "labels"
    step: dict[str, Any] = {}  # noqa: RUF012  never written to; options that `train` and the step share
    weights: bool = False
    options: dict[str, Any] = {}  # noqa: RUF012  never written to; options of `train`


CASES = {
    "softmax": Case(),
    "squared error behind softmax": Case(net={"loss": "squared-error"}),
    "deep": Case((N_IN, 7, 6, 5, 4), {"hidden": ("relu", "sigmoid", "tanh")}),
    "no hidden layer": Case((N_IN, 4)),
    "no biases": Case(net={"bias": False, "hidden": "identity"}),
    "binary": Case(net={"hidden": "tanh", "output": "sigmoid"}),
    "one output": Case((N_IN, 7, 1), {"output": "sigmoid"}, targets="numbers"),
    "one input": Case((1, 7, 4), {"hidden": "tanh"}),
    "regression": Case((N_IN, 7, 3), {"output": "identity"}, targets="numbers"),
    "probabilities": Case(targets="probabilities"),
    **{name: Case(optimizer=make) for name, make in OPTIMIZERS.items()},
    "rmsprop with momentum": Case(optimizer=lambda: optimizers.rmsprop(0.01, momentum=0.9)),
    "schedule": Case(optimizer=lambda: optimizers.sgd(lambda steps: 0.1 / (1 + steps))),
    "pixels": Case(inputs="pixels"),
    "scaled pixels": Case(net={"scaling": (0.99 / 255, 0.01)}, inputs="pixels"),
    "whole numbers as pixels": Case(inputs="whole numbers"),
    **{
        name: Case(net={"hidden": name, "output": output, "loss": "squared-error"})
        for name, output in zip(HIDDEN_NAMES, reversed(ACTIVATION_NAMES), strict=False)
    },
    **{name: Case(net={"output": loss_named(name).link or "tanh", "loss": name}, weights=True) for name in LOSS_NAMES},
    "smoothed labels": Case(step={"label_smoothing": 0.1}),
    "smoothed probabilities": Case(targets="probabilities", step={"label_smoothing": 0.1}, weights=True),
    "balanced classes": Case(options={"class_weight": "balanced"}, weights=True),
    "book": Case(
        net={"hidden": "sigmoid", "output": "sigmoid", "loss": "squared-error", "target_range": (0.01, 0.99)},
        inputs="pixels",
        step={"error_rule": "book"},
    ),
    "book, deep": Case((N_IN, 7, 5, 4), {"output": "tanh", "bias": False}, step={"error_rule": "book"}),
    "penalties": Case(step={"regularization": Regularization(l1=1e-3, l2=1e-2)}),
    "decoupled decay": Case(optimizer=lambda: optimizers.decoupled(optimizers.sgd(), 0.1)),
    "dropout": Case((N_IN, 7, 5, 4), {"hidden": "tanh"}, step={"regularization": Regularization(dropout=0.5)}),
    "dropout of inputs": Case(inputs="pixels", step={"regularization": Regularization(input_dropout=0.2)}),
    "dropout, book": Case(step={"regularization": Regularization(dropout=0.5), "error_rule": "book"}),
    "noise": Case(step={"regularization": Regularization(input_noise=0.1)}),
    "limits": Case(step={"regularization": Regularization(max_norm=1, clip_norm=0.2, clip_value=0.1)}),
    "all of them": Case(
        (N_IN, 7, 5, 4), {"bias": False}, step={"regularization": Regularization(*[0.1] * 8), "average_decay": 0.9}
    ),
    "average": Case(step={"average_decay": 0.9}),
}


def data_for(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    generator = np.random.default_rng(1)
    n_in, n_out = case.sizes[0], case.sizes[-1]
    pixels = generator.integers(0, 256, (N, n_in))
    inputs = {"floats": generator.normal(size=(N, n_in)), "pixels": pixels.astype("uint8"), "whole numbers": pixels}
    numbers = generator.random((N, n_out))
    targets = {
        "labels": generator.integers(0, n_out, N),
        "numbers": numbers,
        "probabilities": numbers / numbers.sum(axis=1, keepdims=True),
    }
    return inputs[case.inputs], targets[case.targets]


def samples_for(case: Case) -> Samples:
    weights = np.random.default_rng(2).random(N) if case.weights else None
    return Samples(*data_for(case), weights)


def run(case: Case, device: str, dtype: str) -> tuple[NDArray[Any], ...]:
    """Train, evaluate and query; all that came out, on the host."""
    inputs, targets = data_for(case)
    net = MLP(case.sizes, **case.net, device=device, dtype=dtype, seed=3)
    epochs = train(
        net,
        samples_for(case),
        validation=samples_for(case).take(slice(9)),
        epochs=3,
        batch_size=BATCH,
        optimizer=case.optimizer(),
        fast=False,  # the CPU's fast steps round otherwise
        **case.step,
        **case.options,
    )
    records = [(epoch.loss, epoch.accuracy or 0, epoch.validation.loss) for epoch in epochs if epoch.validation]
    confusion = evaluate(net, (inputs, targets)).confusion
    classes = net.predict(inputs) if net.sizes[-1] > 1 else net.query(inputs)
    results = [net.parameters, net.query(inputs), net.query(inputs[0]), classes]
    return np.array(records), np.array(-1) if confusion is None else confusion, *map(to_host, results)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_fake_device_equals_the_cpu_bit_for_bit(fake_cupy: FakeCupy, case: Case, dtype: str) -> None:
    start = to_host(MLP(case.sizes, **case.net, dtype=dtype, seed=3).parameters)
    on_cpu = run(case, "cpu", dtype)
    with fake_cupy.counting() as counts:
        on_fake = run(case, "cuda", dtype)

    assert counts.allocations > 0  # it did run there
    assert not np.array_equal(on_cpu[2], start)  # and it did learn
    assert np.isfinite(on_cpu[2]).all()
    for ours, theirs in zip(on_cpu, on_fake, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("fake_cupy")
def test_data_on_the_device_are_the_same_as_data_on_the_host() -> None:
    case = Case(inputs="whole numbers")
    inputs, targets = data_for(case)
    nets = [MLP(case.sizes, device="cuda", seed=3) for _ in range(2)]
    xp = nets[1].xp
    nets[0].train(inputs, targets, epochs=2)
    nets[1].train(xp.asarray(inputs), xp.asarray(targets), epochs=2, validation=(xp.asarray(inputs), targets))

    np.testing.assert_array_equal(*(to_host(net.parameters) for net in nets))


@pytest.mark.usefixtures("fake_cupy")
def test_second_card_and_moves_between_devices() -> None:
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda:1", seed=3)
    net.train(inputs, targets, epochs=1, validation=(inputs, targets))
    net.predict(inputs)
    expected = MLP(Case().sizes, seed=3)
    expected.train(inputs, targets, epochs=1)
    for device in ("cpu", "cuda:0", "cuda:1"):
        moved = net.to(device)
        assert str(moved.device) == device
        np.testing.assert_array_equal(to_host(moved.parameters), expected.parameters)
        np.testing.assert_array_equal(to_host(moved.query(inputs)), expected.query(inputs))


def make_step(case: Case, dtype: str) -> tuple[ReferenceStep, Any]:
    """A step on the device at the start of an epoch, and the epoch's row numbers there."""
    net = MLP(case.sizes, **case.net, device="cuda", dtype=dtype, seed=3)
    inputs, targets = data_for(case)
    optimizer = case.optimizer()
    placed = net.place_inputs(inputs), net.place_targets(targets)
    weights = row_weights(samples_for(case), net.sizes[-1], case.options.get("class_weight"))
    step = ReferenceStep(
        net,
        optimizer,
        *placed,
        batch_size=BATCH,
        weights=None if weights is None else net.xp.asarray(weights[:, None], dtype=dtype),
        **case.step,
    )
    steps = np.arange(math.ceil(N / BATCH), dtype=float)
    step.begin_epoch(0, net.xp.asarray(update_table(optimizer, steps, optimizer.schedule(steps)), dtype=dtype))
    return step, net.xp.asarray(np.arange(N))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_warm_step_neither_waits_nor_allocates_nor_copies(fake_cupy: FakeCupy, case: Case, dtype: str) -> None:
    step, order = make_step(case, dtype)
    step(order[:BATCH])
    before = to_host(step.net.parameters)
    with fake_cupy.counting() as counts:
        for start in range(BATCH, N, BATCH):  # the ragged batch included
            step(order[start : start + BATCH])

    assert (counts.synchronisations, counts.allocations, counts.copies) == (0, 0, 0)
    assert not np.array_equal(before, to_host(step.net.parameters))


def test_epoch_waits_only_for_its_totals_and_its_check(fake_cupy: FakeCupy) -> None:
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda")
    epochs = train(net, (inputs, targets), epochs=2, batch_size=1)
    next(epochs)
    with fake_cupy.counting() as counts:
        next(epochs)

    assert counts.synchronisations == 4  # loss, hits, and whether losses and parameters are finite
    assert counts.copies == 2  # the order of the rows, and the table of coefficients
