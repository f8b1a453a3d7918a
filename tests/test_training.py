"""The training loop: what it records, in which order it learns, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnn import (
    MLP,
    DataError,
    DivergenceError,
    ReduceOnPlateau,
    Regularization,
    Samples,
    evaluate,
    optimizers,
    to_host,
    train,
)
from xpnn.epochs import Progress

GENERATOR = np.random.default_rng(6)
X = GENERATOR.normal(size=(50, 4))
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)


def test_records_of_the_epochs(device: str) -> None:
    net = MLP([4, 16, 3], device=device, dtype="float64", seed=1)
    records = list(train(net, Samples(X, LABELS), validation=(X[:20], LABELS[:20]), epochs=30, batch_size=8))
    assert [record.number for record in records] == [*range(1, 31)]
    assert {record.step for record in records} == {"reference" if device == "cpu" else "captured"}
    assert records[-1].loss < records[0].loss / 2
    last = records[-1].validation
    assert last is not None
    assert last.accuracy == evaluate(net, (X[:20], LABELS[:20])).accuracy
    assert all(record.seconds > 0 for record in records)


def test_loss_and_accuracy_of_an_epoch_that_moves_nothing_are_those_of_evaluate(device: str) -> None:
    net = MLP([4, 16, 3], device=device, dtype="float64", seed=1)
    (record,) = train(net, (X, LABELS), epochs=1, batch_size=7, optimizer=optimizers.sgd(1e-30))
    found = evaluate(net, (X, LABELS))
    assert record.loss == pytest.approx(found.loss, rel=1e-13)  # sums of 50 terms in another order
    assert record.accuracy == found.accuracy


def test_same_seed_same_run_other_seed_other_order(device: str) -> None:
    def trained(seed: int) -> Any:
        net = MLP([4, 5, 3], device=device, seed=1)
        net.train(X, LABELS, epochs=2, batch_size=8, seed=seed)
        return to_host(net.parameters)

    np.testing.assert_array_equal(trained(3), trained(3))
    assert not np.array_equal(trained(3), trained(4))


def test_without_shuffling_the_order_given_is_kept(device: str) -> None:
    together, apart = (MLP([4, 5, 3], device=device, dtype="float64", seed=1) for _ in range(2))
    sgd = optimizers.sgd(0.3)
    together.train(X, LABELS, epochs=1, batch_size=1, optimizer=sgd, shuffle=False)
    for i in range(len(X)):
        apart.train(X[i : i + 1], LABELS[i : i + 1], epochs=1, batch_size=1, optimizer=sgd)
    # the CPU's fast step rounds otherwise for a block of rows than for one
    np.testing.assert_allclose(to_host(together.parameters), to_host(apart.parameters), rtol=1e-10, atol=1e-13)


def test_every_epoch_visits_every_row_once_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from xpnn.steps import ReferenceStep

    seen: list[Any] = []
    call = ReferenceStep.__call__

    def watched(self: ReferenceStep, rows: Any) -> None:
        seen.extend(rows.tolist())
        call(self, rows)

    monkeypatch.setattr(ReferenceStep, "__call__", watched)
    MLP([4, 3]).train(X, LABELS, epochs=2, batch_size=8)
    first, second = seen[:50], seen[50:]
    assert sorted(first) == sorted(second) == [*range(50)]
    assert first != second != [*range(50)] != first


def test_batch_larger_than_the_data_is_the_whole_of_it(device: str) -> None:
    nets = [MLP([4, 3], device=device, seed=1) for _ in range(2)]
    for net, size in zip(nets, (50, 5000), strict=True):
        net.train(X, LABELS, epochs=2, batch_size=size, shuffle=False)
    np.testing.assert_array_equal(*(to_host(net.parameters) for net in nets))


def test_regression_finds_a_linear_map(device: str) -> None:
    W = np.array([[1.0, -2, 0.5, 0], [0, 1, 1, -1]])
    net = MLP([4, 2], output="identity", device=device, dtype="float64", seed=1)
    records = net.train(X, X @ W.T + 3, epochs=300, batch_size=10, optimizer=optimizers.sgd(0.05))
    assert records[-1].accuracy is None
    np.testing.assert_allclose(to_host(net.layers[0].W), W, atol=1e-6)  # the exact solution has a loss of 0
    assert net.layers[0].b is not None
    np.testing.assert_allclose(to_host(net.layers[0].b), [3, 3], atol=1e-6)


def test_progress_after_every_step(device: str) -> None:
    seen: list[tuple[int, int, int | None]] = []

    def note(progress: Progress) -> None:
        seen.append((progress.epoch, progress.rows, progress.totals()[1]))

    net = MLP([4, 3], device=device)
    records = list(train(net, (X, LABELS), epochs=2, batch_size=20, progress=note, fast=False))
    assert [(epoch, rows) for epoch, rows, _ in seen] == [(1, 20), (1, 40), (1, 50), (2, 20), (2, 40), (2, 50)]
    assert [(seen[i][2] or 0) / 50 for i in (2, 5)] == [record.accuracy for record in records]


def test_schedule_runs_on_over_the_epochs(device: str) -> None:
    rates: list[float] = []

    def schedule(steps: Any) -> Any:
        rates.extend(steps)
        return 0.1 / (1 + steps)

    MLP([4, 3], device=device).train(X, LABELS, epochs=3, batch_size=20, optimizer=optimizers.sgd(schedule))
    assert rates == [*range(9)]


@pytest.mark.parametrize("output", ["softmax", "identity"])
def test_divergence_is_said_not_trained_through(device: str, output: str) -> None:
    net = MLP([4, 16, 3], output=output, hidden="identity", device=device, seed=1)
    before = to_host(net.parameters).copy()
    with pytest.raises(DivergenceError, match=r"diverged in epoch 1, step [123] of 10: .*rate of 1e\+30 .* try 1e\+29"):
        net.train(X * 1e3, LABELS, epochs=3, batch_size=5, optimizer=optimizers.sgd(1e30))
    np.testing.assert_array_equal(to_host(net.parameters), before)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("loss", ["poisson", "squared-error"])
def test_a_count_that_overflows_is_divergence(device: str, loss: str, fast: bool) -> None:
    """After the first update exp is infinite; nothing may cut it off, or the run would seem sound."""
    net = MLP([4, 1], output="exp", loss=loss, device=device, seed=1)
    rows = X[:1].repeat(50, axis=0), np.full((50, 1), 1e6)
    with pytest.raises(DivergenceError, match="diverged in epoch 1, step 2 of 50: the loss is no longer a finite"):
        net.train(*rows, epochs=3, batch_size=1, optimizer=optimizers.sgd(1.0), fast=fast)


def test_a_run_that_diverges_stops_in_the_middle_of_its_epoch(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("xpnn.epochs.SECONDS_BETWEEN_LOOKS", 0.0)
    steps: list[int] = []
    net = MLP([4, 16, 3], output="identity", hidden="identity", device=device, seed=1)
    with pytest.raises(DivergenceError, match="step 2 of 50"):
        list(
            train(
                net,
                (X * 1e3, LABELS),
                batch_size=1,
                fast=False,
                optimizer=optimizers.sgd(1e15),
                progress=lambda p: steps.append(p.rows),
            )
        )
    assert steps == [1, 2]


def test_divergence_names_its_step_and_leaves_the_last_good_epoch(device: str) -> None:
    """A rate that explodes in the fourth step of the second epoch."""

    def schedule(steps: Any) -> Any:
        return np.where(steps == 13, 1e38, 0.01)

    net, good = (MLP([4, 16, 3], device=device, seed=1) for _ in range(2))
    options: dict[str, Any] = {"batch_size": 5, "optimizer": optimizers.sgd(schedule)}
    good.train(X, LABELS, epochs=1, **options)
    epochs = train(net, (X, LABELS), epochs=3, **options)
    next(epochs)
    # the update of step 4 leaves weights of which the loss of step 5 is made
    with pytest.raises(DivergenceError, match=r"epoch 2, step 5 of 10: .*rate of 1e\+38 "):
        next(epochs)
    np.testing.assert_array_equal(to_host(net.parameters), to_host(good.parameters))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number of 1 or more, not 1.5"),
        ({"batch_size": "32"}, "batch_size must be a whole number of 1 or more, not '32'"),
        ({"seed": -1}, "seed must be a whole number of 0 or more"),
        ({"seed": None}, "seed must be a whole number of 0 or more, not None"),
        ({"error_rule": "chain"}, "choose from gradient, book"),
        ({"label_smoothing": 1.0}, "label_smoothing must be 0 or more and below 1"),
        ({"class_weight": "even"}, "unknown class_weight 'even'"),
        ({"class_weight": {0: 2}}, "unknown class_weight {0: 2}: give 'balanced', or a number for each class"),
        ({"class_weight": [1, 2]}, "class_weight must be 3 finite numbers"),
    ],
)
def test_options_that_cannot_work_are_refused_before_the_first_epoch(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(MLP([4, 3]), (X, LABELS), **options)


def test_a_run_says_that_nothing_is_learnt_until_a_loop_asks_for_it() -> None:
    run = train(MLP([4, 3]), (X, LABELS), epochs=2)
    assert repr(run) == "<0 of 2 epochs learnt; a loop over this learns the others>"
    next(run)
    assert repr(run).startswith("<1 of 2 epochs learnt")


def test_validation_rows_that_do_not_fit_are_refused_before_the_first_epoch(device: str) -> None:
    for validation, message in (
        ((X[:, :3], LABELS), "this net takes"),
        ((X[:0], LABELS[:0]), "no rows to validate on"),
        (Samples(X), "there are inputs alone to validate on: this needs targets"),
    ):
        with pytest.raises(DataError, match=message):
            train(MLP([4, 3], device=device), (X, LABELS), validation=validation)


@pytest.mark.parametrize("optimizer", ["adam", optimizers.adam])
def test_an_optimizer_that_is_none(optimizer: Any) -> None:
    with pytest.raises(TypeError, match=r"optimizer must be one of xpnn\.optimizers, called, such as adam\(0\.001\)"):
        train(MLP([4, 3]), (X, LABELS), optimizer=optimizer)


def test_a_rate_beyond_float32_diverges_without_a_warning(device: str) -> None:
    with pytest.raises(DivergenceError):
        MLP([4, 3], device=device).train(X, LABELS, epochs=1, optimizer=optimizers.sgd(1e39))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ((X[:0], LABELS[:0]), "no rows to train on"),
        ((X, LABELS[:-1]), "50 inputs but 49 targets"),
        ((X[:, :3], LABELS), "this net takes"),
        ((X, LABELS + 1), "labels must lie in 0-2"),
        (Samples(X), "needs targets"),
    ],
)
def test_rows_that_do_not_fit(device: str, samples: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        train(MLP([4, 3], device=device), samples)


def test_a_weight_of_k_is_the_row_k_times(device: str) -> None:
    counts = np.arange(50) % 4
    repeated = np.repeat(np.arange(50), counts)
    nets = [MLP([4, 6, 3], device=device, dtype="float64", seed=1) for _ in range(2)]
    options: dict[str, Any] = {"epochs": 3, "batch_size": 100, "label_smoothing": 0.1}
    # the mean is over the rows of the batch, so that the repeated ones need another rate
    weighted = list(train(nets[0], Samples(X, LABELS, counts), optimizer=optimizers.sgd(0.1), **options))
    rate = 0.1 * len(repeated) / 50
    again = nets[1].train(X[repeated], LABELS[repeated], optimizer=optimizers.sgd(rate), **options)
    for record, other in zip(weighted, again, strict=True):
        assert record.loss == pytest.approx(other.loss, rel=1e-12)
    ours, theirs = (to_host(net.parameters) for net in nets)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


def test_balanced_classes_lift_the_rare_one(device: str) -> None:
    generator = np.random.default_rng(8)
    labels = (np.arange(400) % 20 == 0).astype(int)
    x = generator.normal(size=(400, 2)) + labels[:, None]
    recalls = []
    for class_weight in (None, "balanced"):
        net = MLP([2, 2], device=device, seed=1)
        net.train(x, labels, epochs=20, optimizer=optimizers.adam(0.01), class_weight=class_weight)
        recalls.append(evaluate(net, (x, labels)).per_class()["recall"][1])
    assert recalls[0] < 0.2
    assert recalls[1] > 0.6


def test_smoothing_pulls_outputs_from_certainty(device: str) -> None:
    x, labels = np.eye(3), np.arange(3)
    for output, expected in (("softmax", 0.8 + 0.2 / 3), ("sigmoid", 0.9)):
        net = MLP([3, 3], output=output, device=device, dtype="float64", seed=1)
        net.train(x, labels, epochs=400, optimizer=optimizers.adam(0.1), label_smoothing=0.2)
        np.testing.assert_allclose(np.diag(to_host(net.query(x))), expected, atol=1e-3)


def test_progress_and_record_of_weighted_rows_agree(device: str) -> None:
    seen: list[float] = []
    samples = Samples(X, LABELS, np.linspace(0, 2, 50))
    net = MLP([4, 3], device=device, dtype="float64")
    (record,) = train(net, samples, epochs=1, progress=lambda progress: seen.append(progress.totals()[0]))
    assert seen[-1] / 50 == record.loss


def test_the_seed_is_that_of_dropout_too(device: str) -> None:
    """Without shuffling, and from the same weights, the seed decides the masks alone."""
    results = []
    for seed in (1, 1, 2):
        net = MLP([4, 30, 3], device=device, seed=0)
        net.train(X, LABELS, epochs=2, shuffle=False, seed=seed, regularization=Regularization(dropout=0.5))
        results.append(to_host(net.parameters))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_plateau_lowers_the_rate_by_the_validation_loss_and_goes_on_where_it_was() -> None:
    """Validation rows with wrong labels: their loss rises while the training loss falls."""
    wrong = Samples(X, (LABELS + 1) % 3)
    options: dict[str, Any] = {"epochs": 4, "batch_size": 10, "optimizer": optimizers.sgd(0.1)}
    plateau = ReduceOnPlateau(factor=0.5, patience=0)
    net = MLP([4, 16, 3], seed=1)
    epochs = list(train(net, (X, LABELS), validation=wrong, plateau=plateau, **options))
    assert [epoch.rate for epoch in epochs] == [0.1, 0.1, 0.05, 0.025]
    assert plateau.current == 0.125
    assert next(train(net, (X, LABELS), plateau=plateau, **options)).rate == 0.1 * 0.125
    falling = list(train(MLP([4, 16, 3], seed=1), (X, LABELS), plateau=ReduceOnPlateau(0.5, 0), **options))
    assert [epoch.rate for epoch in falling] == [0.1] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plateau": 5}, "plateau must be a ReduceOnPlateau"),
        ({"plateau": ReduceOnPlateau}, "plateau must be a ReduceOnPlateau"),
        ({"resume": "run/checkpoint"}, r"resume must be a state, such as load_state\(path\)\.state, not a str"),
        ({"regularization": None}, "regularization must be a Regularization"),
        ({"regularization": {"l2": 0.1}}, "regularization must be a Regularization"),
    ],
)
def test_arguments_of_another_type_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        train(MLP([4, 3]), (X, LABELS), **options)


def test_an_epoch_that_is_broken_off_is_taken_back(device: str) -> None:
    net = MLP([4, 16, 3], device=device, seed=1)

    def progress(made: Progress) -> None:
        if made.epoch == 2 and made.rows > 20:
            raise KeyboardInterrupt

    epochs = train(net, (X, LABELS), epochs=3, batch_size=10, progress=progress, average_decay=0.9)
    next(epochs)
    state = to_host(net.parameters).copy()
    with pytest.raises(KeyboardInterrupt):
        next(epochs)
    np.testing.assert_array_equal(to_host(net.parameters), state)


def test_float_targets_are_smoothed_as_labels_are(device: str) -> None:
    nets = [MLP([4, 16, 3], device=device, dtype="float64", seed=1) for _ in range(3)]
    for net, targets, smoothing in zip(nets, (LABELS, np.eye(3)[LABELS], LABELS), (0.3, 0.3, 0.0), strict=True):
        net.train(X, targets, epochs=2, label_smoothing=smoothing)
    # the same targets to rounding, made in another order
    np.testing.assert_allclose(to_host(nets[0].parameters), to_host(nets[1].parameters), rtol=1e-9)
    assert not np.allclose(to_host(nets[0].parameters), to_host(nets[2].parameters), rtol=1e-3)
