"""xpnn test: how good is a model?"""

from __future__ import annotations

import click
import numpy as np

import xpnn
from xpnn.data import read_samples
from xpnn_cli.options import (
    GroupedCommand,
    chosen_device,
    device_option,
    json_option,
    print_json,
    refuse_unless_finite,
)
from xpnn_cli.pictures import aligned_right, width_of
from xpnn_cli.settings import usage_errors
from xpnn_cli.tables import label_column_option, read_for, refuse_names, remedies_for, scores_line
from xpnn_cli.threads import threads_option


@click.command(cls=GroupedCommand, short_help="How good is a model? Accuracy, confusion matrix.")
@click.argument("model")
@click.argument("data", default="digits")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first LIMIT rows only.")
@device_option
@threads_option
@json_option
@label_column_option
def test(model: str, data: str, limit: int | None, device: str, as_json: bool, label_column: str | None) -> None:
    """Measure MODEL on DATA: accuracy, precision, recall and F1 of each class, and the confusion matrix.

    MODEL is a file that `xpnn train` saved. DATA is a name (digits, mnist, ...: their test rows) or a file, as
    for `xpnn train`, or a folder or ZIP file of pictures; all rows of a file are used where it doesn't tell training
    from test. A model of a table's columns is measured on a CSV, Parquet or Arrow file that has these columns, found by
    name; a model of values by its errors. Classes that have names are found by these.
    """
    net = xpnn.load_model(model, chosen_device(device))
    if label_column is not None and net.columns is not None and net.label_column is None:
        raise click.UsageError(f"--label-column: {model} predicts {', '.join(net.labels)}, found by these names.")
    read = _labelled if net.columns is None else _table
    with usage_errors(), remedies_for(model):
        samples = read(net, model, data, limit, label_column)
    with np.errstate(all="ignore"):
        found = xpnn.evaluate(net, samples)
    refuse_unless_finite(found.loss, model, net.output)
    if as_json:
        confusion = None if found.confusion is None else found.confusion.tolist()
        print_json({"accuracy": None, "confusion": confusion, "n": found.n} | found.scores())
    elif found.confusion is None:
        click.echo(f"{scores_line(found.scores())}; {found.n:,} rows")
    else:
        click.echo(_report(found, net.labels))


def _table(net: xpnn.MLP, model: str, data: str, limit: int | None, label_column: str | None) -> xpnn.Samples:
    refuse_names(net, model, data)
    return read_for(net, data, with_targets=True, limit=limit, label_column=label_column)


def _labelled(net: xpnn.MLP, model: str, data: str, limit: int | None, label_column: str | None) -> xpnn.Samples:
    n_in, n_out = net.sizes[0], net.sizes[-1]
    if n_out == 1:
        raise xpnn.ModelFileError(f"{model}: this model has one output, a value and no class; ask it with xpnn query")
    samples = read_samples(data, limit=limit, labels=net.labels, label_column=label_column)
    if samples.inputs.shape[1] != n_in:
        problem = f"its rows have {samples.inputs.shape[1]} values, but {model} takes {n_in}"
        raise xpnn.DataError(f"{problem}: name the data that it is for, as in `xpnn test {model} mnist`", data)
    return samples


def _report(found: xpnn.Evaluation, labels: tuple[str, ...]) -> str:
    """The scores as tables."""
    assert found.confusion is not None  # data files hold labels
    scores, width = found.per_class(), max(5, *map(width_of, labels))
    lines = [
        f"accuracy {found.accuracy:.2%} of {found.n:,} rows, loss {found.loss:.4f}",
        "",
        f"{'class':>{width}}  precision   recall       F1     rows",
    ]
    for label, precision, recall, f1, support in zip(labels, *scores.values(), strict=True):
        lines.append(f"{aligned_right(label, width)}  {precision:9.2%}  {recall:7.2%}  {f1:7.2%}  {support:7,}")
    cell = max(len(f"{found.confusion.max():,}"), *map(width_of, labels)) + 2
    lines += ["", "confusion matrix: a line for each true class, a column for each predicted one"]
    lines.append(" " * width + "".join(aligned_right(label, cell) for label in labels))
    for label, row in zip(labels, found.confusion, strict=True):
        lines.append(aligned_right(label, width) + "".join(f"{count or '.':>{cell}}" for count in row))
    return "\n".join(lines)
