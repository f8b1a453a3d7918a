"""The compiled loops against NumPy's, and when they are taken. Where Numba isn't installed these are skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fast_cases import CASES, DECAY, Case, N, distance, divergence, samples_for, trained
from numpy.typing import NDArray

import xpnn
from xpnn import MLP, Augmentation, Regularization, optimizers, train
from xpnn.fast import batches, compiled
from xpnn.schedules import linear

needs_numba = pytest.mark.skipif(not compiled.is_installed(), reason="Numba is not installed (the extra jit)")
ADAM, L2 = optimizers.adam(0.01), {"regularization": Regularization(l2=0.2)}
AUGMENTED = {"augmentation": Augmentation(0.7, 10, 0.1, 5, 34, 1)}
DROPOUT = {"regularization": Regularization(dropout=0.3)}
BATCHES = {
    **{f"adam, batches of {size}": Case(optimizer=ADAM, batch_size=size) for size in (1, 5, 16, 64)},
    "other betas": Case(optimizer=optimizers.adam(linear(0.01, 3 * N), 0.5, 0.9, 1e-3), batch_size=5),
    "adamw, deep": Case((7, 6, 5, 5, 4), optimizer=optimizers.adamw(0.01, 0.3), batch_size=5),
    "adam and l2, no biases": Case(net={"bias": False}, optimizer=ADAM, batch_size=5, options=L2),
    "momentum and l2": Case(optimizer=optimizers.momentum(0.01), batch_size=5, options=L2),
    "momentum, no biases": Case(net={"bias": False}, optimizer=optimizers.momentum(0.01), batch_size=17),
    "descent, l2 and decay": Case(optimizer=DECAY, batch_size=32, options=L2),
    "weights, adam": Case(optimizer=ADAM, batch_size=5, weights=True),
    "no hidden layer, adam": Case((7, 4), optimizer=ADAM, batch_size=5),
    **{
        f"{name}, batches of 5": Case(net={"hidden": name, "output": name, "loss": "squared-error"}, batch_size=5)
        for name in ("identity", "relu", "sigmoid", "tanh")
    },
    "softmax and squared error": Case(net={"loss": "squared-error"}, batch_size=5),
    "pixels, adam": Case(optimizer=ADAM, batch_size=5, pixels=True),
    "dropout": Case((7, 6, 5, 4), optimizer=ADAM, batch_size=5, options=DROPOUT),
    "dropout, tanh, no biases, weights": Case(
        (7, 6, 5, 4),
        {"hidden": "tanh", "bias": False},
        batch_size=32,
        options={"regularization": Regularization(dropout=0.5, input_dropout=0.2, l2=0.1)},
        weights=True,
    ),
    "dropout, book": Case(
        net={"hidden": "sigmoid", "output": "sigmoid", "loss": "squared-error"},
        batch_size=5,
        options={"error_rule": "book"} | DROPOUT,
    ),
    "noise and max-norm": Case(
        optimizer=optimizers.momentum(0.01),
        batch_size=5,
        options={"regularization": Regularization(input_noise=0.1, max_norm=0.7)},
    ),
    "one output, batches": Case((7, 6, 1), {"output": "sigmoid"}, batch_size=17),
    "smoothed labels, class weights, falling rate": Case(
        optimizer=optimizers.sgd(linear(0.2, 3 * 9)),
        batch_size=17,
        options={"label_smoothing": 0.2, "class_weight": [1, 2, 0.5, 1]},
    ),
    "momentum and decay": Case(optimizer=optimizers.decoupled(optimizers.momentum(0.01), 0.3), batch_size=17),
    "a batch larger than the rows": Case(optimizer=ADAM, batch_size=2 * N),
    "average": Case(optimizer=ADAM, batch_size=5, options={"average_decay": 0.9}),
    "augmentation": Case((9, 6, 4), optimizer=ADAM, batch_size=5, pixels=True, options=AUGMENTED),
    "augmentation and dropout": Case((9, 6, 4), batch_size=32, options=AUGMENTED | DROPOUT),
    "input dropout without hidden layers": Case(
        (7, 4), batch_size=20, options={"regularization": Regularization(input_dropout=0.3)}
    ),
    "book, adam": Case((7, 6, 5, 4), {"hidden": "tanh", "output": "sigmoid"}, ADAM, 5, options={"error_rule": "book"}),
}
KNOWN = {name: case for name, case in (CASES | BATCHES).items() if compiled.is_known(MLP(case.sizes, **case.net))}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled loops are taken for runs of any length, and blocks are small enough that there are several."""
    monkeypatch.setattr(compiled, "SECONDS_TO_GAIN", 0.0)
    monkeypatch.setattr(batches, "BLOCK", 60 * 11)


