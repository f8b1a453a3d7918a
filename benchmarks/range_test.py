"""How good the range test's suggestion is, beside a grid of twelve rates.

    python benchmarks/range_test.py [--json]      MNIST is left out where $XPNN_DATA_DIR has none

784-200-10 (64-200-10 for the digits) learns at each rate of a grid and at the suggestion of `find_learning_rate`, with
the rate falling to 0 in a straight line, in batches of 32; MNIST for 3 epochs, the digits for 10. The suggestion is
good where its test accuracy is within half a point of the best of the grid, both as means over the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from typing import Any

import numpy as np

import xpnn
from xpnn.optimizers import OPTIMIZERS
from xpnn.schedules import linear

GRIDS = {"sgd": np.geomspace(1e-3, 3, 12), "adam": np.geomspace(1e-5, 1e-1, 12)}
EPOCHS = {"digits": 10, "mnist": 3}
SEEDS, BATCH = 5, 32


def accuracy(dataset: xpnn.Dataset, optimizer: str, rate: float, seed: int) -> float:
    net = xpnn.MLP([dataset.train.inputs.shape[1], 200, 10], seed=seed)
    epochs = EPOCHS[dataset.name]
    schedule = linear(rate, epochs * math.ceil(len(dataset.train) / BATCH))
    try:
        made = OPTIMIZERS[optimizer](schedule)
        list(xpnn.train(net, dataset.train, epochs=epochs, batch_size=BATCH, optimizer=made, seed=seed))
    except xpnn.DivergenceError:
        return 0.0
    assert dataset.test is not None
    return xpnn.evaluate(net, dataset.test).accuracy or 0.0


def measure(dataset: xpnn.Dataset, optimizer: str) -> dict[str, Any]:
    grid = {
        float(rate): [accuracy(dataset, optimizer, rate, seed) for seed in range(SEEDS)] for rate in GRIDS[optimizer]
    }
    suggested = []
    for seed in range(SEEDS):
        net = xpnn.MLP([dataset.train.inputs.shape[1], 200, 10], seed=seed)
        found = xpnn.find_learning_rate(net, dataset.train, optimizer=OPTIMIZERS[optimizer], seed=seed)
        suggested.append({"rate": found.suggestion, "accuracy": accuracy(dataset, optimizer, found.suggestion, seed)})
    best = max(grid, key=lambda rate: statistics.mean(grid[rate]))
    return {
        "grid": grid,
        "best_rate": best,
        "best_accuracy": statistics.mean(grid[best]),
        "suggested": suggested,
        "suggested_accuracy": statistics.mean(each["accuracy"] for each in suggested),
    }


def report(name: str, optimizer: str, found: dict[str, Any]) -> None:
    rates = [each["rate"] for each in found["suggested"]]
    best, ours = found["best_accuracy"], found["suggested_accuracy"]
    print(f"{name} {optimizer}: best of the grid {best:.2%} at {found['best_rate']:.2g}")
    print(f"  suggested {min(rates):.2g} to {max(rates):.2g}: {ours:.2%} ({ours - best:+.2%})")
    print("  grid " + ", ".join(f"{rate:.2g}: {statistics.mean(each):.2%}" for rate, each in found["grid"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for name in EPOCHS:
        try:
            dataset = xpnn.load(name)
        except xpnn.DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for optimizer in GRIDS:
            found = results[f"{name} {optimizer}"] = measure(dataset, optimizer)
            if not arguments.json:
                report(name, optimizer, found)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
