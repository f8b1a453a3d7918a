"""Who takes part in `benchmarks/gpu.py`, and what xpnn is to reach beside them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from suite.cases import OPTIMIZERS, SMALL, Case
from suite.frameworks import Framework
from suite.reference import CHECK_STEPS

EPOCH_GRAPH = 469  # steps of an epoch of batches of 128


def variants(peer: str, needs: tuple[str, ...], names: dict[str, str]) -> list[Framework]:
    """A framework's ways, which share its process; names: {contestant: variant}."""
    return [Framework(name, peer, OPTIMIZERS, needs, way, process=peer) for name, way in names.items()]


GRAPHS = {"pytorch-graph-1": "graph 1", "pytorch-graph-16": "graph 16", "pytorch-graph-epoch": f"graph {EPOCH_GRAPH}"}
SCANS = {f"jax-scan-{unroll}": f"unroll {unroll}" for unroll in (1, 4, 16)}
CONTESTANTS = (
    *variants("xpnn", (), {"xpnn": "", "xpnn-eager": "reference"}),
    *variants("pytorch", ("torch",), {"pytorch-eager": "", **GRAPHS, "pytorch-compile": "compile"}),
    *variants("jax", ("jax",), SCANS),
)
FACTS = Framework("facts", "facts", (), ("cupy",), checked=False)


def why_not_here(framework: Framework, device: str) -> str:
    """Why it can't take part on this machine; nothing if it can."""
    needs = (*framework.needs, *(("cupy",) if framework.peer == "xpnn" and device == "cuda" else ()))
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        return f"left out: {', '.join(missing)} not installed"
    if framework.variant.startswith("graph") and device == "cpu":
        return "left out: a CUDA graph needs a GPU"
    return ""


def why_not_in(framework: Framework, case: Case) -> str:
    """Why it would do nothing of its own in this case; nothing if it would."""
    kind, _, count = framework.variant.partition(" ")
    if kind in ("graph", "unroll") and int(count) > max(1, case.epoch_steps) and int(count) < EPOCH_GRAPH:
        return f"left out: an epoch has {case.epoch_steps} steps"
    return ""


def graph_length(case: Case, length: int) -> int:
    """Steps of a graph: as many as asked for, or the equal parts of an epoch that are nearest below EPOCH_GRAPH."""
    return length if length < EPOCH_GRAPH else case.epoch_steps // -(-case.epoch_steps // length)


def least_steps(framework: Framework, case: Case) -> int:
    """How many steps its check has to have, so that what is timed is what is checked.

    A long graph is played once at least; a scan is compiled for its number of steps, so one as long as an epoch saves
    compiling another.
    """
    kind, _, count = framework.variant.partition(" ")
    if kind == "graph":
        return max(CHECK_STEPS, graph_length(case, int(count)))
    if kind == "unroll" and case.epoch_steps <= EPOCH_GRAPH:
        return max(CHECK_STEPS, case.epoch_steps)
    return CHECK_STEPS


@dataclass(frozen=True)
class Target:
    """xpnn as chosen is to be `least` times as quick as the best of the contestants whose name begins so."""

    against: str
    starts: tuple[str, ...]
    least: float

    def entry(self, entries: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """The quickest of them that was timed."""
        fits = [one for one in entries if one["framework"].startswith(self.starts) and "median" in one]
        return min(fits, key=lambda one: float(one["median"]), default=None)

    def is_met(self, ratio: float) -> bool:
        return math.isfinite(ratio) and ratio >= self.least


def targets(case: Case) -> tuple[Target, ...]:
    eager = ("pytorch-eager",)
    if case.batch == 1:
        return (Target("PyTorch eager", eager, 300.0),)
    if case.batch >= 8192 or "-".join(map(str, case.sizes)) != SMALL:
        return (Target("best PyTorch", ("pytorch",), 1.0),)
    graphs = Target("best PyTorch graph or compile", ("pytorch-graph", "pytorch-compile"), 1.5)
    return Target("PyTorch eager", eager, 5.0), graphs, Target("best JAX scan", ("jax",), 1.3)
