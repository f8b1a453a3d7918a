"""xpnn query: which class is this?"""

from __future__ import annotations

import math
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.data import column_names, file_format, read_image, read_samples
from xpnn_cli.options import chosen_device, device_option, json_option, print_json, refuse_unless_finite
from xpnn_cli.tables import values, values_line


@click.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--labelled/--unlabelled",
    default=None,
    help="Whether the rows of CSV files begin with a label.  [default: as a header, or the number of columns, says]",
)
@device_option
@json_option
def query(model: str, inputs: tuple[str, ...], labelled: bool | None, device: str, as_json: bool) -> None:
    """Ask MODEL for the class of each INPUT.

    INPUT is a picture (PNG or JPEG of any size, dark on light or light on dark; it is cut out, centred and scaled
    as MNIST's digits were) or a file of rows (CSV with pixels of 0-255, with or without a label before them; IDX).

    With --json it prints a list: for each picture or row an object with input, label and probabilities. Outputs that
    are no probabilities are called values, and a model with one output gives no label.

    A model of a table's columns takes CSV files that have these columns, found by name, and answers with the values
    of its targets by name.
    """
    net = xpnn.load_model(model, chosen_device(device))
    answers = []
    for path in inputs:
        if net.columns is not None:
            answers += values(net, model, path)
            continue
        rows, names = _read(path, net.sizes[0], labelled)
        with np.errstate(all="ignore"):
            found = xpnn.to_host(net.query(rows))
        refuse_unless_finite(found, model)
        for name, outputs in zip(names, found, strict=True):
            answers.append({"input": name} | _answer(net, outputs))
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            click.echo(_line(answer, net) if net.columns is None else values_line(answer))


def _read(path: str, n_in: int, labelled: bool | None) -> tuple[NDArray[Any], list[str]]:
    """The rows of a file as the net takes them, (n, n_in), and what to call each."""
    form = file_format(path)
    if form == "picture":
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise xpnn.DataError(f"the model takes {n_in} values, which is no square picture; give rows", path)
        click.echo(f"{path}: read as {side} x {side} pixels", err=True)
        return read_image(path, (side, side))[None], [path]
    rows = read_samples(path, labelled=False).inputs
    if form == "csv" and _begins_with_label(path, rows.shape[1], n_in, labelled):
        rows = rows[:, 1:]
    if rows.shape[1] != n_in:
        raise xpnn.DataError(f"its rows have {rows.shape[1]} values; the model takes {n_in} (and a label before)", path)
    return rows, [f"{path}:{number}" for number in range(1, len(rows) + 1)]


def _begins_with_label(path: str, columns: int, n_in: int, labelled: bool | None) -> bool:
    """As the user says, or a header; else as the number of columns suggests, and then stderr tells how it was read."""
    if labelled is not None:
        return labelled
    if [name.lower() for name in column_names(path)[:1]] == ["label"]:
        return True
    if columns in (n_in, n_in + 1):
        after = "without" if columns == n_in else "after"
        click.echo(
            f"{path}: read as {n_in} pixels {after} a label; if not so, give --labelled or --unlabelled", err=True
        )
    return columns == n_in + 1


def _answer(net: xpnn.MLP, outputs: NDArray[Any]) -> dict[str, Any]:
    """The class, by its number or a name of its own, and the outputs; one output is a value, and no class."""
    kind = "probabilities" if net.output in ("sigmoid", "softmax") else "values"
    if len(outputs) == 1:
        return {"values": outputs.tolist()}
    index = int(outputs.argmax())
    return {"label": index if net.labels[index] == str(index) else net.labels[index], kind: outputs.tolist()}


def _line(answer: dict[str, Any], net: xpnn.MLP) -> str:
    kind, form = ("values", ".4g") if "values" in answer else ("probabilities", ".2%")
    outputs = np.array(answer[kind])
    if "label" not in answer:
        return f"{answer['input']}  {outputs[0]:.6g}"
    best = ", ".join(f"{net.labels[i]} {outputs[i]:{form}}" for i in np.argsort(-outputs)[:3])
    return f"{answer['input']}  {answer['label']}   ({best})"
