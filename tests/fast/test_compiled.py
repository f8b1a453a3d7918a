"""The compiled loops against NumPy's, and when they are taken. Where Numba isn't installed these are skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deferred_cases import CASES, Case, distance, samples_for, trained
from numpy.typing import NDArray

import xpnn
from xpnn import MLP, Regularization, optimizers, train
from xpnn.fast import compiled

needs_numba = pytest.mark.skipif(not compiled.is_installed(), reason="Numba is not installed (the extra jit)")
KNOWN = {
    name: case
    for name, case in CASES.items()
    if {*np.atleast_1d(case.net.get("hidden", "relu")), case.net.get("output", "softmax")} <= compiled.CODES.keys()
    and case.net.get("loss", "") in ("", "squared-error", "cross-entropy", "binary-cross-entropy")
}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled loops are taken for runs of any length."""
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_the_loop_over_a_block_is_the_reference_but_for_rounding(case: Case) -> None:
    parameters, records = trained(case, "float64", fast=True, step="deferred, compiled")
    expected, their_records = trained(case, "float64", fast=False)
    assert distance(parameters, expected) < 1e-12  # as the deferred step in NumPy
    np.testing.assert_allclose(records, their_records, rtol=1e-11)
    sabotaged, _ = trained(case, "float64", fast=True, factor=1.01, step="deferred, compiled")
    assert distance(sabotaged, expected) > 1e-5


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_in_float32_it_errs_no_more_than_twice_as_much(case: Case) -> None:
    exact = trained(case, "float64", fast=False)[0]
    ours = distance(trained(case, "float32", fast=True, step="deferred, compiled")[0], exact)
    theirs = distance(trained(case, "float32", fast=False)[0], exact)
    assert ours < max(2 * theirs, 2e-6)


def run_adam(dtype: str, fast: bool, optimizer: optimizers.Optimizer, **options: Any) -> NDArray[Any]:
    net = MLP([7, 6, 4], dtype=dtype, seed=3)
    epochs = list(train(net, samples_for(Case()), epochs=3, batch_size=5, optimizer=optimizer, fast=fast, **options))
    assert {epoch.step for epoch in epochs} == {"reference, compiled update" if fast else "reference"}
    parameters: NDArray[Any] = net.parameters
    return parameters


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "optimizer", [optimizers.adam(0.01), optimizers.adam(0.01, 0.5, 0.9, 1e-3), optimizers.adamw(0.01)]
)
@pytest.mark.parametrize(
    "options", [{}, {"average_decay": 0.9}, {"regularization": Regularization(dropout=0.3, l2=0.1)}]
)
def test_adams_update_is_numpys_but_for_rounding(optimizer: optimizers.Optimizer, options: dict[str, Any]) -> None:
    exact = run_adam("float64", False, optimizer, **options)
    assert distance(run_adam("float64", True, optimizer, **options), exact) < 1e-12
    ours, theirs = (distance(run_adam("float32", fast, optimizer, **options), exact) for fast in (True, False))
    assert ours < max(2 * theirs, 2e-6)
    off = optimizer._replace(schedule=lambda steps: 1.01 * optimizer.schedule(steps))
    assert distance(run_adam("float64", True, off, **options), exact) > 1e-5


@needs_numba
@pytest.mark.usefixtures("always")
def test_a_run_that_diverges_is_seen_in_the_loop_too() -> None:
    net = MLP([7, 6, 4], hidden="relu", seed=3)
    with pytest.raises(xpnn.DivergenceError):
        list(train(net, samples_for(Case()), batch_size=1, optimizer=optimizers.sgd(1e30)))


@needs_numba
def test_whoever_asks_is_told_before_loops_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    train(MLP([7, 6, 4]), samples_for(Case()), batch_size=1, optimizer=optimizers.sgd(), say=said.append)
    assert said == []  # so short a run compiles nothing
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)
    for optimizer in (optimizers.sgd(), optimizers.adam()):
        train(MLP([7, 6, 4]), samples_for(Case()), batch_size=1, optimizer=optimizer, say=said.append)
    assert said == [compiled.NOTICE] * 2


def test_without_numba_nothing_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)
    monkeypatch.setattr(compiled, "is_installed", lambda: False)
    for optimizer, step in ((optimizers.sgd(), "deferred"), (optimizers.adam(), "reference")):
        (epoch,) = train(MLP([7, 6, 4]), samples_for(Case()), epochs=1, batch_size=1, optimizer=optimizer)
        assert epoch.step == step


def test_a_short_run_never_imports_numba(tmp_path: Path) -> None:
    program = """
import sys, xpnn
data = xpnn.load("digits")
xpnn.MLP([64, 200, 10]).train(data.train.inputs, data.train.targets)
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "False\n"


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("sizes", "batch_size"), [([7, 200, 200, 4], 1), ([7, 60, 100, 4], 8)])
def test_large_later_layers_are_left_to_numpys_products(sizes: list[int], batch_size: int) -> None:
    options: dict[str, Any] = {"batch_size": batch_size, "optimizer": optimizers.sgd()}
    assert next(train(MLP(sizes), samples_for(Case()), **options)).step == "deferred"
