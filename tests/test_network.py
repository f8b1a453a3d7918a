"""The network: its gradient against numeric ones, its layout, queries, and what it refuses."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES, LOSS_NAMES, activation, row_losses
from numpy.typing import NDArray

from xpnn import MLP, DataError, Device, DeviceError, to_host
from xpnn.backend import Array
from xpnn.layers import layers_of
from xpnn.losses import loss_named
from xpnn.network import QUERY_ROWS
from xpnn.optimizers import Optimizer, State
from xpnn.schedules import constant
from xpnn.steps import ReferenceStep

OUTPUT_CASES = [  # every output activation with every loss that goes with it
    (0, "identity", output, loss)
    for output in ACTIVATION_NAMES
    for loss in LOSS_NAMES
    if loss_named(loss).link in (None, output)
]
HIDDEN_CASES = [  # every hidden activation with every loss at every depth; the outputs of the free losses take turns
    (depth, hidden, loss_named(loss).link or ACTIVATION_NAMES[(i + j + depth) % len(ACTIVATION_NAMES)], loss)
    for depth in range(1, 4)
    for i, hidden in enumerate(HIDDEN_NAMES)
    for j, loss in enumerate(LOSS_NAMES)
]


def gradient_keeper() -> Optimizer:
    """An optimizer that moves nothing and keeps the gradient in its state."""

    def update(gradient: Array, state: State, parameters: Array, coefficients: Any) -> None:
        state["gradient"][...] = gradient

    return Optimizer("keeper", constant(1.0), lambda p: {"gradient": p.copy()}, lambda steps, rates: (rates,), update)


def total_loss(net: MLP, x: NDArray[Any], t: NDArray[Any]) -> float:
    """Mean loss of the rows, by formulas of this test's own on the host."""
    for layer, name in zip(net.layers, (*net.hidden, net.output), strict=True):
        assert layer.b is not None
        x = activation(name, x @ to_host(layer.W).T + to_host(layer.b))
    return float(row_losses(net.loss, x, t).sum() / len(x))


@pytest.mark.parametrize(("depth", "hidden", "output", "loss"), OUTPUT_CASES + HIDDEN_CASES)
def test_gradient_is_the_numeric_one(device: str, depth: int, hidden: str, output: str, loss: str) -> None:
    generator = np.random.default_rng(5)
    sizes = (4, *(6, 5, 3)[:depth], 3)
    net = MLP(sizes, hidden=hidden, output=output, loss=loss, device=device, dtype="float64", seed=1)
    x, labels = generator.normal(size=(5, 4)), generator.integers(0, 3, 5)
    start = generator.normal(scale=0.7, size=net.parameters.shape)  # biases too, and no unit of relu at its kink
    net.parameters[...] = net.xp.asarray(start)
    step = ReferenceStep(net, gradient_keeper(), net.place_inputs(x), net.place_targets(labels), batch_size=5)
    step.begin_epoch(0, net.xp.asarray(np.ones((1, 3))))
    step(net.xp.asarray(np.arange(5)))
    gradient = to_host(step.state["gradient"])

    numeric, h, t = np.empty_like(start), 1e-6, np.eye(3)[labels]
    for i in range(len(start)):
        losses = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * h
            net.parameters[...] = net.xp.asarray(moved)
            losses.append(total_loss(net, x, t))
        numeric[i] = (losses[0] - losses[1]) / (2 * h)

    assert np.abs(numeric).max() > 1e-3
    net.parameters[...] = net.xp.asarray(start)
    total = total_loss(net, x, t)
    # central differences in float64: truncation h^2 and rounding 1e-16 / h, times losses of 10, or millions behind exp
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9 * max(10, total))
    assert step.totals()[0] / 5 == pytest.approx(total, rel=1e-12)


