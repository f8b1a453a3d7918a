"""Rows learnt from a file: bit for bit what the same order of rows in memory teaches, in little memory."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peak
import pytest
from fake_device import FakeCupy
from fast_cases import Case, N, samples_for
from numpy.typing import NDArray

from xpnn import MLP, Augmentation, DataError, Regularization, Samples, evaluate, optimizers, stored, to_host, train
from xpnn.fast import compiled, streamed, windows
from xpnn.fast.deferred import DeferredStep
from xpnn.fast.windows import WindowedStep, Windows
from xpnn.lbfgs import train_lbfgs
from xpnn.range_test import find_learning_rate
from xpnn.shuffles import block_shuffled
from xpnn.steps import ReferenceStep
from xpnn.stored import FlatFile, StoredRows

BLOCK, WINDOW = 4, 6  # rows a block, blocks a window: 37 blocks, 7 windows


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above; for rows of 7 float64 numbers, which those of the cases are."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", BLOCK * 7 * 8)
    monkeypatch.setattr(stored, "WINDOW_BYTES", WINDOW * BLOCK * 7 * 8)


def in_file(folder: Path, samples: Samples) -> Samples:
    np.save(folder / "rows.npy", samples.inputs)
    mapped = np.load(folder / "rows.npy", mmap_mode="r")
    rows = StoredRows.of(FlatFile(folder / "rows.npy", mapped.offset, mapped.shape, mapped.dtype))
    return Samples(rows, samples.targets, samples.weights)


def trained(case: Case, samples: Samples, device: str = "cpu", **options: Any) -> tuple[Any, ...]:
    """(parameters, records, names of the steps) after three epochs."""
    net = MLP(case.sizes, **case.net, device=device, seed=3)
    arguments: dict[str, Any] = (
        {"batch_size": case.batch_size, "optimizer": case.optimizer, "epochs": 3} | case.options | options
    )
    epochs = list(train(net, samples, validation=samples.take(slice(60, 100)), **arguments))
    records = [(epoch.loss, epoch.accuracy or 0, epoch.validation.loss) for epoch in epochs if epoch.validation]
    return to_host(net.parameters), np.array(records), [epoch.step for epoch in epochs]


@pytest.fixture
def same_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Rows in memory are visited in the order in which those in the file are."""

    def epoch_order(self: ReferenceStep, seed: int | None, epoch: int) -> Any:
        blocks = stored.WINDOW_BYTES // (BLOCK * 7 * 8)
        return block_shuffled(self.rows_xp, len(self.inputs), BLOCK, blocks, seed, epoch)[0]

    monkeypatch.setattr(ReferenceStep, "epoch_order", epoch_order)
    return iter(())


CASES = {
    "batches": Case(batch_size=5, optimizer=optimizers.adam(0.01)),
    "batches of a window and more": Case(batch_size=31, optimizer=optimizers.momentum(0.01)),
    "batches of several windows": Case(batch_size=100, optimizer=optimizers.adam(0.01)),
    "all rows": Case(batch_size=N + 5),
    "deferred": Case(batch_size=1),
    "weights and classes": Case(weights=True, batch_size=4, options={"class_weight": [1, 2, 0.5, 1]}),
    "numbers": Case((7, 6, 2), {"output": "identity"}, batch_size=3),
    "smoothed labels, dropout, noise": Case(
        batch_size=6,
        options={
            "label_smoothing": 0.1,
            "regularization": Regularization(dropout=0.3, input_noise=0.1),
            "average_decay": 0.9,
        },
    ),
    "standardised": Case(net={"standardization": (np.arange(7) / 9, np.arange(1, 8))}, batch_size=5),
    "in order": Case(batch_size=5, options={"shuffle": False}),
    "reference": Case(batch_size=2, options={"fast": False}),
}


