"""Files of estimators: what `save` writes and `load` reads again, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError

import xpnn
from xpnn import ModelFileError
from xpnn.checkpoint import save
from xpnn.estimator import MLPClassifier, MLPRegressor
from xpnn.estimator.files import SAVED
from xpnn.safetensors import read_tensors

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
QUICK: dict[str, Any] = {"max_iter": 4, "random_state": 5, "hidden_layer_sizes": (6, 4)}
TARGETS: dict[str, Any] = {
    "strings": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "two": Y == 1,
    "one": np.full(len(Y), 7),
    "labels": make_multilabel_classification(len(Y), random_state=0)[1],
    "number": make_regression(len(Y), random_state=0)[1],
    "numbers": make_regression(len(Y), n_targets=3, random_state=0)[1],
}


def fitted(name: str, **settings: Any) -> Any:
    kind = MLPRegressor if name.startswith("number") else MLPClassifier
    return kind(**QUICK | settings).fit(X, TARGETS[name])


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_saved_answers_and_learns_as_before(tmp_path: Path, name: str) -> None:
    model = fitted(name, early_stopping=name == "strings", dtype="float32" if name == "two" else "auto")
    model.save(tmp_path / "model.safetensors")
    copy = type(model).load(tmp_path / "model.safetensors")
    said = copy.predict(X)
    assert said.tolist() == model.predict(X).tolist()
    assert said.dtype == model.predict(X).dtype
    assert copy.get_params() == model.get_params()
    for attribute in {key for key in vars(model) if key.endswith("_")} - {"net_"}:
        np.testing.assert_array_equal(getattr(copy, attribute), getattr(model, attribute))
    assert copy.coefs_[0].dtype == model.coefs_[0].dtype
    for one in (copy, model):
        one.set_params(early_stopping=False).partial_fit(X, TARGETS[name])
    assert copy.net_.parameters.tobytes() == model.net_.parameters.tobytes()
    assert copy.loss_curve_ == model.loss_curve_


def test_parameters_of_all_kinds_are_kept(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "class_weight": {"setosa": 2.0, "virginica": 0.5},
        "validation_data": (X[:9], NAMES[Y[:9]]),
        "n_iter_no_change": np.inf,
        "alpha": np.float32(0.25),
        "schedule": "cosine",
        "hidden_layer_sizes": [3],
    }
    model = fitted("strings", **settings)
    model.save(tmp_path / "model")
    found = MLPClassifier.load(tmp_path / "model").get_params()
    rows, names = found.pop("validation_data")
    np.testing.assert_array_equal(rows, X[:9])
    assert names.tolist() == NAMES[Y[:9]].tolist()
    expected = model.get_params()
    del expected["validation_data"]
    assert found == expected
    with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:  # another reader
        assert set(file.keys()) > {"layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"}


def test_names_of_columns_are_kept(tmp_path: Path) -> None:
    table = pd.DataFrame(X, columns=list("abcd"))
    MLPClassifier(**QUICK).fit(table, Y).save(tmp_path / "model")
    copy = MLPClassifier.load(tmp_path / "model")
    assert copy.feature_names_in_.tolist() == list("abcd")
    copy.predict(table)
    with pytest.raises(ValueError, match="feature names"):
        copy.predict(table.rename(columns={"a": "z"}))


def test_the_file_is_that_of_any_net(tmp_path: Path, device: str) -> None:
    model = fitted("strings", device=device)
    model.save(tmp_path / "model")
    net = xpnn.load_model(tmp_path / "model")
    np.testing.assert_allclose(net.query(X), model.predict_proba(X))
    there = MLPClassifier.load(tmp_path / "model", device=device)
    assert there.net_.device.kind == device
    assert there.device == device
    here = MLPClassifier.load(tmp_path / "model")
    assert (here.device, here.net_.device.kind) == ("cpu", "cpu")
    assert there.predict(X).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (["cat", "dog", "eel"], ("cat", "dog", "eel")),
        ([2, 5, 8], ("2", "5", "8")),
        ([0, 1, 2], ("0", "1", "2")),
        (["cat", "dog\n", "eel"], ("0", "1", "2")),  # which no net may have
        (["cat", "dog"], ("dog",)),  # one output, the share of the second
    ],
)
def test_the_net_in_the_file_knows_the_names_of_the_classes(
    tmp_path: Path, classes: list[Any], labels: tuple[str, ...]
) -> None:
    MLPClassifier(**QUICK).fit(X, np.array(classes)[Y % len(classes)]).save(tmp_path / "model")
    assert xpnn.load_model(tmp_path / "model").labels == labels
    assert MLPClassifier.load(tmp_path / "model").classes_.tolist() == classes


def test_of_lbfgs_there_is_no_state_to_go_on_from(tmp_path: Path) -> None:
    model = fitted("strings", solver="lbfgs")
    model.save(tmp_path / "model")
    copy = MLPClassifier.load(tmp_path / "model")
    assert copy.predict(X).tolist() == model.predict(X).tolist()
    for one in (copy, model):
        one.set_params(solver="sgd").partial_fit(X, TARGETS["strings"])
    assert copy.net_.parameters.tobytes() == model.net_.parameters.tobytes()


def test_what_is_no_data_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().save(tmp_path / "model")
    model = fitted("strings", callback=lambda epoch: None)
    with pytest.raises(TypeError, match=r"callback can't be saved \(.*\): set_params\(callback=None\) first"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    model.set_params(callback=None, random_state=np.random.RandomState(0))
    with pytest.raises(TypeError, match="random_state can't be saved"):
        model.save(tmp_path / "model")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(ModelFileError, match="can't be read"):
        MLPClassifier.load(path)
    xpnn.save(xpnn.MLP([4, 3]), path)
    with pytest.raises(ModelFileError, match="was not saved by an estimator; xpnn.load_model reads it"):
        MLPClassifier.load(path)
    fitted("number").save(path)
    with pytest.raises(ModelFileError, match="this is a regressor, not a classifier: load it as one"):
        MLPClassifier.load(path)


DAMAGES: dict[str, Any] = {
    "no object": lambda record: [],
    "no kind": lambda record: {**record, "kind": None},
    "unknown parameter": lambda record: {**record, "parameters": {"alfa": 1}},
    "wrong parameter": lambda record: {**record, "parameters": {"alpha": -1}},
    "unknown attribute": lambda record: changed(record, "predict", 1),
    "a method's name": lambda record: changed(record, "net_", 1),
    "too few classes": lambda record: changed(record, "classes_", {"array": ["<U1", ["a", "b"]]}),
    "classes in a list": lambda record: changed(record, "classes_", ["a", "b", "c"]),
    "classes of code": lambda record: changed(record, "classes_", {"array": ["|O", [1, 2, 3]]}),
    "unknown data": lambda record: changed(record, "t_", {"function": "print"}),
    "text for a number": lambda record: changed(record, "t_", "many"),
    "no seed": lambda record: {**record, "attributes": {"dict": []}},
}


def changed(record: Any, name: str, value: Any) -> Any:
    pairs = [pair for pair in record["attributes"]["dict"] if pair[0] != name]
    return {**record, "attributes": {"dict": [*pairs, [name, value]]}}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    model = fitted("strings")
    model.save(tmp_path / "whole")
    record = json.loads(read_tensors(tmp_path / "whole").metadata["estimator"])
    text = json.dumps(DAMAGES[damage](record))
    save(model.net_, tmp_path / "damaged", {"estimator": text})
    with pytest.raises(ModelFileError, match="the file is damaged|not a classifier") as caught:
        MLPClassifier.load(tmp_path / "damaged")
    assert len(str(caught.value).splitlines()) == 1


def test_all_that_a_fit_leaves_is_saved_or_the_nets() -> None:
    """A new attribute must be put into SAVED, or be found again from the net."""
    own = {key for key in vars(fitted("strings")) if key not in MLPClassifier().get_params()}
    of_net = {"net_", "n_features_in_", "n_outputs_", "n_layers_", "out_activation_"}
    assert own - set(SAVED) == of_net | {"_resume"}
