"""xpnn query: which class is this?"""

from __future__ import annotations

from functools import partial
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.data import check_label_is_first, column_names, file_format, read_photo, read_samples
from xpnn.data.catalogue import NAMES
from xpnn.data.labelled import square
from xpnn_cli.options import (
    GroupedCommand,
    chosen_device,
    device_option,
    json_option,
    print_json,
    refuse_unless_finite,
)
from xpnn_cli.pictures import titled_pictures
from xpnn_cli.settings import usage_errors
from xpnn_cli.tables import label_column_option, read_for, refuse_names, remedies_for
from xpnn_cli.threads import threads_option

UNSURE = 0.6  # of the greatest probability: below it the user is told
_PHOTOS = "photos, in which digits are looked for, are given one by one: {}/*"


@click.command(cls=GroupedCommand, short_help="What does a model take these pictures or rows for?")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--labelled/--unlabelled",
    default=None,
    help="Whether the rows of CSV files begin with a label.  [default: as a header, or the number of columns, says]",
)
@click.option("--deskew", is_flag=True, help="Slant the digits of pictures back upright first.")
@click.option("--show", is_flag=True, help="Draw what the net sees, each digit under its answer.")
@device_option
@threads_option
@json_option
@label_column_option
def query(
    model: str,
    inputs: tuple[str, ...],
    labelled: bool | None,
    deskew: bool,
    show: bool,
    device: str,
    as_json: bool,
    label_column: str | None,
) -> None:
    """Ask MODEL for the class of each INPUT.

    INPUT is a picture, or rows as `xpnn train` takes them: a name (digits, mnist, ...: their test rows), a file (CSV
    with pixels of 0-255, with or without a label before them; IDX, NPY, NPZ, Parquet, Arrow), or a folder or ZIP file
    of pictures that look like those that the net learnt. The rows' own labels are not looked at.

    A picture (PNG, JPEG, BMP, GIF or WebP of any size) is a photo, scan or drawing of one digit or several, dark on
    light or light on dark, also in uneven light. They are found, cut out, scaled and centred as MNIST's digits were,
    and read line by line from left to right. Digits that touch are cut apart where the model is surer of the parts.

    With --json it prints a list: for each digit or row an object with input, label and probabilities, and for a digit
    of a picture line, from 1, and box too: its left, top, right and bottom in the picture's pixels. Outputs that are no
    probabilities are called values, and a model with one output gives no label.

    A model of a table's columns takes CSV, Parquet and Arrow files that have these columns, found by name, and answers
    with the class, or with the values of its targets by name.
    """
    if show and as_json:
        raise click.UsageError("--show draws on stdout, where --json leaves room for nothing else: give one of them.")
    net = xpnn.load_model(model, chosen_device(device))
    _check_options(net, model, labelled, show, label_column)
    answers, lines = [], []
    for path in inputs:
        refuse_names(net, model, path)
        if net.columns is not None and net.label_column is None:
            found = _values(net, model, path)
            lines += [_values_line(answer) for answer in found]
        else:
            rows, origins = read_rows(net, model, path, labelled, label_column, deskew)
            found = _ask(net, model, rows, origins)
            lines += _report(net, path, found)
            for answer in found:
                if "box" in answer and max(answer.get("probabilities", [1])) < UNSURE:
                    click.echo(f"{answer['input']}: the model is unsure; --show draws what it sees", err=True)
            if show:
                lines.append(_drawn(path, net, rows, found))
        answers += found
    if as_json:
        print_json(answers)
    else:
        for line in lines:
            click.echo(line)


def _check_options(net: xpnn.MLP, model: str, labelled: bool | None, show: bool, label_column: str | None) -> None:
    """Raise UsageError for those that the model has no use for."""
    is_table = net.columns is not None
    if show and is_table:
        raise click.UsageError(f"--show: {model} takes the columns of a table, which make no picture.")
    if labelled is not None and (label_column is not None or is_table):
        how = "by their names" if is_table else "by --label-column"
        raise click.UsageError(f"--labelled and --unlabelled: columns are told apart {how}; leave it out.")
    if label_column is not None and is_table:
        raise click.UsageError(
            f"--label-column: {model} finds its columns by name and looks at no others; leave it out."
        )


def read_rows(
    net: xpnn.MLP,
    model: str,
    path: str,
    labelled: bool | None = None,
    label_column: str | None = None,
    deskew: bool = False,
) -> tuple[Any, list[dict[str, Any]]]:
    """The rows of a file as the net's `query` takes them, (n, n_in), and where each is from, as the answers begin."""
    if net.columns is None:
        with usage_errors(), remedies_for(model):
            return _read(path, net, labelled, label_column, deskew)
    rows = read_for(net, path, with_targets=False).inputs
    return rows, _numbered(path, len(rows))


