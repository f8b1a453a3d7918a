"""--threads: how many threads a command computes with, and that two runs don't take each other's cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from threadpoolctl import threadpool_info
from xpnn_cli.threads import VARIABLES, default_threads, limited

import xpnn
from xpnn.backend import usable_cores

COMMANDS = {
    "train": ("--epochs", "1", "--limit", "20"),
    "find-lr": ("--limit", "20", "--steps", "10"),
    "cross-validate": ("--limit", "20", "--epochs", "1", "--folds", "2"),
}


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[int], str | None]]:
    """The threads within a command, as it loads its data: those of BLAS, and the variable for libraries to come."""
    found = []
    load = xpnn.load

    def watch(*arguments: Any, **options: Any) -> xpnn.Dataset:
        found.append((blas_threads(), os.environ.get("OPENBLAS_NUM_THREADS")))
        return load(*arguments, **options)

    monkeypatch.setattr(xpnn, "load", watch)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_computes_with_as_many_threads_as_it_is_told(
    run: Callable[..., Result], seen: list[tuple[set[int], str | None]], command: str
) -> None:
    before = blas_threads(), {variable: os.environ.get(variable) for variable in VARIABLES}
    run(command, "digits", "--device", "cpu", "--threads", "1", *COMMANDS[command])
    assert seen == [({1}, "1")]
    assert (blas_threads(), {variable: os.environ.get(variable) for variable in VARIABLES}) == before


def test_every_command_that_computes_has_the_option(run: Callable[..., Result]) -> None:
    for command in ("train", "test", "query", "find-lr", "cross-validate"):
        assert "--threads INTEGER" in run(command, "--help").stdout
        assert "0 is not in the range x>=1" in run(command, "a", "b", "--threads", "0", exit_code=2).output


def test_a_run_takes_half_of_the_cores_unless_the_environment_says(
    run: Callable[..., Result], seen: list[tuple[set[int], str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    half = max(1, usable_cores() // 2)
    run("train", "digits", "--device", "cpu", *COMMANDS["train"])
    assert seen == [({half}, str(half))]
    for cores, threads in ((1, 1), (2, 1), (3, 1), (16, 8)):
        monkeypatch.setattr("xpnn_cli.threads.usable_cores", lambda cores=cores: cores)
        assert default_threads() == threads
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert default_threads() is None


def test_what_the_environment_says_is_left_alone(
    run: Callable[..., Result], seen: list[tuple[set[int], str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    run("train", "digits", "--device", "cpu", *COMMANDS["train"])
    assert [variable for _, variable in seen] == ["7"]


def test_devices_tells_how_many_threads_a_run_takes(run: Callable[..., Result]) -> None:
    with limited(1):
        assert json.loads(run("devices", "--json").stdout)["cpu"]["threads"] == 1
        assert "of which a run takes 1 (--threads)" in run("devices").stdout


RUN = """
import os, sys
from pathlib import Path
from xpnn_cli import main

def ticks():  # of the processor's time, of every thread
    return {task.name: sum(map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13]))
            for task in Path("/proc/self/task").iterdir()}

main(["train", "digits", "--device", "cpu", "--hidden", "512,512", "--epochs", "8", "--batch-size", "256", "--limit",
      "1000", "--out", sys.argv[1] + "/model", *sys.argv[2:]], standalone_mode=False)
found = ticks()
print(found.pop(str(os.getpid())), sum(found.values()))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux tells each thread's time")
def test_of_two_runs_side_by_side_each_computes_with_one_thread(tmp_path: Any) -> None:
    """With two threads the others work about as long as the main one; by themselves they start, spin, and wait."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with ExitStack() as stack:
        processes = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            told = (
                ["--threads", "1"] if number == 0 or usable_cores() > 3 else []
            )  # of 2 or 3 cores a run takes one by itself
            command = [sys.executable, "-c", RUN, str(tmp_path / str(number)), *told]
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            processes.append(stack.enter_context(process))
        for process in processes:
            main, others = map(int, process.communicate()[0].split()[-2:])
            assert process.returncode == 0
            assert others <= main / 3  # far from either: 0 to 13 hundredths were seen with one thread, over 90 with two


def test_a_run_keeps_the_number_of_threads_for_its_repetition(
    run: Callable[..., Result], seen: list[tuple[set[int], str | None]]
) -> None:
    run("train", "digits", "--device", "cpu", "--threads", "1", "--run", "a", *COMMANDS["train"])
    assert "threads = 1\n" in Path("a/config.toml").read_text()
    run("train", "--config", "a/config.toml", "--run", "b")
    assert seen[1] == ({1}, "1")
    run("train", "digits", "--device", "cpu", "--run", "c", *COMMANDS["train"])
    assert "threads =" not in Path("c/config.toml").read_text()
