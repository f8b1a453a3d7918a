"""What the figures of docs/ share: their looks, and SVG files that come out the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
BLUE, ORANGE, GREY = "#1f5fa8", "#d9701e", "#8a8f98"
COLOURS = [BLUE, ORANGE, "#2f8f5b", "#8d4fb3"]

mpl.rcParams.update(
    {
        "svg.hashsalt": "xpnn",
        "svg.fonttype": "path",  # the same letters on every machine
        "figure.facecolor": "white",  # pages may be dark
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.grid": True,
        "grid.color": "#e4e6ea",
        "grid.linewidth": 0.6,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": "#444444",
        "ytick.labelcolor": "#444444",
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "path.simplify_threshold": 0.3,
    }
)


def save(figure: Any, script: str) -> None:
    """Write the figure beside its script: make_losses.py makes losses.svg."""
    file = Path(script).with_name(Path(script).stem.removeprefix("make_") + ".svg")
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
