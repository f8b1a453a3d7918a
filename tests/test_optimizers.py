"""Each optimizer against PyTorch's trajectory (tests/reference) or its paper's update, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xpnn import optimizers, schedules, to_host
from xpnn.optimizers import OPTIMIZERS, Optimizer

REFERENCE = json.loads((Path(__file__).parent / "reference" / "optimizer_trajectories.json").read_text())[
    "after 100 steps"
]
# name in the reference: (ours, learning rate)
OURS: dict[str, tuple[Callable[..., Optimizer], float]] = {
    "sgd": (optimizers.sgd, 0.05),
    "sgd with momentum": (partial(optimizers.sgd, momentum=0.9), 0.01),
    "momentum": (optimizers.momentum, 0.02),
    "nesterov": (optimizers.nesterov, 0.02),
    "nesterov with less momentum": (partial(optimizers.sgd, momentum=0.5, nesterov=True), 0.02),
    "adagrad": (optimizers.adagrad, 0.3),
    "adagrad with a large epsilon": (partial(optimizers.adagrad, epsilon=0.1), 0.3),
    "rmsprop": (optimizers.rmsprop, 0.02),
    "rmsprop with momentum": (partial(optimizers.rmsprop, alpha=0.9, epsilon=1e-3, momentum=0.8), 0.005),
    "adam": (optimizers.adam, 0.02),
    "adam with other betas": (partial(optimizers.adam, beta1=0.5, beta2=0.99, epsilon=1e-3), 0.05),
    "adamw": (optimizers.adamw, 0.02),
    "adamw with more decay": (partial(optimizers.adamw, weight_decay=0.5), 0.02),
    "nadam": (optimizers.nadam, 0.02),
    "nadam with other settings": (
        partial(optimizers.nadam, beta1=0.5, beta2=0.99, epsilon=1e-3, momentum_decay=0.1),
        0.05,
    ),
    "radam": (optimizers.radam, 0.02),
    "radam with other betas": (partial(optimizers.radam, beta1=0.5, beta2=0.95, epsilon=0.1), 0.02),
    "radam that hardly rectifies": (partial(optimizers.radam, beta1=0.9, beta2=0.7), 0.02),
    "radam that never rectifies": (partial(optimizers.radam, beta1=0.9, beta2=0.6), 0.02),
}
NOT_PYTORCHS = {"lion"}
PACES: dict[str, Callable[[float], Any]] = {
    "at a constant rate": lambda rate: rate,
    "at a falling rate": lambda rate: schedules.linear(rate, 100),
}
EVERY = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def gradient_at(p: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.linspace(0.1, 5, 9) * (p - 1) + np.cos(p)
    return found


def descend(xp: ModuleType, optimizer: Optimizer) -> NDArray[Any]:
    """Where the optimizer stands after the reference's 100 steps."""
    p = xp.asarray(np.linspace(-2, 2, 9))
    state, steps = optimizer.init(p), np.arange(100.0)
    rates = optimizer.schedule(steps)
    for row, rate in zip(np.stack(optimizer.coefficients(steps, rates), axis=1), rates, strict=True):
        gradient = xp.asarray(gradient_at(to_host(p)))
        xp.multiply(p, float(1 - rate * optimizer.weight_decay), out=p)  # the step's part
        optimizer.update(gradient, state, p, [xp.asarray(value) for value in row])
    found: NDArray[Any] = to_host(p)
    return found


def test_every_reference_trajectory_and_every_optimizer_is_compared() -> None:
    for pace in PACES:
        assert OURS.keys() == REFERENCE[pace].keys()
    assert {make(rate).name for make, rate in OURS.values()} | NOT_PYTORCHS == OPTIMIZERS.keys()


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", OURS)
def test_trajectory_is_pytorchs(xp: ModuleType, name: str, pace: str) -> None:
    make, rate = OURS[name]
    np.testing.assert_allclose(descend(xp, make(PACES[pace](rate))), REFERENCE[pace][name], rtol=1e-10)


@pytest.mark.parametrize(("beta1", "beta2", "weight_decay"), [(0.9, 0.99, 0.0), (0.5, 0.8, 0.3), (0.0, 0.0, 0.1)])
def test_trajectory_is_lions(xp: ModuleType, beta1: float, beta2: float, weight_decay: float) -> None:
    """Algorithm 2 of the paper, written out."""
    p, m = np.linspace(-2, 2, 9), np.zeros(9)
    for step in range(100):
        g, rate = gradient_at(p), 0.05 * (1 - step / 100)
        update = np.sign(beta1 * m + (1 - beta1) * g)
        p, m = p - rate * (update + weight_decay * p), beta2 * m + (1 - beta2) * g
    ours = descend(xp, optimizers.lion(schedules.linear(0.05, 100), beta1, beta2, weight_decay))
    np.testing.assert_allclose(ours, p, rtol=1e-10)


