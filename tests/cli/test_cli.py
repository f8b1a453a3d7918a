"""The command line as its users meet it: results, exit codes, streams, and errors of one line."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click import Group
from click.testing import CliRunner, Result
from fake_device import FakeCupy
from PIL import Image, ImageDraw
from xpnn_cli import main

import xpnn
from xpnn.optimizers import OPTIMIZERS
from xpnn.regularization import noisy
from xpnn.schedules import SCHEDULES

Run = Callable[..., Result]
TRAIN_KEYS = {
    *("device", "dtype", "parameters", "epochs", "loss", "train_accuracy", "test_accuracy", "validation_accuracy"),
    *("epoch_seconds", "train_seconds", "step", "model", "data", "rows", "sizes", "seed", "note", "best_epoch"),
}


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model that knows the digits."""
    data, recipe = xpnn.load("digits"), xpnn.recipes.RECIPES["default"]
    net = recipe.network(64, data.labels)
    list(recipe.train(net, data.train))
    path = str(tmp_path / "model.safetensors")
    xpnn.save(net, path)
    return path


def write_csv(path: str, rows: int = 60, columns: int = 16, seed: int = 1) -> None:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    pixels = generator.integers(0, 80, (rows, columns)) + 80 * labels[:, None]
    np.savetxt(path, np.column_stack([labels, pixels]), fmt="%d", delimiter=",")


# -- train ------------------------------------------------------------------------------------------------------------


def test_train_with_no_options_learns_the_digits_shows_some_and_saves(run: Run) -> None:
    result = run("train", "--device", "cpu")
    assert "64-200-10 network, 15,010 parameters, trained on 1,442 rows" in result.stdout
    assert "accuracy: train 99." in result.stdout
    assert result.stdout.count("█") > 50
    assert "epoch 10/10  loss 0." in result.stderr
    assert xpnn.load_model("model.safetensors").sizes == (64, 200, 10)


def test_train_json_is_one_object_and_nothing_else(run: Run, device: str) -> None:
    result = run("train", "--json", "--device", device, "--epochs", "3", "--seed", "5", "--out", "m")
    found = json.loads(result.stdout)
    assert found.keys() == TRAIN_KEYS
    assert found["device"] == {"cpu": "cpu", "cuda": "cuda:0"}[device]
    assert (found["dtype"], found["parameters"], found["epochs"]) == ("float32", 15010, 3)
    assert found["step"] == {"cpu": "reference", "cuda": "captured"}[device]
    assert (found["model"], found["seed"], found["sizes"], found["rows"]) == ("m", 5, [64, 200, 10], 1442)
    assert len(found["epoch_seconds"]) == 3
    assert 0 < sum(found["epoch_seconds"]) < found["train_seconds"]
    data, net = xpnn.load("digits"), xpnn.load_model("m")
    assert data.test is not None
    assert found["test_accuracy"] == xpnn.evaluate(net, data.test).accuracy
    assert found["train_accuracy"] == xpnn.evaluate(net, data.train).accuracy
    assert found["validation_accuracy"] is None


def test_options_change_the_recipe(run: Run) -> None:
    options = (
        "--hidden 30,20 --activation tanh --output sigmoid --optimizer sgd --lr 0.2 --momentum 0.5 --batch-size 16 "
        "--epochs 4 --dtype float64 --limit 200 --validation-fraction 0.25 --device cpu --json"
    )
    result = run("train", *options.split())
    found, net = json.loads(result.stdout), xpnn.load_model("model.safetensors")
    assert (found["sizes"], found["dtype"], found["rows"]) == ([64, 30, 20, 10], "float64", 150)
    assert found["validation_accuracy"] is not None
    assert (net.hidden, net.output, net.loss) == (("tanh", "tanh"), "sigmoid", "binary-cross-entropy")
    assert "validation: 50 of the 200 training rows are set aside" in result.stderr


def test_names_with_numbers_and_training_options(run: Run) -> None:
    options = (
        "--hidden 20,10 --activation elu:0.5,gelu --loss focal:1.5 --class-weight balanced --label-smoothing 0.05 "
        "--epochs 12 --limit 300 --json"
    )
    found, net = json.loads(run("train", *options.split()).stdout), xpnn.load_model("model.safetensors")
    assert (net.hidden, net.loss) == (("elu:0.5", "gelu"), "focal:1.5")
    assert found["test_accuracy"] > 0.5  # chance is 0.1
    plain = json.loads(run("train", *options.replace("--class-weight balanced", "").split()).stdout)
    smooth = json.loads(run("train", *options.replace("0.05", "0").split()).stdout)
    assert len({plain["loss"], smooth["loss"], found["loss"]}) == 3


def test_a_net_that_no_memory_holds_is_refused_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.memory.obtainable", lambda: 16e9)
    result = run("train", "--hidden", "99999999", "--device", "cpu", exit_code=1)
    assert result.stderr.splitlines()[-1] == (
        "Error: sizes [64, 99999999, 10] make 7,499,999,935 parameters, and initial weights for them take 76.8 GB of "
        "memory, and 16.0 GB can be had: choose smaller hidden sizes (--hidden), or float32 ($XPNN_MEMORY_MB says how "
        "much there is, if it is more)"
    )
    monkeypatch.setattr("xpnn.memory.obtainable", lambda: 1e8)
    result = run("train", "--hidden", "100000", "--batch-size", "999", "--device", "cpu", exit_code=1)
    assert "Error: training 7,500,010 parameters takes at least 0.9 GB of memory, and 0.1 GB can be" in result.stderr


