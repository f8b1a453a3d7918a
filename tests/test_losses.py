"""Each loss against its formula written out with NumPy, and where the outputs are saturated."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import LOSS_FORMULAS, LOSS_NAMES, activation, row_losses
from numpy.typing import NDArray
from scipy import special

from xpnn import to_host
from xpnn.activations import ACTIVATIONS
from xpnn.losses import LOSSES, SCRATCH, check_smoothing, loss_named, natural_loss, smoothed

LINKED = [name for name in LOSS_NAMES if loss_named(name).link]


def evaluate(xp: ModuleType, name: str, y: NDArray[Any], t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows' losses (n,) and the error."""
    outputs, targets, error = xp.asarray(y), xp.asarray(t), xp.empty(y.shape, dtype=y.dtype)
    losses = xp.empty((len(y), 1), dtype=y.dtype)
    loss_named(name).evaluate(outputs, targets, error, xp.empty((SCRATCH, *y.shape), dtype=y.dtype), losses)
    np.testing.assert_array_equal(to_host(outputs), y)  # outputs and targets are only read
    np.testing.assert_array_equal(to_host(targets), t)
    return to_host(losses)[:, 0], to_host(error)


def random_outputs() -> tuple[NDArray[Any], NDArray[Any]]:
    generator = np.random.default_rng(3)
    y, t = generator.random((7, 4)), generator.random((7, 4))
    return y / y.sum(axis=1, keepdims=True), t / t.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_formula(xp: ModuleType, name: str) -> None:
    y, t = random_outputs()
    np.testing.assert_allclose(evaluate(xp, name, y, t)[0], row_losses(name, y, t), rtol=1e-13)  # a few roundings


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_error_is_the_derivative(xp: ModuleType, name: str) -> None:
    """dL/dz where the loss is linked to an activation, else dL/dy; by central differences."""
    (_, t), z = random_outputs(), np.random.default_rng(4).normal(scale=2, size=(7, 4))
    link, h, numeric = loss_named(name).link or "identity", 1e-6, np.empty_like(z)
    for place in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[place] = h
        up, down = (row_losses(name, activation(link, moved), t)[place[0]] for moved in (z + step, z - step))
        numeric[place] = (up - down) / (2 * h)

    error = evaluate(xp, name, activation(link, z), t)[1]
    np.testing.assert_allclose(error, numeric, rtol=1e-7, atol=1e-8)  # h^2, and 1e-16 / h times losses of up to 30


