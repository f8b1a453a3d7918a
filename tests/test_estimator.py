"""The scikit-learn estimators: scikit-learn's own checks, its MLP as the oracle, and its tools around ours."""

from __future__ import annotations

import inspect
import itertools
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network as theirs
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import xpnn.sparse
from xpnn import Epoch, callbacks, schedules, to_host
from xpnn.estimator import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # few epochs are enough here
]

IRIS = load_iris(return_X_y=True)
BINARY = make_classification(150, 10, random_state=1)
LABELS = make_multilabel_classification(150, random_state=2)
SERIES = make_regression(150, 8, random_state=3)
SEVERAL = make_regression(150, 8, n_targets=3, random_state=3)
SETS: dict[str, tuple[str, NDArray[Any], NDArray[Any]]] = {
    "classes": ("MLPClassifier", StandardScaler().fit_transform(IRIS[0]), IRIS[1]),
    "two classes": ("MLPClassifier", *BINARY),
    "labels": ("MLPClassifier", LABELS[0] / 10, LABELS[1]),
    "number": ("MLPRegressor", SERIES[0], SERIES[1] / 100),
    "numbers": ("MLPRegressor", SEVERAL[0], SEVERAL[1] / 100),
}
GENERATOR = np.random.default_rng(4)
COUNTS = {  # learnt with the loss poisson
    name: ("MLPRegressor", SEVERAL[0], GENERATOR.poisson(np.exp(SEVERAL[1][:, columns] / 300)))
    for name, columns in (("count", 0), ("counts", slice(None)))
}
OURS: dict[str, Any] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
ALL = pytest.mark.parametrize("name", SETS)
QUICK: dict[str, Any] = {"max_iter": 5, "random_state": 0, "hidden_layer_sizes": (7, 5)}


def answers(model: Any, x: Any) -> NDArray[Any]:
    outputs: NDArray[Any] = model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)
    return outputs


def bits(model: Any) -> bytes:
    return np.array(to_host(model.net_.parameters)).tobytes()


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        MLPClassifier(hidden_layer_sizes=20, learning_rate_init=0.02, max_iter=40),
        MLPClassifier(solver="lbfgs", max_iter=50),
        MLPRegressor(hidden_layer_sizes=20, learning_rate_init=0.02, max_iter=40),
        MLPRegressor(solver="sgd", hidden_layer_sizes=10, learning_rate_init=0.05, max_iter=40, loss="huber"),
        MLPRegressor(hidden_layer_sizes=20, learning_rate_init=0.01, max_iter=60, loss="poisson"),
    ],
    expected_failed_checks=lambda estimator: (
        {"check_regressor_multioutput": "its targets are negative"} if estimator.loss == "poisson" else {}
    ),
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("name", OURS)
def test_parameters_have_scikit_learns_names_and_defaults(name: str) -> None:
    new = {"loss", "class_weight", "validation_data", "schedule", "callback", "dropout", "device", "dtype"}
    ours = inspect.signature(OURS[name]).parameters
    expected = inspect.signature(getattr(theirs, name)).parameters
    assert ours.keys() - expected.keys() <= new
    assert expected.keys() <= ours.keys()
    assert {key: ours[key].default for key in expected} == {key: expected[key].default for key in expected}


RUNS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate_init": 0.01, "epsilon": 1e-3},
    "in batches": {"batch_size": 50, "shuffle": False},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.05, "activation": "logistic"},
    "momentum": {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False, "activation": "tanh"},
    "invscaling": {"solver": "sgd", "momentum": 0, "learning_rate": "invscaling", "learning_rate_init": 0.3},
    "adaptive": {"solver": "sgd", "momentum": 0, "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True, "batch_size": "auto", "n_iter_no_change": 3, "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs", "activation": "tanh", "max_iter": 15},
    "lbfgs to a tolerance": {"solver": "lbfgs", "activation": "tanh", "tol": 0.03},
}