def test_no_hidden_layer(run: Run) -> None:
    assert json.loads(run("train", "--hidden", "", "--epochs", "1", "--json").stdout)["sizes"] == [64, 10]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_optimizer_starts_at_its_usual_rate(run: Run, optimizer: str) -> None:
    """At Adam's rate of 0.004 plain gradient descent would stay below 60 %."""
    assert json.loads(run("train", "--optimizer", optimizer, "--json").stdout)["test_accuracy"] > 0.92


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_and_warm_up(run: Run, schedule: str) -> None:
    """The run is that of the library's recipe, to the bit."""
    run("train", "--schedule", schedule, "--warmup", "0.3", "--epochs", "2", "--out", "m", "--device", "cpu")
    data, recipe = xpnn.load("digits"), xpnn.recipes.RECIPES["default"]
    recipe = dataclasses.replace(recipe, schedule=schedule, warmup=0.3, epochs=2)
    net = recipe.network(64, data.labels)
    list(recipe.train(net, data.train))
    np.testing.assert_array_equal(xpnn.load_model("m").parameters, net.parameters)


def test_seed_recipe(run: Run) -> None:
    found = json.loads(run("train", "--recipe", "seed", "--limit", "300", "--dtype", "float64", "--json").stdout)
    net = xpnn.load_model("model.safetensors")
    assert (net.hidden, net.output, net.loss, net.bias) == (("sigmoid",), "sigmoid", "squared-error", False)
    assert found["epochs"] == 5
    assert found["test_accuracy"] > 0.7  # chance is 0.1


def test_csv_with_and_without_test_data(run: Run) -> None:
    write_csv("train.csv", rows=600)
    write_csv("test.csv", rows=30, seed=2)
    without = json.loads(run("train", "train.csv", "--json").stdout)
    assert without["test_accuracy"] is None
    assert without["validation_accuracy"] is not None
    assert (without["rows"], without["sizes"]) == (540, [16, 200, 3])
    given = json.loads(run("train", "train.csv", "--test-data", "test.csv", "--json").stdout)
    assert given["test_accuracy"] > 0.9
    assert given["rows"] == 600
    named = json.loads(run("train", "digits", "--test-data", "digits", "--epochs", "1", "--json").stdout)
    assert named["test_accuracy"] > 0.5
    more = json.loads(run("train", "train.csv", "--classes", "5", "--limit", "9" * 20, "--json").stdout)
    assert more["sizes"] == [16, 200, 5]


@pytest.mark.parametrize(
    ("arguments", "lost"),
    [
        ("train own.csv", "data"),
        ("train digits --test-data own.csv", "test data"),
        ("train digits --validation-data own.csv", "validation data"),
        ("train --config own.csv", "configuration"),
        ("draw own.csv", "data"),
    ],
)
def test_what_is_read_is_never_replaced(run: Run, arguments: str, lost: str) -> None:
    if lost == "configuration":
        Path("own.csv").write_text('data = "digits"\n')
    else:
        write_csv("own.csv", columns=64)
    content = Path("own.csv").read_bytes()
    Path("link").symlink_to("own.csv")
    for place in ("./own.csv", "link"):
        result = run(*arguments.split(), "--out", place, exit_code=2)
        assert f"--out: {Path(place)} is the {lost} itself, which would be lost; choose another name" in result.stderr
        assert Path("own.csv").read_bytes() == content


def test_a_model_may_be_called_as_a_data_set_is(run: Run) -> None:
    for _ in range(2):
        run("train", "digits", "--epochs", "1", "--out", "digits")


def test_pictures_of_no_rows_are_left_out(run: Run) -> None:
    write_csv("wide.csv", columns=17)
    assert "saved model.safetensors" in run("train", "wide.csv").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--hidden 10,x", "'10,x' is not a list of whole numbers"),
        ("--hidden 0", "not a list of whole numbers"),
        ("--hidden ²", "not a list of whole numbers"),
        ("--device gpu", "'gpu' is not one of auto, cpu, cuda, cuda:N"),
        ("--activation softmax", "unknown hidden activation 'softmax': choose from elu[:1], gelu,"),
        ("--activation relu,tanh", "1 hidden layers but 2 hidden activations"),
        ("--activation elu:x", "'x' is not a number; write alpha as in elu:1"),
        ("--output sofmax", "unknown output activation 'sofmax': choose from"),
        ("--loss huber:0", "huber's delta must be a positive number"),
        ("--loss mse", "unknown loss 'mse': choose from absolute-error"),
        ("--label-smoothing 1", "not in the range"),
        ("--label-smoothing nan", "not a finite number"),
        ("--output tanh --label-smoothing 0.1", "goes with losses of probabilities"),
        ("--class-weight heavy", "'heavy' is not"),
        ("--loss binary-cross-entropy", "goes with sigmoid outputs only"),
        ("--output tanh --loss cross-entropy", "goes with softmax outputs only"),
        ("--momentum 0.9", "--momentum goes with --optimizer momentum, nesterov, rmsprop, sgd; not with adam."),
        ("--momentum 0", "--momentum goes with --optimizer momentum"),
        ("--momentum 0 --optimizer nesterov", "nesterov needs a momentum"),
        ("--schedule cosin", "'cosin' is not one of 'constant', 'cosine'"),
        ("--warmup 1", "not in the range"),
        ("--warmup nan", "not a finite number"),
        ("--momentum 1.0 --optimizer sgd", "not in the range"),
        ("--lr 0", "not in the range"),
        ("--lr nan", "nan is not a finite number"),
        ("--lr inf", "inf is not a finite number"),
        ("--validation-fraction nan", "not a finite number"),
        ("--optimizer sgd --momentum nan", "not a finite number"),
        ("--epochs 0", "not in the range"),
        ("--batch-size -1", "not in the range"),
        ("--seed -1", "not in the range"),
        ("--limit 0", "not in the range"),
        ("--validation-fraction 1", "not in the range"),
        ("--validation-fraction 0.0001", "leaves one part empty"),
        ("--classes 1", "not in the range"),
        ("--classes 999999999", "not in the range"),
        ("--out nowhere/model", "there is no folder nowhere"),
        ("--recipe sead", "'sead' is not one of"),
        ("--speed 9", "No such option"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: str, message: str) -> None:
    result = run("train", *arguments.split(), exit_code=2)
    assert message in result.stderr
    assert result.stdout == ""
    assert not Path("model.safetensors").exists()


