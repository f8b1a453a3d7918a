"""xpnn query: which class is this?"""

from __future__ import annotations

import math
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.data import read_samples
from xpnn.data.files import first_bytes
from xpnn.data.images import is_image, read_image
from xpnn_cli.options import chosen_device, device_option, json_option, print_json
from xpnn_cli.tables import values, values_line


@click.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@device_option
@json_option
def query(model: str, inputs: tuple[str, ...], device: str, as_json: bool) -> None:
    """Ask MODEL for the class of each INPUT.

    INPUT is a picture (PNG or JPEG of any size, dark on light or light on dark; it is cut out, centred and scaled
    as MNIST's digits were) or a file of rows (CSV with pixels of 0-255, with or without a label before them; IDX).
    A model of a table's columns answers with its targets' values: INPUT is a CSV file that has these columns.
    """
    net = xpnn.load_model(model, chosen_device(device))
    answers = []
    for path in inputs:
        if net.columns is not None:
            answers += values(net, path)
            continue
        rows, names = _read(path, net)
        for name, outputs in zip(names, xpnn.to_host(net.query(rows)), strict=True):
            answers.append(
                {"input": name, "label": _label(net, int(outputs.argmax())), "probabilities": outputs.tolist()}
            )
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            click.echo(_line(answer, net) if net.columns is None else values_line(answer))


def _read(path: str, net: xpnn.MLP) -> tuple[NDArray[Any], list[str]]:
    """The rows of a file as the net takes them, (n, n_in), and what to call each."""
    n_in = net.sizes[0]
    if is_image(first_bytes(path, 12)):
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise xpnn.DataError(f"the model takes {n_in} values, which is no square picture; give rows", path)
        return read_image(path, (side, side))[None], [path]
    rows = read_samples(path, labelled=False).inputs
    if rows.shape[1] == n_in + 1:
        rows = rows[:, 1:]  # the label before the pixels
    if rows.shape[1] != n_in:
        raise xpnn.DataError(f"its rows have {rows.shape[1]} values; the model takes {n_in} (and a label before)", path)
    return rows, [f"{path}:{number}" for number in range(1, len(rows) + 1)]


def _label(net: xpnn.MLP, index: int) -> int | str:
    """The number of a class, or its name where the model's classes have names of their own."""
    return index if net.labels[index] == str(index) else net.labels[index]


def _line(answer: dict[str, Any], net: xpnn.MLP) -> str:
    probabilities = np.array(answer["probabilities"])
    best = np.argsort(-probabilities)[:3]
    shares = ", ".join(f"{net.labels[i]} {probabilities[i]:.2%}" for i in best)
    return f"{answer['input']}  {answer['label']}   ({shares})"