# Not lbfgs for several numbers: scikit-learn's loss is their mean there, and its gradient that of their sum.
@pytest.mark.parametrize(
    ("run", "name"),
    [pair for pair in itertools.product(RUNS, SETS | COUNTS) if (pair[0][:5], pair[1]) != ("lbfgs", "numbers")],
)
def test_a_run_is_scikit_learns_but_for_rounding(run: str, name: str) -> None:
    kind, x, y = (SETS | COUNTS)[name]
    settings = {"alpha": 0.5, "batch_size": len(x), "max_iter": 30, "random_state": 3} | RUNS[run]
    settings |= {"loss": "poisson"} if name in COUNTS else {}
    weights = None if run in ("in batches", "early stopping") else np.random.default_rng(0).integers(1, 4, len(x))
    expected = getattr(theirs, kind)(**settings).fit(x, y, sample_weight=weights)
    found = OURS[kind](**settings).fit(x, y, sample_weight=weights)

    np.testing.assert_allclose(answers(found, x), answers(expected, x), rtol=1e-9, atol=1e-12)
    for attribute in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(found, attribute) == getattr(expected, attribute)
    for ours, other in zip(found.coefs_ + found.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-7, atol=1e-9)  # of thirty updates' rounding
    assert found.loss_ == pytest.approx(expected.loss_, rel=1e-3 if run == "in batches" else 1e-9)  # see `_descend`
    if found.solver != "lbfgs":
        assert found.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-3 if run == "in batches" else 1e-9)
        for attribute in ("validation_scores_", "best_validation_score_", "best_loss_"):
            other = getattr(expected, attribute)
            assert getattr(found, attribute) == (None if other is None else pytest.approx(other, rel=1e-3))
        assert found.t_ == expected.t_
    if found.solver == "sgd":
        assert found.learning_rate_ == pytest.approx(expected._optimizer.learning_rate)


@ALL
def test_a_weight_is_as_good_as_so_many_rows(name: str) -> None:
    kind, x, y = SETS[name]
    counts = np.random.default_rng(1).integers(0, 4, len(x))
    settings = {"alpha": 1.0, "batch_size": 10**6, "max_iter": 20, "random_state": 0}
    weighted = OURS[kind](**settings).fit(x, y, sample_weight=counts * 0.1)
    repeated = OURS[kind](**settings | {"alpha": 10.0}).fit(np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0))
    np.testing.assert_allclose(answers(weighted, x), answers(repeated, x), rtol=1e-9)
    assert weighted.loss_ == pytest.approx(repeated.loss_)
    alike = OURS[kind](**settings).fit(x, y)
    assert np.abs(answers(weighted, x) - answers(alike, x)).max() > 1e-3


def test_class_weights_multiply_the_rows_own() -> None:
    _, x, y = SETS["classes"]
    x, y = x[30:], y[30:]  # fewer of class 0
    own = np.linspace(1, 2, len(x))
    for class_weight in ("balanced", {0: 5.0, 2: 0.5}):
        found = MLPClassifier(**QUICK, class_weight=class_weight).fit(x, y, sample_weight=own)
        factors = compute_sample_weight(class_weight, y)
        assert bits(found) == bits(MLPClassifier(**QUICK).fit(x, y, sample_weight=own * factors))
        assert bits(found) != bits(MLPClassifier(**QUICK).fit(x, y, sample_weight=own))
    with pytest.raises(ValueError, match="partial_fit sees a part of the rows and can't balance them"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y)


def test_class_weights_of_classes_that_a_part_of_the_rows_lacks() -> None:
    for name, class_weight in (("classes", {0: 5.0, 2: 3.0}), ("labels", [{1: 5.0}, {}, {}, {}, {}])):
        _, x, y = SETS[name]
        part = y > 0 if name == "classes" else y[:, 0] == 0
        x, y, classes = x[part], y[part], range(3 if name == "classes" else 5)
        factors = np.where(y == 2, 3.0, 1.0) if name == "classes" else np.ones(len(y))
        found = MLPClassifier(**QUICK, class_weight=class_weight).partial_fit(x, y, classes=classes)
        assert bits(found) == bits(MLPClassifier(**QUICK).partial_fit(x, y, factors, classes))


@ALL
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_is_the_next_epoch_to_the_bit(name: str, solver: str) -> None:
    kind, x, y = SETS[name]
    settings = QUICK | {"solver": solver, "batch_size": 40, "dropout": 0.3}
    whole = OURS[kind](**settings | {"max_iter": 6}).fit(x, y)
    first = {"classes": np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])} if kind == "MLPClassifier" else {}
    model = OURS[kind](**settings)
    for _ in range(6):
        model.partial_fit(x, y, **first)
    assert bits(model) == bits(whole)
    assert model.loss_curve_ == whole.loss_curve_
    assert (model.n_iter_, model.t_) == (1, 6 * len(x))

    half = OURS[kind](**settings | {"max_iter": 3}).fit(x, y)
    half = pickle.loads(pickle.dumps(half))  # noqa: S301  # our own bytes
    for _ in range(3):
        half.partial_fit(x, y)
    assert bits(half) == bits(whole)


