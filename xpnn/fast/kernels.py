"""The CUDA kernels of `kernels.cu`: compiled by CuPy, which keeps the machine code in its cache on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import Array, ArrayModule

SOURCE = Path(__file__).with_name("kernels.cu")
WARP, LANES = 32, 32  # as in the source
THREADS = 256  # of a block that goes through a vector, or adds up (COUNTING in the source)
MOST_BLOCKS = 4096  # of such a kernel: beyond it each thread takes more than one element

ACTIVATIONS = {"identity": 0, "sigmoid": 1, "tanh": 2, "relu": 3}  # as in the source
LOSSES = {"squared-error": 0, "cross-entropy": 1, "binary-cross-entropy": 2}


def options(dtype: str) -> tuple[str, ...]:
    """The compiler's options for arrays of a dtype."""
    return (f"-DREAL={'float' if dtype == 'float32' else 'double'}", "-std=c++17")


class Kernels:
    """The kernels for arrays of one dtype. Raises what CuPy raises where they can't be compiled."""

    def __init__(self, xp: ArrayModule, dtype: str) -> None:
        self.module = xp.RawModule(code=SOURCE.read_text(encoding="utf-8"), options=options(dtype))
        self.module.compile()
        self.number = np.dtype(dtype).type
        self.functions: dict[str, Callable[..., None]] = {}

    def launch(self, name: str, grid: Sequence[int], block: Sequence[int], *arguments: Any) -> None:
        """Start a kernel. Python's numbers become what the source names: int an int, float a REAL, bool an int."""
        if name not in self.functions:
            self.functions[name] = self.module.get_function(name)
        self.functions[name](tuple(grid), tuple(block), tuple(map(self._typed, arguments)))

    def over_elements(self, name: str, size: int, *arguments: Any) -> None:
        """Start a kernel whose threads share `size` elements."""
        self.launch(name, (min(-(-size // THREADS), MOST_BLOCKS),), (THREADS,), *arguments)

    def over_rows(self, name: str, rows: int, *arguments: Any) -> None:
        """Start a kernel with a warp for each row; few in a block, so that a small batch still has many blocks."""
        warps = 4
        self.launch(name, (-(-rows // warps),), (warps * WARP,), *arguments)

    def _typed(self, value: Array | float | np.generic) -> Any:
        if isinstance(value, float):
            return self.number(value)
        return np.int32(value) if isinstance(value, int) else value