@pytest.mark.usefixtures("same_order")
@pytest.mark.parametrize("name", CASES)
def test_it_equals_rows_in_memory_in_that_order_bit_for_bit(tmp_path: Path, device: str, name: str) -> None:
    case = CASES[name]
    samples = samples_for(case)
    if case.sizes[-1] == 2:
        samples = Samples(samples.inputs, np.random.default_rng(2).random((N, 2)))
    expected, records, steps = trained(case, samples, device)
    parameters, found, names = trained(case, in_file(tmp_path, samples), device)
    np.testing.assert_array_equal(parameters, expected)
    np.testing.assert_array_equal(found, records)
    streams = ", from file" if device == "cpu" else ", streamed, from file"
    assert names == [f"{step}{streams}" for step in steps]


@pytest.mark.usefixtures("same_order")
def test_it_does_so_with_compiled_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled.is_installed("scipy"):
        pytest.skip("Numba is not installed (the extra jit)")
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)
    case = CASES["batches"]
    expected, records, steps = trained(case, samples_for(case))
    assert set(steps) == {"compiled"}
    parameters, found, _ = trained(case, in_file(tmp_path, samples_for(case)))
    np.testing.assert_array_equal(parameters, expected)
    np.testing.assert_array_equal(found, records)


def test_what_fits_a_window_is_learnt_as_rows_in_memory_are(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "WINDOW_BYTES", N * 7 * 8)
    case = CASES["batches"]
    expected = trained(case, samples_for(case), device)
    for found, other in zip(trained(case, in_file(tmp_path, samples_for(case)), device), expected, strict=True):
        np.testing.assert_array_equal(found, other)


def test_pixels_are_augmented_too(tmp_path: Path, device: str) -> None:
    generator = np.random.default_rng(1)
    samples = Samples(generator.integers(0, 256, (400, 16), dtype=np.uint8), generator.integers(0, 4, 400))
    case = Case((16, 5, 4), batch_size=7, options={"augmentation": Augmentation(rotate=20, shift=1)})
    blocks = 400 * 16 // stored.BLOCK_BYTES
    assert blocks > WINDOW

    net = MLP(case.sizes, device=device, seed=3)
    step_order, rows = block_shuffled(np, 400, 14, WINDOW, 0, 1)
    assert len(rows) == 29
    (epoch,) = train(net, in_file(tmp_path, samples), epochs=1, batch_size=7, **case.options)
    assert epoch.step.endswith("from file")
    other = MLP(case.sizes, device=device, seed=3)
    ordered = samples.take(step_order)
    (expected,) = train(other, ordered, epochs=1, batch_size=7, shuffle=False, **case.options)
    np.testing.assert_array_equal(to_host(net.parameters), to_host(other.parameters))
    assert epoch.loss == expected.loss


def make(folder: Path, rows_a_call: int = 5) -> tuple[Windows, NDArray[Any]]:
    samples = samples_for(Case())
    rows = in_file(folder, samples).inputs
    assert isinstance(rows, StoredRows)
    return Windows(rows, [np.arange(N)], rows_a_call), samples.inputs


def test_two_windows_are_in_memory_and_each_row_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    found, values = make(tmp_path)
    assert found.slots == 2
    assert [len(buffer) for buffer in found.buffers] == [2 * WINDOW * BLOCK] * 2
    for epoch in (1, 2):
        order = found.epoch_order(5, epoch)
        assert sorted(order) == [*range(N)]
        for start in range(0, N, 5):
            rows = order[start : start + 5]
            positions = found.positions(rows)
            np.testing.assert_array_equal(found.buffers[0][positions], values[rows])
            np.testing.assert_array_equal(found.buffers[1][positions], rows)


def test_an_epoch_may_begin_anywhere_in_its_order(tmp_path: Path) -> None:
    for start in (1, 23, 24, 60, N - 1):
        found, values = make(tmp_path)
        order = found.epoch_order(5, 1)[start:]
        for first in range(0, len(order), 5):
            rows = order[first : first + 5]
            np.testing.assert_array_equal(found.buffers[0][found.positions(rows)], values[rows])


def test_a_call_may_reach_past_a_window_that_has_the_short_block(tmp_path: Path) -> None:
    """145 rows make a last block of one: its window has 21 rows, and 23 in a row may begin before and end after it."""
    samples = samples_for(Case())
    samples = Samples(samples.inputs[:145], np.asarray(samples.targets)[:145])
    found = Windows(in_file(tmp_path, samples).inputs, [], calls=23)
    for epoch in range(1, 9):
        order = found.epoch_order(5, epoch)
        window = int(np.flatnonzero(found.sequence == 36)[0]) // WINDOW
        rows = order[max(0, window * 24 - 1) :][:23]
        np.testing.assert_array_equal(found.buffers[0][found.positions(rows)], samples.inputs[rows])


