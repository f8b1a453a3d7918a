"""The loop: epochs of steps, an iterator of their records whose state can be had and gone on from.

Whatever watches a run (early stopping, plots, a progress bar) reads the records and stops asking for more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, to_host
from xpnn.errors import DeviceError, DivergenceError
from xpnn.evaluation import Evaluation, measure
from xpnn.network import MLP
from xpnn.plateau import ReduceOnPlateau
from xpnn.samples import Samples
from xpnn.schedules import Schedule
from xpnn.state import NO_SUMS, PlateauState, TrainingState
from xpnn.steps import Step

SECONDS_BETWEEN_LOOKS = 0.2  # at whether the loss is still finite: a look waits for the device


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows did.

    number:     from 1.
    loss:       mean of the rows' losses, weighted where rows have weights, each measured when its batch was learnt.
    accuracy:   likewise the share of hits; None where the targets are not labels.
    validation: the net after the epoch, on the validation rows; None if there are none.
    seconds:    wall time of the training pass alone; of a pass that was resumed, of its last part.
    step:       name of the train step that ran.
    rate:       learning rate of its last update.
    """

    number: int
    loss: float
    accuracy: float | None
    validation: Evaluation | None
    seconds: float
    step: str
    rate: float


class Progress(NamedTuple):
    """Where a run is: `totals()` gives (sum of losses, hits) of the epoch's `rows` so far. It waits for the device."""

    epoch: int
    rows: int
    totals: Callable[[], tuple[float, int | None]]


@runtime_checkable
class Resumable(Protocol):
    """A run whose state can be had."""

    def __iter__(self) -> Iterator[Epoch]: ...

    def __next__(self) -> Epoch: ...

    def state(self, *, copied: bool = True) -> TrainingState:
        """See `Training`."""


class Plan(NamedTuple):
    """What the loop has to know of a run.

    batch_size: rows an update; of `rows` in an epoch.
    schedule:   update -> learning rate.
    table:      (updates, rates) -> what changes from update to update, (updates, columns); see `xpnn.steps.Step`.
    order:      epoch -> its row numbers.
    """

    epochs: int
    rows: int
    batch_size: int
    schedule: Schedule
    table: Callable[[NDArray[np.float64], NDArray[np.float64]], Array]
    order: Callable[[int], Array]
    validation: Samples | None
    plateau: ReduceOnPlateau | None
    progress: Callable[[Progress], None] | None


class Training(Iterator[Epoch]):
    """A run of `xpnn.train`: its epochs' records, each worked for when it is asked for.

    resume: where the run goes on; the net has the state's parameters at once. None: it begins.

    Raises ValueError for a state that isn't one of such a run.
    """

    def __init__(self, net: MLP, step: Step, plan: Plan, resume: TrainingState | None) -> None:
        self.net, self.step, self.plan = net, step, plan
        self.epoch = self.updates = 0  # of whole epochs
        self.rows = 0  # of the epoch after these
        self.before: Array = None  # the parameters with which it began
        self.is_whole = True  # no step is half done
        self.resume = resume  # until the run has gone on from it
        if resume is not None:
            _check_state(resume, net, step, plan)
            self._restore(resume)
        self._records = self._run()

    def __next__(self) -> Epoch:
        return next(self._records)

    def __repr__(self) -> str:
        return f"<{self.epoch} of {self.plan.epochs} epochs learnt; a loop over this learns the others>"

    def state(self, *, copied: bool = True) -> TrainingState:
        """The run's state, on the host: between epochs, or from `progress`. Waits for the device.

        copied: False: its vectors may be the run's own, and hold until it goes on; which saves memory.

        Raises RuntimeError where there is none: an epoch was broken off.
        """
        if not self.is_whole:
            raise RuntimeError("the epoch was broken off: a run has a state between its epochs and in `progress`")
        if self.resume is not None:
            return self.resume
        net, plateau = self.net, self.plan.plateau

        def on_host(vector: Array) -> NDArray[Any]:
            return np.array(to_host(vector), copy=copied or None)

        with net.device.active():
            vectors = {
                name: on_host(vector)
                for name, vector in self.step.vectors().items()
                if self.rows or vector is not net.parameters
            }
            return TrainingState(
                self.epoch,
                self.updates,
                on_host(self.before if self.rows else net.parameters),
                vectors,
                self.rows,
                self.step.sums() if self.rows else NO_SUMS,
                None if plateau is None else PlateauState(plateau.current, plateau.best, plateau.waited),
            )

    def _restore(self, state: TrainingState) -> None:
        net, plateau = self.net, self.plan.plateau
        self.epoch, self.updates, self.rows = state.epoch, state.updates, state.rows
        with net.device.active():
            self.before = net.xp.asarray(state.parameters).copy()  # they may be the net's own
            for name, vector in self.step.vectors().items():
                vector[...] = net.xp.asarray(state.vector(name))
            if state.epoch and not state.rows:
                self.step.end_epoch()  # the average, where there is one, is in use
        if plateau is not None and state.plateau is not None:
            plateau.current, plateau.best, plateau.waited = state.plateau

    def _run(self) -> Iterator[Epoch]:
        net, step, plan = self.net, self.step, self.plan
        for number in range(self.epoch + 1, plan.epochs + 1):
            with self._undone_if_broken_off(), net.device.active():
                started = time.perf_counter()
                updates = self.updates + np.arange(math.ceil(plan.rows / plan.batch_size), dtype=np.float64)
                rates = (1.0 if plan.plateau is None else plan.plateau.current) * plan.schedule(updates)
                step.begin_epoch(self.updates, plan.table(updates, rates))
                if self.resume is not None and self.rows:
                    step.go_on(math.ceil(self.rows / plan.batch_size), self.resume.sums)
                self.resume = None
                self._run_epoch(plan.order(number), number)
                step.end_epoch()
                loss, hits = step.totals()
                seconds = time.perf_counter() - started
                measured = None if plan.validation is None else measure(net, plan.validation)
                _check_finite(net, step, measured, number, rates)
            self.epoch, self.updates, self.rows = number, self.updates + len(updates), 0
            if plan.plateau is not None:
                plan.plateau.after_epoch(loss / plan.rows if measured is None else measured.loss)
            accuracy = None if hits is None else hits / plan.rows
            yield Epoch(number, loss / plan.rows, accuracy, measured, seconds, step.name, float(rates[-1]))

    @contextmanager
    def _undone_if_broken_off(self) -> Iterator[None]:
        """Give the net its parameters back where an error or Ctrl-C ends the epoch: half of one is worth nothing."""
        net = self.net
        with net.device.active():
            if self.before is None:
                self.before = net.parameters.copy()
            elif not self.rows:
                self.before[...] = net.parameters
        self.is_whole = False
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            self.is_whole = False
            put_back(net, self.before, error)
            raise
        self.is_whole = True

    def _run_epoch(self, order: Array, number: int) -> None:
        """One pass over the rows, broken off when the loss is seen to be no finite number."""
        step, progress = self.step, self.plan.progress
        next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        # A net that diverges overflows before it is found out; the check after the epoch speaks, not NumPy's warnings.
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(self.rows, len(order), step.rows):
                step(order[start : start + step.rows])
                self.rows = min(start + step.rows, len(order))
                if progress is not None:
                    self.is_whole = True
                    progress(Progress(number, self.rows, step.totals))
                    self.is_whole = False
                if time.monotonic() > next_look:
                    if not math.isfinite(step.totals()[0]):
                        return
                    next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS


