"""A net's outputs on a CUDA device: fused kernels, and a CUDA graph for each number of rows that comes again.

One row, or ten, are a dozen launches of which each takes longer than its work: as a graph they are one.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any, NamedTuple

from xpnn.backend import Array
from xpnn.failures import first_line, is_compilers, is_of_card
from xpnn.fast.cublas import Cublas
from xpnn.fast.fused import FusedOperations
from xpnn.fast.graphs import recorded
from xpnn.fast.kernels import Kernels
from xpnn.layers import PLAIN
from xpnn.network import MLP, ChunkBuffers

MOST_GRAPHS = 8  # the one that was used longest ago makes room


class _Plan(NamedTuple):
    """A graph, and where it reads rows and leaves outputs. `buffers` keeps its memory alive."""

    graph: Any
    x: Array
    result: Array
    buffers: ChunkBuffers


class CapturedQuery:
    """What `MLP.outputs` does for a chunk of rows, but for rounding. Threads take turns."""

    def __init__(self, net: MLP) -> None:
        self.net, self.lock = net, threading.Lock()
        self.plans: dict[tuple[int, str], _Plan | None] = {}  # None: such rows came once
        self.pool = net.xp.cuda.MemoryPool()
        self.captures, self.operations = True, PLAIN
        try:
            operations = FusedOperations(Kernels(net.xp, net.dtype), Cublas(net.xp, net.dtype))
        except Exception as error:  # the loader, the compiler and CUDA each raise their own kinds
            if is_of_card(error) and not is_compilers(error):
                raise
            self._do_without(error)
        else:
            self.operations = operations.as_operations()

    def __call__(self, x: Array, result: Array) -> None:
        """Write the outputs of rows that `MLP.place_inputs` gave, (n, n_in), into `result`, (n, n_out)."""
        key, xp = (len(x), str(x.dtype)), self.net.xp
        with self.lock:
            plan = None
            if self.captures and key in self.plans:
                plan = self.plans.pop(key) or self._planned(x)
            self.plans[key] = plan
            if len(self.plans) > MOST_GRAPHS:
                del self.plans[next(iter(self.plans))]
            if plan is None:
                self.net.run_chunk(x, self.net.chunk_buffers(x, result), self.operations)
                return
            xp.copyto(plan.x, x)
            plan.graph.launch()
            xp.copyto(result, plan.result)

    def _planned(self, like: Array) -> _Plan | None:
        """The plan for rows as many as these; None, and a warning, where CUDA refuses to record."""
        net, x = self.net, self.net.xp.empty_like(like)
        result = net.xp.empty((len(x), net.sizes[-1]), dtype=net.dtype)
        buffers = net.chunk_buffers(x, result)
        try:
            graph = recorded(net.xp, self.pool, lambda: net.run_chunk(x, buffers, self.operations))
        except Exception as error:  # CUDA, CuPy and cuBLAS each raise their own kinds
            self._do_without(error)
            return None
        return _Plan(graph, x, result, buffers)

    def _do_without(self, error: Exception) -> None:
        self.captures = False
        problem = f"queries can't be recorded as CUDA graphs ({first_line(error)}); they run without, slower"
        warnings.warn(problem, RuntimeWarning, stacklevel=2)
