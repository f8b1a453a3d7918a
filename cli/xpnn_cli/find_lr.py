"""xpnn find-lr: which learning rate?"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import click

import xpnn
from xpnn.optimizers import Optimizer
from xpnn.plots import check_picture
from xpnn.recipes import Recipe
from xpnn.schedules import Schedule
from xpnn_cli.options import GroupedCommand, chosen_device, device_option, finite, json_option, print_json, writable
from xpnn_cli.progress import reading_bar, say_of_rows
from xpnn_cli.settings import LBFGS, POSITIVE, recipe_options, refuse_options, usage_errors
from xpnn_cli.tables import (
    check_targets,
    chosen_recipe,
    network_options,
    prediction_options,
    scaled,
    suited,
    target_scaling,
)
from xpnn_cli.threads import threads_option

RATE = click.FloatRange(min=0, min_open=True)
HARDLY_FELL = 0.2  # of the first loss
NO_PART_OF_A_SWEEP = [
    *("learning_rate", "schedule", "warmup", "plateau", "epochs", "average_decay", "patience", "metric"),
    *("minimum_change", "precision"),
]


@click.command("find-lr", cls=GroupedCommand, short_help="Which learning rate?")
@click.argument("data", default="digits")
@device_option
@threads_option
@click.option("--least", type=RATE, callback=finite, default=1e-6, show_default=True, help="Where the sweep starts.")
@click.option("--most", type=RATE, callback=finite, default=10.0, show_default=True, help="Where the sweep ends.")
@click.option("--steps", type=click.IntRange(min=10), default=200, show_default=True, help="Updates of the sweep.")
@prediction_options
@click.option("--limit", type=POSITIVE, help="Use the first LIMIT training rows only.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same answer."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="Draw the sweep in this PNG, SVG or PDF file.",
)
@json_option
@recipe_options
def find_lr(
    data: str,
    device: str,
    recipe: str,
    least: float,
    most: float,
    steps: int,
    asked: dict[str, Any],
    limit: int | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
    **changes: Any,
) -> None:
    """Find a learning rate for DATA: train a few steps while the rate rises, and see where the loss falls and explodes.

    DATA and the settings are those of `xpnn train`. Nothing is saved.

    \b
      xpnn find-lr mnist --optimizer sgd --plot rates.png
    """
    refuse_options(changes, NO_PART_OF_A_SWEEP, "has no part in a sweep of the learning rate; leave it out.")
    settings = chosen_recipe(recipe, changes, asked["targets"])
    if settings.optimizer == LBFGS:
        raise click.UsageError("--optimizer lbfgs has no learning rate.")
    if plot is not None:
        check_picture(plot)
    place = chosen_device(device)
    with usage_errors(), reading_bar() as reading:
        dataset = xpnn.load(data, limit=limit, progress=reading, **asked)
    say_of_rows(dataset)
    check_targets(dataset, settings.output, data)
    settings = suited(settings, dataset, recipe, changes)
    with usage_errors(), click.progressbar(length=steps, label="sweep", file=sys.stderr, width=24) as bar:
        net = settings.network(dataset.train.inputs.shape[1], dataset.labels, place, seed, **network_options(dataset))
        found = xpnn.find_learning_rate(
            net,
            scaled(dataset.train, target_scaling(net, dataset)),
            optimizer=functools.partial(_optimizer, settings),
            least=least,
            most=most,
            steps=steps,
            batch_size=settings.batch_size,
            error_rule=settings.error_rule,
            regularization=settings.regularization,
            augmentation=settings.augmentation,
            class_weight=settings.class_weight,
            label_smoothing=settings.label_smoothing,
            seed=seed,
            progress=lambda _: bar.update(1),
        )
    if plot is not None:
        xpnn.plot_range_test(found, plot)
    if found.fall < HARDLY_FELL:
        click.echo(f"the loss fell by {found.fall:.0%} only: the suggestion is weak; try more --steps", err=True)
    if as_json:
        lists = {name: getattr(found, name).tolist() for name in ("rates", "losses", "smoothed")}
        print_json({"suggestion": found.suggestion, "diverged": found.diverged, **lists})
    else:
        rate = f"{found.suggestion:.2g}"
        click.echo(f"learning rate {rate}; train with --optimizer {settings.optimizer} --lr {rate}")


def _optimizer(settings: Recipe, schedule: Schedule) -> Optimizer:
    """The recipe's optimizer with another schedule."""
    made = dataclasses.replace(settings, schedule="constant", warmup=0.0).make_optimizer(1)
    return made._replace(schedule=schedule)
