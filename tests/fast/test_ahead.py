"""Augmentation ahead of its use: bit for bit what the same step does without, and nothing goes wrong in silence."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import MLP, Augmentation, DataError, Regularization, Samples, optimizers, stored, train
from xpnn.augmenter import Augmenter
from xpnn.fast import ahead, compiled
from xpnn.fast.ahead import AheadStep
from xpnn.steps import ReferenceStep
from xpnn.stored import FlatFile, StoredRows
from xpnn.training import update_table

N, SIDE = 83, 4
ALL = Augmentation(shift=0.7, rotate=10, zoom=0.1, shear=5, elastic=34, cutout=1)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)
    monkeypatch.setattr(ahead, "LEAST_VALUES", 0)


def samples_for(pixels: bool = True, numbers: bool = False, weights: bool = False) -> Samples:
    generator = np.random.default_rng(1)
    inputs: NDArray[Any] = generator.integers(0, 256, (N, SIDE * SIDE), dtype=np.uint8)
    if not pixels:
        inputs = generator.random((N, SIDE * SIDE))
    targets = generator.random((N, 3)) if numbers else generator.integers(0, 3, N)
    return Samples(inputs, targets, generator.random(N) if weights else None)


def trained(samples: Samples, **options: Any) -> tuple[NDArray[Any], list[Any], set[str]]:
    """(parameters, the records' numbers, the steps' names) after three epochs."""
    net = MLP([SIDE * SIDE, 6, 3], output="softmax" if samples.targets.ndim == 1 else "identity", seed=3)  # type: ignore[union-attr]
    arguments: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 7,
        "augmentation": ALL,
        "optimizer": optimizers.adam(0.01),
    } | options
    records = list(train(net, samples, **arguments))
    return net.parameters, [(epoch.loss, epoch.accuracy) for epoch in records], {epoch.step for epoch in records}


@pytest.mark.parametrize("loops", [False, True], ids=["NumPy", "compiled"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ({}, {}),
        ({"pixels": False}, {"shuffle": False}),
        ({"weights": True}, {"class_weight": [1, 2, 3], "label_smoothing": 0.1}),
        ({"numbers": True, "weights": True}, {"optimizer": optimizers.sgd(0.01)}),
        ({}, {"regularization": Regularization(dropout=0.2, input_noise=0.1), "average_decay": 0.9}),
        ({}, {"batch_size": 1}),
        ({}, {"batch_size": N}),
        ({}, {"batch_size": 2 * N}),
    ],
    ids=["pixels", "numbers", "weights", "regression", "noise", "batches of 1", "one batch", "less than a batch"],
)
def test_it_is_the_step_without_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, kind: dict[str, bool], options: dict[str, Any], loops: bool
) -> None:
    if loops and not compiled.is_installed("scipy"):
        pytest.skip("Numba is not installed (the extra jit)")
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0 if loops else np.inf)
    parameters, records, names = trained(samples_for(**kind), **options)
    monkeypatch.setattr(ahead, "usable_cores", lambda: 1)
    expected, their_records, their_names = trained(samples_for(**kind), **options)
    np.testing.assert_array_equal(parameters, expected)
    assert records == their_records
    assert names == {f"{name}, augmented ahead" for name in their_names}
    others = trained(samples_for(**kind), **options | {"augmentation": Augmentation(rotate=10.1)})[0]
    assert not np.array_equal(others, expected)  # it was augmented


def test_rows_may_stay_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "BLOCK_BYTES", 3 * SIDE * SIDE)
    monkeypatch.setattr(stored, "WINDOW_BYTES", 12 * SIDE * SIDE)
    samples = samples_for(weights=True)
    (tmp_path / "rows").write_bytes(samples.inputs.tobytes())

    def in_file() -> Samples:
        file = FlatFile(tmp_path / "rows", 0, samples.inputs.shape, samples.inputs.dtype)
        return Samples(StoredRows.of(file), samples.targets, samples.weights)

    parameters, records, names = trained(in_file())
    assert names == {"reference, augmented ahead, from file"}
    monkeypatch.setattr(ahead, "usable_cores", lambda: 1)
    expected, their_records, names = trained(in_file())
    assert names == {"reference, from file"}
    np.testing.assert_array_equal(parameters, expected)
    assert records == their_records

    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)
    epochs = train(MLP([SIDE * SIDE, 6, 3]), in_file(), batch_size=7, augmentation=ALL)
    next(epochs)
    (tmp_path / "rows").unlink()
    with pytest.raises(DataError, match="rows: can't be read any more: No such file"):
        next(epochs)


def test_where_it_does_not_pay_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(samples_for(), fast=False)[2] == {"reference"}
    assert trained(samples_for(), augmentation=Augmentation(), batch_size=20)[2] == {"reference"}
    monkeypatch.setattr(ahead, "LEAST_VALUES", 7 * SIDE * SIDE + 1)
    assert trained(samples_for())[2] == {"reference"}
    monkeypatch.setattr(ahead, "LEAST_VALUES", 7 * SIDE * SIDE)
    assert trained(samples_for())[2] == {"reference, augmented ahead"}
    monkeypatch.setattr(ahead, "usable_cores", lambda: 1)
    assert trained(samples_for())[2] == {"reference"}


def step_for(net: MLP) -> AheadStep:
    samples, optimizer = samples_for(), optimizers.sgd(0.1)
    targets = net.checked_targets(np.asarray(samples.targets))
    step = AheadStep(ReferenceStep, net, optimizer, samples.inputs, targets, 7, augmentation=ALL)
    numbers = np.arange(12.0)
    step.begin_epoch(0, update_table(optimizer, numbers, optimizer.schedule(numbers)).astype("float32"))
    return step


def test_the_next_batch_is_augmented_while_one_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    step, begun = step_for(MLP([SIDE * SIDE, 6, 3])), threading.Event()
    augment, threads = Augmenter.augment, []

    def noting(self: Augmenter, *arguments: Any) -> None:
        threads.append(threading.current_thread())
        augment(self, *arguments)
        if len(threads) == 2:
            begun.set()

    monkeypatch.setattr(Augmenter, "augment", noting)
    monkeypatch.setattr(step.step, "_forward", lambda _: begun.wait(60) or pytest.fail("it was not augmented"))
    order = step.epoch_order(0, 1)
    step(order[:7])
    assert begun.is_set()
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threads[0]


def test_an_epoch_may_begin_anywhere_in_its_order() -> None:
    found = []
    for cut in (12, 5):
        net = MLP([SIDE * SIDE, 6, 3], seed=3)
        for first, last in ((0, cut), (cut, 12)):
            if first == 12:
                continue
            step = step_for(net)
            optimizer, numbers = optimizers.sgd(0.1), np.arange(first, 12.0)
            table = update_table(optimizer, numbers, optimizer.schedule(numbers)).astype("float32")
            step.begin_epoch(first, table)
            order = step.epoch_order(0, 1)[7 * first : 7 * last]
            for start in range(0, len(order), 7):
                step(order[start : start + 7])
        found.append(net.parameters)
    np.testing.assert_array_equal(found[0], found[1])


def test_what_goes_wrong_in_the_thread_is_raised_and_the_epoch_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    augment, calls = Augmenter.augment, 0

    def failing(self: Augmenter, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise MemoryError("no room for a picture")
        augment(self, *arguments)

    monkeypatch.setattr(Augmenter, "augment", failing)
    net = MLP([SIDE * SIDE, 6, 3], seed=3)
    before = net.parameters.copy()
    epochs = train(net, samples_for(), batch_size=7, augmentation=ALL)
    with pytest.raises(MemoryError, match="no room for a picture"):
        next(epochs)
    np.testing.assert_array_equal(net.parameters, before)


def test_no_thread_is_left_behind() -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    trained(samples_for())
    with pytest.raises(KeyboardInterrupt):
        trained(samples_for(), progress=stop)
    begun = train(MLP([SIDE * SIDE, 6, 3]), samples_for(), batch_size=7, augmentation=ALL)
    next(begun)
    del begun
    gc.collect()
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("xpnn-augmentation")]
    for thread in ours:
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)
