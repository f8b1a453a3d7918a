"""Where the range test's factor comes from: which multiples of the steepest rate are good, for a dozen of settings.

    python benchmarks/range_test_factor.py

On the digits, 10 epochs with the rate falling to 0 in a straight line, three seeds. For each setting: the rates of a
grid whose mean test accuracy is within half a point of the best, the rate at which the sweep's smoothed loss falls most
steeply (geometric mean), and the good rates as multiples of it.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn import optimizers
from xpnn.schedules import linear

SEEDS, EPOCHS, POINTS = 3, 10, 14


class Setting(NamedTuple):
    optimizer: Callable[..., optimizers.Optimizer]
    least: float
    most: float
    batch_size: int = 32
    hidden_sizes: tuple[int, ...] = (200,)
    hidden: str = "relu"


MOMENTUM = functools.partial(optimizers.sgd, momentum=0.9)
SETTINGS = {
    "sgd": Setting(optimizers.sgd, 0.01, 5),
    "sgd, batches of 128": Setting(optimizers.sgd, 0.01, 5, 128),
    "sgd, batches of 8": Setting(optimizers.sgd, 0.01, 5, 8),
    "momentum": Setting(MOMENTUM, 0.001, 1),
    "adam": Setting(optimizers.adam, 1e-4, 0.3),
    "adam, batches of 128": Setting(optimizers.adam, 1e-4, 0.3, 128),
    "adam, batches of 8": Setting(optimizers.adam, 1e-4, 0.3, 8),
    "sgd, tanh": Setting(optimizers.sgd, 0.01, 5, hidden="tanh"),
    "adam, three layers": Setting(optimizers.adam, 1e-4, 0.3, hidden_sizes=(200, 200, 100)),
    "sgd, three layers": Setting(optimizers.sgd, 0.01, 5, hidden_sizes=(200, 200, 100)),
    "rmsprop": Setting(optimizers.rmsprop, 1e-4, 0.3),
    "sgd, sigmoid": Setting(optimizers.sgd, 0.03, 15, hidden="sigmoid"),
}


def make_net(setting: Setting, seed: int) -> xpnn.MLP:
    return xpnn.MLP([64, *setting.hidden_sizes, 10], hidden=setting.hidden, seed=seed)


def accuracy(data: xpnn.Dataset, setting: Setting, rate: float) -> float:
    """Mean over the seeds; a run that diverges counts as 0."""
    found, size = [], setting.batch_size
    for seed in range(SEEDS):
        net, made = make_net(setting, seed), setting.optimizer(linear(rate, EPOCHS * math.ceil(len(data.train) / size)))
        assert data.test is not None
        try:
            list(xpnn.train(net, data.train, epochs=EPOCHS, batch_size=size, optimizer=made, seed=seed))
            found.append(xpnn.evaluate(net, data.test).accuracy or 0.0)
        except xpnn.DivergenceError:
            found.append(0.0)
    return statistics.mean(found)


def steepest(data: xpnn.Dataset, setting: Setting) -> float:
    rates = []
    for seed in range(SEEDS):
        options: dict[str, Any] = {"optimizer": setting.optimizer, "batch_size": setting.batch_size, "seed": seed}
        found = xpnn.find_learning_rate(make_net(setting, seed), data.train, **options)
        slope = np.gradient(found.smoothed)[: int(found.smoothed.argmin()) + 1]
        rates.append(float(found.rates[slope.argmin()]))
    return statistics.geometric_mean(rates)


def main() -> None:
    data = xpnn.load("digits")
    for name, setting in SETTINGS.items():
        grid = np.geomspace(setting.least, setting.most, POINTS)
        accuracies = np.array([accuracy(data, setting, float(rate)) for rate in grid])
        good, start = grid[accuracies >= accuracies.max() - 0.005], steepest(data, setting)
        print(
            f"{name:21} best {accuracies.max():.2%} at {grid[accuracies.argmax()]:.2g}; good {good[0]:.2g} to "
            f"{good[-1]:.2g}; steepest {start:.2g}; good are {good[0] / start:.2g} to {good[-1] / start:.2g} times it"
        )


if __name__ == "__main__":
    main()
