"""What augmentation costs a step, and what it brings: 784-800-10 in batches of 128, as the recipe `augmented` is.

    OPENBLAS_NUM_THREADS=1 python benchmarks/augmented.py cost
    OPENBLAS_NUM_THREADS=1 python benchmarks/augmented.py ahead
    python benchmarks/augmented.py accuracy [--seeds N] [--epochs N] [--held-out] [SETTING ...]    needs MNIST

Cost: correctness first (settings of nothing leave the pictures, others don't). Then rounds of the recipe's train step
without augmentation and with each kind, in turn, and of the augmentation of one batch alone; the median of the rounds,
their quartiles, and the ratio to the step without in the same round. Processor time, so that other programs disturb
less: with one thread of BLAS it is what a quiet machine's clock shows.

Ahead: what is left of the cost where a thread augments the next batch while one is learnt, as `train` has it on the
CPU. Correctness first (the parameters are the same bits as without the thread); then rounds of the step without
augmentation, with it, and with it ahead, by the clock on the wall: a core must be free, and the machine quiet.

Accuracy: of MNIST's test rows after the last epoch, for the recipe or for settings beside its own; with --held-out of
the last 10,000 training rows, which are then not learnt: settings are chosen by these.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import xpnn
from xpnn import Augmentation, Regularization
from xpnn.augmentation import UNCHANGED
from xpnn.augmenter import Augmenter
from xpnn.backend import matmul
from xpnn.fast import chosen_step
from xpnn.fast.ahead import AheadStep
from xpnn.recipes import RECIPES
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

RECIPE = RECIPES["augmented"]
BATCH, ROUNDS, STEPS, HELD_OUT = RECIPE.batch_size, 20, 50, 10_000
KINDS = {
    "none": UNCHANGED,
    "rotate 10": Augmentation(rotate=10),
    "elastic 34": Augmentation(elastic=34),
    "both": Augmentation(rotate=10, elastic=34),
    "both and cutout 8": Augmentation(rotate=10, elastic=34, cutout=8),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "none": {"augmentation": UNCHANGED},
    **{
        f"elastic-{alpha}": {"augmentation": dataclasses.replace(RECIPE.augmentation, elastic=alpha)}
        for alpha in (0, 12, 18, 24, 34)
    },
    **{
        f"rotate-elastic-{alpha}": {"augmentation": Augmentation(rotate=10, elastic=alpha)} for alpha in (0, 18, 24, 34)
    },
    "rate-0.001": {"learning_rate": 0.001},
    "dropout": {"regularization": Regularization(dropout=0.2)},
}


def chosen(*rest: Any, **options: Any) -> ReferenceStep:
    """As `train` chooses it for a long run."""
    return chosen_step(1000, lambda _: None, *rest, **options)


def make_step(kind: Augmentation, make: Callable[..., Any] = chosen) -> Any:
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (STEPS * BATCH, 784), dtype=np.uint8)
    net = RECIPE.network(784, "0123456789")
    optimizer = RECIPE.make_optimizer(60_000)
    placed = net.place_inputs(inputs), net.place_targets(generator.integers(0, 10, len(inputs)))
    step = make(net, optimizer, *placed, BATCH, augmentation=kind)
    steps = np.arange(float(STEPS))
    step.begin_epoch(0, update_table(optimizer, steps, optimizer.schedule(steps)).astype(np.float32))
    return step


def augment_alone(kind: Augmentation) -> Callable[[], None]:
    augmenter = Augmenter(kind, np, 28, BATCH, "float32", 0.0, 0)
    augmenter.draws.begin_epoch(0, STEPS)
    pictures = np.random.default_rng(0).random((BATCH, 784), dtype=np.float32)
    x = pictures.copy()

    def run() -> None:
        for number in range(STEPS):
            x[...] = pictures
            augmenter.augment(x, np.array([number]), matmul)

    run()
    assert np.array_equal(x, pictures) == (kind == UNCHANGED)
    return run


def epoch_of(step: Any) -> Callable[[], None]:
    table = step.step.table if isinstance(step, AheadStep) else step.table

    def run() -> None:
        step.begin_epoch(0, table)
        order = step.epoch_order(None, 1)
        for start in range(0, len(order), step.rows):
            step(order[start : start + step.rows])

    return run


def seconds(run: Callable[[], None], clock: Callable[[], float] = time.process_time) -> float:
    started = clock()
    run()
    return (clock() - started) / STEPS


def cost() -> None:
    steps = {name: make_step(kind) for name, kind in KINDS.items()}
    print("steps:", ", ".join(sorted({step.name for step in steps.values()})))
    runs = {f"step, {name}": epoch_of(step) for name, step in steps.items()}
    runs |= {f"a batch, {name}": augment_alone(kind) for name, kind in KINDS.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            found = seconds(run)
            if number:  # the first round warms up
                times[name].append(found)
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        ratio = statistics.median(value / base for value, base in zip(values, times["step, none"], strict=True))
        print(
            f"{name:36} {middle * 1e6:7.0f} us ({low * 1e6:.0f} to {high * 1e6:.0f})  {ratio:.2f} of the step without"
        )


def look_ahead() -> None:
    kinds: dict[str, tuple[Augmentation, Callable[..., Any]]] = {"none": (UNCHANGED, chosen)}
    for name, kind in (*KINDS.items(), ("recipe", RECIPE.augmentation)):
        if kind != UNCHANGED:
            kinds |= {name: (kind, chosen), f"{name}, ahead": (kind, partial(AheadStep, chosen))}
    steps = {name: make_step(*kind) for name, kind in kinds.items()}
    runs, times = {name: epoch_of(step) for name, step in steps.items()}, {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            found = seconds(run, time.perf_counter)
            if number:
                times[name].append(found)
    for name, step in steps.items():
        if isinstance(step, AheadStep):
            without = steps[name.removesuffix(", ahead")].net.parameters
            assert np.array_equal(step.step.net.parameters, without), name
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        costs = sorted(value / base - 1 for value, base in zip(values, times["none"], strict=True))
        spread = f"{costs[ROUNDS // 4]:+.1%} to {costs[-ROUNDS // 4 - 1]:+.1%}"
        print(
            f"{name:24} {middle * 1e6:7.0f} us ({low * 1e6:.0f} to {high * 1e6:.0f})  costs "
            f"{statistics.median(costs):+.1%} ({spread})  {steps[name].name}"
        )


def accuracy(names: list[str], seeds: int, held_out: bool, epochs: int) -> None:
    data = xpnn.load("mnist")
    rows, measured = data.train, data.test
    if held_out:
        rows, measured = (data.train.take(part) for part in (slice(-HELD_OUT), slice(-HELD_OUT, None)))
    assert measured is not None
    for name in names:
        recipe, accuracies = dataclasses.replace(RECIPE, epochs=epochs, **SETTINGS[name]), []
        for seed in range(seeds):
            net, taken = recipe.network(784, data.labels, seed=seed), 0.0
            for epoch in recipe.train(net, rows, seed=seed):
                taken += epoch.seconds
                print(f"{name} seed {seed} epoch {epoch.number}/{recipe.epochs} {epoch.loss:.4f}", file=sys.stderr)
            accuracies.append(xpnn.evaluate(net, measured).accuracy or 0.0)
            print(f"{name} seed {seed}: {accuracies[-1]:.2%} in {taken:.0f} s of training", flush=True)
        print(f"{name}: mean {statistics.mean(accuracies):.2%}, least {min(accuracies):.2%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["cost", "ahead", "accuracy"])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=", ".join(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    arguments = parser.parse_intermixed_args()
    unknown = sorted(set(arguments.settings) - SETTINGS.keys())
    if unknown:
        parser.error(f"unknown settings {', '.join(unknown)}: choose from {', '.join(SETTINGS)}")
    if arguments.part == "cost":
        cost()
    elif arguments.part == "ahead":
        look_ahead()
    else:
        accuracy(arguments.settings or ["recipe"], arguments.seeds, arguments.held_out, arguments.epochs)


if __name__ == "__main__":
    main()
