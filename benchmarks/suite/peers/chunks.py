"""How many rows at once a framework answers quickest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def quickest_chunk(answer: Callable[[Any, int], Any], x: Any) -> int:
    """Of all rows at once and 1,024 at a time, by three trials each."""
    if len(x) <= 1024:
        return len(x)
    best: dict[int, float] = {}
    for chunk in (len(x), 1024) * 3:
        started = time.perf_counter()
        answer(x, chunk)
        seconds = time.perf_counter() - started
        best[chunk] = min(seconds, best.get(chunk, seconds))
    return min(best, key=lambda chunk: best[chunk])