@ALL
def test_partial_fit_on_other_numbers_of_rows_is_scikit_learns(name: str) -> None:
    kind, x, y = SETS[name]
    settings: dict[str, Any] = {"random_state": 0, "batch_size": 30, "shuffle": False, "alpha": 0.1}
    first = {"classes": np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])} if kind == "MLPClassifier" else {}
    models = [getattr(theirs, kind)(**settings), OURS[kind](**settings)]
    for part in (slice(0, 30), slice(30, 120), slice(60, 150), slice(0, 60)):
        for model in models:
            model.partial_fit(x[part], y[part], **first)
    np.testing.assert_allclose(answers(models[1], x), answers(models[0], x), rtol=1e-9)


def test_partial_fit_starts_anew_where_the_solver_has_changed_and_needs_classes_first() -> None:
    _, x, y = SETS["two classes"]
    model = MLPClassifier(**QUICK).fit(x, y).set_params(solver="sgd")
    before = model.score(x, y)
    for _ in range(20):
        model.partial_fit(x, y)
    assert model.score(x, y) >= before
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(x, y)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="not in `self.classes_`: \\[7\\]"):
        model.partial_fit(x, np.where(y == 1, 7, 0))


@ALL
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_sparse_rows_are_learnt_as_dense_ones(monkeypatch: pytest.MonkeyPatch, name: str, form: str) -> None:
    kind, x, y = SETS[name]
    x = np.where(np.random.default_rng(0).random(x.shape) < 0.5, 0, x)
    rows = getattr(sparse, f"{form}_array")(x)
    settings = QUICK | {"batch_size": 16, "dropout": 0.2, "early_stopping": True}
    weights = np.linspace(0.5, 2, len(x))
    dense = OURS[kind](**settings).fit(x, y, sample_weight=weights)
    assert bits(OURS[kind](**settings).fit(rows, y, sample_weight=weights)) == bits(dense)

    sizes, of_scipy = [], sparse.csr_array.toarray

    def toarray(rows: Any) -> Any:
        sizes.append(rows.shape[0])
        return of_scipy(rows)

    monkeypatch.setattr(sparse.csr_array, "toarray", toarray)
    monkeypatch.setattr(xpnn.sparse, "BLOCK_BYTES", 40 * x.shape[1] * 8)
    blocks = OURS[kind](**settings).fit(rows, y, sample_weight=weights)
    np.testing.assert_allclose(blocks.net_.parameters, dense.net_.parameters, rtol=1e-9, atol=1e-12)
    assert blocks.loss_curve_ == pytest.approx(dense.loss_curve_)
    np.testing.assert_allclose(answers(blocks, rows), answers(dense, x), rtol=1e-9)
    assert max(sizes) <= 40 < len(x)  # so many rows fit
    settings = settings | {"early_stopping": False}
    more = OURS[kind](**settings).fit(rows, y).partial_fit(rows, y)
    assert bits(more) == bits(OURS[kind](**settings | {"max_iter": 6}).fit(rows, y))


@pytest.mark.parametrize("classes", [["cat", "dog"], ["a", "bee", "sea"], [False, True], [-5, 3, 99], [2.0, 1.0]])
@pytest.mark.parametrize("as_objects", [False, True])
def test_classes_are_answered_as_they_were_given(classes: list[Any], as_objects: bool) -> None:
    _, x, y = SETS["classes"]
    names = np.array(classes, dtype=object if as_objects and isinstance(classes[0], str) else None)[y % len(classes)]
    model = MLPClassifier(solver="lbfgs", max_iter=200, random_state=0).fit(x, names)
    assert model.classes_.tolist() == sorted(classes)
    said = model.predict(x)
    assert said.dtype == names.dtype
    assert np.mean(said == names) > 0.9
    proba = model.predict_proba(x)
    assert proba.shape == (len(x), len(classes))
    assert (model.classes_[proba.argmax(axis=1)] == said).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(model.predict_log_proba(x), np.log(proba))


