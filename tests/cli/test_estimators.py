"""Estimators' files on the command line: it answers as `predict` does, for tables by the columns' names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from sklearn.datasets import load_iris

import xpnn
from xpnn.estimator import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

Run = Callable[..., Result]
X = load_iris(as_frame=True).data.rename(columns=lambda name: name.removesuffix(" (cm)"))
SPECIES = pd.Series(np.array(["setosa", "versicolor", "virginica"])[load_iris().target], name="species")
LABELS = pd.DataFrame({"big": X["sepal length"] > 5.8, "wide": X["sepal width"] > 3}).astype(int)
NUMBERS = pd.DataFrame({"area": X["petal length"] * X["petal width"], "ratio": X["petal length"] / X["petal width"]})
TARGETS: dict[str, Any] = {
    "species": SPECIES,
    "numbers of species": SPECIES.map({"setosa": 5, "versicolor": 7, "virginica": 10}),
    "big": LABELS["big"],
    "true": LABELS["big"].astype(bool),
    "words": LABELS["big"].map({0: "small", 1: "large"}),
    "labels": LABELS,
    "area": NUMBERS["area"],
    "area and ratio": NUMBERS,
}


def fitted(name: str, x: Any, y: Any, **settings: Any) -> Any:
    kind = MLPRegressor if name.startswith("area") else MLPClassifier
    settings = {"hidden_layer_sizes": 8, "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0} | settings
    return kind(**settings).fit(x, y)


@pytest.mark.parametrize("dtype", ["auto", "float32"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_table_is_answered_as_by_predict(run: Run, name: str, dtype: str) -> None:
    y = TARGETS[name]
    model = fitted(name, X, y, dtype=dtype)
    model.save("m.safetensors")
    pd.concat([SPECIES.rename("other"), X.iloc[:, ::-1]], axis=1).to_csv("rows.csv", index=False)

    answers = json.loads(run("query", "m.safetensors", "rows.csv", "--json").stdout)

    outputs = model.predict_proba(X) if isinstance(model, MLPClassifier) else model.predict(X)
    if "species" in name:
        assert [answer["label"] for answer in answers] == [str(label) for label in model.predict(X)]
        found = np.array([answer["probabilities"] for answer in answers])
    else:
        names = {"words": ["small"], "labels": ["big", "wide"], "area and ratio": ["area", "ratio"]}
        columns = names.get(name, ["big" if name == "true" else name])
        assert list(answers[0]["values"]) == columns
        found = np.array([[answer["values"][column] for column in columns] for answer in answers])
        if name in ("big", "true", "words"):
            outputs = outputs[:, [1]]  # the share of the second class
    np.testing.assert_allclose(found, outputs.reshape(len(X), -1), rtol=1e-6)


@pytest.mark.parametrize("name", ["species", "big", "labels", "area", "area and ratio"])
def test_a_table_is_scored_as_by_score(run: Run, name: str) -> None:
    y = TARGETS[name]
    model = fitted(name, X, y)
    model.save("m.safetensors")
    pd.concat([y, X], axis=1).to_csv("rows.csv", index=False)

    found = json.loads(run("test", "m.safetensors", "rows.csv", "--json").stdout)

    measure = {"species": "accuracy", "big": "exact_match", "labels": "exact_match"}.get(name, "r2")
    assert found[measure] == pytest.approx(model.score(X, y))


def test_whole_numbers_of_a_table_are_no_pixels(run: Run) -> None:
    x = (X * 10).round().astype(int)
    model = fitted("area", x, NUMBERS["area"])
    model.save("m.safetensors")
    x.to_csv("rows.csv", index=False)
    answers = json.loads(run("query", "m.safetensors", "rows.csv", "--json").stdout)
    assert [answer["values"]["area"] for answer in answers] == pytest.approx(model.predict(x).tolist())
    np.testing.assert_allclose(xpnn.load_model("m.safetensors").query(x)[:, 0], model.predict(x))


@pytest.mark.parametrize(
    ("x", "y", "columns", "labels", "label_column"),
    [
        (X, SPECIES.to_list(), "its own", ("setosa", "versicolor", "virginica"), "label"),
        (X.rename(columns={"petal width": "label"}), SPECIES.to_list(), "its own", None, "label_"),
        (X, SPECIES.rename("petal width"), "its own", None, "label"),  # learnt from itself
        (X, SPECIES + "\n", "its own", ("0", "1", "2"), "species"),  # no net may have such names
        (X, SPECIES.rename(None), "its own", None, "label"),
        (X.rename(columns={"petal width": "a\nb"}), SPECIES, None, None, None),
        (X.to_numpy(), SPECIES, None, None, None),
    ],
)
def test_what_the_net_is_told_of_names(
    x: Any, y: Any, columns: str | None, labels: tuple[str, ...] | None, label_column: str | None
) -> None:
    model = fitted("species", x, y, max_iter=1)
    assert model.net_.columns == (tuple(x.columns) if columns else None)
    assert model.net_.labels == (labels or ("setosa", "versicolor", "virginica"))
    assert model.net_.label_column == label_column
    assert model.set_params(activation="tanh").partial_fit(x, y).net_.columns == model.net_.columns


def test_without_names_the_remedy_is_one_that_exists(run: Run) -> None:
    model = fitted("species", X.to_numpy(), SPECIES)
    model.save("m.safetensors")
    X.to_csv("rows.csv", index=False)
    for command in ("query", "test"):
        said = run(command, "m.safetensors", "rows.csv", exit_code=1).stderr
        assert said.endswith(
            "or is this a table? Then the columns of m.safetensors have no names; give it an NPY file, or train it on "
            "a table that has names\n"
        )
    np.save("rows.npy", X.to_numpy())
    answers = json.loads(run("query", "m.safetensors", "rows.npy", "--json").stdout)
    assert [answer["label"] for answer in answers] == model.predict(X.to_numpy()).tolist()
