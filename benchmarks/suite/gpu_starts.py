"""What a whole process takes on a device: to its first step, and to a test accuracy of 98 %."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite.accuracy import Settings
from suite.cases import SMALL
from suite.frameworks import DEFAULT_THREADS, Framework, PeerError, Process, Seat
from suite.machine import say

CASE = f"{SMALL} b128 sgd"
LONGEST = 60.0  # seconds of one process
LEARNERS = ("xpnn", "pytorch-eager", "jax-scan-1")  # the one way in which each peer learns to the goal
RECIPE = {"batch": 128, "rate": 0.008, "schedule": "linear", "epochs": 3}  # the best of three frameworks on the CPU
SEEDS = (10, 11, 12)


def run_starts(
    chosen: Iterable[Framework], folder: Path, device: str, deadline: float, results: dict[str, Any]
) -> None:
    """Add for each contestant the seconds from the start of its process, with the rows' reading, to a step's end."""
    results["starts"] = []
    for one in chosen:
        if time.monotonic() > deadline:
            results["left_out"].append(f"cold start of {one.name}")
            continue
        say(f"cold start of {one.name}")
        results["starts"].append({"framework": one.name} | start(one, folder, device))


def start(framework: Framework, folder: Path, device: str) -> dict[str, Any]:
    started, process = time.perf_counter(), None
    try:
        process = Process(framework, DEFAULT_THREADS, folder, device, LONGEST)
        seat = Seat(framework, process, device)
        seat.ask("prepare", case=CASE)
        seat.ask("go_on", passes=1, steps=1)
        return {"seconds": time.perf_counter() - started}
    except PeerError as error:
        return {"problem": str(error)}
    finally:
        if process is not None:
            process.close()


def run_accuracies(
    chosen: Iterable[Framework], folder: Path, device: str, deadline: float, results: dict[str, Any]
) -> None:
    """Add the runs of each framework, which take turns, with the same settings for all: see `time_to_accuracy`."""
    from time_to_accuracy import run

    learners = [one for one in chosen if one.name in LEARNERS]
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in learners}
    if not Path(os.environ.get("XPNN_DATA_DIR", "-"), "mnist").is_dir():
        results["left_out"].append("accuracy: no MNIST in $XPNN_DATA_DIR")
        return
    results["accuracy"] = runs
    for number, seed in enumerate(SEEDS):
        first = number % max(1, len(learners))
        for one in learners[first:] + learners[:first]:
            if time.monotonic() > deadline:
                results["left_out"].append(f"accuracy of {one.name} with seed {seed}")
                continue
            try:
                done = run(one, Settings(**RECIPE, seed=seed, device=device), DEFAULT_THREADS, LONGEST)
            except SystemExit as error:  # it printed nothing
                results["left_out"].append(f"accuracy of {one.name}: {error}")
                continue
            runs[one.name].append(asdict(done))
            say(f"{one.name}, seed {seed}: {done.seconds or 'not reached'}")
