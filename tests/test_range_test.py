"""The range test: what it suggests, and what it leaves alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from xpnn import (
    MLP,
    Augmentation,
    DivergenceError,
    RangeTest,
    Samples,
    evaluate,
    find_learning_rate,
    load,
    optimizers,
    schedules,
    to_host,
)
from xpnn.backend import Array

DIGITS = load("digits")


def digits_net(device: str, seed: int = 0, **options: Any) -> MLP:
    return MLP([64, 50, 10], device=device, seed=seed, **options)


@pytest.mark.parametrize("optimizer", [optimizers.sgd, optimizers.adam, partial(optimizers.sgd, momentum=0.9)])
def test_training_at_the_suggestion_learns_digits(device: str, optimizer: Any) -> None:
    net = digits_net(device)
    found = find_learning_rate(net, DIGITS.train, optimizer=optimizer)
    schedule = schedules.linear(found.suggestion, 5 * 46)  # updates of 5 epochs
    net.train(DIGITS.train.inputs, DIGITS.train.targets, epochs=5, optimizer=optimizer(schedule))
    assert DIGITS.test is not None
    assert (evaluate(net, DIGITS.test).accuracy or 0) > 0.92
    assert found.diverged
    assert found.fall > 0.3


def test_the_same_seed_gives_the_same_sweep_on_every_device_and_leaves_the_net_alone(device: str) -> None:
    net, on_cpu = digits_net(device, dtype="float64"), digits_net("cpu", dtype="float64")
    before = to_host(net.parameters).copy()
    here, again, there = (find_learning_rate(which, DIGITS.train) for which in (net, net, on_cpu))
    np.testing.assert_array_equal(to_host(net.parameters), before)
    np.testing.assert_array_equal(here.losses, again.losses)
    np.testing.assert_allclose(here.losses, there.losses, rtol=1e-9)
    assert find_learning_rate(net, DIGITS.train, seed=1).losses[0] != here.losses[0]


def test_rates_rise_exponentially_and_losses_are_those_of_the_batches_before_their_update(device: str) -> None:
    net = digits_net(device, dtype="float64")
    rates: list[float] = []

    def recording(schedule: Any) -> optimizers.Optimizer:
        made = optimizers.sgd(schedule)

        def update(gradient: Array, state: Any, parameters: Array, coefficients: Any) -> None:
            rates.append(float(coefficients[0]))
            made.update(gradient, state, parameters, coefficients)

        return made._replace(update=update)

    found = find_learning_rate(
        net, DIGITS.train, optimizer=recording, least=1e-3, most=1e-1, steps=21, batch_size=2000, seed=5
    )
    np.testing.assert_allclose(rates, 10 ** np.linspace(-3, -1, 21), rtol=1e-12)
    np.testing.assert_allclose(found.rates, rates, rtol=1e-12)
    assert found.losses[0] == pytest.approx(evaluate(net, DIGITS.train).loss, rel=1e-9)
    assert not found.diverged
    assert (np.diff(found.losses) < 0).all()  # all rows in a batch and small rates: each update helps


@pytest.mark.parametrize("n", [1, 2, 40])
def test_tiny_data_and_divergence_are_survived(device: str, n: int) -> None:
    found = find_learning_rate(digits_net(device), DIGITS.train.take(slice(n)), optimizer=optimizers.sgd, most=1e30)
    assert 1e-6 < found.suggestion < 1e3
    assert np.isfinite(found.losses).all()
    assert found.rates.shape == found.losses.shape == found.smoothed.shape


def test_inputs_that_explode_at_once_are_said(device: str) -> None:
    net = MLP([4, 3], output="identity", device=device)
    with pytest.raises(DivergenceError, match="no finite number from a learning rate of 1e-06 on: scale the inputs"):
        find_learning_rate(net, (np.full((9, 4), 1e25), np.zeros(9, dtype=int)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least": 0}, "rise from a positive number"),
        ({"least": 1, "most": 1}, "to a larger one, not from 1 to 1"),
        ({"most": float("inf")}, "to a larger one"),
        ({"steps": 9}, "steps must be 10 or more"),
    ],
)
def test_ranges_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_learning_rate(digits_net("cpu"), DIGITS.train, **options)


def test_the_nets_own_weights_are_swept() -> None:
    """A net that has learnt the digits starts with a small loss; a new one with about log 10."""
    net = digits_net("cpu")
    net.train(DIGITS.train.inputs, DIGITS.train.targets, epochs=5)
    assert find_learning_rate(net, DIGITS.train).losses[:10].mean() < 1


def test_pictures_are_augmented_where_that_is_asked_for() -> None:
    samples = DIGITS.train.take(slice(200))
    losses = []
    for settings in (Augmentation(), Augmentation(rotate=30), Augmentation(rotate=30)):
        found = find_learning_rate(MLP([64, 10], seed=1), samples, steps=10, most=1e-3, augmentation=settings)
        losses.append(found.losses)
    assert (losses[0] != losses[1]).all()
    np.testing.assert_array_equal(losses[1], losses[2])


def test_weights_of_rows_count() -> None:
    rows = DIGITS.train.take(slice(200))
    weighted = Samples(rows.inputs, rows.targets, np.where(np.asarray(rows.targets) == 3, 5.0, 1.0))
    plain, other = (find_learning_rate(digits_net("cpu"), given).losses[0] for given in (rows, weighted))
    assert plain != other


def test_suggestion_stays_well_below_the_end_of_the_sweep() -> None:
    """Where the sweep ends while the loss still falls, six times the steepest rate would lie beyond it."""
    found = find_learning_rate(digits_net("cpu"), DIGITS.train, most=2e-3)
    assert not found.diverged
    assert found.suggestion == pytest.approx(2e-3 / 3)


def test_a_loss_that_rises_again_but_not_above_its_start_ends_no_sweep() -> None:
    """Two rows learnt by heart: losses of 1e-4 that become 1e-3 are four times the least, and no explosion."""
    found = find_learning_rate(digits_net("cpu"), DIGITS.train.take(slice(2)), most=1e-1, steps=400)
    assert found.smoothed.min() < 0.05
    assert not found.diverged


def test_a_sweep_shows_its_suggestion_instead_of_all_its_numbers() -> None:
    found = RangeTest(np.geomspace(1e-3, 1, 4), np.ones(4), np.ones(4), suggestion=0.0123, diverged=True)
    assert repr(found) == "RangeTest(suggestion=0.012, diverged=True, steps=4)"
