"""Learning-rate schedules: pure functions of the step.

A schedule takes a float64 vector of step numbers (0 is the first update of the run) and gives the vector of
learning rates. The rates of an epoch are worked out in one call on the host and sent to the device as a table,
from which the training step reads its own entry: so any formula costs a step the same, and a step that is
recorded into a CUDA graph still sees the rate change.

`steps` is the length of the run; a schedule that falls to an end is there at step `steps`, just after the last
update, and stays there, so that no update is wasted on a rate of 0. docs/schedules.md shows each curve.

A new schedule is one function and one line in SCHEDULES. All raise ValueError for a rate that isn't positive and
finite, for a length below 1, and for a shape that isn't in the range that they name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from xpnn.backend import Array, xp_of

Schedule: TypeAlias = Callable[[Array], Array]


def _check(rate: float, steps: int = 1) -> None:
    if not 0 < rate < float("inf"):
        raise ValueError(f"learning_rate must be a positive number, not {rate}")
    _check_counts(steps=steps)


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not value >= 1 or value % 1:
            raise ValueError(f"{name} must be a whole number of 1 or more, not {value}")


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {value}")


def _check_factors(**factors: float) -> None:
    for name, value in factors.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], not {value}")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a positive number, not {value}")


def constant(rate: float) -> Schedule:
    """The same rate at every step."""
    _check(rate)

    def schedule(step: Array) -> Array:
        return 0 * step + rate

    return schedule


def step_decay(rate: float, steps: int, drops: int = 3, factor: float = 0.1) -> Schedule:
    """The run in `drops` + 1 equal parts, each at `factor` times the rate of the one before.

    `factor` lies in (0, 1].
    """
    _check(rate, steps)
    _check_counts(drops=drops)
    _check_factors(factor=factor)

    def schedule(step: Array) -> Array:
        return rate * factor ** (step * (drops + 1) // steps).clip(0, drops)

    return schedule


def exponential(rate: float, steps: int, end: float = 0.01) -> Schedule:
    """From `rate` down to `end` * `rate`, the same share of it at each step: rate * end^(step / steps).

    `end` lies in (0, 1].
    """
    _check(rate, steps)
    _check_factors(end=end)

    def schedule(step: Array) -> Array:
        return rate * end ** (step / steps).clip(0, 1)

    return schedule


def polynomial(rate: float, steps: int, power: float = 2.0) -> Schedule:
    """From `rate` down to 0: rate * (1 - step / steps)^power. `power` is positive."""
    _check(rate, steps)
    _check_positive(power=power)

    def schedule(step: Array) -> Array:
        return rate * (1 - step / steps).clip(0) ** power

    return schedule


def linear(rate: float, steps: int) -> Schedule:
    """From `rate` at step 0 down to 0 at step `steps`, in a straight line, and 0 from there on."""
    return polynomial(rate, steps, power=1.0)


def cosine(rate: float, steps: int, end: float = 0.0) -> Schedule:
    """From `rate` down to `end` * `rate` in half a wave (Loshchilov and Hutter, 2017, equation 5, one cycle).

    `end` lies in [0, 1].
    """
    return cosine_restarts(rate, steps, cycles=1, end=end)


def cosine_restarts(rate: float, steps: int, cycles: int = 3, multiplier: float = 2.0, end: float = 0.0) -> Schedule:
    """SGDR (Loshchilov and Hutter, 2017): `cycles` half waves from `rate` to `end` * `rate`, which fill the run.

    Each is `multiplier` times as long as the one before, and starts at a whole step: in a run that is shorter than
    its cycles, some have no step. `multiplier` is 1 or more, `end` lies in [0, 1].
    """
    _check(rate, steps)
    _check_counts(cycles=cycles)
    _check_shares(end=end)
    if not 1 <= multiplier < float("inf"):
        raise ValueError(f"multiplier must be a number of 1 or more, not {multiplier}")
    lengths = [multiplier ** (i + 1 - cycles) for i in range(cycles)]  # relative to the last, so that none overflows
    starts = [round(steps * sum(lengths[:i]) / sum(lengths)) for i in range(cycles + 1)]

    def schedule(step: Array) -> Array:
        height = 0 * step + end  # after the run
        for start, stop in pairwise(starts):
            if start < stop:
                here = (start <= step) * (step < stop)
                height = height + here * (1 - end) * (1 - _rise((step - start) / (stop - start)))
        return rate * height

    return schedule


def _rise(share: Array) -> Array:
    """From 0 to 1 in half a wave, while `share` goes from 0 to 1."""
    return (1 - xp_of(share).cos(math.pi * share)) / 2


def cyclical(rate: float, steps: int, cycles: int = 4, low: float = 0.25) -> Schedule:
    """Triangles from `low` * `rate` up to `rate` and down again, `cycles` in the run (Smith, 2017, "triangular").

    `low` lies in [0, 1].
    """
    _check(rate, steps)
    _check_counts(cycles=cycles)
    _check_shares(low=low)

    def schedule(step: Array) -> Array:
        return rate * (low + (1 - low) * (1 - abs(2 * (step * cycles / steps % 1) - 1)))

    return schedule


def one_cycle(rate: float, steps: int, peak: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Up from `start` * `rate` to `rate`, then down to `end` * `rate` (Smith and Topin, 2018), each half a wave.

    The top is reached at the share `peak` of the run. `start` and `end` lie in [0, 1], `peak` in [0, 1). It is
    PyTorch's OneCycleLR of `steps` + 1 steps: the last of them, at `end`, is the step after our run.
    """
    _check(rate, steps)
    _check_shares(start=start, end=end)
    if not 0 <= peak < 1:
        raise ValueError(f"peak must lie in [0, 1), not {peak}")
    top = peak * (steps + 1) - 1

    def schedule(step: Array) -> Array:
        up = _rise((step / top).clip(0, 1)) if top > 0 else 1
        down = _rise(((step - top) / (steps - top)).clip(0, 1))
        return rate * (start + (1 - start) * up - (1 - end) * down)

    return schedule


