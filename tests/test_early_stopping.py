"""Early stopping: when it stops, and with which parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from xpnn import (
    MLP,
    DivergenceError,
    Epoch,
    Evaluation,
    early_stopping,
    evaluate,
    load,
    optimizers,
    record_of,
    to_host,
    train,
)
from xpnn.early_stopping import best_record

DIGITS = load("digits")


def run_of(net: MLP, losses: list[float], accuracies: list[float] | None = None) -> Iterator[Epoch]:
    """A made-up run: after epoch k every parameter is k."""
    for number, loss in enumerate(losses, 1):
        net.parameters.fill(number)
        accuracy = accuracies[number - 1] if accuracies else 0.5
        validation = Evaluation(4, loss, None, r2=-loss)
        yield Epoch(number, 1 / number, accuracy, validation, 0.1, "reference", 0.1)


@pytest.mark.parametrize(
    ("options", "losses", "stopped_after", "best"),
    [
        ({"patience": 2}, [5, 4, 3, 4, 4, 1, 1], 5, 3),
        ({"patience": 1}, [5, 6, 1], 2, 1),
        ({"patience": 3}, [5, 4, 4, 3, 3, 3, 2], 7, 7),
        ({"patience": 2}, [3, 3, 3, 3], 3, 1),  # the same again is no better
        ({"patience": 2, "minimum_change": 0.5}, [5, 4.6, 4.4, 4.0, 4.2], 5, 3),
        ({"patience": 9}, [3, 1, 2], 3, 2),  # the run ends before
        ({"patience": 2}, [float("nan"), float("nan"), 1], 3, 3),
        ({"patience": 2, "metric": "validation_r2"}, [5, 4, 3, 4, 4, 1], 5, 3),
        ({"patience": 2, "metric": "loss"}, [1, 1, 1, 1], 4, 4),
        ({"patience": 2, "restore_best": False}, [5, 4, 3, 4, 4, 1], 5, 5),
    ],
)
def test_stops_after_patience_and_restores_the_best(
    device: str, options: dict[str, object], losses: list[float], stopped_after: int, best: int
) -> None:
    net = MLP([2, 2], device=device)
    epochs = list(early_stopping(run_of(net, losses), net, **options))  # type: ignore[arg-type]  # of many types
    assert [epoch.number for epoch in epochs] == list(range(1, stopped_after + 1))
    np.testing.assert_array_equal(to_host(net.parameters), best)


def test_accuracy_is_better_when_higher(device: str) -> None:
    net = MLP([2, 2], device=device)
    run = run_of(net, [1] * 5, [0.5, 0.7, 0.6, 0.6, 0.9])
    assert len(list(early_stopping(run, net, metric="accuracy", patience=2))) == 4
    np.testing.assert_array_equal(to_host(net.parameters), 2)


def test_real_run_that_learns_by_heart_is_stopped_at_its_best(device: str) -> None:
    net = MLP([64, 100, 10], device=device)
    few, test = DIGITS.train.take(slice(60)), DIGITS.test
    assert test is not None
    epochs = train(net, few, validation=test, epochs=400, optimizer=optimizers.adam(0.02))
    seen = list(early_stopping(epochs, net, patience=5))
    losses = [epoch.validation.loss for epoch in seen if epoch.validation]
    assert len(seen) < 400
    assert len(losses) - 1 - int(np.argmin(losses)) == 5
    assert evaluate(net, test).loss == min(losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be a whole number of 1 or more"),
        ({"patience": 2.5}, "patience must be a whole number of 1 or more"),
        ({"minimum_change": -1.0}, "minimum_change must be a number of 0 or more"),
        ({"metric": "validation_accuracy"}, "no 'validation_accuracy' to stop by; this run has loss, accuracy, valid"),
        ({"metric": "seconds"}, "no 'seconds' to stop by"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], message: str) -> None:
    net = MLP([2, 2])
    with pytest.raises(ValueError, match=message):
        list(early_stopping(run_of(net, [1, 2]), net, **options))  # type: ignore[arg-type]  # of many types


def test_best_weights_are_kept_where_an_error_ends_the_run(device: str) -> None:
    net = MLP([2, 2], device=device)

    def breaking() -> Iterator[Epoch]:
        yield from run_of(net, [5, 3, 4])
        raise DivergenceError("in epoch 4")

    with pytest.raises(DivergenceError):
        list(early_stopping(breaking(), net))
    np.testing.assert_array_equal(to_host(net.parameters), 2)


def test_nothing_is_restored_behind_the_back_of_who_asks_for_no_more_epochs(device: str) -> None:
    net = MLP([2, 2], device=device)
    run = early_stopping(run_of(net, [1, 2, 3]), net)
    for epoch in run:
        if epoch.number == 2:
            break
    del run
    np.testing.assert_array_equal(to_host(net.parameters), 2)


@pytest.mark.parametrize("minimum_change", [0.0, 0.5])
def test_best_epoch_is_the_one_that_is_restored(minimum_change: float) -> None:
    net = MLP([2, 2])
    epochs = list(early_stopping(run_of(net, [5, 4.6, 4.4, 4.4, 4.0]), net, minimum_change=minimum_change))
    best = best_record([record_of(epoch) for epoch in epochs], "validation_loss", minimum_change)
    np.testing.assert_array_equal(net.parameters, best["epoch"])
