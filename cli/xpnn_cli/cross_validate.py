"""xpnn cross-validate: how good are these settings, and how sure is that?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import click

import xpnn
from xpnn_cli.options import GroupedCommand, chosen_device, device_option, json_option, print_json
from xpnn_cli.progress import reading_bar, say_of_rows
from xpnn_cli.settings import POSITIVE, recipe_options, refuse_options, usage_errors
from xpnn_cli.tables import (
    check_targets,
    chosen_recipe,
    into_own_units,
    network_options,
    prediction_options,
    scaled,
    suited,
    target_scaling,
)
from xpnn_cli.threads import threads_option


@click.command("cross-validate", cls=GroupedCommand, short_help="How sure is that accuracy? Train several times.")
@click.argument("data", default="digits")
@device_option
@threads_option
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="How many parts.")
@prediction_options
@click.option("--limit", type=POSITIVE, help="Use the first LIMIT training rows only.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the parts, the weights and the shuffles.",
)
@json_option
@recipe_options
def cross_validate(
    data: str,
    device: str,
    recipe: str,
    folds: int,
    asked: dict[str, Any],
    limit: int | None,
    seed: int,
    as_json: bool,
    **changes: Any,
) -> None:
    """Cut the training rows of DATA into parts; train on all but one and measure on that one, for each in turn.

    The mean says how good the settings are, the spread how far to trust a single measurement. DATA and the settings
    are those of `xpnn train`; test rows are left alone. Nothing is saved.

    \b
      xpnn cross-validate --folds 10 --hidden 50
      xpnn cross-validate iris.csv --label-column species
      xpnn cross-validate houses.csv --targets price
    """
    import statistics

    reason = "would choose by the rows that measure; give --epochs instead."
    refuse_options(changes, ["patience", "metric", "minimum_change"], reason)
    settings = chosen_recipe(recipe, changes, asked["targets"])
    place = chosen_device(device)
    with usage_errors(), reading_bar() as reading:
        dataset = xpnn.load(data, limit=limit, progress=reading, **asked)
    say_of_rows(dataset)
    check_targets(dataset, settings.output, data)
    settings = suited(settings, dataset, recipe, changes)
    scores: list[dict[str, float]] = []
    with usage_errors():
        for number, (rows, part) in enumerate(dataset.train.folds(folds, seed), 1):
            fold = dataclasses.replace(dataset, train=rows, test=None)
            net = settings.network(rows.inputs.shape[1], fold.labels, place, seed, **network_options(fold))
            scaling = target_scaling(net, fold)
            list(settings.train(net, scaled(rows, scaling), seed=seed))
            into_own_units(net, scaling)
            scores.append(xpnn.evaluate(net, part).scores())
            if not all(map(math.isfinite, scores[-1].values())):
                raise xpnn.DivergenceError(f"the net of fold {number} gives no finite numbers: try a lower --lr")
            shown = "  ".join(f"{name} {_number(name, value)}" for name, value in scores[-1].items())
            click.echo(f"fold {number}/{folds}  {shown}", err=True)
    means, deviations = _over(statistics.mean, scores), _over(statistics.stdev, scores)
    if as_json:
        print_json({"data": dataset.name, "folds": scores, "mean": means, "deviation": deviations})
    else:
        for name, mean in means.items():
            click.echo(
                f"{name} {_number(name, mean)} ± {_number(name, deviations[name])} (mean and deviation of {folds})"
            )


def _over(function: Callable[[list[float]], float], scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: function([score[name] for score in scores]) for name in scores[0]}


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name in ("accuracy", "exact_match", "hamming_accuracy") else f"{value:.5g}"
