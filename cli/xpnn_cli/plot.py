"""xpnn plot: the curves of a run."""

from __future__ import annotations

from pathlib import Path

import click

import xpnn
from xpnn_cli.options import writable


@click.command(short_help="Draw the curves of a run that was kept.")
@click.argument("run")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="PNG, SVG or PDF file for the picture.  [default: RUN/curves.png]",
)
def plot(run: str, out: Path | None) -> None:
    """Draw the curves of RUN: loss and accuracy on the training and validation rows, and the learning rate, by epoch.

    RUN is a folder that `xpnn train --run` made, or a metrics.jsonl. A run that is still going can be drawn too.
    """
    records = xpnn.read_history(run)
    if out is None:
        out = (Path(run) if Path(run).is_dir() else Path(run).parent) / "curves.png"
    xpnn.plot_history(records, out)
    click.echo(f"{len(records)} epoch{'s' * (len(records) > 1)}, last loss {records[-1]['loss']:.4f}; drawn in {out}")
