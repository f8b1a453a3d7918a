"""The learning-rate range test: train for a few hundred steps while the rate rises, and watch the loss.

L. Smith, Cyclical learning rates for training neural networks, 2017, section 3.3. The loss first stands still, then
falls, and at last explodes; a good rate lies on the slope, well before the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.augmentation import UNCHANGED, Augmentation, check_pictures
from xpnn.backend import Array
from xpnn.errors import DivergenceError
from xpnn.evaluation import placed
from xpnn.fast import step_over
from xpnn.losses import check_smoothing
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples
from xpnn.schedules import Schedule
from xpnn.steps import ReferenceStep, Step
from xpnn.training import placed_weights, update_table

EXPLODED = 4.0  # times the least loss: there the sweep ends, if the loss is above the first one too
BEYOND_STEEPEST = 6.0  # the suggestion over the rate of steepest fall, from measurements: docs/benchmarks.md


@dataclass(frozen=True)
class RangeTest:
    """What a sweep saw; the arrays are float64 (steps that were made,).

    rates:      learning rate of each step, rising exponentially.
    losses:     mean loss of each step's batch before its update.
    smoothed:   `losses` averaged over their neighbours in the sweep.
    suggestion: a good rate to start from.
    diverged:   whether the sweep ended early because the loss exploded.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float
    diverged: bool

    def __repr__(self) -> str:
        return f"RangeTest(suggestion={self.suggestion:.2g}, diverged={self.diverged}, steps={len(self.rates)})"

    @property
    def fall(self) -> float:
        """The share of the first loss that the sweep took away; where it is small, the suggestion means little."""
        return max(0.0, float(1 - self.smoothed.min() / self.losses[0]))


def find_learning_rate(
    net: MLP,
    samples: Samples | tuple[Any, Any],
    *,
    optimizer: Callable[[Schedule], Optimizer] = adam,
    least: float = 1e-6,
    most: float = 10.0,
    steps: int = 200,
    batch_size: int = 32,
    error_rule: str = "gradient",
    regularization: Regularization = NONE,
    augmentation: Augmentation = UNCHANGED,
    class_weight: str | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> RangeTest:
    """Sweep the learning rate from `least` to `most` in `steps` updates of a copy of `net`, which itself is untouched.

    optimizer: makes an optimizer from a schedule: `optimizers.adam`, or partial(optimizers.sgd, momentum=0.9).
    progress:  called with the number of steps done, after each.

    The other options are those of `train`. The same seed gives the same sweep. Few rows are visited again and again,
    as in training.
    Raises ValueError for a range or a number of steps that can't work, DataError for rows that don't fit the net,
    DivergenceError where the loss is no finite number from the first few rates on.
    """
    if not 0 < least < most < math.inf:
        raise ValueError(f"the rates must rise from a positive number to a larger one, not from {least} to {most}")
    if not 1e-30 <= least or not most <= 1e30:
        raise ValueError(f"the rates must lie from 1e-30 to 1e30, not from {least} to {most}")
    if steps < 10 or batch_size < 1:
        raise ValueError(f"steps must be 10 or more and batch_size 1 or more, not {steps} and {batch_size}")
    check_smoothing(net.loss, label_smoothing)
    check_pictures(augmentation, net)
    rates = np.geomspace(least, most, steps)
    copy = net.to()
    with copy.device.active(), np.errstate(over="ignore", invalid="ignore"):
        made = optimizer(lambda numbers: rates[numbers.astype(int)])
        rows = placed(copy, samples, "train on")
        settings: dict[str, Any] = {
            "error_rule": error_rule,
            "regularization": regularization,
            "augmentation": augmentation,
            "weights": placed_weights(copy, rows, class_weight),
            "label_smoothing": label_smoothing,
            "seed": seed,
        }
        step = step_over(ReferenceStep, copy, made, rows.inputs, rows.targets, batch_size, **settings)
        table = update_table(made, np.arange(steps, dtype=np.float64), rates)
        step.begin_epoch(0, copy.xp.asarray(table, dtype=copy.dtype))
        losses = _sweep(step, len(rows), steps, seed, progress)
    if len(losses) < 5:
        raise DivergenceError(
            f"the loss is no finite number from a learning rate of {least:g} on: scale the inputs to about -1 to 1, or "
            "start the sweep at a smaller rate"
        )
    smoothed = _smooth(losses, width=max(1, steps // 20))
    rates = rates[: len(losses)]
    return RangeTest(rates, losses, smoothed, _suggest(rates, smoothed), diverged=len(losses) < steps)


def _sweep(step: Step, n: int, steps: int, seed: int, progress: Callable[[int], None] | None) -> NDArray[np.float64]:
    """The losses of the steps over n rows, up to where they explode."""
    losses: list[float] = []
    before, average, best = 0.0, 0.0, math.inf
    for rows in _batches(step, n, seed):
        step(rows)
        total = step.totals()[0]
        if not math.isfinite(total):
            break
        losses.append((total - before) / len(rows))
        before = total
        average = 0.8 * average + 0.2 * losses[-1]  # of about five steps
        current = average / (1 - 0.8 ** len(losses))
        best = min(best, current)
        if progress is not None:
            progress(len(losses))
        if len(losses) == steps or current > max(EXPLODED * best, losses[0]):
            break
    return np.array(losses)


def _batches(step: Step, n: int, seed: int) -> Iterator[Array]:
    """Row numbers for batch after batch, in epochs without end."""
    for epoch in itertools.count(1):
        order = step.epoch_order(seed, epoch)
        for start in range(0, n, step.rows):
            yield order[start : start + step.rows]


def _smooth(losses: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Averages with Gaussian weights over neighbours `width` steps away; at the ends over those that are there."""
    distance = np.arange(len(losses))
    weights = np.exp(-0.5 * ((distance[:, None] - distance) / width) ** 2)
    smoothed: NDArray[np.float64] = weights @ losses / weights.sum(axis=1)
    return smoothed


def _suggest(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> float:
    """A fixed multiple of the rate where the loss falls most steeply, but well below the end of the sweep."""
    least = int(smoothed.argmin())
    slope = np.gradient(smoothed)[: least + 1]
    return float(min(BEYOND_STEEPEST * rates[slope.argmin()], rates[-1] / 3))
