"""xpnn train: learn from a data set, save the model, report."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

import xpnn
from xpnn.data import MOST_CLASSES, read_samples, read_table
from xpnn.data.catalogue import NAMES
from xpnn.early_stopping import best_record
from xpnn.files import check_writable
from xpnn.history import Record
from xpnn.recipes import Recipe
from xpnn.runs import RunFolder
from xpnn.scaling import Standardization
from xpnn_cli.config import made_of
from xpnn_cli.options import (
    GroupedCommand,
    GroupedOption,
    chosen_device,
    device_option,
    finite,
    json_option,
    print_json,
    writable,
)
from xpnn_cli.pictures import predictions_picture
from xpnn_cli.progress import TrainingProgress, in_turn, say_what_stays
from xpnn_cli.runs import Every, Keeper, checked_data, is_finished, opened, run_options
from xpnn_cli.settings import POSITIVE, recipe_options, usage_errors
from xpnn_cli.tables import (
    check_reach,
    check_shares,
    chosen_recipe,
    into_own_units,
    network_options,
    prediction_options,
    predictions,
    predicts_values,
    scaled,
    scores_by_part,
    scores_lines,
    suited,
    target_scaling,
)

SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
MODEL_NAME = "model.safetensors"
PARTED = 1.1  # times its least value: a validation loss above that has turned


@click.command(cls=GroupedCommand)
@click.argument("data", default="digits")
@device_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the initial weights, the shuffles and dropout: the same seed, the same run.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help=f"File for the model; one that is there is replaced.  [default: {MODEL_NAME}, in --run's folder if given]",
)
@json_option
@prediction_options
@click.option("--limit", cls=GroupedOption, group="Data", type=POSITIVE, help="Use the first LIMIT training rows only.")
@click.option(
    "--test-data",
    cls=GroupedOption,
    group="Data",
    metavar="DATA",
    help="A name or a file of rows to test on, where DATA has no test rows.",
)
@click.option(
    "--validation-data",
    cls=GroupedOption,
    group="Data",
    metavar="DATA",
    help="A name or a file of rows to measure on after each epoch.",
)
@click.option(
    "--validation-fraction",
    cls=GroupedOption,
    group="Data",
    type=SHARE,
    callback=finite,
    help="Set aside a share of the training rows, and measure on them after each epoch.  [default: 0.1 where there"
    " are no test rows, or where they decide: --patience, --plateau; else none, and the test rows are shown]",
)
@click.option(
    "--classes",
    cls=GroupedOption,
    group="Data",
    type=click.IntRange(2, MOST_CLASSES),
    help="Number of classes.  [default: the largest label + 1]",
)
@recipe_options
@run_options
def train(
    data: str,
    device: str,
    recipe: str,
    asked: dict[str, Any],
    limit: int | None,
    test_data: str | None,
    validation_data: str | None,
    validation_fraction: float | None,
    classes: int | None,
    seed: int,
    out: Path | None,
    run: Path | None,
    resume: Path | None,
    config: Path | None,
    checkpoint_every: Every | None,
    as_json: bool,
    **changes: Any,
) -> None:
    """Train a network on DATA, and save it.

    DATA is a name (digits, which comes with xpnn; mnist and the others of `xpnn data list`, which `xpnn data get`
    downloads), a file (CSV with a label and then pixels of 0-255 on each line, IDX, NPY, NPZ, Parquet or Arrow, gzipped
    or not; IDX and NPY files need not fit into memory), or a folder or ZIP file of pictures, in a folder for each
    class. With --label-column a CSV file has its labels anywhere, and may hold real numbers; with --targets it is a
    table whose numbers are predicted.

    \b
      xpnn train                                digits, in a second
      xpnn train mnist --device cuda            MNIST, on the GPU
      xpnn train mnist_train.csv --test-data mnist_test.csv --hidden 300,100
      xpnn train mnist --recipe seed --limit 1000
      xpnn train flowers/                       pictures in flowers/rose/, flowers/daisy/ ...
      xpnn train iris.csv --label-column species
      xpnn train houses.csv --targets price
      xpnn train --dropout 0.3 --epochs 100 --patience 10 --run runs/first && xpnn plot runs/first
      xpnn train --resume runs/first            after Ctrl-C, or a power cut
      xpnn train --config runs/first/config.toml --run runs/again
    """
    folder = click.get_current_context().with_resource(opened(run, resume, checkpoint_every))
    if folder is not None and is_finished(folder, as_json):
        return
    settings = chosen_recipe(recipe, changes, asked["targets"])
    out = _place_for_the_model(out, folder)
    place = chosen_device(device)
    with usage_errors():
        dataset = xpnn.load(data, test_data=test_data, limit=limit, classes=classes, **asked)
    say_what_stays(dataset)
    for samples, path in ((dataset.train, data), (dataset.test, test_data)):
        check_shares(settings.output, samples, dataset.labels if predicts_values(dataset) else None, path)
    settings = suited(settings, dataset, recipe, changes)
    dataset, validation = _with_validation(dataset, validation_data, validation_fraction, settings)
    started = time.perf_counter()
    with usage_errors():
        net = settings.network(dataset.train.inputs.shape[1], dataset.labels, place, seed, **network_options(dataset))
        scaling = target_scaling(net, dataset)
        for samples, path in ((dataset.test, test_data), (validation, validation_data)):
            check_reach(net, samples, path)
        rows = "test" if validation is dataset.test else "validation"
        watch = TrainingProgress(settings.epochs, len(dataset.train), rows)
        samples, watched = scaled(dataset.train, scaling), scaled(validation, scaling)
        keeper = None if folder is None else Keeper(folder, settings, net, scaling, checkpoint_every)
        options: dict[str, Any] = {"progress": watch.step_callback, "say": watch.say}
        apart = None if validation is dataset.test else validation
        digest = checked_data(folder, resume is not None, dataset.train, apart, dataset.test)
        if keeper is not None:
            keeper.begin(settings, len(samples), digest) if resume is None else keeper.go_on()
            options |= {"progress": in_turn(watch.step_callback, keeper.after_step), "resume": keeper.state}
        epochs = settings.train(net, samples, seed=seed, validation=watched, **options)
        kept = "epoch {}" if settings.patience is None else "the best epoch"
        records = _run(epochs, watch, net, out, scaling, kept, keeper)
    seconds = time.perf_counter() - started
    try:
        into_own_units(net, scaling)
        scaling = None
        result = _summary(net, dataset, validation, records, settings)
        xpnn.save(net, out)
    except xpnn.DeviceError as error:
        _keep(error, net, out, scaling, kept.format(len(records)))
    result |= {"seed": seed, "train_seconds": seconds, "model": str(out)}
    if folder is not None:
        folder.finish(result | {"model": os.path.abspath(out)})
    if as_json:
        print_json(result)
    else:
        click.echo(_report(net, dataset, result))


def _place_for_the_model(out: Path | None, folder: RunFolder | None) -> Path:
    """Where the model goes: where the user says, or said when the run began, or into the run's folder."""
    if out is None and folder is not None:
        ctx = click.get_current_context()
        said = made_of(ctx).get("out")
        out = Path(said) if isinstance(said, str) and ctx.params["resume"] else folder.model
    if out is None:
        out = Path(MODEL_NAME)
        check_writable(out)
    return out


