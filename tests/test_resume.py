"""A run that was stopped, anywhere, and goes on from its state is bit for bit the run that never stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import device_cases
import fast_cases
import numpy as np
import pytest
from device_cases import BATCH, N_IN, samples_for
from fake_device import FakeCupy
from numpy.typing import NDArray

from xpnn import (
    MLP,
    Augmentation,
    DivergenceError,
    Epoch,
    ReduceOnPlateau,
    Regularization,
    Samples,
    TrainingState,
    early_stopping,
    load_model,
    load_state,
    optimizers,
    record_of,
    save_state,
    stored,
    to_host,
    train,
)
from xpnn.fast import ahead, batches, captured, compiled, online
from xpnn.recipes import Recipe
from xpnn.schedules import linear
from xpnn.state import Sums

EPOCHS = 3
CASES = {
    **device_cases.CASES,
    "a schedule that falls, momentum": device_cases.Case(
        optimizer=lambda: optimizers.momentum(linear(0.1, EPOCHS * 5)),
    ),
    "plateau": device_cases.Case(options={"plateau": (0, 0.5)}),
    "early stopping": device_cases.Case(options={"patience": 1}),
    "early stopping, average, dropout, augmentation": device_cases.Case(
        (9, 7, 4),
        optimizer=optimizers.adam,
        step={
            "average_decay": 0.9,
            "augmentation": Augmentation(rotate=10),
            "regularization": Regularization(dropout=0.5, input_noise=0.1),
        },
        options={"patience": 2, "plateau": (0, 0.5)},
    ),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about what a disk keeps when the power fails."""
    monkeypatch.setattr("os.fsync", lambda _: None)


class Run:
    """A run of three epochs to its end, with the states that it could have been stopped in."""

    def __init__(
        self, sizes: tuple[int, ...], samples: Samples, resume: TrainingState | None = None, **options: Any
    ) -> None:
        self.states: list[TrainingState] = []
        patience, plateau = options.pop("patience", None), options.pop("plateau", None)
        if plateau is not None:
            options["plateau"] = ReduceOnPlateau(patience=plateau[0], factor=plateau[1], minimum_change=0.5)
        self.net = net = MLP(
            sizes, **options.pop("net"), device=options.pop("device"), seed=3 if resume is None else 99
        )
        options |= {"validation": samples.take(slice(9)), "epochs": EPOCHS, "progress": self.note, "resume": resume}
        self.epochs: Any = train(net, samples, **options)
        if patience is not None:
            self.epochs = early_stopping(self.epochs, net, patience=patience, minimum_change=0.3, resume=resume)
        self.note()
        self.records: list[dict[str, Any]] = []
        for epoch in self.epochs:
            self.records.append({**record_of(epoch), "seconds": 0})
            self.note()
        self.parameters: NDArray[Any] = to_host(net.parameters)

    def note(self, *_: Any) -> None:
        self.states.append(self.epochs.state())


def check_resumed(tmp_path: Path, sizes: tuple[int, ...], samples: Samples, step: str, **options: Any) -> None:
    """Stop a run at its start, between its epochs, and within them; go on with a net that is another one so far."""
    whole = Run(sizes, samples, **options)
    assert {record["step"] for record in whole.records} == {step}
    assert {state.epoch for state in whole.states} == {*range(len(whole.records) + 1)}
    after = [state for state in whole.states if not state.rows]
    within = [state for state in whole.states if 0 < state.rows < len(samples)]
    last_rows = next(state for state in whole.states if state.rows == len(samples))  # of the first epoch
    for state in (after[1], after[-1], within[0], within[-1], last_rows):
        state = through_a_file(state, whole, tmp_path / "checkpoint")  # noqa: PLW2901  it is the same
        again = Run(sizes, samples, resume=state, **options)
        assert again.records == whole.records[state.epoch :], (state.epoch, state.rows)
        assert again.parameters.tobytes() == whole.parameters.tobytes(), (state.epoch, state.rows)
        check_same(again.states[-1], whole.states[-1])


def through_a_file(state: TrainingState, run: Run, path: Path) -> TrainingState:
    history = run.records[: state.epoch]
    save_state(run.net, state, path, history=history)
    found = load_state(path)
    check_same(found.state, state)
    assert found.history == history
    assert found.net.settings() == run.net.settings() == load_model(path).settings()
    np.testing.assert_array_equal(load_model(path).parameters, state.parameters)
    return found.state


def check_same(state: TrainingState, other: TrainingState) -> None:
    ours, theirs = dataclasses.asdict(state), dataclasses.asdict(other)
    np.testing.assert_equal(ours, theirs)


def settings(case: device_cases.Case, device: str) -> dict[str, Any]:
    own = {"batch_size": BATCH, "optimizer": case.optimizer()}
    return {"net": case.net, "device": device, **own, **case.step, **case.options}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_kind_of_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, case: device_cases.Case
) -> None:
    monkeypatch.setattr(captured, "UPDATES", 2)  # two graphs of two batches, and a ragged one
    step = "reference" if device == "cpu" else "captured"
    fast = {"fast": device != "cpu"}
    check_resumed(tmp_path, case.sizes, samples_for(case), step, **settings(case, device), **fast)


