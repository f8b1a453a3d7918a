"""Rows that are streamed through the card against rows that lie on it, on the fake device: equal bit for bit.

The fake puts all work off until it is waited for; copies are made as late as may be, or as early.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from device_cases import BATCH, CASES, N_IN, Case, N, data_for, samples_for
from fake_cuda import FakeEvent, FakeStream
from fake_device import FakeCupy
from numpy.typing import NDArray

from xpnn import MLP, DataError, Samples, evaluate, optimizers, to_host, train
from xpnn.backend import Device, free_memory
from xpnn.evaluation import COPIES, ORDER_BYTES, SHARE, placed
from xpnn.fast import captured, online, streamed
from xpnn.fast.captured import CapturedStep
from xpnn.fast.online import OnlineStep
from xpnn.fast.streamed import StreamedStep
from xpnn.range_test import find_learning_rate
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

PLENTY = 1 << 40


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two updates: an epoch has two of them, which take turns, and a ragged one; chunks of four rows."""
    monkeypatch.setattr(captured, "UPDATES", 2)
    monkeypatch.setattr("xpnn.network.CUDA_QUERY_ROWS", 4)


def trained(fake: FakeCupy, case: Case, free: int, **options: Any) -> tuple[NDArray[Any], ...]:
    """(parameters, records, names of the steps) after three epochs on a card with so much free memory."""
    fake._free = free
    net = MLP(case.sizes, **case.net, device="cuda", seed=3)
    arguments = {"batch_size": BATCH, "optimizer": case.optimizer(), **case.step, **case.options, **options}
    validation = samples_for(case).take(slice(9))
    epochs = list(train(net, samples_for(case), validation=validation, epochs=3, **arguments))
    records = [(epoch.loss, epoch.accuracy or 0, epoch.validation.loss) for epoch in epochs if epoch.validation]
    return to_host(net.parameters), np.array(records), np.array([epoch.step for epoch in epochs])


def check_equal(fake: FakeCupy, case: Case, **options: Any) -> None:
    parameters, records, steps = trained(fake, case, free=PLENTY, **options)
    assert not fake._streams.puts_off  # it was done as it always is
    streamed_parameters, streamed_records, streamed_steps = trained(fake, case, free=0, **options)
    np.testing.assert_array_equal(streamed_parameters, parameters)
    np.testing.assert_array_equal(streamed_records, records)
    assert list(streamed_steps) == [f"{step}, streamed" for step in steps]


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_equals_rows_on_the_card_bit_for_bit(fake_cupy: FakeCupy, case: Case, early: bool) -> None:
    fake_cupy._streams.early = early
    check_equal(fake_cupy, case)


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False},
        {"fast": False},
        {"batch_size": 1},
        {"batch_size": N},
        {"batch_size": 5 * N},
        {"class_weight": [1, 2, 3, 4]},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_it_does_so_with_other_options(fake_cupy: FakeCupy, options: dict[str, Any], early: bool) -> None:
    fake_cupy._streams.early = early
    check_equal(fake_cupy, Case(), **options)


def nothing(*arguments: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("owner", "wait"), [(FakeEvent, "synchronize"), (FakeStream, "wait_event"), (FakeStream, "record")]
)
def test_a_missing_wait_would_show(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, owner: type, wait: str
) -> None:
    expected, _, _ = trained(fake_cupy, Case(), free=PLENTY)
    monkeypatch.setattr(owner, wait, nothing)
    parameters, _, _ = trained(fake_cupy, Case(), free=0)
    assert not np.array_equal(parameters, expected)