def _with_validation(
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
    if predicts_values(dataset):
        validation, _ = read_table(source, dataset.labels, columns=dataset.columns)
        check_shares(settings.output, validation, dataset.labels, source)
        return validation
    validation = read_samples(source, labels=dataset.labels, label_column=dataset.label_column, columns=dataset.columns)
    width, expected = validation.inputs.shape[1], dataset.train.inputs.shape[1]
    if width != expected:
        raise xpnn.DataError(f"its rows have {width} values, those of {dataset.name} have {expected}", source)
    return validation


def _run(
    epochs: Iterator[xpnn.Epoch],
    watch: TrainingProgress,
    net: xpnn.MLP,
    out: Path,
    scaling: Standardization | None,
    kept: str,
    keeper: Keeper | None,
) -> list[Record]:
    """All epochs; where they are broken off, what was learnt is saved. kept: which epoch's weights the net has."""
    records = [] if keeper is None else keeper.history
    if keeper is not None:
        keeper.follow(epochs)

    def noted() -> Iterator[xpnn.Epoch]:
        for epoch in epochs:
            records.append(xpnn.record_of(epoch))  # before it is shown, which Ctrl-C may break off
            if keeper is not None:
                keeper.after_epoch()
            yield epoch

    try:
        with nullcontext() if keeper is None else keeper.watching():
            watch.show(noted())
    except (xpnn.XpnnError, KeyboardInterrupt) as error:
        if not records or not (keeper is None or isinstance(error, xpnn.DivergenceError)):  # the run can go on
            raise
        _keep(error, net, out, scaling, kept.format(len(records)))
    return records


def _keep(
    error: xpnn.XpnnError | KeyboardInterrupt, net: xpnn.MLP, out: Path, scaling: Standardization | None, epoch: str
) -> NoReturn:
    """Save what was learnt up to the error, which a lost device keeps to itself, and raise it with a word on that."""
    saved = f"{out} has the weights after {epoch}"
    try:
        into_own_units(net, scaling)
        xpnn.save(net, out)
    except xpnn.DeviceError:
        if not isinstance(error, xpnn.DeviceError):
            raise
        saved = f"{out} was not written"
    if isinstance(error, KeyboardInterrupt):
        click.echo(f"\n{saved}", err=True)
        raise error
    raise type(error)(f"{error}; {saved}") from error


def _summary(
    net: xpnn.MLP,
    dataset: xpnn.Dataset,
    validation: xpnn.Samples | None,
    records: list[Record],
    settings: Recipe,
) -> dict[str, Any]:
    """How it went, in plain numbers."""
    stops = settings.patience is not None
    best = best_record(records, settings.metric, settings.minimum_change) if stops else records[-1]
    watches_test = validation is dataset.test
    parts = {"train": dataset.train, "validation": None if watches_test else validation, "test": dataset.test}
    found = {name: rows and xpnn.evaluate(net, rows) for name, rows in parts.items()}
    if not all(math.isfinite(score) for part in found.values() if part for score in part.scores().values()):
        raise xpnn.DivergenceError("the trained net's answers are no finite numbers: try a lower --lr")
    return {
        "data": dataset.name,
        "rows": len(dataset.train),
        "sizes": list(net.sizes),
        "parameters": net.parameters.size,
        "device": str(net.device),
        "dtype": net.dtype,
        "step": best["step"],
        "epochs": len(records),
        "best_epoch": best["epoch"] if stops else None,
        "loss": best["loss"],
        **{f"{name}_accuracy": part and part.accuracy for name, part in found.items()},
        **scores_by_part(found),
        "note": None if stops else _note(records, watches_test),
        "epoch_seconds": [record["seconds"] for record in records],
    }


def _note(records: list[Record], watches_test: bool) -> str | None:
    """A word where training and validation have parted ways: more epochs then only learn the training rows by heart."""
    losses: list[Any] = [record.get("validation_loss") for record in records]
    if len(losses) < 3 or None in losses:  # not all are numbers
        return None
    best = min(range(len(losses)), key=losses.__getitem__)
    if losses[-1] <= PARTED * losses[best] or records[-1]["loss"] >= records[best]["loss"]:
        return None
    rows = "test" if watches_test else "validation"
    return (
        f"the {rows} loss was least after epoch {best + 1} ({losses[best]:.4f}) and has risen to {losses[-1]:.4f}, "
        "while the training loss fell: the net overfits; try --patience 5, --dropout 0.3 or fewer epochs"
    )


def _report(net: xpnn.MLP, dataset: xpnn.Dataset, result: dict[str, Any]) -> str:
    """The same for people, with a few rows as the net sees them."""
    sizes, model = "-".join(map(str, net.sizes)), result["model"]
    is_table = predicts_values(dataset)
    rows, shape = dataset.test or dataset.train, dataset.image_shape
    accuracies = {name: result[f"{name}_accuracy"] for name in ("train", "validation", "test")}
    shares = ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items() if value is not None)
    best = f"; the weights are those of epoch {result['best_epoch']}, the best" if result["best_epoch"] else ""
    note = f"\nnote: {result['note']}\n" if result["note"] else ""
    column = dataset.label_column if dataset.columns is None else None  # a table's is in the model
    labels = f" --label-column {shlex.quote(column)}" if column else ""
    on = "" if dataset.name == "digits" else f" {dataset.name}" if dataset.name in NAMES else " DATA"
    return f"""\
{sizes} network, {result["parameters"]:,} parameters, trained on {result["rows"]:,} rows \
in {result["train_seconds"]:.1f} s on {result["device"]}{best}
{scores_lines(result) if is_table else f"accuracy: {shares}"}
{note}
{predictions_picture(net, rows, shape) if dataset.columns is None else predictions(net, rows)}

saved {model}; now try
  xpnn test {model}{on}{labels}
  xpnn query {model} {"picture.png" if dataset.columns is None else "DATA"}"""
