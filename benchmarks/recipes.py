"""What a recipe reaches on MNIST: test accuracy after its last epoch, for several seeds.

python benchmarks/recipes.py [RECIPE] [--seeds N] [--device DEVICE]      the default is dropout, with 3 seeds
"""

from __future__ import annotations

import argparse
import statistics
import sys

import xpnn
from xpnn.recipes import RECIPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="dropout", choices=sorted(RECIPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    data, recipe = xpnn.load("mnist"), RECIPES[arguments.recipe]
    assert data.test is not None
    accuracies = []
    for seed in range(arguments.seeds):
        net = recipe.network(784, data.labels, arguments.device, seed)
        epochs = recipe.train(net, data.train, seed=seed)
        seconds = 0.0
        for epoch in epochs:
            seconds += epoch.seconds
            print(f"seed {seed} epoch {epoch.number}/{recipe.epochs} loss {epoch.loss:.4f}", file=sys.stderr)
        accuracies.append(xpnn.evaluate(net, data.test).accuracy or 0.0)
        print(f"{arguments.recipe} seed {seed}: {accuracies[-1]:.2%} in {seconds:.0f} s of training", flush=True)
    print(f"mean {statistics.mean(accuracies):.2%}, least {min(accuracies):.2%}")


if __name__ == "__main__":
    main()
