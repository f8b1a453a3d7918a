"""No framework but the device: what a graph's node, its launch and a matrix product cost, by CuPy and CUDA's events."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cupy

from suite.cases import LARGE, SMALL

REPEATS = 15
NODES = (1, 101, 1001)
BATCHES = (1, 32, 128, 1024, 8192)


def version() -> str:
    return f"CuPy {cupy.__version__}, CUDA runtime {cupy.cuda.runtime.runtimeGetVersion()}"


def microseconds(work: Callable[[], Any], count: int) -> float:
    """Of one of `count` calls in a row: from event to event, the median of REPEATS."""
    begin, end, times = cupy.cuda.Event(), cupy.cuda.Event(), []
    for _ in range(REPEATS + 3):
        begin.record()
        for _ in range(count):
            work()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(begin, end) * 1e3 / count)
    return statistics.median(times[3:])


def graphs(folder: Path) -> dict[str, Any]:
    """Microseconds of a kernel's launch by CuPy, of a graph of one node, and of each node more, one after the other."""
    cell = cupy.zeros(32, dtype="float32")
    add = cupy.ElementwiseKernel("", "float32 y", "y += 1", "add_one_in_place")
    stream, times = cupy.cuda.Stream(non_blocking=True), {}
    with stream:
        add(cell)  # compiles
        launch = microseconds(lambda: add(cell), 200)
        for nodes in NODES:
            stream.synchronize()
            stream.begin_capture()
            for _ in range(nodes):
                add(cell)
            graph = stream.end_capture()
            graph.upload(stream)
            times[nodes] = microseconds(lambda graph=graph: graph.launch(stream), 20)
        stream.synchronize()
    first, last = NODES[-2:]
    node = (times[last] - times[first]) / (last - first)
    return {"kernel_launch": launch, "graph_of_one": times[1], "node": node, "graphs": times}


def products(folder: Path) -> dict[str, Any]:
    """Microseconds of a step's three matrix products at each layer of both nets, by `cupy.matmul`, eager.

    Below some 10 us it is the call that is timed and not the product.
    """
    shapes = [(SMALL, batch) for batch in BATCHES] + [(LARGE, batch) for batch in (128, 8192)]
    rows = []
    for net, batch in shapes:
        for layer, (n_in, n_out) in enumerate(pairwise(map(int, net.split("-"))), 1):
            times = layer_products(batch, n_in, n_out, first=layer == 1)
            rows.append({"net": net, "batch": batch, "layer": layer, "n_in": n_in, "n_out": n_out, **times})
    return {"tf32": os.environ.get("CUPY_TF32") == "1", "rows": rows}


def layer_products(batch: int, n_in: int, n_out: int, first: bool) -> dict[str, float]:
    """Forward, the weights' gradient and, beyond the first layer, the inputs'."""
    x, W, delta = map(waves, ((batch, n_in), (n_out, n_in), (batch, n_out)))
    y, dW, dx = cupy.empty_like(delta), cupy.empty_like(W), cupy.empty_like(x)
    work = {"forward": lambda: cupy.matmul(x, W.T, out=y), "weights": lambda: cupy.matmul(delta.T, x, out=dW)}
    if not first:
        work["inputs"] = lambda: cupy.matmul(delta, W, out=dx)
    count = 100 if batch * n_in * n_out < 1e9 else 5
    return {name: microseconds(call, count) for name, call in work.items()}


def waves(shape: tuple[int, int]) -> Any:
    """Numbers from -1 to 1 that are no zeros, for which a card takes less power and clocks higher."""
    return cupy.sin(cupy.arange(shape[0] * shape[1], dtype="float32")).reshape(shape)
