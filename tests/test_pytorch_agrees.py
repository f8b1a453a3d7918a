"""PyTorch's figures for every activation and every loss, see tests/reference/activations_and_losses.py."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from formulas import ACTIVATION_NAMES

from xpnn import MLP, Samples, evaluate, optimizers, to_host, train
from xpnn.activations import activation_named, saved_for
from xpnn.losses import LOSSES

FIGURES = json.loads(Path(__file__).with_name("reference").joinpath("activations_and_losses.json").read_text())
LOSS_CASES = FIGURES["losses"]["results"]


def test_every_activation_and_loss_has_figures() -> None:
    assert set(FIGURES["activations"]["results"]) == set(ACTIVATION_NAMES)
    assert {case["loss"].partition(":")[0] for case in LOSS_CASES} == set(LOSSES)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_activation(xp: ModuleType, name: str) -> None:
    figures = FIGURES["activations"]
    y, error = xp.asarray(np.array(figures["z"])), xp.asarray(np.array(figures["error"]))
    function = activation_named(name)
    saved, column = saved_for(function, y), xp.empty((len(y), 1), dtype=y.dtype)
    function.apply(y, saved, column)
    # both round a handful of times; PyTorch's 1 + erf loses 1e-16 absolutely, times a z of 30 in gelu's derivative
    np.testing.assert_allclose(to_host(y), figures["results"][name]["y"], rtol=1e-13, atol=3e-15)
    function.backpropagate(error, saved, column)
    np.testing.assert_allclose(to_host(error), figures["results"][name]["delta"], rtol=1e-12, atol=3e-14)


@pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: "{loss} {weighted} {label_smoothing}".format(**case))
def test_loss_and_gradient(device: str, case: dict[str, Any]) -> None:
    """One update at a rate of 1 moves the parameters by their gradient."""
    given = {name: np.array(FIGURES["losses"][name]) for name in ("x", "W", "b", "labels", "weights")}
    net = MLP([4, 3], output=case["output"], loss=case["loss"], device=device, dtype="float64")
    start = np.concatenate([given["W"].ravel(), given["b"]])
    net.parameters[...] = net.xp.asarray(start)
    codes = np.eye(3)[given["labels"]]
    for targets in (given["labels"], codes):
        net.parameters[...] = net.xp.asarray(start)
        samples = Samples(given["x"], targets, given["weights"] if case["weighted"] else None)
        if not case["label_smoothing"]:
            assert evaluate(net, samples).loss == pytest.approx(case["mean_loss"], rel=1e-13)
        (epoch,) = train(
            net,
            samples,
            epochs=1,
            batch_size=100,
            optimizer=optimizers.sgd(1.0),
            label_smoothing=case["label_smoothing"],
        )
        assert epoch.loss == pytest.approx(case["mean_loss"], rel=1e-13)
        moved = start - to_host(net.parameters)
        expected = np.concatenate([np.ravel(case["grad_W"]), case["grad_b"]])
        np.testing.assert_allclose(moved, expected, rtol=1e-11, atol=1e-14)  # a difference of numbers of size 1
