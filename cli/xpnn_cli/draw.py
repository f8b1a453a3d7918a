"""xpnn draw: look at a digit."""

from __future__ import annotations

from pathlib import Path

import click

import xpnn
from xpnn.data import MOST_CLASSES
from xpnn.files import write_atomically
from xpnn.plots import digit_png
from xpnn_cli.options import writable
from xpnn_cli.pictures import printable


@click.command()
@click.argument("data", default="digits")
@click.option("--index", type=click.IntRange(min=0), default=0, show_default=True, help="Which training row, from 0.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="Write the picture to this PNG file too.",
)
def draw(data: str, index: int, out: Path | None) -> None:
    """Draw a row of DATA in the terminal, with its label.

    DATA is a name (digits, mnist, ...: see `xpnn data list`) or a file, as for `xpnn train`.
    """
    dataset = xpnn.load(data, limit=index + 1, classes=MOST_CLASSES)  # whatever the labels are, it draws
    if index >= len(dataset.train):
        raise click.UsageError(f"--index {index}: {data} has {len(dataset.train)} rows, 0 to {len(dataset.train) - 1}.")
    shape, pixels, targets = dataset.image_shape, dataset.train.inputs[index], dataset.train.targets
    if shape is None:
        raise xpnn.DataError(f"its rows have {pixels.size} values, which make no square picture", data)
    assert targets is not None  # `load` reads labels
    click.echo(f"{data}, row {index}: {dataset.labels[targets[index]]}")
    click.echo(printable(xpnn.draw_digit(pixels, shape)))
    if out is not None:
        write_atomically(out, digit_png(pixels, shape))
        click.echo(f"wrote {out}", err=True)
