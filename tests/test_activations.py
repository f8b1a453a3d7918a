"""Each activation against its formula, its derivative against central differences, and its behaviour at extremes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import ACTIVATION_FORMULAS, ACTIVATION_NAMES, SELU, activation
from numpy.typing import NDArray
from scipy import special

from xpnn import to_host
from xpnn.activations import ACTIVATIONS, activation_named, saved_for
from xpnn.normal import REACH, density_and_tail

INF = np.inf
ELEMENTWISE = [name for name in ACTIVATION_NAMES if name != "softmax"]
EXTREMES = [-INF, -1e30, -1000, -90, 0, 90, 1000, 1e30, INF]
RISING = [0, 0, 0, 0, 0, 90, 1000, 1e30, INF]  # what most of them tend to
LIMITS = {  # f and f' at the extremes
    "elu": ([-1, -1, -1, -1, 0, *RISING[5:]], [0, 0, 0, 0, 1, 1, 1, 1, 1]),
    "elu:0.5": ([-0.5, -0.5, -0.5, -0.5, 0, *RISING[5:]], [0, 0, 0, 0, 0.5, 1, 1, 1, 1]),
    "exp": ([0, 0, 0, 0, 1, np.exp(90), INF, INF, INF], [0, 0, 0, 0, 1, np.exp(90), INF, INF, INF]),
    "gelu": (RISING, [0, 0, 0, 0, 0.5, 1, 1, 1, 1]),
    "gelu-tanh": (RISING, [0, 0, 0, 0, 0.5, 1, 1, 1, 1]),
    "identity": (EXTREMES, [1] * 9),
    "leaky-relu": ([-INF, -1e28, -10, -0.9, *RISING[4:]], [0.01, 0.01, 0.01, 0.01, 0.01, 1, 1, 1, 1]),
    "leaky-relu:0.2": ([-INF, -2e29, -200, -18, *RISING[4:]], [0.2, 0.2, 0.2, 0.2, 0.2, 1, 1, 1, 1]),
    "mish": (RISING, [0, 0, 0, 0, 0.6, 1, 1, 1, 1]),
    "relu": (RISING, [0, 0, 0, 0, 0, 1, 1, 1, 1]),
    "selu": (
        [*[-SELU[0] * SELU[1]] * 4, 0, *(SELU[0] * z for z in RISING[5:])],
        [0, 0, 0, 0, SELU[0] * SELU[1], *[SELU[0]] * 4],
    ),
    "sigmoid": ([0, 0, 0, 0, 0.5, 1, 1, 1, 1], [0, 0, 0, 0, 0.25, 0, 0, 0, 0]),
    "silu": (RISING, [0, 0, 0, 0, 0.5, 1, 1, 1, 1]),
    "softplus": ([0, 0, 0, 0, np.log(2), *RISING[5:]], [0, 0, 0, 0, 0.5, 1, 1, 1, 1]),
    "tanh": ([-1, -1, -1, -1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 0, 0]),
}


def apply(xp: ModuleType, name: str, z: NDArray[Any], error: NDArray[Any] | None = None) -> tuple[Any, Any]:
    """f(z), and error * f'(z), on the host."""
    function, y = activation_named(name), xp.asarray(z.copy())  # NumPy's asarray gives the copy itself
    delta = xp.asarray(np.ones_like(z) if error is None else error.copy())
    saved, column = saved_for(function, y), xp.zeros((len(z), 1), dtype=z.dtype)
    function.apply(y, saved, column)
    outputs = to_host(y).copy()
    function.backpropagate(delta, saved, column)
    return outputs, to_host(delta)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_formula(xp: ModuleType, name: str) -> None:
    z = np.random.default_rng(1).normal(scale=2, size=(50, 4))
    # float64: a handful of roundings, each 1e-16; the formulas' own 1 + erf and 1 + tanh lose that much absolutely
    np.testing.assert_allclose(apply(xp, name, z)[0], activation(name, z), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_backpropagate_is_the_vector_jacobian_product(xp: ModuleType, name: str) -> None:
    generator = np.random.default_rng(2)
    z, error = generator.normal(scale=2, size=(6, 4)), generator.normal(size=(6, 4))
    numeric, h = np.empty_like(z), 1e-6
    for place in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[place] = h
        numeric[place] = (error * (activation(name, z + step) - activation(name, z - step))).sum() / (2 * h)

    # central differences: h^2 of truncation and 1e-16 / h of rounding, both below 1e-9
    np.testing.assert_allclose(apply(xp, name, z, error)[1], numeric, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_extremes_reach_the_limits_without_a_warning(xp: ModuleType, name: str, dtype: str) -> None:
    outputs, slopes = apply(xp, name, np.array([EXTREMES], dtype=dtype))
    # z exp(z), where silu and mish stop following z down, is 6e-37; one rounding each
    kind: dict[str, Any] = {"rtol": 3e-7 if dtype == "float32" else 1e-15, "atol": 1e-36}
    with np.errstate(over="ignore"):  # exp(90) is no float32
        limits = np.array(LIMITS[name], dtype=dtype)
    np.testing.assert_allclose(outputs, limits[:1], **kind)
    np.testing.assert_allclose(slopes, limits[1:], **kind)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_keeps_its_digits_over_all_sizes_of_z(xp: ModuleType, name: str, dtype: str) -> None:
    size = np.logspace(-30, 1.5, 200)  # beyond 32 the formulas themselves overflow
    z = np.concatenate([-size, size])[:, None].astype(dtype)
    precision = 1e-12 if dtype == "float64" else 1e-5  # gelu's at its far end; the others are better
    # Far below 0, 1 + tanh has no digits left, here and in the formula; and float32 has no smaller numbers.
    smallest = precision if name == "gelu-tanh" else 1e-36
    np.testing.assert_allclose(
        apply(xp, name, z)[0], activation(name, z.astype(np.float64)), rtol=precision, atol=smallest
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_huge_sums_is_a_distribution(xp: ModuleType, dtype: str) -> None:
    z = np.array([[1e30, 0, -1e30], [1000, 1000, -1000], [-1e30, -1e30, -1e30]], dtype=dtype)
    expected = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=dtype)
    np.testing.assert_allclose(apply(xp, "softmax", z)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_not_a_number_is_never_hidden(xp: ModuleType, name: str) -> None:
    assert np.isnan(apply(xp, name, np.array([[np.nan, 1.0]]))[0]).any()


@pytest.mark.parametrize(("dtype", "near", "far"), [("float32", 2e-6, 1e-5), ("float64", 1e-14, 3e-13)])
def test_tail_of_the_normal_distribution_is_scipys(xp: ModuleType, dtype: str, near: float, far: float) -> None:
    kind = np.finfo(dtype)
    reach = REACH[kind.bits // 8]
    z = np.linspace(-reach, reach, 20001).astype(dtype)
    density, tail = (xp.empty(z.shape, dtype=dtype) for _ in range(2))
    density_and_tail(xp.asarray(z), density, tail)

    exact = z.astype(np.float64)
    tails, densities = special.ndtr(-np.abs(exact)), np.exp(-(exact**2) / 2)
    floor = 100 * float(kind.tiny)  # below, numbers of the type become coarse
    # A rounding of the exponent z^2 / 2 becomes z^2 / 2 roundings of the result: the more, the farther out.
    within = np.abs(z) < 6
    np.testing.assert_allclose(to_host(tail)[within], tails[within], rtol=near)
    np.testing.assert_allclose(to_host(tail), tails, rtol=far, atol=floor)
    np.testing.assert_allclose(to_host(density), densities, rtol=far, atol=floor)
    np.testing.assert_allclose(to_host(tail), tails, rtol=0, atol=4 * float(kind.eps))


def test_every_activation_is_under_test() -> None:
    assert set(ACTIVATION_FORMULAS) == set(ACTIVATIONS)
    assert set(LIMITS) == set(ELEMENTWISE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rely", r"unknown output activation 'rely': choose from elu\[:1\], gelu, .*leaky-relu\[:0.01\]"),
        ("relu:0.1", "the output activation relu takes no number: write relu, not relu:0.1"),
        ("elu:x", "'elu:x': 'x' is not a number; write alpha as in elu:1"),
        ("elu:", "'' is not a number"),
        ("elu:0", "alpha must be a positive number, not 0"),
        ("elu:nan", "alpha must be"),
        ("elu:inf", "alpha must be"),
        ("leaky-relu:0", "slope must lie between 0 and 1, not 0"),
        ("leaky-relu:1", "slope must lie"),
        (3, "unknown output activation 3"),
    ],
)
def test_names_that_name_nothing(text: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        activation_named(text)
