"""How good a net is: loss, accuracy, confusion matrix, and precision, recall and F1 of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, to_host
from xpnn.errors import DataError
from xpnn.network import MLP, QUERY_ROWS
from xpnn.samples import Samples


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found on n rows.

    loss:      mean over the rows of the net's loss.
    confusion: (classes, classes) int64, rows are the true classes and columns the predicted ones;
               None where the targets are not labels.
    """

    n: int
    loss: float
    confusion: NDArray[np.int64] | None

    @property
    def accuracy(self) -> float | None:
        """The share of rows whose class was predicted; None where the targets are not labels."""
        return None if self.confusion is None else float(np.trace(self.confusion)) / self.n

    def per_class(self) -> dict[str, NDArray[Any]]:
        """`precision`, `recall`, `f1` (float64) and `support` (int64), each (classes,); 0 where undefined.

        Raises ValueError where the targets are not labels.
        """
        if self.confusion is None:
            raise ValueError("precision and recall need class labels")
        hits, predicted, support = np.diag(self.confusion), self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return {
            "precision": hits / np.maximum(predicted, 1),
            "recall": hits / np.maximum(support, 1),
            "f1": 2 * hits / np.maximum(predicted + support, 1),
            "support": support,
        }


def place(net: MLP, samples: Samples | tuple[Any, Any], purpose: str) -> tuple[Array, Array]:
    """(inputs, targets) on the net's device, checked. Raises DataError if they don't fit the net or are none."""
    samples = Samples.of(samples)
    if samples.targets is None or not len(samples):
        problem = "there are inputs alone to {}: this needs targets" if len(samples) else "there are no rows to {}"
        raise DataError(problem.format(purpose))
    return net.place_inputs(samples.inputs), net.place_targets(samples.targets)


def evaluate(net: MLP, samples: Samples | tuple[Any, Any]) -> Evaluation:
    """Measure a net on samples, or on a pair (inputs, targets).

    Raises DataError if they don't fit the net or there are none.
    """
    with net.device.active():
        inputs, targets = place(net, samples, "evaluate")
        confusion = np.zeros((net.sizes[-1], net.sizes[-1]), dtype=np.int64) if targets.ndim == 1 else None
        codes, total = net.codes(), 0.0
        for start in range(0, len(inputs), QUERY_ROWS):
            y = net.query(inputs[start : start + QUERY_ROWS])
            t = targets[start : start + QUERY_ROWS]
            if confusion is not None:
                np.add.at(confusion, (to_host(t), to_host(y.argmax(axis=1))), 1)
                t = codes[t]
            total += _loss(net, y, t)
    return Evaluation(len(inputs), total / len(inputs), confusion)


def _loss(net: MLP, y: Any, t: Any) -> float:
    loss = net.xp.empty((), dtype=net.dtype)
    net.loss_function.evaluate(y, t, net.xp.empty_like(y), net.xp.empty_like(y), loss)
    return float(loss)
