"""Weights from arrays and from scikit-learn: the net answers as scikit-learn does, and what can't be taken is refused.

PyTorch and Keras have tests of their own, test_interchange_pytorch.py and test_interchange_keras.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from xpnn import MLP, DataError, from_keras, from_sklearn, from_torch, load, to_host

Arrays = dict[str, NDArray[Any]]


def arrays(*sizes: int, bias: bool = True, dtype: str = "float32") -> Arrays:
    """A state dict as PyTorch names it."""
    rng, found = np.random.default_rng(0), {}
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        found[f"{2 * i}.weight"] = rng.normal(size=(n_out, n_in)).astype(dtype)
        if bias:
            found[f"{2 * i}.bias"] = rng.normal(size=n_out).astype(dtype)
    return found


# -- from arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_become_the_layers_in_their_order(device: str, dtype: str, bias: bool) -> None:
    given = arrays(4, 3, 3, 2, bias=bias, dtype=dtype)

    net = from_torch(given, hidden=("tanh", "relu"), output="identity", device=device, labels=("a", "b"))

    assert (net.sizes, net.hidden, net.output) == ((4, 3, 3, 2), ("tanh", "relu"), "identity")
    assert (net.dtype, net.bias, net.labels) == (dtype, bias, ("a", "b"))
    own = [to_host(array) for layer in net.layers for array in layer if array is not None]
    assert all(map(np.array_equal, own, given.values()))
    assert len(own) == len(given)


def test_keras_weights_are_the_other_way_round() -> None:
    given = arrays(4, 3, 2)
    kernels = [array.T for array in given.values()]

    rows = np.random.default_rng(1).normal(size=(5, 4))

    assert (from_keras(kernels).query(rows) == from_torch(given).query(rows)).all()
    assert from_keras(kernels, hidden="tanh", output="sigmoid").output == "sigmoid"


def test_a_layer_without_bias_among_others_has_zeros() -> None:
    given = arrays(4, 3, 2)
    del given["0.bias"]

    first, second = from_torch(given).layers

    assert first.b is not None
    assert second.b is not None
    assert (first.b == 0).all()
    assert np.array_equal(second.b, given["2.bias"])


@pytest.mark.parametrize("prefix", ["", "module.net."])
def test_a_sequential_is_put_in_order_by_its_numbers(prefix: str) -> None:
    given = {prefix + name: array for name, array in arrays(*[3] * 8).items()}  # any order would fit
    by_name = {name: given[name] for name in sorted(given)}
    assert list(by_name)[:3] == [prefix + name for name in ("0.bias", "0.weight", "10.bias")]

    net = from_torch(by_name)

    own = [to_host(array) for layer in net.layers for array in layer if array is not None]
    assert all(map(np.array_equal, own, given.values()))


def test_layers_of_two_sequentials_stay_in_their_order() -> None:
    given = arrays(3, 3, 3)
    names = ["encoder.7.weight", "encoder.7.bias", "head.0.weight", "head.0.bias"]

    net = from_torch(dict(zip(names, given.values(), strict=True)))

    assert (net.parameters == from_torch(given).parameters).all()


def test_the_net_has_the_dtype_that_is_asked_for_and_memory_of_its_own() -> None:
    given = arrays(4, 2, dtype="float64")

    net = from_torch(given, dtype="float32")

    assert net.parameters.dtype == "float32"
    before = net.parameters.copy()
    given["0.weight"][...] = 0
    assert (net.parameters == before).all()
    assert from_torch(arrays(4, 2, dtype="float16")).dtype == "float32"


def test_pixels_are_scaled_as_the_peer_took_them() -> None:
    given = arrays(4, 3, 2)
    rows = np.random.default_rng(2).integers(0, 256, (9, 4), dtype=np.uint8)

    for scaling, seen in (((1 / 255, 0), rows / 255), ((1, 0), rows / 1), ((1 / 127.5, -1), rows / 127.5 - 1)):
        net = from_torch(given, scaling=scaling)
        np.testing.assert_allclose(net.query(rows), net.query(seen), rtol=0, atol=2e-5)  # float32's, of sums of 1000


def with_name(name: str, array: NDArray[Any]) -> Arrays:
    return arrays(4, 3, 2) | {name: array}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "there are no weights in it"),
        (with_name("1.weight", np.ones(2, "f4")), "1.weight has shape (2,): it is neither a weight"),
        (with_name("2.bias", np.ones(3, "f4")), "2.bias has shape (3,): it is neither a weight"),
        (with_name("4.weight", np.ones((3, 2, 1), "f4")), "4.weight has shape (3, 2, 1)"),
        (with_name("4.weight", np.ones((1, 5), "f4")), "4.weight takes 5 inputs, but 2.weight before it has 2 outputs"),
        (with_name("4.weight", np.ones((1, 2), int)), "weights must be floats, not float32, int64"),
        (with_name("2.bias", np.array([1, np.nan], "f4")), "2.weight holds weights that are not finite"),
        (with_name("0.weight", np.full((3, 4), np.inf, "f4")), "0.weight holds weights that are not finite"),
        # BatchNorm's scale after a Linear without bias, which has the shape of one
        ({"0.weight": np.ones((2, 4), "f4"), "1.weight": np.ones(2, "f4")}, "1.weight has shape (2,)"),
        ({"0.bias": np.ones(3, "f4")}, "0.bias has shape (3,)"),
    ],
)
def test_what_are_no_dense_layers_is_refused(given: Arrays, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        from_torch(given)


def test_weights_too_large_for_the_dtype_are_refused() -> None:
    with pytest.raises(DataError, match=r"0\.weight holds weights that are not finite, or too large for float32"):
        from_torch({"0.weight": np.full((2, 3), 1e300)}, dtype="float32")


def test_a_model_instead_of_its_weights_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"a state dict, not MLP: give model\.state_dict\(\)"):
        from_torch(MLP([3, 2]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not one that holds others, 'model', 'optimizer': give the model's"):
        from_torch({"epoch": 3, "model": arrays(3, 2), "optimizer": {}})
    with pytest.raises(TypeError, match=r"a Sequential model or a list, not MLP: give from_keras\(model\.layers\)"):
        from_keras(MLP([3, 2]))
    with pytest.raises(ValueError, match="MLPClassifier has no weights: give .*, and fit it first"):
        from_sklearn(MLPClassifier())


def test_without_pytorch_a_line_says_how_to_get_it() -> None:
    program = """
