"""xpnn train: learn from a data set, save the model, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import xpnn
from xpnn.activations import HIDDEN_ACTIVATIONS
from xpnn.losses import LOSSES, check_smoothing, natural_loss
from xpnn.names import choices
from xpnn.optimizers import OPTIMIZERS, settings_of
from xpnn.recipes import RECIPES, WITH_MOMENTUM, Recipe
from xpnn.scaling import Standardization
from xpnn.schedules import SCHEDULES
from xpnn_cli.options import chosen_device, device_option, finite, json_option, name_list, print_json, size_list
from xpnn_cli.pictures import predictions_picture
from xpnn_cli.progress import TrainingProgress
from xpnn_cli.tables import (
    check_reach,
    check_shares,
    network_options,
    part_scores,
    predictions,
    scaled,
    scores_lines,
    target_list,
    target_scaling,
)

POSITIVE = click.IntRange(min=1)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


def _setting(*names: str, help: str, **options: Any) -> Callable[..., Any]:  # noqa: A002 - Click's own name for it
    """An option that changes one setting of the recipe; its help shows the default recipe's."""
    field = names[-1].lstrip("-").replace("-", "_")
    default = getattr(RECIPES["default"], field)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return click.option(*names, help=f"{help}  [default: {shown}]", **options)


@click.command()
@click.argument("data", default="digits")
@device_option
@click.option(
    "--recipe",
    type=click.Choice(sorted(RECIPES)),
    default="default",
    show_default=True,
    help="Settings to start from: the options below each change one. `seed` is the first network of the textbooks,"
    " with two sigmoids, learning one sample at a time.",
)
@_setting(
    "--hidden",
    "hidden_sizes",
    metavar="N[,N...]",
    callback=size_list,
    help='Units of the hidden layers, such as 300,100; "" for none.',
)
@_setting(
    "--activation",
    "hidden",
    metavar="NAME[,NAME...]",
    callback=name_list,
    help=f"Of the hidden layers; one, or one for each. {choices(HIDDEN_ACTIVATIONS)}; a number may follow, as shown.",
)
@_setting("--output", metavar="NAME", help="Activation of the output layer: softmax or any of the hidden ones.")
@click.option(
    "--loss",
    metavar="NAME",
    help=f"What training lowers: {choices(LOSSES)}.  [default: the one made for the output]",
)
@_setting("--optimizer", type=click.Choice(sorted(OPTIMIZERS)), help="How the weights follow the gradient.")
@_setting(
    "--lr",
    "learning_rate",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    help="Learning rate, the highest of the run. Another optimizer than the recipe's has its own usual rate.",
)
@_setting("--schedule", type=click.Choice(sorted(SCHEDULES)), help="How the learning rate changes in the run.")
@_setting(
    "--warmup",
    type=click.FloatRange(0, 1, max_open=True),
    callback=finite,
    help="Share of the run's updates in which the learning rate rises from 0 to where the schedule starts.",
)
@click.option(
    "--momentum",
    type=click.FloatRange(0, 1, max_open=True),
    callback=finite,
    help=f"Share of the last step in the next; for {', '.join(WITH_MOMENTUM)}.  [default: the optimizer's own]",
)
@_setting("--batch-size", type=POSITIVE, help="Rows an update.")
@_setting("--epochs", type=POSITIVE, help="Passes over the training rows.")
@click.option(
    "--class-weight",
    type=click.Choice(["balanced"]),
    help="balanced: rare classes count more, so that all count the same.",
)
@_setting(
    "--label-smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    callback=finite,
    help="Share of a label's certainty that is spread over the classes, such as 0.1.",
)
@_setting("--dtype", type=click.Choice(["float32", "float64"]), help="Of the weights and all arithmetic.")
@click.option(
    "--targets",
    metavar="NAME[,NAME...]",
    callback=target_list,
    help="Columns to predict: DATA is then a table, a CSV file of numbers with column names in its first line. The"
    " output is identity (a number), --output sigmoid for targets of 0 and 1.",
)
@click.option("--limit", type=POSITIVE, help="Use the first LIMIT training rows only.")
@click.option("--test-data", metavar="FILE", help="Rows to test on, where DATA is a file without test rows.")
@click.option(
    "--validation-fraction",
    type=SHARE,
    callback=finite,
    help="Set aside a share of the training rows, and measure on them after each epoch.  [default: 0.1 where there"
    " are no test rows, else none, and the test rows are shown]",
)
@click.option("--classes", type=click.IntRange(min=2), help="Number of classes.  [default: the largest label + 1]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the initial weights and the shuffles: the same seed, the same run.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="model.safetensors",
    show_default=True,
    help="File for the model; one that is there is replaced.",
)
@json_option
def train(
    data: str,
    device: str,
    recipe: str,
    targets: tuple[str, ...] | None,
    limit: int | None,
    test_data: str | None,
    validation_fraction: float | None,
    classes: int | None,
    seed: int,
    out: Path,
    as_json: bool,
    **changes: Any,
) -> None:
    """Train a network on DATA, and save it.

    DATA is a name (digits, which comes with xpnn; mnist, found in $XPNN_DATA_DIR) or a file: CSV with a label and
    then pixels of 0-255 on each line, IDX, or NPZ, gzipped or not.

    \b
      xpnn train                                digits, in a second
      xpnn train mnist --device cuda            MNIST, on the GPU
      xpnn train mnist_train.csv --test-data mnist_test.csv --hidden 300,100
      xpnn train mnist --recipe seed --limit 1000
      xpnn train houses.csv --targets price     real-valued columns, found by name
    """
    if targets:
        _check_goes_with_targets(changes, classes)
        changes["output"] = changes["output"] or "identity"
    settings = _changed(RECIPES[recipe], {name: value for name, value in changes.items() if value is not None})
    _check_folder(out)
    place = chosen_device(device)
    try:
        dataset = xpnn.load(data, test_data=test_data, limit=limit, classes=classes, targets=targets)
        if targets:
            check_shares(settings.output, dataset.train, targets, data)
        dataset, validation = _with_validation(dataset, validation_fraction)
        settings.make_optimizer(len(dataset.train))
        options = network_options(dataset)
        net = settings.network(dataset.train.inputs.shape[1], dataset.labels, place, seed, **options)
        check_smoothing(net.loss, settings.label_smoothing)
        scaling = target_scaling(net, dataset)
    except xpnn.XpnnError:
        raise
    except ValueError as error:  # settings that don't go together
        raise click.UsageError(str(error)) from error
    if test_data and dataset.test and dataset.columns:
        check_shares(net.output, dataset.test, net.labels, test_data)
        check_reach(net, dataset.test, test_data)
    result = _train(settings, net, dataset, validation, scaling, seed)
    xpnn.save(net, out)
    result["model"] = str(out)
    if as_json:
        print_json(result)
    else:
        click.echo(_report(net, dataset, result))


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with the user's changes, and with what follows from them where the user doesn't say otherwise."""
    optimizer = changes.get("optimizer", recipe.optimizer)
    if "momentum" in changes and optimizer not in WITH_MOMENTUM:
        raise click.UsageError(f"--momentum goes with --optimizer {', '.join(WITH_MOMENTUM)}; not with {optimizer}.")
    if optimizer != recipe.optimizer:
        changes.setdefault("learning_rate", settings_of(optimizer)["learning_rate"])
    output = changes.get("output", recipe.output)
    if output != recipe.output:
        changes.setdefault("loss", natural_loss(output))
    if changes.get("loss", recipe.loss) != recipe.loss:
        changes["target_range"] = (0.0, 1.0)
    return dataclasses.replace(recipe, **changes)


def _check_goes_with_targets(changes: dict[str, Any], classes: int | None) -> None:
    for option, value in (("--classes", classes), ("--class-weight", changes["class_weight"])):
        if value is not None:
            raise click.UsageError(f"{option} goes with class labels, not with --targets.")


def _check_folder(out: Path) -> None:
    """A misspelt folder is found before the training, not after it."""
    if not out.parent.is_dir():
        raise click.UsageError(f"--out {out}: there is no folder {out.parent}; make it first.")


def _with_validation(dataset: xpnn.Dataset, fraction: float | None) -> tuple[xpnn.Dataset, xpnn.Samples | None]:
    """Set validation rows aside, if they are asked for, or if there are no test rows to watch instead."""
    n = len(dataset.train)
    if fraction is None:
        if dataset.test is not None or n < 20:
            return dataset, dataset.test
        fraction = 0.1
    try:
        rows, validation = dataset.train.split(fraction)
    except ValueError as error:
        raise click.UsageError(f"--validation-fraction: {error}") from error
    click.echo(f"validation: {len(validation):,} of the {n:,} training rows are set aside", err=True)
    return dataclasses.replace(dataset, train=rows), validation


def _train(
    settings: Recipe,
    net: xpnn.MLP,
    dataset: xpnn.Dataset,
    validation: xpnn.Samples | None,
    scaling: Standardization | None,
    seed: int,
) -> dict[str, Any]:
    """Run the training, and say how it went in plain numbers."""
    watches_test = validation is dataset.test
    progress = TrainingProgress(settings.epochs, len(dataset.train), "test" if watches_test else "validation")
    started = time.perf_counter()
    rows, watched = scaled(dataset.train, scaling), scaled(validation, scaling)
    records = list(
        progress.watch(settings.train(net, rows, seed=seed, validation=watched, progress=progress.step_callback))
    )
    seconds = time.perf_counter() - started
    if scaling is not None:
        xpnn.fold_target_scaling(net, *scaling)
    parts = {"train": dataset.train, "validation": None if watches_test else validation, "test": dataset.test}
    last = records[-1]
    tested = last.validation if watches_test or dataset.test is None else xpnn.evaluate(net, dataset.test)
    return {
        "data": dataset.name,
        "rows": len(dataset.train),
        "sizes": list(net.sizes),
        "parameters": net.parameters.size,
        "device": str(net.device),
        "dtype": net.dtype,
        "seed": seed,
        "step": last.step,
        "epochs": len(records),
        "loss": last.loss,
        "train_accuracy": xpnn.evaluate(net, dataset.train).accuracy,
        "validation_accuracy": None if watches_test or last.validation is None else last.validation.accuracy,
        "test_accuracy": None if dataset.test is None or tested is None else tested.accuracy,
        "epoch_seconds": [record.seconds for record in records],
        "train_seconds": seconds,
    } | ({} if dataset.columns is None else part_scores(net, parts))


def _report(net: xpnn.MLP, dataset: xpnn.Dataset, result: dict[str, Any]) -> str:
    """The same for people, with a few rows as the net sees them."""
    sizes, model = "-".join(map(str, net.sizes)), result["model"]
    if dataset.columns is not None:
        return _table_report(net, dataset, result)
    accuracies = {name: result[f"{name}_accuracy"] for name in ("train", "validation", "test")}
    return f"""\
{sizes} network, {result["parameters"]:,} parameters, trained on {result["rows"]:,} rows \
in {result["train_seconds"]:.1f} s on {result["device"]}
accuracy: {", ".join(f"{name} {value:.2%}" for name, value in accuracies.items() if value is not None)}

{predictions_picture(net, dataset.test or dataset.train, dataset.image_shape)}

saved {model}; now try
  xpnn test {model} {"" if dataset.name == "digits" else dataset.name if dataset.name == "mnist" else "DATA"}
  xpnn query {model} picture.png"""


def _table_report(net: xpnn.MLP, dataset: xpnn.Dataset, result: dict[str, Any]) -> str:
    sizes, model = "-".join(map(str, net.sizes)), result["model"]
    return f"""\
{sizes} network, {result["parameters"]:,} parameters, trained on {result["rows"]:,} rows \
in {result["train_seconds"]:.1f} s on {result["device"]}
{scores_lines(result)}

{predictions(net, dataset.test or dataset.train)}

saved {model}; now try
  xpnn test {model} DATA
  xpnn query {model} DATA"""
