"""Runs that go on with other settings: more epochs and more patience are learnt, and nothing else is mixed in."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from kept_run import EVERYTHING, STEPS, kept, one_line, signalled

import xpnn

Run = Callable[..., Result]
STEADY = ["--schedule", "constant", "--dropout", "0.2", "--average", "0.9", "--plateau", "0", "--hidden", "12"]


def written(folder: str) -> dict[str, str]:
    """The files of a run, by their content."""
    found = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def edited(folder: str, old: str, new: str) -> str:
    """Change its config.toml; gives what was there."""
    path = Path(folder, "config.toml")
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr = 0.004", "lr = 0.001", "lr is 0.001, and the run began with 0.004"),
        ("seed = 0", "seed = 1", "seed is 1, and the run began with 0"),
        ("batch-size = 32", "batch-size = 64", "batch-size is 64, and the run began with 32"),
        ("hidden = [\n    7,\n]", "hidden = [9, 8]", "hidden is [9, 8], and the run began with [7]"),
        ('"relu"', '"tanh"', "activation is 'tanh', and the run began with 'relu'"),
        ("rotate = 5.0", "rotate = 0.0", "rotate is 0.0, and the run began with 5.0"),
        ("validation-fraction = 0.2", "", "validation-fraction is not there, and the run began with 0.2"),
        ('schedule = "linear"', 'schedule = "linear"\nplateau = 1', "plateau is 1, and the run began with not there"),
        ("epochs = 3", "epochs = 3\npatience = 3", "patience is 3, and the run began with not there"),
        (
            "lr = 0.004\n",
            "lr = 0.4\nmomentum = 0.5\n",
            "lr is 0.4, and the run began with 0.004; momentum is 0.5, and the run began with not there",
        ),
        ("data_sha256 = ", "data_md5 = ", "data_sha256 is not there, and the run began with '"),
    ],
)
def test_a_file_that_was_edited_is_not_mixed_into_a_run(run: Run, old: str, new: str, said: str) -> None:
    options = ["--epochs", "3", "--hidden", "7", "--rotate", "5", "--validation-fraction", "0.2"]
    run("train", "--run", "whole", *options)
    with signalled(50, signal.SIGTERM):
        run("train", "--run", "a", *options, exit_code=143)
    before = edited("a", old, new)
    files = written("a")
    error = one_line(run("train", "--resume", "a", exit_code=1))
    assert error.startswith(f"Error: a/config.toml: {said}")
    assert error.endswith("; put it back, or begin another run with --config a/config.toml")
    assert written("a") == files
    Path("a/config.toml").write_text(before)
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")


def test_a_file_that_was_emptied_is_told_of_in_one_line(run: Run) -> None:
    with signalled(50, signal.SIGTERM):
        run("train", "--run", "a", "--epochs", "3", exit_code=143)
    Path("a/config.toml").write_text("")
    error = one_line(run("train", "--resume", "a", exit_code=1))
    assert "activation is not there, and the run began with 'relu'; average is not there, " in error
    assert re.search(r"; and \d\d more; put it back, or begin another run", error)


def test_what_changes_nothing_that_is_learnt_may_be_edited(run: Run) -> None:
    generator = np.random.default_rng(0)
    np.savez("data.npz", x=generator.integers(0, 256, (100, 9)).astype("uint8"), y=np.arange(100) % 3)
    run("train", "data.npz", "--run", "whole", "--epochs", "3")
    with signalled(5, signal.SIGINT):
        run("train", "data.npz", "--run", "a", "--epochs", "3", exit_code=130)
    Path("there").mkdir()
    Path("data.npz").rename("there/data.npz")
    error = one_line(run("train", "--resume", "a", exit_code=1))
    assert "data.npz: the run's data are not there; put them back, or write their new place into a/config.toml" in error
    edited("a", "data.npz", "there/data.npz")
    edited("a", "epochs =", "checkpoint-every = 1\nepochs =")
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")


def test_a_checkpoint_of_another_run_is_refused(run: Run) -> None:
    generator = np.random.default_rng(0)
    for name in ("one.npz", "two.npz"):
        np.savez(name, x=generator.integers(0, 256, (100, 9)).astype("uint8"), y=np.arange(100) % 3)
        with signalled(5, signal.SIGINT):
            run("train", name, "--run", f"of {name}", "--epochs", "3", exit_code=130)
    (mine,), (other,) = (list(Path(f"of {name}/checkpoints").iterdir()) for name in ("one.npz", "two.npz"))
    shutil.copy(other, mine)
    assert "data_sha256 is '" in one_line(run("train", "--resume", "of one.npz", exit_code=1))
    net = xpnn.load_model(mine)
    xpnn.save_state(net, xpnn.load_state(mine).state, mine)
    error = one_line(run("train", "--resume", "of one.npz", exit_code=1))
    assert "of one.npz/checkpoints: no settings are in it, as in those of `xpnn train`; begin another run" in error


@pytest.mark.parametrize("stop", [STEPS * 2 + 9, None])
def test_more_epochs_at_a_constant_rate_are_those_of_the_longer_run(run: Run, stop: int | None) -> None:
    run("train", "--run", "whole", "--epochs", "6", *STEADY)
    if stop is None:
        run("train", "--run", "a", "--epochs", "3", *STEADY)
        assert [path.name for path in Path("a/checkpoints").iterdir()] == ["000003-0000000000.safetensors"]
    else:
        with signalled(stop, signal.SIGINT):
            run("train", "--run", "a", "--epochs", "3", *STEADY, exit_code=130)
    result = run("train", "--resume", "a", "--epochs", "6", "--json")
    assert json.loads(result.stdout)["epochs"] == 6
    assert "note: epochs is 6, it was 3\n" in result.stderr
    assert kept("a") == kept("whole")
    configurations = [tomllib.loads(Path(name, "config.toml").read_text()) for name in ("a", "whole")]
    assert [one.pop("made").get("changed") for one in configurations] == [None, None]
    assert configurations[0] == configurations[1]
    result = run("train", "--resume", "a", "--epochs", "6")
    assert "the run in a is finished: 6 epochs" in result.stdout
    assert "to learn more: xpnn train --resume a --epochs N, for N in all" in result.stderr


def test_where_the_rates_hang_on_the_epochs_it_is_said_and_kept(run: Run) -> None:
    said = "epochs is 6, it was 3; the learning rates hang on it: this is not the run that had so many from its"
    options = ["--hidden", "12", "--dropout", "0.1"]
    run("train", "--run", "whole", "--epochs", "6", *options)
    for name in ("a", "b"):
        run("train", "--run", name, "--epochs", "3", *options)
    assert said in one_line(run("train", "--resume", "a", "--epochs", "6"))
    assert kept("a")[1][:3] != kept("whole")[1][:3]
    assert [record["epoch"] for record in kept("a")[1]] == [1, 2, 3, 4, 5, 6]
    with signalled(STEPS * 2, signal.SIGINT, signal.SIGINT):  # it stops at once, and leaves the checkpoint of 3 epochs
        run("train", "--resume", "b", "--epochs", "6", exit_code=130)
    assert not Path("b/result.json").exists()
    assert said in one_line(run("train", "--resume", "b"))  # its file has them by now
    assert kept("b") == kept("a")
    made = tomllib.loads(Path("b/config.toml").read_text())["made"]
    assert made["changed"] == ["after epoch 3, epochs is 6, it was 3"]
    note = "was changed on its way, and is not repeated bit for bit: after epoch 3, epochs is 6, it was 3"
    assert note in one_line(run("train", "--config", "a/config.toml", "--epochs", "1"))


def test_more_patience_is_that_of_the_more_patient_run(run: Run) -> None:
    options = [*EVERYTHING, "--epochs", "30", "--hidden", "20", "--minimum-change", "0.5"]
    run("train", "--run", "whole", *options, "--patience", "4")
    run("train", "--run", "a", *options, "--patience", "2")
    assert len(kept("a")[1]) < len(kept("whole")[1]) < 30
    files = written("a")
    error = one_line(run("train", "--resume", "a", "--epochs", "40", exit_code=1))
    assert "a: nothing has become better for 2 epochs, which ends a run of --patience 2; give more of that" in error
    error = one_line(run("train", "--resume", "a", "--epochs", "3", exit_code=1))
    assert f"a: the run is at epoch {len(kept('a')[1])}, which is more than --epochs 3; give more" in error
    assert written("a") == files
    run("train", "--resume", "a", "--patience", "4")
    assert kept("a") == kept("whole")


def test_patience_is_no_afterthought(run: Run) -> None:
    run("train", "--run", "a", "--epochs", "1")
    error = one_line(run("train", "--resume", "a", "--patience", "2", exit_code=1))
    assert "patience is 2, and the run began with not there" in error
    assert Path("a/result.json").exists()


def test_lbfgs_learns_for_longer_from_the_beginning(run: Run) -> None:
    pytest.importorskip("scipy")
    run("train", "--run", "whole", "--optimizer", "lbfgs", "--epochs", "4")
    run("train", "--run", "a", "--optimizer", "lbfgs", "--epochs", "2")
    assert "the run begins again" in run("train", "--resume", "a", "--epochs", "4").stderr
    assert kept("a") == kept("whole")


def test_a_finished_run_says_so_where_nothing_can_be_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("train", "--run", "a", "--epochs", "1")

    def refuse(*_: Any) -> None:
        raise xpnn.XpnnError("a: can't be written (Read-only file system); choose another folder")

    monkeypatch.setattr("xpnn.runs.alone_in", refuse)
    assert "the run in a is finished" in run("train", "--resume", "a").stdout
    assert "can't be written (Read-only" in one_line(run("train", "--resume", "a", "--epochs", "2", exit_code=1))