def _read(
    path: str, net: xpnn.MLP, labelled: bool | None, label_column: str | None, deskew: bool
) -> tuple[NDArray[Any], list[dict[str, Any]]]:
    """The same for a net whose inputs have no names."""
    n_in, form = net.sizes[0], "known by name" if path in NAMES else file_format(path)
    if form == "picture":
        height, width = shape = _shape(path, net)
        click.echo(f"{path}: read as {height} x {width} pixels", err=True)
        # Only digits of square pictures are cut apart: others may be as wide as they like.
        gives_confidence = height == width and net.output in ("sigmoid", "softmax") and len(net.labels) > 1
        confidence = partial(_confidence, net) if gives_confidence else None
        digits, remarks = read_photo(path, shape, deskew=deskew, confidence=confidence)
        for remark in remarks:
            click.echo(f"{path}: {remark}", err=True)
        names = [path] if len(digits) == 1 else [f"{path}:{number}" for number in range(1, len(digits) + 1)]
        origins = [
            {"input": name, "line": digit.line, "box": digit.box} for name, digit in zip(names, digits, strict=True)
        ]
        return np.stack([digit.pixels for digit in digits]), origins
    try:
        rows = read_samples(path, labelled=False, label_column=label_column).inputs
    except xpnn.DataError as error:
        if form != "folder" or label_column is not None:
            raise
        raise xpnn.DataError(f"{error}; {_PHOTOS.format(path)}") from error
    if form == "csv" and label_column is None and _begins_with_label(path, rows.shape[1], n_in, labelled):
        rows = rows[:, 1:]
    if rows.shape[1] != n_in:
        problem = f"its rows have {rows.shape[1]} values; the model takes {n_in} (and a label before)"
        raise xpnn.DataError(f"{problem}; {_PHOTOS.format(path)}" if form == "folder" else problem, path)
    return rows, _numbered(path, len(rows))


def _confidence(net: xpnn.MLP, rows: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The greatest probability of each row's classes."""
    with np.errstate(all="ignore"):
        found: NDArray[np.floating] = xpnn.to_host(net.query(rows)).max(axis=1)
    return found


def _values(net: xpnn.MLP, model: str, path: str) -> list[dict[str, Any]]:
    """The answers to the rows of a table."""
    rows, origins = read_rows(net, model, path)
    with np.errstate(all="ignore"):
        outputs = xpnn.to_host(net.query(rows))
    refuse_unless_finite(outputs, model, net.output)
    return [
        origin | {"values": dict(zip(net.labels, row, strict=True))}
        for origin, row in zip(origins, outputs.tolist(), strict=True)
    ]


def _numbered(path: str, count: int) -> list[dict[str, Any]]:
    """How the answers to a file's rows begin."""
    return [{"input": f"{path}:{number}"} for number in range(1, count + 1)]


def _values_line(answer: dict[str, Any]) -> str:
    """The same for people."""
    return f"{answer['input']}  " + ", ".join(f"{name} {value:.6g}" for name, value in answer["values"].items())


def _shape(path: str, net: xpnn.MLP) -> tuple[int, int]:
    """(height, width) of the pictures that a net takes: square ones, where it doesn't know."""
    shape = net.image_shape or square(net.sizes[0])
    if shape is None:
        raise xpnn.DataError(f"the model takes {net.sizes[0]} values, which is no square picture; give rows", path)
    return shape


def _begins_with_label(path: str, columns: int, n_in: int, labelled: bool | None) -> bool:
    """As the user says, or a header; else as the number of columns suggests, and then stderr tells how it was read."""
    if labelled is not None:
        return labelled
    if [name.lower() for name in column_names(path)[:1]] == ["label"]:
        return True
    if columns == n_in + 1:
        check_label_is_first(path)
    if columns in (n_in, n_in + 1):
        after = "without" if columns == n_in else "after"
        click.echo(
            f"{path}: read as {n_in} pixels {after} a label; if not so, give --labelled or --unlabelled", err=True
        )
    return columns == n_in + 1


def _ask(net: xpnn.MLP, model: str, rows: NDArray[Any], origins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An answer for each row: where it is from, and what the net says."""
    with np.errstate(all="ignore"):
        found = xpnn.to_host(net.query(rows))
    refuse_unless_finite(found, model, net.output)
    return [origin | _answer(net, outputs) for origin, outputs in zip(origins, found, strict=True)]


def _answer(net: xpnn.MLP, outputs: NDArray[Any]) -> dict[str, Any]:
    """The class, by its number or a name of its own, and the outputs; one output is a value, and no class."""
    kind = "probabilities" if net.output in ("sigmoid", "softmax") else "values"
    if len(outputs) == 1:
        return {"values": outputs.tolist()}
    index = int(outputs.argmax())
    return {"label": index if net.labels[index] == str(index) else net.labels[index], kind: outputs.tolist()}


def _report(net: xpnn.MLP, path: str, answers: list[dict[str, Any]]) -> list[str]:
    """A line for each answer, and after the digits of a picture one with all those of a line."""
    lines = [_line(answer, net) for answer in answers]
    if len(answers) > 1 and "box" in answers[0]:
        last = answers[-1]["line"]
        for line in range(1, last + 1):
            said = " ".join(_said(answer) for answer in answers if answer["line"] == line)
            lines.append(f"{path}{f', line {line},' if last > 1 else ''} reads {said}")
    return lines


def _said(answer: dict[str, Any]) -> str:
    return str(answer["label"]) if "label" in answer else f"{answer['values'][0]:.6g}"


def _drawn(path: str, net: xpnn.MLP, rows: NDArray[Any], answers: list[dict[str, Any]]) -> str:
    """The rows as pictures, each under what the net says."""
    return titled_pictures([_said(answer) for answer in answers], rows, _shape(path, net))


def _line(answer: dict[str, Any], net: xpnn.MLP) -> str:
    kind, form = ("values", ".4g") if "values" in answer else ("probabilities", ".2%")
    outputs = np.array(answer[kind])
    if "label" not in answer:
        return f"{answer['input']}  {_said(answer)}"
    best = ", ".join(f"{net.labels[i]} {outputs[i]:{form}}" for i in np.argsort(-outputs)[:3])
    return f"{answer['input']}  {answer['label']}   ({best})"
