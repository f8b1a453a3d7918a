"""Five epochs of the textbooks' first network on a file of CSV: `--recipe seed` against the loop that parses it.

The loop would take minutes, so it goes through some thousands of lines, in turn with xpnn's epochs, and the rest is
extrapolated.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from suite.cases import EPOCH_ROWS
from suite.data import read_rows
from suite.frameworks import DEFAULT_THREADS, FRAMEWORKS, ONE_THREAD, Process

EPOCHS, LINES = 5, 12_000
OURS, THEIRS = "xpnn", "textbook-parsing"
BY_NAME = {framework.name: framework for framework in FRAMEWORKS}


def run_textbook(folder: Path, quick: bool) -> dict[str, Any]:
    """Seconds of both for EPOCHS epochs, each at the number of threads that is better for it. Raises PeerError."""
    path = write_csv(folder)
    epochs = 1 if quick else EPOCHS
    processes: dict[tuple[str, int], Process] = {}
    try:
        for threads in (DEFAULT_THREADS, ONE_THREAD):
            for name in (OURS, THEIRS):
                processes[name, threads] = Process(BY_NAME[name], threads, folder)
        reading = {key: read(process, key[0], path) for key, process in processes.items()}
        learning, way = learn_in_turn(processes, epochs)
    finally:
        for process in processes.values():
            process.close()
    totals = {key: reading[key] + EPOCHS * statistics.median(learning[key]) for key in processes}
    best = {
        name: min((key for key in totals if key[0] == name), key=lambda key: totals[key]) for name in (OURS, THEIRS)
    }
    told = {
        name: {"seconds": totals[key], "reading": reading[key], "threads": key[1] or "default"}
        for name, key in best.items()
    }
    return {
        "xpnn": told[OURS] | {"path": way},
        "textbook": told[THEIRS],
        "ratio": told[THEIRS]["seconds"] / told[OURS]["seconds"],
        "epochs": EPOCHS,
        "xpnn_epochs_timed": epochs,
        "lines": LINES // epochs * epochs,
    }


def learn_in_turn(
    processes: dict[tuple[str, int], Process], epochs: int
) -> tuple[dict[tuple[str, int], list[float]], str]:
    """(each process's seconds an epoch, several times over; the name of xpnn's step). Raises PeerError."""
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in processes}
    lines, way = LINES // epochs, ""
    for _ in range(epochs):
        for key, process in processes.items():
            if key[0] == OURS:
                done = process.ask("call", name="learn_epoch")
                way = done["path"]
                seconds[key].append(done["seconds"])
            else:
                done = process.ask("call", name="learn_lines", count=lines)
                seconds[key].append(done["seconds"] * EPOCH_ROWS / lines)
    return seconds, way


def read(process: Process, name: str, path: Path) -> float:
    seconds: float = process.ask("call", name="read_csv" if name == OURS else "read_lines", path=str(path))["seconds"]
    return seconds


def write_csv(folder: Path) -> Path:
    from write_mnist_csv import csv_bytes

    from xpnn import Samples

    path = folder / "rows.csv"
    path.write_bytes(csv_bytes(Samples(*read_rows(folder, 784)), header=False))
    return path