def test_layers_are_views_of_one_vector_weights_first(device: str) -> None:
    net = MLP([3, 4, 2], device=device, seed=1)
    assert net.parameters.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    net.parameters[...] = net.xp.asarray(np.arange(26, dtype="float32"))
    (W0, b0), (W1, b1) = ((to_host(layer.W), to_host(layer.b)) for layer in net.layers)
    np.testing.assert_array_equal(W0, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(W1, np.arange(12, 20).reshape(2, 4))
    np.testing.assert_array_equal(b0, [20, 21, 22, 23])
    np.testing.assert_array_equal(b1, [24, 25])


def test_layers_without_biases_fill_the_vector(xp: ModuleType) -> None:
    vector = xp.zeros(3 * 4 + 4 * 2, dtype="float32")
    layers = layers_of(vector, [3, 4, 2], bias=False)
    assert [layer.b for layer in layers] == [None, None]
    for layer in layers:
        layer.W[...] = 1
    assert float(vector.sum()) == vector.size


def test_same_seed_same_weights_on_every_device_and_in_both_types(device: str) -> None:
    there, here = MLP([5, 4, 3], device=device, seed=7), MLP([5, 4, 3], dtype="float64", seed=7)
    np.testing.assert_array_equal(to_host(there.parameters), here.parameters.astype("float32"))
    other = MLP([5, 4, 3], device=device, seed=8)
    assert not np.array_equal(to_host(there.parameters), to_host(other.parameters))


def test_query_scales_pixels_and_takes_floats_as_they_are(device: str) -> None:
    net = MLP([4, 3, 2], device=device, scaling=(0.99 / 255, 0.01), dtype="float64")
    pixels = np.array([[0, 1, 100, 255], [9, 8, 7, 6]], dtype="uint8")
    from_pixels = to_host(net.query(pixels))
    np.testing.assert_allclose(from_pixels, to_host(net.query(pixels / 255 * 0.99 + 0.01)), rtol=1e-14)
    np.testing.assert_array_equal(from_pixels, to_host(net.query(pixels.astype("int64"))))
    np.testing.assert_array_equal(from_pixels, to_host(net.query(pixels.tolist())))


def test_query_of_one_row_and_of_many_chunks(device: str) -> None:
    net = MLP([3, 5, 4], device=device, dtype="float64", seed=2)
    x = np.random.default_rng(0).normal(size=(2 * QUERY_ROWS + 1, 3))
    outputs = to_host(net.query(x))
    assert outputs.shape == (2 * QUERY_ROWS + 1, 4)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-14)
    for row in (0, QUERY_ROWS - 1, QUERY_ROWS, 2 * QUERY_ROWS):
        alone = to_host(net.query(x[row]))
        assert alone.shape == (4,)
        np.testing.assert_allclose(alone, outputs[row], rtol=1e-13)  # BLAS may sum one row in another order
    np.testing.assert_array_equal(to_host(net.predict(x)), outputs.argmax(axis=1))
    assert int(net.predict(x[0])) == outputs[0].argmax()
    assert net.query(x[:0]).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rows", "sizes", "copied"),
    [
        (600, (8, 100, 3), [False, True]),
        (600, (100, 3, 100), [True, False]),
        (600, (8, 100, 10), [False, False]),  # too many columns
        (600, (8, 400, 9), [False, False]),  # too many products
        (600, (3, 5, 4), [False, False]),  # too few
        (400, (8, 100, 3), [False, False]),
    ],
)
def test_queries_of_many_rows_multiply_by_few_columns_in_order(
    monkeypatch: pytest.MonkeyPatch, dtype: str, rows: int, sizes: tuple[int, ...], copied: list[bool]
) -> None:
    net = MLP(sizes, hidden="tanh", output="identity", dtype=dtype)
    x, seen, of_numpy = np.random.default_rng(0).normal(size=(rows, sizes[0])), [], np.matmul

    def spied(a: Array, b: Array, out: Array) -> None:
        seen.append(bool(b.flags.c_contiguous))
        of_numpy(a, b, out=out)

    monkeypatch.setattr(np, "matmul", spied)
    outputs = net.query(x)
    assert seen == copied
    (W1, b1), (W2, b2) = ((W.astype("float64"), b) for W, b in net.layers)
    tolerance = 1e-5 if dtype == "float32" else 1e-13  # rounding of at most 400 products of about 1
    np.testing.assert_allclose(outputs, np.tanh(x @ W1.T + b1) @ W2.T + b2, rtol=tolerance, atol=tolerance)


