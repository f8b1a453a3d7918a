"""xpnn draw: look at a digit, and at what augmentation makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.augmentation import UNCHANGED
from xpnn.data import MOST_CLASSES
from xpnn.data.labelled import square
from xpnn.files import write_atomically
from xpnn.plots import digit_png
from xpnn.recipes import RECIPES
from xpnn.regularization import noisy
from xpnn_cli.augmentation import AUGMENTATION_OPTIONS, check_square
from xpnn_cli.options import GroupedCommand, check_not_read, finite, writable
from xpnn_cli.pictures import ACROSS, printable, strips
from xpnn_cli.settings import refuse_options, usage_errors
from xpnn_cli.tables import label_column_option

LINES = 2  # of ACROSS pictures, the row's own among them


def _augmentation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(AUGMENTATION_OPTIONS):
        command = option(command)
    return command


@click.command(cls=GroupedCommand, short_help="Draw a picture of a data set in the terminal.")
@click.argument("data", default="digits")
@click.option("--index", type=click.IntRange(min=0), default=0, show_default=True, help="Which training row, from 0.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="Write the picture to this PNG file too.",
)
@click.option(
    "--augment",
    is_flag=True,
    help="Draw it beside others that augmentation makes of it: by the options below, or without any as the recipe"
    " `augmented` does.",
)
@click.option(
    "--input-noise",
    type=click.FloatRange(min=0),
    callback=finite,
    metavar="DEVIATION",
    help="Add noise of this standard deviation to what --augment makes; 1 is from black to white.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of what --augment draws at random.  [default: 0]")
@label_column_option
@_augmentation_options
def draw(
    data: str,
    index: int,
    out: Path | None,
    augment: bool,
    input_noise: float | None,
    seed: int | None,
    label_column: str | None,
    **changes: Any,
) -> None:
    """Draw a row of DATA in the terminal, with its label.

    DATA is a name (digits, mnist, ...: see `xpnn data list`) or a file, as for `xpnn train`.

    \b
      xpnn draw mnist --index 7
      xpnn draw mnist --augment --rotate 10 --elastic 34
    """
    check_not_read("--out", out, data=data)
    if not augment:
        made_only = {"seed": seed, "input_noise": input_noise, **changes}
        refuse_options(made_only, made_only, "is for --augment; give that too.")
    with usage_errors():  # whatever the labels are, it draws
        dataset = xpnn.load(data, limit=index + 1, classes=MOST_CLASSES, label_column=label_column)
    if index >= len(dataset.train):
        raise click.UsageError(f"--index {index}: {data} has {len(dataset.train)} rows, 0 to {len(dataset.train) - 1}.")
    pixels, targets = dataset.train.inputs[index], dataset.train.targets
    shape = dataset.image_shape or (square(pixels.size) if pixels.dtype == np.uint8 else None)
    if shape is None and pixels.dtype != np.uint8:
        raise xpnn.DataError("its rows are real numbers, and no pixels of 0 to 255 that can be drawn", data)
    if shape is None:
        raise xpnn.DataError(f"its rows have {pixels.size} values, which make no square picture", data)
    assert targets is not None  # `load` reads labels
    given = {name: value for name, value in changes.items() if value is not None}
    pictures = _with_augmented(dataset, pixels, given, input_noise, seed or 0) if augment else pixels[None]
    if out is not None:  # before what is printed, which nobody may read to its end
        lines = pictures.reshape(-1, min(ACROSS, len(pictures)), *shape).swapaxes(1, 2)
        write_atomically(out, digit_png(lines, (lines.shape[0] * shape[0], lines.shape[2] * shape[1])))
        click.echo(f"wrote {out}", err=True)
    click.echo(f"{data}, row {index}: {dataset.labels[targets[index]]}")
    drawn = [xpnn.draw_digit(picture, shape) for picture in pictures]
    click.echo(strips([picture.splitlines() for picture in drawn]) if augment else printable(drawn[0]))


def _with_augmented(
    dataset: xpnn.Dataset, pixels: NDArray[Any], given: dict[str, Any], noise: float | None, seed: int
) -> NDArray[Any]:
    """(pictures, n_in): the row itself and others that are made of it, of its type."""
    are_levels = pixels.dtype == np.uint8
    made = np.repeat(pixels[None].astype("float32"), ACROSS * LINES - 1, axis=0)
    with usage_errors():
        settings = xpnn.Augmentation(**given) if given or noise is not None else RECIPES["augmented"].augmentation
        check_square(settings, dataset)
        if settings != UNCHANGED:
            made = xpnn.augmented(made, settings, seed=seed)
    if noise is not None:
        white = 255 if are_levels else 1
        made = noisy(made, noise * white, seed).clip(0, max(white, pixels.max()))
    return np.concatenate([pixels[None], np.rint(made).astype("uint8") if are_levels else made])
