"""The same run as scikit-learn's MLP: same weights, batches, L2 and optimizer give the same loss curve."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from xpnn import MLP, Regularization, load, optimizers, to_host, train

ROWS, BATCH, EPOCHS, ALPHA = 320, 32, 10, 0.5
INNER = [64, 40, 30]
SETTINGS: dict[str, tuple[dict[str, Any], optimizers.Optimizer]] = {
    "nesterov": (
        {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.9, "nesterovs_momentum": True},
        optimizers.nesterov(0.05, 0.9),
    ),
    "momentum": (
        {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.9, "nesterovs_momentum": False},
        optimizers.momentum(0.05, 0.9),
    ),
    # scikit-learn puts epsilon beside sqrt(v), before the correction of v; too small to matter here
    "adam": ({"solver": "adam", "learning_rate_init": 0.003, "epsilon": 1e-14}, optimizers.adam(0.003, epsilon=1e-14)),
}


def penalty(net: MLP) -> float:
    """What scikit-learn adds to the loss of a batch: alpha / 2 * sum w^2 over the batch's rows."""
    return ALPHA / 2 * float((to_host(net.weights) ** 2).sum()) / BATCH


def loss_curve_of_scikit_learn(
    net: MLP, x: NDArray[Any], targets: NDArray[Any], settings: dict[str, Any]
) -> list[float]:
    theirs = MLPClassifier() if net.output == "softmax" else MLPRegressor(loss="poisson")
    theirs.set_params(hidden_layer_sizes=INNER[1:], alpha=ALPHA, batch_size=BATCH, shuffle=False, max_iter=1, tol=0)
    theirs.set_params(**settings)
    theirs.n_iter_no_change = 10 * EPOCHS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.set_params(warm_start=True, learning_rate_init=1e-300).fit(x, targets)  # makes the arrays
        for array, layer in zip(theirs.coefs_, net.layers, strict=True):
            array[...] = to_host(layer.W).T
        for array, layer in zip(theirs.intercepts_, net.layers, strict=True):
            array[...] = to_host(layer.b)
        theirs.set_params(max_iter=EPOCHS, **settings)
        del theirs._optimizer
        theirs.t_, theirs.loss_curve_ = 0, []
        theirs.fit(x, targets)
    return list(theirs.loss_curve_)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("output", ["softmax", "exp"])
def test_loss_curve_is_that_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, device: str, output: str, name: str
) -> None:
    monkeypatch.setattr("xpnn.fast.captured.UPDATES", 1)  # so that each update's penalty is seen
    settings, optimizer = SETTINGS[name]
    rows = load("digits", limit=ROWS).train
    x, targets = rows.inputs / 255, np.asarray(rows.targets)
    if output == "exp":
        targets = np.random.default_rng(8).poisson(targets / 10)  # small counts, to suit the rates
    net = MLP([*INNER, 10 if output == "softmax" else 1], output=output, dtype="float64", seed=7, device=device)
    expected = loss_curve_of_scikit_learn(net, x, targets, settings)

    penalties = [penalty(net)]  # before each update
    epochs = train(
        net,
        (x, targets),
        epochs=EPOCHS,
        batch_size=BATCH,
        optimizer=optimizer,
        shuffle=False,
        regularization=Regularization(l2=ALPHA / BATCH),
        progress=lambda _: penalties.append(penalty(net)),
    )
    losses = [epoch.loss for epoch in epochs]
    per_epoch = np.reshape(penalties[:-1], (EPOCHS, ROWS // BATCH)).mean(axis=1)

    # float64 rounds otherwise in each of a hundred updates
    np.testing.assert_allclose(losses + per_epoch, expected, rtol=1e-6)
    assert expected[-1] < 0.5 * expected[0]
    assert (per_epoch > 0.05 * np.array(expected)).all()  # the penalty is no trifle here