def test_query_result_lives_on_the_nets_device(device: str, xp: ModuleType) -> None:
    net = MLP([3, 2], device=device)
    assert type(net.query(np.zeros((1, 3)))) is type(xp.zeros(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [5]}, "two or more"),
        ({"sizes": [5, 0]}, "positive"),
        ({"sizes": [5, 2.5]}, "whole"),
        ({"sizes": [5, True]}, "whole"),
        ({"sizes": [5, "3"]}, "whole"),
        ({"sizes": [5, np.float64(3)]}, "whole"),
        ({"sizes": [5, np.array([3])]}, "whole"),
        ({"sizes": [64, 10**30]}, "more than any memory holds"),
        ({"sizes": [5, 4, 3], "hidden": ["relu", "relu"]}, "1 hidden layers but 2"),
        ({"sizes": [5, 4, 3], "hidden": "softmax"}, "unknown hidden activation 'softmax': choose from elu"),
        ({"sizes": [5, 4, 3], "hidden": "exp"}, "unknown hidden activation 'exp': choose from elu"),
        ({"sizes": [5, 3], "output": "sofmax"}, "unknown output activation"),
        ({"sizes": [5, 3], "loss": "mse"}, "unknown loss"),
        ({"sizes": [5, 3], "dtype": "float16"}, "unknown dtype"),
        ({"sizes": [5, 3], "initializer": "xavier"}, "unknown initializer"),
        ({"sizes": [5, 3], "loss": "binary-cross-entropy"}, "goes with sigmoid outputs only"),
        ({"sizes": [5, 3], "output": "sigmoid", "loss": "cross-entropy"}, "goes with softmax outputs only"),
        ({"sizes": [5, 3], "loss": "poisson"}, "goes with exp outputs only; set output to exp, or loss to cross-en"),
        ({"sizes": [5, 3], "output": "exp", "target_range": (-1, 1)}, r"targets are 0 or more; leave target_range"),
        ({"sizes": [5, 3], "target_range": (0.01, 0.99)}, r"leave target_range at \(0, 1\)"),
        ({"sizes": [5, 3], "output": "tanh", "target_range": (1, -1)}, "lower first"),
        ({"sizes": [5, 3], "output": "sigmoid", "target_range": (-1, 1)}, "probabilities"),
        ({"sizes": [5, 3], "labels": ["a"]}, "3 outputs but 1 labels"),
        ({"sizes": [5, 1], "labels": ["a\n"]}, "labels must be printable text of one line, not 'a\\\\n'"),
        ({"sizes": [5, 3], "scaling": (float("nan"), 0)}, "finite"),
        ({"sizes": [2, 3], "standardization": ([1, 2], [1])}, "must be 2 numbers each, not 2 and 1"),
        ({"sizes": [2, 3], "standardization": ([1, 2], [1, 0])}, "the deviations above 0"),
        ({"sizes": [2, 3], "standardization": ([1, 2], [1, -1])}, "the deviations above 0"),
        ({"sizes": [2, 3], "standardization": ([1, float("nan")], [1, 1])}, "finite"),
        ({"sizes": [2, 3], "standardization": ([1, 2], [1, float("inf")])}, "finite"),
        ({"sizes": [2, 3], "columns": ["a"]}, "2 inputs but 1 columns"),
        ({"sizes": [1, 2], "columns": ["x"], "labels": ["a", "a"]}, "labels of a table must be different names"),
        ({"sizes": [2, 3], "label_column": "a"}, "label_column must be one more column of the net's table"),
        ({"sizes": [1, 3], "columns": ["a"], "label_column": "a"}, "label_column must be one more column of the net's"),
        ({"sizes": [1, 3], "columns": ["a"], "label_column": "\n"}, "with a printable name, not"),
        ({"sizes": [2, 3], "columns": ["a", "a"]}, "columns of a table must be different names"),
        (
            {"sizes": [6, 3], "image_shape": (2, 2)},
            r"image_shape must be \(height, width\) of pictures of 6 pixels, not",
        ),
        ({"sizes": [6, 3], "image_shape": (-2, -3)}, "image_shape must be"),
        ({"sizes": [6, 3], "image_shape": (6,)}, "image_shape must be"),
        ({"sizes": [6, 3], "image_shape": (1.5, 4)}, "image_shape must be"),
        ({"sizes": [5, 3], "scaling": (1,)}, r"scaling must be two finite numbers, \(factor, offset\), not \(1,\)"),
        ({"sizes": [5, 3], "target_range": (0, 1, 2)}, "two finite numbers, the lower first"),
        ({"sizes": [5, 3], "seed": -1}, "seed must be a whole number of 0 or more"),
        ({"sizes": [5, 3], "seed": None}, "seed must be a whole number of 0 or more, not None"),
        ({"sizes": 5}, r"sizes must be two or more positive whole numbers, not \[5\]"),
        ({"sizes": [5, 3], "device": "gpu"}, "unknown device 'gpu'"),
    ],
)
def test_arguments_that_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(**arguments)


