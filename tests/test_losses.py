"""Each loss against its formula written out with NumPy, and where the outputs are saturated."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import to_host
from xpnn.activations import ACTIVATIONS
from xpnn.losses import LOSSES, natural_loss

FORMULAS = {
    "binary-cross-entropy": lambda y, t: -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(),
    "cross-entropy": lambda y, t: -(t * np.log(y)).sum(),
    "squared-error": lambda y, t: ((y - t) ** 2).sum() / 2,
}


def evaluate(xp: ModuleType, name: str, y: NDArray[Any], t: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    outputs, error, total = xp.asarray(y), xp.empty(y.shape, dtype=y.dtype), xp.zeros((), dtype=y.dtype)
    LOSSES[name].evaluate(outputs, xp.asarray(t), error, xp.empty(y.shape, dtype=y.dtype), total)
    np.testing.assert_array_equal(to_host(outputs), y)  # the outputs are only read
    return float(total), to_host(error)


def random_outputs() -> tuple[NDArray[Any], NDArray[Any]]:
    generator = np.random.default_rng(3)
    y, t = generator.random((7, 4)), generator.random((7, 4))
    return y / y.sum(axis=1, keepdims=True), t / t.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", LOSSES)
def test_formula(xp: ModuleType, name: str) -> None:
    y, t = random_outputs()
    total, _ = evaluate(xp, name, y, t)
    assert total == pytest.approx(FORMULAS[name](y, t), rel=1e-13)  # float64 sums of 28 terms


@pytest.mark.parametrize("name", LOSSES)
def test_error_is_the_difference(xp: ModuleType, name: str) -> None:
    y, t = random_outputs()
    np.testing.assert_array_equal(evaluate(xp, name, y, t)[1], y - t)


@pytest.mark.parametrize("name", ["binary-cross-entropy", "cross-entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sure_outputs_have_a_finite_loss(xp: ModuleType, name: str, dtype: str) -> None:
    sure, right, wrong = (np.array([row], dtype=dtype) for row in ([1, 0], [1, 0], [0, 1]))
    assert evaluate(xp, name, sure, right)[0] == 0
    loss, error = evaluate(xp, name, sure, wrong)
    smallest = -np.log(np.finfo(dtype).tiny)  # 87 and 708
    assert loss == pytest.approx(smallest if name == "cross-entropy" else 2 * smallest, rel=1e-6)
    np.testing.assert_array_equal(error, sure - wrong)


def test_natural_loss_of_every_output() -> None:
    assert {name: natural_loss(name) for name in ACTIVATIONS} == {
        "identity": "squared-error",
        "relu": "squared-error",
        "sigmoid": "binary-cross-entropy",
        "softmax": "cross-entropy",
        "tanh": "squared-error",
    }