@pytest.mark.parametrize("other", [1, None])
@pytest.mark.parametrize("place", [0, 5])
def test_classes_that_are_not_all_texts_are_named(other: Any, place: int) -> None:
    _, x, y = SETS["classes"]
    names = np.array(["a", "b", "c"], dtype=object)[y]
    names[place] = other
    with pytest.raises(ValueError, match=rf"`y` has {other} among texts: correct it, or give all classes as texts"):
        MLPClassifier().fit(x, names)


def test_labels_come_dense_or_sparse_and_one_class_is_always_right() -> None:
    _, x, y = SETS["labels"]
    dense = MLPClassifier(**QUICK).fit(x, y)
    assert bits(MLPClassifier(**QUICK).fit(x, sparse.csr_array(y))) == bits(dense)
    assert dense.predict(x).shape == y.shape
    one = MLPClassifier(**QUICK).fit(x, ["only"] * len(x))
    assert set(one.predict(x)) == {"only"}
    assert (one.predict_proba(x) == 1).all()
    assert one.predict_proba(x).shape == (len(x), 1)
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        MLPClassifier().fit(x, np.arange(2 * len(x)).reshape(-1, 2) % 3)
    with pytest.raises(ValueError, match="other labels than those learnt before"):
        dense.partial_fit(x, y[:, :3])


def test_in_pipelines_with_columns_of_tables() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=90), "weight": rng.normal(size=90), "kind": ["a", "b", "c"] * 30})
    y = np.where(table["kind"] == "a", "yes", "no")
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["size", "weight"]), ("kinds", OneHotEncoder(sparse_output=False), ["kind"])]
    ).set_output(transform="pandas")
    model = make_pipeline(columns, MLPClassifier(solver="lbfgs", random_state=0)).fit(table, y)
    assert model.score(table, y) == 1
    assert model[-1].feature_names_in_.tolist()[:2] == ["numbers__size", "numbers__weight"]
    with pytest.raises(ValueError, match="feature names"):
        model[-1].predict(columns.transform(table).iloc[:, ::-1])


def test_in_searches_and_cross_validation_in_other_processes() -> None:
    _, x, y = SETS["classes"]
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=30, learning_rate_init=0.02))
    grid = {"mlpclassifier__alpha": [1e-4, 100.0], "mlpclassifier__hidden_layer_sizes": [(20,)]}
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=3).fit(x, y)
    assert search.best_params_["mlpclassifier__alpha"] == 1e-4
    here = cross_val_score(search.best_estimator_, x, y, cv=3)
    assert here.mean() == pytest.approx(search.best_score_)
    assert here.mean() > 0.85