def put_back(net: MLP, parameters: Array, error: BaseException | None = None) -> None:
    """Give the net the parameters that it had; error: why, if it is one.

    Raises DeviceError where the device fails, but not after another: on a lost device the first one says more.
    """
    try:
        with net.device.active():
            net.parameters[...] = parameters
    except DeviceError:
        if not isinstance(error, DeviceError):
            raise


def _check_finite(net: MLP, step: Step, measured: Evaluation | None, epoch: int, rates: NDArray[np.float64]) -> None:
    """Raise DivergenceError where an epoch left the finite numbers, and say where it did."""
    finite = step.finite_updates()
    is_fine = measured is None or math.isfinite(measured.loss)
    if is_fine and finite == len(rates) and bool(net.xp.isfinite(net.parameters).all()):
        return
    found = min(finite, len(rates) - 1)  # the update before it may have done the harm
    rate = rates[max(0, found - 1)]
    raise DivergenceError(
        f"training diverged in epoch {epoch}, step {found + 1} of {len(rates)}: the loss is no longer a finite number; "
        f"the learning rate of {rate:.3g} is likely too large: try {rate / 10:.1g}, a warm-up or a limit on the "
        "gradient's norm, and see that the inputs are scaled to about -1 to 1 "
        "(the net has the weights from before this epoch)"
    )


def _check_state(state: TrainingState, net: MLP, step: Step, plan: Plan) -> None:
    """Raise ValueError unless a run of this kind can have had the state."""
    names = step.vectors().keys()
    if not state.vectors.keys() <= names or not names <= state.vectors.keys() | {"learnt", "average"}:
        raise ValueError(f"the state is another run's: it has the vectors {sorted(state.vectors)}, not {sorted(names)}")
    shape, dtype = net.parameters.shape, net.dtype
    for name, vector in (("parameters", state.parameters), *state.vectors.items()):
        if vector.shape != shape or vector.dtype != dtype:
            found = f"{name} are {vector.shape} {vector.dtype}"
            raise ValueError(f"the state is another net's: its {found}, not {shape} {dtype}")
    if state.epoch + (state.rows > 0) > plan.epochs:
        rows = f" and {state.rows} rows" if state.rows else ""
        raise ValueError(f"the state is one after {state.epoch} epochs{rows}, and this run has only {plan.epochs}")
    if state.rows > plan.rows or (state.rows % plan.batch_size and state.rows != plan.rows):
        raise ValueError(
            f"the state is one after {state.rows} rows of an epoch, which {plan.rows} rows in batches of "
            f"{plan.batch_size} don't come to"
        )
    updates, finite = math.ceil(state.rows / plan.batch_size), state.sums.finite_updates
    if finite > updates or (finite < updates and math.isfinite(state.sums.loss)):
        raise ValueError(
            f"the state is another run's: its {state.rows} rows of an epoch were {finite} updates, not the {updates} "
            f"of batches of {plan.batch_size}"
        )
    if state.plateau is not None and plan.plateau is None:
        raise ValueError("the state is another run's: that one had a plateau")
