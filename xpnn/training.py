"""The training loop: epochs of steps, as a generator of their records.

Whatever watches a run (early stopping, plots, a progress bar) reads the records and stops asking for more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import Array, as_floats
from xpnn.errors import DivergenceError
from xpnn.evaluation import Evaluation, evaluate, place
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam
from xpnn.samples import Samples
from xpnn.steps import ReferenceStep, Step


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows did.

    number:     from 1.
    loss:       mean of the rows' losses, each measured when its batch was learnt.
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
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Train `net` in place; yields a record after each epoch. Nothing runs until the first is asked for.

    samples:    the training rows, as Samples or a pair (inputs, targets); the same for `validation`.
    optimizer:  from `xpnn.optimizers`; None: adam().
    shuffle:    visit the rows in a new random order each epoch, drawn from (seed, epoch); else in the order given.
    error_rule: "gradient", or "book" for the rule of Rashid's book (see `xpnn.steps.ReferenceStep`).
    progress:   called after every step.

    Raises ValueError or TypeError for arguments that can't work, DataError for rows that don't fit the net and, in the
    course of the run, DivergenceError when the loss or a parameter stops being a finite number.
    """
    _check_options(epochs, batch_size, seed, error_rule)
    chosen = adam() if optimizer is None else optimizer
    if not isinstance(chosen, Optimizer):
        raise TypeError(f"optimizer must be one of xpnn.optimizers, called, such as adam(0.001); not {optimizer!r}")
    with net.device.active():
        inputs, targets = place(net, samples, "train on")
        n, updates = len(inputs), math.ceil(len(inputs) / batch_size)
        watched = None if validation is None else place(net, validation, "validate on")
        step: Step = ReferenceStep(net, chosen, inputs, targets, batch_size, error_rule)

    def run() -> Iterator[Epoch]:
        for number in range(1, epochs + 1):
            with net.device.active():
                started = time.perf_counter()
                step.begin_epoch(_coefficient_table(net, chosen, (number - 1) * updates, updates))
                loss, hits = _run_epoch(step, _order(net, n, seed if shuffle else None, number), number, progress)
                seconds = time.perf_counter() - started
                _check_finite(net, number, loss / n)
                measured = None if watched is None else evaluate(net, watched)
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
    table = np.stack(optimizer.coefficients(steps, optimizer.schedule(steps)), axis=1)
    return net.xp.asarray(as_floats(table, net.dtype))
