"""Tables on the command line: what is to be predicted; and nets of real numbers, known by their columns' names."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.data import read_samples, read_table, wrong_value
from xpnn.data.catalogue import NAMES
from xpnn.data.csv import TABLE
from xpnn.data.files import shown
from xpnn.data.parts import WHOLE
from xpnn.recipes import Recipe
from xpnn.scaling import Standardization, check_target_scaling
from xpnn.stored import chunks
from xpnn_cli.augmentation import check_square
from xpnn_cli.options import GroupedOption
from xpnn_cli.pictures import aligned_right, width_of
from xpnn_cli.settings import changed_recipe

PARTS = ("train", "validation", "test")
FARTHEST = 1e9  # deviations from the mean: from there on outputs are no numbers but overflows
LIMITS = {"exp": (0, math.inf), "sigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 1)}
SHOWN_ROWS, SHOWN_TARGETS = 5, 6
MOST_NUMBERS = 100  # different whole numbers; more, and more than a tenth of the rows, are hardly meant for classes
FEWEST_UPDATES = 300  # of a net that learns a table's classes: 150 irises make 50 in the default's ten epochs


def target_list(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Column names with commas between; a name that holds a comma stands in quotes."""
    if value is None:
        return None
    try:
        names = tuple(name.strip() for name in next(csv.reader([value], skipinitialspace=True, strict=True)))
    except csv.Error as error:
        raise click.BadParameter(f"{value!r}: its quotes can't be made out ({error}).") from error
    if not names or not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"{value!r} is not a list of different column names such as price or price,tax.")
    return names


label_column_option = click.option(
    "--label-column",
    cls=GroupedOption,
    group="Data",
    metavar="COLUMN",
    help="Name of the column with the classes in a CSV, Parquet or Arrow file, or its number, from 1, or -1 for the"
    " last; all others are inputs.  [default: of CSV the first; else the one called label, class or the like]",
)
PREDICTED = [
    label_column_option,
    click.option(
        "--task",
        cls=GroupedOption,
        group="Data",
        type=click.Choice(["classification", "regression"]),
        help="regression: --label-column holds numbers to predict, which --targets names as well."
        "  [default: classification, but regression with --targets]",
    ),
    click.option(
        "--targets",
        cls=GroupedOption,
        group="Data",
        metavar="NAME[,NAME...]",
        callback=target_list,
        help="Columns of numbers to predict from all others, in a CSV file with a line of column names, or a Parquet or"
        " Arrow file; the default output is then identity. Give --output sigmoid for targets of 0 and 1.",
    ),
]


def prediction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what is to be predicted, as `asked`: two arguments of `xpnn.load`."""

    @functools.wraps(command)
    def with_asked(
        *arguments: Any,
        label_column: str | None,
        task: str | None,
        targets: tuple[str, ...] | None,
        **options: Any,
    ) -> Any:
        return command(*arguments, asked=_asked(label_column, task, targets), **options)

    for option in reversed(PREDICTED):
        with_asked = option(with_asked)
    return with_asked


def _asked(label_column: str | None, task: str | None, targets: tuple[str, ...] | None) -> dict[str, Any]:
    if label_column is not None and targets is not None:
        raise click.UsageError("--label-column and --targets both name what is to be predicted; give one of them.")
    if task == "classification" and targets is not None:
        raise click.UsageError("--targets are numbers: --task classification needs --label-column instead.")
    if task == "regression" and targets is None:
        if label_column is None:
            raise click.UsageError("--task regression: name the column of numbers to predict, --label-column NAME.")
        return {"targets": (label_column,), "label_column": None}
    return {"targets": targets, "label_column": label_column}


def chosen_recipe(name: str, options: dict[str, Any], targets: tuple[str, ...] | None) -> Recipe:
    """The recipe with the user's changes and, where there are targets, with what suits tables.

    The usual initial weights below relu and its like are made for many inputs: on a table's few columns the net starts
    as a wild function, and Glorot's smaller ones get to better scores (docs/benchmarks.md).
    """
    if targets is None:
        return changed_recipe(name, options)
    recipe = changed_recipe(name, options | {"output": options["output"] or "identity"})
    return dataclasses.replace(recipe, initializer=recipe.initializer or "glorot-uniform")


def suited(settings: Recipe, dataset: xpnn.Dataset, name: str, options: dict[str, Any]) -> Recipe:
    """The settings, and for a table's classes with what the user hasn't chosen: Glorot's weights, and time to learn.

    Tables may have so few rows that the default recipe's epochs end before anything is learnt.
    Raises UsageError for settings that don't suit the data.
    """
    check_square(settings.augmentation, dataset)
    if dataset.columns is None or dataset.label_column is None:
        return settings
    settings = dataclasses.replace(settings, initializer=settings.initializer or "glorot-uniform")
    if name != "default" or options["epochs"] is not None:
        return settings
    updates = math.ceil(len(dataset.train) / settings.batch_size)
    return dataclasses.replace(settings, epochs=max(settings.epochs, math.ceil(FEWEST_UPDATES / updates)))


def predicts_values(dataset: xpnn.Dataset) -> bool:
    """Whether the targets are columns of numbers, and no labels."""
    return dataset.columns is not None and dataset.label_column is None


def check_targets(
    dataset: xpnn.Dataset, output: str, data: str, *, test_data: str | None = None, classes: int | None = None
) -> None:
    """Look at what a table's targets are, and say where its whole numbers, which may be values, are learnt as classes.

    classes: as the user gives it. Raises DataError, naming the place, unless the output can become what they are.
    """
    _say_if_numbers_are_classes(dataset, classes)
    if predicts_values(dataset):
        for samples, path in ((dataset.train, data), (dataset.test, test_data)):
            check_shares(output, samples, dataset.labels, path)


def _say_if_numbers_are_classes(dataset: xpnn.Dataset, classes: int | None) -> None:
    """A word where a table's labels look like numbers to predict. classes: as the user gives it, who then knows."""
    if dataset.label_column is None or dataset.columns is None or classes is not None:
        return
    if len(dataset.labels) <= MOST_NUMBERS or not all(map(WHOLE.fullmatch, dataset.labels)):
        return
    n, count = len(dataset.train), len(np.unique(np.asarray(dataset.train.targets)))
    if count > MOST_NUMBERS and 10 * count > n:
        problem = (
            f"{shown(dataset.label_column)} has {count:,} different whole numbers in {n:,} rows, learnt as classes"
        )
        remedy = "to predict the numbers themselves, name it in --targets instead"
        click.echo(f"{dataset.name}: {problem}; {remedy}", err=True)