def test_numpys_whole_numbers_are_sizes() -> None:
    assert MLP([np.int64(5), 4, np.uint8(3)]).sizes == (5, 4, 3)


def test_wide_nets_are_queried_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    net = MLP([3, 10, 4])
    x = np.random.default_rng(0).normal(size=(7, 3))
    whole = net.query(x)
    assert net.chunk_rows == QUERY_ROWS
    for most, rows in ((30, 3), (9, 1)):
        monkeypatch.setattr("xpnn.network.MOST_VALUES", most)
        assert net.chunk_rows == rows
        np.testing.assert_allclose(net.query(x), whole, rtol=1e-5)  # products of other shapes round otherwise


def test_memory_is_asked_for_before_the_labels_are_made() -> None:
    with pytest.raises((MemoryError, DeviceError)):
        MLP([64, 10**12])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 4)), r"shape \(2, 4\); this net takes \(n, 3\)$"),
        (np.zeros((2, 3, 1)), r"shape \(2, 3, 1\); this net takes \(n, 3\): give inputs\.reshape\(-1, 3\)$"),
        (np.zeros((2, 3, 2)), r"shape \(2, 3, 2\); this net takes \(n, 3\)$"),
        (np.zeros((3, 1)), r"this net takes \(n, 3\): give inputs\.reshape\(-1, 3\)$"),
        (np.zeros(4), r"this net takes \(n, 3\)"),
        (np.array([[0, 0, 256]]), "must lie in 0-255, not 0 to 256"),
        (np.array([[0, 0, -1]], dtype="int8"), "must lie in 0-255, not -1 to 0"),
        (np.array([["a", "b", "c"]]), "must be numbers"),
        (np.array([[1j, 0, 0]]), "must be numbers"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "the inputs of row 1, counted from 0, hold nan, inf or"),
        (np.array([[-np.inf, 0, 0]]), "the inputs of row 0"),
        (np.array([[1e300, 0, 0]]), "a number too large for float32"),
        (np.array([0, 0, np.nan]), "the inputs of row 0"),
    ],
)
def test_inputs_that_do_not_fit(device: str, inputs: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        MLP([3, 2], device=device).query(inputs)


@pytest.mark.parametrize(
    ("net", "targets", "message"),
    [
        ({}, np.array([0, 3]), "labels must lie in 0-2, one an output, not 0 to 3"),
        ({}, np.array([0, -1]), "not -1 to 0"),
        ({}, np.zeros((2, 2)), r"targets of shape \(2, 2\)"),
        ({}, np.array([0.5, 1.5]), "don't fit 3 outputs"),
        ({}, np.array(["0", "1"]), "don't fit"),
        ({}, np.array([[0.5, 0.6, 0.7]]), "must sum to 1"),
        ({}, np.array([[0.5, 0.25, 0.26]]), "must sum to 1"),
        ({"output": "sigmoid"}, np.array([[0.5, 1, -0.01]]), "must lie in 0-1"),
        ({"output": "sigmoid"}, np.array([[0.5, 1.1, 0]]), "must lie in 0-1"),
        ({}, np.array([[0, 1, 0], [0, np.nan, 0]]), "the targets of row 1, counted from 0, hold nan"),
        ({"output": "identity"}, np.array([[0, 1, 1e39]]), "a number too large for float32"),
        (
            {"output": "exp"},
            np.array([[0, 1e9, 0.5], [2, 1, -2.5], [-3, 0, 0]]),
            "with poisson targets must be 0 or more, but row 1, counted from 0, has -2.5: correct it, or choose",
        ),
    ],
)
def test_targets_that_do_not_fit(device: str, net: dict[str, Any], targets: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        MLP([4, 3], device=device, **net).place_targets(targets)


def test_one_output_is_a_number_not_a_class(device: str) -> None:
    net = MLP([3, 1], output="identity", device=device)
    assert net.place_targets(np.array([5, 6])).shape == (2, 1)
    with pytest.raises(ValueError, match="values, not classes"):
        net.predict(np.zeros((1, 3)))


@pytest.mark.usefixtures("fake_cupy")
def test_device_arrays_are_refused_by_a_net_on_the_cpu() -> None:
    with pytest.raises(TypeError, match="to_host"):
        MLP([3, 2]).query(Device("cuda").xp.zeros((1, 3), dtype="float32"))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_rows_are_placed_one_after_another_in_memory(dtype: str) -> None:
    """Else each step would copy them all: NumPy's `take` makes its source contiguous."""
    net, rows = MLP([5, 3]), np.random.default_rng(1).integers(0, 9, (40, 6)).astype(dtype)
    for view in (np.asfortranarray(rows)[:, :5], rows[:, 1:], rows[::2, :5], rows[::-1, :5]):
        placed = net.place_inputs(view)
        assert placed.flags.c_contiguous
        np.testing.assert_array_equal(placed, view)
    assert net.place_targets(np.arange(20)[::2] % 3).flags.c_contiguous
    assert MLP([5, 3], output="identity").place_targets(np.asfortranarray(rows[:, :3] / 9)).flags.c_contiguous


def test_a_smaller_last_batch_is_averaged_over_its_own_rows(device: str) -> None:
    """The gradient of 5 rows in batches of 3: the second batch's is the numeric one of its 2 rows."""
    generator = np.random.default_rng(5)
    net = MLP([4, 3], device=device, dtype="float64", seed=1)
    x, labels = generator.normal(size=(5, 4)), generator.integers(0, 3, 5)
    step = ReferenceStep(net, gradient_keeper(), net.place_inputs(x), net.place_targets(labels), batch_size=3)
    step.begin_epoch(0, net.xp.asarray(np.ones((2, 3))))
    order = net.xp.asarray(np.arange(5))
    step(order[:3])
    step(order[3:])
    y = to_host(net.query(x[3:]))
    delta = (y - np.eye(3)[labels[3:]]) / 2
    expected = np.concatenate([(delta.T @ x[3:]).ravel(), delta.sum(axis=0)])
    np.testing.assert_allclose(to_host(step.state["gradient"]), expected, rtol=1e-12)
