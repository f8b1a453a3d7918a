"""The ONNX export: onnxruntime answers from the file what `query` does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES
from numpy.typing import NDArray
from pages import blocks, run_python
from xpnn_cli import main

from xpnn import MLP, Samples, XpnnError, export_onnx, fold_target_scaling, load, optimizers, to_host, to_onnx, train

# Some units of size 1, summed in another order, and onnxruntime's own exp and tanh; 1e-6 is what is promised.
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def answers(model: onnx.ModelProto, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What onnxruntime makes of the inputs, by the outputs' names."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"inputs": inputs}), strict=True))


def pixels(n: int, n_in: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, n_in), dtype=np.uint8)


def with_biases(net: MLP) -> MLP:
    """The same with biases of size 1: new nets have none to be seen."""
    for layer in net.layers:
        assert layer.b is not None
        layer.b[...] = net.xp.asarray(np.random.default_rng(5).normal(size=layer.b.shape), dtype=net.dtype)
    return net


def metadata(model: onnx.ModelProto) -> dict[str, Any]:
    return {entry.key: json.loads(entry.value) for entry in model.metadata_props}


# -- the answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", HIDDEN_NAMES)
def test_every_hidden_activation(name: str, dtype: str) -> None:
    """Two layers, from pixels that are scaled to -3 to 3."""
    net = with_biases(MLP([30, 20, 15, 4], hidden=(name, "tanh"), scaling=(6 / 255, -3.0), dtype=dtype, seed=3))
    rows = pixels(200, 30)

    found = answers(to_onnx(net), rows)

    np.testing.assert_allclose(found["probabilities"], net.query(rows), rtol=0, atol=TOLERANCE[dtype])
    assert found["probabilities"].dtype == dtype
    assert np.ptp(found["probabilities"], axis=0).min() > 0.02  # so that an activation left out would be seen


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_every_output_activation_over_the_range_of_its_bends(name: str, dtype: str) -> None:
    """One layer that hands on its input, so that f itself is what is compared; its values may be large."""
    net = MLP([3, 3], output=name, loss=None, dtype=dtype, bias=False)
    net.layers[0].W[...] = np.eye(3)
    z = np.linspace(-30, 30, 1201).repeat(3).reshape(-1, 3) * [1, 0.5, -0.1]

    found = answers(to_onnx(net, input_dtype="float64"), z)

    tolerance = TOLERANCE[dtype]
    kind = "probabilities" if name in ("sigmoid", "softmax") else "values"
    np.testing.assert_allclose(found[kind], net.query(z), rtol=tolerance, atol=tolerance)


@pytest.mark.mnist
def test_all_of_mnists_test_images() -> None:
    data = load("mnist")
    assert data.test is not None
    images, single = np.asarray(data.test.inputs), MLP([784, 200, 10], seed=1)
    some = Samples(data.train.inputs[:12000], np.asarray(data.train.targets)[:12000])
    list(train(single, some, epochs=2, batch_size=128, optimizer=optimizers.adam(2e-3)))
    double = single.to(dtype="float64")

    found, exact = (answers(to_onnx(net), images) for net in (single, double))

    assert images.dtype == np.uint8
    assert images.shape == (10_000, 784)
    assert (exact["label"] == data.test.targets).mean() > 0.93
    assert np.abs(exact["probabilities"] - double.query(images)).max() < 1e-13
    # Float32's own rounding: query's largest error is 1e-6 here, and grows with the outputs' sums as a net learns on.
    errors = [np.abs(outputs - exact["probabilities"]) for outputs in (found["probabilities"], single.query(images))]
    assert errors[0].max() < 2 * errors[1].max()
    differences = np.abs(found["probabilities"] - single.query(images))
    assert np.quantile(differences, 0.999) < 1e-6
    assert (found["label"] == single.predict(images)).mean() > 0.999  # a tie may fall otherwise


def table(n: int = 300) -> NDArray[np.float64]:
    """Rows whose columns float32 could not tell apart before they are standardised."""
    rng = np.random.default_rng(4)
    rows: NDArray[np.float64] = rng.normal([2020, 0, 1e7, -3e-6], [0.5, 300, 2, 1e-6], (n, 4))
    return rows


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tables_are_standardised_in_float64_and_targets_folded_in(dtype: str) -> None:
    rows = table()
    columns, labels = ("year", "height", "income", "drift"), ("price", "tax")
    net = MLP(
        [4, 16, 2],
        output="identity",
        standardization=(rows.mean(axis=0), rows.std(axis=0)),
        columns=columns,
        labels=labels,
        dtype=dtype,
    )
    fold_target_scaling(with_biases(net), [200.0, 3.0], [50.0, 0.5])

    model = to_onnx(net)
    found = answers(model, rows)

    assert found.keys() == {"values"}  # a table's outputs are values by name, no classes
    error = np.abs(found["values"] - net.query(rows)) / [200, 3]
    assert error.max() < TOLERANCE[dtype]
    assert metadata(model)["columns"] == list(columns)
    assert metadata(model)["labels"] == list(labels)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("standardized", [False, True])
def test_each_input_dtype_is_what_query_takes_of_that_dtype(dtype: str, input_dtype: str, standardized: bool) -> None:
    standardization = ([100.0] * 6, [50.0] * 6) if standardized else None
    net = MLP([6, 8, 3], standardization=standardization, dtype=dtype, seed=2)
    rows = (pixels(50, 6) if input_dtype == "uint8" or standardized else pixels(50, 6) / 255).astype(input_dtype)

    found = answers(to_onnx(net, input_dtype=input_dtype), rows)

    np.testing.assert_allclose(found["probabilities"], net.query(rows), rtol=0, atol=TOLERANCE[dtype])


def test_any_number_of_rows(device: str) -> None:
    net = MLP([5, 4, 3], device=device)
    model = to_onnx(net)

    for n in (0, 1, 7, 3000):
        found = answers(model, pixels(n, 5))
        np.testing.assert_allclose(found["probabilities"], to_host(net.query(pixels(n, 5))), rtol=0, atol=1e-6)
        assert found["label"].shape == (n,)


def test_without_biases_and_without_hidden_layers() -> None:
    net = MLP([5, 3], bias=False)

    found = answers(to_onnx(net), pixels(20, 5))

    np.testing.assert_allclose(found["probabilities"], net.query(pixels(20, 5)), rtol=0, atol=1e-6)


# -- labels, values and what else is in the file ----------------------------------------------------------------------


def test_labels_are_numbers_or_the_names_of_the_classes() -> None:
    rows = pixels(40, 5)
    plain, named = MLP([5, 3]), MLP([5, 3], labels=("ant", "お", "3"))
    expected = plain.query(rows).argmax(axis=1)

    numbers, names = (answers(to_onnx(net), rows)["label"] for net in (plain, named))

    assert numbers.dtype == np.int64
    assert numbers.tolist() == expected.tolist()
    assert names.tolist() == [named.labels[index] for index in expected]
    assert set(names) == set(named.labels)


@pytest.mark.parametrize(
    ("settings", "outputs"),
    [
        ({}, ["label", "probabilities"]),
        ({"output": "sigmoid"}, ["label", "probabilities"]),
        ({"output": "tanh"}, ["label", "values"]),
        ({"columns": ["a", "b"]}, ["label", "probabilities"]),
        ({"columns": ["a", "b"], "label_column": "c", "output": "sigmoid"}, ["label", "probabilities"]),
        ({"columns": ["a", "b"], "output": "sigmoid"}, ["probabilities"]),
        ({"columns": ["a", "b"], "output": "identity"}, ["values"]),
        ({"sizes": [2, 1], "output": "identity"}, ["values"]),
        ({"sizes": [2, 1], "output": "sigmoid"}, ["probabilities"]),
    ],
)
def test_outputs_are_those_that_xpnn_query_gives(settings: dict[str, Any], outputs: list[str]) -> None:
    model = to_onnx(MLP(**{"sizes": [2, 3], "labels": None} | settings))

    assert [output.name for output in model.graph.output] == outputs


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    net = MLP([6, 5, 3], hidden="elu:0.5", labels=("x", "y", "お"), seed=8)

    written = export_onnx(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")

    assert model == written
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert (model.producer_name, model.ir_version) == ("xpnn", 7)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, dimensions[1].dim_value) == ("batch", 6)
    assert metadata(model)["labels"] == ["x", "y", "お"]
    copy = MLP(**metadata(model)["network"])
    for tensor in model.graph.initializer:
        place = re.fullmatch(r"layers\.(\d)\.([Wb])", tensor.name)
        if place:
            getattr(copy.layers[int(place[1])], place[2])[...] = onnx.numpy_helper.to_array(tensor)
    rows = pixels(10, 6)
    assert (copy.query(rows) == net.query(rows)).all()  # a net can be had back from the file
    assert list(tmp_path.iterdir()) == [tmp_path / "net.onnx"]


# -- what can't be exported -------------------------------------------------------------------------------------------


def test_a_broken_net_is_refused_and_the_old_file_kept(tmp_path: Path) -> None:
    net, path = MLP([3, 2]), tmp_path / "net.onnx"
    path.write_bytes(b"old")
    net.layers[0].W[0, 1] = np.nan

    with pytest.raises(ValueError, match="not finite"):
        export_onnx(net, path)
    assert path.read_bytes() == b"old"


def test_an_unknown_input_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown input_dtype 'float16': choose from uint8, float32, float64"):
        to_onnx(MLP([3, 2]), input_dtype="float16")


@pytest.mark.parametrize(("dtype", "remedy"), [("float32", "xpnn's own files"), ("float64", "float32 net")])
def test_a_net_larger_than_the_format_is_refused(monkeypatch: pytest.MonkeyPatch, dtype: str, remedy: str) -> None:
    monkeypatch.setattr("xpnn.onnx.MOST_BYTES", 30)

    with pytest.raises(XpnnError, match=f"32|64 bytes, and an ONNX file ends at 2 GB: .*{remedy}"):
        to_onnx(MLP([3, 2], dtype=dtype))


def test_without_onnx_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["onnx"] = None
import xpnn
try:
    xpnn.to_onnx(xpnn.MLP([3, 2]))
except xpnn.XpnnError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "ONNX models need the package onnx; pip install 'xpnn[onnx]'\n"


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (commands,) = blocks("into-onnx.md", "sh")
    install, *own = commands.splitlines()
    assert install == "python -m pip install '.[onnx]' onnxruntime"
    for command in own:
        program, *arguments = command.split()
        result = CliRunner().invoke(main, arguments)
        assert (program, result.exit_code) == ("xpnn", 0), result.output

    names = run_python("into-onnx.md")

    assert (names["label"].tolist(), names["probabilities"].shape) == (["a"], (355, 10))
