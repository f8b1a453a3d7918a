"""Early stopping: leave off when what counts no longer gets better (Prechelt, Early stopping - but when?, 1998)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from xpnn.backend import Array, to_host
from xpnn.epochs import Epoch, Resumable, put_back
from xpnn.history import Record, record_of
from xpnn.memory import check_room
from xpnn.network import MLP
from xpnn.state import StoppingState, TrainingState

RISING = ("accuracy", "r2", "exact_match", "hamming_accuracy")  # better when they are higher
METRICS = ("loss", "mean_absolute_error", "root_mean_squared_error", *RISING)


def early_stopping(
    epochs: Iterable[Epoch],
    net: MLP,
    *,
    metric: str = "validation_loss",
    patience: int = 5,
    minimum_change: float = 0.0,
    restore_best: bool = True,
    resume: TrainingState | None = None,
) -> EarlyStopping:
    """The epochs of `train` as they come, up to where `metric` hasn't become better for `patience` epochs in a row.

        for epoch in early_stopping(train(net, rows, validation=others, epochs=1000), net):

    metric:         loss, accuracy, or a score of the validation rows: validation_loss, validation_accuracy,
                    validation_r2, ... (see `xpnn.Evaluation`).
    patience:       1 or more.
    minimum_change: what a number must be better by, to count.
    restore_best:   in the end, also that of an error or Ctrl-C, give `net` the parameters that it had after its best
                    epoch.
    resume:         where to go on, as for `train`, which is to have been given the same.

    Raises ValueError for arguments that can't work and, at the first epoch, for a metric that its record doesn't have.
    """
    if patience < 1 or patience != int(patience):
        raise ValueError(f"patience must be a whole number of 1 or more, not {patience}")
    if not 0 <= minimum_change < math.inf:
        raise ValueError(f"minimum_change must be a number of 0 or more, not {minimum_change}")

    return EarlyStopping(epochs, net, metric, patience, minimum_change, restore_best, resume)


class EarlyStopping(Iterator[Epoch]):
    """What `early_stopping` gives; the arguments are those of it."""

    def __init__(
        self,
        epochs: Iterable[Epoch],
        net: MLP,
        metric: str,
        patience: int,
        minimum_change: float,
        restore_best: bool,
        resume: TrainingState | None,
    ) -> None:
        self.epochs, self.net, self.metric, self.patience = epochs, net, metric, patience
        self.minimum_change, self.restore_best = minimum_change, restore_best
        self.best, self.waited = math.inf, 0
        if net.device.kind == "cpu":
            problem = "early stopping keeps the best parameters; they and what an epoch began with take"
            check_room(
                2 * net.parameters.nbytes, problem, "leave out --patience, or choose smaller hidden sizes (--hidden)"
            )
        self.kept: Array | None = None  # the parameters after the best epoch
        if resume is not None and resume.stopping is not None:
            self.best, self.waited, kept = resume.stopping
            with net.device.active():
                self.kept = net.xp.asarray(kept).copy()
        self._records = self._run()

    def __next__(self) -> Epoch:
        return next(self._records)

    def state(self, *, copied: bool = True) -> TrainingState:
        """The run's state with early stopping's; see `xpnn.epochs.Training`.

        Raises TypeError where the epochs are those of no run that has a state.
        """
        if not isinstance(self.epochs, Resumable):
            raise TypeError("these epochs have no state: early stopping watches no run of xpnn.train")
        state = self.epochs.state(copied=copied)
        if self.kept is None:
            return state
        with self.net.device.active():
            kept = np.array(to_host(self.kept), copy=copied or None)
            stopping = StoppingState(self.best, self.waited, kept)
        return dataclasses.replace(state, stopping=stopping)

    def _run(self) -> Iterator[Epoch]:
        epochs = iter(self.epochs)
        try:
            while self.waited < self.patience and (epoch := next(epochs, None)) is not None:
                self._note(epoch)
                yield epoch
        except (Exception, KeyboardInterrupt) as error:  # but not where nobody asks for more epochs
            if self.restore_best and self.kept is not None:
                put_back(self.net, self.kept, error)
            raise
        if self.restore_best and self.kept is not None:
            put_back(self.net, self.kept)

    def _note(self, epoch: Epoch) -> None:
        value = badness(record_of(epoch), self.metric)
        if value < self.best - self.minimum_change or self.kept is None:
            self.best, self.waited = value, 0
            with self.net.device.active():
                if self.kept is None:
                    self.kept = self.net.parameters.copy()
                else:
                    self.kept[...] = self.net.parameters
        else:
            self.waited += 1


def best_record(records: Sequence[Record], metric: str, minimum_change: float = 0.0) -> Record:
    """The record, of one or more, of the epoch whose parameters `early_stopping` takes."""
    best = records[0]
    for record in records[1:]:
        if badness(record, metric) < badness(best, metric) - minimum_change:
            best = record
    return best


def badness(record: Record, metric: str) -> float:
    """The metric of an epoch's record, turned so that lower is better; infinite where it is no number.

    Raises ValueError for a metric that the record doesn't have.
    """
    metrics = [name for name in record if name.removeprefix("validation_") in METRICS]
    if metric not in metrics:
        raise ValueError(f"there is no {metric!r} to stop by; this run has {', '.join(metrics)}")
    value = record[metric]
    if value is None:
        return math.inf
    return -float(value) if metric.removeprefix("validation_") in RISING else float(value)
