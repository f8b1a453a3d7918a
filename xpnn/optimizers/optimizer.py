"""What an optimizer is (see the package's docstring), and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from xpnn.backend import Array, xp_of
from xpnn.schedules import Schedule, constant

State: TypeAlias = dict[str, Array]


class Optimizer(NamedTuple):
    """See the package's docstring; made by `sgd`, `adam`, ...

    weight_decay: before an update the train step multiplies the weights, not the biases, by 1 - rate * weight_decay.
    settings:     the numbers that it was made with, beside the learning rate: a fast step goes by them and the name, so
                  whoever replaces `update` must empty them.
    """

    name: str
    schedule: Schedule
    init: Callable[[Array], State]
    coefficients: Callable[[Array, Array], Sequence[Array]]
    update: Callable[[Array, State, Array, Sequence[Array]], None]
    weight_decay: float = 0.0
    settings: Mapping[str, float] = MappingProxyType({})


def decoupled(optimizer: Optimizer, weight_decay: float) -> Optimizer:
    """The optimizer with decoupled weight decay (Loshchilov and Hutter, 2019): beside the update, not in the gradient.

    Raises ValueError for a weight_decay that is negative or not finite.
    """
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay must be a number of 0 or more, not {weight_decay}")
    return optimizer._replace(weight_decay=weight_decay)


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """A number is a constant schedule. Raises ValueError for a number that isn't positive."""
    return learning_rate if callable(learning_rate) else constant(learning_rate)


def check_decays(**decays: float) -> None:
    """Raise ValueError, with the argument's name, for a share that would grow instead of fade."""
    for name, value in decays.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1), not {value}")


def check_epsilon(epsilon: float) -> None:
    """Raise ValueError for an epsilon that would not keep a denominator from 0."""
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon must be positive and finite, not {epsilon}")


def zeros(*names: str) -> Callable[[Array], State]:
    """The init of a state of vectors that start at zero."""

    def init(parameters: Array) -> State:
        return {name: xp_of(parameters).zeros_like(parameters) for name in names}

    return init


def rate_alone(steps: Array, rates: Array) -> Sequence[Array]:
    """The coefficients of an optimizer that changes nothing but the learning rate."""
    return (rates,)
