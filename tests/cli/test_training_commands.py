"""The commands and options around training: early stopping, runs and their plots, find-lr, cross-validate."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from xpnn_cli import main
from xpnn_cli.settings import OPTIONS

import xpnn
from xpnn.recipes import RECIPES

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder; a traceback is a failure of the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--device", "cpu"] if arguments[0] != "plot" else arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


def answer(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_help_groups_the_options_and_shows_every_default(run: Run) -> None:
    text = CliRunner().invoke(main, ["train", "--help"], terminal_width=200).stdout
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert headings == [
        "Options",
        "Data",
        "Network",
        "Learning",
        "Learning rate",
        "Regularisation",
        "Augmentation",
        "Stopping",
        "Keeping a run",
    ]
    settings = text[text.index("Network:") : text.index("Keeping a run:")]
    entries = re.split(r"\n  (?=-)", settings)[1:]
    assert len(entries) == len(OPTIONS) - 1  # all but --recipe, which stands above
    assert [entry for entry in entries if "[default: " not in entry] == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> xpnn.MLP:
    """What is learnt without any of these options."""
    path = str(tmp_path_factory.mktemp("plain") / "model.safetensors")
    done = CliRunner().invoke(main, ["train", "--epochs", "20", "--device", "cpu", "--out", path])
    assert done.exit_code == 0, done.output
    return xpnn.load_model(path)


@pytest.mark.parametrize(
    "options",
    [
        *(["--dropout", "0.2", "--input-dropout", "0.1", "--max-norm", "3"], ["--input-noise", "0.1", "--l1", "1e-5"]),
        *(
            ["--l2", "1e-3", "--clip-norm", "1", "--clip-value", "0.5"],
            ["--optimizer", "adamw", "--weight-decay", "0.1"],
        ),
        *(["--average", "0.99"], ["--plateau", "0", "--lr", "0.01"], ["--optimizer", "lbfgs", "--l2", "1e-3"]),
        *(["--class-weight", "balanced"], ["--label-smoothing", "0.1"], ["--activation", "gelu", "--hidden", "50,50"]),
        *(["--shift", "0.5"], ["--rotate", "10"], ["--zoom", "0.1"], ["--shear", "5"], ["--elastic", "20"]),
        *(["--cutout", "2"], ["--recipe", "augmented"]),
        ["--loss", "focal:1.5"],
    ],
)
def test_every_part_is_reachable_and_changes_what_is_learnt(run: Run, plain: xpnn.MLP, options: list[str]) -> None:
    found = answer(run("train", "--json", "--epochs", "20", *options))
    assert found["test_accuracy"] > 0.92
    other = xpnn.load_model("model.safetensors")
    assert plain.parameters.shape != other.parameters.shape or not np.array_equal(plain.parameters, other.parameters)


def test_patience_stops_by_rows_set_aside_and_keeps_the_best_weights(run: Run) -> None:
    result = run("train", "--json", "--patience", "2", "--epochs", "200", "--lr", "0.02", "--run", "first")
    found, history = answer(result), xpnn.read_history("first")
    losses = [record["validation_loss"] for record in history]
    assert found["epochs"] == len(losses) < 200
    assert int(np.argmin(losses)) == len(losses) - 3
    assert "144 of the 1,442 training rows are set aside" in result.stderr
    _, validation = xpnn.load("digits").train.split(0.1)
    assert xpnn.evaluate(xpnn.load_model("first/model.safetensors"), validation).loss == pytest.approx(min(losses))
    assert found["model"] == "first/model.safetensors"


def test_own_validation_rows_are_measured_on(run: Run) -> None:
    found = answer(run("train", "--json", "--epochs", "3", "--validation-data", "digits"))
    assert found["validation_accuracy"] == found["test_accuracy"]  # both are the digits' test rows
    assert found["rows"] == 1442
    np.savez("narrow.npz", x=np.zeros((3, 9), dtype="uint8"), y=np.arange(3))
    error = run("train", "--validation-data", "narrow.npz", exit_code=1).stderr
    assert "narrow.npz: its rows have 9 values, those of digits have 64" in error


@pytest.mark.parametrize(
    ("options", "noted"),
    [(["--epochs", "40", "--lr", "0.01", "--schedule", "constant"], True), (["--epochs", "3"], False)],
)
def test_a_note_says_when_the_net_overfits(run: Run, options: list[str], noted: bool) -> None:
    found = answer(run("train", "--json", "--limit", "200", *options))
    assert (found["note"] is not None) == noted
    if noted:
        assert re.search(r"test loss was least after epoch \d+ .* the net overfits; try --patience", found["note"])
        assert "\nnote: the test loss was least" in run("train", "--limit", "200", *options).stdout


@pytest.mark.parametrize(
    ("options", "remedies"),
    [
        (["--lr", "0.01", "--schedule", "constant"], "--patience 5, --dropout 0.3"),
        (["--lr", "0.01", "--schedule", "constant", "--dropout", "0.1"], "--patience 5"),
        (["--optimizer", "lbfgs"], "--l2 0.001"),
        (["--optimizer", "lbfgs", "--l2", "1e-9"], "a larger --l2"),
    ],
)
def test_the_note_names_options_that_the_run_can_have_and_had_not(run: Run, options: list[str], remedies: str) -> None:
    note = answer(run("train", "--json", "--limit", "200", "--epochs", "60", *options))["note"]
    assert note.endswith(f"try {remedies} or fewer epochs")


def test_divergence_keeps_the_last_good_epochs_weights(run: Run) -> None:
    options = ["--optimizer", "sgd", "--schedule", "one-cycle", "--lr", "1e7", "--epochs", "5", "--output", "identity"]
    result = run("train", *options, exit_code=1)
    assert "training diverged in epoch 1, step" in result.stderr  # nothing was learnt yet
    assert not Path("model.safetensors").exists()
    options = ["--optimizer", "sgd", "--lr", "50", "--warmup", "0.9", "--epochs", "30", "--output", "identity"]
    result = run("train", *options, exit_code=1)
    epoch = int(re.search(r"diverged in epoch (\d+), step \d+ of 46", result.stderr)[1])  # type: ignore[index]
    assert epoch > 1
    assert f"model.safetensors has the weights after epoch {epoch - 1}" in result.stderr.replace("\n", " ")
    assert np.isfinite(xpnn.load_model("model.safetensors").parameters).all()


@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_plot_draws_a_run(run: Run, name: str) -> None:
    run("train", "--epochs", "3", "--run", "runs/a")
    assert [record["epoch"] for record in xpnn.read_history("runs/a")] == [1, 2, 3]
    result = run("plot", "runs/a", *(["--out", name] if name.endswith("svg") else []))
    assert result.stdout.startswith("3 epochs, last loss 0.")
    drawn = Path(name if name.endswith("svg") else f"runs/a/{name}").read_bytes()
    assert drawn.startswith(b"<?xml" if name.endswith("svg") else b"\x89PNG")
    assert len(drawn) > 10_000


def test_what_cannot_be_plotted_is_one_line(run: Run) -> None:
    assert "nothing: there is no such file" in run("plot", "nothing", exit_code=1).stderr.replace("\n", " ")
    run("train", "--epochs", "1", "--run", "a")
    assert "must end in .png, .svg or .pdf" in run("plot", "a", "--out", "a.gif", exit_code=1).stderr


def test_find_lr_suggests_and_draws(run: Run) -> None:
    result = run("find-lr", "--optimizer", "sgd", "--plot", "rates.png")
    suggested = re.fullmatch(r"learning rate ([\d.]+); train with (--optimizer sgd --lr \1)\n", result.stdout)
    assert suggested
    assert Path("rates.png").read_bytes().startswith(b"\x89PNG")
    assert not Path("model.safetensors").exists()
    assert answer(run("train", "--json", *suggested[2].split()))["test_accuracy"] > 0.96
    found = answer(run("find-lr", "--json", "--optimizer", "sgd", "--momentum", "0.9", "--steps", "150"))
    assert 1e-3 < found["suggestion"] < 1
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) <= 150


def test_find_lr_says_when_it_saw_little(run: Run) -> None:
    assert "the suggestion is weak; try more --steps" in run("find-lr", "--most", "1e-5").stderr


def test_cross_validate_measures_each_fold(run: Run) -> None:
    result = run("cross-validate", "--json", "--folds", "3", "--epochs", "3")
    found = answer(result)
    accuracies = [fold["accuracy"] for fold in found["folds"]]
    assert len(accuracies) == 3
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(accuracies), rel=1e-12)
    assert found["deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1), rel=1e-12)
    assert min(accuracies) > 0.9
    assert result.stderr.count("fold ") == 3
    rows, part = next(iter(xpnn.load("digits").train.folds(3, 0)))
    recipe = RECIPES["default"]
    net = recipe.network(64, "0123456789")
    list(dataclasses.replace(recipe, epochs=3).train(net, rows))
    assert xpnn.evaluate(net, part).accuracy == accuracies[0]
    assert "\naccuracy 8" in run("cross-validate", "--folds", "2", "--epochs", "2").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--loss", "binary-cross-entropy"], "goes with sigmoid outputs only; set output to sigmoid"),
        (["train", "--loss", "squared-error", "--label-smoothing", "0.1"], "goes with losses of probabilities"),
        (["train", "--optimizer", "lbfgs", "--dropout", "0.5"], "--dropout doesn't go with --optimizer lbfgs"),
        (["train", "--optimizer", "lbfgs", "--lr", "0.5"], "--lr doesn't go with --optimizer lbfgs"),
        (["train", "--optimizer", "lbfgs", "--patience", "5"], "--patience doesn't go with --optimizer lbfgs"),
        (["train", "--optimizer", "adam", "--momentum", "0.5"], "--momentum goes with --optimizer"),
        (["train", "--dropout", "1"], "0<=x<=0.99"),
        (["train", "--l2", "nan"], "is not a finite number"),
        (["train", "--activation", "relu,tanh"], "1 hidden layers but 2 hidden activations"),
        (["train", "--activation", "relu:3"], "takes no number"),
        (["train", "--loss", "huber:x"], "is not a number"),
        (["train", "--output", "softmaxx"], "unknown output activation"),
        (["train", "--metric", "validation_r2", "--patience", "3"], "no 'validation_r2' to stop by; this run has loss"),
        (["train", "--validation-data", "digits", "--validation-fraction", "0.1"], "two ways to one thing"),
        (["find-lr", "--least", "1", "--most", "0.1"], "must rise from a positive number to a larger one"),
        (["find-lr", "--optimizer", "lbfgs"], "has no learning rate"),
        (["cross-validate", "--folds", "2000"], "1442 rows can be cut into 2 to 1442 folds, not 2000"),
        (["cross-validate", "--patience", "2"], "would choose by the rows that measure"),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_a_remedy(run: Run, arguments: list[str], message: str) -> None:
    assert message in " ".join(run(*arguments, exit_code=2).stderr.split())


@pytest.mark.parametrize(
    "options",
    [
        ["--output", "softmax", "--loss", "squared-error"],
        ["--output", "identity", "--loss", "huber"],
        ["--output", "sigmoid", "--loss", "binary-focal"],
        ["--output", "tanh"],
    ],
)
def test_combinations_that_are_unusual_but_sound_are_allowed(run: Run, options: list[str]) -> None:
    assert answer(run("train", "--json", *options))["test_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("options", "loss", "target_range"),
    [
        (["--output", "sigmoid"], "binary-cross-entropy", (0.0, 1.0)),
        (["--recipe", "seed"], "squared-error", (0.01, 0.99)),
        (["--recipe", "seed", "--output", "softmax"], "cross-entropy", (0.0, 1.0)),
        (["--recipe", "seed", "--loss", "binary-cross-entropy"], "binary-cross-entropy", (0.0, 1.0)),
    ],
)
def test_what_follows_from_a_change_is_changed_too(
    run: Run, options: list[str], loss: str, target_range: tuple[float, float]
) -> None:
    run("train", "--epochs", "1", "--limit", "50", *options)
    net = xpnn.load_model("model.safetensors")
    assert (net.loss, net.target_range) == (loss, target_range)


def test_a_row_that_the_net_gets_wrong_is_shown(run: Run) -> None:
    assert re.search(r"\d, but it is \d", run("train", "--epochs", "1").stdout)


def test_a_run_that_diverges_keeps_the_best_epochs_weights_with_patience(run: Run) -> None:
    options = ["--optimizer", "sgd", "--lr", "50", "--warmup", "0.9", "--epochs", "30", "--output", "identity"]
    result = run("train", *options, "--patience", "29", "--run", "a", exit_code=1)
    assert "a/model.safetensors has the weights after the best epoch" in result.stderr
    best = min(record["validation_loss"] for record in xpnn.read_history("a"))
    _, validation = xpnn.load("digits").train.split(0.1)
    assert xpnn.evaluate(xpnn.load_model("a/model.safetensors"), validation).loss == pytest.approx(best)


def test_the_report_with_patience_is_of_the_best_epoch(run: Run) -> None:
    found = answer(run("train", "--json", "--patience", "3", "--epochs", "100", "--run", "a"))
    history = xpnn.read_history("a")
    best = int(np.argmin([record["validation_loss"] for record in history]))
    assert (found["best_epoch"], found["loss"]) == (best + 1, history[best]["loss"])
    assert found["note"] is None
    text = run("train", "--patience", "3", "--epochs", "100").stdout
    assert f"the weights are those of epoch {best + 1}, the best" in text


def test_too_few_rows_never_make_the_test_rows_decide(run: Run) -> None:
    error = run("train", "--limit", "10", "--patience", "3", exit_code=2).stderr
    assert "10 training rows are too few to set some aside" in " ".join(error.split())
    found = answer(run("train", "--json", "--limit", "10", "--plateau", "1", "--validation-fraction", "0.2"))
    assert found["rows"] == 8


def test_plateau_sets_rows_aside_and_lowers_the_rate_by_their_loss(run: Run) -> None:
    result = run("train", "--plateau", "0", "--epochs", "30", "--schedule", "constant", "--lr", "0.05", "--run", "a")
    assert "144 of the 1,442 training rows are set aside" in result.stderr
    history = xpnn.read_history("a")
    expected, factor = xpnn.ReduceOnPlateau(patience=0), 1.0
    for record in history:
        assert record["learning_rate"] == pytest.approx(0.05 * factor, rel=1e-12)
        factor = expected.after_epoch(record["validation_loss"])
    assert factor < 1


@pytest.mark.parametrize("name", ["a.txt", "a.gif", "a"])
def test_find_lr_refuses_a_picture_before_its_work(run: Run, name: str) -> None:
    result = run("find-lr", "--plot", name, exit_code=1)
    assert "must end in .png, .svg or .pdf" in result.stderr
    assert "device" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        *(["--lr", "3"], ["--schedule", "step"], ["--epochs", "3"], ["--patience", "3"], ["--average", "0.9"]),
        *(["--warmup", "0.1"], ["--plateau", "1"], ["--metric", "loss"], ["--minimum-change", "1"]),
    ],
)
def test_find_lr_ignores_no_option(run: Run, options: list[str]) -> None:
    assert f"{options[0]} has no part in a sweep" in " ".join(run("find-lr", *options, exit_code=2).stderr.split())


@pytest.mark.parametrize(
    "options",
    [
        *(["--label-smoothing", "0.5"], ["--class-weight", "balanced"], ["--dropout", "0.5"], ["--batch-size", "8"]),
        *(["--recipe", "seed"], ["--optimizer", "rmsprop"]),
    ],
)
def test_what_changes_the_loss_or_the_step_changes_the_sweep(run: Run, options: list[str]) -> None:
    plain, other = (answer(run("find-lr", "--json", *more))["losses"] for more in ([], options))
    assert plain != other


def test_metric_without_patience_is_refused(run: Run) -> None:
    for options in (["--metric", "loss"], ["--minimum-change", "0.5"]):
        assert f"{options[0]} is for --patience" in " ".join(run("train", *options, exit_code=2).stderr.split())


def test_cross_validate_of_an_exploding_net_is_one_line(run: Run) -> None:
    options = ["--output", "identity", "--optimizer", "sgd", "--lr", "1e25", "--batch-size", "5000", "--epochs", "1"]
    assert "gives no finite numbers: try a lower --lr" in run("cross-validate", *options, exit_code=1).stderr
    assert "training diverged in epoch 1" in run("train", *options, exit_code=1).stderr


def test_lbfgs_that_cannot_move_is_a_result(run: Run) -> None:
    np.savez("zero.npz", x=np.zeros((40, 9), dtype="uint8"), y=np.arange(40) % 2)
    found = answer(run("train", "zero.npz", "--json", "--optimizer", "lbfgs"))
    assert found["loss"] == pytest.approx(np.log(2), rel=1e-5)
    error = run("train", "--optimizer", "lbfgs", "--recipe", "seed", exit_code=2).stderr
    assert "L-BFGS can't follow error_rule='book'" in " ".join(error.split())


def test_tables_have_their_rate_found_and_are_cross_validated(run: Run) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 3)) * [1, 1000, 0.01] + [5, 0, 1]
    y = 7 + 3 * (x[:, 0] - 5) + x[:, 1] / 1000
    table = np.column_stack([x, y])
    np.savetxt("t.csv", table, delimiter=",", header="a,b,c,price", comments="")
    assert 1e-4 < answer(run("find-lr", "t.csv", "--targets", "price", "--json"))["suggestion"] < 1
    found = answer(run("cross-validate", "t.csv", "--targets", "price", "--json", "--folds", "3", "--epochs", "30"))
    assert found["mean"]["r2"] > 0.95
    assert found["mean"]["mean_absolute_error"] < 0.5  # in the target's own unit
