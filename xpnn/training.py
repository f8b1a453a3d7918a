"""The training loop: epochs of steps, as a generator of their records.

Whatever watches a run (early stopping, plots, a progress bar) reads the records and stops asking for more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import Array
from xpnn.errors import DataError, DivergenceError
from xpnn.evaluation import Evaluation, evaluate
from xpnn.losses import check_smoothing
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam
from xpnn.samples import Samples, row_weights
from xpnn.steps import ReferenceStep, Step


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows did.

    number:     from 1.
    loss:       mean of the rows' losses, weighted where rows have weights, each measured when its batch was learnt.
    accuracy:   likewise the share of hits; None where the targets are not labels.
    validation: the net after the epoch, on the validation rows; None if there are none.
    seconds:    wall time of the training pass alone.
    step:       name of the train step that ran.
    """

    number: int
    loss: float
    accuracy: float | None
    validation: Evaluation | None
    seconds: float
    step: str


class Progress(NamedTuple):
    """Where a run is: `totals()` gives (sum of losses, hits) of the epoch's `rows` so far. It waits for the device."""

    epoch: int
    rows: int
    totals: Callable[[], tuple[float, int | None]]


def train(
    net: MLP,
    samples: Samples | tuple[Any, Any],
    *,
    validation: Samples | tuple[Any, Any] | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Optimizer | None = None,
    shuffle: bool = True,
    seed: int = 0,
    error_rule: str = "gradient",
    class_weight: str | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Train `net` in place; yields a record after each epoch. Nothing runs until the first is asked for.

    samples:         the training rows, as Samples or a pair (inputs, targets); the same for `validation`.
    optimizer:       from `xpnn.optimizers`; None: adam().
    shuffle:         visit the rows in a new random order each epoch, drawn from (seed, epoch); else in the order given.
    error_rule:      "gradient", or "book" for the rule of Rashid's book (see `xpnn.steps.ReferenceStep`).
    class_weight:    a number for each class that its rows' losses count, beside the samples' own weights, or
                     "balanced" for numbers that make all classes count the same (see `xpnn.samples.row_weights`).
    label_smoothing: the share of a target's certainty that is spread over the classes, such as 0.1 (see
                     `xpnn.losses.smoothed`). Only training sees it, evaluation doesn't.
    progress:        called after every step.

    Raises ValueError for arguments that can't work, DataError for rows that don't fit the net and, in the
    course of the run, DivergenceError when the loss or a parameter stops being a finite number.
    """
    _check_options(epochs, batch_size, seed, error_rule)
    check_smoothing(net.loss, label_smoothing)
    samples = Samples.of(samples)
    if samples.targets is None or not len(samples):
        raise DataError("there are no rows to train on" if not len(samples) else "training needs targets")
    n, updates = len(samples), math.ceil(len(samples) / batch_size)
    chosen = adam() if optimizer is None else optimizer
    with net.device.active():
        inputs, targets = net.place_inputs(samples.inputs), net.place_targets(samples.targets)
        weights = row_weights(samples, net.sizes[-1], class_weight)
        placed = None if weights is None else net.xp.asarray(weights[:, None], dtype=net.dtype)
        step: Step = ReferenceStep(net, chosen, inputs, targets, batch_size, error_rule, placed, label_smoothing)

    def run() -> Iterator[Epoch]:
        for number in range(1, epochs + 1):
            with net.device.active():
                started = time.perf_counter()
                step.begin_epoch(_coefficient_table(net, chosen, (number - 1) * updates, updates))
                loss, hits = _run_epoch(step, _order(net, n, seed if shuffle else None, number), number, progress)
                seconds = time.perf_counter() - started
                _check_finite(net, number, loss / n)
                measured = None if validation is None else evaluate(net, validation)
            yield Epoch(number, loss / n, None if hits is None else hits / n, measured, seconds, step.name)

    return run()


def _check_options(epochs: int, batch_size: int, seed: int, error_rule: str) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    if error_rule not in ("gradient", "book"):
        raise ValueError(f"unknown error_rule {error_rule!r}: choose from gradient, book")


def _check_finite(net: MLP, epoch: int, loss: float) -> None:
    if not (math.isfinite(loss) and bool(net.xp.isfinite(net.parameters).all())):
        raise DivergenceError(
            f"training diverged in epoch {epoch}: its loss is {loss:g}; try a learning rate ten times smaller"
        )


def _run_epoch(
    step: Step, order: Array, number: int, progress: Callable[[Progress], None] | None
) -> tuple[float, int | None]:
    """One pass over the rows; returns the totals of loss and hits."""
    # A net that diverges overflows before it is found out; the check after the epoch speaks, not NumPy's warnings.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(order), step.rows):
            step(order[start : start + step.rows])
            if progress is not None:
                progress(Progress(number, min(start + step.rows, len(order)), step.totals))
        return step.totals()


def _order(net: MLP, n: int, seed: int | None, epoch: int) -> Array:
    """The epoch's row numbers on the net's device. They depend on (seed, epoch) alone, so any epoch can be redone."""
    order = np.arange(n) if seed is None else np.random.default_rng([2, seed, epoch]).permutation(n)
    return net.xp.asarray(order)


def _coefficient_table(net: MLP, optimizer: Optimizer, first: int, updates: int) -> Array:
    """(updates, coefficients) on the net's device: the optimizer's changing numbers for each update of an epoch."""
    steps = np.arange(first, first + updates, dtype=np.float64)
    return net.xp.asarray(np.stack(optimizer.coefficients(steps, optimizer.schedule(steps)), axis=1), dtype=net.dtype)