def step_for(case: Case) -> str:
    alone = case.batch_size == 1 and case.optimizer.name in ("sgd", "momentum")
    return "deferred, compiled" if alone else "compiled"


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_the_loops_are_the_reference_but_for_rounding(case: Case) -> None:
    parameters, records = trained(case, "float64", fast=True, step=step_for(case))
    expected, their_records = trained(case, "float64", fast=False)
    assert distance(parameters, expected) < 1e-12  # as the deferred step in NumPy
    np.testing.assert_allclose(records, their_records, rtol=1e-11)
    sabotaged, _ = trained(case, "float64", fast=True, factor=1.01, step=step_for(case))
    assert distance(sabotaged, expected) > 1e-5


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_in_float32_they_err_no_more_than_twice_as_much(case: Case) -> None:
    exact = trained(case, "float64", fast=False)[0]
    ours = distance(trained(case, "float32", fast=True, step=step_for(case))[0], exact)
    theirs = distance(trained(case, "float32", fast=False)[0], exact)
    assert ours < max(2 * theirs, 2e-6)


def run_adam(dtype: str, fast: bool, optimizer: optimizers.Optimizer, **options: Any) -> NDArray[Any]:
    net = MLP([7, 6, 4], hidden="elu", dtype=dtype, seed=3)  # which the loop over batches doesn't know
    epochs = list(train(net, samples_for(Case()), epochs=3, batch_size=5, optimizer=optimizer, fast=fast, **options))
    assert {epoch.step for epoch in epochs} == {"reference, compiled update" if fast else "reference"}
    parameters: NDArray[Any] = net.parameters
    return parameters


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("optimizer", [ADAM, optimizers.adam(0.01, 0.5, 0.9, 1e-3), optimizers.adamw(0.01)])
@pytest.mark.parametrize("options", [{}, {"average_decay": 0.9, "regularization": Regularization(dropout=0.3, l2=0.1)}])
def test_adams_update_is_numpys_but_for_rounding(optimizer: optimizers.Optimizer, options: dict[str, Any]) -> None:
    exact = run_adam("float64", False, optimizer, **options)
    assert distance(run_adam("float64", True, optimizer, **options), exact) < 1e-12
    ours, theirs = (distance(run_adam("float32", fast, optimizer, **options), exact) for fast in (True, False))
    assert ours < max(2 * theirs, 2e-6)
    off = optimizer._replace(schedule=lambda steps: 1.01 * optimizer.schedule(steps))
    assert distance(run_adam("float64", True, off, **options), exact) > 1e-5


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("batch_size", [1, 2, 20])
def test_a_run_that_diverges_is_named_at_the_same_step(batch_size: int) -> None:
    assert divergence(batch_size, fast=True) == divergence(batch_size, fast=False)


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
    monkeypatch.setattr(compiled, "is_installed", lambda *modules: False)
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
@pytest.mark.parametrize(
    ("optimizer", "options", "step"),
    [
        (optimizers.nesterov(), {}, "reference"),
        (optimizers.rmsprop(), {}, "reference"),
        (optimizers.sgd(), {"regularization": Regularization(l1=0.1)}, "reference"),
        (optimizers.sgd(), {"regularization": Regularization(clip_norm=1)}, "reference"),
        (ADAM, {"regularization": Regularization(clip_value=1)}, "reference, compiled update"),
    ],
)
def test_the_loop_over_batches_is_not_taken_for_what_it_does_not_do(
    optimizer: optimizers.Optimizer, options: dict[str, Any], step: str
) -> None:
    epochs = train(MLP([7, 6, 4]), samples_for(Case()), batch_size=20, optimizer=optimizer, **options)
    assert next(epochs).step == step


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("sizes", "batch_size", "step"),
    [([400, 600, 4], 2, "deferred"), ([400, 600, 4], 3, "compiled"), ([400, 600, 410, 4], 2, "compiled")],
)
def test_updates_of_a_large_first_layer_are_put_off(sizes: list[int], batch_size: int, step: str) -> None:
    samples = np.ones((6, 400)), np.zeros(6, dtype=int)
    assert next(train(MLP(sizes), samples, batch_size=batch_size, optimizer=optimizers.sgd(1e-3))).step == step