@pytest.mark.parametrize(("focal", "plain"), [("focal:0", "cross-entropy"), ("binary-focal:0", "binary-cross-entropy")])
def test_focal_loss_of_gamma_0_is_the_cross_entropy(xp: ModuleType, focal: str, plain: str) -> None:
    for ours, theirs in zip(*(evaluate(xp, name, *random_outputs()) for name in (focal, plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sure_outputs_have_a_finite_loss(xp: ModuleType, name: str, dtype: str) -> None:
    sure, right, wrong = (np.array([row], dtype=dtype) for row in ([1, 0], [1, 0], [0, 1]))
    losses, error = evaluate(xp, name, sure, right)
    np.testing.assert_array_equal(losses, 0)
    np.testing.assert_array_equal(error, 0)
    losses, error = evaluate(xp, name, sure, wrong)
    most = -np.log(np.finfo(dtype).tiny)  # 87 and 708, for an output of 0
    if loss_named(name).link == "sigmoid":
        most -= np.log(np.finfo(dtype).epsneg / 2)  # 17 and 37, for an output of 1, of which no more is known
    np.testing.assert_allclose(losses, most, rtol=1e-6)
    np.testing.assert_allclose(error, sure - wrong, atol=1e-30)


def test_errors_of_huge_deviations(xp: ModuleType) -> None:
    y, t = np.array([[1e30, -1e30, 5]], dtype="float32"), np.array([[0, 0, 5]], dtype="float32")
    for name, size in (("absolute-error", 1), ("huber:0.5", 0.5)):
        losses, error = evaluate(xp, name, y, t)
        np.testing.assert_array_equal(error, np.array([[size, -size, 0]], dtype="float32"))
        np.testing.assert_allclose(losses, 2e30 * size, rtol=1e-6)


def test_natural_loss_of_every_output() -> None:
    made_for = {"exp": "poisson", "sigmoid": "binary-cross-entropy", "softmax": "cross-entropy"}
    for name in ACTIVATIONS:
        assert natural_loss(name) == made_for.get(name, "squared-error")
        assert loss_named(natural_loss(name)).link in (None, name)


def test_every_loss_is_under_test() -> None:
    assert set(LOSS_FORMULAS) == set(LOSSES)


def test_smoothed_targets(xp: ModuleType) -> None:
    t = xp.asarray(np.eye(4))
    assert smoothed(t, loss_named("focal"), 0.0) is t
    np.testing.assert_allclose(to_host(smoothed(t, loss_named("cross-entropy"), 0.1))[0], [0.925, 0.025, 0.025, 0.025])
    np.testing.assert_allclose(to_host(smoothed(t, loss_named("binary-focal"), 0.1))[0], [0.95, 0.05, 0.05, 0.05])


def test_poisson_keeps_the_digits_of_large_counts_in_float32(xp: ModuleType) -> None:
    generator = np.random.default_rng(5)
    t = generator.poisson(1e5, (200, 1)).astype("float32")
    y = (t + generator.normal(scale=300, size=t.shape)).astype("float32")
    exact = special.kl_div(t.astype(np.float64), y.astype(np.float64))[:, 0]  # t log(t / y) - t + y
    losses, _ = evaluate(xp, "poisson", y, t)
    assert 0.2 < exact.mean() < 1  # of terms of 1e5 and 1e6
    np.testing.assert_allclose(losses, exact, rtol=0, atol=1e-4)  # terms of 300, rounded


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_poisson_of_counts_that_were_thought_impossible(xp: ModuleType, dtype: str) -> None:
    most = -np.log(np.finfo(dtype).tiny)
    y, t = np.array([[0], [0], [np.inf], [np.inf], [1e-30]], dtype), np.array([[0], [500], [0], [500], [0]], dtype)
    losses, error = evaluate(xp, "poisson", y, t)
    np.testing.assert_allclose(losses, [0, 500 * (most - 1), np.inf, np.inf, 1e-30], rtol=1e-6)
    np.testing.assert_array_equal(error, y - t)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_that_cannot_be(smoothing: float) -> None:
    with pytest.raises(ValueError, match="0 or more and below 1"):
        check_smoothing("cross-entropy", smoothing)


@pytest.mark.parametrize("loss", ["poisson", "squared-error"])
def test_numbers_have_nothing_to_smooth(loss: str) -> None:
    with pytest.raises(ValueError, match=f"goes with losses of probabilities, such as cross-entropy, not with {loss}"):
        check_smoothing(loss, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mse", r"unknown loss 'mse': choose from absolute-error, .*focal\[:2\], huber\[:1\], .*squared-error"),
        ("cross-entropy:1", "the loss cross-entropy takes no number"),
        ("huber:wide", "'wide' is not a number; write delta as in huber:1"),
        ("huber:0", "delta must be a positive number"),
        ("focal:-1", "focal's gamma must be 0 or more, not -1"),
        ("binary-focal:nan", "binary-focal's gamma must be 0 or more, not nan"),
    ],
)
def test_names_that_name_nothing(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_named(text)


@pytest.mark.parametrize("name", ["binary-cross-entropy", "binary-focal:0"])
def test_the_loss_of_a_sure_mistake_grows_without_a_jump(xp: ModuleType, name: str) -> None:
    z = np.linspace(0, 30, 301)[:, None]
    y = (1 / (1 + np.exp(-z.astype("float32")))).astype("float32")
    losses, _ = evaluate(xp, name, y, np.zeros_like(y))
    rises = np.diff(losses, axis=0)
    assert (rises >= 0).all()
    assert rises.max() < 1.5  # near 1 a step of z passes two floats, and the logarithm twice log 2
    np.testing.assert_allclose(losses[:120], np.log1p(np.exp(z[:120, 0])), rtol=1e-2)
