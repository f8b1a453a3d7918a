"""A case: who is right, at how many threads each is quicker, and rounds of all in turn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from suite.cases import EPOCH_ROWS, Case
from suite.data import read_rows
from suite.frameworks import DEFAULT_THREADS, ONE_THREAD, Framework, PeerError, Processes, Seat
from suite.reference import CHECK_STEPS, DRAWS, allowed_error, check_plan, expected, relative_error

WEIGHED = "xpnn"  # whose ratio to all others is told
REST = 0.3  # seconds before a timing: threads of the process that was timed before spin on for a while
FEWEST = 3  # rounds, however late it is
FAR_BEHIND = 1.5  # times the better trial: trials are short, so what is nearer than that takes part in the rounds


@dataclass(frozen=True)
class Settings:
    """rounds: of each case; seconds: how long a framework is timed in each; sabotage: whose rate is made 1 % larger."""

    rounds: int = 7
    seconds: float = 0.5
    sabotage: str = ""


@dataclass
class Entry:
    """One framework in one case, at one number of threads."""

    framework: str
    threads: int = DEFAULT_THREADS
    process: Seat | None = None
    units: int = 1
    trial: float = 0.0  # seconds a unit when it was tried out
    path: str = ""
    problem: str = ""
    error: float | None = None
    times: list[float] = field(default_factory=list)  # seconds a unit in each round
    cores: list[float] = field(default_factory=list)  # that were busy, of all threads
    passes: int = 0  # that go on where the ones before ended; 0: units from the initial weights


def run_case(case: Case, frameworks: Iterable[Framework], processes: Processes, settings: Settings) -> dict[str, Any]:
    """The record of a case, for the report and for JSON."""
    taking = [framework for framework in frameworks if framework.takes(case)]
    rows = read_rows(processes.folder, case.sizes[0], mmap=True)

    @cache
    def wanted(uncorrected_epsilon: bool, draw: int, plan: tuple[int, int], rate_factor: float) -> Any:
        return expected(case, *rows, uncorrected_epsilon, draw, plan, rate_factor)

    running: list[Entry] = []
    failed: list[Entry] = []
    for framework in taking:
        try:
            running += candidates(case, framework, processes, settings, wanted)
        except PeerError as error:
            failed.append(Entry(framework.name, problem=str(error)))
    take_rounds(running, settings.rounds)
    for entry in running:
        if entry.process is not None and not entry.problem:
            entry.process.ask("release")
    for entry in (*running, *failed):
        if entry.problem:
            processes.drop(entry.framework)  # the next case begins with new ones
    return record(case, quicker_of_each([*running, *failed]), [framework.name for framework in taking])


def candidates(case: Case, framework: Framework, processes: Processes, settings: Settings, wanted: Any) -> list[Entry]:
    """The framework at its default threads and at one, checked; without one that a trial shows to be far behind.

    Raises PeerError if the framework fails or is wrong.
    """
    found = []
    for threads in (DEFAULT_THREADS, ONE_THREAD):
        process = processes.get(framework, threads)
        error = checked(case, framework, process, settings, wanted)
        units, seconds = try_out(process, settings.seconds)
        found.append(Entry(framework.name, threads, process, units, seconds, error=error))
    best = min(entry.trial for entry in found)
    for entry in found:
        if entry.trial > FAR_BEHIND * best:
            processes.get(framework, entry.threads).ask("release")
    return [entry for entry in found if entry.trial <= FAR_BEHIND * best]


def checked(
    case: Case, framework: Framework, process: Seat, settings: Settings, wanted: Any, least: int = CHECK_STEPS
) -> float | None:
    """Prepare the process for the case; its relative error beside float64, None for what isn't checked.

    Rarely, rounding decides whether a ReLU is on for a row; where its unit has no other row, Adam makes a whole step of
    the difference. So a framework is right if it agrees with float64 from one of the DRAWS of initial weights; one with
    a wrong rate never does.

    least: for how many steps. Where these are more than CHECK_STEPS the rate is as much smaller, here and in what is
    timed then: rounding grows with the way that the weights go, and time doesn't depend on the rate.

    Raises PeerError for one that is wrong.
    """
    slower = min(1.0, CHECK_STEPS / least)
    path, errors, plan = process.log.with_suffix(".npz"), [], check_plan(case, least)
    for draw in DRAWS:
        factor = slower * (1.01 if framework.name == settings.sabotage else 1.0)
        process.ask("prepare", case=str(case), rate_factor=factor, draw=draw)
        if not framework.checked:
            return None
        process.ask("check", path=str(path), plan=plan)
        uncorrected = framework.uncorrected_epsilon and case.optimizer == "adam"
        with np.load(path) as file:
            right = wanted(uncorrected, draw, plan, slower)
            errors.append(relative_error([file[name] for name in file.files], right))
        allowed = allowed_error(case, right, draw)
        if errors[-1] < allowed:  # false for nan
            return errors[-1]
    raise PeerError(f"{process.name} is wrong: its error relative to float64 is {min(errors):.1e}, above {allowed:.2g}")


def try_out(process: Seat, seconds: float) -> tuple[int, float]:
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


def take_rounds(running: Sequence[Entry], rounds: int, rest: float = REST, until: float = math.inf) -> None:
    """Every entry once a round, each round beginning with another one; who fails drops out.

    until: no round but the first FEWEST begins after this moment of `time.monotonic`.
    """
    for number in range(rounds):
        if number >= FEWEST and time.monotonic() > until:
            return
        first = number % max(1, len(running))
        for entry in [*running[first:], *running[:first]]:
            if entry.problem or entry.process is None:
                continue
            time.sleep(rest)
            order = (
                {"what": "go_on", "passes": entry.passes} if entry.passes else {"what": "time", "units": entry.units}
            )
            try:
                done = entry.process.ask(**order)
            except PeerError as error:
                entry.problem, entry.times = str(error), []
                continue
            entry.path = done["path"]
            entry.times.append(done["seconds"] / done["units"])
            entry.cores.append(done["cores"])


def quicker_of_each(entries: Iterable[Entry]) -> dict[str, Entry]:
    """For each framework the entry of the least median; one that has failed only where all have."""
    best: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda one: statistics.median(one.times) if one.times else float("inf")):
        best.setdefault(entry.framework, entry)
    return best


def record(case: Case, best: dict[str, Entry], order: Iterable[str]) -> dict[str, Any]:
    ours = best[WEIGHED].times if WEIGHED in best else []
    rows = []
    for entry in (best[name] for name in order if name in best):
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
