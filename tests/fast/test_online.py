"""The online step on CUDA against the reference, a row at a time."""

from __future__ import annotations

import math
from typing import Any

import fast_cases
import numpy as np
import pytest
from cuda_emulator import Module
from fake_device import FakeCupy
from fast_cases import CASES, Case, N, distance, samples_for
from numpy.typing import NDArray

from xpnn import MLP, Augmentation, DivergenceError, Regularization, optimizers, to_host, train
from xpnn.fast import captured, online
from xpnn.schedules import linear

ONLINE = {
    "softmax": Case(),
    "wide": Case((7, 70, 40), pixels=True),
    "as many outputs as there may be, and more than hidden units": Case((7, 5, 64)),
    "falling rate": Case(optimizer=optimizers.sgd(linear(0.2, 3 * N))),
    **{
        f"{name} and squared error": Case(net={"hidden": name, "output": name, "loss": "squared-error"})
        for name in ("identity", "relu", "sigmoid", "tanh")
    },
    "binary": Case(net={"hidden": "tanh", "output": "sigmoid"}),
    "weights": Case(weights=True),
    **{name: CASES[name] for name in ("no biases", "one output", "book", "in order", "smoothed labels", "pixels")},
    "class weights": CASES["class weights"],
}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of two blocks of 32 rows: an epoch of 147 has two of them, and a ragged block."""
    monkeypatch.setattr(captured, "UPDATES", 2)
    monkeypatch.setattr(online, "BLOCK", 32)


def trained(case: Case, device: str, dtype: str, factor: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """By the online step on CUDA, by the reference on the CPU."""
    return fast_cases.trained(case, dtype, device != "cpu", factor, step="deferred, captured", device=device)


@pytest.mark.parametrize("case", ONLINE.values(), ids=ONLINE.keys())
def test_it_is_the_reference_but_for_rounding(cuda: str, case: Case) -> None:
    parameters, records = trained(case, cuda, "float64")
    expected, their_records = trained(case, "cpu", "float64")
    assert distance(parameters, expected) < 1e-12
    np.testing.assert_allclose(records, their_records, rtol=1e-11)
    sabotaged, _ = trained(case, cuda, "float64", factor=1.01)
    assert distance(sabotaged, expected) > 1e-5


def test_it_takes_a_block_as_wide_as_there_may_be(cuda: str) -> None:
    sizes, found = (7, 1024, 3), []
    for device in (cuda, "cpu"):
        net, samples = MLP(sizes, device=device, dtype="float64", seed=3), samples_for(Case(sizes)).take(slice(40))
        (epoch,) = train(net, samples, epochs=1, batch_size=1, optimizer=optimizers.sgd())
        assert device == "cpu" or epoch.step == "deferred, captured"
        found.append(to_host(net.parameters))
    assert distance(*found) < 1e-12


def test_sums_whose_exponentials_overflow_are_no_trouble(cuda: str) -> None:
    found, samples = [], samples_for(Case())
    for device in (cuda, "cpu"):
        net = MLP((7, 6, 4), device=device, dtype="float64", seed=3)
        (W, b), (output, _) = (map(to_host, layer) for layer in net.layers)
        sums = 3000 * (np.maximum(samples.inputs @ W.T + b, 0) @ output.T)
        assert sums.max() > 1000  # beyond 709 exp overflows
        net.layers[-1].W[...] = net.xp.asarray(3000 * output)
        (epoch,) = train(net, samples, epochs=1, batch_size=1, optimizer=optimizers.sgd(1e-6), fast=device == cuda)
        assert math.isfinite(epoch.loss)
        found.append(to_host(net.parameters))
    assert distance(*found) < 1e-12


@pytest.mark.parametrize("case", ONLINE.values(), ids=ONLINE.keys())
def test_in_float32_it_errs_no_more_than_twice_as_much(cuda: str, case: Case) -> None:
    exact = trained(case, "cpu", "float64")[0]
    ours = distance(trained(case, cuda, "float32")[0], exact)
    assert ours < max(2 * distance(trained(case, "cpu", "float32")[0], exact), 2e-6)


@pytest.mark.parametrize("order", ["backward", 1])
def test_the_order_of_the_threads_makes_no_difference(
    fake_cupy: FakeCupy, order: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ONLINE["wide"]
    forward = trained(case, "cuda", "float32")[0]
    monkeypatch.setattr(Module, "order", order)
    np.testing.assert_array_equal(trained(case, "cuda", "float32")[0], forward)


def test_it_is_taken_only_where_it_is_exact(cuda: str) -> None:
    def applies(
        sizes: tuple[int, ...] = (7, 6, 4),
        optimizer: optimizers.Optimizer | None = None,
        batch_size: int = 1,
        options: dict[str, Any] | None = None,
        **net: Any,
    ) -> bool:
        return online.applies(
            MLP(sizes, device=cuda, **net),
            optimizer or optimizers.sgd(),
            batch_size,
            options or {},
        )

    assert applies()
    assert applies((7, 1024, 64))
    assert not applies(batch_size=2)
    assert not applies((7, 4))
    assert not applies((7, 6, 5, 4))
    assert not applies((7, 1025, 4))
    assert not applies((7, 6, 65))
    assert not applies(optimizer=optimizers.momentum())
    assert not applies(optimizer=optimizers.adam())
    assert not applies(optimizer=optimizers.decoupled(optimizers.sgd(), 0.1))
    assert not applies(options={"regularization": Regularization(l2=0.1)})
    assert not applies(options={"regularization": Regularization(dropout=0.1)})
    assert not applies(options={"average_decay": 0.9})
    assert not applies((9, 6, 4), options={"augmentation": Augmentation(rotate=10)})
    assert not applies(hidden="elu")
    assert not applies(loss="squared-error")  # behind a softmax
    assert not applies(loss="focal")


def test_divergence_is_found_where_the_reference_finds_it(cuda: str) -> None:
    said = []
    for device in (cuda, "cpu"):
        net = MLP((7, 6, 4), output="identity", hidden="identity", device=device, seed=3)
        with pytest.raises(DivergenceError) as caught:
            list(train(net, samples_for(Case()), batch_size=1, optimizer=optimizers.sgd(8.0), fast=device == cuda))
        said.append(str(caught.value))
    assert said[0] == said[1]
