"""onnxruntime: answers alone, from a model that is written from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

from suite.data import float_inputs
from suite.peers.chunks import quickest_chunk


def version() -> str:
    return f"onnxruntime {onnxruntime.__version__}"


def make_model(weights: Any) -> bytes:
    """Gemm and Relu for each layer, Softmax after the last."""
    nodes, names = [], [f"p{i}" for i in range(len(weights))]
    for i in range(0, len(weights), 2):
        nodes.append(helper.make_node("Gemm", [f"y{i}", *names[i : i + 2]], [f"z{i}"], transB=1))
        kind = "Relu" if i + 2 < len(weights) else "Softmax"
        nodes.append(helper.make_node(kind, [f"z{i}"], [f"y{i + 2}"]))
    shapes = (("y0", weights[0].shape[1]), (f"y{len(weights)}", weights[-1].shape[0]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", units]) for name, units in shapes]
    values = [numpy_helper.from_array(value, name) for value, name in zip(weights, names, strict=True)]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


class Predictor:
    def __init__(self, task: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        self.session = onnxruntime.InferenceSession(make_model(task.weights), options, ["CPUExecutionProvider"])
        self.x = float_inputs(task.inputs[: task.case.batch])
        self.chunk = quickest_chunk(self.answer, self.x)
        self.path = f"chunks of {self.chunk}"

    def answer(self, x: Any, chunk: int) -> Any:
        parts = [self.session.run(None, {"y0": x[start : start + chunk]})[0] for start in range(0, len(x), chunk)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def start(self, steps: int, shuffle: bool) -> None:
        self.run()

    def run(self) -> None:
        self.outputs = self.answer(self.x, self.chunk)

    def result(self) -> list[Any]:
        return [self.outputs]


predictor = Predictor
