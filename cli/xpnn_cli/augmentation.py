"""The options of augmentation: those of all commands that train, and of `xpnn draw`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from xpnn.augmentation import MOST, UNCHANGED, Augmentation
from xpnn.samples import Dataset
from xpnn_cli.options import GroupedOption, finite

AUGMENTATION = {field.name for field in dataclasses.fields(Augmentation)}


def check_square(settings: Augmentation, dataset: Dataset) -> None:
    """Raise UsageError for pictures that are known not to be square."""
    shape = dataset.image_shape
    if settings != UNCHANGED and shape is not None and shape[0] != shape[1]:
        found = f"those of {dataset.name} have {shape[0]} x {shape[1]} pixels (height x width)"
        raise click.UsageError(f"augmentation (shift, rotate, elastic, ...) is for square pictures, and {found}.")


def _option(name: str, metavar: str, text: str) -> Callable[..., Any]:
    return click.option(
        f"--{name}",
        cls=GroupedOption,
        group="Augmentation",
        metavar=metavar,
        type=click.IntRange(min=0) if name == "cutout" else click.FloatRange(0, MOST.get(name)),
        callback=finite,
        help=f"{text}  [default: {getattr(UNCHANGED, name):g}]",
    )


AUGMENTATION_OPTIONS = [
    _option("shift", "PIXELS", "Move each picture in each update by up to PIXELS along each axis."),
    _option("rotate", "DEGREES", "Turn it by up to DEGREES to either side."),
    _option("zoom", "SHARE", "Make it larger or smaller by up to SHARE of its size, such as 0.1."),
    _option("shear", "DEGREES", "Let it lean by up to DEGREES to either side."),
    _option("elastic", "ALPHA", "Bend it elastically; 34 is usual, 1.4 pixels of 28 on average."),
    _option("cutout", "PIXELS", "Blank a square of PIXELS a side."),
]
