"""How the default recipe was chosen: test accuracy and training time of its neighbours on digits and MNIST.

    python benchmarks/choose_recipe.py [--json]      MNIST is left out where $XPNN_DATA_DIR has none

Each setting differs from the recipe in one way. Accuracies depend on the seeds alone; seconds on the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from typing import Any

import xpnn
from xpnn.recipes import RECIPES

NEIGHBOURS: list[dict[str, Any]] = [
    {},
    {"learning_rate": 0.002},
    {"learning_rate": 0.006},
    {"schedule": "constant"},
    {"schedule": "constant", "learning_rate": 0.001},
    {"batch_size": 64},
    {"batch_size": 128},
    {"epochs": 5},
    {"epochs": 20},
    {"hidden_sizes": (100,)},
    {"hidden_sizes": (300,)},
    {"hidden": "tanh"},
]
SEEDS = {"digits": 12, "mnist": 2}


def measure(dataset: xpnn.Dataset, changes: dict[str, Any], seeds: int) -> dict[str, float]:
    recipe = dataclasses.replace(RECIPES["default"], **changes)
    accuracies, seconds = [], []
    for seed in range(seeds):
        net = recipe.network(dataset.train.inputs.shape[1], dataset.labels, seed=seed)
        started = time.perf_counter()
        list(recipe.train(net, dataset.train, seed=seed))
        seconds.append(time.perf_counter() - started)
        assert dataset.test is not None
        accuracies.append(xpnn.evaluate(net, dataset.test).accuracy or 0.0)
    return {"mean": statistics.mean(accuracies), "least": min(accuracies), "seconds": statistics.median(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, seeds in SEEDS.items():
        try:
            dataset = xpnn.load(name)
        except xpnn.DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        results[name] = {}
        for changes in NEIGHBOURS:
            setting = ", ".join(f"{key} {value}" for key, value in changes.items()) or "the recipe"
            found = results[name][setting] = measure(dataset, changes, seeds)
            if not arguments.json:
                print(
                    f"{name:7} {setting:40} {found['mean']:.2%} (least {found['least']:.2%})  {found['seconds']:6.2f} s"
                )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