def inverse_square_root(rate: float, timescale: float) -> Schedule:
    """rate / sqrt(1 + step / timescale): it never ends, so the length of the run needn't be known.

    `warmup(inverse_square_root(rate, n), n - 1)` is the schedule of the Transformer (Vaswani et al., 2017, equation 3)
    with n warm-up steps. `timescale` is positive.
    """
    _check(rate)
    _check_positive(timescale=timescale)

    def schedule(step: Array) -> Array:
        return rate / (1 + step / timescale) ** 0.5

    return schedule


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """`schedule`, put off by `steps` steps, which lead up to it in a straight line: from 0 at step -1, before the run.

    Raises ValueError for a negative number of steps.
    """
    if not steps >= 0 or steps % 1:
        raise ValueError(f"steps must be a whole number of 0 or more, not {steps}")

    def warmed(step: Array) -> Array:
        return schedule((step - steps).clip(0)) * ((step + 1) / (steps + 1)).clip(0, 1)

    return warmed


def scheduled(name: str, rate: float, steps: int, warmup_steps: int = 0) -> Schedule:
    """The schedule called `name` for a run of `steps` updates, of which the first `warmup_steps` lead up to `rate`.

    Raises ValueError for an unknown name, or a warm-up that takes the whole run.
    """
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}: choose from {', '.join(SCHEDULES)}")
    _check_counts(steps=steps)
    if not 0 <= warmup_steps < steps or warmup_steps % 1:
        raise ValueError(f"warmup_steps must be a whole number in [0, {steps}), the run's steps, not {warmup_steps}")
    return warmup(SCHEDULES[name](rate, steps - warmup_steps), warmup_steps)


SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, steps: constant(rate),
    "cosine": cosine,
    "cosine-restarts": cosine_restarts,
    "cyclical": cyclical,
    "exponential": exponential,
    "inverse-square-root": lambda rate, steps: inverse_square_root(rate, steps / 25),
    "linear": linear,
    "one-cycle": one_cycle,
    "polynomial": polynomial,
    "step": step_decay,
}
