"""L-BFGS: SciPy's method on the step's own loss and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from xpnn import MLP, DataError, DivergenceError, Regularization, evaluate, load, optimizers, train_lbfgs
from xpnn.lbfgs import _Objective
from xpnn.samples import Samples

DIGITS = load("digits")


def test_logistic_regression_reaches_the_optimum_of_scikit_learn() -> None:
    """A net without hidden layers is convex: both must find the same minimum."""
    rows = DIGITS.train.take(slice(300))
    assert rows.targets is not None
    l2 = 0.01
    net = MLP([64, 10], dtype="float64")
    records = train_lbfgs(net, rows, epochs=2000, regularization=Regularization(l2=l2))
    oracle = LogisticRegression(C=1 / (l2 * len(rows)), tol=1e-10, max_iter=10_000).fit(rows.inputs / 255, rows.targets)
    np.testing.assert_allclose(net.query(rows.inputs), oracle.predict_proba(rows.inputs / 255), atol=2e-3)
    assert len(records) > 10
    assert records[-1].loss == pytest.approx(evaluate(net, rows).loss, rel=1e-12)  # without the penalty


def test_records_are_those_of_the_iterates_and_end_where_the_loss_does() -> None:
    net = MLP([64, 30, 10], dtype="float64", seed=1)
    records = train_lbfgs(net, DIGITS.train, validation=DIGITS.test, epochs=60)
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert 20 < len(records) <= 60
    last = records[-1]
    assert last.loss == pytest.approx(evaluate(net, DIGITS.train).loss, rel=1e-12)
    assert last.accuracy == evaluate(net, DIGITS.train).accuracy
    assert last.validation is not None
    assert DIGITS.test is not None
    assert last.validation.loss == evaluate(net, DIGITS.test).loss
    assert (last.validation.accuracy or 0) > 0.93


def test_no_point_is_worked_out_twice_and_passes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[bytes] = []
    worked_out = _Objective._worked_out

    def counted(objective: _Objective, parameters: Any) -> Any:
        points.append(parameters.tobytes())
        return worked_out(objective, parameters)

    monkeypatch.setattr(_Objective, "_worked_out", counted)
    words: list[str] = []
    net = MLP([64, 30, 10], dtype="float64", seed=1)
    records = train_lbfgs(net, DIGITS.train, epochs=100, passes=12, say=words.append)
    assert len(points) == len(set(points)) == 13  # SciPy looks at the limit after a pass
    assert len(records) < 12
    assert "EVALUATIONS EXCEEDS LIMIT" in words[0]


def test_it_ends_where_the_gradient_is_as_small_as_asked_for() -> None:
    lengths = []
    for tolerance in (1e-2, 1e-4):
        words: list[str] = []
        net = MLP([64, 10], dtype="float64", seed=1)
        records = train_lbfgs(
            net, DIGITS.train, regularization=Regularization(l2=0.01), gradient_tolerance=tolerance, say=words.append
        )
        assert [word.replace("_", " ") for word in words] == ["CONVERGENCE: NORM OF PROJECTED GRADIENT <= PGTOL"]
        lengths.append(len(records))
    assert lengths[0] < lengths[1]


def test_float32_is_trained_too_and_weights_count() -> None:
    rows = DIGITS.train.take(slice(200))
    net = MLP([64, 30, 10], seed=1)
    train_lbfgs(net, rows, epochs=40, class_weight=[1] * 5 + [0] * 5)
    assert set(net.predict(rows.inputs).tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regularization": Regularization(dropout=0.5)}, "l2 alone"),
        ({"regularization": Regularization(l1=0.5)}, "l2 alone"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more"),
        ({"passes": 0}, "passes must be a whole number of 1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_lbfgs(MLP([64, 10]), DIGITS.train, **options)


@pytest.mark.usefixtures("fake_cupy")
def test_a_net_on_the_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match="runs on the CPU, and the net is on cuda:0"):
        train_lbfgs(MLP([64, 10], device="cuda"), DIGITS.train)


def test_a_start_without_a_finite_loss_is_said() -> None:
    net = MLP([4, 3], output="identity")
    with pytest.raises(DivergenceError, match="no finite number at the start"):
        train_lbfgs(net, Samples(np.full((9, 4), 1e25), np.zeros(9, dtype=int)))


def test_adam_is_no_better_on_small_data() -> None:
    """What it is there for: on a hundred rows it finds a lower loss than Adam does in as many passes."""
    rows = DIGITS.train.take(slice(100))
    one, other = MLP([64, 20, 10], dtype="float64", seed=3), MLP([64, 20, 10], dtype="float64", seed=3)
    train_lbfgs(one, rows, epochs=50)
    other.train(rows.inputs, rows.targets, epochs=100, batch_size=100, optimizer=optimizers.adam(0.01))
    assert evaluate(one, rows).loss < evaluate(other, rows).loss


def test_loss_and_gradient_belong_together_whatever_the_weights_are() -> None:
    generator = np.random.default_rng(3)
    rows = Samples(generator.normal(size=(30, 4)), generator.integers(0, 3, 30), np.full(30, 10.0))
    net = MLP([4, 5, 3], hidden="tanh", dtype="float64")
    objective = _Objective(net, rows, Regularization(l2=0.3), 0.1, [1, 2, 0.5])
    start, direction, h = generator.normal(size=net.parameters.shape), generator.normal(size=net.parameters.shape), 1e-6
    numeric = (objective(start + h * direction)[0] - objective(start - h * direction)[0]) / (2 * h)
    assert objective(start)[1] @ direction == pytest.approx(numeric, rel=1e-7)
    plain = _Objective(net, rows, Regularization(l2=0.3), 0.0, [1, 2, 0.5])
    assert plain(start)[0] != objective(start)[0]


def test_a_start_that_cannot_be_bettered_is_one_record() -> None:
    net = MLP([4, 3], dtype="float64")
    net.parameters.fill(0)
    before = net.parameters.copy()
    (record,) = train_lbfgs(net, (np.zeros((6, 4)), np.array([0, 1, 2] * 2)))
    assert record.loss == pytest.approx(np.log(3), rel=1e-12)
    np.testing.assert_array_equal(net.parameters, before)


def test_validation_rows_that_do_not_fit_are_found_first() -> None:
    net = MLP([64, 10])
    before = net.parameters.copy()
    with pytest.raises(DataError, match="this net takes"):
        train_lbfgs(net, DIGITS.train, validation=(np.zeros((2, 3)), np.zeros(2, dtype=int)))
    np.testing.assert_array_equal(net.parameters, before)
