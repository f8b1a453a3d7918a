"""Pictures: digits as text for a terminal and as PNG files, and curves of a run (these need Matplotlib)."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import Path as PathLike
from xpnn.errors import XpnnError
from xpnn.files import write_atomically
from xpnn.history import Record
from xpnn.range_test import RangeTest

SHADES = " ░▒▓█"
SCORES = ("accuracy", "r2", "exact_match")  # the first that a run has is plotted beside its loss
HALVES = " ▄▀█"  # lower and upper half of a character cell: neither, lower, upper, both


def draw_digit(pixels: Any, shape: tuple[int, int] | None = None) -> str:
    """A picture as lines of text, bright pixels full.

    pixels: (height * width,) uint8, or floats; those of a picture within 0-1 count as shares of 255.
    shape:  (height, width), None for a square.
    Small pictures get two characters a pixel in five shades, larger ones two pixels a character in black and white.
    Raises ValueError if the pixels don't fill the shape.
    """
    image = _as_image(pixels, shape)
    if image.shape[1] <= 16:
        shades = image.astype(int) * len(SHADES) // 256
        return "\n".join("".join(2 * SHADES[shade] for shade in row) for row in shades)
    bright = np.pad(image > 96, ((0, image.shape[0] % 2), (0, 0)))
    cells = 2 * bright[0::2] + bright[1::2]
    return "\n".join("".join(HALVES[cell] for cell in row) for row in cells)


def digit_png(pixels: Any, shape: tuple[int, int] | None = None, height: int = 280) -> bytes:
    """The picture as the bytes of a PNG file, each pixel enlarged to a square; about `height` pixels high.

    Needs Pillow. Raises ValueError if the pixels don't fill the shape.
    """
    from PIL import Image

    image = _as_image(pixels, shape)
    zoom = max(1, height // image.shape[0])
    file = io.BytesIO()
    Image.fromarray(np.kron(image, np.ones((zoom, zoom), dtype=np.uint8))).save(file, "PNG")
    return file.getvalue()


def _as_image(pixels: Any, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
    values = np.asarray(pixels)
    if shape is None:
        shape = (math.isqrt(values.size),) * 2
    if shape[0] * shape[1] != values.size:
        raise ValueError(f"{values.size} pixels don't fill {shape[0]} x {shape[1]}; pass shape=(height, width)")
    if values.dtype.kind == "f" and values.size and 0 <= values.min() and values.max() <= 1:
        values = np.rint(values * 255)
    return values.clip(0, 255).reshape(shape).astype(np.uint8)


def plot_history(records: Sequence[Record], path: PathLike) -> None:
    """Write a picture of a run: loss, accuracy or the score that it has, and learning rate, by epoch.

    records: of `read_history`; path: a file whose name ends in .png, .svg or .pdf.
    Raises XpnnError if Matplotlib is missing, the name ends otherwise, or the file can't be written; ValueError if
    there are no records.
    """
    if not records:
        raise ValueError("there are no epochs to draw")
    score = next((name for name in SCORES if f"validation_{name}" in records[-1] or name in records[-1]), None)
    panels = [name for name in ("loss", score, "learning_rate") if name]
    figure = _figure(path, len(panels))
    epochs = [record["epoch"] for record in records]
    for axes, name in zip(figure.axes, panels, strict=True):
        for key, label in ((name, "training"), (f"validation_{name}", "validation")):
            values = [record.get(key) for record in records]
            if any(value is not None for value in values):
                values = [math.nan if value is None else value for value in values]
                axes.plot(epochs, values, label=label, marker="." if len(epochs) < 30 else None)
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(axes.lines) and name != "learning_rate":
            axes.legend()
    _save(figure, path)


def plot_range_test(found: RangeTest, path: PathLike) -> None:
    """Write a picture of a range test: the loss by learning rate, and the suggestion. See `plot_history`."""
    figure = _figure(path, 1)
    (axes,) = figure.axes
    axes.plot(found.rates, found.losses, color="0.8", label="loss of a batch")
    axes.plot(found.rates, found.smoothed, label="smoothed")
    axes.axvline(found.suggestion, color="C1", linestyle="--", label=f"suggestion {found.suggestion:.2g}")
    low, first = float(found.smoothed.min()), float(found.losses[0])
    axes.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="loss",
        ylim=(max(0, 1.1 * low - 0.1 * first), 1.5 * first - 0.5 * low),
    )
    axes.legend()
    _save(figure, path)


def check_picture(path: PathLike) -> None:
    """Raise XpnnError where no picture of curves can be made: Matplotlib is missing, or the name ends otherwise."""
    if not str(path).lower().endswith((".png", ".svg", ".pdf")):
        raise XpnnError(f"{path}: a picture's name must end in .png, .svg or .pdf")
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise XpnnError("pictures of curves need Matplotlib; pip install 'xpnn[plots]'") from error


def _figure(path: PathLike, panels: int) -> Any:
    """A Matplotlib figure of panels side by side, without its global state."""
    check_picture(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 4 * panels, 3.5), layout="constrained")
    figure.subplots(1, panels)
    return figure


def _save(figure: Any, path: PathLike) -> None:
    file = io.BytesIO()
    figure.savefig(file, format=str(path).lower().rpartition(".")[2], dpi=120)
    write_atomically(path, file.getvalue())
