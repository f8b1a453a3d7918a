"""How much memory a framework's process takes beyond what it had after its imports: an epoch, in a new process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.cases import parse_case
from suite.frameworks import DEFAULT_THREADS, Framework, PeerError, Process, Seat

CASE = parse_case("784-200-10 b128 adam")


def measure_memory(frameworks: Iterable[Framework], folder: Path) -> dict[str, Any]:
    rows = []
    for framework in frameworks:
        if not framework.takes(CASE) or not framework.checked:
            continue
        row: dict[str, Any] = {"framework": framework.name, "problem": ""}
        try:
            row |= measure(framework, folder)
        except PeerError as error:
            row["problem"] = str(error)
        rows.append(row)
    return {"case": str(CASE), "entries": rows}


def measure(framework: Framework, folder: Path) -> dict[str, Any]:
    """Bytes: before the data, at most, and for xpnn what a warm step takes. Raises PeerError."""
    process = Process(framework, DEFAULT_THREADS, folder)
    try:
        seat = Seat(framework, process)
        seat.ask("prepare", case=str(CASE))
        seat.ask("time", units=CASE.epoch_steps)
        row = process.ask("memory")
        if framework.name == "xpnn":
            row["warm_step"] = process.ask("call", name="warm_step_memory", case=str(CASE))["bytes"]
    finally:
        process.close()
    return row