def test_calibration_and_clones() -> None:
    _, x, y = SETS["two classes"]
    model = MLPClassifier(random_state=0, max_iter=30, learning_rate_init=0.01, class_weight={0: 2})
    calibrated = CalibratedClassifierCV(model, cv=3).fit(x, y, sample_weight=np.ones(len(x)))
    assert calibrated.score(x, y) > 0.8
    fitted = model.fit(x, y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(x)
    assert bits(copy.fit(x, y)) == bits(fitted)


@ALL
def test_pickling_keeps_answers_and_what_is_learnt_next(name: str) -> None:
    kind, x, y = SETS[name]
    model = OURS[kind](**QUICK).fit(x, y)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(answers(copy, x), answers(model, x))
    copy.coefs_[0][...] = 0  # a view of its own net, not of the other's
    assert answers(copy, x).tolist() != answers(model, x).tolist()
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert bits(copy.partial_fit(x, y)) == bits(model.partial_fit(x, y))


def test_validation_data_are_scored_and_used_by_early_stopping() -> None:
    _, x, y = SETS["classes"]
    settings = QUICK | {"max_iter": 100, "learning_rate_init": 0.05}
    scores: list[float] = []

    shuffled = np.random.default_rng(0).permutation(len(x))
    x, y = x[shuffled], np.array(["a", "b", "c"])[y[shuffled]]
    watched = MLPClassifier(**settings, validation_data=(x[100:], y[100:]))
    watched.callback = lambda epoch: scores.append(watched.score(x[100:], y[100:]))
    watched.fit(x[:100], y[:100])
    assert watched.validation_scores_ == scores
    assert watched.best_validation_score_ == max(scores)
    assert watched.best_loss_ == min(watched.loss_curve_)
    assert bits(watched) == bits(MLPClassifier(**settings).fit(x[:100], y[:100]))  # nothing but a record

    stopped = watched.set_params(early_stopping=True, callback=None, n_iter_no_change=5).fit(x[:100], y[:100])
    assert stopped.n_iter_ < 100
    assert stopped.t_ == 100 * stopped.n_iter_  # none of the rows was held out
    assert stopped.score(x[100:], y[100:]) == stopped.best_validation_score_ == max(stopped.validation_scores_)
    weighted = stopped.set_params(class_weight={"a": 100.0, "b": 1e-3}).fit(x[:100], y[:100])
    assert weighted.score(x[100:], y[100:]) == weighted.best_validation_score_  # it is as unweighted as `score`
    with pytest.raises(ValueError, match="validation_data must be a pair"):
        stopped.set_params(validation_data=(x,)).fit(x, y)
    for rows, problem in (
        (x[:, :3], "X has 3 features"),
        (x[:0], "Found array with 0"),
        (x * np.nan, "Input X contains"),
    ):
        with pytest.raises(ValueError, match=f"^validation_data: {problem}"):
            stopped.set_params(validation_data=(rows, y[: len(rows)])).fit(x, y)


def test_callback_sees_each_epoch(tmp_path: Path) -> None:
    _, x, y = SETS["number"]
    model, seen = MLPRegressor(max_iter=3, random_state=0), []
    model.callback = lambda epoch: seen.append((epoch.number, model.n_iter_, len(model.loss_curve_)))
    model.fit(x, y).partial_fit(x, y)
    assert seen == [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 1, 4)]
    model.set_params(callback=callbacks.csv_log(tmp_path / "log.csv")).fit(x, y)
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1, 2, 3]


def test_schedule_is_a_name_for_the_whole_run_or_a_function() -> None:
    _, x, y = SETS["number"]
    rates: list[float] = []
    settings = QUICK | {"batch_size": 50, "max_iter": 4, "learning_rate_init": 0.1}
    named = MLPRegressor(**settings, schedule="linear", callback=lambda epoch: rates.append(epoch.rate)).fit(x, y)
    assert rates == pytest.approx([0.1 * (1 - (3 * epoch - 1) / 12) for epoch in range(1, 5)])
    assert bits(named) == bits(MLPRegressor(**settings, schedule=schedules.linear(0.1, 12)).fit(x, y))
    assert bits(named) != bits(MLPRegressor(**settings).fit(x, y))
    with pytest.raises(ValueError, match="'schedule' parameter of MLPRegressor must be a str among"):
        MLPRegressor(schedule="falling").fit(x, y)


def test_dropout_and_losses_reach_the_net() -> None:
    _, x, y = SETS["two classes"]
    plain = MLPClassifier(**QUICK).fit(x, y)
    assert bits(MLPClassifier(**QUICK, dropout=0.5).fit(x, y)) != bits(plain)
    assert MLPClassifier(**QUICK, loss="focal:1.5").fit(x, y).net_.loss == "binary-focal:1.5"
    assert MLPClassifier(**QUICK, loss="focal").fit(*SETS["classes"][1:]).net_.loss == "focal"
    assert plain.net_.loss == "binary-cross-entropy"
    numbers = SETS["numbers"][1:]
    assert MLPRegressor(**QUICK, loss="absolute_error").fit(*numbers).net_.loss == "absolute-error"
    with pytest.raises(ValueError, match="unknown loss 'hinge': choose from"):
        MLPClassifier(loss="hinge").fit(x, y)
    with pytest.raises(ValueError, match="the penalty l2 alone"):
        MLPClassifier(solver="lbfgs", dropout=0.5).fit(x, y)
    with pytest.raises(ValueError, match="callback, schedule and validation_data go with the solvers sgd and adam"):
        MLPClassifier(solver="lbfgs", schedule="linear").fit(x, y)


