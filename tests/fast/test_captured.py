"""The captured step against the reference: on the fake device, which emulates its kernels, or on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device_cases import BATCH, CASES, Case, N, data_for, samples_for
from fake_device import FakeCupy
from fast_cases import distance
from numpy.typing import NDArray

from xpnn import MLP, DeviceError, optimizers, to_host, train
from xpnn.fast import captured, fused
from xpnn.fast.captured import CapturedStep
from xpnn.optimizers import Optimizer
from xpnn.training import update_table


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of two updates: an epoch of five batches has two of them, and a ragged batch."""
    monkeypatch.setattr(captured, "UPDATES", 2)


def trained(case: Case, device: str, dtype: str, factor: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """(parameters, records) after three epochs; `factor` sabotages the learning rate."""
    net = MLP(case.sizes, **case.net, device=device, dtype=dtype, seed=3)
    optimizer = case.optimizer()
    schedule = optimizer.schedule
    epochs = list(
        train(
            net,
            samples_for(case),
            epochs=3,
            batch_size=BATCH,
            optimizer=optimizer._replace(schedule=lambda steps: factor * schedule(steps)),
            fast=device != "cpu",
            **case.step,
            **case.options,
        )
    )
    assert {epoch.step for epoch in epochs} == {"reference" if device == "cpu" else "captured"}
    return to_host(net.parameters), np.array([(epoch.loss, epoch.accuracy or 0) for epoch in epochs])


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_is_the_reference_but_for_rounding(cuda: str, case: Case) -> None:
    parameters, records = trained(case, cuda, "float64")
    expected, their_records = trained(case, "cpu", "float64")
    assert distance(parameters, expected) < 1e-12
    np.testing.assert_allclose(records, their_records, rtol=1e-11)
    sabotaged, _ = trained(case, cuda, "float64", factor=1.01)
    assert distance(sabotaged, expected) > 1e-6


@pytest.mark.parametrize("most", [BATCH - 1, BATCH])
def test_biases_gradients_of_large_batches_are_sums_too(cuda: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond so many are summed by a product: those of all batches here, or none."""
    monkeypatch.setattr(fused, "ROWS_OF_A_SUM", most)
    case = CASES["deep"]
    assert distance(trained(case, cuda, "float64")[0], trained(case, "cpu", "float64")[0]) < 1e-12


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_in_float32_it_errs_no_more_than_twice_as_much(cuda: str, case: Case) -> None:
    exact = trained(case, "cpu", "float64")[0]
    ours = distance(trained(case, cuda, "float32")[0], exact)
    theirs = distance(trained(case, "cpu", "float32")[0], exact)
    assert ours < max(2 * theirs, 2e-6)


def make_step(case: Case, optimizer: Optimizer | None = None, **options: Any) -> tuple[CapturedStep, Any]:
    """A step at the start of an epoch, and the epoch's row numbers."""
    net = MLP(case.sizes, **case.net, device="cuda", seed=3)
    inputs, targets = data_for(case)
    optimizer = optimizer or case.optimizer()
    step = CapturedStep(net, optimizer, net.place_inputs(inputs), net.place_targets(targets), BATCH, **options)
    step.begin_epoch(0, net.xp.asarray(table_of(optimizer), dtype=net.dtype))
    return step, net.xp.asarray(np.arange(N))


def table_of(optimizer: Optimizer, first: int = 0) -> NDArray[np.float64]:
    steps = np.arange(first, first + -(-N // BATCH), dtype=float)
    return update_table(optimizer, steps, optimizer.schedule(steps))


def run_epoch(step: CapturedStep, order: Any) -> None:
    for start in range(0, N, step.rows):
        step(order[start : start + step.rows])


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_warm_epoch_is_graphs_alone(fake_cupy: FakeCupy, case: Case) -> None:
    step, order = make_step(case, **case.step)
    for _ in range(2):  # the ragged batch comes once an epoch: at first it warms up, then it is recorded
        run_epoch(step, order)
        step.begin_epoch(0, step.table)
    before = to_host(step.net.parameters)
    with fake_cupy.counting() as counts:
        run_epoch(step, order)

    assert (counts.synchronisations, counts.allocations, counts.copies) == (0, 0, 0)
    assert counts.graphs == 3  # twice two batches, and the ragged one
    assert counts.launches == 3  # the row numbers, for each
    assert not np.array_equal(before, to_host(step.net.parameters))


@pytest.mark.usefixtures("fake_cupy")
def test_lower_precision_leaves_augmented_pictures_as_they_are() -> None:
    case, seen = CASES["augmentation"], []
    for precision in ("float32", "bf16"):
        step, order = make_step(case, precision=precision, **case.step)
        step(order[:BATCH])
        seen.append(to_host(step.buffers[BATCH].x).copy())
    np.testing.assert_array_equal(*seen)


@pytest.mark.usefixtures("fake_cupy", "short")
def test_recording_computes_nothing() -> None:
    step, order = make_step(Case())
    step(order[:10])
    before = to_host(step.net.parameters)
    graph = step._captured(10)
    np.testing.assert_array_equal(to_host(step.net.parameters), before)
    graph.launch()
    assert not np.array_equal(to_host(step.net.parameters), before)


@pytest.mark.usefixtures("fake_cupy", "short")
def test_graphs_see_new_parameters_tables_and_keys() -> None:
    """What changes between epochs is written to where the graphs read it."""
    case = CASES["dropout"]
    optimizer = optimizers.sgd(lambda steps: 0.1 / (1 + steps))
    (warm, order), (fresh, _) = make_step(case, optimizer, **case.step), make_step(case, optimizer, **case.step)
    start = to_host(warm.net.parameters)
    for _ in range(2):
        run_epoch(warm, order)
        warm.begin_epoch(0, warm.table)
    for step in (warm, fresh):
        step.net.parameters[...] = step.net.xp.asarray(start)
        step.begin_epoch(5, step.net.xp.asarray(table_of(optimizer, first=5), dtype="float32"))
        run_epoch(step, order)

    np.testing.assert_array_equal(*(to_host(step.net.parameters) for step in (warm, fresh)))
    assert warm.totals() == fresh.totals()


@pytest.mark.usefixtures("short")
def test_where_cuda_refuses_one_warning_says_why_and_the_run_goes_on(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = trained(Case(), "cuda", "float32")

    def refuse(*arguments: Any) -> None:
        raise RuntimeError("cudaErrorNotSupported: operation not supported")

    monkeypatch.setattr("fake_cuda.FakeStream.begin_capture", refuse)
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda", seed=3)
    with pytest.warns(RuntimeWarning, match=r"can't be captured as a CUDA graph \(cudaErrorNotSupported") as caught:
        epochs = list(train(net, (inputs, targets), epochs=3, batch_size=BATCH, optimizer=optimizers.sgd()))
    assert len(caught) == 1
    assert epochs[-1].step == "eager"
    np.testing.assert_array_equal(to_host(net.parameters), expected)


@pytest.mark.usefixtures("short")
def test_what_fails_in_the_middle_of_a_capture_ends_it(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    step, order = make_step(Case())
    step(order[:10])
    monkeypatch.setattr(step.kernels, "over_rows", lambda *arguments: step.totals())  # which asks the device
    with pytest.warns(RuntimeWarning, match="a copy to the host while a stream is captured"):
        assert step._captured(10) is None
    assert not fake_cupy._streams.is_capturing()


@pytest.mark.usefixtures("fake_cupy")
def test_without_the_compiler_the_reference_does_the_work(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("NVRTC can't be loaded")

    monkeypatch.setattr("fake_device.emulated", broken)
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda", seed=3)
    with pytest.warns(RuntimeWarning, match=r"fast train step can't be used \(NVRTC can't be loaded\)"):
        (epoch,) = train(net, (inputs, targets), epochs=1, batch_size=BATCH)
    assert epoch.step == "reference"
    with pytest.raises(RuntimeError, match="NVRTC"):
        train(net, (inputs, targets), precision="tf32")


@pytest.mark.parametrize(("precision", "low", "high"), [("tf32", 1e-6, 1e-2), ("bf16", 1e-5, 1e-1)])
def test_lower_precision_rounds_the_products_alone(cuda: str, precision: str, low: float, high: float) -> None:
    """A factor's relative error is 2^-11 or 2^-8; parameters stay float32 and take in small updates."""
    case = Case()
    exact, _ = trained(case, "cpu", "float64")
    net = MLP(case.sizes, device=cuda, seed=3)
    list(
        train(
            net,
            samples_for(case),
            epochs=3,
            batch_size=BATCH,
            optimizer=case.optimizer(),
            precision=precision,
        )
    )
    assert low < distance(to_host(net.parameters), exact) < high
    assert net.parameters.dtype == "float32"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "half"}, "unknown precision 'half': choose from float32, tf32, bf16"),
        ({"precision": "tf32"}, "precision tf32 needs a CUDA device"),
    ],
)
def test_precision_that_can_not_be(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        train(MLP([6, 4]), data_for(Case()), **options)


@pytest.mark.usefixtures("fake_cupy")
def test_precision_that_can_not_be_on_a_gpu() -> None:
    with pytest.raises(ValueError, match="for a net of float32, not float64"):
        train(MLP([6, 4], device="cuda", dtype="float64"), data_for(Case()), precision="bf16")
    with pytest.raises(ValueError, match="can't be had with fast=False"):
        train(MLP([6, 4], device="cuda"), data_for(Case()), precision="bf16", fast=False)


def test_a_graphs_work_is_bounded(monkeypatch: pytest.MonkeyPatch, fake_cupy: FakeCupy) -> None:
    step, _ = make_step(Case())
    assert step.rows == 5 * BATCH
    monkeypatch.setattr(captured, "WORK", 3 * BATCH * step.net.parameters.size)
    assert make_step(Case())[0].rows == 3 * BATCH
    monkeypatch.setattr(captured, "WORK", 1)
    assert make_step(Case())[0].rows == BATCH


def test_graphs_of_another_table_are_not_replayed(fake_cupy: FakeCupy) -> None:
    step, order = make_step(Case())
    step(order)
    step(order)
    assert step.graphs[BATCH] is not None
    step.begin_epoch(0, step.net.xp.zeros((40, step.table.shape[1]), dtype="float32"))
    assert step.graphs == {}


def test_cublas_that_fails_is_a_device_error(fake_cupy: FakeCupy) -> None:
    net = MLP(Case().sizes, device="cuda")
    epochs = train(net, samples_for(Case()), epochs=2, batch_size=BATCH)
    fake_cupy.cublas.failure = 14
    with pytest.raises(DeviceError, match=r"cuda:0 failed \(cublasSetStream_v2 failed: status 14 of the fake; seen in"):
        next(epochs)
    fake_cupy.cublas.failure = 0