@pytest.mark.parametrize(
    "name", ["batches of 1", "batches of 5", "momentum, batches of 2", "weight decay and momentum", "weights"]
)
def test_the_deferred_step(tmp_path: Path, name: str) -> None:
    check_fast(tmp_path, fast_cases.CASES[name], "deferred", "cpu")


@pytest.mark.skipif(not compiled.is_installed("scipy"), reason="Numba is not installed (the extra jit)")
@pytest.mark.parametrize(
    ("case", "step"),
    [
        (fast_cases.Case(optimizer=optimizers.momentum(0.01)), "deferred, compiled"),
        (fast_cases.Case(optimizer=optimizers.adam(0.01), batch_size=5, weights=True), "compiled"),
        (
            fast_cases.Case(
                optimizer=optimizers.momentum(0.01),
                batch_size=5,
                options={"average_decay": 0.9, "regularization": Regularization(dropout=0.3, input_noise=0.1)},
            ),
            "compiled",
        ),
        (
            fast_cases.Case(net={"hidden": "elu"}, optimizer=optimizers.adam(0.01), batch_size=5),
            "reference, compiled update",
        ),
    ],
)
def test_the_compiled_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: fast_cases.Case, step: str) -> None:
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)
    monkeypatch.setattr(batches, "BLOCK", 60 * 11)
    check_fast(tmp_path, case, step, "cpu")


@pytest.mark.parametrize("name", ["batches of 1", "falling rate", "weights"])
def test_the_online_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str, name: str) -> None:
    monkeypatch.setattr(captured, "UPDATES", 2)
    monkeypatch.setattr(online, "BLOCK", 16)
    check_fast(
        tmp_path, fast_cases.CASES[name]._replace(weights=name == "weights", batch_size=1), "deferred, captured", cuda
    )


def check_fast(tmp_path: Path, case: fast_cases.Case, step: str, device: str) -> None:
    own = {"batch_size": case.batch_size, "optimizer": case.optimizer}
    samples = fast_cases.samples_for(case)
    check_resumed(tmp_path, case.sizes, samples, step, net=case.net, device=device, **own, **case.options)


@pytest.mark.parametrize("name", ["adam", "weights", "average", "dropout", "augmentation"])
def test_rows_that_are_streamed(
    tmp_path: Path, fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(captured, "UPDATES", 2)
    fake_cupy._free = 0
    case = CASES["focal" if name == "weights" else name]
    check_resumed(tmp_path, case.sizes, samples_for(case), "captured, streamed", **settings(case, "cuda"))


@pytest.mark.parametrize(("name", "feed"), [("adam", "from file"), ("augmentation", "augmented ahead, from file")])
def test_rows_that_stay_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, feed: str) -> None:
    samples = samples_for(CASES[name])
    row_bytes = samples.inputs.nbytes // len(samples)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 4 * row_bytes)
    monkeypatch.setattr(stored, "WINDOW_BYTES", 8 * row_bytes)
    np.save(tmp_path / "rows.npy", samples.inputs)
    in_file = Samples(np.load(tmp_path / "rows.npy", mmap_mode="r"), samples.targets)
    assert isinstance(in_file.inputs, stored.StoredRows)
    check_ahead(tmp_path, monkeypatch, name, in_file, feed)


def test_rows_that_are_augmented_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_ahead(tmp_path, monkeypatch, "augmentation", samples_for(CASES["augmentation"]), "augmented ahead")


def check_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, samples: Samples, feed: str) -> None:
    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)
    monkeypatch.setattr(ahead, "LEAST_VALUES", 0)
    check_resumed(tmp_path, CASES[name].sizes, samples, f"reference, {feed}", **settings(CASES[name], "cpu"))


def a_state(**options: Any) -> TrainingState:
    epochs = train(MLP([N_IN, 7, 4], seed=3), samples_for(CASES["adam"]), epochs=2, batch_size=BATCH, **options)
    next(epochs)
    return epochs.state()


def test_new_rows_are_the_next_epochs() -> None:
    """The optimizer's moments, its corrections and the schedule go on, whatever the number of rows."""
    rates: list[float] = []

    def schedule(updates: Any) -> Any:
        rates.extend(updates.tolist())
        return 0.01 / (1 + updates)

    adam = optimizers.adam(schedule)
    state = a_state(optimizer=adam)
    alone = TrainingState(state.epoch, state.updates, state.parameters, state.vectors)
    net = MLP([N_IN, 7, 4])
    few = samples_for(CASES["adam"]).take(slice(7))
    (epoch,) = train(net, few, epochs=2, batch_size=BATCH, optimizer=adam, resume=alone)
    assert rates == [*range(5), 5, 6]
    assert epoch.number == 2
    assert not np.array_equal(net.parameters, state.parameters)


