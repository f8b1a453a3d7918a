"""Runs with everything in them that a checkpoint has to keep, how they are stopped, and what they come to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults import Done, Server
from xpnn_cli.keeper import Keeper

import xpnn
from xpnn.runs import RunFolder

SETTINGS = (
    *("--limit", "600", "--hidden", "16", "--epochs", "3"),
    *("--average", "0.99", "--dropout", "0.1", "--shift", "1", "--plateau", "0"),
)
RUN = ("train", "--run", "run", "--device", "cpu", "--checkpoint-every", "13s", *SETTINGS)  # 13 looks at the clock
RESUME = ("train", "--resume", "run", "--checkpoint-every", "13s")
EVERYTHING = [
    *("--dropout", "0.2", "--input-noise", "0.1", "--average", "0.99", "--rotate", "5", "--label-smoothing", "0.1"),
    *("--patience", "3", "--minimum-change", "0.2", "--plateau", "0", "--class-weight", "balanced"),
    *("--schedule", "cosine", "--epochs", "12"),
]
STEPS = 41  # of an epoch of digits without the rows set aside
CHECKPOINT = re.compile(r"checkpoints/\d{6}-\d{10}\.safetensors")


class Outcome(NamedTuple):
    """What has to be the same, however often the run was broken off."""

    model: str
    history: list[dict[str, Any]]
    files: set[str]


def outcome(folder: Path) -> Outcome:
    """Of the run in `folder`, which has ended. Its checkpoints are whole, and no more than there should be."""
    run = folder / "run"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if not path.is_dir()}
    checkpoints = {name for name in files if CHECKPOINT.fullmatch(name)}
    assert len(checkpoints) <= 3
    for name in checkpoints:
        xpnn.load_state(run / name)
    model = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    history = [{**record, "seconds": 0} for record in xpnn.read_history(run)]
    return Outcome(model, history, files - checkpoints)


def newest(folder: Path) -> tuple[int, int]:
    """(epoch, rows) of the newest checkpoint, which isn't damaged; (0, 0) where there is none."""
    found = RunFolder(folder / "run").newest(pytest.fail)
    return (found.state.epoch, found.state.rows) if found else (0, 0)


def gone_on_with(server: Server, folder: Path) -> Done:
    """Go on to the end; where the run hadn't begun, begin it."""
    done = server.run(folder, *(RESUME if (folder / "run" / "config.toml").exists() else RUN))
    assert done.code == 0, done.err
    return done


@contextmanager
def signalled(after: int, *signals: int) -> Iterator[None]:
    """Within it the process has the signals after so many steps."""
    after_step, left = Keeper.after_step, after

    def counted(self: Keeper, progress: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            for number in signals:
                os.kill(os.getpid(), number)
        after_step(self, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "after_step", counted)
        yield
    assert left <= 0


def kept(folder: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The model and the history, but for the times."""
    records = [{**record, "seconds": 0} for record in xpnn.read_history(folder)]
    return Path(folder, "model.safetensors").read_bytes(), records


def one_line(result: Any) -> str:
    return " ".join(result.stderr.split())
