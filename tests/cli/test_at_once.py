"""Several processes at once: in one run's folder, and with one data set; for downloads see tests/data/test_fetch.py."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import Server
from kept_run import SETTINGS, outcome

import xpnn

NEW = ("--run", "run", "--checkpoint-every", "1", "--device", "cpu", *SETTINGS, "--epochs", "40")
BUSY = "another process is training there"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Holds what has to end with the test, also where it fails."""
    with ExitStack() as one:
        yield one


def started(stack: ExitStack, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that trains."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xpnn_cli", "train", *arguments],
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said, in one line."""
    texts = process.communicate()
    return process.returncode, " ".join("".join(texts).split())


def history(folder: Path) -> list[dict[str, Any]]:
    """What a reader sees of it by now."""
    with suppress(xpnn.DataError):  # there is no epoch yet
        return [{**record, "seconds": 0} for record in xpnn.read_history(folder / "run")]
    return []


def test_of_several_processes_one_trains_and_readers_see_whole_epochs(
    server: Server, tmp_path: Path, stack: ExitStack
) -> None:
    (tmp_path / "a").mkdir()
    processes = [started(stack, tmp_path / "a", *NEW) for _ in range(3)]
    seen = []
    while any(process.poll() is None for process in processes):
        seen.append(history(tmp_path / "a"))
        refused = sum(process.poll() == 1 for process in processes)  # one that is slow to start is so later
        if refused == 2 and len(seen[-1]) > 9:
            break
    for process in processes:
        process.kill()  # the one that is left
    ends = [ended(process) for process in processes]
    assert sum(code == 1 for code, _ in ends) == 2
    for code, said in ends:
        assert code != 1 or f"run: {BUSY}" in said or "--run run: there is a run in it" in said

    processes = [started(stack, tmp_path / "a", "--resume", "run") for _ in range(3)]
    while any(process.poll() is None for process in processes):
        seen.append(history(tmp_path / "a"))
    ends = [ended(process) for process in processes]
    assert any(code == 0 for code, _ in ends)
    for code, said in ends:
        assert code == 0 or (code == 1 and f"run: {BUSY}" in said), said

    assert server.run(tmp_path / "whole", "train", *NEW).code == 0
    expected = outcome(tmp_path / "whole")
    assert outcome(tmp_path / "a") == expected
    for records in seen:
        assert records == expected.history[: len(records)]
    assert len({len(records) for records in seen}) > 3  # they were seen to grow


def test_two_runs_read_one_file_and_keep_one_twin_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack
) -> None:
    monkeypatch.setenv("XPNN_CACHE_DIR", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    table = generator.integers(0, 256, (900, 785))
    table[:, 0] %= 10
    np.savetxt(tmp_path / "rows.csv", table, "%d", ",")  # of 2.5 MB, and so worth a twin
    options = ("rows.csv", "--device", "cpu", "--hidden", "8", "--epochs", "1")
    models = []
    for names in (("a", "b", "c"), ("d",)):  # the last one reads the twin
        processes = [started(stack, tmp_path, *options, "--run", name) for name in names]
        assert {ended(process)[0] for process in processes} == {0}
        models += [hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest() for name in names]
        assert [path.suffix for path in (tmp_path / "cache" / "csv").iterdir()] == [".npy"]
    assert len(set(models)) == 1