def test_a_run_goes_on_from_the_cpu_to_a_cuda_device_and_back(device: str) -> None:
    state = a_state()
    net, other = MLP([N_IN, 7, 4], device=device), MLP([N_IN, 7, 4])
    for goes_on in (net, other):
        list(train(goes_on, samples_for(CASES["adam"]), epochs=2, batch_size=BATCH, resume=state))
    np.testing.assert_allclose(to_host(net.parameters), other.parameters, rtol=1e-4, atol=1e-6)  # of float32


def test_a_run_that_will_diverge_does_so_after_its_resumption_too() -> None:
    """What is no finite number is part of a state; the parameters from before the epoch are put back."""
    case = CASES["adam"]
    states: list[TrainingState] = []
    samples = Samples(samples_for(case).inputs * 1e3, samples_for(case).targets)
    texts, nets = [], []
    for resume in (None, 3):
        net = MLP([N_IN, 7, 4], hidden="identity", output="identity", seed=3 if resume is None else 99)
        epochs: Any = None
        options: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "optimizer": optimizers.sgd(1e30), "fast": False}
        state = None if resume is None else states[resume]
        epochs = train(net, samples, progress=lambda _: states.append(epochs.state()), resume=state, **options)  # noqa: B023  called in its turn
        with pytest.raises(DivergenceError) as caught:
            list(epochs)
        texts.append(str(caught.value))
        nets.append(net.parameters.copy())
        with pytest.raises(RuntimeError, match="the epoch was broken off: a run has a state between its epochs"):
            epochs.state()
    assert not np.isfinite(states[3].sums.loss)
    assert texts[0] == texts[1]
    np.testing.assert_array_equal(*nets)


TEN = {"rows": 10, "sums": Sums(loss=3.0, hits=4, finite_updates=2)}  # rows, in two updates


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"epoch": 3}, {}, "the state is one after 3 epochs, and this run has only 2"),
        (TEN | {"epoch": 2}, {}, "the state is one after 2 epochs and 10 rows, and this run has only 2"),
        ({"rows": 7}, {}, "after 7 rows of an epoch, which 23 rows in batches of 5 don't come to"),
        ({"rows": 30}, {}, "after 30 rows of an epoch"),
        (TEN, {"batch_size": 2}, "another run's: its 10 rows of an epoch were 2 updates, not the 5 of batches of 2"),
        (TEN, {"batch_size": 10}, "its 10 rows of an epoch were 2 updates, not the 1 of batches of 10"),
        ({"parameters": np.zeros(3, "float32")}, {}, r"another net's: its parameters are \(3,\) float32, not \(81,\)"),
        ({"parameters": np.zeros(81)}, {}, r"another net's: its parameters are \(81,\) float64, not \(81,\) float32"),
        ({}, {"optimizer": optimizers.lion()}, "another run's: it has the vectors .'optimizer.first_moment', 'optimi"),
        ({"vectors": {}}, {}, r"another run's: it has the vectors \[\], not .*second_moment"),
    ],
)
def test_a_state_of_another_run_is_refused(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    state = dataclasses.replace(a_state(), **change)
    options = {"epochs": 2, "batch_size": BATCH} | options
    with pytest.raises(ValueError, match=message):
        train(MLP([N_IN, 7, 4]), samples_for(CASES["adam"]), resume=state, **options)


def test_a_plateau_that_the_run_has_not() -> None:
    state = a_state(plateau=ReduceOnPlateau())
    with pytest.raises(ValueError, match="another run's: that one had a plateau"):
        train(MLP([N_IN, 7, 4]), samples_for(CASES["adam"]), batch_size=BATCH, resume=state)


def test_a_recipe_hands_the_state_on() -> None:
    recipe = Recipe(hidden_sizes=(7,), batch_size=BATCH, epochs=4, patience=1, plateau=0, minimum_change=0.02)
    samples, parameters = samples_for(CASES["adam"]), []
    state: TrainingState | None = None
    for _ in range(2):
        net = recipe.network(N_IN, "abcd", seed=3)
        epochs: Any = recipe.train(net, samples, validation=samples, resume=state)
        records: list[Epoch] = []
        for epoch in epochs:
            records.append(epoch)
            state = epochs.state() if state is None else state
        parameters.append(net.parameters)
    np.testing.assert_array_equal(*parameters)
    assert state is not None
    assert state.stopping is not None
    assert state.plateau is not None
    lbfgs = dataclasses.replace(recipe, optimizer="lbfgs", patience=None, plateau=None)
    with pytest.raises(ValueError, match="L-BFGS can't go on from a state"):
        lbfgs.train(net, samples, resume=state)


def test_epochs_of_no_run_have_no_state() -> None:
    with pytest.raises(TypeError, match="these epochs have no state"):
        early_stopping([], MLP([2, 2])).state()