def network_options(dataset: xpnn.Dataset) -> dict[str, Any]:
    """What MLP has to know of the rows: the pictures' shape; or a table's columns, their means and deviations."""
    if dataset.columns is None:
        return {"image_shape": dataset.image_shape}
    standardization = _standardization(dataset, dataset.train.inputs, dataset.columns)
    return {"columns": dataset.columns, "standardization": standardization, "label_column": dataset.label_column}


def _standardization(dataset: xpnn.Dataset, values: Any, names: tuple[str, ...]) -> tuple[NDArray[np.float64], ...]:
    try:
        return xpnn.standardization_of(values, names)
    except xpnn.DataError as error:
        raise xpnn.DataError(str(error), dataset.name) from error


def target_scaling(net: xpnn.MLP, dataset: xpnn.Dataset) -> Standardization | None:
    """How the targets of a table are standardised for training, behind exp divided by their means alone.

    None where they are labels or the output has limits. Raises ValueError where the net could not take it in.
    """
    if not predicts_values(dataset) or dataset.train.targets is None or net.output not in ("identity", "exp"):
        return None
    means, deviations = _standardization(dataset, dataset.train.targets, dataset.labels)
    if net.output == "exp":
        means, deviations = np.zeros_like(means), np.where(means > 0, means, 1.0)
    return check_target_scaling(net, means, deviations)


def scaled(samples: xpnn.Samples | None, scaling: Standardization | None) -> Any:
    """The samples with their targets standardised."""
    if samples is None or samples.targets is None or scaling is None:
        return samples
    return dataclasses.replace(samples, targets=(samples.targets - scaling.means) / scaling.deviations)


def into_own_units(net: xpnn.MLP, scaling: Standardization | None) -> None:
    """Make a net that learnt standardised targets answer in the targets' own units."""
    if scaling is not None:
        xpnn.fold_target_scaling(net, *scaling)


def check_shares(output: str, samples: xpnn.Samples | None, labels: tuple[str, ...], path: str | None) -> None:
    """Raise DataError, naming the place in the table, unless the output can become what the targets are."""
    if output not in LIMITS or samples is None or path is None:
        return
    targets = np.asarray(samples.targets)
    low, high = LIMITS[output]
    wrong = np.argwhere((targets < low) | (targets > high))
    if len(wrong):
        row, target = wrong[0]
        limits = f"lie from {low} to {high}" if math.isfinite(high) else f"be {low} or more"
        problem = f"but with the output {output} targets must {limits}: correct it, or choose the output identity"
        raise wrong_value(path, int(row), labels[target], targets[row, target], problem)
    sums = targets.sum(axis=1)
    unequal = np.flatnonzero(np.abs(sums - 1) >= 1e-3)
    if output == "softmax" and len(unequal):
        row = int(unequal[0])
        problem = f"and all targets of the row sum to {sums[row]:g}, but with the output softmax they must sum to 1"
        remedy = "correct them, or choose sigmoid for several labels a row"
        raise wrong_value(path, row, labels[0], targets[row, 0], f"{problem}: {remedy}")


