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
BY_NAME = {framework.name: framework for framework in FRAMEWORKS}


def run_textbook(folder: Path, quick: bool) -> dict[str, Any]:
    """Seconds of both for EPOCHS epochs, each at the number of threads that is better for it."""
    path = write_csv(folder)
    epochs = 1 if quick else EPOCHS
    processes: dict[tuple[str, int], Process] = {}
    for threads in (DEFAULT_THREADS, ONE_THREAD):
        for name in ("xpnn", "textbook-parsing"):
            processes[name, threads] = Process(BY_NAME[name], threads, folder)
    reading = {key: read(process, key[0], path) for key, process in processes.items()}
    learning: dict[tuple[str, int], list[float]] = {key: [] for key in processes}
    lines, said = LINES // epochs, {}
    for _ in range(epochs):
        for key, process in processes.items():
            if key[0] == "xpnn":
                done = process.ask("call", name="learn_epoch")
                said["path"] = done["path"]
                learning[key].append(done["seconds"])
            else:
                seconds = process.ask("call", name="learn_lines", count=lines)["seconds"]
                learning[key].append(seconds * EPOCH_ROWS / lines)
    for process in processes.values():
        process.close()
    totals = {key: reading[key] + EPOCHS * statistics.median(learning[key]) for key in processes}
    ours, theirs = (
        min((key for key in totals if key[0] == name), key=lambda key: totals[key])
        for name in ("xpnn", "textbook-parsing")
    )
    return {
        "xpnn": {"seconds": totals[ours], "reading": reading[ours], "threads": ours[1] or "default", **said},
        "textbook": {"seconds": totals[theirs], "reading": reading[theirs], "threads": theirs[1] or "default"},
        "ratio": totals[theirs] / totals[ours],
        "epochs": EPOCHS,
        "xpnn_epochs_timed": epochs,
        "lines": lines * epochs,
    }


def read(process: Process, name: str, path: Path) -> float:
    seconds: float = process.ask("call", name="read_csv" if name == "xpnn" else "read_lines", path=str(path))["seconds"]
    return seconds


def write_csv(folder: Path) -> Path:
    from write_mnist_csv import csv_bytes

    from xpnn import Samples

    path = folder / "rows.csv"
    path.write_bytes(csv_bytes(Samples(*read_rows(folder, 784)), header=False))
    return path
