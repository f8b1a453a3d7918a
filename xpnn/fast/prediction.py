"""A net's outputs on a CUDA device: fused kernels, and a CUDA graph for each small number of rows that comes again.

One row, or ten, are a dozen launches of which each takes longer than its work: as a graph they are one.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from xpnn.backend import Array
from xpnn.failures import first_line, is_of_cards_state
from xpnn.fast.cublas import Cublas
from xpnn.fast.fused import FusedOperations
from xpnn.fast.graphs import captured
from xpnn.fast.kernels import Kernels
from xpnn.layers import PLAIN
from xpnn.network import MLP, ChunkBuffers

MOST_ROWS = 256  # of a graph: more keep the device busy for longer than their launches take, and much memory
MOST_GRAPHS = 8  # of a net; the one that was used longest ago makes room


class _Plan(NamedTuple):
    """A graph, and where it reads rows and leaves outputs. `buffers` keeps its memory alive."""

    graph: Any
    x: Array
    result: Array
    buffers: ChunkBuffers


class CapturedQuery:
    """What a net's `run_chunk` does, but for rounding. Threads take turns, and streams wait for each other."""

    def __init__(self, net: MLP) -> None:
        self.lock, self.done = threading.Lock(), net.xp.cuda.Event(disable_timing=True)
        self.plans: dict[tuple[Any, ...], _Plan | None] = {}  # None: such rows came once
        self.pool = net.xp.cuda.MemoryPool()
        self.captures, self.operations = True, PLAIN
        try:
            operations = FusedOperations(Kernels(net.xp, net.dtype), Cublas(net.xp, net.dtype))
        except Exception as error:  # the loader, the compiler and CUDA each raise their own kinds
            if is_of_cards_state(error):
                raise
            problem = (
                f"fused kernels can't be used in queries ({first_line(error)}); plain array operations, slower, are"
            )
            warnings.warn(problem, RuntimeWarning, stacklevel=2)
            self.captures = False  # CuPy's products can't be
        else:
            self.operations = operations.as_operations()

    def __call__(self, net: MLP, x: Array, result: Array) -> None:
        """Write the net's outputs for rows on its device, (n, n_in), into `result`, (n, n_out)."""
        with self.lock:
            stream = net.xp.cuda.get_current_stream()
            stream.wait_event(self.done)  # the last query's stream may be another, and buffers and workspace are shared
            plan = self._plan_for(net, x) if len(x) <= MOST_ROWS else None
            if plan is None:
                net.run_chunk(x, net.chunk_buffers(x, result), self.operations)
            else:
                net.xp.copyto(plan.x, x)
                plan.graph.launch()
                net.xp.copyto(result, plan.result)
            stream.record(self.done)

    def _plan_for(self, net: MLP, x: Array) -> _Plan | None:
        """The plan for rows as many as these; None the first time that they come."""
        key = (len(x), str(x.dtype), net.scaling)
        came_before = key in self.plans
        plan = self.plans.pop(key, None)
        if plan is None and came_before and self.captures:
            plan = self._planned(net, x)
        self.plans[key] = plan
        if len(self.plans) > MOST_GRAPHS:
            del self.plans[next(iter(self.plans))]
        return plan

    def _planned(self, net: MLP, like: Array) -> _Plan | None:
        """A plan for rows as many as these; None, and a warning, where CUDA refuses to capture."""
        x, result = net.xp.empty_like(like), net.xp.empty((len(like), net.sizes[-1]), dtype=net.dtype)
        buffers = net.chunk_buffers(x, result)
        try:
            graph = captured(net.xp, self.pool, lambda: net.run_chunk(x, buffers, self.operations))
        except Exception as error:  # CUDA, CuPy and cuBLAS each raise their own kinds
            self.captures = False
            problem = f"queries can't be captured as CUDA graphs ({first_line(error)}); they run without, slower"
            warnings.warn(problem, RuntimeWarning, stacklevel=2)
            return None
        return _Plan(graph, x, result, buffers)


_QUERIES: WeakKeyDictionary[MLP, CapturedQuery] = WeakKeyDictionary()  # by net; they hold nothing of it


def captured_query(net: MLP) -> CapturedQuery:
    """The net's own, made when it is first asked for."""
    if net not in _QUERIES:
        _QUERIES[net] = CapturedQuery(net)
    return _QUERIES[net]