def read_for(
    net: xpnn.MLP, path: str, *, with_targets: bool, limit: int | None = None, label_column: str | None = None
) -> xpnn.Samples:
    """The rows of a table with the columns that the net knows, found by name; others are not looked at.

    label_column: the column with the classes, if it is not the one that the net learnt from.

    Raises DataError for what can't be read or doesn't fit the net.
    """
    assert net.columns is not None
    if net.label_column is not None:
        label = label_column or net.label_column if with_targets else None
        samples = read_samples(
            path, limit=limit, labelled=with_targets, labels=net.labels, label_column=label, columns=net.columns
        )
    else:
        samples, _ = read_table(path, net.labels if with_targets else None, limit, columns=net.columns)
        if with_targets:
            check_shares(net.output, samples, net.labels, path)
    check_reach(net, samples, path)
    return samples


@contextlib.contextmanager
def remedies_for(model: str) -> Iterator[None]:
    """Where a table is given to a model whose inputs have no names, the error tells what then can be done."""
    try:
        yield
    except xpnn.DataError as error:
        problem, is_table, _ = str(error).partition(TABLE)
        if not is_table:
            raise
        remedy = f"the columns of {model} have no names; give it an NPY file, or train it on a table that has names"
        raise xpnn.DataError(f"{problem}; or is this a table? Then {remedy}") from error


def refuse_names(net: xpnn.MLP, model: str, data: str) -> None:
    """Raise UsageError for a data set known by name, of pixels, where the net takes a table's columns."""
    if net.columns is not None and data in NAMES:
        raise click.UsageError(f"{model} reads tables: give DATA, a file with its columns, {net.columns[0]} and so on.")


def check_reach(net: xpnn.MLP, samples: xpnn.Samples | None, path: str | None) -> None:
    """Raise DataError, naming the place, for inputs so far from the training data that no answer means anything."""
    if net.standardization is None or net.columns is None or samples is None or path is None:
        return
    means, deviations = map(np.array, net.standardization)
    start = 0
    for rows in chunks(samples.inputs):
        with np.errstate(over="ignore"):
            far = np.argwhere(np.abs((rows - means) / deviations) > FARTHEST)
        if len(far):
            row, column = far[0]
            usual = f"{means[column]:.4g} ± {deviations[column]:.2g}"
            problem = f"out of all reach: the net was trained on {usual}; correct it"
            raise wrong_value(path, start + int(row), net.columns[column], rows[row, column], problem)
        start += len(rows)


def scores_by_part(found: dict[str, Any]) -> dict[str, float]:
    """The scores of values, by names such as test_r2; nothing where the targets are labels."""
    return {
        f"{part}_{name}": value
        for part, evaluation in found.items()
        if evaluation is not None and evaluation.accuracy is None
        for name, value in evaluation.scores().items()
        if name != "loss"
    }


def scores_line(scores: dict[str, float]) -> str:
    """Scores for people: of several labels a row the shares that are right, else errors in the targets' own units."""
    if "exact_match" in scores:
        return f"exact match {scores['exact_match']:.2%}, hamming accuracy {scores['hamming_accuracy']:.2%}"
    absolute, squared = scores["mean_absolute_error"], scores["root_mean_squared_error"]
    return f"mean absolute error {absolute:.6g}, root mean squared error {squared:.6g}, R2 {scores['r2']:.4f}"


def scores_lines(result: dict[str, Any]) -> str:
    """The same of all parts, from the names of `scores_by_part`."""
    found = {
        part: {name.removeprefix(f"{part}_"): value for name, value in result.items() if name.startswith(f"{part}_")}
        for part in PARTS
    }
    return "\n".join(f"{part}: {scores_line(scores)}" for part, scores in found.items() if "r2" in scores)


def predictions(net: xpnn.MLP, samples: xpnn.Samples) -> str:
    """The first rows' true values, and beside them what the net says."""
    assert samples.targets is not None
    if net.label_column is not None:
        return _classes_beside(net, samples)
    names = [name if len(name) <= 24 else name[:23] + "…" for name in net.labels[:SHOWN_TARGETS]]
    outputs = xpnn.to_host(net.query(samples.inputs[:SHOWN_ROWS]))
    cells = [["", *(part for name in names for part in (name, "predicted"))]]
    for number, (row, output) in enumerate(zip(samples.targets, outputs, strict=False), 1):
        pairs = list(zip(row, output, strict=True))[:SHOWN_TARGETS]
        cells.append([f"row {number}", *(f"{value:.6g}" for pair in pairs for value in pair)])
    return _in_columns(cells)


def _classes_beside(net: xpnn.MLP, samples: xpnn.Samples) -> str:
    """The first rows' classes, and beside them what the net says."""
    rows = samples.take(slice(SHOWN_ROWS))
    predicted = xpnn.to_host(net.predict(rows.inputs)).tolist()
    cells = [["", str(net.label_column), "predicted"]]
    for number, (true, said) in enumerate(zip(np.asarray(rows.targets).tolist(), predicted, strict=True), 1):
        cells.append([f"row {number}", net.labels[true], net.labels[said]])
    return _in_columns(cells)


def _in_columns(cells: list[list[str]]) -> str:
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(aligned_right(cell, width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )
