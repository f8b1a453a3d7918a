"""A net as an ONNX model: onnxruntime, and whatever else reads that format, then answers as `query` does.

What comes before the layers is in the graph too, in the types that `query` uses: pixels are scaled, and a table's
values standardised in float64. All operators are of the standard's opset 13 (2020), so that old runtimes can read the
file. Where onnxruntime has an operator for float32 alone, a float64 net gets it written out in smaller ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from xpnn.backend import all_finite, to_host
from xpnn.errors import Path, XpnnError
from xpnn.files import write_atomically
from xpnn.names import made
from xpnn.network import MLP
from xpnn.normal import POWERS

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 13, 7  # the format of the graph and of the file, which came out together
INPUT_DTYPES = ("uint8", "float32", "float64")
MOST_BYTES = 2 * 10**9 - 2**26  # of parameters: onnx.checker takes 2 GB, and names and settings need far below 64 MiB


def to_onnx(net: MLP, *, input_dtype: str | None = None) -> onnx.ModelProto:
    """The net as an ONNX model, checked by onnx.checker.

    input_dtype: of the model's input `inputs`, (batch, n_in): "uint8" pixels, or "float32" or "float64" numbers, which
                 are what `query` takes for floats of that dtype. None: uint8, or for a net that has a `standardization`
                 or `columns` float64, since a table's values may need its digits.

    The outputs are `label` (batch,), where `xpnn query` gives one, and `probabilities` (batch, n_out) of the net's
    dtype, called `values` where the output activation makes no probabilities. A label is the class's number, int64, or
    its name, a string, where the net has names for its classes. The model's metadata hold `labels`, `columns` if there
    are any, and `network`, the net's settings; all as JSON. Unlike `query` the model does not check its inputs.

    Raises XpnnError if onnx is missing or the net is too large for the format, ValueError for another input_dtype and
    for weights that are not finite.
    """
    if input_dtype is None:
        input_dtype = "uint8" if net.standardization is None and net.columns is None else "float64"
    if input_dtype not in INPUT_DTYPES:
        raise ValueError(f"unknown input_dtype {input_dtype!r}: choose from {', '.join(INPUT_DTYPES)}")
    _check_onnx()
    _check_parameters(net)
    graph = _Graph(net.dtype)
    y = _prepared(graph, net, input_dtype)
    for i, (layer, activation) in enumerate(zip(net.layers, (*net.hidden, net.output), strict=True)):
        arrays = {f"layers.{i}.{letter}": array for letter, array in layer._asdict().items() if array is not None}
        parameters = [graph.constant(to_host(array), name) for name, array in arrays.items()]
        y = made("activation", activation, _ACTIVATIONS)(graph, graph.add("Gemm", y, *parameters, transB=1))
    kind = "probabilities" if net.output in ("sigmoid", "softmax") else "values"
    graph.add("Identity", y, name=kind)
    outputs = [_described(kind, net.dtype, "batch", net.sizes[-1])]
    tells_classes = net.columns is None or net.label_column is not None or net.output == "softmax"
    if net.sizes[-1] > 1 and tells_classes:
        outputs.insert(0, _label(graph, y, net))
    inputs = [_described("inputs", input_dtype, "batch", net.sizes[0])]
    return _checked_model(graph, inputs, outputs, _metadata(net))


def export_onnx(net: MLP, path: Path, *, input_dtype: str | None = None) -> onnx.ModelProto:
    """Write the net to an ONNX file, whole or not at all; returns the model that is in it. See `to_onnx`.

    Raises XpnnError if the file can't be written, too; one that was there before is then untouched.
    """
    model = to_onnx(net, input_dtype=input_dtype)
    write_atomically(path, model.SerializeToString())
    return model


def _check_onnx() -> None:
    """Raise XpnnError where no ONNX model can be made: onnx is missing."""
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise XpnnError("ONNX models need the package onnx; pip install 'xpnn[onnx]'") from error


def _check_parameters(net: MLP) -> None:
    if net.parameters.nbytes > MOST_BYTES:
        remedy = ": a float32 net takes half of it" if net.dtype == "float64" else ": keep the net in xpnn's own files"
        raise XpnnError(f"the net takes {net.parameters.nbytes:,} bytes, and an ONNX file ends at 2 GB{remedy}")
    with net.device.active():
        if not all_finite(net.parameters[None]):
            raise ValueError("the net holds weights that are not finite: the training diverged; nothing was exported")


class _Graph:
    """Nodes and constants in the order in which they were added. Operands are names, or numbers of the net's dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *operands: str | float, name: str | None = None, **attributes: Any) -> str:
        """Add a node; returns the name of its result."""
        from onnx.helper import make_node

        name = name or f"{operator}_{len(self.nodes)}"
        inputs = [o if isinstance(o, str) else self.constant(np.array(o, dtype=self.dtype)) for o in operands]
        self.nodes.append(make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: Any, name: str | None = None) -> str:
        """Add a constant; returns its name."""
        from onnx.numpy_helper import from_array

        name = name or f"constant_{len(self.constants)}"
        self.constants.append(from_array(values, name))
        return name

    def cast(self, x: str, dtype: str) -> str:
        """Add a conversion."""
        return self.add("Cast", x, to=_type_of(dtype))


