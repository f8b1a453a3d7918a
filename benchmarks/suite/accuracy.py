"""A run of `benchmarks/time_to_accuracy.py`: `python -m suite.accuracy PEER SETTINGS`, the settings as JSON.

It prints the test accuracy after each epoch, a line each, as soon as it is known. A peer's `accuracies(settings)`
yields them; reading the files, building the net and testing are all within.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (784, 200, 10)


@dataclass(frozen=True)
class Settings:
    """rate: Adam's at the start. schedule: "constant", or "linear", which falls to 0 at the end of `epochs`."""

    batch: int
    rate: float
    schedule: str
    epochs: int
    seed: int = 0
    device: str = "cpu"

    def rates(self, steps: Any, steps_an_epoch: int) -> NDArray[np.float64]:
        """The rate of each of these steps, numbered from 0 on through the run."""
        left = 1 - np.asarray(steps, dtype=np.float64) / (self.epochs * steps_an_epoch)
        return self.rate * (left if self.schedule == "linear" else np.ones_like(left))


def read_mnist() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Training and test rows, scaled to 0-1, as a user of a framework without a reader writes it."""
    folder = Path(os.environ["XPNN_DATA_DIR"], "mnist")
    parts: list[Any] = []
    for part in ("train", "t10k"):
        pixels = read_idx(folder / f"{part}-images-idx3-ubyte", 16).reshape(-1, SIZES[0])
        parts += [pixels * np.float32(1 / 255), read_idx(folder / f"{part}-labels-idx1-ubyte", 8).astype(np.int64)]
    return tuple(parts)  # type: ignore[return-value]


def read_idx(path: Path, header: int) -> NDArray[np.uint8]:
    data = path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())
    return np.frombuffer(data, dtype=np.uint8, offset=header)


def main() -> None:
    peer = importlib.import_module(f"suite.peers.{sys.argv[1]}")
    for accuracy in peer.accuracies(Settings(**json.loads(sys.argv[2]))):
        print(accuracy, flush=True)


if __name__ == "__main__":
    main()