@ALL
def test_devices_agree(device: str, name: str) -> None:
    kind, x, y = SETS[name]
    settings = QUICK | {"early_stopping": True, "dropout": 0.2, "batch_size": 40}
    model = OURS[kind](**settings, device=device).fit(x, y)
    assert model.net_.device.kind == device
    found = answers(model, x)
    assert type(found) is np.ndarray
    assert all(type(part) is np.ndarray for part in model.coefs_ + model.intercepts_)
    np.testing.assert_allclose(found, answers(OURS[kind](**settings).fit(x, y), x), rtol=1e-7, atol=1e-9)
    more = model.set_params(early_stopping=False).partial_fit(sparse.csr_array(x), y)
    assert more.loss_ < np.inf


def test_counts_are_answered_in_their_own_units_and_what_is_none_is_named(tmp_path: Path) -> None:
    _, x, y = COUNTS["counts"]
    settings = QUICK | {"loss": "poisson", "early_stopping": True}
    model = MLPRegressor(**settings).fit(x, y)
    assert (model.net_.output, model.net_.loss, model.out_activation_) == ("exp", "poisson", "exp")
    assert (model.predict(x) > 0).all()
    model.save(tmp_path / "counts.safetensors")
    again = MLPRegressor.load(tmp_path / "counts.safetensors")
    assert (again.predict(x) == model.predict(x)).all()
    assert again.out_activation_ == "exp"

    wrong = y.astype(float)
    wrong[140, 2] = -0.5  # where early stopping may set it aside
    message = "with poisson targets must be 0 or more, but row 140, counted from 0, has -0.5"
    for learn in (model.fit, model.set_params(early_stopping=False).partial_fit):
        with pytest.raises(ValueError, match=message):
            learn(x, wrong)
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**settings, validation_data=(x, wrong)).fit(x, y)
    assert MLPRegressor(**QUICK).fit(x, wrong).n_iter_ == 5


def test_counts_of_a_run_that_diverges() -> None:
    _, x, y = COUNTS["count"]
    settings: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 1e3, "loss": "poisson", "random_state": 0}
    with pytest.raises(ValueError, match="non-finite parameter weights.*training diverged in epoch 2"):
        MLPRegressor(**settings).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch"):
        MLPRegressor(**settings, early_stopping=True).fit(x, y)


@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64])
def test_dtype_is_that_of_the_rows_unless_it_is_asked_for(given: Any) -> None:
    _, x, y = SETS["number"]
    rows = (x * 10).astype(given)
    natural = np.float32 if given is np.float32 else np.float64
    model = MLPRegressor(**QUICK).fit(rows, y)
    assert model.predict(rows).dtype == model.coefs_[0].dtype == natural
    assert MLPRegressor(**QUICK, dtype="float32").fit(rows, y).predict(rows).dtype == np.float32
    assert MLPRegressor(**QUICK, dtype="float64").fit(rows, y).predict(rows).dtype == np.float64


def test_warm_start_goes_on_from_the_weights() -> None:
    _, x, y = SETS["classes"]
    settings: dict[str, Any] = {"random_state": 0, "alpha": 0.1, "warm_start": True, "max_iter": 7}
    expected, found = theirs.MLPClassifier(**settings), MLPClassifier(**settings)
    for _ in range(3):
        for model in (expected, found):
            model.fit(x, y)
    assert found.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-9)
    assert (found.t_, found.n_iter_) == (expected.t_, expected.n_iter_) == (3 * 7 * len(x), 7)
    found.set_params(early_stopping=True).fit(x, y)
    assert found.best_loss_ is None
    assert len(found.validation_scores_) == 7


CHANGES: dict[str, dict[str, Any]] = {
    "activation": {"activation": "tanh"},
    "loss": {"loss": "focal"},
    "dtype": {"dtype": "float32"},
    "solver": {"solver": "sgd"},
    "alpha": {"alpha": 5.0},
    "class_weight": {"class_weight": {0: 9.0}},
    "dropout": {"dropout": 0.5},
    "learning_rate_init": {"learning_rate_init": 0.1},
    "lbfgs": {"solver": "lbfgs"},  # the last: it has no partial_fit
}


