"""Settings from a file: a run's own file repeats it bit for bit, and what is wrong in one is named with its line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result
from xpnn_cli import main
from xpnn_cli.config import options_of

import xpnn

Run = Callable[..., Result]
SHORT = ["--epochs", "1"]


def settings_in(path: str) -> dict[str, Any]:
    return {key: value for key, value in tomllib.loads(Path(path).read_text()).items() if key != "made"}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--recipe", "seed", "--limit", "300"],
        ["--recipe", "seed", "--output", "softmax", "--limit", "300"],  # another loss and target range follow from it
        ["--recipe", "dropout", "--hidden", "30,20", "--activation", "tanh,relu"],
        ["--recipe", "augmented", "--hidden", "", "--cutout", "2", "--elastic", "0", "--rotate", "3.3"],
        ["--optimizer", "momentum", "--momentum", "0.8", "--weight-decay", "1e-3", "--plateau", "0", "--patience", "3"],
        ["--optimizer", "lion", "--schedule", "cosine", "--warmup", "0.3", "--seed", "7", "--dtype", "float64"],
        ["--output", "sigmoid", "--class-weight", "balanced", "--validation-fraction", "0.2", "--classes", "12"],
        ["--loss", "focal:1.5", "--activation", "leaky-relu:0.2", "--average", "0.9", "--checkpoint-every", "10m"],
        ["--patience", "2", "--metric", "validation_accuracy", "--minimum-change", "0.01", "--test-data", "digits"],
    ],
    ids=" ".join,
)
def test_a_runs_own_file_repeats_it(run: Run, options: list[str]) -> None:
    run("train", "--run", "a", *SHORT, *options)
    run("train", "--run", "b", "--config", "a/config.toml")
    assert Path("b/model.safetensors").read_bytes() == Path("a/model.safetensors").read_bytes()
    assert settings_in("b/config.toml") == settings_in("a/config.toml")
    records = [[{**record, "seconds": 0} for record in xpnn.read_history(name)] for name in "ab"]
    assert records[0] == records[1]


def test_a_run_with_checkpoints_is_repeated_without_them(run: Run) -> None:
    run("train", "--run", "a", "--checkpoint-every", "1", *SHORT)
    run("train", "--config", "a/config.toml", "--out", "again")
    assert Path("again").read_bytes() == Path("a/model.safetensors").read_bytes()


def test_the_device_that_auto_was_is_written_down(run: Run) -> None:
    run("train", "--run", "a", *SHORT)
    assert settings_in("a/config.toml")["device"] == xpnn.Device.named("auto").kind


def test_lbfgs_is_repeated(run: Run) -> None:
    pytest.importorskip("scipy")
    run("train", "--run", "a", "--optimizer", "lbfgs", *SHORT)
    run("train", "--run", "b", "--config", "a/config.toml")
    assert Path("b/model.safetensors").read_bytes() == Path("a/model.safetensors").read_bytes()


def test_a_table_is_repeated_from_another_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    Path("t.csv").write_text("\n".join(['"a, b",price,tax', *(f"{a},{b},{a + b}" for a, b in rows)]))
    run("train", "t.csv", "--targets", 'tax,"a, b"', "--run", "a", *SHORT)
    assert settings_in("a/config.toml")["targets"] == ["tax", "a, b"]
    assert settings_in("a/config.toml")["data"] == str(Path("t.csv").resolve())
    monkeypatch.chdir("a")
    run("train", "--config", "config.toml", "--out", "again")
    assert Path("again").read_bytes() == Path("model.safetensors").read_bytes()


def test_the_file_tells_how_the_run_was_made(run: Run) -> None:
    run("train", "--run", "a", *SHORT)
    made = tomllib.loads(Path("a/config.toml").read_text())["made"]
    assert (made["xpnn"], made["numpy"]) == (xpnn.__version__, np.__version__)
    assert made["rows"] == 1442
    assert len(made["data_sha256"]) == 64
    assert {"command", "started", "xpnn", "python", "blas", "device"} <= made.keys()


def test_the_command_line_wins_over_the_file_and_the_file_over_the_recipe(run: Run) -> None:
    Path("my.toml").write_text('recipe = "dropout"\nhidden = [30, 20]\nepochs = 2\nlr = 1e-3\ndropout = 0\n')
    run("train", "--config", "my.toml", "--run", "a", "--epochs", "1", "--hidden", "10")
    found = settings_in("a/config.toml")
    assert (found["epochs"], found["hidden"], found["dropout"], found["lr"]) == (1, [10], 0.0, 0.001)
    assert found["input-dropout"] == 0.2  # the recipe's


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3\nepocs = 3\n", "my.toml, line 2: epocs: there is no such setting; `xpnn train --help` names all"),
        ("\nbatch_size = 3\n", "my.toml, line 2: batch_size: there is no such setting; is it batch-size?"),
        ("[run]\nepochs = 3\n", "my.toml, line 1: run: a text in quotes is wanted, not {'epochs': 3}"),
        ("[network]\nepochs = 3\n", "my.toml, line 1: network: there is no such setting"),
        ("epochs = 3.5", "my.toml, line 1: epochs: a whole number is wanted, not 3.5"),
        ("epochs = true", "epochs: a whole number is wanted, not True"),
        ("epochs = '3'", "epochs: a whole number is wanted, not '3'"),
        ("lr = '0.1'", "lr: a number is wanted, not '0.1'"),
        ("lr = false", "lr: a number is wanted, not False"),
        ("seed = 1\n # lr = 3\n lr=-1", "my.toml, line 3: lr: -1.0 is not in the range x>0."),
        ("lr = nan", "lr: nan is not a finite number."),
        ("epochs = 0", "epochs: 0 is not in the range x>=1."),
        ("data = 3", "data: a text in quotes is wanted, not 3"),
        ("hidden = 3.5", "hidden: a text, or a list of texts or numbers is wanted, not 3.5"),
        ("hidden = [1, [2]]", "hidden: a text, or a list of texts or numbers is wanted, not [1, [2]]"),
        ("hidden = [1, true]", "hidden: a text, or a list"),
        ("hidden = [0]", "hidden: '0' is not a list of whole numbers such as 200 or 300,100."),
        ("checkpoint-every = '5x'", "checkpoint-every: '5x' is neither a number of epochs, such as 5, nor a time"),
        ("checkpoint-every = 1.5", 'checkpoint-every: a number of epochs, or a text such as "10m" is wanted, not 1.5'),
        ("recipe = 'usual'", "recipe: 'usual' is not one of"),
        (r'out = "a\u0000b"', "embedded null"),  # Python 3.13 says more of it
        (r'"a\u001b[1m" = 1', r"a\x1b[1m: there is no such setting"),
        (f"recipe = '{'usual ' * 500}'", "my.toml, line 1: recipe: 'usual usual"),
        ("json = true", "json: there is no such setting"),
        ("resume = 'a'", "resume: there is no such setting"),
        ("epochs = ", "my.toml: this is no TOML (Invalid value (at end of document)); correct it"),
        ("epochs = 1\nepochs = 2\n", "my.toml: this is no TOML (Cannot overwrite a value (at line 2, column 11))"),
        ("a = " + "[" * 10_000, "my.toml: this is no TOML ("),
        (
            "a." * 2000 + "a = 1",
            "this is no file of settings, for it has more than 65,536 bytes, or 1,000 dots in a line",
        ),
        ("#" * 70_000, "my.toml: this is no file of settings, for it has more than 65,536 bytes"),
        ("momentum = 0.5", "--momentum goes with --optimizer"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(run: Run, text: str, message: str) -> None:
    Path("my.toml").write_text(text)
    said = " ".join(run("train", "--config", "my.toml", exit_code=2).stderr.split())
    assert message in said
    assert len(said) < 1000
    assert [path.name for path in Path().iterdir()] == ["my.toml"]


def test_a_file_that_is_none(run: Run) -> None:
    assert "no.toml: no such file" in run("train", "--config", "no.toml", exit_code=2).stderr
    Path("my.toml").write_bytes(b"\xff\xfe")
    assert "my.toml: this is no TOML ('utf-8' codec" in run("train", "--config", "my.toml", exit_code=2).stderr


def test_a_file_of_an_editor_on_windows(run: Run) -> None:
    Path("my.toml").write_bytes(b"\xef\xbb\xbfhidden = [7]\r\nepochs = 1\r\n")
    assert json.loads(run("train", "--config", "my.toml", "--json").stdout)["sizes"] == [64, 7, 10]


def test_each_option_of_train_has_a_name_there() -> None:
    command = main.commands["train"]
    assert isinstance(command, click.Command)
    names = options_of(command)
    missing = {option.name for option in command.params} - {option.name for option in names.values()}
    assert missing == {"config", "resume", "as_json"}
    assert {"data", "hidden", "lr", "batch-size", "average", "test-data"} <= names.keys()
