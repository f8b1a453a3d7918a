"""Makes losses.svg: the losses of one output, and what they send back, worked out by xpnn itself.

python docs/figures/make_losses.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from style import COLOURS, GREY, save

from xpnn.losses import SCRATCH, loss_named

REGRESSION = ["squared-error", "absolute-error", "huber", "huber:0.3"]
COUNTS = [0, 1, 3, 10]  # targets
PROBABILITIES = ["binary-cross-entropy", "binary-focal:1", "binary-focal", "binary-focal:5"]


def curves(name: str, y: Any, t: float) -> tuple[Any, Any]:
    """The loss of each y against the target t, and the error."""
    error, losses = np.empty_like(y), np.empty_like(y)
    loss_named(name).evaluate(y, np.full_like(y, t), error, np.empty((SCRATCH, *y.shape)), losses)
    return losses, error


def draw(axes: Any, names: list[str], x: Any, y: Any, t: float) -> None:
    for name, colour in zip(names, COLOURS, strict=True):
        for axis, curve in zip(axes, curves(name, y, t), strict=True):
            line = curve.copy()
            line[np.abs(np.diff(line, axis=0, append=line[-1:])) > 0.5] = np.nan  # a jump is a gap, not a line
            axis.plot(x, line, color=colour, label=name)


def main() -> None:
    figure, axes = plt.subplots(3, 2, figsize=(9.6, 9.6), layout="constrained")
    r = np.linspace(-3, 3, 401)[:, None]
    draw(axes[0], REGRESSION, r, r, 0.0)
    z = np.linspace(-5, 5, 401)[:, None]
    draw(axes[1], PROBABILITIES, z, 1 / (1 + np.exp(-z)), 1.0)
    y = np.exp(z)
    for t, colour in zip(COUNTS, COLOURS, strict=True):
        for axis, curve in zip(axes[2], curves("poisson", y, t), strict=True):
            axis.plot(z, curve, color=colour, label=f"t = {t}")
    for axis in axes.flat:
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axvline(0, color=GREY, linewidth=0.8)
    axes[0, 0].set(title="numbers: the loss", xlabel="y - t", ylim=(-0.1, 3))
    axes[0, 1].set(title="numbers: dL/dy", xlabel="y - t", ylim=(-2, 2))
    axes[1, 0].set(title="probabilities, t = 1: the loss", xlabel="z, with y = sigmoid(z)", ylim=(-0.1, 4))
    axes[1, 1].set(title="probabilities, t = 1: dL/dz", xlabel="z, with y = sigmoid(z)", ylim=(-1.6, 0.15))
    axes[2, 0].set(title="counts: the loss poisson", xlabel="z, with y = exp(z)", ylim=(-0.5, 20))
    axes[2, 1].set(title="counts: dL/dz", xlabel="z, with y = exp(z)", ylim=(-11, 20))
    axes[2, 1].legend(frameon=False, loc="upper left")
    axes[0, 1].legend(frameon=False, loc="lower right")
    axes[1, 0].legend(frameon=False)
    save(figure, __file__)


if __name__ == "__main__":
    main()
