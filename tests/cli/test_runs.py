"""Runs that are kept: stopped anywhere and resumed they end in the same bits, and nothing is lost or mixed up."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from kept_run import EVERYTHING, STEPS, kept, one_line, signalled
from xpnn_cli.keeper import Every, Keeper
from xpnn_cli.signals import stop_requests

import xpnn
from xpnn.runs import RunFolder
from xpnn.state import TrainingState
from xpnn.state_file import Checkpoint

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """A shell's background jobs ignore it, and so would these."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_best_checkpoint_is_so_by_the_metric_that_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save, metrics = RunFolder.save, []

    def noted(folder: RunFolder, *arguments: Any, metric: str, **options: Any) -> Path:
        metrics.append(metric)
        return save(folder, *arguments, metric=metric, **options)

    monkeypatch.setattr(RunFolder, "save", noted)
    often = ("--epochs", "2", "--checkpoint-every", "1")
    run("train", "--run", "a", *often, "--patience", "2", "--metric", "validation_accuracy")
    assert metrics == ["validation_accuracy"] * 2


@pytest.mark.parametrize("options", [EVERYTHING, ["--epochs", "3"], ["--recipe", "seed", "--epochs", "2"]])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_an_epoch_and_resumed(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str], number: int, code: int
) -> None:
    run("train", "--run", "whole", *options)
    with signalled(9 if "seed" in options else STEPS + 20, number):
        result = run("train", "--run", "a", *options, exit_code=code)
    assert "go on with\n  xpnn train --resume a" in result.stderr
    assert not Path("a/model.safetensors").exists()
    assert not Path("a/result.json").exists()
    (checkpoint,) = Path("a/checkpoints").iterdir()
    assert not checkpoint.name.endswith("-0000000000.safetensors")  # within an epoch
    result = run("train", "--resume", "a", "--json")
    assert "going on after epoch " in result.stderr
    assert kept("a") == kept("whole")
    mine, other = json.loads(result.stdout), json.loads(Path("whole/result.json").read_text())
    times = {"train_seconds", "epoch_seconds", "model"}
    assert mine.keys() == other.keys()
    assert [mine[key] for key in mine.keys() - times] == [other[key] for key in mine.keys() - times]


def test_stopped_and_resumed_on_a_cuda_device(run: Run, monkeypatch: pytest.MonkeyPatch, cuda: str) -> None:
    monkeypatch.setattr(xpnn.get_xp(cuda), "__version__", "14.2.0", raising=False)
    run("train", "--run", "whole", "--device", cuda, *EVERYTHING, "--epochs", "3", "--hidden", "8")
    with signalled(4, signal.SIGINT):
        run("train", "--run", "a", "--device", cuda, *EVERYTHING, "--epochs", "3", "--hidden", "8", exit_code=130)
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")
    assert "captured" in kept("a")[1][-1]["step"]


def test_stopped_again_and_again(run: Run) -> None:
    run("train", "--run", "whole", *EVERYTHING)
    stops = 0
    with signalled(37, signal.SIGINT):
        run("train", "--run", "a", *EVERYTHING, exit_code=130)
    while not Path("a/result.json").exists():
        stops += 1
        with suppress(AssertionError), signalled(37, signal.SIGINT):  # the last time it isn't: the run has ended
            run("train", "--resume", "a", exit_code=130)
    assert stops > 3
    assert kept("a") == kept("whole")


