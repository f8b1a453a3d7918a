"""Makes optimizers.svg: each optimizer's way down a narrow valley.

    python docs/figures/make_optimizers.py

The valley is f = (0.04 u^2 + v^2) / 2, turned by 30 degrees so that no axis runs along it; the cross is its minimum,
the ring the origin, to which weight decay pulls. Each optimizer makes 40 steps at a constant rate: of a grid of 20 a
decade the one at which it comes lowest without leaving the picture.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from xpnn.optimizers import OPTIMIZERS, Optimizer

STEPS = 40
START = (-2.6, 0.5)
ORIGIN = (0.8, -0.8)
LOWEST, HIGHEST = (-3.0, -1.8), (1.6, 1.5)
SETTINGS = {  # where the defaults are made for longer runs
    "adamw": {"weight_decay": 0.1},
    "radam": {"beta2": 0.95},
}
ANGLE = 30.0
TURN = np.array([[1, -1], [1, 1]]) * np.array(
    [[np.cos(np.radians(ANGLE)), np.sin(np.radians(ANGLE))], [np.sin(np.radians(ANGLE)), np.cos(np.radians(ANGLE))]]
)
HESSIAN = TURN @ np.diag([0.04, 1.0]) @ TURN.T
RATES = 10.0 ** np.arange(-3, 1, 0.05)
BLUE, GREY, RED = "#1f5fa8", "#c4c9cf", "#c8402f"


def descend(optimizer: Optimizer) -> NDArray[Any]:
    """The points from START on, (STEPS + 1, 2)."""
    p = np.array(START)
    state, steps, points = optimizer.init(p), np.arange(float(STEPS)), [p.copy()]
    rates = optimizer.schedule(steps)
    for row, rate in zip(np.stack(optimizer.coefficients(steps, rates), axis=1), rates, strict=True):
        p += rate * optimizer.weight_decay * (ORIGIN - p)
        optimizer.update(HESSIAN @ p, state, p, [np.array(value) for value in row])
        points.append(p.copy())
    return np.array(points)


def height(points: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.einsum("...i,ij,...j", points, HESSIAN, points) / 2
    return found


def draw(axes: Any, name: str) -> None:
    settings = SETTINGS.get(name, {})
    paths = [(rate, descend(OPTIMIZERS[name](rate, **settings))) for rate in RATES]
    inside = [(rate, points) for rate, points in paths if np.all((points > LOWEST) & (points < HIGHEST))]
    rate, points = min(inside, key=lambda pair: height(pair[1][-1]))
    for level in 2.0 ** np.arange(-11.5, 1.5, 1.5):
        size = 2 * np.sqrt(50 * level)
        axes.add_patch(Ellipse((0, 0), size, size / 5, angle=ANGLE, fill=False, color=GREY, linewidth=0.7))
    axes.plot(*points.T, color=BLUE, linewidth=0.9, alpha=0.8)
    axes.plot(*points.T, ".", color=BLUE, markersize=3, markeredgewidth=0)
    axes.plot(0, 0, "+", color=RED, markersize=8, markeredgewidth=1.4)
    axes.plot(*ORIGIN, "o", color="none", markeredgecolor=RED, markersize=4, markeredgewidth=0.8)
    axes.set(xlim=(LOWEST[0], HIGHEST[0]), ylim=(LOWEST[1], HIGHEST[1]), xticks=[], yticks=[], aspect="equal")
    axes.set_title(name, fontsize=10, fontweight="bold", pad=4)
    axes.set_xlabel(
        ", ".join([f"rate {rate:.2g}", *(f"{key} {value}" for key, value in settings.items())]), fontsize=8, labelpad=4
    )
    for side in axes.spines.values():
        side.set_color(GREY)


def main() -> None:
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "xpnn", "svg.fonttype": "path", "figure.constrained_layout.use": True}
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(2, 5, figsize=(11, 4.1))
    for axes, name in zip(grid.flat, OPTIMIZERS, strict=True):
        draw(axes, name)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # Two decimals of a coordinate are enough; the numbers after a bracket are scales.
    short = re.sub(r"(?<![\d(])\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text.getvalue())
    Path(__file__).with_name("optimizers.svg").write_text(short, encoding="utf-8")


if __name__ == "__main__":
    main()