@pytest.mark.parametrize("command", ["train", "draw"])
@pytest.mark.parametrize(
    ("out", "exit_code", "message"),
    [
        ("", 2, "the name of a file is needed"),
        ("nowhere/model", 2, "there is no folder nowhere"),
        ("n" * 300, 1, "can't be written (File name too long)"),
        ("/dev/null", 1, "/dev/null: can't be written (a folder or device is there, not a file)"),
        ("refused", 1, "refused: can't be written (Permission denied); choose another place"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, out: str, exit_code: int, message: str
) -> None:
    def touch(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    if out == "refused":  # root may write everywhere, so chmod proves nothing
        monkeypatch.setattr(Path, "touch", touch)
    monkeypatch.setattr(xpnn, "load", lambda *_, **__: pytest.fail("the data were read first"))
    assert message in run(command, "--out", out, exit_code=exit_code).stderr


def test_the_longest_name_that_a_file_can_have(run: Run) -> None:
    run("train", "--epochs", "1", "--out", "n" * 255)
    assert [path.name for path in Path().iterdir()] == ["n" * 255]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere.csv", "nowhere.csv: no such file"),
        ("bad.csv", "bad.csv, line 2, column 3"),
        ("--classes 5", "label 9"),
        ("--lr 1e30", "diverged in epoch 1"),
        ("good.csv --test-data wide.csv", "17"),
        ("--hidden 9999999,9999999", "--hidden"),
    ],
)
def test_bad_data_and_failed_runs_are_one_line_and_exit_code_1(run: Run, arguments: str, message: str) -> None:
    write_csv("good.csv")
    write_csv("wide.csv", columns=17)
    Path("bad.csv").write_text("1,2,3\n4,5,x\n")
    result = run("train", "--device", "cpu", *arguments.split(), exit_code=1)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.splitlines()[-1] == line
    assert message in line
    assert result.stdout == ""
    assert not Path("model.safetensors").exists()


def test_memory_that_is_short_without_a_reason(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(xpnn, "load", short)
    assert "Error: not enough memory; lower --hidden or --limit\n" in run("train", exit_code=1).stderr


def test_device_errors_name_the_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    result = run("train", "--device", "cuda", exit_code=1)
    assert "CuPy is not installed; pip install 'xpnn[cuda12x]' (CUDA 12) or 'xpnn[cuda13x]' (CUDA 13)" in result.stderr


def test_auto_says_what_it_chose(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    driver: str | None = "/usr/bin/nvidia-smi"
    monkeypatch.setattr("shutil.which", lambda name: driver if name == "nvidia-smi" else None)
    result = run("train", "--epochs", "1", "--json")
    assert "device: cpu; CUDA can't be used: CuPy is not installed" in result.stderr
    driver = None  # without a driver nobody needs CuPy
    assert "device: cpu\n" in run("train", "--epochs", "1", "--json").stderr


@pytest.mark.usefixtures("fake_cupy")
def test_auto_takes_a_gpu(run: Run) -> None:
    result = run("train", "--epochs", "1", "--json")
    assert "device: cuda:0\n" in result.stderr
    assert json.loads(result.stdout)["device"] == "cuda:0"


# -- test, query, draw, devices ---------------------------------------------------------------------------------------


def test_test_shows_scores_and_confusion(run: Run, model: str) -> None:
    text = run("test", model).stdout
    assert text.startswith("accuracy 97.")
    assert "precision" in text
    found = json.loads(run("test", model, "--json").stdout)
    assert found.keys() == {"accuracy", "loss", "confusion", "n"}
    assert found["n"] == np.sum(found["confusion"]) == 355
    assert found["accuracy"] == np.trace(found["confusion"]) / 355
    assert json.loads(run("test", model, "--limit", "9", "--json").stdout)["n"] == 9


def test_test_of_rows_that_do_not_fit(run: Run, model: str) -> None:
    write_csv("other.csv")
    error = run("test", model, "other.csv", exit_code=1).stderr
    assert f"other.csv: its rows have 16 values, but {model} takes 64: name the data that it is for" in error
    Path("row.csv").write_text("12," + ",".join(["0"] * 64) + "\n")
    assert "row.csv, line 1: label 12 is out of range: 10 classes" in run("test", model, "row.csv", exit_code=1).stderr
    xpnn.save(xpnn.MLP([784, 10]), "mnist-model")
    error = run("test", "mnist-model", exit_code=1).stderr
    assert "digits: its rows have 64 values, but mnist-model takes 784: name the data that it is for, as in" in error
    assert "not a safetensors" in run("test", "row.csv", exit_code=1).stderr.replace("no safe", "not a safe")


def test_query_reads_rows_with_and_without_labels(run: Run, model: str) -> None:
    data = xpnn.load("digits")
    assert data.test is not None
    assert data.test.targets is not None
    rows = data.test.inputs[:5]
    np.savetxt("rows.csv", rows, fmt="%d", delimiter=",")
    np.savetxt("labelled.csv", np.column_stack([data.test.targets[:5], rows]), fmt="%d", delimiter=",")
    result = run("query", model, "rows.csv", "labelled.csv", "--json")
    answers = json.loads(result.stdout)
    net = xpnn.load_model(model)
    assert [answer["input"] for answer in answers] == [
        *(f"rows.csv:{i}" for i in range(1, 6)),
        *(f"labelled.csv:{i}" for i in range(1, 6)),
    ]
    assert "rows.csv: read as 64 pixels without a label; if not so, give --labelled" in result.stderr
    assert "labelled.csv: read as 64 pixels after a label" in result.stderr
    assert [answer["label"] for answer in answers] == 2 * net.predict(rows).tolist()
    np.testing.assert_array_equal([answer["probabilities"] for answer in answers[:5]], net.query(rows))
    line = run("query", model, "rows.csv").stdout.splitlines()[0]
    assert line.startswith(f"rows.csv:1  {answers[0]['label']}   ({answers[0]['label']} ")


def test_query_reads_the_test_rows_of_a_data_set_known_by_name(run: Run, model: str) -> None:
    test = xpnn.load("digits").test
    assert test is not None
    answers = json.loads(run("query", model, "digits", "--json").stdout)
    assert answers[0]["input"] == "digits:1"
    assert [answer["label"] for answer in answers] == xpnn.load_model(model).predict(test.inputs).tolist()


def test_query_is_told_whether_there_is_a_label(run: Run, model: str) -> None:
    names, row = "Label," + ",".join(f"p{i}" for i in range(63)), "5" + 63 * ",0"
    Path("plain.csv").write_text(f"{row}\n")
    Path("headed.csv").write_text(f"{names}\n{row}\n")
    Path("long.csv").write_text(f"{row},0\n")
    for arguments in (["headed.csv"], ["plain.csv", "--labelled"]):
        result = run("query", model, *arguments, exit_code=1)
        assert "its rows have 63 values; the model takes 64 (and a label before)" in result.stderr
        assert "read as" not in result.stderr
    assert "its rows have 65 values" in run("query", model, "long.csv", "--unlabelled", exit_code=1).stderr
    for arguments in (["plain.csv", "--unlabelled"], ["long.csv", "--labelled"], ["headed.csv", "--unlabelled"]):
        assert "read as" not in run("query", model, *arguments).stderr


@pytest.mark.parametrize(
    ("output", "outputs", "keys", "text"),
    [
        ("sigmoid", 3, ["input", "label", "probabilities"], "rows.csv:1  2   (2 88.08%, 1 73.11%, 0 50.00%)"),
        ("identity", 3, ["input", "label", "values"], "rows.csv:1  2   (2 2, 1 1, 0 0)"),
        ("identity", 1, ["input", "values"], "rows.csv:1  0"),
        ("sigmoid", 1, ["input", "values"], "rows.csv:1  0.5"),
    ],
)
def test_what_query_prints_is_what_the_outputs_are(
    run: Run, output: str, outputs: int, keys: list[str], text: str
) -> None:
    net = xpnn.MLP([4, outputs], output=output)
    net.layers[0].b[...] = np.arange(outputs)  # type: ignore[index]
    xpnn.save(net, "model")
    Path("rows.csv").write_text("0,0,0,0\n")
    (answer,) = json.loads(run("query", "model", "rows.csv", "--json").stdout)
    assert [*answer] == keys
    assert run("query", "model", "rows.csv").stdout == f"{text}\n"


def test_one_output_has_no_classes_to_test(run: Run) -> None:
    xpnn.save(xpnn.MLP([64, 1], output="identity"), "model")
    for form in ([], ["--json"]):
        error = run("test", "model", *form, "--device", "cpu", exit_code=1).stderr
        assert error == "Error: model: this model has one output, a value and no class; ask it with xpnn query\n"


def test_query_of_a_picture(run: Run, model: str) -> None:
    data = xpnn.load("digits")
    digit = 255 - np.kron(data.train.inputs[0].reshape(8, 8), np.ones((20, 20), dtype="uint8"))  # dark on light
    Image.fromarray(np.pad(digit, 30, constant_values=255)).save("zero.png")
    result = run("query", model, "zero.png", "--json")
    assert "zero.png: read as 8 x 8 pixels" in result.stderr
    (answer,) = json.loads(result.stdout)
    assert data.train.targets is not None
    assert (answer["input"], answer["label"]) == ("zero.png", data.train.targets[0])
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-6)


def test_query_of_several_digits_in_a_picture(run: Run, model: str) -> None:
    data = xpnn.load("digits")
    page = np.concatenate([np.pad(255 - data.train.inputs[i].reshape(8, 8), 2, constant_values=255) for i in range(3)])
    Image.fromarray(np.kron(page.reshape(3, 12, 12).swapaxes(0, 1).reshape(12, 36), np.ones((10, 10), "uint8"))).save(
        "a.png"
    )
    answers = json.loads(run("query", model, "a.png", "--json").stdout)
    assert [[*answer] for answer in answers] == 3 * [["input", "line", "box", "label", "probabilities"]]
    assert [answer["input"] for answer in answers] == ["a.png:1", "a.png:2", "a.png:3"]
    labels = [answer["label"] for answer in answers]
    assert labels == [0, 1, 2]
    for place, answer in enumerate(answers):
        left, top, right, bottom = answer["box"]
        assert 120 * place + 20 <= left < right <= 120 * place + 100
        assert (top, bottom) == (pytest.approx(20, abs=1), pytest.approx(100, abs=1))
    lines = run("query", model, "a.png").stdout.splitlines()
    assert [line.split("   ")[0] for line in lines] == ["a.png:1  0", "a.png:2  1", "a.png:3  2", "a.png reads 0 1 2"]


def test_query_of_lines_of_digits(run: Run, model: str) -> None:
    rows = [255 - xpnn.load("digits").train.inputs[i].reshape(8, 8) for i in (0, 1, 2, 3)]
    cells = [np.pad(np.kron(row, np.ones((10, 10), "uint8")), 30, constant_values=255) for row in rows]
    Image.fromarray(np.block([cells[:2], cells[2:]])).save("lines.png")
    lines = run("query", model, "lines.png").stdout.splitlines()
    assert lines[4:] == ["lines.png, line 1, reads 0 1", "lines.png, line 2, reads 2 3"]
    answers = json.loads(run("query", model, "lines.png", "--json").stdout)
    assert [answer["line"] for answer in answers] == [1, 1, 2, 2]


def test_query_remarks_on_what_it_passed_over_and_on_unsure_answers(run: Run, model: str) -> None:
    digit = 255 - np.kron(xpnn.load("digits").train.inputs[0].reshape(8, 8), np.ones((20, 20), dtype="uint8"))
    page = np.pad(digit, ((60, 60), (60, 300)), constant_values=255)
    page[-20:, -60:-20] = 0
    Image.fromarray(page).save("marked.png")
    remark = run("query", model, "marked.png").stderr.splitlines()[-1]
    assert remark.startswith("marked.png: passed over a mark at pixels ")
    net = xpnn.load_model(model)
    net.parameters[...] = 0  # all classes have a tenth
    xpnn.save(net, "unsure")
    told = run("query", "unsure", "marked.png").stderr
    assert told.endswith("marked.png: the model is unsure; --show draws what it sees\n")


def test_query_of_a_folder_of_photos_says_how_they_are_given(run: Run, model: str) -> None:
    Path("photos").mkdir()
    Image.new("L", (50, 40), 255).save("photos/one.png")
    hint = "; photos, in which digits are looked for, are given one by one: photos/*\n"
    assert run("query", model, "photos", exit_code=1).stderr.endswith(hint)
    Image.new("L", (60, 40), 255).save("photos/two.png")
    assert run("query", model, "photos", exit_code=1).stderr.endswith(hint)


def test_query_shows_what_the_net_saw(run: Run, model: str) -> None:
    data = xpnn.load("digits")
    rows = data.train.inputs[:5]
    Image.fromarray(rows[0].reshape(8, 8)).save("zero.png")
    lines = run("query", model, "zero.png", "--show").stdout.splitlines()
    assert lines[1] == "0"
    assert lines[2:] == [line.rstrip() for line in xpnn.draw_digit(rows[0]).splitlines()]
    np.savetxt("rows.csv", rows, fmt="%d", delimiter=",")
    lines = run("query", model, "rows.csv", "--show").stdout.splitlines()
    assert lines[5].split() == ["0", "1", "2", "3"]  # a strip of four, and one of one
    assert lines[14].split() == ["4"]
    assert len(lines) == 5 + 2 * 9


def test_query_slants_digits_back_where_it_is_asked(run: Run, model: str) -> None:
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line([(130, 20), (70, 180)], fill=0, width=16)
    image.save("slash.png")
    plain, upright = (run("query", model, "slash.png", "--show", *more).stdout for more in ([], ["--deskew"]))
    assert max(map(len, plain.splitlines()[2:])) > max(map(len, upright.splitlines()[2:]))


def test_query_says_why_it_cannot_show(run: Run, model: str) -> None:
    np.savetxt("rows.csv", np.zeros((1, 65)), fmt="%d", delimiter=",")
    error = run("query", model, "rows.csv", "--show", "--json", exit_code=2).stderr
    assert "--show draws on stdout, where --json leaves room for nothing else: give one of them." in error
    xpnn.save(xpnn.MLP([2, 1], output="identity", columns=["a", "b"], labels=["c"]), "table")
    error = run("query", "table", "rows.csv", "--show", exit_code=2).stderr
    assert "--show: table takes the columns of a table, which make no picture." in error
    xpnn.save(xpnn.MLP([5, 3]), "five")
    Path("five.csv").write_text("0,0,0,0,0\n")
    for arguments in (["five.csv", "--show"], ["blank.png"]):
        Image.new("L", (100, 100), 255).save("blank.png")
        error = run("query", "five", *arguments, exit_code=1).stderr
        assert f"{arguments[0]}: the model takes 5 values, which is no square picture" in error
    result = run("query", model, "blank.png", exit_code=1)
    assert "Error: blank.png: the picture is blank: no strokes stand out from the background\n" in result.stderr
    assert result.stdout == ""


def test_query_of_what_does_not_fit(run: Run, model: str) -> None:
    write_csv("other.csv")
    assert "its rows have 17 values; the model takes 64" in run("query", model, "other.csv", exit_code=1).stderr
    assert "nowhere.png: no such file" in run("query", model, "nowhere.png", exit_code=1).stderr
    run("query", model, exit_code=2)


@pytest.mark.parametrize("output", ["softmax", "identity"])
@pytest.mark.parametrize("command", ["query", "test"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_answers_that_are_not_finite_are_refused(run: Run, command: str, output: str, form: list[str]) -> None:
    net = xpnn.MLP([64, 5, 10], output=output)
    net.parameters[...] = 1e38
    xpnn.save(net, "huge")
    np.savetxt("rows.csv", np.full((2, 65), 9), fmt="%d", delimiter=",")
    result = run(command, "huge", "rows.csv", "--device", "cpu", *form, exit_code=1)
    error = "Error: huge: its answers are not finite numbers, so its weights are too large; train it anew"
    assert result.stderr.splitlines()[-1] == error
    assert "Warning" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["query", "test", "train"])
def test_floats_too_large_for_the_network_are_refused(run: Run, model: str, command: str) -> None:
    np.savez("big.npz", x=np.full((30, 64), 1e300), y=np.arange(30) % 3)
    arguments = ["big.npz"] if command == "train" else [model, "big.npz"]
    error = run(command, *arguments, exit_code=1).stderr
    assert "Error: big.npz: x has a value that is too large (beyond 3.4e38) in row 0, counted from 0: correct" in error


def test_labels_with_names_of_their_own(run: Run) -> None:
    xpnn.save(xpnn.MLP([64, 3], labels=["cat", "dog", "owl"]), "named")
    np.savetxt("rows.csv", np.zeros((1, 64)), fmt="%d", delimiter=",")
    assert json.loads(run("query", "named", "rows.csv", "--json").stdout)[0]["label"] == "cat"


def test_draw_in_the_terminal_and_as_png(run: Run) -> None:
    data = xpnn.load("digits")
    result = run("draw", "digits", "--index", "3", "--out", "digit.png")
    assert result.stdout.splitlines()[1:] == xpnn.draw_digit(data.train.inputs[3]).splitlines()
    with Image.open("digit.png") as image:
        assert image.size == (280, 280)
    assert "digits has 1442 rows, 0 to 1441" in run("draw", "--index", "1442", exit_code=2).stderr
    run("draw", "--index", "9" * 20, exit_code=2)
    write_csv("wide.csv", columns=17)
    assert "no square picture" in run("draw", "wide.csv", exit_code=1).stderr


def test_draw_shows_what_augmentation_makes_of_a_picture(run: Run) -> None:
    pixels = xpnn.load("digits").train.inputs[3]
    lines = run("draw", "--index", "3", "--augment", "--out", "all.png").stdout.splitlines()
    assert len(lines) == 1 + 2 * 8
    own = [f"{line[:16]:16}" for line in lines[1:9]]
    assert own == xpnn.draw_digit(pixels).splitlines()
    pictures = {
        tuple(f"{line:73}"[at : at + 16] for line in lines[top : top + 8]) for top in (1, 9) for at in (0, 19, 38, 57)
    }
    assert len(pictures) == 8
    with Image.open("all.png") as image:
        assert image.size[0] == 2 * image.size[1]
    shifted = run("draw", "--index", "3", "--augment", "--shift", "2", "--seed", "1").stdout
    assert shifted == run("draw", "--index", "3", "--augment", "--shift", "2", "--seed", "1").stdout
    assert shifted != run("draw", "--index", "3", "--augment", "--shift", "2").stdout
    still = run("draw", "--index", "3", "--augment", "--shift", "0").stdout.splitlines()
    assert {f"{still[3]:73}"[at : at + 16] for at in (0, 19, 38, 57)} == {xpnn.draw_digit(pixels).splitlines()[2]}


def test_draw_shows_noise(run: Run) -> None:
    pixels = xpnn.load("digits").train.inputs[0].astype("float32")
    run("draw", "--augment", "--input-noise", "0.25", "--seed", "3", "--out", "all.png")
    with Image.open("all.png") as image:
        lines = np.asarray(image.resize((4 * 8, 2 * 8), Image.Resampling.NEAREST)).astype("float64")
    pictures = lines.reshape(2, 8, 4, 8).swapaxes(1, 2).reshape(8, 64)
    np.testing.assert_array_equal(pictures[0], pixels)
    expected = noisy(np.repeat(pixels[None], 7, axis=0), 0.25 * 255, 3)
    np.testing.assert_array_equal(pictures[1:], np.rint(expected.clip(0, 255)))


def test_draw_augments_pictures_of_floats(run: Run) -> None:
    digits = xpnn.load("digits").train.take(slice(3))
    np.save("x.npy", (digits.inputs / 255).reshape(3, 8, 8).astype("float32"))
    np.save("y.npy", digits.targets)  # type: ignore[arg-type]
    for options in (("--seed", "4"), ("--input-noise", "0.1"), ("--input-noise", "0", "--shift", "0.5")):
        drawn = run("draw", "--augment", *options).stdout
        found = run("draw", "x.npy", "--augment", *options).stdout.replace("x.npy", "digits")
        alike = [a == b for a, b in zip(found, drawn, strict=True)]
        assert sum(alike) > 0.97 * len(alike)  # a shade may be rounded otherwise


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "--input-noise", "1"], "--input-noise is for --augment; give that too."),
        (["draw", "--rotate", "10"], "--rotate is for --augment; give that too."),
        (["draw", "--seed", "1"], "--seed is for --augment; give that too."),
        (["draw", "--augment", "--shift", "8"], "shift 8 leaves nothing of pictures of 8 x 8 pixels"),
        (["train", "--cutout", "8"], "cutout 8 leaves nothing of pictures of 8 x 8 pixels"),
        (["train", "--elastic", "nan"], "--elastic"),
        (["train", "--zoom", "1"], "--zoom"),
        (["train", "--optimizer", "lbfgs", "--rotate", "10"], "--rotate doesn't go with --optimizer lbfgs"),
        (["train", "--optimizer", "lbfgs", "--recipe", "augmented"], "L-BFGS can't follow augmentation="),
        (["train", "t.csv", "--targets", "b", "--rotate", "10"], "is for square pictures, not for tables"),
        (["find-lr", "t.csv", "--targets", "b", "--rotate", "10"], "is for square pictures, not for tables"),
    ],
)
def test_augmentation_that_cannot_work_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    Path("t.csv").write_text("a,b\n" + "".join(f"{row},{2 * row}\n" for row in range(30)))
    error = run(*arguments, exit_code=2).stderr
    assert message in error.splitlines()[-1]


