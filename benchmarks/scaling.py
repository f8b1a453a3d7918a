"""How a step's time grows with the net, the batch and the threads; draws docs/figures/scaling.svg.

    python benchmarks/scaling.py [--json FILE]     needs Matplotlib and threadpoolctl; takes about four minutes

Rows of 784 random pixels, SGD and Adam, float32; what isn't varied is 784-200-10 in batches of 128. Each point is the
best of several runs of about a tenth of a second. The dashed line is the bound: the step's own matrix products in
NumPy, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from suite.peers.gemms import Products
from threadpoolctl import threadpool_limits

import xpnn
from xpnn import optimizers

ROWS, SECONDS, REPEATS = 4096, 0.1, 3
ENDLESS = 1 << 40  # epochs: the step is then that of a long run
VARIED: dict[str, tuple[Sequence[int], Callable[[int], tuple[list[int], int, int]]]] = {
    "hidden units": ((32, 64, 128, 256, 512, 1024, 2048, 4096), lambda v: ([784, v, 10], 128, 0)),
    "hidden layers of 200": ((0, 1, 2, 4, 8), lambda v: ([784, *[200] * v, 10], 128, 0)),
    "batch": ((1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024), lambda v: ([784, 200, 10], v, 0)),
    "threads": ((1, 2), lambda v: ([784, 1024, 1024, 10], 128, v)),
}


def best(run: Callable[[int], float]) -> float:
    """Microseconds of one of what `run(count)` does `count` times and times."""
    count = max(1, int(SECONDS / max(run(1), 1e-6)))
    return min(run(count) / count for _ in range(REPEATS)) * 1e6


def step_time(sizes: list[int], batch: int, make: Callable[[], optimizers.Optimizer]) -> float:
    generator = np.random.default_rng(0)
    rows = xpnn.Samples(generator.integers(0, 256, (ROWS, 784), dtype=np.uint8), generator.integers(0, 10, ROWS))

    def run(count: int) -> float:
        net = xpnn.MLP(sizes)
        part = rows.take(np.arange(count * batch) % ROWS)
        epochs = xpnn.train(net, part, epochs=ENDLESS, batch_size=batch, optimizer=make())
        return next(epochs).seconds

    return best(run)


def bound(sizes: list[int], batch: int) -> float:
    products = Products(sizes, batch)

    def run(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            products.step()
        return time.perf_counter() - started

    return best(run)


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (values, setting) in VARIED.items():
        found[name] = {"values": list(values), "sgd": [], "adam": [], "matrix products": []}
        for value in values:
            sizes, batch, threads = setting(value)
            with threadpool_limits(threads or None):
                found[name]["sgd"].append(step_time(sizes, batch, lambda: optimizers.sgd(0.001)))
                found[name]["adam"].append(step_time(sizes, batch, optimizers.adam))
                found[name]["matrix products"].append(bound(sizes, batch))
            print(name, value, {key: round(series[-1]) for key, series in found[name].items()}, file=sys.stderr)
    return found


def draw(found: dict[str, Any], file: Path) -> None:
    import matplotlib as mpl

    mpl.rcParams |= {"svg.hashsalt": "xpnn", "svg.fonttype": "path"}
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.4), layout="constrained")
    for axes, (name, series) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for key, style in (("adam", "o-"), ("sgd", "o-"), ("matrix products", "k--")):
            axes.plot(series["values"], series[key], style, markersize=3, label=key)
        logarithmic = {"xscale": "linear"} if name in ("threads", "hidden layers of 200") else {"xscale": "log"}
        axes.set(xlabel=name, yscale="log", **logarithmic)
        if name == "threads":
            axes.set_xticks(series["values"])
    figure.axes[0].set_ylabel("microseconds a step")
    figure.axes[0].legend()
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    found = measure()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found, Path(__file__).parents[1] / "docs" / "figures" / "scaling.svg")


if __name__ == "__main__":
    main()
