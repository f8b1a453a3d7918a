"""Optimizers: a few lines of arithmetic on one flat vector.

The parameters, the gradient and each moment are vectors of the same layout, shape (P,). An optimizer is

    init(parameters) -> state                                   moments, by name; each like `parameters`
    coefficients(steps, rates) -> (c_0, c_1, ...)               the numbers that change from step to step
    update(gradient, state, parameters, coefficients) -> None   in place; the gradient is spent

`coefficients` is worked out on the host in float64 for a whole epoch (vectors of step numbers from 0 and of
learning rates); the training step hands `update` its own row as 0-d arrays on the device. Nothing that
changes is a Python number, so a recorded CUDA graph replays correctly, and powers like beta^t are exact.

A new optimizer is one function and one line in OPTIMIZERS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from xpnn.backend import Array, xp_of
from xpnn.schedules import Schedule, constant

State: TypeAlias = dict[str, Array]


class Optimizer(NamedTuple):
    """See the module's docstring; made by `sgd`, `adam`, ..."""

    name: str
    schedule: Schedule
    init: Callable[[Array], State]
    coefficients: Callable[[Array, Array], Sequence[Array]]
    update: Callable[[Array, State, Array, Sequence[Array]], None]
    weight_decay: float = 0.0


def _as_schedule(learning_rate: float | Schedule) -> Schedule:
    return learning_rate if callable(learning_rate) else constant(learning_rate)


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), not {value}")


def sgd(learning_rate: float | Schedule = 0.1, momentum: float = 0.0) -> Optimizer:
    """Gradient descent, with momentum as PyTorch writes it (Polyak, 1964; Sutskever et al., 2013).

    v <- momentum * v + g;  p <- p - rate * v

    Raises ValueError for a learning rate that isn't positive, or a momentum outside [0, 1).
    """
    _check_decay("momentum", momentum)

    def init(parameters: Array) -> State:
        return {"velocity": xp_of(parameters).zeros_like(parameters)} if momentum else {}

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        return (rates,)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        (rate,) = coefficients
        if momentum:
            velocity = state["velocity"]
            xp.multiply(velocity, momentum, out=velocity)
            xp.add(velocity, gradient, out=velocity)
            xp.multiply(velocity, rate, out=gradient)
        else:
            xp.multiply(gradient, rate, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    return Optimizer("sgd", _as_schedule(learning_rate), init, coefficients, update)


def adam(
    learning_rate: float | Schedule = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Adam (Kingma and Ba, 2015, algorithm 1).

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
    p <- p - rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon),  t = 1, 2, ...

    The state holds the moments without their constant factors, M = m / (1 - beta1) and V = v / (1 - beta2):
    that saves two of twelve passes over memory, and the factors move into the two coefficients.

    Raises ValueError for a learning rate or epsilon that isn't positive, or a beta outside [0, 1).
    """
    _check_decay("beta1", beta1)
    _check_decay("beta2", beta2)
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, not {epsilon}")

    def init(parameters: Array) -> State:
        xp = xp_of(parameters)
        return {"first_moment": xp.zeros_like(parameters), "second_moment": xp.zeros_like(parameters)}

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        first = (1 - beta1) / (1 - beta1 ** (steps + 1))  # M * first is m, corrected for its start at zero
        second = ((1 - beta2) / (1 - beta2 ** (steps + 1))) ** 0.5
        return rates * first / second, epsilon / second

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        first, second = state["first_moment"], state["second_moment"]
        rate, small = coefficients
        xp.multiply(first, beta1, out=first)
        xp.add(first, gradient, out=first)
        xp.multiply(second, beta2, out=second)
        xp.multiply(gradient, gradient, out=gradient)
        xp.add(second, gradient, out=second)
        xp.sqrt(second, out=gradient)
        xp.add(gradient, small, out=gradient)
        xp.divide(first, gradient, out=gradient)
        xp.multiply(gradient, rate, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    return Optimizer("adam", _as_schedule(learning_rate), init, coefficients, update)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": adam, "sgd": sgd}
