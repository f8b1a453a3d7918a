"""One small run with everything in it that a checkpoint has to keep, and what it comes to."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults import Done, Server

import xpnn
from xpnn.runs import RunFolder

SETTINGS = (
    *("--limit", "600", "--hidden", "16", "--epochs", "3"),
    *("--average", "0.99", "--dropout", "0.1", "--shift", "1", "--plateau", "0"),
)
RUN = ("train", "--run", "run", "--device", "cpu", "--checkpoint-every", "13s", *SETTINGS)  # 13 looks at the clock
RESUME = ("train", "--resume", "run", "--checkpoint-every", "13s")
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
