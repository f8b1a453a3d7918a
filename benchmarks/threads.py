"""What threads gain a run that is alone, and cost two that are side by side.

    python benchmarks/threads.py [--rounds N] [--json FILE]     takes about two minutes

Nets on rows of 784 random pixels, SGD, float32, with NumPy's own step. Each run is a process of its own, in which BLAS
has the given number of threads, and trains for the same time; side by side, two of them start at once. What is shown is
the rows a second of one run, or of two together: the median of the rounds, with the least and the most. First is
checked that a run computes the same, up to rounding, with either number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

SECONDS = 2.0
NETS = {"784-200-10, batch 32": ([784, 200, 10], 32), "784-1024-1024-10, batch 128": ([784, 1024, 1024, 10], 128)}
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
RUN = """
import json, sys, time
import numpy as np
import xpnn
from xpnn import optimizers, to_host

sizes, batch, seconds = json.loads(sys.argv[1])
generator = np.random.default_rng(0)
n = 64 * batch
rows = xpnn.Samples(generator.integers(0, 256, (n, 784), dtype=np.uint8), generator.integers(0, 10, n))
net = xpnn.MLP(sizes)
epochs = xpnn.train(net, rows, epochs=1 << 40, batch_size=batch, optimizer=optimizers.sgd(0.001), fast=False)
first = next(epochs)
started, count = time.perf_counter(), 0
while time.perf_counter() - started < seconds:
    next(epochs)
    count += len(rows)
print(json.dumps({"rows": count / (time.perf_counter() - started), "loss": first.loss}))
"""


def start(sizes: list[int], batch: int, threads: int) -> subprocess.Popen[str]:
    environment = os.environ | dict.fromkeys(VARIABLES, str(threads))
    command = [sys.executable, "-c", RUN, json.dumps([sizes, batch, SECONDS])]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def run(sizes: list[int], batch: int, threads: int, beside: int) -> tuple[float, float]:
    """Rows a second of so many runs beside each other, and the loss of the first epoch."""
    answers = [
        json.loads(process.communicate()[0]) for process in [start(sizes, batch, threads) for _ in range(beside)]
    ]
    return sum(answer["rows"] for answer in answers), answers[0]["loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, dict[str, list[float]]] = {}
    for name, (sizes, batch) in NETS.items():
        losses: list[float] = []
        found[name] = {}
        for _ in range(arguments.rounds):  # in turn, so that all see the same machine
            for beside in (1, 2):
                for threads in sorted({1, max(1, cores // 2), cores}):
                    rate, loss = run(sizes, batch, threads, beside)
                    found[name].setdefault(f"{beside} at once, {threads} threads each", []).append(rate)
                    losses.append(loss)
        assert max(losses) - min(losses) < 1e-4 * max(losses), "the number of threads changes what is learnt"
        print(f"{name}, {cores} cores: rows a second, median (least, most)")
        for case, rates in found[name].items():
            print(f"  {case:28} {statistics.median(rates):12,.0f} ({min(rates):,.0f}, {max(rates):,.0f})")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
