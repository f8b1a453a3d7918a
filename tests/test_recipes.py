"""The recipes: the seed's against a naive loop written from its description, the default's accuracy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import xpnn
from xpnn.recipes import RECIPES
from xpnn.samples import Samples


def naive_seed(W: list[NDArray[Any]], pixels: NDArray[Any], labels: NDArray[Any], epochs: int) -> list[NDArray[Any]]:
    """The textbook's network, sample by sample, from its description alone; W is changed in place."""
    W_hidden, W_output = W
    for _ in range(epochs):
        for row, label in zip(pixels, labels, strict=True):
            x = row.astype(float) / 255 * 0.99 + 0.01
            t = np.full(10, 0.01)
            t[label] = 0.99
            h = 1 / (1 + np.exp(-(W_hidden @ x)))
            o = 1 / (1 + np.exp(-(W_output @ h)))
            output_error = t - o
            hidden_error = W_output.T @ output_error  # the raw error goes back, by the weights before their update
            W_output += 0.1 * np.outer(output_error * o * (1 - o), h)
            W_hidden += 0.1 * np.outer(hidden_error * h * (1 - h), x)
    return W


def assert_is_the_naive_loop(samples: Samples, device: str, epochs: int) -> None:
    recipe = dataclasses.replace(RECIPES["seed"], dtype="float64", epochs=epochs)
    net = recipe.network(samples.inputs.shape[1], "0123456789", device, seed=0)
    start = [xpnn.to_host(layer.W).copy() for layer in net.layers]
    assert [layer.b for layer in net.layers] == [None, None]
    assert samples.targets is not None
    expected = naive_seed(start, samples.inputs, samples.targets, epochs)
    records = list(recipe.train(net, samples))
    assert len(records) == epochs
    for layer, W in zip(net.layers, expected, strict=True):
        difference = np.abs(xpnn.to_host(layer.W) - W).max()
        assert difference < 1e-10  # thousands of float64 updates, each rounded once otherwise, and no chaos in them


def test_seed_recipe_is_the_naive_loop_on_digits(device: str) -> None:
    assert_is_the_naive_loop(xpnn.load("digits", limit=300).train, device, epochs=2)


@pytest.mark.mnist
def test_seed_recipe_is_the_naive_loop_on_mnist() -> None:
    assert_is_the_naive_loop(xpnn.load("mnist", limit=1000).train, "cpu", epochs=5)


def test_book_rule_is_not_the_gradient() -> None:
    """The rule differs from the gradient, so that the test above could fail."""
    samples = xpnn.load("digits", limit=50).train
    weights = []
    for rule in ("book", "gradient"):
        recipe = dataclasses.replace(RECIPES["seed"], dtype="float64", epochs=1, error_rule=rule)
        net = recipe.network(64, "0123456789")
        list(recipe.train(net, samples))
        weights.append(net.layers)
    assert np.abs(weights[0][0].W - weights[1][0].W).max() > 1e-3


def test_seed_recipes_weights_start_as_the_book_says() -> None:
    net = RECIPES["seed"].network(784, "0123456789")
    for layer in net.layers:
        n_out, n_in = layer.W.shape
        assert layer.W.std() == pytest.approx(n_in**-0.5, rel=0.05)  # 2,000 draws have a standard error of 1.6 %
        assert (n_out, n_in) in {(200, 784), (10, 200)}


def test_default_recipe_learns_the_digits(device: str) -> None:
    data, recipe = xpnn.load("digits"), RECIPES["default"]
    assert data.test is not None
    net = recipe.network(64, data.labels, device)
    list(recipe.train(net, data.train))
    accuracy = xpnn.evaluate(net, data.test).accuracy
    assert accuracy is not None
    assert accuracy >= 0.97  # over seeds 0 to 11 it was 97.5 % to 98.3 %


def test_augmented_recipe_learns_the_digits_better() -> None:
    data, recipe = xpnn.load("digits"), RECIPES["augmented"]
    assert data.test is not None
    net = recipe.network(64, data.labels)
    list(recipe.train(net, data.train))
    accuracy = xpnn.evaluate(net, data.test).accuracy
    assert accuracy is not None
    assert accuracy >= 0.98  # over seeds 0 to 3 it was 98.3 %


def test_optimizer_follows_the_recipe() -> None:
    recipe = dataclasses.replace(RECIPES["default"], epochs=2, batch_size=10, learning_rate=0.1)
    optimizer = recipe.make_optimizer(95)  # 2 epochs of 10 updates
    np.testing.assert_allclose(optimizer.schedule(np.array([0.0, 10, 20])), [0.1, 0.05, 0])
    heavy = dataclasses.replace(recipe, optimizer="sgd", momentum=0.5).make_optimizer(95)
    assert [*heavy.init(np.zeros(3))] == ["velocity"]