@pytest.mark.parametrize(
    ("change", "more"),
    [*((change, "fit") for change in CHANGES), *((change, "partial_fit") for change in CHANGES)][:-1],
)
def test_a_parameter_that_has_changed_is_followed_from_the_same_weights(change: str, more: str) -> None:
    _, x, y = SETS["classes"]
    settings, asked = QUICK | {"warm_start": True, "batch_size": 40}, CHANGES[change]
    model = MLPClassifier(**settings).fit(x, y).set_params(**asked)
    unchanged = MLPClassifier(**settings).fit(x, y)
    weights = [np.array(part) for part in model.coefs_ + model.intercepts_]
    for one in (model, unchanged):
        getattr(one, more)(x, y)
    assert np.abs(answers(model, x) - answers(unchanged, x)).max() > 1e-9
    assert model.net_.hidden == (asked.get("activation", "relu"),) * 2
    assert model.net_.loss == asked.get("loss", "cross-entropy")
    assert model.net_.dtype == model.predict_proba(x).dtype == asked.get("dtype", "float64")

    fresh = MLPClassifier(**settings | asked).fit(x, y)  # its net; then the same weights
    for part, weight in zip(fresh.coefs_ + fresh.intercepts_, weights, strict=True):
        part[...] = weight
    if more == "fit":
        assert bits(fresh.fit(x, y)) == bits(model)


@ALL
def test_moments_go_on_in_another_dtype(name: str) -> None:
    kind, x, y = SETS[name]
    model = OURS[kind](**QUICK | {"batch_size": 40}).fit(x, y)
    copy = pickle.loads(pickle.dumps(model)).set_params(dtype="float32")  # noqa: S301  # our own bytes
    for _ in range(3):
        model.partial_fit(x, y)
        copy.partial_fit(x, y)
    np.testing.assert_allclose(answers(copy, x), answers(model, x), rtol=1e-3, atol=1e-4)  # 18 updates' rounding
    assert copy.net_.dtype == "float32"


def test_rows_of_another_dtype_are_learnt_in_the_nets_own() -> None:
    _, x, y = SETS["number"]
    model = MLPRegressor(**QUICK, warm_start=True).fit(x, y)
    assert model.fit(x.astype(np.float32), y).net_.dtype == "float64"


def test_a_device_that_has_changed_is_followed(device: str) -> None:
    _, x, y = SETS["classes"]
    model = MLPClassifier(**QUICK, warm_start=True).fit(x, y)
    here = MLPClassifier(**QUICK, warm_start=True).fit(x, y).partial_fit(x, y).partial_fit(x, y).fit(x, y)
    for asked, found in (("auto", "cpu"), (device, device)):  # auto was asked when the net was made
        model.set_params(device=asked).partial_fit(x, y)
        assert model.net_.device.kind == found
    model.set_params(device="cpu").fit(x, y)
    assert model.net_.device.kind == "cpu"
    np.testing.assert_allclose(answers(model, x), answers(here, x), rtol=1e-9)


@pytest.mark.parametrize("more", ["fit", "partial_fit"])
def test_weights_of_another_shape_are_not_gone_on_with(more: str) -> None:
    _, x, y = COUNTS["count"]
    model = MLPRegressor(**QUICK, warm_start=True).fit(x, y)
    before = bits(model)
    message = "ask for a net of the sizes (8, 9, 1), and the weights that warm_start and partial_fit go on with are of"
    with pytest.raises(ValueError, match=re.escape(f"{message} (8, 7, 5, 1): set them as they were, or fit with")):
        getattr(model.set_params(hidden_layer_sizes=9), more)(x, y)
    model.set_params(hidden_layer_sizes=np.array([7, 5]))
    with pytest.raises(ValueError, match=r"a net of the sizes \(8, .*, 2\), and the weights"):
        getattr(model, more)(x, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="a net of the output exp, and the weights .* are of identity"):
        getattr(model.set_params(loss="poisson"), more)(x, y)
    assert bits(model) == before
    assert model.set_params(hidden_layer_sizes=9, warm_start=False).fit(x, y).out_activation_ == "exp"


def test_a_run_that_diverges_is_an_error_or_with_early_stopping_a_warning() -> None:
    _, x, y = SETS["number"]
    settings: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 1e3, "activation": "identity", "random_state": 0}
    with pytest.raises(ValueError, match="non-finite parameter weights.*training diverged in epoch"):
        MLPRegressor(**settings).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch"):
        model = MLPRegressor(**settings, early_stopping=True).fit(x, y)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(x)).all()