def make_step(case: Case, make: Callable[..., ReferenceStep] = CapturedStep, batch_size: int = BATCH) -> StreamedStep:
    """A step at the start of an epoch."""
    net = MLP(case.sizes, **case.net, device="cuda", seed=3)
    samples, optimizer = samples_for(case), case.optimizer()
    weights = None if samples.weights is None else samples.weights[:, None].astype("float32")
    rows = net.checked_inputs(samples.inputs), net.checked_targets(samples.targets)
    step = StreamedStep(make, net, optimizer, *rows, batch_size, weights=weights, **case.step)
    steps = np.arange(-(-N // BATCH), dtype=float)
    step.begin_epoch(0, net.xp.asarray(update_table(optimizer, steps, optimizer.schedule(steps)), dtype="float32"))
    return step


def run_epoch(step: StreamedStep) -> None:
    for start in range(0, N, step.rows):
        step(np.arange(start, min(start + step.rows, N)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_warm_epoch_waits_for_its_slots_alone(fake_cupy: FakeCupy, case: Case) -> None:
    step = make_step(case)
    for _ in range(2):
        run_epoch(step)
        step.begin_epoch(0, step.step.table)
    before = to_host(step.step.net.parameters)
    with fake_cupy.counting() as counts:
        run_epoch(step)

    assert step.rows == 2 * BATCH
    assert (counts.synchronisations, counts.allocations) == (3, 0)  # one for each block
    assert counts.copies == 3 * (3 if case.weights else 2)  # inputs, targets, weights
    assert counts.graphs == 3
    assert counts.launches == 3  # the row numbers, for each
    assert not np.array_equal(before, to_host(step.step.net.parameters))


def test_the_host_is_one_block_ahead_of_the_device(fake_cupy: FakeCupy) -> None:
    """While a block is not learnt yet, the next one is gathered, and its copy and its learning are under way."""
    step, learning, rows = make_step(Case()), fake_cupy._streams.current, np.arange(2 * BATCH)
    for _ in range(2):  # the second time it is recorded
        step(rows)
    step.totals()
    first, second = (slot.free for slot in step.slots)
    step(rows)
    step(rows)
    of_the_first = first.place
    assert learning.done < of_the_first < second.place
    step(rows)  # in the first one's slot
    assert of_the_first <= learning.done < second.place < first.place


def test_a_slot_is_not_free_before_its_memory_is(fake_cupy: FakeCupy) -> None:
    """What the default stream did to it before, filling it with 0 at least, may not have been done yet."""
    fake_cupy._streams.puts_off = True
    step = make_step(Case())
    assert [slot.free.stream for slot in step.slots] == [fake_cupy._streams.current] * 2
    assert min(slot.free.place for slot in step.slots) > 0


def test_a_slot_is_small_but_holds_a_batch(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "UPDATES", 32)
    assert make_step(Case()).rows == 5 * BATCH  # no more than there are rows, in whole batches
    assert make_step(Case(), batch_size=100 * N).rows == N
    of_a_batch = BATCH * (6 * 4 + 8)
    monkeypatch.setattr(streamed, "SLOT_BYTES", 4 * of_a_batch - 1)
    step = make_step(Case())
    assert step.rows == 3 * BATCH
    assert [part.shape for part in step.slots[1].pinned] == [(15, 6), (15,)]
    monkeypatch.setattr(streamed, "SLOT_BYTES", 1)
    assert make_step(Case()).rows == BATCH
    monkeypatch.setattr(captured, "WORK", 1)  # graphs of one update: a block is what a graph takes
    monkeypatch.setattr(streamed, "SLOT_BYTES", 1 << 26)
    assert make_step(Case()).rows == BATCH
    assert make_step(Case(), ReferenceStep).rows == BATCH


def test_a_slot_holds_as_many_single_rows_as_the_online_step_takes(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "BLOCK", 4)
    step = make_step(Case(), OnlineStep, batch_size=1)
    assert step.rows == 2 * 4


def kinds(samples: Samples) -> tuple[type, type]:
    """The types of its arrays."""
    return type(samples.inputs), type(samples.targets)


@pytest.mark.parametrize("name", ["softmax", "pixels", "focal", "regression"])
def test_samples_stay_on_the_host_where_they_are_too_large(fake_cupy: FakeCupy, name: str) -> None:
    case = CASES[name]
    net, samples = MLP(case.sizes, **case.net, device="cuda"), samples_for(case)
    inputs, targets = net.checked_inputs(samples.inputs), net.checked_targets(samples.targets)
    size = inputs.nbytes + targets.nbytes + (0 if samples.weights is None else 4 * N)
    fake_cupy._free = math.ceil(size / SHARE) + COPIES * net.parameters.nbytes + ORDER_BYTES * N
    assert kinds(placed(net, samples, "train on")) == (fake_cupy.ndarray, fake_cupy.ndarray)
    fake_cupy._free -= 2
    rows = placed(net, samples, "train on")
    assert kinds(rows) == (np.ndarray, np.ndarray)
    np.testing.assert_array_equal(rows.inputs, inputs)
    np.testing.assert_array_equal(rows.targets, targets)


def test_what_the_pool_keeps_is_free(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run must not stream because the first one's rows, which are gone, still count as used."""
    net, samples = MLP(Case().sizes, device="cuda"), samples_for(Case())
    fake_cupy._free = 0
    pool = fake_cupy.get_default_memory_pool()
    pool.free_bytes = lambda: PLENTY
    monkeypatch.setattr(fake_cupy, "get_default_memory_pool", lambda: pool, raising=False)
    assert kinds(placed(net, samples, "train on")) == (fake_cupy.ndarray, fake_cupy.ndarray)


def test_arrays_that_are_on_a_card_never_stream(fake_cupy: FakeCupy) -> None:
    fake_cupy._free = 0
    inputs, targets = data_for(Case())
    net = MLP(Case().sizes, device="cuda", seed=3)
    rows = placed(net, (fake_cupy.asarray(inputs), targets), "train on")
    assert kinds(rows) == (fake_cupy.ndarray, fake_cupy.ndarray)
    rows = placed(net, (inputs, fake_cupy.asarray(targets)), "train on")  # whose inputs are not
    assert kinds(rows) == (np.ndarray, np.ndarray)
    (epoch,) = train(net, (fake_cupy.asarray(inputs), targets), epochs=1)
    assert epoch.step == "captured"


def test_the_cpu_never_streams(fake_cupy: FakeCupy) -> None:
    fake_cupy._free = 0
    (epoch,) = train(MLP(Case().sizes), samples_for(Case()), epochs=1, fast=False)
    assert epoch.step == "reference"


@pytest.mark.parametrize("name", ["focal", "regression", "pixels", "probabilities"])
def test_evaluation_moves_a_chunk_at_a_time(fake_cupy: FakeCupy, name: str) -> None:
    case = CASES[name]
    net = MLP(case.sizes, **case.net, device="cuda", seed=3)
    expected = evaluate(net, samples_for(case))
    fake_cupy._free = 0
    found = evaluate(net, samples_for(case))
    assert found.scores() == expected.scores()
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    assert kinds(placed(net, samples_for(case), "evaluate")) == (np.ndarray, np.ndarray)


@pytest.mark.parametrize(
    "samples",
    [
        (np.full((3, N_IN), np.nan), np.zeros(3, dtype=int)),
        (np.zeros((3, N_IN + 1)), np.zeros(3, dtype=int)),
        (np.full((3, N_IN), 256), np.zeros(3, dtype=int)),
        (np.zeros((3, N_IN)), np.array([0, 1, 4])),
        (np.zeros((3, N_IN)), np.full((3, 4), 0.5)),
        Samples(np.zeros((3, N_IN)), np.zeros(3, dtype=int), np.zeros(3)),
        Samples(np.zeros((3, N_IN)), np.zeros(3, dtype=int), np.full(3, 1e300)),
    ],
)
def test_what_is_wrong_with_the_rows_is_told_in_the_same_words(fake_cupy: FakeCupy, samples: Any) -> None:
    words = []
    for device, free in (("cpu", PLENTY), ("cuda", PLENTY), ("cuda", 0)):
        fake_cupy._free = free
        with pytest.raises(DataError) as caught:
            train(MLP(Case().sizes, device=device), samples)
        words.append(str(caught.value))
    assert len(set(words)) == 1


def test_a_run_that_is_broken_off_leaves_nothing_behind(fake_cupy: FakeCupy) -> None:
    fake_cupy._free = 0
    net = MLP(Case().sizes, device="cuda", seed=3)
    before = to_host(net.parameters)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(train(net, samples_for(Case()), batch_size=BATCH, progress=stop))
    np.testing.assert_array_equal(to_host(net.parameters), before)
    list(train(net, samples_for(Case()), epochs=3, batch_size=BATCH, optimizer=optimizers.sgd()))
    fake_cupy._free = PLENTY
    other = MLP(Case().sizes, device="cuda", seed=3)
    list(train(other, samples_for(Case()), epochs=3, batch_size=BATCH, optimizer=optimizers.sgd()))
    np.testing.assert_array_equal(to_host(net.parameters), to_host(other.parameters))


def test_the_range_test_streams_too(fake_cupy: FakeCupy) -> None:
    net = MLP(Case().sizes, device="cuda", seed=3)
    expected = find_learning_rate(net, samples_for(Case()), steps=20, batch_size=BATCH)
    fake_cupy._free = 0
    with fake_cupy.counting() as counts:
        found = find_learning_rate(net, samples_for(Case()), steps=20, batch_size=BATCH)
    np.testing.assert_array_equal(found.losses, expected.losses)
    assert counts.copies > 40


@pytest.mark.filterwarnings("ignore:fused kernels can't be used in queries:RuntimeWarning")  # which is said, too
def test_without_the_compiler_the_reference_streams(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **keywords: Any) -> None:
        raise RuntimeError("NVRTC can't be loaded")

    expected, _, _ = trained(fake_cupy, Case(), free=PLENTY, fast=False)
    monkeypatch.setattr(type(fake_cupy), "RawModule", broken)
    with pytest.warns(RuntimeWarning, match=r"fast train step can't be used"):
        parameters, _, steps = trained(fake_cupy, Case(), free=0)
    assert set(steps) == {"reference, streamed"}
    np.testing.assert_array_equal(parameters, expected)


def test_rows_may_lie_in_a_file(fake_cupy: FakeCupy, tmp_path: Any) -> None:
    inputs, targets = data_for(Case(inputs="pixels"))
    np.save(tmp_path / "inputs.npy", inputs)
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    fake_cupy._free = 0
    nets = [MLP(Case().sizes, device="cuda", seed=3) for _ in range(2)]
    for net, rows in zip(nets, (inputs, mapped), strict=True):
        (epoch,) = train(net, (rows, targets), epochs=1)
        assert epoch.step == "captured, streamed"
    np.testing.assert_array_equal(*(to_host(net.parameters) for net in nets))


def test_on_the_second_card(fake_cupy: FakeCupy) -> None:
    fake_cupy._free = 0
    nets = [MLP(Case().sizes, device=device, seed=3) for device in ("cuda:0", "cuda:1")]
    for net in nets:
        (epoch,) = train(net, samples_for(Case()), epochs=1)
        assert epoch.step == "captured, streamed"
    np.testing.assert_array_equal(*(to_host(net.parameters) for net in nets))


@pytest.mark.parametrize("n", [65, 100, 130, 200])
def test_single_rows_stream_too(fake_cupy: FakeCupy, n: int) -> None:
    """The online step takes whole blocks of 64, more than the rows of some slots."""
    generator, found = np.random.default_rng(4), []
    inputs, labels = generator.normal(size=(n, 6)), generator.integers(0, 4, n)
    for free in (0, PLENTY):
        fake_cupy._free = free
        net = MLP([6, 5, 4], device="cuda", seed=3)
        list(train(net, (inputs, labels), epochs=2, batch_size=1, optimizer=optimizers.sgd()))
        found.append(to_host(net.parameters))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)  # blocks may part the rows elsewhere


def test_a_step_of_few_rows_stages_few(fake_cupy: FakeCupy) -> None:
    step = make_step(Case(), ReferenceStep)
    assert [part.shape for part in (step.step.inputs, step.step.targets)] == [(2 * BATCH, 6), (2 * BATCH,)]


def test_the_pools_limit_counts(fake_cupy: FakeCupy) -> None:
    fake_cupy._limit = 1000
    assert free_memory(Device("cuda")) == 1000