@needs_numba
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("net", [{"hidden": "gelu"}, {"loss": "focal"}])
def test_nor_for_functions_that_it_does_not_know(net: dict[str, Any]) -> None:
    options: dict[str, Any] = {"batch_size": 20, "optimizer": optimizers.sgd()}
    assert next(train(MLP([7, 6, 4], **net), samples_for(Case()), **options)).step == "reference"


@needs_numba
def test_a_blas_of_other_whole_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.linalg import cython_blas

    from xpnn.fast import loops

    assert loops.blas_for("float32")[0] != loops.blas_for("float64")[0]
    signatures = dict.fromkeys(("sgemm", "dgemm"), "void (char *, char *, int64_t *, int64_t *, int64_t *)")
    monkeypatch.setattr(cython_blas, "__pyx_capi__", signatures)
    with pytest.raises(ImportError, match="takes other arguments"):
        loops.blas_for("float32")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("optimizer", "batch_size", "options", "step"),
    [
        (optimizers.sgd(), 1, {}, "deferred"),
        (optimizers.sgd(), 20, {}, "reference"),
        (ADAM, 20, {"regularization": Regularization(clip_norm=1)}, "reference"),
    ],
)
def test_an_installation_that_is_broken_is_told_of_and_done_without(
    monkeypatch: pytest.MonkeyPatch,
    optimizer: optimizers.Optimizer,
    batch_size: int,
    options: dict[str, Any],
    step: str,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(compiled, "is_installed", lambda *modules: True)
    monkeypatch.setitem(sys.modules, "xpnn.fast.loops", None)  # its import fails
    monkeypatch.delattr(xpnn.fast, "loops", raising=False)
    epochs = train(
        MLP([7, 6, 4]), samples_for(Case()), batch_size=batch_size, optimizer=optimizer, say=said.append, **options
    )
    assert next(epochs).step == step
    assert said[0] == compiled.NOTICE
    assert said[1].startswith("compiled loops can't be used (")
    assert len(said) == 2


def test_a_switch_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not compiled.is_installed()


@needs_numba
@pytest.mark.usefixtures("always", "fake_cupy")
@pytest.mark.parametrize("optimizer", [optimizers.sgd(), ADAM])
def test_they_are_not_taken_on_a_gpu(optimizer: optimizers.Optimizer) -> None:
    net = MLP([7, 6, 4], device="cuda")
    assert next(train(net, samples_for(Case()), batch_size=20, optimizer=optimizer)).step == "captured"


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials_are_within_two_units_in_the_last_place(dtype: str) -> None:
    from xpnn.fast.loops import exponentials

    end = 87.0 if dtype == "float32" else 708.0
    generator = np.random.default_rng(3)
    z = np.concatenate([np.linspace(-end, end, 20_001), generator.normal(size=20_000), 10.0 ** np.arange(-20, 0)])
    z = z[z != 0].astype(dtype)
    for less_one, function in ((False, np.exp), (True, np.expm1)):
        found, exact = z.copy(), function(z.astype(np.longdouble))
        exponentials(found, less_one)
        assert np.abs((found - exact) / exact).max() < 2 * np.finfo(dtype).eps
    beyond = np.array([-np.inf, np.inf, np.nan], dtype=dtype)
    exponentials(beyond, False)
    low, high, unknown = beyond
    assert low == 0
    assert high > 1e38
    assert np.isnan(unknown)
