"""xpnn train: learn from a data set, save the model, report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

import xpnn
from xpnn.data import MOST_CLASSES
from xpnn.files import check_writable
from xpnn.history import Record
from xpnn.recipes import Recipe
from xpnn.scaling import Standardization
from xpnn_cli.keeper import Every, Keeper
from xpnn_cli.options import (
    GroupedCommand,
    GroupedOption,
    check_not_read,
    chosen_device,
    device_option,
    finite,
    json_option,
    print_json,
    writable,
)
from xpnn_cli.progress import TrainingProgress, in_turn, reading_bar, say_of_rows
from xpnn_cli.report import report, summary
from xpnn_cli.runs import opened, place_for_the_model, run_options
from xpnn_cli.same_data import checked_data
from xpnn_cli.settings import LBFGS, POSITIVE, recipe_options, usage_errors
from xpnn_cli.tables import (
    check_reach,
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
from xpnn_cli.validation import with_validation

SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
MODEL_NAME = "model.safetensors"


@click.command(cls=GroupedCommand, short_help="Learn from data, and save the network.")
@click.argument("data", default="digits")
@device_option
@threads_option
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
    or not; IDX, NPY and Parquet files need not fit into memory), or a folder or ZIP file of pictures, in a folder for
    each class. With --label-column a CSV file has its labels anywhere, and may hold real numbers; with --targets it is
    a table whose numbers are predicted. Commas, semicolons or tabs stand between a CSV file's columns.

    \b
      xpnn train                                digits, in a second
      xpnn train mnist --device cuda            MNIST, on the GPU
      xpnn train mnist_train.csv --test-data mnist_test.csv --hidden 300,100
      xpnn train mnist --recipe seed --limit 1000
      xpnn train flowers/                       pictures in flowers/rose/, ...
      xpnn train iris.csv --label-column species
      xpnn train houses.csv --targets price
      xpnn train --epochs 100 --patience 10 --run runs/first
      xpnn plot runs/first                      draws how it went
      xpnn train --resume runs/first            after Ctrl-C, or a power cut
      xpnn train --config runs/first/config.toml --run runs/again
    """
    opening = opened(run, resume, out, as_json)
    folder, start = click.get_current_context().with_resource(opening)
    settings = chosen_recipe(recipe, changes, asked["targets"])
    if folder is not None:
        out = place_for_the_model(folder, out)
    out = out or Path(MODEL_NAME)
    if folder is None or out != folder.model:
        check_writable(out)
    check_not_read("--out", out, data=data, test_data=test_data, validation_data=validation_data, configuration=config)
    place = chosen_device(device)
    with usage_errors(), reading_bar() as reading:
        dataset = xpnn.load(data, test_data=test_data, limit=limit, classes=classes, progress=reading, **asked)
    say_of_rows(dataset)
    check_targets(dataset, settings.output, data, test_data=test_data, classes=classes)
    settings = suited(settings, dataset, recipe, changes)
    dataset, validation = with_validation(dataset, validation_data, validation_fraction, settings)
    started = time.perf_counter()
    with usage_errors():
        net = settings.network(dataset.train.inputs.shape[1], dataset.labels, place, seed, **network_options(dataset))
        scaling = target_scaling(net, dataset)
        for samples, path in ((dataset.test, test_data), (validation, validation_data)):
            check_reach(net, samples, path)
        keeper = None if folder is None else Keeper(folder, settings, net, scaling, checkpoint_every)
        apart = None if validation is dataset.test else validation
        digest = checked_data(folder, resume is not None, dataset.train, apart, dataset.test)
        if keeper is not None:
            keeper.begin(dataset.train, digest) if start is None else keeper.go_on(start)
        work = _Work(net, settings, out, scaling, keeper)
        records = _learn(work, dataset, validation, seed)
    seconds = time.perf_counter() - started
    with nullcontext() if keeper is None else keeper.explained():
        if folder is not None:
            folder.check()
        result = _saved(work, dataset, validation, records)
        result |= {"seed": seed, "train_seconds": seconds, "model": str(out)}
        if folder is not None:
            folder.finish(result | {"model": os.path.abspath(out)})
    if as_json:
        print_json(result)
    else:
        click.echo(report(net, dataset, result))


class _Work(NamedTuple):
    """A net that learns.

    out:     where its model goes.
    scaling: of the targets while it learns; None: it answers in their own units.
    keeper:  writes down what it does; None: nobody does.
    """

    net: xpnn.MLP
    settings: Recipe
    out: Path
    scaling: Standardization | None
    keeper: Keeper | None


def _learn(work: _Work, dataset: xpnn.Dataset, validation: xpnn.Samples | None, seed: int) -> list[Record]:
    """All epochs; where they are broken off, what was learnt is saved."""
    settings, keeper = work.settings, work.keeper
    rows = "test" if validation is dataset.test else "validation"
    watch = TrainingProgress(settings.epochs, len(dataset.train), rows)
    options: dict[str, Any] = {"progress": watch.step_callback, "say": watch.say}
    if keeper is not None:
        options["progress"] = in_turn(watch.step_callback, keeper.after_step)
    samples, watched = scaled(dataset.train, work.scaling), scaled(validation, work.scaling)
    resume = None if keeper is None else keeper.taken_state()
    with keeper.explained() if keeper is not None and settings.optimizer == LBFGS else nullcontext():
        epochs = settings.train(work.net, samples, seed=seed, validation=watched, resume=resume, **options)
    del resume
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
        _keep(error, work, len(records))
    return records


def _saved(
    work: _Work, dataset: xpnn.Dataset, validation: xpnn.Samples | None, records: list[Record]
) -> dict[str, Any]:
    """The result, of a net that is saved in the targets' own units."""
    try:
        into_own_units(work.net, work.scaling)
        work = work._replace(scaling=None)
        result = summary(work.net, dataset, validation, records, work.settings)
        xpnn.save(work.net, work.out)
    except xpnn.DeviceError as error:
        _keep(error, work, len(records))
    return result


def _keep(error: xpnn.XpnnError | KeyboardInterrupt, work: _Work, epochs: int) -> NoReturn:
    """Save what was learnt up to the error, which a lost device keeps to itself, and raise it with a word on that."""
    epoch = f"epoch {epochs}" if work.settings.patience is None else "the best epoch"
    saved = f"{work.out} has the weights after {epoch}"
    try:
        into_own_units(work.net, work.scaling)
        xpnn.save(work.net, work.out)
    except xpnn.DeviceError:
        if not isinstance(error, xpnn.DeviceError):
            raise
        saved = f"{work.out} was not written"
    if isinstance(error, KeyboardInterrupt):
        click.echo(f"\n{saved}", err=True)
        raise error
    raise type(error)(f"{error}; {saved}") from error
