"""The training loop: epochs of steps, as a generator of their records.

Whatever watches a run (early stopping, plots, a progress bar) reads the records and stops asking for more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.augmentation import UNCHANGED, Augmentation, check_pictures
from xpnn.averaging import mixes
from xpnn.backend import Array, ArrayModule, as_floats, is_on_host
from xpnn.errors import DataError, DeviceError, DivergenceError
from xpnn.evaluation import Evaluation, measure, placed
from xpnn.fast import chosen_step, step_over
from xpnn.losses import check_smoothing
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam
from xpnn.plateau import ReduceOnPlateau
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples, row_weights
from xpnn.shuffles import shuffled
from xpnn.steps import ReferenceStep, Step

SECONDS_BETWEEN_LOOKS = 0.2  # at whether the loss is still finite: a look waits for the device


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows did.

    number:     from 1.
    loss:       mean of the rows' losses, weighted where rows have weights, each measured when its batch was learnt.
    accuracy:   likewise the share of hits; None where the targets are not labels.
    validation: the net after the epoch, on the validation rows; None if there are none.
    seconds:    wall time of the training pass alone.
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
    regularization: Regularization = NONE,
    average_decay: float = 0.0,
    augmentation: Augmentation = UNCHANGED,
    plateau: ReduceOnPlateau | None = None,
    class_weight: str | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    fast: bool = True,
    precision: str = "float32",
    say: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Train `net` in place; yields a record after each epoch. Nothing runs until the first is asked for.

    samples:         the training rows, as Samples or a pair (inputs, targets); the same for `validation`.
    optimizer:       from `xpnn.optimizers`; None: adam().
    shuffle:         visit the rows in a new random order each epoch, drawn from (seed, epoch); else in the order given.
    seed:            of the shuffles, of dropout, of noise and of augmentation.
    error_rule:      "gradient", or "book" for the rule of Rashid's book (see `xpnn.steps.ReferenceStep`).
    regularization:  penalties, dropout, noise, limits of norms; none unless it is given.
    average_decay:   between epochs the net has a moving average of its parameters (see `xpnn.averaging`); 0: it hasn't.
    augmentation:    random changes to rows that are square pictures, others in each update (see `xpnn.augmentation`).
                     Only training sees them. It works on the scaled inputs, before noise and dropout.
    plateau:         lowers the learning rate when the loss (of `validation`, if there is one) no longer falls. It
                     begins with what it knows, so a new run wants a new one.
    class_weight:    a number for each class that its rows' losses count, beside the samples' own weights, or
                     "balanced" for numbers that make all classes count the same (see `xpnn.samples.row_weights`).
    label_smoothing: the share of a target's certainty that is spread over the classes, such as 0.1 (see
                     `xpnn.losses.smoothed`). Only training sees it, evaluation doesn't.
    fast:            whether a faster step than the reference may be taken where there is one that gives the same.
    precision:       of a float32 net's matrix products on a CUDA device: "float32", or "tf32" or "bf16", whose factors
                     are rounded to 10 or 7 bits of fraction for the tensor cores; parameters and sums stay float32.
    say:             told, before the first epoch, what takes a while, such as compiling.
    progress:        called after every step.

    Raises ValueError or TypeError for arguments that can't work, DataError for rows that don't fit the net and, in the
    course of the run, DivergenceError as soon as a loss or a parameter is seen to be no finite number, and DeviceError
    where a CUDA device runs out of memory or fails. Where an epoch is broken off, by these, by Ctrl-C or by `progress`,
    the net has the parameters with which the epoch began, unless its device is lost.
    """
    chosen = adam() if optimizer is None else optimizer
    _check_types(chosen, regularization, augmentation, plateau)
    _check_options(epochs, batch_size, seed, error_rule, average_decay)
    _check_precision(net, precision, fast)
    check_smoothing(net.loss, label_smoothing)
    check_pictures(augmentation, net)
    with net.device.active():
        samples = placed(net, samples, "train on")
        watched = None if validation is None else placed(net, validation, "validate on")
        n, updates = len(samples), math.ceil(len(samples) / batch_size)
        made: Callable[..., ReferenceStep]
        made = partial(chosen_step, epochs, say or _silent, precision=precision) if fast else ReferenceStep
        step = step_over(
            made,
            net,
            chosen,
            samples.inputs,
            samples.targets,
            batch_size,
            error_rule=error_rule,
            regularization=regularization,
            average_decay=average_decay,
            augmentation=augmentation,
            weights=placed_weights(net, samples, class_weight),
            label_smoothing=label_smoothing,
            seed=seed,
        )

    def run() -> Iterator[Epoch]:
        factor = 1.0 if plateau is None else plateau.current  # of the schedule's rates
        for number in range(1, epochs + 1):
            first = (number - 1) * updates
            with _undone_if_broken_off(net), net.device.active():
                started = time.perf_counter()
                steps = np.arange(first, first + updates, dtype=np.float64)
                rates = factor * chosen.schedule(steps)
                table = update_table(chosen, steps, rates, average_decay)
                step.begin_epoch(first, net.xp.asarray(as_floats(table, net.dtype)))
                _run_epoch(step, shuffled_order(step.rows_xp, n, seed if shuffle else None, number), number, progress)
                step.end_epoch()
                loss, hits = step.totals()
                seconds = time.perf_counter() - started
                measured = None if watched is None else measure(net, watched)
                _check_finite(net, step, measured, number, rates)
            if plateau is not None:
                factor = plateau.after_epoch(loss / n if measured is None else measured.loss)
            accuracy = None if hits is None else hits / n
            yield Epoch(number, loss / n, accuracy, measured, seconds, step.name, float(rates[-1]))

    return run()