def test_warm_up_is_a_share_of_the_run() -> None:
    recipe = dataclasses.replace(RECIPES["default"], epochs=2, batch_size=10, learning_rate=0.1, warmup=0.2)
    rates = recipe.make_optimizer(100).schedule(np.arange(21.0))  # 4 of 20 updates
    np.testing.assert_allclose(rates[:6], [0.02, 0.04, 0.06, 0.08, 0.1, 0.1 * 15 / 16], rtol=1e-12)
    assert rates[20] == 0
    for warmup in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"warmup must lie in \[0, 1\), not {warmup}"):
            dataclasses.replace(recipe, warmup=warmup).make_optimizer(100)


def test_warm_up_of_a_run_of_one_update_leaves_it_one() -> None:
    recipe = dataclasses.replace(RECIPES["default"], epochs=1, learning_rate=0.1, warmup=0.999)
    assert recipe.make_optimizer(1).schedule(np.zeros(1)) == [0.1]


def test_no_rows_are_bad_data_not_a_bad_schedule() -> None:
    recipe = RECIPES["default"]
    net = recipe.network(2, "01")
    with pytest.raises(xpnn.DataError, match="there are no rows to train on"):
        recipe.train(net, Samples(np.zeros((0, 2)), np.zeros(0, dtype=int)))


def test_momentum_is_the_optimizers_own_unless_given() -> None:
    def velocity(**settings: Any) -> float:
        """The velocity after gradients of 1 and 0: the momentum."""
        optimizer = dataclasses.replace(RECIPES["default"], **settings).make_optimizer(100)
        p = np.zeros(1)
        state = optimizer.init(p)
        for gradient in (1.0, 0.0):
            optimizer.update(np.full(1, gradient), state, p, [np.array(0.1)])
        return float(state["velocity"][0])

    assert (velocity(optimizer="momentum"), velocity(optimizer="nesterov", momentum=0.5)) == (0.9, 0.5)
    with pytest.raises(ValueError, match="adam takes no momentum: choose from momentum, nesterov, rmsprop, sgd"):
        dataclasses.replace(RECIPES["default"], momentum=0.5).make_optimizer(100)


def test_every_setting_of_a_recipe_reaches_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def take(name: str, result: Any) -> Any:
        def note(*arguments: Any, **options: Any) -> Any:
            seen.update(options | {f"{name} got": arguments})
            return result

        return note

    monkeypatch.setattr("xpnn.recipes.train", take("train", "the epochs"))
    monkeypatch.setattr("xpnn.recipes.early_stopping", take("early stopping", "the end"))
    regularization = xpnn.Regularization(dropout=0.5)
    recipe = dataclasses.replace(
        RECIPES["default"],
        batch_size=7,
        epochs=9,
        shuffle=False,
        error_rule="book",
        class_weight="balanced",
        label_smoothing=0.1,
        regularization=regularization,
        augmentation=xpnn.Augmentation(rotate=10),
        average_decay=0.9,
        plateau=4,
        patience=3,
        metric="loss",
        minimum_change=0.2,
    )
    rows = xpnn.load("digits", limit=20).train
    result: object = recipe.train(recipe.network(64, "0123456789"), rows, seed=8)
    assert result == "the end"
    assert seen["plateau"].patience == 4
    assert {key: seen[key] for key in ("seed", "batch_size", "epochs", "shuffle", "error_rule", "average_decay")} == {
        "seed": 8,
        "batch_size": 7,
        "epochs": 9,
        "shuffle": False,
        "error_rule": "book",
        "average_decay": 0.9,
    }
    assert (seen["class_weight"], seen["label_smoothing"], seen["regularization"]) == ("balanced", 0.1, regularization)
    assert seen["augmentation"] == xpnn.Augmentation(rotate=10)
    assert (seen["metric"], seen["patience"], seen["minimum_change"]) == ("loss", 3, 0.2)
    assert seen["early stopping got"][0] == "the epochs"


AUGMENTED = {"augmentation": xpnn.Augmentation(rotate=10)}


@pytest.mark.parametrize(
    "change", [{"patience": 1}, {"average_decay": 0.9}, {"plateau": 1}, {"error_rule": "book"}, AUGMENTED]
)
def test_lbfgs_refuses_what_it_would_ignore(change: dict[str, Any]) -> None:
    recipe = dataclasses.replace(RECIPES["default"], optimizer="lbfgs", **change)
    with pytest.raises(ValueError, match=f"L-BFGS can't follow {next(iter(change))}="):
        recipe.train(recipe.network(64, "0123456789"), xpnn.load("digits", limit=20).train)