import sys
sys.modules["torch"] = None
import xpnn
try:
    xpnn.to_torch(xpnn.MLP([3, 2]))
except xpnn.XpnnError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "to_torch needs PyTorch; pip install torch, or as pytorch.org says for a GPU\n"


# -- from scikit-learn ------------------------------------------------------------------------------------------------


def fitted(mlp: Any, inputs: Any, targets: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlp.set_params(max_iter=4, random_state=0).fit(inputs, targets)


# float64 on both sides, summed in another order; scikit-learn's own float32 for rows of float32
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_classifier_of_digits(activation: str, dtype: str) -> None:
    data = load("digits").train
    x = (data.inputs / 16).astype(dtype)
    theirs = fitted(MLPClassifier((20, 15), activation=activation), x, data.targets)

    net = from_sklearn(theirs, scaling=(1 / 16, 0))

    assert (net.sizes, net.dtype, net.output) == ((64, 20, 15, 10), dtype, "softmax")
    for rows in (x, np.asarray(data.inputs)):  # and pixels, as they are in the file
        np.testing.assert_allclose(net.query(rows), theirs.predict_proba(x), rtol=0, atol=TOLERANCE[dtype])


def rows_and_sums() -> tuple[NDArray[Any], NDArray[Any]]:
    x = np.random.default_rng(3).normal(size=(200, 5))
    return x, x @ np.random.default_rng(4).normal(size=(5, 3))


def test_two_classes_are_two_outputs_with_their_names() -> None:
    x, sums = rows_and_sums()
    theirs = fitted(MLPClassifier((8,), learning_rate_init=0.05), x, np.where(sums[:, 0] > 0, "warm", "cold"))
    assert theirs.n_outputs_ == 1

    net = from_sklearn(theirs)

    assert (net.sizes, net.labels, net.output) == ((5, 8, 2), ("cold", "warm"), "softmax")
    np.testing.assert_allclose(net.query(x), theirs.predict_proba(x), rtol=0, atol=1e-13)
    assert [net.labels[index] for index in net.predict(x)] == theirs.predict(x).tolist()
    assert len(set(theirs.predict(x))) == 2
    assert from_sklearn(theirs, labels=("frost", "sun")).labels == ("frost", "sun")


def test_several_labels_a_row() -> None:
    x, sums = rows_and_sums()
    theirs = fitted(MLPClassifier((8,)), x, (sums > 0).astype(int))

    net = from_sklearn(theirs)

    assert (net.sizes, net.output, net.loss) == ((5, 8, 3), "sigmoid", "binary-cross-entropy")
    np.testing.assert_allclose(net.query(x), theirs.predict_proba(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_regressor(outputs: int) -> None:
    x, sums = rows_and_sums()
    theirs = fitted(MLPRegressor(hidden_layer_sizes=(8,), activation="tanh"), x, sums[:, :outputs].squeeze())

    net = from_sklearn(theirs, columns=list("vwxyz"), labels=("p", "q", "r")[:outputs])

    assert (net.output, net.columns) == ("identity", tuple("vwxyz"))
    np.testing.assert_allclose(net.query(x).squeeze(), theirs.predict(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_regressor_of_counts(dtype: str, outputs: int) -> None:
    x, sums = rows_and_sums()
    counts = np.random.default_rng(5).poisson(np.exp(sums[:, :outputs])).squeeze()
    theirs = fitted(MLPRegressor(loss="poisson", hidden_layer_sizes=(8,)), x.astype(dtype), counts)
    assert theirs.out_activation_ == "exp"

    net = from_sklearn(theirs)

    assert (net.output, net.loss, net.dtype) == ("exp", "poisson", dtype)
    said, share = theirs.predict(x.astype(dtype)), TOLERANCE[dtype]  # exp makes a share of what a sum is rounded by
    np.testing.assert_allclose(net.query(x.astype(dtype)).squeeze(), said, rtol=share)
    assert np.ptp(said) > 0.5


def test_an_output_activation_that_xpnn_lacks_is_refused() -> None:
    x, sums = rows_and_sums()
    theirs = fitted(MLPRegressor(hidden_layer_sizes=(8,)), x, sums)
    theirs.out_activation_ = "sine"

    with pytest.raises(ValueError, match="the output activation 'sine' is none of xpnn's"):
        from_sklearn(theirs)
