"""Training: what a run is made of, from the user's arguments; the loop itself is `xpnn.epochs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.augmentation import UNCHANGED, Augmentation, check_pictures
from xpnn.averaging import mixes
from xpnn.backend import Array, as_floats, is_on_host
from xpnn.epochs import Plan, Progress, Training
from xpnn.errors import DataError
from xpnn.evaluation import placed
from xpnn.fast import chosen_step, step_over
from xpnn.losses import check_smoothing
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam
from xpnn.plateau import ReduceOnPlateau
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples, row_weights
from xpnn.state import TrainingState
from xpnn.steps import ReferenceStep


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
    resume: TrainingState | None = None,
) -> Training:
    """Train `net` in place; an iterator of a record after each epoch. Nothing runs until the first is asked for.

    samples:         the training rows, as Samples or a pair (inputs, targets); the same for `validation`.
    epochs:          passes over the rows.
    batch_size:      rows of an update; the last one of an epoch has what is left.
    optimizer:       from `xpnn.optimizers`; None: adam().
    shuffle:         visit the rows in a new random order each epoch, drawn from (seed, epoch); else in the order given.
                     Rows that stay in a file (see `xpnn.samples.Samples`) are shuffled by blocks: docs/large-data.md.
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
    resume:          what `state()` of an earlier run's iterator gave: this one goes on from there, up to `epochs` in
                     all, and with the same arguments it learns the same bits as if the first had never stopped.

    Raises ValueError or TypeError for arguments that can't work, DataError for rows that don't fit the net and, in the
    course of the run, DivergenceError as soon as a loss or a parameter is seen to be no finite number, and DeviceError
    where a CUDA device runs out of memory or fails. Where an epoch is broken off, by these, by Ctrl-C or by `progress`,
    the net has the parameters with which the epoch began, unless its device is lost.
    """
    chosen = adam() if optimizer is None else optimizer
    _check_types(chosen, regularization, augmentation, plateau, resume)
    _check_options(epochs, batch_size, seed, error_rule, average_decay)
    _check_precision(net, precision, fast)
    check_smoothing(net.loss, label_smoothing)
    check_pictures(augmentation, net)
    with net.device.active():
        samples = placed(net, samples, "train on")
        watched = None if validation is None else placed(net, validation, "validate on")
        n = len(samples)
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
    plan = Plan(
        epochs=epochs,
        rows=n,
        batch_size=batch_size,
        schedule=chosen.schedule,
        table=lambda numbers, rates: net.xp.asarray(
            as_floats(update_table(chosen, numbers, rates, average_decay), net.dtype)
        ),
        order=lambda epoch: step.epoch_order(seed if shuffle else None, epoch),
        validation=watched,
        plateau=plateau,
        progress=progress,
    )
    return Training(net, step, plan, resume)


def _silent(_: str) -> None:
    pass


def _check_types(
    optimizer: object, regularization: object, augmentation: object, plateau: object, resume: object
) -> None:
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
    if not isinstance(resume, TrainingState | None):
        raise TypeError(f"resume must be a state, such as load_state(path).state, not a {type(resume).__name__}")


def _check_options(epochs: int, batch_size: int, seed: int, error_rule: str, average_decay: float) -> None:
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number of {least} or more, not {value!r}")
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


def placed_weights(net: MLP, samples: Samples, class_weight: str | Sequence[float] | None) -> Array | None:
    """(n, 1): how much each row counts (see `xpnn.samples.row_weights`); None: all the same.

    They are of the net's dtype and where the targets of `samples` are, which `xpnn.evaluation.placed` gave.

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
    return placed if is_on_host(samples.targets) else net.xp.asarray(placed)


def update_table(
    optimizer: Optimizer, steps: NDArray[np.float64], rates: NDArray[np.float64], average_decay: float = 0.0
) -> NDArray[np.float64]:
    """(updates, columns): the numbers that change from update to update, for the updates numbered `steps` from 0.

    The columns are the optimizer's coefficients, what weight decay leaves of a weight, and the share that the
    parameters have in their average.
    """
    shrink, mix = 1 - rates * optimizer.weight_decay, mixes(average_decay, steps)
    return np.stack([*optimizer.coefficients(steps, rates), shrink, mix], axis=1)