@pytest.mark.usefixtures("same_order")
def test_a_step_goes_on_from_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """A new step with the parameters of one that stopped learns the rest of its order as that one would."""
    samples, nets = in_file(tmp_path, samples_for(Case())), [MLP([7, 6, 4], seed=3) for _ in range(2)]
    table = np.tile(np.array([[0.1, 1, 1]], dtype=np.float32), (30, 1))

    def step_for(net: MLP) -> WindowedStep:
        rows, targets = net.checked_inputs(samples.inputs), net.checked_targets(np.asarray(samples.targets))
        return WindowedStep(ReferenceStep, net, optimizers.sgd(0.1), rows, targets, 5)

    def learn(step: WindowedStep, first: int, last: int) -> None:
        order = step.epoch_order(0, 1)[first:last]
        step.begin_epoch(0, table)
        for start in range(0, len(order), 5):
            step(order[start : start + 5])

    learn(step_for(nets[0]), 0, N)
    learn(step_for(nets[1]), 0, 65)
    learn(step_for(nets[1]), 65, N)
    np.testing.assert_array_equal(nets[1].parameters, nets[0].parameters)


def test_the_next_window_is_read_while_one_is_learnt_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[int] = []
    fill = Windows._fill

    def noting(self: Windows, number: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        fill(self, number)
        filled.append(number)

    monkeypatch.setattr(Windows, "_fill", noting)
    found, _ = make(tmp_path)
    order = found.epoch_order(5, 1)
    found.positions(order[:5])
    found.thread.submit(int).result()
    assert filled == [0, 1]
    found.positions(order[5:10])
    sizes = np.bincount(found.places[order // BLOCK] // WINDOW)  # rows a window
    within = int(sizes[0])
    found.positions(order[within - 2 : within + 2])  # of both
    found.thread.submit(int).result()
    assert filled == [0, 1]
    found.positions(order[within : within + 5])
    found.thread.submit(int).result()
    assert filled == [0, 1, 2]


def test_blocks_are_read_from_the_front_of_the_file_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    read = FlatFile.read

    def noting(self: FlatFile, start: int, out: NDArray[Any]) -> None:
        starts.append(start)
        assert len(out) == min(BLOCK, N - start)
        read(self, start, out)

    monkeypatch.setattr(FlatFile, "read", noting)
    found, _ = make(tmp_path)
    order = found.epoch_order(5, 1)
    for row in order:
        found.positions(np.array([row]))
    assert sorted(starts) == [*range(0, N, BLOCK)]
    for first in range(0, len(starts), WINDOW):
        part = starts[first : first + WINDOW]
        assert part == sorted(part)
    assert starts != sorted(starts)


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.truncate(path, 2000)], ids=["unlinked", "truncated"])
def test_a_file_that_is_lost_in_an_epoch_is_one_error_and_the_epoch_is_undone(
    tmp_path: Path, device: str, change: Any
) -> None:
    net, calls = MLP([7, 6, 4], device=device, seed=3), 0
    before: list[Any] = []

    def progress(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 40:  # in the second epoch of 30 updates
            change(tmp_path / "rows.npy")

    epochs = train(net, in_file(tmp_path, samples_for(Case())), epochs=3, batch_size=5, progress=progress, fast=False)
    next(epochs)
    before.append(to_host(net.parameters))
    with pytest.raises(DataError, match=r"rows.npy: (can't be read any more|the file was changed)"):
        next(epochs)
    np.testing.assert_array_equal(to_host(net.parameters), before[0])


def test_a_row_that_is_not_finite_ends_the_epoch_that_meets_it(tmp_path: Path, device: str) -> None:
    samples = samples_for(Case())
    samples.inputs[131, 3] = np.inf
    net = MLP([7, 6, 4], device=device, seed=3)
    before = to_host(net.parameters)
    with pytest.raises(DataError, match=r"rows.npy: the inputs of row 131, counted from 0, hold nan, inf"):
        list(train(net, in_file(tmp_path, samples), epochs=1, batch_size=5))
    np.testing.assert_array_equal(to_host(net.parameters), before)


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    samples = in_file(tmp_path, samples_for(Case()))
    list(train(MLP([7, 6, 4]), samples, epochs=2, batch_size=5))
    with pytest.raises(KeyboardInterrupt):
        list(train(MLP([7, 6, 4]), samples, epochs=2, batch_size=5, progress=stop))
    begun = train(MLP([7, 6, 4]), samples, epochs=2, batch_size=5)
    next(begun)
    del begun
    gc.collect()
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("xpnn")]
    for thread in ours:
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)


