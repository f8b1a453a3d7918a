"""A case: who is right, at how many threads each is quicker, and rounds of all in turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from suite.cases import EPOCH_ROWS, Case
from suite.data import read_rows
from suite.frameworks import DEFAULT_THREADS, ONE_THREAD, Framework, PeerError, Process, Processes
from suite.reference import MOST_ERROR, expected, relative_error

WEIGHED = "xpnn"  # whose ratio to all others is told


@dataclass(frozen=True)
class Settings:
    """rounds: of each case; seconds: how long a framework is timed in each; sabotage: whose rate is made 1 % larger."""

    rounds: int = 7
    seconds: float = 0.5
    sabotage: str = ""


@dataclass
class Entry:
    """One framework in one case."""

    framework: str
    threads: int = DEFAULT_THREADS
    path: str = ""
    units: int = 1
    problem: str = ""
    error: float | None = None
    times: list[float] = field(default_factory=list)  # seconds a unit in each round
    cores: list[float] = field(default_factory=list)  # that were busy, of all threads


@dataclass
class Candidate:
    """A framework's process, prepared, with what a first trial said of it."""

    process: Process
    threads: int
    units: int
    seconds: float  # a unit's
    error: float | None


def run_case(case: Case, frameworks: Iterable[Framework], processes: Processes, settings: Settings) -> dict[str, Any]:
    """The record of a case, for the report and for JSON."""
    rows = read_rows(processes.folder, case.sizes[0], mmap=True)
    entries: dict[str, Entry] = {}
    running: list[tuple[Entry, Process]] = []
    for framework in frameworks:
        if not framework.takes(case):
            continue
        entry = entries[framework.name] = Entry(framework.name)
        wanted = expected(case, *rows, uncorrected_epsilon=framework.uncorrected_epsilon)
        try:
            found = [
                candidate(case, framework, threads, processes, settings, wanted)
                for threads in (DEFAULT_THREADS, ONE_THREAD)
            ]
        except PeerError as error:
            entry.problem = str(error)
            processes.drop(framework)
            continue
        best = min(found, key=lambda one: one.seconds)
        entry.threads, entry.units, entry.error = best.threads, best.units, best.error
        for other in found:
            if other is not best:
                other.process.ask("release")
        running.append((entry, best.process))
    take_rounds(running, settings.rounds)
    for _, process in running:
        process.ask("release")
    return record(case, list(entries.values()))


def candidate(
    case: Case, framework: Framework, threads: int, processes: Processes, settings: Settings, wanted: Any
) -> Candidate:
    """Check, then try out. Raises PeerError if the framework fails or is wrong."""
    process = processes.get(framework, threads)
    factor = 1.01 if framework.name == settings.sabotage else 1.0
    process.ask("prepare", case=str(case), rate_factor=factor)
    error = check(process, processes.folder, wanted) if framework.checked else None
    return Candidate(process, threads, *try_out(process, settings.seconds), error)


def check(process: Process, folder: Path, wanted: Any) -> float:
    """The relative error against float64. Raises PeerError where it is too large."""
    path = folder / "answer.npz"
    process.ask("check", path=str(path))
    with np.load(path) as file:
        error = relative_error([file[name] for name in file.files], wanted)
    if not error < MOST_ERROR:
        raise PeerError(f"{process.name} is wrong: its error relative to float64 is {error:.1e}, above {MOST_ERROR:g}")
    return error


def try_out(process: Process, seconds: float) -> tuple[int, float]:
    """(units that take about `seconds`, seconds a unit: the least of two trials of so many)."""
    units = 4
    for _ in range(8):
        done = process.ask("time", units=units)
        if done["seconds"] > seconds / 4:
            break
        units = max(units + 1, int(units * min(20.0, seconds / max(done["seconds"], 1e-6))))
    units = max(1, round(done["units"] * seconds / done["seconds"]))
    trials = [process.ask("time", units=units) for _ in range(2)]
    return units, min(trial["seconds"] / trial["units"] for trial in trials)


def take_rounds(running: list[tuple[Entry, Process]], rounds: int) -> None:
    """Every framework once a round, each round beginning with another one; who fails drops out."""
    for number in range(rounds):
        first = number % max(1, len(running))
        for entry, process in running[first:] + running[:first]:
            if entry.problem:
                continue
            try:
                done = process.ask("time", units=entry.units)
            except PeerError as error:
                entry.problem, entry.times = str(error), []
                continue
            entry.path = done["path"]
            entry.times.append(done["seconds"] / done["units"])
            entry.cores.append(done["cores"])


def record(case: Case, entries: Sequence[Entry]) -> dict[str, Any]:
    ours = next((entry.times for entry in entries if entry.framework == WEIGHED), [])
    rows = []
    for entry in entries:
        row: dict[str, Any] = {"framework": entry.framework, "problem": entry.problem}
        if entry.times:
            row |= {"threads": entry.threads or "default", "cores": statistics.median(entry.cores)}
            row |= {"path": entry.path, "error": entry.error}
            row |= {"units": entry.units, "seconds": entry.times, **summary(entry.times)}
            if not case.is_query:
                row["epoch_seconds"] = row["median"] * EPOCH_ROWS / case.batch
            if ours:
                row["ratio"] = summary([theirs / mine for theirs, mine in zip(entry.times, ours, strict=True)])
        rows.append(row)
    return {"case": str(case), "batch": case.batch, "is_query": case.is_query, "entries": rows}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return {"median": statistics.median(values), "quartiles": [low, high]}
