"""xpnn export: the file, what is printed about it, and what goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import Result

import xpnn
from xpnn import MLP, load_model, save

Run = Callable[..., Result]


def model(name: str = "m.safetensors", **settings: Any) -> str:
    save(MLP(**{"sizes": [6, 5, 3]} | settings), name)
    return name


def test_what_is_printed_can_be_run(run: Run) -> None:
    result = run("export", model(), "--onnx", "it's a net.onnx")

    first, second, *program = result.stdout.splitlines()
    size = Path("it's a net.onnx").stat().st_size
    assert first == (
        "it's a net.onnx: inputs uint8 (batch, 6) in, label int64 (batch), probabilities float32 (batch, 3) out; "
        f"{size:,} bytes, opset 13"
    )
    assert second == "In Python, after pip install onnxruntime:"
    assert len(program) == 3
    names: dict[str, Any] = {}
    exec("\n".join(line.strip() for line in program), names)  # noqa: S102  # the program's own output
    assert names["label"].shape == (1,)
    assert names["probabilities"].sum() == pytest.approx(1, abs=1e-6)


def test_dtype_takes_float32s_rounding_out(run: Run) -> None:
    net, rows = model(), np.random.default_rng(0).integers(0, 256, (50, 6), dtype=np.uint8)
    run("export", net, "--onnx", "m.onnx", "--dtype", "float64")

    (found,) = onnxruntime.InferenceSession("m.onnx").run(["probabilities"], {"inputs": rows})

    exact = load_model(net).to(dtype="float64").query(rows)
    assert found.dtype == exact.dtype == np.float64
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-14)
    assert np.abs(found - load_model(net).query(rows)).max() > 1e-9


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"labels": ["a", "b", "c"]}, {"dtype": "uint8", "outputs": ["string", "float32"]}),
        ({"dtype": "float64"}, {"dtype": "uint8", "outputs": ["int64", "float64"]}),
        (
            {"columns": list("uvwxyz"), "labels": ["p", "q", "r"], "output": "identity"},
            {"dtype": "float64", "outputs": ["float32"]},
        ),
    ],
)
def test_json_says_what_goes_in_and_comes_out(run: Run, settings: dict[str, Any], expected: dict[str, Any]) -> None:
    found = json.loads(run("export", model(**settings), "--onnx", "m.onnx", "--json").stdout)

    assert found["inputs"] == [{"name": "inputs", "dtype": expected["dtype"], "shape": ["batch", 6]}]
    assert [output["dtype"] for output in found["outputs"]] == expected["outputs"]
    assert (found["onnx"], found["opset"], found["bytes"]) == ("m.onnx", 13, Path("m.onnx").stat().st_size)
    assert found["labels"] == settings.get("labels", ["0", "1", "2"])
    assert found.get("columns") == settings.get("columns")


def test_input_dtype_is_what_the_model_takes(run: Run) -> None:
    run("export", model(), "--onnx", "m.onnx", "--input-dtype", "float32")

    session = onnxruntime.InferenceSession("m.onnx")
    assert session.get_inputs()[0].type == "tensor(float)"
    session.run(None, {"inputs": np.zeros((2, 6), dtype="float32")})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["m.safetensors"], 2, "Missing option '--onnx'"),
        (["m.safetensors", "--onnx", "there/m.onnx"], 2, "there is no folder there; make it first"),
        (["m.safetensors", "--onnx", "m.onnx", "--input-dtype", "int8"], 2, "is not one of 'uint8', 'float32'"),
        (["nowhere.safetensors", "--onnx", "m.onnx"], 1, "nowhere.safetensors: can't be read"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, arguments: list[str], code: int, message: str) -> None:
    model()

    assert message in run("export", *arguments, exit_code=code).stderr
    assert not Path("m.onnx").exists()


def test_the_model_itself_is_never_replaced(run: Run) -> None:
    content = Path(model()).read_bytes()

    result = run("export", "m.safetensors", "--onnx", "./m.safetensors", exit_code=2)

    assert "is the model itself, which would be lost; choose another name" in result.stderr
    assert Path("m.safetensors").read_bytes() == content


ROWS = np.random.default_rng(1).integers(0, 256, (5000, 6), dtype=np.uint8)
ACTIVATIONS = ["elu", "gelu", "gelu-tanh", "identity", "leaky-relu", "mish", "relu", "selu", "sigmoid", "silu", "tanh"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("hidden", "output"),
    [
        *((name, "softmax") for name in ACTIVATIONS),
        *(("relu", name) for name in ["sigmoid", "exp", "softplus", "identity"]),
    ],
)
@pytest.mark.parametrize("scale", [1, 30])
def test_check_allows_what_rounding_explains_and_no_more(
    run: Run, monkeypatch: pytest.MonkeyPatch, dtype: str, hidden: str, output: str, scale: int
) -> None:
    net = MLP([6, 40, 3], hidden=hidden, output=output, dtype=dtype, labels=["a", "b", "c"], seed=3)
    net.layers[0].W[...] *= scale
    save(net, "m.safetensors")
    np.save("rows.npy", ROWS)
    arguments = ("export", "m.safetensors", "--onnx", "m.onnx", "--check", "rows.npy", "--json")
    found = json.loads(run(*arguments).stdout)["check"]
    session = onnxruntime.InferenceSession("m.onnx")
    _, outputs = session.run(None, {"inputs": ROWS})
    assert found["largest_difference"] == pytest.approx(np.abs(outputs - load_model("m.safetensors").query(ROWS)).max())
    assert found == found | {"data": "rows.npy", "rows": 5000, "labels_differ": 0, "agrees": True}
    assert found["bound"] < (1e-4 if dtype == "float32" else 1e-12) * max(1, np.abs(outputs).max())

    write = xpnn.export_onnx

    def slightly_wrong(net: MLP, path: Path, **options: Any) -> Any:
        other = net.to()
        other.layers[0].W[0, 0] *= 1.01 if dtype == "float32" else 1 + 1e-9
        return write(other, path, **options)

    monkeypatch.setattr(xpnn, "export_onnx", slightly_wrong)
    result = run(*arguments, exit_code=1)
    assert json.loads(result.stdout)["check"]["agrees"] is False
    assert "m.onnx does not answer as m.safetensors: from `xpnn query` on 5,000 rows, onnxruntime" in result.stderr


def test_check_looks_at_the_labels_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    net, write = model(labels=["a", "b", "c"]), xpnn.export_onnx
    np.save("rows.npy", ROWS)

    def with_other_names(net: MLP, path: Path, **options: Any) -> Any:
        net = net.to()
        net.labels = ("a", "c", "b")
        return write(net, path, **options)

    arguments = ("export", net, "--onnx", "m.onnx", "--check", "rows.npy")
    assert "Checked: from `xpnn query` on 5,000 rows, onnxruntime" in run(*arguments).stdout
    monkeypatch.setattr(xpnn, "export_onnx", with_other_names)
    assert "does not answer as" in run(*arguments, exit_code=1).stderr


@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
def test_check_gives_the_file_what_it_takes(run: Run, input_dtype: str) -> None:
    np.save("pixels.npy", ROWS)
    np.save("floats.npy", ROWS / 255)
    arguments = ("export", model(), "--onnx", "m.onnx", "--input-dtype", input_dtype, "--check")
    found = json.loads(run(*arguments, "pixels.npy", "--json").stdout)["check"]
    rows = ROWS if input_dtype == "uint8" else ROWS.astype(input_dtype) * np.array(1 / 255, dtype=input_dtype)
    _, outputs = onnxruntime.InferenceSession("m.onnx").run(None, {"inputs": rows})
    assert found["largest_difference"] == np.abs(outputs.astype(float) - load_model("m.safetensors").query(rows)).max()
    if input_dtype == "uint8":
        said = run(*arguments, "floats.npy", exit_code=1).stderr
        assert "floats.npy: its rows are float64, and m.onnx takes uint8: give --input-dtype float64" in said
    else:
        run(*arguments, "floats.npy")


def test_check_of_a_table_finds_its_columns(run: Run) -> None:
    settings: dict[str, Any] = {"columns": list("uvwxyz"), "labels": list("pqr"), "output": "identity"}
    net = model(**settings, standardization=([2000.0] * 6, [3.0] * 6))
    rows = 2000 + ROWS / 100
    lines = ["z,y,x,w,v,u", *(",".join(map(str, row[::-1])) for row in rows.tolist())]
    Path("rows.csv").write_text("\n".join(lines))
    found = json.loads(run("export", net, "--onnx", "m.onnx", "--check", "rows.csv", "--json").stdout)["check"]
    assert (found["agrees"], found["labels_differ"], found["rows"]) == (True, None, 5000)


def test_check_needs_onnxruntime_and_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nowhere.csv" in run("export", model(), "--onnx", "m.onnx", "--check", "nowhere.csv", exit_code=1).stderr
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = run("export", model(), "--onnx", "m.onnx", "--check", "digits", exit_code=1).stderr
    assert said == "Error: --check needs the package onnxruntime; pip install onnxruntime\n"
    assert not Path("m.onnx").exists()


def test_without_onnx_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    result = run("export", model(), "--onnx", "m.onnx", exit_code=1)

    assert result.stderr == "Error: ONNX models need the package onnx; pip install 'xpnn[onnx]'\n"
    assert result.stdout == ""


def test_help_teaches(run: Run) -> None:
    text = run("export", "--help").stdout

    assert "xpnn export model.safetensors --onnx model.onnx" in text
    assert "pip install 'xpnn[onnx]'" in text