def test_the_range_test_and_evaluation_read_from_the_file_and_l_bfgs_does_not(tmp_path: Path, device: str) -> None:
    samples = samples_for(Case())
    stays = in_file(tmp_path, samples)
    found = find_learning_rate(MLP([7, 6, 4], device=device), stays, steps=60, batch_size=5)
    assert len(found.losses) > 10
    net = MLP([7, 6, 4], device=device)
    assert evaluate(net, stays).scores() == evaluate(net, samples).scores()
    if device == "cpu":
        with pytest.raises(ValueError, match="L-BFGS needs all rows in memory, and these stay in their file"):
            train_lbfgs(net, stays)


def test_on_a_card_blocks_of_batches_may_span_windows(
    fake_cupy: FakeCupy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step there may take more rows at once than a window has: then more windows are kept."""
    assert streamed.SLOT_BYTES > stored.WINDOW_BYTES
    case, found = CASES["batches"], []
    make_windows = windows.Windows.__init__

    def noting(self: Windows, *arguments: Any) -> None:
        make_windows(self, *arguments)
        found.append(self.slots)

    monkeypatch.setattr(Windows, "__init__", noting)
    trained(case, in_file(tmp_path, samples_for(case)), "cuda")
    assert found == [7]


def test_deferred_steps_take_more_rows_than_a_batch(tmp_path: Path) -> None:
    samples, net = in_file(tmp_path, samples_for(Case())), MLP([7, 6, 4])
    rows, targets = net.checked_inputs(samples.inputs), net.checked_targets(np.asarray(samples.targets))
    step = WindowedStep(DeferredStep, net, optimizers.sgd(0.1), rows, targets, 1)
    assert (step.rows, step.windows.slots) == (128, 7)


MEASURED = """
import numpy as np
import xpnn, xpnn.fast.windows, concurrent.futures.thread

mapped = np.load(sys.argv[1], mmap_mode="r")
labels = np.zeros(len(mapped), dtype=np.int64)
labels[::2] = 1
net = xpnn.MLP([mapped.shape[1], 2])
list(xpnn.train(net, (np.zeros((512, mapped.shape[1])), labels[:512]), epochs=1, batch_size=512))  # what a step needs
before = peak()
samples, aside = xpnn.Samples(mapped, labels).split(0.01)
epochs = list(xpnn.train(net, samples, validation=aside, epochs=1, batch_size=512))
print(peak() - before, epochs[0].step)
"""


def test_peak_memory_stays_below_its_bound(tmp_path: Path) -> None:
    """That of docs/large-data.md; the few validation rows and what a chunk of them takes are in the 32 MB."""
    pytest.importorskip("resource")
    rows, n_in = 60_000, 4000
    with (tmp_path / "rows.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, n_in)}
        np.lib.format.write_array_header_1_0(file, header)
        chunk = np.random.default_rng(0).integers(0, 256, (6000, n_in), dtype=np.uint8)
        for _ in range(rows // len(chunk)):
            file.write(chunk.tobytes())
    size = (tmp_path / "rows.npy").stat().st_size
    taken, step = peak.printed(MEASURED, str(tmp_path / "rows.npy")).split(maxsplit=1)
    bound = 2 * 2**26 + 32 * rows + 2**25
    assert step.strip() == "reference, from file"
    assert bound < 0.75 * size
    assert int(taken) < bound
