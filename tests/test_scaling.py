"""Standardised inputs, and targets whose standardisation goes into the last layer: against scikit-learn and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from xpnn import MLP, evaluate, fold_target_scaling, standardization_of, to_host, train
from xpnn.scaling import check_target_scaling

GENERATOR = np.random.default_rng(4)
X = GENERATOR.normal([1e7, 3, 0], [1, 0.01, 500], size=(50, 3))  # in float32 the first column is whole numbers


def pair(dtype: str, device: str, **options: Any) -> tuple[MLP, MLP]:
    """The same net with the standardisation of X, and without."""
    sizes = [3, 6, 2]
    return (
        MLP(sizes, dtype=dtype, device=device, standardization=standardization_of(X), **options),
        MLP(sizes, dtype=dtype, device=device, **options),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_query_standardises_as_scikit_learn(device: str, dtype: str, tolerance: float) -> None:
    """Float64 until the cast: float32 would lose the first column."""
    net, plain = pair(dtype, device)
    expected = to_host(plain.query(StandardScaler().fit_transform(X)))
    np.testing.assert_allclose(to_host(net.query(X)), expected, atol=tolerance)
    np.testing.assert_allclose(to_host(net.query(X[7])), expected[7], atol=tolerance)
    assert np.abs(to_host(plain.query(X)) - expected).max() > 0.1
    placed = net.place_inputs(net.xp.asarray(X))
    assert (placed.dtype, type(placed)) == (dtype, type(net.parameters))
    np.testing.assert_allclose(to_host(placed), (X - X.mean(axis=0)) / X.std(axis=0), atol=10 * tolerance)


def test_whole_numbers_are_values_and_uint8_pixels(device: str) -> None:
    net, plain = pair("float64", device)
    whole = np.array([[10_000_001, 3, -700], [255, 0, 1]])
    np.testing.assert_array_equal(to_host(net.query(whole)), to_host(net.query(whole.astype("float64"))))
    np.testing.assert_array_equal(to_host(net.query(whole.tolist())), to_host(net.query(whole)))
    pixels = np.array([[255, 0, 1]], dtype="uint8")
    np.testing.assert_array_equal(to_host(net.query(pixels)), to_host(plain.query(pixels)))


def test_the_inputs_given_are_left_alone(device: str) -> None:
    net, _ = pair("float64", device)
    x = net.xp.asarray(X)
    net.query(x)
    np.testing.assert_array_equal(to_host(x), X)


def test_training_standardises_too_and_a_copy_keeps_it(device: str) -> None:
    net, plain = pair("float64", device, output="identity")
    t = GENERATOR.normal(size=(50, 2))
    epoch = list(train(net, (X, t), validation=(X, t), epochs=3))[-1]
    assert epoch.validation is not None
    assert epoch.validation.loss == evaluate(net, (X, t)).loss
    assert epoch.validation.loss == pytest.approx(((to_host(net.query(X)) - t) ** 2).sum() / 100, rel=1e-12)
    list(train(plain, (StandardScaler().fit_transform(X), t), epochs=3))
    np.testing.assert_allclose(to_host(net.parameters), to_host(plain.parameters), atol=1e-9)
    np.testing.assert_array_equal(net.to("cpu").query(X), to_host(net.query(X)))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_folded_targets_are_the_outputs_in_their_own_units(device: str, dtype: str, tolerance: float) -> None:
    net, _ = pair(dtype, device, output="identity")
    net.parameters[...] = net.xp.asarray(np.random.default_rng(5).normal(size=net.parameters.shape))  # biases too
    hidden, before = to_host(net.layers[0].W).copy(), to_host(net.query(X)).astype("float64")
    means, deviations = np.array([2000.0, -1e-3]), np.array([25.0, 1e-5])
    fold_target_scaling(net, means, deviations)
    expected = before * deviations + means
    np.testing.assert_allclose(to_host(net.query(X)), expected, rtol=tolerance)
    np.testing.assert_array_equal(to_host(net.layers[0].W), hidden)
    assert evaluate(net, (X, expected)).r2 == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-14)])  # of sums z of size 10
def test_behind_exp_a_factor_is_folded_in(device: str, dtype: str, tolerance: float) -> None:
    net, _ = pair(dtype, device, output="exp")
    net.parameters[...] = net.xp.asarray(np.random.default_rng(5).normal(size=net.parameters.shape))
    before = to_host(net.query(X)).astype("float64")
    fold_target_scaling(net, [0, 0], [5e4, 1e-5])
    np.testing.assert_allclose(to_host(net.query(X)), before * [5e4, 1e-5], rtol=tolerance)


def test_a_net_without_biases_takes_deviations_alone(device: str) -> None:
    net = MLP([3, 2], output="identity", bias=False, device=device, dtype="float64")
    before = to_host(net.query(X))
    fold_target_scaling(net, [0, 0], [2, 3])
    np.testing.assert_allclose(to_host(net.query(X)), before * [2, 3], rtol=1e-14)
    with pytest.raises(ValueError, match="no biases, which would take in the targets' means: give it biases"):
        fold_target_scaling(net, [0, 1], [2, 3])


@pytest.mark.parametrize(
    ("options", "means", "deviations", "message"),
    [
        ({"output": "tanh"}, [0, 0], [1, 1], "output identity or exp, not tanh"),
        ({"output": "exp"}, [0, 1], [1, 1], "behind exp targets can be divided only: their means must be 0"),
        ({"output": "exp", "bias": False}, [0, 0], [1, 2], "no biases, which would take in the targets' means"),
        ({}, [0], [1], "must be 2 numbers each, not 1 and 1"),
        ({}, [0, 0], [1, 0], "deviations above 0"),
        ({}, [0, float("inf")], [1, 1], "finite numbers"),
        ({}, [0, 1.6e9], [1, 1], r"target b has the mean 1.6e\+09 and the deviation 1: float32 .*; choose float64"),
        ({"dtype": "float64"}, [0, 1e18], [1, 1], "subtract or divide by a constant first"),
        ({}, [0, 0], [1, 1e18], "float32 can't hold them apart or square them; choose float64"),
        ({}, [1e20, 0], [1e15, 1], "target a has the mean"),
    ],
)
def test_what_can_not_be_folded(
    options: dict[str, Any], means: list[float], deviations: list[float], message: str
) -> None:
    net = MLP([3, 2], **({"output": "identity", "labels": ["a", "b"]} | options))
    before = net.parameters.copy()
    for function in (check_target_scaling, fold_target_scaling):
        with pytest.raises(ValueError, match=message):
            function(net, means, deviations)
    np.testing.assert_array_equal(net.parameters, before)


def test_large_targets_that_float64_can_hold() -> None:
    net = MLP([3, 1], output="identity", dtype="float64")
    before = net.query(X)
    fold_target_scaling(net, [1.6e9], [1.0])
    np.testing.assert_allclose(net.query(X) - 1.6e9, before, atol=1e-6)
