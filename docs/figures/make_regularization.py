"""Makes regularization.svg: a net learns wrong labels by heart; what each kind of regularisation does about it.

python docs/figures/make_regularization.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from style import BLUE, GREY, ORANGE, save

import xpnn
from xpnn import Regularization, optimizers

EPOCHS = 60
KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "l1 = 0.0005": {"regularization": Regularization(l1=5e-4)},
    "l2 = 0.01": {"regularization": Regularization(l2=1e-2)},
    "weight decay = 0.3": {"optimizer": optimizers.adamw(2e-3, weight_decay=0.3)},
    "dropout = 0.5, of inputs 0.2": {"regularization": Regularization(dropout=0.5, input_dropout=0.2)},
    "input noise = 0.2": {"regularization": Regularization(input_noise=0.2)},
    "max-norm = 1": {"regularization": Regularization(max_norm=1.0)},
    "average, decay = 0.98": {"average_decay": 0.98},
}


def losses(options: dict[str, Any]) -> tuple[list[float], list[float]]:
    """(training, validation) after each epoch, the training rows measured like the others: without masks and noise."""
    data = xpnn.load("digits")
    rows, test = data.train.take(slice(400)), data.test
    assert rows.targets is not None
    assert test is not None
    generator = np.random.default_rng(0)
    wrong = generator.random(len(rows)) < 0.2
    rows = xpnn.Samples(rows.inputs, np.where(wrong, generator.integers(0, 10, len(rows)), rows.targets))
    net = xpnn.MLP([64, 200, 10], seed=1)
    options = {"optimizer": optimizers.adam(2e-3)} | options
    found: tuple[list[float], list[float]] = ([], [])
    for epoch in xpnn.train(net, rows, validation=test, epochs=EPOCHS, seed=1, **options):
        assert epoch.validation is not None
        found[0].append(xpnn.evaluate(net, rows).loss)
        found[1].append(epoch.validation.loss)
    return found


def main() -> None:
    figure, grid = plt.subplots(2, 4, figsize=(11, 4.8), sharex=True, sharey=True, layout="constrained")
    plain = losses({})[1]
    epochs = range(1, EPOCHS + 1)
    for axes, (name, options) in zip(grid.flat, KINDS.items(), strict=True):
        training, validation = losses(options)
        if options:
            axes.plot(epochs, plain, color=GREY, linewidth=1, linestyle="--", label="validation, none")
        axes.plot(epochs, training, color=BLUE, label="training")
        axes.plot(epochs, validation, color=ORANGE, label="validation")
        axes.set(title=name, xlim=(0, EPOCHS), ylim=(0, 2.5))
    grid[0, 1].legend(fontsize=8)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    save(figure, __file__)


if __name__ == "__main__":
    main()