def test_killed_and_resumed_from_the_last_checkpoint(run: Run, tmp_path: Path) -> None:
    run("train", "--run", "whole", *EVERYTHING)
    program = f"""
import os, signal, sys
from xpnn_cli import main
from xpnn_cli.keeper import Keeper
after_epoch = Keeper.after_epoch
def dies(self):
    after_epoch(self)
    if len(self.history) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
Keeper.after_epoch = dies
main({["train", "--run", "a", "--checkpoint-every", "3", *EVERYTHING]!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(xpnn.read_history("a")) == 4
    assert [path.name for path in Path("a/checkpoints").iterdir()] == ["000003-0000000000.safetensors"]
    Path("a/.0123456789abcdef.draft").touch()
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")
    assert not Path("a/.0123456789abcdef.draft").exists()


def test_killed_before_the_first_checkpoint_it_begins_again(run: Run) -> None:
    run("train", "--run", "whole", "--epochs", "3")
    with signalled(STEPS * 2, signal.SIGINT, signal.SIGINT):  # the second one stops at once
        result = run("train", "--run", "a", "--epochs", "3", exit_code=130)
    assert "stopped at once; `xpnn train --resume a` goes on from the last checkpoint" in result.stderr
    assert not Path("a/checkpoints").exists()
    result = run("train", "--resume", "a")
    assert "no checkpoint yet in a: the run begins again" in result.stderr
    assert kept("a") == kept("whole")


def test_a_damaged_checkpoint_is_passed_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("train", "--run", "whole", "--epochs", "5")
    with signalled(STEPS * 4, signal.SIGTERM):
        run("train", "--run", "a", "--epochs", "5", "--checkpoint-every", "1", exit_code=143)
    *_, before, last = sorted(Path("a/checkpoints").iterdir())
    content = bytearray(last.read_bytes())
    content[-5] ^= 1
    last.write_bytes(content)
    result = run("train", "--resume", "a")
    assert f"{last}: the file is damaged (it doesn't have the checksum" in result.stderr
    assert f"going on after epoch {int(before.name[:6])}" in result.stderr
    assert kept("a") == kept("whole")


def test_a_finished_run_says_so(run: Run) -> None:
    run("train", "--run", "a", "--epochs", "1")
    before = kept("a")
    assert run("train", "--resume", "a").stdout.startswith("the run in a is finished: 1 epochs; its model is /")
    result = run("train", "--resume", "a", "--json")
    assert json.loads(result.stdout)["epochs"] == 1
    assert kept("a") == before


def test_a_finished_run_that_was_moved_says_where_its_model_is(run: Run) -> None:
    run("train", "--run", "a", "--epochs", "1")
    run("train", "--run", "b", "--epochs", "1", "--out", "apart.safetensors")
    for name, model in (("a", "moved a/model.safetensors"), ("b", "apart.safetensors")):
        Path(name).rename(f"moved {name}")
        assert run("train", "--resume", f"moved {name}").stdout.endswith(f"its model is {Path(model).resolve()}\n")
        assert json.loads(run("train", "--resume", f"moved {name}", "--json").stdout)["model"] == str(
            Path(model).resolve()
        )


def test_a_folder_with_a_run_takes_no_other(run: Run) -> None:
    run("train", "--run", "a", "--epochs", "1")
    before = kept("a")
    result = run("train", "--run", "a", "--epochs", "2", exit_code=1)
    assert "--run a: there is a run in it; go on with it by --resume a, or choose another folder" in one_line(result)
    assert kept("a") == before


def test_a_run_that_never_began_leaves_its_folder_free(run: Run) -> None:
    run("train", "--patience", "2", "--metric", "foo", "--run", "a", exit_code=2)
    run("train", "--epochs", "1", "--run", "a")
    assert len(xpnn.read_history("a")) == 1


def test_two_processes_do_not_share_a_folder(run: Run, tmp_path: Path) -> None:
    run("train", "--run", "a", "--epochs", "1")
    Path("a/result.json").unlink()
    before = kept("a")
    program = "import sys; from pathlib import Path; from xpnn.runs import RunFolder\n"
    program += "with RunFolder(Path('a')).alone(): print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        for option in ("--run", "--resume"):
            error = one_line(run("train", option, "a", exit_code=1))
            assert "a: another process is training there; wait for its end, or choose a new folder" in error
        process.kill()
    assert kept("a") == before
    run("train", "--resume", "a")


def test_data_that_changed_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 256, (100, 9)).astype("uint8"), np.arange(100) % 3
    np.savez("data.npz", x=x, y=y)
    with signalled(5, signal.SIGINT):
        run("train", "data.npz", "--run", "a", exit_code=130)
    x[99, 8] ^= 1
    np.savez("data.npz", x=x, y=y)
    monkeypatch.chdir("a")  # the path of the data is absolute in config.toml
    error = one_line(run("train", "--resume", ".", exit_code=1))
    assert "the data are not those that the run in . began with: put them back, or begin anew with --config" in error
    note = run("train", "--config", "config.toml", "--epochs", "1").stderr
    assert "note: the data are not those that the run of this configuration had" in note


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--lr", "0.1"], "--lr"),
        (["mnist"], "DATA"),
        (["--seed", "0"], "--seed"),
        (["--out", "b"], "--out"),
        (["--run", "b"], "--run"),
        (["--config", "a/config.toml"], "--config"),
    ],
)
def test_no_settings_go_with_resume(run: Run, options: list[str], name: str) -> None:
    run("train", "--run", "a", "--epochs", "1")
    error = one_line(run("train", "--resume", "a", *options, exit_code=2))
    assert f"{name} doesn't go with --resume, which goes on with the run's own settings" in error


def test_what_can_not_be_resumed(run: Run) -> None:
    assert "--resume b: there is no run to go on with" in run("train", "--resume", "b", exit_code=1).stderr
    run("train", "--run", "c", "--epochs", "1")
    Path("c/config.toml").unlink()
    assert "--resume c: the run's config.toml is missing; put it" in run("train", "--resume", "c", exit_code=1).stderr
    assert not Path("b").exists()
    for option in ("--run", "--resume"):
        error = one_line(run("train", option, "", exit_code=2))
        assert f"Invalid value for '{option}': the name of a folder is needed; . is the current one." in error
    assert not Path(".lock").exists()
    assert "--checkpoint-every is for --run" in run("train", "--checkpoint-every", "5", exit_code=2).stderr
    error = one_line(run("train", "--run", "b", "--optimizer", "lbfgs", "--checkpoint-every", "5", exit_code=2))
    assert "--checkpoint-every doesn't go with --optimizer lbfgs" in error
    for text in ("0", "x", "5 m", "-1", "1d"):
        error = one_line(run("train", "--run", "b", "--checkpoint-every", text, exit_code=2))
        assert "is neither a number of epochs, such as 5, nor a time such as 90s, 10m or 2h" in error


def test_another_place_for_the_model_is_remembered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with signalled(50, signal.SIGINT):
        run("train", "--run", "a", "--epochs", "2", "--out", "mine", exit_code=130)
    monkeypatch.chdir("a")
    run("train", "--resume", ".")
    assert Path("../mine").exists()
    assert not Path("model.safetensors").exists()


def test_a_place_for_the_model_that_is_gone_is_told_of_before_the_work(run: Run) -> None:
    Path("models").mkdir()
    with signalled(50, signal.SIGINT):
        run("train", "--run", "a", "--epochs", "2", "--out", "models/mine", exit_code=130)
    Path("models").rename("moved")
    result = run("train", "--resume", "a", exit_code=1)
    assert "models/mine: can't be written (No such file or directory); choose another place" in one_line(result)
    assert "epoch 2" not in result.stderr
    Path("moved").rename("models")
    run("train", "--resume", "a")
    assert Path("models/mine").exists()


def test_lbfgs_begins_again(run: Run) -> None:
    pytest.importorskip("scipy")
    run("train", "--run", "whole", "--optimizer", "lbfgs", "--epochs", "3")
    run("train", "--run", "a", "--optimizer", "lbfgs", "--epochs", "3")
    Path("a/result.json").unlink()
    Path("a/model.safetensors").unlink()
    assert "the run begins again" in run("train", "--resume", "a").stderr
    assert kept("a") == kept("whole")


def test_lbfgs_that_is_stopped_says_that_it_begins_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xpnn.lbfgs._Objective.__call__", stopped)
        result = run("train", "--run", "a", "--optimizer", "lbfgs", "--epochs", "3", exit_code=130)
    assert "stopped at once; `xpnn train --resume a` begins again" in result.stderr
    assert "the run begins again" in run("train", "--resume", "a").stderr


@pytest.mark.parametrize("output", ["identity", "exp"])
def test_a_checkpoint_is_a_model_in_the_targets_own_units(run: Run, output: str) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, 2))
    lines = [f"{a},{b},{1000 + 50 * a}" for a, b in rows]
    Path("t.csv").write_text("\n".join(["a,b,price", *lines]))
    arguments = ["t.csv", "--targets", "price", "--epochs", "40", "--output", output]
    run("train", *arguments, "--run", "whole")
    with signalled(60, signal.SIGINT):
        run("train", *arguments, "--run", "a", exit_code=130)
    (checkpoint,) = Path("a/checkpoints").iterdir()
    answer = json.loads(run("query", str(checkpoint), "t.csv", "--json").stdout)
    assert 500 < answer[0]["values"]["price"] < 1500
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")


def test_a_run_that_diverges_does_so_again(run: Run) -> None:
    options = ["--optimizer", "sgd", "--lr", "50", "--warmup", "0.9", "--epochs", "30", "--output", "identity"]
    error = one_line(run("train", *options, "--run", "a", "--checkpoint-every", "1", exit_code=1))
    again = one_line(run("train", "--resume", "a", exit_code=1))
    assert error[error.index("training diverged in epoch") :] == again[again.index("training diverged in epoch") :]


def test_a_disk_that_is_full_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("train", "--run", "whole", "--epochs", "4")

    def full(*_: object, **__: object) -> None:
        raise xpnn.XpnnError("a/checkpoints/x: can't be written (No space left on device); choose another place")

    with monkeypatch.context() as patch:
        patch.setattr("xpnn.runs.save_state", full)
        error = one_line(run("train", "--run", "a", "--epochs", "4", "--checkpoint-every", "2", exit_code=1))
    assert "(No space left on device)" in error
    assert "`xpnn train --resume a` goes on from the last checkpoint" in error
    run("train", "--resume", "a")
    assert kept("a") == kept("whole")


def test_another_step_or_another_numpy_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with signalled(50, signal.SIGINT):
        run("train", "--run", "a", "--epochs", "2", exit_code=130)
    config = Path("a/config.toml")
    config.write_text(config.read_text().replace(f'numpy = "{np.__version__}"', 'numpy = "1.26.4"'))
    monkeypatch.setattr("xpnn.steps.ReferenceStep.name", "another")
    notes = run("train", "--resume", "a").stderr
    assert f"note: numpy is {np.__version__}, the run began with 1.26.4: last bits may differ" in notes
    assert "note: the train step is another now, it was reference: last bits may differ" in notes


def test_a_checkpoint_takes_no_memory_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written from the run's own vectors, and one that was gone on from is let go of."""
    with signalled(50, signal.SIGINT):
        run("train", "--run", "a", "--epochs", "3", exit_code=130)
    shared, alive, after_epoch, save = [], [], Keeper.after_epoch, RunFolder.save

    def counted(self: Keeper) -> None:
        alive.append(sum(isinstance(one, TrainingState | Checkpoint) for one in gc.get_objects()))
        after_epoch(self)

    def watched(self: RunFolder, net: xpnn.MLP, state: TrainingState, *arguments: Any, **options: Any) -> Path:
        shared.append(state.parameters is net.parameters)
        return save(self, net, state, *arguments, **options)

    monkeypatch.setattr(Keeper, "after_epoch", counted)
    monkeypatch.setattr(RunFolder, "save", watched)
    gc.collect()  # of other tests
    before = sum(isinstance(one, TrainingState | Checkpoint) for one in gc.get_objects())
    run("train", "--resume", "a")
    assert alive == [before, before]
    assert shared == [True]


