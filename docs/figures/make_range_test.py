"""Makes range_test.svg: the sweeps of SGD and Adam over the embedded digits, five seeds each, and the suggestions.

python docs/figures/make_range_test.py
"""

from __future__ import annotations

from matplotlib import pyplot as plt
from style import BLUE, ORANGE, save

import xpnn
from xpnn.optimizers import OPTIMIZERS


def main() -> None:
    data = xpnn.load("digits")
    figure, grid = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axes, name in zip(grid, ("sgd", "adam"), strict=True):
        for seed in range(5):
            net = xpnn.MLP([64, 200, 10], seed=seed)
            found = xpnn.find_learning_rate(net, data.train, optimizer=OPTIMIZERS[name], seed=seed)
            axes.plot(found.rates, found.smoothed, color=BLUE, linewidth=1)
            axes.axvline(found.suggestion, color=ORANGE, linewidth=1)
        axes.set(title=name, xscale="log", xlabel="learning rate", ylim=(0, 4))
    grid[0].set_ylabel("smoothed loss of the batches")
    save(figure, __file__)


if __name__ == "__main__":
    main()
