"""What dropout costs a step: 784-200-10, batches of 128, float32, with and without, side by side in one run.

    python benchmarks/dropout_cost.py [--json]      set OPENBLAS_NUM_THREADS=1 for steadier figures

Correctness first: the mask keeps its share, and the steps learn. Then rounds of a step without and with each kind of
regularisation, in turn; the table has the median of the rounds, their quartiles, and the ratio to the step without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

import xpnn
from xpnn.regularization import NONE, Regularization
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

BATCH, ROWS, ROUNDS, STEPS = 128, 12_800, 40, 100
KINDS = {
    "none": NONE,
    "dropout 0.5": Regularization(dropout=0.5),
    "dropout 0.5, of inputs 0.2": Regularization(dropout=0.5, input_dropout=0.2),
    "max-norm 3": Regularization(max_norm=3.0),
    "l2": Regularization(l2=1e-4),
    "input noise 0.1": Regularization(input_noise=0.1),
}


def make_step(kind: Regularization) -> ReferenceStep:
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (ROWS, 784), dtype=np.uint8)
    labels = generator.integers(0, 10, ROWS)
    net = xpnn.MLP([784, 200, 10], seed=0)
    optimizer = xpnn.optimizers.sgd(0.01)
    step = ReferenceStep(
        net, optimizer, net.place_inputs(inputs), net.place_targets(labels), BATCH, regularization=kind
    )
    steps = np.arange(float(STEPS))
    step.begin_epoch(0, update_table(optimizer, steps, optimizer.schedule(steps)).astype(np.float32))
    return step


def check(step: ReferenceStep) -> None:
    """The masks keep their share, and rows that are seen again and again are learnt."""
    for mask, rate in ((step.regularizer.input_mask, 0.2), (step.regularizer.hidden_masks[0], 0.5)):
        if mask is not None:
            mask.draw(np.array([1], dtype=np.uint32))
            assert abs((mask.values == 0).mean() - rate) < 0.02
    rows, losses = np.arange(BATCH), []
    for _ in range(50):
        before = step.totals()[0]
        step(rows)
        losses.append(step.totals()[0] - before)
    assert sum(losses[-10:]) < sum(losses[:10])


def time_of(step: ReferenceStep) -> float:
    """Seconds a step, over STEPS of them."""
    step.begin_epoch(0, step.table)
    order = np.arange(ROWS)
    started = time.perf_counter()
    for start in range(0, STEPS * BATCH, BATCH):
        step(order[start : start + BATCH])
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    steps = {name: make_step(kind) for name, kind in KINDS.items()}
    for step in steps.values():
        check(step)
    times: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(time_of(step))
    results = {}
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        ratio = statistics.median(value / base for value, base in zip(values, times["none"], strict=True))
        results[name] = {"median_us": middle * 1e6, "quartiles_us": [low * 1e6, high * 1e6], "ratio": ratio}
        if not arguments.json:
            print(f"{name:28} {middle * 1e6:7.1f} us ({low * 1e6:.1f} to {high * 1e6:.1f})  {ratio:.3f} of none")
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