def _type_of(dtype: str) -> int:
    """ONNX's number for a dtype."""
    from onnx.helper import np_dtype_to_tensor_dtype

    return int(np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _described(name: str, dtype: str, *shape: str | int) -> onnx.ValueInfoProto:
    """What the graph says of an input or output; a name among the sizes stands for any size."""
    from onnx.helper import make_tensor_value_info

    return make_tensor_value_info(name, _type_of(dtype), shape)


def _prepared(graph: _Graph, net: MLP, input_dtype: str) -> str:
    """The inputs as the first layer takes them, as in `MLP.checked_inputs` and `scale_pixels`."""
    if input_dtype == "uint8":
        x = graph.add("Mul", graph.cast("inputs", net.dtype), net.scaling.factor)
        return graph.add("Add", x, net.scaling.offset) if net.scaling.offset else x
    x, dtype = "inputs", input_dtype
    if net.standardization is not None:
        means, deviations = (
            graph.constant(np.array(numbers, dtype="float64"), name)
            for name, numbers in net.standardization._asdict().items()
        )
        x = x if dtype == "float64" else graph.cast(x, "float64")
        x, dtype = graph.add("Div", graph.add("Sub", x, means), deviations), "float64"
    return x if dtype == net.dtype else graph.cast(x, net.dtype)


def _label(graph: _Graph, y: str, net: MLP) -> onnx.ValueInfoProto:
    """The class whose output is largest: its number, or its name where the net has names."""
    if net.labels == tuple(map(str, range(net.sizes[-1]))):
        graph.add("ArgMax", y, name="label", axis=1, keepdims=0)
        return _described("label", "int64", "batch")
    names = graph.constant(np.array(net.labels, dtype=object), "labels")
    graph.add("Gather", names, graph.add("ArgMax", y, axis=1, keepdims=0), name="label")
    return _described("label", "object", "batch")  # ONNX's strings are NumPy's objects


def _metadata(net: MLP) -> dict[str, str]:
    facts = {"labels": net.labels, "columns": net.columns, "network": net.settings()}
    return {name: json.dumps(fact) for name, fact in facts.items() if fact is not None}


def _checked_model(
    graph: _Graph,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    metadata: dict[str, str],
) -> onnx.ModelProto:
    from onnx import checker, helper

    model = helper.make_model(
        helper.make_graph(graph.nodes, "mlp", inputs, outputs, graph.constants),
        producer_name="xpnn",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, metadata)
    checker.check_model(model, full_check=True)
    return model


_Builder: TypeAlias = Callable[[_Graph, str], str]  # adds f(z) to a graph, given the name of z


def _operator(name: str, **attributes: Any) -> Callable[[], _Builder]:
    return lambda: lambda graph, z: graph.add(name, z, **attributes)


def _leaky_relu(slope: float = 0.01) -> _Builder:
    def build(graph: _Graph, z: str) -> str:
        if graph.dtype == "float32":
            return graph.add("LeakyRelu", z, alpha=slope)
        return graph.add("Max", z, graph.add("Mul", z, slope))  # slopes lie between 0 and 1

    return build


def _elu(alpha: float = 1.0) -> _Builder:
    def build(graph: _Graph, z: str) -> str:
        return graph.add("Elu", z, alpha=alpha) if graph.dtype == "float32" else _exponential_below_0(graph, z, alpha)

    return build


def _selu(graph: _Graph, z: str) -> str:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    if graph.dtype == "float32":
        return graph.add("Selu", z, alpha=alpha, gamma=scale)
    return graph.add("Mul", _exponential_below_0(graph, z, alpha), scale)


def _exponential_below_0(graph: _Graph, z: str, alpha: float) -> str:
    """max(z, 0) + alpha (exp(min(z, 0)) - 1)."""
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", z, 0.0)), 1.0)
    return graph.add("Add", graph.add("Relu", z), graph.add("Mul", below, alpha))


def _softplus(graph: _Graph, z: str) -> str:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))."""
    if graph.dtype == "float32":
        return graph.add("Softplus", z)
    rest = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    return graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", rest, 1.0)))


def _gelu(graph: _Graph, z: str) -> str:
    """z P(z), P the normal distribution's share below z."""
    if graph.dtype == "float64":
        return graph.add("Mul", z, _share_below(graph, z))
    error = graph.add("Erf", graph.add("Mul", z, 0.5**0.5))
    return graph.add("Mul", z, graph.add("Mul", graph.add("Add", error, 1.0), 0.5))


