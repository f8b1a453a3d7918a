"""The rows that `xpnn train` measures on after each epoch: the user's own, some set aside, or the test rows."""

from __future__ import annotations

import dataclasses

import click

import xpnn
from xpnn.data import read_alike
from xpnn.recipes import Recipe
from xpnn_cli.tables import check_shares, predicts_values


def with_validation(
    dataset: xpnn.Dataset, source: str | None, fraction: float | None, settings: Recipe
) -> tuple[xpnn.Dataset, xpnn.Samples | None]:
    """The rows to watch: the user's own; or some set aside; or the test rows, where nothing is chosen by them."""
    if source is not None:
        if fraction is not None:
            raise click.UsageError("--validation-data and --validation-fraction are two ways to one thing; give one.")
        return dataset, _own_validation(dataset, source, settings)
    stops = settings.patience is not None and settings.metric.startswith("validation")
    n, decides = len(dataset.train), stops or settings.plateau is not None
    if fraction is None:
        if decides and n < 20:
            raise click.UsageError(
                f"{n} training rows are too few to set some aside: give --validation-data or --validation-fraction."
            )
        if n < 20 or (dataset.test is not None and not decides):
            return dataset, dataset.test
        fraction = 0.1
    try:
        rows, validation = dataset.train.split(fraction)
    except ValueError as error:
        raise click.UsageError(f"--validation-fraction: {error}") from error
    click.echo(f"validation: {len(validation):,} of the {n:,} training rows are set aside", err=True)
    return dataclasses.replace(dataset, train=rows), validation


def _own_validation(dataset: xpnn.Dataset, source: str, settings: Recipe) -> xpnn.Samples:
    validation = read_alike(source, dataset)
    if predicts_values(dataset):
        check_shares(settings.output, validation, dataset.labels, source)
    return validation
