"""The same lines on both devices: on the fake one, which rounds as NumPy does, the results are equal bit for bit.

And what makes the step quick: once warm, it neither waits for the device nor allocates on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from device_cases import BATCH, CASES, Case, N, data_for, samples_for
from fake_device import FakeCupy
from numpy.typing import NDArray

from xpnn import MLP, evaluate, to_host, train
from xpnn.samples import row_weights
from xpnn.steps import ReferenceStep
from xpnn.training import update_table


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
def test_fake_device_equals_the_cpu_bit_for_bit(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, case: Case, dtype: str
) -> None:
    def plain(net: MLP) -> Any:
        return lambda net, x, result: net.run_chunk(x, net.chunk_buffers(x, result))

    monkeypatch.setattr("xpnn.fast.prediction.captured_query", plain)  # whose kernels round otherwise
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
        np.testing.assert_allclose(to_host(moved.query(inputs)), expected.query(inputs), rtol=1e-6)


def test_a_copy_of_another_dtype_has_the_same_weights_and_settings(device: str) -> None:
    net = MLP([5, 4, 3], hidden="tanh", labels=("a", "b", "c"), device=device, seed=3)

    exact = net.to(dtype="float64")

    assert exact.settings() == net.settings() | {"dtype": "float64"}
    assert exact.device == net.device
    np.testing.assert_array_equal(to_host(exact.parameters), to_host(net.parameters))
    rows = np.random.default_rng(0).random((20, 5))
    np.testing.assert_allclose(to_host(exact.query(rows)), to_host(net.query(rows)), rtol=1e-5)  # of float32's 7 digits


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("name", ["softmax", "regression", "whole numbers as pixels"])
def test_data_on_another_card_are_moved_first(name: str) -> None:
    case = CASES[name]
    inputs, targets = data_for(case)
    nets = [MLP(case.sizes, **case.net, device=device, seed=3) for device in ("cuda:0", "cuda:1")]
    there = nets[0].xp.asarray(inputs), nets[0].xp.asarray(targets)
    for net in nets:
        net.train(*there, epochs=1)

    np.testing.assert_array_equal(*(to_host(net.parameters) for net in nets))


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


def test_epoch_waits_only_for_its_totals_and_its_check(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.epochs.SECONDS_BETWEEN_LOOKS", 1e9)  # a busy machine would look once more
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda")
    epochs = train(net, (inputs, targets), epochs=2, batch_size=1)
    next(epochs)
    with fake_cupy.counting() as counts:
        next(epochs)

    assert counts.synchronisations == 5  # the shuffle's; loss, hits, and whether losses and parameters are finite
    assert counts.copies == 1  # the table of coefficients
