"""xpnn export: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import xpnn
from xpnn.onnx import INPUT_DTYPES
from xpnn_cli.export_check import check_onnxruntime, compared, description
from xpnn_cli.options import check_not_read, json_option, print_json, writable
from xpnn_cli.query import read_rows
from xpnn_cli.tables import refuse_names

if TYPE_CHECKING:
    from onnx import ValueInfoProto


@click.command(short_help="Write a model for other programs, as ONNX.")
@click.argument("model")
@click.option(
    "--onnx",
    "path",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="File for the ONNX model; one that is there is replaced.",
)
@click.option(
    "--input-dtype",
    type=click.Choice(INPUT_DTYPES),
    help="What the ONNX model takes: uint8 pixels of 0-255, or numbers.  [default: uint8; float64 for tables]",
)
@click.option(
    "--dtype",
    type=click.Choice(("float32", "float64")),
    help="What the ONNX model computes in; float64 is slower, and without float32's rounding.  [default: as MODEL]",
)
@click.option(
    "--check",
    "data",
    metavar="DATA",
    help="Run FILE under onnxruntime, too, on rows as `xpnn query` takes them, and compare its answers with MODEL's.",
)
@json_option
def export(model: str, path: Path, input_dtype: str | None, dtype: str | None, data: str | None, as_json: bool) -> None:
    """Write MODEL, a file that `xpnn train` saved, for programs that don't have xpnn.

    ONNX is a format that onnxruntime (for Python, C++, C#, Java, JavaScript) and many others run. What xpnn does before
    the first layer is in the file: uint8 pixels go in as they are, the values of a table in their own units, each
    column at its place among the model's columns. The label and the probabilities come out, or a table's values.

    \b
      xpnn export model.safetensors --onnx model.onnx
      pip install onnxruntime    # and run the lines that xpnn export prints

    With --check the exit code is 1 where the answers differ by more than rounding explains.

    Needs the package onnx: pip install 'xpnn[onnx]'. docs/into-onnx.md tells more.
    """
    net = xpnn.load_model(model)
    if dtype is not None:
        net = net.to(dtype=dtype)
    check_not_read("--onnx", path, model=model, data=data)
    rows = None
    if data is not None:
        check_onnxruntime()
        refuse_names(net, model, data)
        rows, _ = read_rows(net, model, data)
    written = xpnn.export_onnx(net, path, input_dtype=input_dtype)
    facts = {"onnx": str(path), "bytes": path.stat().st_size, "opset": written.opset_import[0].version}
    ends = {name: list(map(_described, getattr(written.graph, name))) for name in ("input", "output")}
    check = None if data is None else compared(net, model, path, data, rows)
    if as_json:
        checked = {} if check is None else {"check": check}
        print_json(facts | {"inputs": ends["input"], "outputs": ends["output"]} | _names(net) | checked)
    else:
        click.echo(_report(facts, ends["input"], ends["output"]))
    if check is None:
        return
    said = description(check, ends["output"][-1]["name"])
    if not check["agrees"]:
        raise xpnn.XpnnError(f"{path} does not answer as {model}: {said}; update onnx and onnxruntime, or report it")
    if not as_json:
        click.echo(f"Checked: {said}")


def _described(end: ValueInfoProto) -> dict[str, Any]:
    """The name, dtype and shape of one of the graph's inputs and outputs."""
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = end.type.tensor_type
    shape = [dimension.dim_param or dimension.dim_value for dimension in tensor.shape.dim]
    dtype = str(tensor_dtype_to_np_dtype(tensor.elem_type))
    return {"name": end.name, "dtype": {"object": "string"}.get(dtype, dtype), "shape": shape}


def _names(net: xpnn.MLP) -> dict[str, Any]:
    return {"labels": net.labels} | ({} if net.columns is None else {"columns": net.columns})


def _report(facts: dict[str, Any], inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> str:
    """What is in the file, and three lines of Python that use it."""
    ends = [f"{end['name']} {end['dtype']} ({', '.join(map(str, end['shape']))})" for end in (*inputs, *outputs)]
    example = f'numpy.zeros((1, {inputs[0]["shape"][1]}), dtype="{inputs[0]["dtype"]}")'
    results = ", ".join(end["name"] for end in outputs) + "," * (len(outputs) == 1)
    size, opset = f"{facts['bytes']:,} bytes", facts["opset"]
    lines = [
        f"{facts['onnx']}: {ends[0]} in, {', '.join(ends[1:])} out; {size}, opset {opset}",
        "In Python, after pip install onnxruntime:",
        "  import numpy, onnxruntime",
        f"  session = onnxruntime.InferenceSession({facts['onnx']!r})",
        f'  {results} = session.run(None, {{"inputs": {example}}})',
    ]
    return "\n".join(lines)