def test_when_checkpoints_are_due() -> None:
    usual = Every(epochs=1, seconds=300, apart=15)
    assert [usual.is_due(1, since) for since in (0, 14, 15)] == [False, False, True]
    assert [usual.is_due(None, since) for since in (15, 299, 300)] == [False, False, True]
    assert [Every(epochs=5).is_due(epoch, 0) for epoch in (None, 4, 5, 6, 10)] == [False, False, True, False, True]
    assert [Every(seconds=90).is_due(epoch, since) for epoch, since in ((1, 89), (None, 90), (1, 91))] == [
        False,
        True,
        True,
    ]


def test_a_time_makes_checkpoints_within_epochs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("xpnn_cli.keeper.time.monotonic", lambda: float(next(clock)))  # a second for each look
    saved: list[tuple[int, int]] = []
    save = Keeper._save

    def noted(self: Keeper) -> Any:
        state = save(self)
        assert state is not None
        saved.append((state.epoch, state.rows))
        return state

    monkeypatch.setattr(Keeper, "_save", noted)
    run("train", "--run", "a", "--epochs", "1", "--batch-size", "100", "--checkpoint-every", "5s")
    assert saved[0][0] == 0
    assert 0 < saved[0][1] < 1400  # of 1,442


def test_signals_that_were_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stop_requests() as request:
            os.kill(os.getpid(), signal.SIGTERM)
            assert request.signal is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_is_to_be_typed_next_can_be_typed(run: Run) -> None:
    """The paths in hints stand in quotes where a shell needs them."""
    said = run("train", "--run", "my runs", "--epochs", "1", "--device", "cpu").stdout
    (line,) = (line for line in said.splitlines() if line.startswith("  xpnn test "))
    assert run(*shlex.split(line)[1:]).stdout.startswith("accuracy ")
    error = one_line(run("train", "--run", "my runs", exit_code=1))
    assert "go on with it by --resume 'my runs', or" in error
    error = one_line(run("train", "--resume", "my runs", "--seed", "2", exit_code=2))
    assert "--config 'my runs/config.toml'" in error