def test_train_augments(run: Run) -> None:
    loss = {}
    for options in ((), ("--rotate", "10", "--elastic", "34", "--shift", "0.5")):
        result = json.loads(run("train", "--epochs", "4", "--json", "--device", "cpu", *options).stdout)
        loss[bool(options)] = result["loss"]
        assert result["test_accuracy"] > 0.9
    assert loss[True] > 1.2 * loss[False]  # such rows are harder


def test_any_row_of_a_file_is_drawn_whatever_its_label(run: Run) -> None:
    Path("letters.csv").write_text("0,0,0,9,9\n25,0,0,9,9\n")
    for index, label in enumerate(("0", "25")):
        assert f"row {index}: {label}\n" in run("draw", "letters.csv", "--index", str(index)).stdout
    assert "letters.csv has 2 rows" in run("draw", "letters.csv", "--index", "9" * 20, exit_code=2).stderr


def test_devices_without_a_gpu(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    found = json.loads(run("devices", "--json").stdout)
    assert (found["xpnn"], found["numpy"]) == (xpnn.__version__, np.__version__)
    assert found["cpu"]["cores"] == os.cpu_count()
    assert found["cpu"]["blas"]["name"]
    assert (found["cuda"]["usable"], found["cuda"]["problem"][:21]) == (False, "CuPy is not installed")
    assert "can't be used: CuPy is not installed" in run("devices").stdout


def test_devices_with_gpus(run: Run, fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_cupy, "__version__", "14.2.0", raising=False)
    runtime: Any = fake_cupy.cuda.runtime
    runtime.runtimeGetVersion, runtime.driverGetVersion = lambda: 12090, lambda: 13000
    about = {"name": b"Fake H200", "totalGlobalMem": 141 * 2**30, "major": 9, "minor": 0}
    runtime.getDeviceProperties = lambda index: about
    found = json.loads(run("devices", "--json").stdout)["cuda"]
    assert [gpu["device"] for gpu in found["gpus"]] == ["cuda:0", "cuda:1"]
    assert "cuda:1   Fake H200, 141 GiB, compute 9.0" in run("devices").stdout


# -- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["train"], ["test"], ["query"], ["draw"], ["devices"]])
def test_help_teaches(run: Run, command: list[str]) -> None:
    text = run(*command, "--help").stdout
    assert text.startswith("Usage: ")
    assert len(text) > 200


def test_help_says_that_query_prints_a_list(run: Run) -> None:
    assert "With --json it prints a list" in run("query", "--help").stdout
    for command in ("train", "test", "query", "devices"):
        assert "JSON object" not in run(command, "--help").stdout


def test_help_fits_a_terminal_of_80_columns_and_lists_commands_as_they_are_needed() -> None:
    commands, data = main.commands, main.commands["data"]
    assert isinstance(data, Group)
    for command in ([], *([name] for name in commands), *(["data", name] for name in data.commands)):
        text = CliRunner().invoke(main, [*command, "--help"], terminal_width=80).stdout
        assert [line for line in text.splitlines() if len(line) > 80] == [], command
        assert "..." not in text.partition("Commands:\n")[2]  # each command's line is a whole sentence
    below = CliRunner().invoke(main, ["--help"]).stdout.partition("Commands:\n")[2]
    listed = [line.split()[0] for line in below.splitlines()]
    assert (listed[0], sorted(listed)) == ("train", sorted(commands))


def test_ascii_terminals_get_ascii_pictures(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "xpnn_cli", "draw"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=True)
    assert done.stderr == b""
    assert b"##" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize(("columns", "across"), [(200, 4), (80, 4), (40, 2), (10, 1)])
def test_pictures_side_by_side_fit_the_terminal(tmp_path: Path, columns: int, across: int) -> None:
    import termios

    reader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "xpnn_cli", "draw", "--augment"]
    with subprocess.Popen(command, stdout=terminal, cwd=tmp_path, env=environment) as process:
        os.close(terminal)
        written = b""
        with suppress(OSError):  # Linux's way to say that the other end is closed
            while part := os.read(reader, 4096):
                written += part
    os.close(reader)
    lines = written.decode().splitlines()[1:]
    assert (process.returncode, len(lines)) == (0, 8 * 8 // across)  # eight pictures of eight lines
    width = max(map(len, lines))  # each is 16 columns wide, but its last ones may be empty
    assert 19 * (across - 1) < width <= 19 * across - 3


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`xpnn` stands for the command of the tests' own package."""
    command = command.replace("xpnn", f"{sys.executable} -m xpnn_cli", 1)
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="the shell is Unix's")
@pytest.mark.parametrize(
    "command", ["train --epochs 1 --device cpu >&-", "train --epochs 1 --device cpu 2>&-", "draw >&-"]
)
def test_closed_streams_lose_nothing_but_what_would_be_written_there(tmp_path: Path, command: str) -> None:
    done = shell(f"xpnn {command}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "model.safetensors").exists() == command.startswith("train")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["draw", "devices --json"])
def test_a_full_disk_is_one_line(tmp_path: Path, command: str) -> None:
    done = shell(f"xpnn {command} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: the output can't be written (No space left on device); make room for it\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["draw --out a.png", "find-lr --steps 10 --plot a.png"])
def test_a_picture_is_written_whatever_becomes_of_what_is_printed(tmp_path: Path, command: str) -> None:
    assert shell(f"xpnn {command} >/dev/full", tmp_path).returncode == 1
    assert (tmp_path / "a.png").stat().st_size > 0


def test_interrupt_is_exit_code_130_and_saves_the_last_epoch(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so do children
    command = [sys.executable, "-m", "xpnn_cli", "train", "--epochs", "100000", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 2"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert "Traceback" not in rest
    assert "Interrupted" in rest
    epoch = re.search(r"model.safetensors has the weights after epoch (\d+)\n", rest)
    assert epoch
    assert int(epoch[1]) >= 2
    assert (
        xpnn.evaluate(xpnn.load_model(tmp_path / "model.safetensors"), xpnn.load("digits").train).accuracy or 0
    ) > 0.9
    assert len(list(tmp_path.iterdir())) == 1


def test_interrupt_while_modules_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")  # found before the real one
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import xpnn_cli"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_live_bar_on_a_terminal(tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "xpnn_cli",
        "train",
        "--epochs",
        "2",
        "--batch-size",
        "1",
        "--device",
        "cpu",
        "--json",
    ]
    with subprocess.Popen(command, stderr=follower, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        os.close(follower)
        shown = b""
        with suppress(OSError):  # Linux's way to say that the other side is closed
            while part := os.read(leader, 4096):
                shown += part
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["epochs"] == 2
        assert process.wait() == 0
    os.close(leader)
    bars = shown.decode().replace("\r\n", "\n").split("\n")
    assert "epoch 1/2" in bars[0]
    assert "loss 0." in bars[0]
    assert any("epoch 2/2" in bar and "accuracy" in bar and "test" in bar for bar in bars)


@pytest.mark.usefixtures("fake_cupy")
def test_precision_is_for_a_gpu(run: Run) -> None:
    few = ("--limit", "100", "--epochs", "2")
    rounded, exact = (
        json.loads(run("train", "--json", "--device", "cuda", *few, *more).stdout)
        for more in (("--precision", "bf16"), ())
    )
    assert 0 < abs(rounded["loss"] - exact["loss"]) < 0.01
    refused = run("train", "--precision", "tf32", "--device", "cpu", exit_code=2).stderr
    assert "precision tf32 needs a CUDA device; on the CPU leave it out" in refused


def test_a_warning_is_one_line(run: Run, fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("NVRTC can't be loaded")

    monkeypatch.setattr("fake_device.emulated", broken)
    monkeypatch.setattr("warnings.filters", [])
    stderr = run("train", "--device", "cuda", "--limit", "100", "--epochs", "1").stderr
    assert "\nWarning: the fast train step can't be used (NVRTC can't be loaded); plain array" in stderr
    assert "RuntimeWarning" not in stderr
