"""Learning-rate schedules: pure functions of the step.

A schedule takes a float64 vector of step numbers (0 is the first update of the run) and gives the vector of
learning rates. The rates of an epoch are worked out in one call on the host and sent to the device as a table,
from which the training step reads its own entry: so any formula costs a step the same, and a step that is
recorded into a CUDA graph still sees the rate change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from xpnn.backend import Array

Schedule: TypeAlias = Callable[[Array], Array]


def _check_rate(rate: float) -> None:
    if not 0 < rate < float("inf"):
        raise ValueError(f"learning_rate must be a positive number, not {rate}")


def constant(rate: float) -> Schedule:
    """The same rate at every step. Raises ValueError unless it is a positive number."""
    _check_rate(rate)

    def schedule(step: Array) -> Array:
        return 0 * step + rate

    return schedule


def linear(rate: float, steps: int) -> Schedule:
    """From `rate` at step 0 down to 0 at step `steps`, in a straight line, and 0 from there on.

    Raises ValueError unless `rate` is a positive number.
    """
    _check_rate(rate)

    def schedule(step: Array) -> Array:
        return rate * (1 - step / steps).clip(0)

    return schedule


def scheduled(name: str, rate: float, steps: int) -> Schedule:
    """The schedule called `name` for a run of `steps` updates that starts at `rate`.

    Raises ValueError for an unknown name.
    """
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}: choose from {', '.join(SCHEDULES)}")
    return SCHEDULES[name](rate, steps)


SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, steps: constant(rate),
    "linear": linear,
}
