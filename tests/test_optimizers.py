"""Each optimizer against PyTorch's trajectory (tests/reference), the schedules, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xpnn import optimizers, schedules, to_host
from xpnn.optimizers import OPTIMIZERS, Optimizer

REFERENCE = json.loads((Path(__file__).parent / "reference" / "optimizer_trajectories.json").read_text())
OURS = {
    "sgd": optimizers.sgd(0.05),
    "sgd with momentum": optimizers.sgd(0.01, momentum=0.9),
    "adam": optimizers.adam(0.02),
    "adam with other betas": optimizers.adam(0.05, beta1=0.5, beta2=0.99, epsilon=1e-3),
    "sgd with a falling rate": optimizers.sgd(schedules.linear(0.05, 100)),
}


def test_every_reference_trajectory_and_every_optimizer_is_compared() -> None:
    assert OURS.keys() == REFERENCE["after 100 steps"].keys()
    assert {optimizer.name for optimizer in OURS.values()} == OPTIMIZERS.keys()


@pytest.mark.parametrize("name", OURS)
def test_trajectory_is_pytorchs(xp: ModuleType, name: str) -> None:
    optimizer: Optimizer = OURS[name]
    p, a = xp.asarray(np.linspace(-2, 2, 9)), np.linspace(0.1, 5, 9)
    state = optimizer.init(p)
    steps = np.arange(100.0)
    table = np.stack(optimizer.coefficients(steps, optimizer.schedule(steps)), axis=1)
    for row in table:
        here = to_host(p)
        gradient = xp.asarray(a * (here - 1) + np.cos(here))
        optimizer.update(gradient, state, p, [xp.asarray(value) for value in row])
    np.testing.assert_allclose(to_host(p), REFERENCE["after 100 steps"][name], rtol=1e-10)


def test_adam_states_are_the_moments_without_their_factors(xp: ModuleType) -> None:
    optimizer, p = optimizers.adam(beta1=0.9, beta2=0.99), xp.asarray(np.zeros(3))
    state = optimizer.init(p)
    m, v, gradient = np.zeros(3), np.zeros(3), np.array([1.0, -2.0, 3.0])
    for _ in range(4):
        optimizer.update(xp.asarray(gradient.copy()), state, p, [xp.asarray(np.array(0.1)), xp.asarray(np.array(1e-8))])
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
    np.testing.assert_allclose(to_host(state["first_moment"]) * 0.1, m, rtol=1e-14)
    np.testing.assert_allclose(to_host(state["second_moment"]) * 0.01, v, rtol=1e-13)


def test_schedules_at_their_ends_and_beyond() -> None:
    steps = np.array([0.0, 5, 10, 15])
    np.testing.assert_array_equal(schedules.constant(0.1)(steps), [0.1] * 4)
    np.testing.assert_array_equal(schedules.linear(0.1, 10)(steps), [0.1, 0.05, 0, 0])
    np.testing.assert_array_equal(schedules.scheduled("linear", 0.1, 10)(steps), [0.1, 0.05, 0, 0])
    with pytest.raises(ValueError, match="unknown schedule 'cosin': choose from constant, linear"):
        schedules.scheduled("cosin", 0.1, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.sgd(0.0), "learning_rate must be a positive number, not 0.0"),
        (lambda: optimizers.sgd(-1.0), "positive"),
        (lambda: optimizers.adam(float("nan")), "positive"),
        (lambda: optimizers.adam(float("inf")), "positive"),
        (lambda: optimizers.adam(schedules.linear(float("nan"), 10)), "positive"),
        (lambda: optimizers.sgd(0.1, momentum=1.0), r"momentum must lie in \[0, 1\), not 1.0"),
        (lambda: optimizers.adam(beta1=-0.1), "beta1"),
        (lambda: optimizers.adam(beta2=1.0), "beta2"),
        (lambda: optimizers.adam(epsilon=0.0), "epsilon must be positive"),
    ],
)
def test_settings_that_cannot_work(make: Callable[[], Optimizer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
