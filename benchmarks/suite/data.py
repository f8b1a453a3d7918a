"""The rows that all frameworks learn from, and the weights that all start with."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.cases import EPOCH_ROWS, Case

SCALE = 1 / 255  # pixels to inputs
SEED_SCALE, SEED_OFFSET, SEED_LOW, SEED_HIGH = 0.99 / 255, 0.01, 0.01, 0.99  # of the textbooks' first network


def write_rows(folder: Path, n_in: int) -> str:
    """Write inputs (60000, n_in) uint8 and labels (60000,) int64 where `read_rows` finds them; tells what they are."""
    import xpnn

    if n_in == 64:
        samples = xpnn.load("digits").train
        repeated = np.resize(np.arange(len(samples)), EPOCH_ROWS)
        inputs, labels, said = samples.inputs[repeated], samples.targets[repeated], "digits, repeated to 60,000 rows"
    elif Path(os.environ.get("XPNN_DATA_DIR", ""), "mnist").is_dir() and n_in == 784:
        samples = xpnn.load("mnist").train
        inputs, labels, said = samples.inputs, samples.targets, "MNIST"
    else:
        generator = np.random.default_rng(0)
        inputs = generator.integers(0, 256, (EPOCH_ROWS, n_in), dtype=np.uint8)
        labels = generator.integers(0, 10, EPOCH_ROWS)
        said = "random pixels of MNIST's shape: no MNIST in $XPNN_DATA_DIR"
    np.save(folder / f"inputs{n_in}.npy", inputs)
    np.save(folder / f"labels{n_in}.npy", labels.astype(np.int64))
    return said


def read_rows(folder: Path, n_in: int, mmap: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    mode = "r" if mmap else None
    return np.load(folder / f"inputs{n_in}.npy", mmap_mode=mode), np.load(folder / f"labels{n_in}.npy", mmap_mode=mode)


def initial_weights(case: Case, draw: int = 1) -> list[NDArray[np.float32]]:
    """W (n_out, n_in), b, W, b, ... from the inputs on; the textbooks' first network has no b."""
    generator, weights = np.random.default_rng(draw), []
    for n_in, n_out in pairwise(case.sizes):
        deviation = (1 if case.optimizer == "seed" else 2) / n_in
        weights.append(generator.normal(0, deviation**0.5, (n_out, n_in)).astype(np.float32))
        if case.optimizer != "seed":
            weights.append(np.zeros(n_out, dtype=np.float32))
    return weights


def float_inputs(inputs: NDArray[np.uint8], dtype: Any = np.float32) -> NDArray[Any]:
    """Scaled as most frameworks want them: before training, so that their steps don't pay for it."""
    return inputs * np.asarray(SCALE, dtype=dtype)
