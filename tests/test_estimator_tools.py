"""scikit-learn's tools around the estimators: each gives what it gives with scikit-learn's own MLP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
import sklearn
import sklearn.neural_network
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # lets the next line import it
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate, learning_curve
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import xpnn.estimator

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Batches are of all rows, of which there are fewer than 200: both learn the same but for rounding.
SETTINGS: dict[str, Any] = {
    "hidden_layer_sizes": 8,
    "max_iter": 15,
    "random_state": 0,
    "learning_rate_init": 0.02,
}
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["a", "b", "c"])[Y]
NUMBERS = make_regression(150, 4, random_state=0)[1] / 100
WEIGHTS = np.linspace(0.1, 2, 150)
TABLE = pd.DataFrame({"size": X[:, 0], "kind": list("uvw") * 50})
FEW_ZEROS = np.where(np.abs(X) < 0.5, 0, X)


def of_table(C: Any, form: str) -> Any:
    with sklearn.config_context(transform_output=form):
        columns = make_column_transformer((StandardScaler(), ["size"]), (OneHotEncoder(sparse_output=False), ["kind"]))
        model = make_pipeline(columns, C).fit(TABLE, NAMES)
        return model.predict_proba(TABLE), list(model[-1].feature_names_in_)


def with_routed_weights(C: Any) -> Any:
    with sklearn.config_context(enable_metadata_routing=True):
        model = C.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        return (
            GridSearchCV(model, {"alpha": [1e-3, 1]}, cv=3)
            .fit(X, NAMES, sample_weight=WEIGHTS)
            .cv_results_["mean_test_score"]
        )


def scores(C: Any) -> Any:
    found = cross_validate(C, X, NAMES, cv=3, return_train_score=True, scoring=["accuracy", "neg_log_loss"])
    return [found[f"{part}_{name}"] for part in ("train", "test") for name in ("accuracy", "neg_log_loss")]


CLASSIFIERS: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda C: of_table(C, "pandas"),
    "polars": lambda C: of_table(C, "polars"),
    "routed weights": with_routed_weights,
    "cross_validate": scores,
    "halving": lambda C: (
        HalvingGridSearchCV(C, {"alpha": [1e-4, 1], "activation": ["relu", "tanh"]}, cv=3, random_state=0)
        .fit(X, NAMES)
        .cv_results_["mean_test_score"]
    ),
    "learning_curve": lambda C: learning_curve(C, X, NAMES, cv=3, shuffle=True, random_state=0, train_sizes=[0.5, 1.0]),
    "importance": lambda C: permutation_importance(C.fit(X, NAMES), X, NAMES, random_state=0)["importances"],
    "stacking": lambda C: StackingClassifier([("one", C)], cv=3).fit(X, NAMES).predict_proba(X),
    "voting": lambda C: VotingClassifier([("one", C)], voting="soft").fit(X, NAMES).predict_proba(X),
    "bagging": lambda C: BaggingClassifier(C, 2, random_state=0).fit(X, NAMES, sample_weight=WEIGHTS).predict_proba(X),
    "boosting": lambda C: AdaBoostClassifier(C, n_estimators=2, random_state=0).fit(X, NAMES).predict_proba(X),
    "one against the rest": lambda C: OneVsRestClassifier(C).fit(X, NAMES).predict_proba(X),
    "one against one": lambda C: OneVsOneClassifier(C).fit(X, NAMES).decision_function(X),
    "several targets": lambda C: MultiOutputClassifier(C).fit(X, np.column_stack([Y, Y == 1])).predict_proba(X),
    "chain": lambda C: ClassifierChain(C).fit(X, np.column_stack([Y == 1, Y > 1])).predict_proba(X),
    "Polars": lambda C: C.fit(polars.DataFrame(X), polars.Series("y", NAMES)).predict_proba(polars.DataFrame(X)),
    "PyArrow": lambda C: C.fit(pa.table(dict(zip("abcd", X.T, strict=True))), NAMES).feature_names_in_ == list("abcd"),
    "float16": lambda C: C.fit(X.astype(np.float16), NAMES).predict_proba(X.astype(np.float16)),
    "objects": lambda C: C.fit(X.astype(object), NAMES).predict_proba(X.astype(object)),
    "nullable": lambda C: C.fit(X, pd.Series(Y, dtype="Int64")).predict_proba(X),
    "categories": lambda C: C.fit(X, pd.Series(NAMES, dtype="category")).predict_proba(X),
    **{
        f"sparse {form}": lambda C, form=form: (  # type: ignore[misc]
            C.fit(getattr(sparse, f"{form}_array")(FEW_ZEROS), NAMES).predict_proba(sparse.csr_matrix(FEW_ZEROS))
        )
        for form in ("bsr", "coo", "csc", "dok", "lil")
    },
}
REGRESSORS: dict[str, Callable[[Any], Any]] = {
    "partial dependence": lambda R: partial_dependence(R.fit(X, NUMBERS), X, [0], grid_resolution=4)["average"],
    "transformed target": lambda R: (
        TransformedTargetRegressor(R, transformer=StandardScaler()).fit(X, NUMBERS * 1000).predict(X)
    ),
    "chain": lambda R: RegressorChain(R).fit(X, np.column_stack([NUMBERS, NUMBERS**2])).predict(X),
    "table of targets": lambda R: R.fit(X, pd.DataFrame({"a": NUMBERS, "b": -NUMBERS})).predict(X),
}


@pytest.mark.parametrize(
    ("kind", "tool"), [*(("Classifier", tool) for tool in CLASSIFIERS), *(("Regressor", tool) for tool in REGRESSORS)]
)
def test_a_tool_gives_what_it_gives_with_scikit_learns_own(kind: str, tool: str) -> None:
    use = (CLASSIFIERS if kind == "Classifier" else REGRESSORS)[tool]
    expected, found = (
        use(getattr(module, f"MLP{kind}")(**SETTINGS)) for module in (sklearn.neural_network, xpnn.estimator)
    )
    for one, other in zip(found, expected, strict=True) if isinstance(found, tuple | list) else [(found, expected)]:
        if np.asarray(other).dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)  # of fifteen updates' rounding
        else:
            np.testing.assert_array_equal(one, other)


def test_joblib_maps_a_model_that_answers(tmp_path: Path) -> None:
    model = xpnn.estimator.MLPClassifier(**SETTINGS).fit(X, NAMES)
    joblib.dump(model, tmp_path / "model.joblib")
    copy = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert copy.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
