"""The deferred step against the reference, over a table of cases; and what it must not be taken for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fast_cases import CASES, N_IN, Case, distance, divergence, samples_for, trained
from numpy.typing import NDArray

from xpnn import MLP, Augmentation, Regularization, Samples, load, optimizers, train
from xpnn.fast import compiled
from xpnn.fast.recurrence import coefficients


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_float64_is_the_reference_but_for_rounding(case: Case) -> None:
    parameters, records = trained(case, "float64", fast=True)
    expected, their_records = trained(case, "float64", fast=False)
    assert distance(parameters, expected) < 1e-12  # 441 updates, each rounded once otherwise
    np.testing.assert_allclose(records, their_records, rtol=1e-11)


# The absolute error's gradient jumps where an output meets its target: there rounding decides.
SMOOTH = {name: case for name, case in CASES.items() if name != "loss absolute-error"}


@pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH.keys())
def test_float32_errs_no_more_than_twice_as_much_as_the_reference(case: Case) -> None:
    exact = trained(case, "float64", fast=False)[0]
    ours, theirs = (distance(trained(case, "float32", fast=fast)[0], exact) for fast in (True, False))
    assert ours < max(2 * theirs, 2e-6)  # the reference is lucky in some of the small cases


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_rate_that_is_off_by_a_hundredth_would_be_found(case: Case) -> None:
    parameters, _ = trained(case, "float64", fast=True, factor=1.01)
    assert distance(parameters, trained(case, "float64", fast=False)[0]) > 1e-5


def naive(W: list[NDArray[Any]], pixels: NDArray[Any], labels: NDArray[Any]) -> list[NDArray[Any]]:
    """Two sigmoids, squared error, one sample at a time, by the gradient; W is changed in place."""
    for row, label in zip(pixels, labels, strict=True):
        x = (row / np.float64(255) * 0.99 + 0.01).astype(W[0].dtype)
        t = np.full(10, 0.01, dtype=x.dtype)
        t[label] = 0.99
        h = 1 / (1 + np.exp(-(W[0] @ x)))
        o = 1 / (1 + np.exp(-(W[1] @ h)))
        delta = (o - t) * o * (1 - o)
        hidden = (W[1].T @ delta) * h * (1 - h)
        W[1] -= np.outer(delta, h) * x.dtype.type(0.1)
        W[0] -= np.outer(hidden, x) * x.dtype.type(0.1)
    return W


TEXTBOOK: dict[str, Any] = {
    "hidden": "sigmoid",
    "output": "sigmoid",
    "loss": "squared-error",
    "bias": False,
    "scaling": (0.99 / 255, 0.01),
    "target_range": (0.01, 0.99),
}


def textbook(dtype: str) -> MLP:
    return MLP([784, 200, 10], **TEXTBOOK, dtype=dtype)


@pytest.fixture(scope="module")
def looped() -> tuple[Samples, list[NDArray[Any]], list[NDArray[Any]]]:
    """Rows, and what the naive loop makes of them in float64 and in float32."""
    rows = load("mnist", limit=20_000).train
    labels = np.asarray(rows.targets)
    exact, single = (
        naive([layer.W for layer in textbook(dtype).layers], rows.inputs, labels) for dtype in ("float64", "float32")
    )
    return rows, exact, single


@pytest.mark.mnist
@pytest.mark.parametrize(
    "step",
    [
        "deferred",
        pytest.param("deferred, compiled", marks=pytest.mark.skipif(not compiled.is_installed(), reason="no Numba")),
    ],
)
def test_twenty_thousand_samples_are_the_naive_loops(
    step: str,
    looped: tuple[Samples, list[NDArray[Any]], list[NDArray[Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0 if "compiled" in step else np.inf)
    rows, expected, single = looped
    errors = {}
    for dtype in ("float64", "float32"):
        net = textbook(dtype)
        (epoch,) = train(net, rows, epochs=1, batch_size=1, optimizer=optimizers.sgd(0.1), shuffle=False)
        assert epoch.step == step
        errors[dtype] = max(distance(layer.W, W) for layer, W in zip(net.layers, expected, strict=True))
    own = max(distance(a, W) for a, W in zip(single, expected, strict=True))
    assert errors["float64"] < 1e-12
    assert errors["float32"] < 2 * own


def test_a_run_that_diverges_is_named_at_the_same_step() -> None:
    assert divergence(batch_size=2, fast=True) == divergence(batch_size=2, fast=False)


ADAM, SGD = optimizers.adam(), optimizers.sgd(0.1)


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "options"),
    [
        (ADAM, 1, {}),
        (optimizers.nesterov(), 1, {}),
        (optimizers.lion(), 1, {}),
        (SGD, 17, {}),
        (optimizers.momentum(), 9, {}),
        (SGD, 1, {"regularization": Regularization(dropout=0.5)}),
        (SGD, 1, {"regularization": Regularization(l1=0.1)}),
        (SGD, 1, {"regularization": Regularization(max_norm=1)}),
        (SGD, 1, {"regularization": Regularization(clip_norm=1)}),
        (SGD, 1, {"average_decay": 0.9}),
        (SGD, 1, {"augmentation": Augmentation(rotate=10)}),
        (optimizers.momentum(), 1, {"regularization": Regularization(l2=0.1)}),
        (SGD, 1, {"fast": False}),
    ],
)
def test_it_is_not_taken_where_it_is_not_exact_or_not_faster(
    optimizer: optimizers.Optimizer, batch_size: int, options: dict[str, Any]
) -> None:
    case = Case((9, 6, 4))
    net, samples = MLP(case.sizes), samples_for(case)
    (epoch,) = train(net, samples, epochs=1, batch_size=batch_size, optimizer=optimizer, **options)
    assert epoch.step == "reference"


@pytest.mark.usefixtures("fake_cupy")
def test_it_is_not_taken_on_a_gpu() -> None:
    net = MLP([N_IN, 6, 4], device="cuda")
    (epoch,) = train(net, samples_for(Case()), epochs=1, batch_size=1, optimizer=SGD)
    assert epoch.step == "deferred, captured"  # which is another


def test_coefficients_are_the_recurrences() -> None:
    """W_(k+1) = shrink W_k - rate V_(k+1), V_(k+1) = mu V_k + g_k, followed for one weight and any gradients."""
    generator = np.random.default_rng(2)
    K, mu = 9, 0.8
    rates, shrinks, gradients = generator.random(K), 1 - 0.1 * generator.random(K), generator.normal(size=K)
    found = coefficients(rates, shrinks, mu)
    W, b, V, v = 0.7, 0.4, -0.3, 0.2
    W0, b0, V0, v0 = W, b, V, v
    for k in range(K + 1):
        assert found.kept[k] * W0 - found.velocity[k] * V0 - found.weights[k] @ gradients == pytest.approx(W, rel=1e-12)
        assert b0 - found.bias_velocity[k] * v0 - found.biases[k] @ gradients == pytest.approx(b, rel=1e-12)
        if k < K:
            V, v = mu * V + gradients[k], mu * v + gradients[k]
            W, b = shrinks[k] * W - rates[k] * V, b - rates[k] * v
