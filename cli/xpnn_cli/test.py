"""xpnn test: how good is a model?"""

from __future__ import annotations

import click

import xpnn
from xpnn.data import read_samples
from xpnn.data.catalogue import NAMES
from xpnn_cli.options import chosen_device, device_option, json_option, print_json
from xpnn_cli.tables import read_for, scores_line


@click.command()
@click.argument("model")
@click.argument("data", default="digits")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first LIMIT rows only.")
@device_option
@json_option
def test(model: str, data: str, limit: int | None, device: str, as_json: bool) -> None:
    """Measure MODEL on DATA: accuracy, precision, recall and F1 of each class, and the confusion matrix.

    MODEL is a file that `xpnn train` saved. DATA is a name (digits, mnist: their test rows) or a file, as for
    `xpnn train`; all rows of a CSV or IDX file are used. A model of a table's columns finds them by name in a CSV
    file, and is measured by its errors.
    """
    net = xpnn.load_model(model, chosen_device(device))
    if net.columns is not None:
        if data in NAMES:
            raise click.UsageError(
                f"{model} reads tables: give DATA, a CSV file with columns such as {net.columns[0]}."
            )
        samples = read_for(net, data, with_targets=True, limit=limit)
    else:
        found_samples = xpnn.load(data).test if data in NAMES else read_samples(data)
        assert found_samples is not None  # every named data set has test rows
        samples = found_samples.take(slice(limit))
    found = xpnn.evaluate(net, samples)
    if as_json:
        confusion = None if found.confusion is None else found.confusion.tolist()
        print_json({"accuracy": None, "confusion": confusion, "n": found.n} | found.scores())
    elif net.columns is not None:
        click.echo(f"{scores_line(found.scores())} of {found.n:,} rows")
    else:
        click.echo(_report(found, net.labels))


def _report(found: xpnn.Evaluation, labels: tuple[str, ...]) -> str:
    """The scores as tables."""
    assert found.confusion is not None  # data files hold labels
    scores, width = found.per_class(), max(5, *map(len, labels))
    lines = [
        f"accuracy {found.accuracy:.2%} of {found.n:,} rows, loss {found.loss:.4f}",
        "",
        f"{'class':>{width}}  precision   recall       F1     rows",
    ]
    for label, precision, recall, f1, support in zip(labels, *scores.values(), strict=True):
        lines.append(f"{label:>{width}}  {precision:9.2%}  {recall:7.2%}  {f1:7.2%}  {support:7,}")
    cell = max(len(f"{found.confusion.max():,}"), *map(len, labels)) + 2
    lines += ["", "confusion matrix: a line for each true class, a column for each predicted one"]
    lines.append(" " * width + "".join(f"{label:>{cell}}" for label in labels))
    for label, row in zip(labels, found.confusion, strict=True):
        lines.append(f"{label:>{width}}" + "".join(f"{count or '.':>{cell}}" for count in row))
    return "\n".join(lines)