def test_adam_states_are_the_moments_without_their_factors(xp: ModuleType) -> None:
    optimizer, p = optimizers.adam(beta1=0.9, beta2=0.99), xp.asarray(np.zeros(3))
    state = optimizer.init(p)
    m, v, gradient = np.zeros(3), np.zeros(3), np.array([1.0, -2.0, 3.0])
    for _ in range(4):
        optimizer.update(xp.asarray(gradient.copy()), state, p, [xp.asarray(np.array(0.1)), xp.asarray(np.array(1e-8))])
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
    np.testing.assert_allclose(to_host(state["first_moment"]) * 0.1, m, rtol=1e-14)
    np.testing.assert_allclose(to_host(state["second_moment"]) * 0.01, v, rtol=1e-13)


@EVERY
@given(ends=st.lists(st.integers(1, 99), unique=True))
def test_epochs_of_any_lengths_have_the_coefficients_of_the_whole_run(
    make: Callable[..., Optimizer], ends: list[int]
) -> None:
    optimizer = make(schedules.cosine(0.1, 100))

    def table(steps: NDArray[Any]) -> NDArray[Any]:
        return np.stack(optimizer.coefficients(steps, optimizer.schedule(steps)), axis=1)

    epochs = np.split(np.arange(100.0), sorted(ends))
    np.testing.assert_array_equal(np.concatenate([table(epoch) for epoch in epochs]), table(np.arange(100.0)))


@EVERY
def test_an_element_never_sees_another(xp: ModuleType, make: Callable[..., Optimizer]) -> None:
    """Two halves that are updated each by itself end as the whole does, to the bit."""

    def run(part: slice) -> NDArray[Any]:
        optimizer, p = make(0.1), xp.asarray(np.linspace(-2, 2, 8)[part])
        state, steps = optimizer.init(p), np.arange(20.0)
        for row in np.stack(optimizer.coefficients(steps, optimizer.schedule(steps)), axis=1):
            optimizer.update(xp.asarray(np.sin(to_host(p))), state, p, [xp.asarray(value) for value in row])
        found: NDArray[Any] = to_host(p)
        return found

    np.testing.assert_array_equal(np.concatenate([run(slice(4)), run(slice(4, 8))]), run(slice(8)))


@EVERY
def test_settings_are_those_of_the_function(make: Callable[..., Optimizer]) -> None:
    settings = optimizers.settings_of(make().name)
    again = make(**settings)
    steps = np.arange(9.0)
    np.testing.assert_array_equal(make().schedule(steps), np.full(9, settings["learning_rate"]))
    np.testing.assert_array_equal(
        again.coefficients(steps, again.schedule(steps)), make().coefficients(steps, make().schedule(steps))
    )


def test_settings_of_an_unknown_optimizer() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'adma': choose from adagrad, adam, adamw"):
        optimizers.settings_of("adma")


def test_decoupled_gives_a_copy() -> None:
    plain = optimizers.adam()
    decayed = optimizers.decoupled(plain, 0.1)
    assert (plain.weight_decay, decayed.weight_decay) == (0.0, 0.1)
    assert decayed._replace(weight_decay=0.0) == plain
    assert {name: make().weight_decay for name, make in OPTIMIZERS.items() if make().weight_decay} == {"adamw": 0.01}


RANGES = {  # of each setting: what its error says, and numbers outside
    "learning_rate": ("learning_rate must be a positive number, not", (0.0, -1.0, np.inf, np.nan)),
    "epsilon": ("epsilon must be positive and finite, not", (0.0, -1.0, np.inf, np.nan)),
    "weight_decay": ("weight_decay must be a number of 0 or more, not", (-0.1, np.inf, np.nan)),
    "momentum_decay": ("momentum_decay must be a number of 0 or more, not", (-0.1, np.inf, np.nan)),
    **{
        name: (rf"{name} must lie in \[0, 1\), not", (-0.1, 1.0, np.nan))
        for name in ("momentum", "alpha", "beta1", "beta2")
    },
}


@pytest.mark.parametrize(
    ("name", "setting"),
    [(name, key) for name in OPTIMIZERS for key in optimizers.settings_of(name) if key != "nesterov"],
)
def test_settings_that_cannot_work(name: str, setting: str) -> None:
    message, outside = RANGES[setting]
    for value in outside:
        with pytest.raises(ValueError, match=f"{message} {value}"):
            OPTIMIZERS[name](**{setting: value})


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        optimizers.nesterov(momentum=0)


def test_rate_of_a_schedule_is_checked_too() -> None:
    with pytest.raises(ValueError, match="learning_rate must be a positive number"):
        optimizers.adam(schedules.linear(float("nan"), 10))