def test_ctrl_c_keeps_what_was_learnt() -> None:
    _, x, y = SETS["number"]

    def interrupt(epoch: Epoch) -> None:
        if epoch.number == 4:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        model = MLPRegressor(random_state=0, callback=interrupt).fit(x, y)
    assert bits(model) == bits(MLPRegressor(random_state=0, max_iter=4).fit(x, y))
    model.set_params(callback=None).partial_fit(x, y)


def test_a_run_without_convergence_warns_where_fit_was_called() -> None:
    _, x, y = SETS["number"]
    for solver, message in (("adam", "adam has not converged in 2 epochs"), ("lbfgs", "lbfgs stopped after 2 iter")):
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            MLPRegressor(solver=solver, max_iter=2).fit(x, y)
        assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="EVALUATIONS"):
        MLPRegressor(solver="lbfgs", max_fun=3).fit(x, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0, got [5, 0]."),
        ({"hidden_layer_sizes": (5.5,)}, "sizes must be two or more positive whole numbers"),
        ({"hidden_layer_sizes": ((5,), 5)}, "sizes must be two or more positive whole numbers, not [8, (5,), 5, 1]"),
        ({"hidden_layer_sizes": ["5"]}, "sizes must be two or more positive whole numbers, not [8, '5', 1]"),
        ({"activation": "relo"}, "unknown hidden activation 'relo': choose from"),
        (
            {"alpha": -1},
            "The 'alpha' parameter of MLPRegressor must be a float in the range [0.0, inf). Got -1 instead.",
        ),
        ({"device": "tpu"}, "unknown device 'tpu': choose auto, cpu, cuda"),
        ({"dtype": "float16"}, "The 'dtype' parameter of MLPRegressor must be a str among"),
        ({"dropout": 1.0}, "The 'dropout' parameter of MLPRegressor must be a float in the range [0.0, 0.99]"),
    ],
)
def test_parameters_that_cannot_work_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MLPRegressor(**settings).fit(*SETS["number"][1:])


def test_rows_that_do_not_fit_are_refused() -> None:
    _, x, y = SETS["number"]
    model = MLPRegressor(**QUICK).fit(x, y)
    with pytest.raises(ValueError, match="X has 7 features, but MLPRegressor is expecting 8"):
        model.predict(x[:, :7])
    for rows, place in itertools.product((x.copy(), x.copy()[:1]), (0, -1)):
        for value, message in ((np.nan, "Input X contains NaN"), (-np.inf, "Input X contains infinity")):
            rows[place, 3] = value
            with pytest.raises(ValueError, match=message):
                model.predict(rows)
    for rows in (x[:0], x[0], x[None]):
        with pytest.raises(ValueError, match="Found array with 0 sample|Expected 2D array|Found array with dim 3"):
            model.predict(rows)
    for same in (x.tolist(), np.asfortranarray(x), x.astype(">f8"), np.repeat(x, 2, axis=0)[::2]):
        np.testing.assert_allclose(model.predict(same), model.predict(x), rtol=1e-12)
    named = MLPRegressor(**QUICK).fit(pd.DataFrame(x, columns=list("abcdefgh")), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        named.predict(x)
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(x, y, sample_weight=np.zeros(len(x)))
    with pytest.raises(ValueError, match="Negative values"):
        model.fit(x, y, sample_weight=-np.ones(len(x)))
    for name in ("number", "two classes"):
        kind, x, y = SETS[name]
        for row in range(20):  # the only one that counts, held out or not
            with pytest.raises(ValueError, match="a non-zero number among the rows held out, and one among the others"):
                OURS[kind](**QUICK, early_stopping=True).fit(x, y, sample_weight=np.arange(len(x)) == row)


def test_epochs_and_scores_are_printed_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, x, y = SETS["number"]
    MLPRegressor(**QUICK | {"max_iter": 2}, verbose=True, early_stopping=True).fit(x, y)
    printed = re.sub(r"[ =:0-9.-]+\n", "\n", capsys.readouterr().out)
    assert printed.splitlines() == ["Iteration 1, loss", "Validation score", "Iteration 2, loss", "Validation score"]


def test_no_hidden_layer_is_a_linear_model() -> None:
    _, x, y = SETS["numbers"]
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0, max_iter=1000, tol=1e-10).fit(x, y)
    exact, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)
    np.testing.assert_allclose(model.coefs_[0], exact[:-1], atol=1e-4)
