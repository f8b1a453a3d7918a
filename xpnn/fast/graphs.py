"""Capturing CUDA graphs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from xpnn.backend import ArrayModule


def captured(xp: ArrayModule, pool: Any, work: Callable[[], None]) -> Any:
    """The graph of the work, a cupy.cuda.Graph, which its `launch` does on the current stream. Nothing is computed.

    The work must have been done once before, so that all that it uses is loaded, and must write into arrays that are
    there already. CuPy's reductions take scratch memory all the same: it comes from `pool`, a cupy.cuda.MemoryPool
    that nobody else takes from and that has to live as long as the graph.
    Raises what CUDA, CuPy or cuBLAS raise where the work can't be captured.
    """
    stream = xp.cuda.Stream(non_blocking=True)  # the default stream can't be captured
    with xp.cuda.using_allocator(pool.malloc), stream, _no_garbage_collection():
        stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(Exception):
                stream.end_capture()
            raise
        return stream.end_capture()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Lest an older step is collected: to destroy its cuBLAS handle is to wait for the device, and no capture may."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
