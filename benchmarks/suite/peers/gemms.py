"""No framework but the bound: the matrix products of a step, in NumPy, and nothing else.

With one row a step they are those of a block of 64 rows, whose updates of the first layer can be put off exactly: its
outputs, the rows' products with each other, and the sum of the updates. The second, small layer's are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from suite.peers.blas import numpy_version

BLOCK = 64


def version() -> str:
    return numpy_version()


class Products:
    """The matrix products of a step with n rows."""

    def __init__(self, sizes: Sequence[int], n: int) -> None:
        generator = np.random.default_rng(0)
        self.x, *self.outputs = (generator.random((n, size), dtype=np.float32) for size in sizes)
        self.deltas = [generator.random(y.shape, dtype=np.float32) for y in self.outputs]
        self.weights = [generator.random((b, a), dtype=np.float32) for a, b in pairwise(sizes)]
        self.gradients = list(map(np.empty_like, self.weights))

    def step(self) -> None:
        layers = [self.x, *self.outputs]
        for W, x, y in zip(self.weights, layers, self.outputs, strict=False):
            np.matmul(x, W.T, out=y)
        for i in reversed(range(len(self.weights))):
            np.matmul(self.deltas[i].T, layers[i], out=self.gradients[i])
            if i:
                np.matmul(self.deltas[i], self.weights[i], out=self.deltas[i - 1])


class Trainer(Products):
    def __init__(self, task: Any) -> None:
        self.block = BLOCK if task.case.batch == 1 else 1
        self.path = f"in blocks of {BLOCK}" if self.block > 1 else "a step's"
        n = task.case.batch * self.block
        super().__init__(task.case.sizes, n)
        self.gram = np.empty((n, n), dtype=np.float32)

    def start(self, steps: int, shuffle: bool) -> None:
        self.count = -(-steps // self.block)

    def run(self) -> None:
        step = self.blocked if self.block > 1 else self.step
        for _ in range(self.count):
            step()

    def blocked(self) -> None:
        np.matmul(self.x, self.weights[0].T, out=self.outputs[0])
        np.matmul(self.x, self.x.T, out=self.gram)
        np.matmul(self.deltas[0].T, self.x, out=self.gradients[0])


trainer = Trainer