def _silent(_: str) -> None:
    pass


def _check_types(optimizer: object, regularization: object, augmentation: object, plateau: object) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one of xpnn.optimizers, called, such as adam(0.001); not {optimizer!r}")
    if not isinstance(regularization, Regularization):
        raise TypeError(
            f"regularization must be a Regularization, such as Regularization(l2=0.1); not {regularization!r}"
        )
    if not isinstance(augmentation, Augmentation):
        raise TypeError(f"augmentation must be an Augmentation, such as Augmentation(rotate=10); not {augmentation!r}")
    if not isinstance(plateau, ReduceOnPlateau | None):
        raise TypeError(f"plateau must be a ReduceOnPlateau(), not {plateau!r}")


def _check_options(epochs: int, batch_size: int, seed: int, error_rule: str, average_decay: float) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    if not 0 <= average_decay < 1:
        raise ValueError(f"average_decay must lie in [0, 1), not {average_decay}")
    if error_rule not in ("gradient", "book"):
        raise ValueError(f"unknown error_rule {error_rule!r}: choose from gradient, book")


def _check_precision(net: MLP, precision: str, fast: bool) -> None:
    if precision not in ("float32", "tf32", "bf16"):
        raise ValueError(f"unknown precision {precision!r}: choose from float32, tf32, bf16")
    if precision == "float32":
        return
    if net.device.kind == "cpu":
        raise ValueError(f"precision {precision} needs a CUDA device; on the CPU leave it out")
    if net.dtype != "float32":
        raise ValueError(f"precision {precision} is for a net of float32, not {net.dtype}")
    if not fast:
        raise ValueError(f"precision {precision} is the fast step's; it can't be had with fast=False")


@contextmanager
def _undone_if_broken_off(net: MLP) -> Iterator[None]:
    """Give the net its parameters back where an error or Ctrl-C ends the epoch: half of one is worth nothing."""
    with net.device.active():
        before = net.parameters.copy()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        put_back(net, before, error)
        raise


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


def _run_epoch(step: Step, order: Array, number: int, progress: Callable[[Progress], None] | None) -> None:
    """One pass over the rows, broken off when the loss is seen to be no finite number."""
    next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
    # A net that diverges overflows before it is found out; the check after the epoch speaks, not NumPy's warnings.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(order), step.rows):
            step(order[start : start + step.rows])
            if progress is not None:
                progress(Progress(number, min(start + step.rows, len(order)), step.totals))
            if time.monotonic() > next_look:
                if not math.isfinite(step.totals()[0]):
                    return
                next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS


def placed_weights(net: MLP, samples: Samples, class_weight: str | Sequence[float] | None) -> Array | None:
    """(n, 1): how much each row counts (see `xpnn.samples.row_weights`); None: all the same.

    They are of the net's dtype and where the inputs of `samples` are, which `xpnn.evaluation.placed` gave.

    Raises DataError for weights that the net's dtype can't hold.
    """
    weights = row_weights(samples, net.sizes[-1], class_weight)
    if weights is None:
        return None
    placed = as_floats(weights[:, None], net.dtype)
    if not np.isfinite(placed).all() or not placed.any():
        raise DataError(
            f"the weights, up to {weights.max():.3g}, are too large or too small for {net.dtype}: scale them"
        )
    return placed if is_on_host(samples.inputs) else net.xp.asarray(placed)


def shuffled_order(xp: ArrayModule, n: int, seed: int | None, epoch: int) -> Array:
    """(n,) int64, an array of `xp`: an epoch's row numbers, as `shuffled`; without a seed in the order given."""
    return xp.arange(n, dtype="int64") if seed is None else shuffled(xp, n, seed, epoch)


def update_table(
    optimizer: Optimizer, steps: NDArray[np.float64], rates: NDArray[np.float64], average_decay: float = 0.0
) -> NDArray[np.float64]:
    """(updates, columns): the numbers that change from update to update, for the updates numbered `steps` from 0.

    The columns are the optimizer's coefficients, what weight decay leaves of a weight, and the share that the
    parameters have in their average.
    """
    shrink, mix = 1 - rates * optimizer.weight_decay, mixes(average_decay, steps)
    return np.stack([*optimizer.coefficients(steps, rates), shrink, mix], axis=1)
