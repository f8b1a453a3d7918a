"""Every format on the command line, from the file to the answers: trained on, measured, asked, and what is refused."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import Result
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_iris
from sklearn.metrics import confusion_matrix
from xpnn_cli.tables import suited

import xpnn
from xpnn import memory
from xpnn.recipes import RECIPES

Run = Callable[..., Result]
QUICK = ("--epochs", "3", "--device", "cpu")
NAMES = ("setosa", "versicolor", "virginica")


def write_iris(path: str, keep: Any = slice(None), header: bool = True) -> None:
    found = load_iris(as_frame=True)
    frame = found.data.assign(species=[NAMES[target] for target in found.target]).iloc[keep]
    if path.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, header=header)


def write_pictures(folder: str, samples: xpnn.Samples, names: tuple[str, ...]) -> None:
    for number, (row, label) in enumerate(zip(samples.inputs, np.asarray(samples.targets), strict=True)):
        path = Path(folder) / names[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row.reshape(8, 8)).save(path)


# -- tables of classes -------------------------------------------------------------------------------------------------


def test_irises_with_the_defaults(run: Run) -> None:
    """What a first user tries: most of the fifty irises that were held back are told apart."""
    rows = np.random.default_rng(0).permutation(150)
    write_iris("train.csv", rows[:100])
    write_iris("test.csv", rows[100:])
    options = ("--label-column", "species", "--test-data", "test.csv", "--device", "cpu")
    found = json.loads(run("train", "train.csv", *options, "--json").stdout)
    assert found["test_accuracy"] > 0.9
    net = xpnn.load_model("model.safetensors")
    assert (net.labels, net.label_column) == (NAMES, "species")
    assert net.columns == tuple(load_iris().feature_names)

    tested = json.loads(run("test", "model.safetensors", "test.csv", "--json").stdout)
    predicted = net.predict(load_iris().data[rows[100:]])
    expected = confusion_matrix(load_iris().target[rows[100:]], predicted)
    assert (tested["confusion"], tested["accuracy"]) == (expected.tolist(), found["test_accuracy"])

    answers = json.loads(run("query", "model.safetensors", "test.csv", "--json").stdout)
    assert [answer["label"] for answer in answers] == [NAMES[label] for label in predicted]
    assert answers[2]["input"] == "test.csv:3"
    assert sum(answers[2]["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_classes_are_those_of_the_model_and_not_made_anew(run: Run) -> None:
    write_iris("iris.csv")
    run("train", "iris.csv", "--label-column", "-1", *QUICK)
    write_iris("virginica.csv", slice(100, None))
    write_iris("virginica.parquet", slice(100, None))
    for path in ("virginica.csv", "virginica.parquet"):
        tested = json.loads(run("test", "model.safetensors", path, "--json").stdout)
        assert [sum(line) for line in tested["confusion"]] == [0, 0, 50]
    frame = pd.read_csv("virginica.csv").assign(note="x").rename(columns={"species": "kind"})
    frame.to_csv("kinds.csv", index=False)
    error = run("test", "model.safetensors", "kinds.csv", exit_code=1).stderr
    assert "kinds.csv, line 1: no column is called 'species'; the columns are 'sepal length (cm)'" in error
    tested = json.loads(run("test", "model.safetensors", "kinds.csv", "--label-column", "kind", "--json").stdout)
    assert tested["n"] == 50
    frame.drop(columns="kind").to_csv("unknown.csv", index=False)
    assert len(json.loads(run("query", "model.safetensors", "unknown.csv", "--json").stdout)) == 50
    frame.assign(species="rose").to_csv("roses.csv", index=False)
    error = run("test", "model.safetensors", "roses.csv", exit_code=1).stderr
    assert "the label 'rose', in row 0, counted from 0, is none of the classes 'setosa', 'versicolor', 'virgin" in error


def test_names_are_not_read_for_a_net_of_tables(run: Run) -> None:
    write_iris("iris.csv")
    run("train", "iris.csv", "--label-column", "species", *QUICK)
    for command in ("test", "query"):
        error = run(command, "model.safetensors", "digits", exit_code=2).stderr
        assert "model.safetensors reads tables: give DATA" in error


def test_an_index_that_pandas_wrote_is_not_looked_at(run: Run) -> None:
    write_iris("iris.csv")
    run("train", "iris.csv", "--label-column", "species", *QUICK)
    pd.read_csv("iris.csv").to_csv("indexed.csv")
    assert run("test", "model.safetensors", "indexed.csv").stdout == run("test", "model.safetensors", "iris.csv").stdout
    assert run("query", "model.safetensors", "indexed.csv").stdout.count("\n") == 150


def test_a_table_of_classes_for_people(run: Run) -> None:
    write_iris("iris.data", header=False)
    text = run("train", "iris.data", "--label-column", "5", *QUICK).stdout
    assert "accuracy: train " in text
    assert "5  predicted\nrow 1  setosa" in text
    assert "xpnn test model.safetensors DATA\n" in text
    assert "versicolor" in run("test", "model.safetensors", "iris.data").stdout
    assert run("query", "model.safetensors", "iris.data").stdout.startswith("iris.data:1  setosa   (setosa ")
    far = pd.read_csv("iris.data", header=None)
    far.iloc[7, 1] = 1e30
    far.to_csv("far.data", index=False, header=False)
    error = run("test", "model.safetensors", "far.data", exit_code=1).stderr
    assert "far.data, line 8, column 2: '2' is '1e+30', out of all reach" in error


def test_the_same_rows_are_the_same_in_every_format(run: Run) -> None:
    write_iris("iris.csv")
    write_iris("iris.parquet")
    models = []
    for path in ("iris.csv", "iris.parquet"):
        run("train", path, "--label-column", "species", "--validation-data", path, *QUICK)
        models.append(Path("model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_cross_validate_find_lr_and_draw(run: Run) -> None:
    write_iris("iris.csv")
    asked = ("iris.csv", "--label-column", "species", "--json", "--device", "cpu")
    found = json.loads(run("cross-validate", *asked).stdout)
    assert found["mean"]["accuracy"] > 0.9
    assert 0 < json.loads(run("find-lr", *asked, "--steps", "20").stdout)["suggestion"] < 10
    digits = xpnn.load("digits").train
    np.savetxt("last.csv", np.column_stack([digits.inputs, np.asarray(digits.targets)]), fmt="%d", delimiter=",")
    assert run("draw", "last.csv", "--label-column", "-1").stdout.startswith("last.csv, row 0: 0\n")
    assert "--label-column -1\n" in run("train", "last.csv", "--label-column", "-1", *QUICK).stdout
    tested = json.loads(run("test", "model.safetensors", "last.csv", "--label-column", "-1", "--json").stdout)
    assert tested["n"] == len(digits)
    answers = json.loads(run("query", "model.safetensors", "last.csv", "--label-column", "65", "--json").stdout)
    assert [answer["label"] for answer in answers] == xpnn.load_model("model.safetensors").predict(
        digits.inputs
    ).tolist()


# -- what is to be predicted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_regression_is_targets_by_another_name(run: Run, kind: str) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "price", "b"])
    path = f"houses.{kind}"
    (frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path))
    models = []
    for asked in (("--targets", "price"), ("--task", "regression", "--label-column", "price")):
        for column in (asked, (*asked[:-1], "2")):
            run("train", path, *column, *QUICK)
            models.append(Path("model.safetensors").read_bytes())
    assert models == models[:1] * 4
    net = xpnn.load_model("model.safetensors")
    assert (net.labels, net.columns, net.output, net.label_column) == (("price",), ("a", "b"), "identity", None)
    assert json.loads(run("test", "model.safetensors", path, "--json").stdout)["n"] == 60
    assert list(json.loads(run("query", "model.safetensors", path, "--json").stdout)[0]["values"]) == ["price"]
    error = run("test", "model.safetensors", path, "--label-column", "price", exit_code=2).stderr
    assert "--label-column: model.safetensors predicts price, found by these names." in error


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--label-column a --targets b", "--label-column and --targets both name what is to be predicted; give one"),
        ("--task classification --targets b", "--targets are numbers: --task classification needs --label-column"),
        ("--task regression", "--task regression: name the column of numbers to predict, --label-column NAME."),
        ("--task regression --label-column a --targets a", "--label-column and --targets both name what is to be"),
        ("--task clustering", "'clustering' is not one of 'classification', 'regression'"),
        ("--label-column a", "digits has no columns with names: leave the label column out"),
        ("--task regression --label-column a", "digits has no columns with names: targets are columns of a CSV"),
    ],
)
@pytest.mark.parametrize("command", ["train", "cross-validate", "find-lr"])
def test_contradictions_are_wrong_usage(run: Run, command: str, options: str, problem: str) -> None:
    assert problem in " ".join(run(command, "digits", *options.split(), exit_code=2).stderr.split())


def test_label_columns_of_data_without_columns_are_wrong_usage(run: Run) -> None:
    run("train", *QUICK)
    for command in ("test", "query"):
        error = run(command, "model.safetensors", "digits", "--label-column", "a", exit_code=2).stderr
        assert "digits has no columns with names: leave the label column out" in error


def test_rows_to_measure_on_may_be_in_another_format_than_those_with_a_label_column(run: Run) -> None:
    digits = xpnn.load("digits")
    train = digits.train.take(slice(200))
    labels = np.asarray(train.targets)
    frame = pd.DataFrame(train.inputs, columns=[f"p{i}" for i in range(64)]).assign(kind=labels)
    frame.to_csv("pixels.csv", index=False)
    np.save("x.npy", digits.test.inputs)  # type: ignore[union-attr]
    np.save("y.npy", digits.test.targets)  # type: ignore[union-attr, arg-type]
    command = ("train", "pixels.csv", "--label-column", "kind", *QUICK, "--json")
    found = [
        json.loads(run(*command, "--test-data", test, "--validation-data", validation).stdout)
        for test, validation in (("digits", "x.npy"), ("x.npy", "digits"))
    ]
    for part in ("test", "validation"):
        assert found[0][f"{part}_accuracy"] == found[1][f"{part}_accuracy"] > 0.3


def test_labels_that_are_not_in_the_first_column_are_not_taken_from_there(run: Run) -> None:
    digits = xpnn.load("digits")
    frame = pd.DataFrame(digits.train.inputs, columns=[f"p{i}" for i in range(64)])
    frame.assign(Label=np.asarray(digits.train.targets)).to_csv("last.csv", index=False)
    run("train", *QUICK)
    problem = "labels are read from the first column, 'p0', but another one is called 'Label': name the right one"
    for command in (("train", "last.csv"), ("test", "model.safetensors", "last.csv")):
        assert problem in run(*command, exit_code=1).stderr
        run(*command, "--label-column", "Label", *(QUICK if command[0] == "train" else ()))
    assert problem in run("query", "model.safetensors", "last.csv", exit_code=1).stderr
    right = json.loads(run("query", "model.safetensors", "last.csv", "--label-column", "Label", "--json").stdout)
    assert right[0]["probabilities"] == xpnn.load_model("model.safetensors").query(digits.train.inputs)[0].tolist()
    run("train", "last.csv", "--label-column", "1", "--classes", "2", *QUICK)  # who says so is believed


def test_query_ignores_no_option_in_silence(run: Run) -> None:
    write_iris("iris.csv")
    run("train", "iris.csv", "--label-column", "species", *QUICK)
    for options, problem in (
        (("--labelled",), "--labelled and --unlabelled: columns are told apart by their names; leave it out."),
        (("--label-column", "species"), "model.safetensors finds its columns by name and looks at no others"),
    ):
        assert problem in run("query", "model.safetensors", "iris.csv", *options, exit_code=2).stderr
    run("train", *QUICK)
    both = ("--unlabelled", "--label-column", "1")
    assert "told apart by --label-column" in run("query", "model.safetensors", "iris.csv", *both, exit_code=2).stderr


def test_only_the_default_recipes_epochs_grow_for_few_rows(run: Run) -> None:
    write_iris("iris.csv")
    data = xpnn.load("iris.csv", label_column="species")
    for name, epochs, expected in (("default", None, 60), ("default", 10, 10), ("dropout", None, 60)):
        settings = suited(RECIPES[name], data, name, {"epochs": epochs})
        assert (settings.epochs, settings.initializer) == (expected, "glorot-uniform")
    assert suited(RECIPES["default"], xpnn.load("digits"), "default", {"epochs": None}) == RECIPES["default"]


def test_names_are_no_tables(run: Run) -> None:
    write_iris("iris.csv")
    training = ("train", "iris.csv", "--label-column", "species", *QUICK)
    problem = "digits: its rows are pixels, and have no columns with names: give a CSV, Parquet or Arrow file"
    assert problem in run(*training, "--validation-data", "digits", exit_code=1).stderr
    assert problem in run(*training, "--test-data", "digits", exit_code=1).stderr
    run(*training)
    for command in ("test", "query"):
        assert "reads tables: give DATA" in run(command, "model.safetensors", "digits", exit_code=2).stderr


def test_prices_are_no_classes(run: Run) -> None:
    pd.DataFrame({"a": range(30), "price": [k + 0.5 for k in range(30)]}).to_csv("houses.csv", index=False)
    error = run("train", "houses.csv", "--label-column", "price", exit_code=1).stderr
    assert (
        "houses.csv, line 2, column 2: 'price' is '0.5', and a class has a name or a whole number: to predict" in error
    )


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_in_folders_in_a_zip_and_in_parquet(run: Run) -> None:
    """The digits with names for their classes, from three places: the same scores, and answers by name."""
    digits = xpnn.load("digits")
    names = tuple(f"digit-{label}" for label in range(10))
    assert digits.test is not None
    train, test = digits.train.take(slice(400)), digits.test.take(slice(100))
    write_pictures("pictures/train", train, names)
    write_pictures("pictures/test", test, names)
    shutil.make_archive("pictures", "zip", "pictures")
    for part, samples in (("train", train), ("test", test)):
        files = []
        for row in samples.inputs:
            Image.fromarray(row.reshape(8, 8)).save(file := io.BytesIO(), "PNG")
            files.append({"bytes": file.getvalue(), "path": None})
        words = [names[label] for label in np.asarray(samples.targets)]
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        parquet.write_table(pa.table({"image": pa.array(files, image), "label": words}), f"{part}.parquet")

    found = json.loads(run("train", "pictures", "--json", "--epochs", "20", "--device", "cpu").stdout)
    assert found["test_accuracy"] > 0.85
    model = Path("model.safetensors").read_bytes()
    assert xpnn.load_model("model.safetensors").labels == names
    scores = [
        json.loads(run("test", "model.safetensors", path, "--json").stdout)
        for path in ("pictures", "pictures.zip", "test.parquet")
    ]
    for score in scores:
        assert score["accuracy"] == found["test_accuracy"]
        assert score["confusion"] == scores[0]["confusion"]
    run("train", "pictures.zip", "--epochs", "20", "--device", "cpu")
    assert Path("model.safetensors").read_bytes() == model
    asked = run("train", "train.parquet", "--test-data", "test.parquet", "--json", "--epochs", "20", "--device", "cpu")
    assert json.loads(asked.stdout)["test_accuracy"] > 0.85
    for path in ("pictures/test", "pictures.zip", "test.parquet"):
        answers = json.loads(run("query", "model.safetensors", path, "--json").stdout)
        assert {answer["label"] for answer in answers} <= set(names)
        assert len(answers) == 100
    assert run("draw", "pictures").stdout.startswith("pictures, row 0: digit-0\n")


def test_pictures_that_are_not_square_are_not_augmented_as_if_they_were(run: Run) -> None:
    """9 x 16 pixels are as many as 12 x 12."""
    for number in range(4):
        path = Path("wide") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 16), 60 * number, np.uint8)).save(path)
    problem = "is for square pictures, and those of wide have 9 x 16 pixels (height x width)."
    for command in ("train", "find-lr", "cross-validate"):
        folds = ("--folds", "2") if command == "cross-validate" else ()
        result = run(command, "wide", "--rotate", "10", *folds, "--device", "cpu", exit_code=2)
        assert problem in " ".join(result.stderr.split())
    assert problem in " ".join(run("draw", "wide", "--augment", exit_code=2).stderr.split())
    assert run("train", "wide", *QUICK).stdout.endswith("xpnn query model.safetensors DATA\n")
    assert run("draw", "wide").stdout.startswith("wide, row 0: a\n")


def test_a_bar_while_pictures_are_read_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures("pictures", xpnn.load("digits").train.take(slice(60)), tuple("abcdefghij"))
    options = ("train", "pictures", *QUICK)
    assert "reading" not in run(*options).stderr
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    assert "reading" not in run(*options).stderr  # it takes no second
    monkeypatch.setattr("xpnn_cli.progress.SECONDS_WITHOUT_A_BAR", 0.0)
    monkeypatch.setattr("xpnn_cli.progress.SECONDS_BETWEEN_LOOKS", 0.0)
    result = run(*options)
    bars = [bar for bar in result.stderr.replace("\r", "\n").split("\n") if "reading" in bar]
    assert len(bars) > 10
    assert "60/60" in bars[-1]
    assert "reading" not in result.stdout


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["in file", "in memory"])
@pytest.mark.parametrize("command", ["train", "find-lr", "cross-validate"])
def test_floats_far_from_what_a_net_learns_from_are_spoken_of(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, share: float
) -> None:
    monkeypatch.setattr(memory, "SHARE", share)
    digits = xpnn.load("digits").train.take(slice(100))
    np.save("y.npy", digits.targets)  # type: ignore[arg-type]
    for divisor, is_far in ((1, True), (255, False), (25.5, False)):
        np.save("x.npy", (digits.inputs / divisor).astype("float32"))
        options = ("--folds", "2", "--epochs", "1") if command == "cross-validate" else ()
        said = run(command, "x.npy", *options, "--device", "cpu").stderr
        far = "x.npy: its numbers are about 123 in size, and a net learns best from -1 to 1: divide them, or save "
        assert (far in said) == ("learns best" in said) == is_far
    np.save("x.npy", digits.inputs)  # pixels, which a net scales
    assert "learns best" not in run(command, "x.npy", *options, "--device", "cpu").stderr


def test_a_net_knows_the_shape_of_its_pictures(run: Run) -> None:
    """4 x 16 pixels are as many as 8 x 8."""
    strokes = np.zeros((2, 4, 16), dtype=np.uint8)
    strokes[0, 1:3, 1:15] = strokes[1, :, 7:9] = 255
    for label, picture in zip("ab", strokes, strict=True):
        Path("wide", label).mkdir(parents=True)
        Image.fromarray(picture).save(f"wide/{label}/1.png")
    run("train", "wide", *QUICK)
    assert xpnn.load_model("model.safetensors").image_shape == (4, 16)
    asked = run("query", "model.safetensors", "wide/a/1.png", "--show", "--device", "cpu")
    assert "wide/a/1.png: read as 4 x 16 pixels" in asked.stderr
    assert "█" * 24 in asked.stdout  # two characters a pixel; 8 x 8 pixels have no more than 16
    run("train", "digits", *QUICK)
    assert xpnn.load_model("model.safetensors").image_shape == (8, 8)


def test_rows_of_pixels_are_drawn_from_any_format(run: Run) -> None:
    digits = xpnn.load("digits").train.take(slice(3))
    for name, inputs in (("x.npy", digits.inputs), ("x_real.npy", digits.inputs / 255)):
        np.save(name, inputs)
        np.save(name.replace("x", "y"), digits.targets)  # type: ignore[arg-type]
    drawn = run("draw", "digits").stdout
    assert run("draw", "x.npy").stdout == drawn.replace("digits", "x.npy")
    assert "its rows are real numbers, and no pixels" in run("draw", "x_real.npy", exit_code=1).stderr


@pytest.mark.parametrize(
    "asked",
    [
        ("iris.csv", "--label-column", "-1"),
        ("iris.parquet", "--label-column", "species", "--output", "sigmoid"),
        ("iris.parquet", "--task", "regression", "--label-column", "petal width (cm)"),
        ("pictures", "--rotate", "10", "--validation-data", "pictures"),
    ],
)
def test_runs_of_every_kind_of_data_are_repeated_and_resumed_to_the_same_bytes(
    run: Run, asked: tuple[str, ...]
) -> None:
    write_iris("iris.csv")
    numbers = asked[1:2] == ("--task",)
    frame = load_iris(as_frame=True).data
    frame.to_parquet("iris.parquet") if numbers else write_iris("iris.parquet")
    write_pictures("pictures", xpnn.load("digits").train.take(slice(40)), tuple("abcdefghij"))
    run("train", *asked, *QUICK, "--checkpoint-every", "1", "--run", "first")
    run("train", "--config", "first/config.toml", "--run", "again")
    models = [Path(folder, "model.safetensors") for folder in ("first", "again")]
    assert models[0].read_bytes() == models[1].read_bytes()
    for file in (models[1], Path("again/result.json"), max(Path("again/checkpoints").iterdir())):
        file.unlink()  # as if it had been killed in the last epoch
    run("train", "--resume", "again")
    assert models[0].read_bytes() == models[1].read_bytes()


def test_errors_have_one_line(run: Run) -> None:
    write_pictures("pictures", xpnn.load("digits").train.take(slice(50)), tuple(map(str, range(10))))
    Path("pictures/3/broken.png").write_bytes(b"\x89PNG")
    pa_table = pa.table({"a": [0.5, None], "label": ["x", "y"]})
    parquet.write_table(pa_table, "null.parquet")
    for path, problem in (("pictures", "broken.png: "), ("null.parquet", "'a' in row 1, counted from 0, is missing")):
        for command in ("train", "cross-validate"):
            lines = run(command, path, "--device", "cpu", exit_code=1).stderr.strip().splitlines()
            assert problem in lines[-1]
            assert len(lines) == 1


# -- whole numbers that are hardly classes -----------------------------------------------------------------------------


def write_prices(different: int, rows: int, name: str = "houses.csv", lowest: int = 1) -> None:
    price = lowest + np.arange(rows) % different
    frame = pd.DataFrame({"area": np.arange(rows) / 7, "price": price})
    frame.to_csv(name, index=False) if name.endswith("csv") else frame.to_parquet(name)


@pytest.mark.parametrize("command", ["train", "cross-validate", "find-lr"])
@pytest.mark.parametrize("lowest", [0, 1], ids=["numbers", "names"])
def test_numbers_that_are_learnt_as_classes_are_spoken_of(run: Run, command: str, lowest: int) -> None:
    said = (
        "houses.csv: 'price' has 101 different whole numbers in 1,009 rows, learnt as classes; to predict the numbers"
    )
    write_prices(101, 1009, lowest=lowest)
    quick = () if command == "find-lr" else QUICK
    more = ("--folds", "2") if command == "cross-validate" else ()
    result = run(command, "houses.csv", "--label-column", "price", *quick, *more)
    assert [line for line in result.stderr.splitlines() if "classes" in line] == [
        f"{said} themselves, name it in --targets instead"
    ]
    assert "learnt as classes" not in run(command, "houses.csv", "--targets", "price", *quick, *more).stderr


def test_nothing_is_said_of_what_may_well_be_classes(run: Run) -> None:
    for different, rows in ((100, 300), (101, 1010)):
        write_prices(different, rows)
        assert "learnt as classes" not in run("train", "houses.csv", "--label-column", "price", *QUICK).stderr
    write_prices(101, 500)
    asked = ("houses.csv", "--label-column", "price", *QUICK)
    assert "learnt as classes" in run("train", *asked).stderr
    assert "learnt as classes" not in run("train", *asked, "--classes", "102").stderr
    frame = pd.read_csv("houses.csv")
    frame.assign(price="p" + frame["price"].astype(str)).to_csv("houses.csv", index=False)
    assert "learnt as classes" not in run("train", *asked).stderr
    write_prices(101, 500, "houses.parquet")
    assert "learnt as classes" in run("train", "houses.parquet", *asked[1:]).stderr


# -- docs/data.md ------------------------------------------------------------------------------------------------------


def test_the_page_on_data_shows_what_works(run: Run) -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    write_iris("iris.csv")
    rows = ["name;city;age;kind", "Ann;Oslo;30,5;a", "Bob;Rome;;b", "Cid;Rome;41,5;b", "Dan;Oslo;28,0;a"]
    Path("people.csv").write_text("\n".join(rows))
    parquet.write_table(pa.table({"a": [0.5, 1.5], "label": ["x", "y"]}), "train.parquet")
    found: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, found)  # noqa: S102 - the page's own
    assert found["rows"].labels == ["x", "y"]
    people = xpnn.load("table.csv", label_column="kind")
    assert people.columns == ("age", "city_Oslo", "city_Rome")
    assert people.train.inputs.tolist() == [[30.5, 1, 0], [41.5, 0, 1], [28, 1, 0]]
    tested = json.loads(run("test", "model.safetensors", "iris.csv", "--json").stdout)
    assert tested["accuracy"] > 0.8