def _share_below(graph: _Graph, z: str) -> str:
    """P(z) in float64, for which onnxruntime has no Erf: the lines of `xpnn.normal.density_and_tail`."""
    x = graph.add("Mul", graph.add("Abs", z), 0.5**0.5)
    s = graph.add("Sub", graph.add("Div", 4.0, graph.add("Add", x, 2.0)), 1.0)
    first, second, *rest = POWERS[8]
    polynomial = graph.add("Add", graph.add("Mul", s, first), second)
    for power in rest:
        polynomial = graph.add("Add", graph.add("Mul", polynomial, s), power)
    density = graph.add("Exp", graph.add("Mul", graph.add("Mul", z, z), -0.5))
    tail = graph.add("Mul", graph.add("Mul", graph.add("Exp", polynomial), graph.add("Add", s, 1.0)), density)
    above = graph.cast(graph.add("Greater", z, 0.0), graph.dtype)
    return graph.add("Abs", graph.add("Sub", above, graph.add("Mul", tail, 0.25)))


def _gelu_tanh(graph: _Graph, z: str) -> str:
    """z (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3)."""
    factor = (2 / math.pi) ** 0.5
    square = graph.add("Mul", graph.add("Mul", z, z), 0.044715 * factor)
    u = graph.add("Mul", z, graph.add("Add", square, factor))
    return graph.add("Mul", z, graph.add("Mul", graph.add("Add", graph.add("Tanh", u), 1.0), 0.5))


def _silu(graph: _Graph, z: str) -> str:
    """z / (1 + exp(-z)): onnxruntime's sigmoid is exact to 1e-7 absolutely, which a large z would multiply."""
    return graph.add("Div", z, graph.add("Add", graph.add("Exp", graph.add("Neg", z)), 1.0))


def _mish(graph: _Graph, z: str) -> str:
    return graph.add("Mul", z, graph.add("Tanh", _softplus(graph, z)))


_ACTIVATIONS: dict[str, Callable[..., _Builder]] = {
    "elu": _elu,
    "exp": _operator("Exp"),
    "gelu": lambda: _gelu,
    "gelu-tanh": lambda: _gelu_tanh,
    "identity": lambda: lambda graph, z: z,
    "leaky-relu": _leaky_relu,
    "mish": lambda: _mish,
    "relu": _operator("Relu"),
    "selu": lambda: _selu,
    "sigmoid": _operator("Sigmoid"),
    "silu": lambda: _silu,
    "softmax": _operator("Softmax", axis=1),
    "softplus": lambda: _softplus,
    "tanh": _operator("Tanh"),
}
