"""Initial weights have the variance that their papers give, and independent streams."""

from __future__ import annotations

import numpy as np
import pytest
from formulas import ACTIVATION_NAMES

from xpnn import MLP
from xpnn.initializers import INITIALIZERS, seeded, usual_initializer

N_OUT, N_IN = 300, 400
VARIANCES = {"lecun": 1 / N_IN, "glorot": 2 / (N_IN + N_OUT), "he": 2 / N_IN}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_mean_variance_and_shape_of_the_distribution(name: str) -> None:
    W = INITIALIZERS[name](seeded(1), N_OUT, N_IN)
    scheme, _, distribution = name.partition("-")
    variance = VARIANCES[scheme]
    assert W.shape == (N_OUT, N_IN)
    # of 120,000 draws the mean has a standard error of 0.3 % of a standard deviation, the variance one of 0.4 %
    assert abs(W.mean()) < 0.015 * variance**0.5
    assert W.var() == pytest.approx(variance, rel=0.02)
    largest = np.abs(W).max() / variance**0.5
    assert largest < 3**0.5 if distribution == "uniform" else largest > 3.5


def test_biases_start_at_zero_and_layers_differ() -> None:
    net = MLP([6, 6, 6, 6], seed=1)
    for layer in net.layers:
        assert layer.b is not None
        assert not layer.b.any()
    assert not np.array_equal(net.layers[0].W, net.layers[1].W)


def test_usual_initializer_is_what_a_net_gets() -> None:
    halving = ["elu", "elu:0.5", "gelu", "gelu-tanh", "leaky-relu", "leaky-relu:0.2", "mish", "relu", "silu"]
    usual = dict.fromkeys(ACTIVATION_NAMES, "glorot-uniform") | dict.fromkeys(halving, "he-normal")
    usual["selu"] = "lecun-normal"
    assert {name: usual_initializer(name) for name in ACTIVATION_NAMES} == usual
    net = MLP([6, 5, 4], hidden="relu", output="softmax", seed=3, dtype="float64")
    generator = seeded(3)
    np.testing.assert_array_equal(net.layers[0].W, INITIALIZERS["he-normal"](generator, 5, 6))
    np.testing.assert_array_equal(net.layers[1].W, INITIALIZERS["glorot-uniform"](generator, 4, 5))
