"""Each activation against its formula, its derivative against central differences, and its behaviour at extremes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import to_host
from xpnn.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS, activation_named, saved_for
from xpnn.backend import Array

FORMULAS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
}
EXTREMES = [-np.inf, -1e30, -1000, -89, 0, 89, 1000, 1e30, np.inf]
LIMITS = {  # at the extremes
    "identity": EXTREMES,
    "relu": [0, 0, 0, 0, 0, 89, 1000, 1e30, np.inf],
    "sigmoid": [0, 0, 0, 0, 0.5, 1, 1, 1, 1],
    "tanh": [-1, -1, -1, -1, 0, 1, 1, 1, 1],
}


def apply(xp: ModuleType, name: str, z: NDArray[Any]) -> NDArray[Any]:
    y = xp.asarray(z.copy())  # NumPy gives z itself, which is to be overwritten
    ACTIVATIONS[name].apply(y, xp.zeros((len(z), 1), dtype=z.dtype))
    host: NDArray[Any] = to_host(y)
    return host


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_formula(xp: ModuleType, name: str) -> None:
    z = np.random.default_rng(1).normal(scale=2, size=(5, 4))
    # float64: a handful of roundings, each 1e-16
    np.testing.assert_allclose(apply(xp, name, z), FORMULAS[name](z), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backpropagate_is_the_vector_jacobian_product(xp: ModuleType, name: str) -> None:
    generator = np.random.default_rng(2)
    z, error = generator.normal(scale=2, size=(6, 4)), generator.normal(size=(6, 4))
    numeric, h = np.empty_like(z), 1e-6
    for place in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[place] = h
        numeric[place] = (error * (FORMULAS[name](z + step) - FORMULAS[name](z - step))).sum() / (2 * h)

    y, delta = xp.asarray(apply(xp, name, z)), xp.asarray(error)
    ACTIVATIONS[name].backpropagate(delta, y, xp.zeros((6, 1), dtype="float64"))

    # central differences: h^2 of truncation and 1e-16 / h of rounding, both below 1e-9
    np.testing.assert_allclose(to_host(delta), numeric, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", HIDDEN_ACTIVATIONS)
def test_extremes_reach_the_limits_without_a_warning(xp: ModuleType, name: str, dtype: str) -> None:
    z = np.array([EXTREMES], dtype=dtype)
    expected = np.array([LIMITS[name]], dtype=dtype)
    np.testing.assert_allclose(apply(xp, name, z), expected, atol=1e-38)  # sigmoid(-1000) may be the smallest float


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_huge_sums_is_a_distribution(xp: ModuleType, dtype: str) -> None:
    z = np.array([[1e30, 0, -1e30], [1000, 1000, -1000], [-1e30, -1e30, -1e30]], dtype=dtype)
    expected = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=dtype)
    np.testing.assert_allclose(apply(xp, "softmax", z), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_a_number_is_never_hidden(xp: ModuleType, name: str) -> None:
    assert np.isnan(apply(xp, name, np.array([[np.nan, 1.0]]))).any()
