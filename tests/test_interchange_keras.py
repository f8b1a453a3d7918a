"""Weights from Keras 3, whose own forward pass the answers are compared with."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from xpnn import DataError, from_keras

if find_spec("torch"):
    os.environ.setdefault("KERAS_BACKEND", "torch")  # its own default, TensorFlow, is seldom there
keras = pytest.importorskip("keras", reason="Keras is not installed; nox -s interchange installs it")
layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras's own

ROWS = np.random.default_rng(2).normal(size=(100, 20)).astype("float32")
FUNCTIONS = ["elu", "gelu", "leaky_relu", "linear", "mish", "relu", "selu", "sigmoid", "silu", "softplus", "tanh"]


def model(*inner: Any, n_in: int = 20) -> Any:
    keras.utils.set_random_seed(0)
    built = keras.Sequential([keras.Input((n_in,)), *inner])
    rng = np.random.default_rng(5)
    built.set_weights([w if w.ndim == 2 else rng.normal(size=w.shape) for w in built.get_weights()])  # biases aren't 0
    return built


def check(theirs: Any, rows: Any = ROWS, given: Any = None, **settings: Any) -> Any:
    """The net of the model, which answers as it does."""
    net = from_keras(theirs if given is None else given, **settings)
    # sums of size 1 to 10 in float32, in another order
    np.testing.assert_allclose(net.query(rows), theirs.predict(rows, verbose=0), rtol=0, atol=3e-6)
    return net


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_activation_by_its_name(name: str) -> None:
    theirs = model(layers.Dense(15, activation=name), layers.Dense(10, activation="tanh"), layers.Dense(4, name))

    net = check(theirs)

    assert (net.sizes, net.dtype) == ((20, 15, 10, 4), "float32")


def test_exponential_at_the_output() -> None:
    theirs = model(layers.Dense(15, "tanh"), layers.Dense(4, "exponential"))

    net = from_keras(theirs)

    assert (net.output, net.loss) == ("exp", "poisson")
    np.testing.assert_allclose(net.query(ROWS), theirs.predict(ROWS, verbose=0), rtol=3e-6)  # as `check`, of the sums
    with pytest.raises(ValueError, match="unknown hidden activation 'exp'"):
        from_keras(model(layers.Dense(15, "exponential"), layers.Dense(4)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (layers.ReLU, "relu"),
        (lambda: layers.ReLU(negative_slope=0.25), "leaky-relu:0.25"),
        (layers.LeakyReLU, "leaky-relu:0.3"),
        (lambda: layers.ELU(alpha=0.5), "elu:0.5"),
        (lambda: layers.Activation("silu"), "silu"),
        (lambda: layers.Activation(layers.LeakyReLU(negative_slope=0.125)), "leaky-relu:0.125"),
    ],
)
def test_activations_that_are_layers(make: Any, name: str) -> None:
    follows = model(layers.Dense(15), make(), layers.Dropout(0.5), layers.Dense(4), layers.Softmax())
    inside = model(layers.Dense(15, activation=make()), layers.Dense(4, activation="softmax"))

    for theirs in (follows, inside):
        net = check(theirs)
        assert (net.hidden, net.output) == ((name,), "softmax")


def test_without_biases_and_with_one_sigmoid_output() -> None:
    net = check(model(layers.Dense(7, "relu", use_bias=False), layers.Dense(1, "sigmoid", use_bias=False)))

    assert (net.bias, net.sizes, net.loss) == (False, (20, 7, 1), "binary-cross-entropy")


def test_pictures_are_flattened_and_rescaled() -> None:
    inner = [layers.Rescaling(1 / 127.5, offset=-1), layers.Flatten(), layers.Dense(9, "gelu"), layers.Dense(3)]
    theirs = keras.Sequential([keras.Input((4, 5, 1)), *inner])
    pixels = np.random.default_rng(3).integers(0, 256, (30, 20), dtype=np.uint8)

    net = from_keras(theirs, output="softmax")

    logits = theirs.predict(pixels.reshape(-1, 4, 5, 1), verbose=0)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(net.query(pixels), expected, rtol=0, atol=3e-6)
    assert net.scaling == (1 / 127.5, -1)


def test_layers_and_weights_in_lists() -> None:
    theirs = model(layers.Dense(15, "selu"), layers.Dense(4, "softmax"))

    check(theirs, given=[keras.Input((20,)), *theirs.layers][1:])
    check(theirs, given=theirs.get_weights(), hidden="selu")


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (lambda: [layers.Dense(5), layers.BatchNormalization(), layers.Dense(3)], "a BatchNormalization in this place"),
        (lambda: [layers.Dense(5, "relu"), layers.ReLU(), layers.Dense(3)], "a ReLU in this place"),
        (lambda: [layers.ReLU(), layers.Dense(3)], "a ReLU in this place"),
        (lambda: [layers.Dense(5), layers.Rescaling(2.0), layers.Dense(3)], "a Rescaling in this place"),
        (lambda: [layers.Rescaling(2.0), layers.Rescaling(2.0), layers.Dense(3)], "a Rescaling in this place"),
        (lambda: [layers.Dense(5, "softsign")], "the activation softsign as it is set there is none"),
        (lambda: [layers.Dense(5), layers.ReLU(max_value=6)], "the activation ReLU as it is set there is none"),
        (lambda: [layers.Dense(5), layers.Softmax(axis=0)], "the activation Softmax as it is set there is none"),
        (lambda: [layers.Dense(5, activation=lambda z: 2 * z)], "the activation <lambda> as it is set there is none"),
        (lambda: [layers.Dropout(0.5)], "there is no Dense among the layers"),
    ],
)
def test_what_xpnn_cannot_do_is_refused(inner: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_keras(model(*inner()))


def test_a_function_that_is_only_called_like_keras_own_is_refused() -> None:
    def relu(z: Any) -> Any:
        return 2 * z

    with pytest.raises(DataError, match="the activation relu as it is set there is none"):
        from_keras(model(layers.Dense(5, activation=relu)))


def test_pictures_with_channels_first_are_refused() -> None:
    theirs = keras.Sequential([keras.Input((3, 2, 2)), layers.Flatten(data_format="channels_first"), layers.Dense(2)])

    with pytest.raises(DataError, match="a Flatten in this place"):
        from_keras(theirs)


def test_a_model_that_is_not_built_is_refused() -> None:
    with pytest.raises(DataError, match="it has 0 arrays of weights, not a kernel and a bias; build the model"):
        from_keras(keras.Sequential([layers.Dense(3)]))


def test_a_model_with_branches_must_be_given_as_layers() -> None:
    start = keras.Input((20,))
    theirs = keras.Model(start, layers.Dense(20)(start) + start)

    with pytest.raises(
        TypeError, match=r"a Sequential model or a list, not Functional: give from_keras\(model\.layers"
    ):
        from_keras(theirs)
