"""Makes schedules.svg: each schedule's curve with its defaults, in a run of 200 steps, and behind a warm-up.

python docs/figures/make_schedules.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from xpnn.schedules import SCHEDULES, scheduled

STEPS = 200
BLUE, ORANGE, GREY = "#1f5fa8", "#dd8a2e", "#c4c9cf"


def main() -> None:
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "xpnn", "svg.fonttype": "path", "figure.constrained_layout.use": True}
    from matplotlib import pyplot as plt

    steps = np.arange(float(STEPS))
    figure, grid = plt.subplots(2, 5, figsize=(11, 4.1), sharex=True, sharey=True)
    for axes, name in zip(grid.flat, SCHEDULES, strict=True):
        axes.plot(steps, scheduled(name, 1.0, STEPS, STEPS // 10)(steps), color=ORANGE, linewidth=1.1)
        axes.plot(steps, scheduled(name, 1.0, STEPS)(steps), color=BLUE, linewidth=1.6)
        axes.set_title(name, fontsize=10, fontweight="bold", pad=4)
        axes.set(xlim=(0, STEPS), ylim=(0, 1.06), xticks=[0, 100, 200], yticks=[0, 0.5, 1])
        axes.tick_params(labelsize=8, color=GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(GREY)
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("rate, as a share of the one given", fontsize=9)
    figure.savefig(Path(__file__).with_name("schedules.svg"), metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
