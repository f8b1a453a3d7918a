"""How good a net is.

For class labels: loss, accuracy, confusion matrix, and precision, recall and F1 of each class. For float targets:
loss, the usual scores of regression and, where the targets are 0 and 1 at sigmoid outputs, of several labels a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, free_memory, is_on_host, to_device, to_host
from xpnn.errors import DataError
from xpnn.losses import SCRATCH
from xpnn.network import MLP
from xpnn.samples import Samples
from xpnn.stored import StoredRows

SHARE = 0.7  # of a device's free memory that samples may take: buffers need some too
ORDER_BYTES = 32  # a row, at most, that an epoch's order takes while it is made (xpnn.shuffles)
COPIES = 5  # of the parameters that a run makes: gradient, an optimizer's two, an average, how the epoch began


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found on n rows.

    loss:      mean over the rows of the net's loss, weighted by the samples' weights. Nothing else is weighted.
    confusion: (classes, classes) int64, rows are the true classes and columns the predicted ones;
               None where the targets are not labels.

    Where the targets are floats, the next three are means over the outputs, as scikit-learn's; else None.
    r2 of an output is 1 - sum (y - t)^2 / sum (t - mean t)^2: 1 is perfect, 0 no better than the mean. Of an output
    whose targets are all the same it is 1 if that was met, else 0.

    The last two are for targets of 0 and 1 at sigmoid outputs, each on the right or the wrong side of 0.5; else None.
    exact_match:      the share of rows with all outputs right.
    hamming_accuracy: the share of outputs that are right.
    """

    n: int
    loss: float
    confusion: NDArray[np.int64] | None
    mean_absolute_error: float | None = None
    root_mean_squared_error: float | None = None
    r2: float | None = None
    exact_match: float | None = None
    hamming_accuracy: float | None = None

    def __repr__(self) -> str:
        scores = (f"{name}={value:.6g}" for name, value in self.scores().items())
        return f"Evaluation(n={self.n}, {', '.join(scores)})"

    @property
    def accuracy(self) -> float | None:
        """The share of rows whose class was predicted; None where the targets are not labels."""
        return None if self.confusion is None else float(np.trace(self.confusion)) / self.n

    def scores(self) -> dict[str, float]:
        """The numbers that are there by name, `loss` and `accuracy` among them."""
        names = ("loss", "accuracy", "mean_absolute_error", "root_mean_squared_error", "r2")
        values = {name: getattr(self, name) for name in (*names, "exact_match", "hamming_accuracy")}
        return {name: value for name, value in values.items() if value is not None}

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


def placed(net: MLP, samples: Samples | tuple[Any, Any], purpose: str) -> Samples:
    """The samples checked, and on the net's device, or on the host where they are and the device has no room for them.

    Rows that stay in a file stay there, unless there are few.

    Raises DataError if they don't fit the net or are none.
    """
    samples = Samples.of(samples, net.columns)
    if samples.targets is None or not len(samples):
        problem = "there are inputs alone to {}: this needs targets" if len(samples) else "there are no rows to {}"
        raise DataError(problem.format(purpose))
    if samples.weights is not None and not samples.weights.any():
        raise DataError(f"the weights are all 0: there are no rows to {purpose} that count")
    inputs, targets = net.checked_inputs(samples.inputs, samples.columns), net.checked_targets(samples.targets)
    if isinstance(inputs, StoredRows):
        if not inputs.are_few:
            return Samples(inputs, to_host(targets), samples.weights)
        inputs = inputs.read(0, len(inputs))
    if is_on_host(inputs) and not _has_room(net, inputs, targets, samples.weights):
        return Samples(inputs, to_host(targets), samples.weights)
    return Samples(to_device(inputs, net.device), to_device(targets, net.device), samples.weights)


def _has_room(net: MLP, inputs: Array, targets: Array, weights: Array | None) -> bool:
    """Whether the net's device can hold these beside what a run of the net needs."""
    of_weights = 0 if weights is None else len(inputs) * net.parameters.itemsize
    of_run = COPIES * net.parameters.nbytes + ORDER_BYTES * len(inputs)
    room = SHARE * (free_memory(net.device) - of_run)
    return bool(inputs.nbytes + targets.nbytes + of_weights <= room)


def evaluate(net: MLP, samples: Samples | tuple[Any, Any]) -> Evaluation:
    """Measure a net on samples, or on a pair (inputs, targets).

    Raises DataError if they don't fit the net or there are none.
    """
    with net.device.active():
        return measure(net, placed(net, samples, "evaluate"))


def measure(net: MLP, samples: Samples) -> Evaluation:
    """What `evaluate` does, with samples that `placed` gave: inputs are not to be standardised twice."""
    with net.device.active(), np.errstate(over="ignore", invalid="ignore"):  # too large weights show in the scores
        targets: Array = samples.targets
        confusion = np.zeros((net.sizes[-1], net.sizes[-1]), dtype=np.int64) if targets.ndim == 1 else None
        codes, weights, deviations = net.codes(), samples.weights, _Deviations(net.sizes[-1])
        total, counted = 0.0, 0.0
        for start in range(0, len(samples), net.chunk_rows):
            chunk = slice(start, start + net.chunk_rows)
            y, t = net.outputs(samples.inputs[chunk]), to_device(targets[chunk], net.device)
            if confusion is None:
                deviations.add(to_host(y), to_host(t))
            else:
                np.add.at(confusion, (to_host(t), to_host(y.argmax(axis=1))), 1)
                t = codes[t]
            counts = np.ones(len(y)) if weights is None else weights[chunk].astype(np.float64)
            total, counted = total + float(counts @ _row_losses(net, y, t)), counted + float(counts.sum())
        scores = {} if confusion is not None else deviations.scores(binary=net.output == "sigmoid")
    return Evaluation(len(samples), total / counted, confusion, **scores)


def _row_losses(net: MLP, y: Any, t: Any) -> NDArray[np.float64]:
    """(n,), on the host."""
    xp = net.xp
    losses = xp.empty((len(y), 1), dtype=net.dtype)
    net.loss_function.evaluate(y, t, xp.empty_like(y), xp.empty((SCRATCH, *y.shape), dtype=net.dtype), losses)
    on_host: NDArray[np.float64] = to_host(losses)[:, 0].astype(np.float64)
    return on_host


class _Deviations:
    """What the scores of float targets need, summed over chunks of rows, in float64."""

    def __init__(self, n_out: int) -> None:
        self.n = self.right = self.rows_right = 0
        self.binary = True
        self.mean, self.spread = np.zeros(n_out), np.zeros(n_out)  # of the targets: mean t, sum (t - mean t)^2
        self.least, self.most = np.full(n_out, np.inf), np.full(n_out, -np.inf)  # targets
        self.absolute, self.squares = np.zeros(n_out), np.zeros(n_out)  # sum |y - t|, sum (y - t)^2

    def add(self, y: NDArray[Any], t: NDArray[Any]) -> None:
        """Take in the outputs and targets (m, n_out) of more rows."""
        m, t = len(t), t.astype(np.float64)
        self.absolute += np.abs(y - t).sum(axis=0)
        self.squares += ((y - t) ** 2).sum(axis=0)
        mean = t.mean(axis=0)  # Chan, Golub and LeVeque, 1983: two parts' means and spreads make the whole's
        self.spread += ((t - mean) ** 2).sum(axis=0) + (mean - self.mean) ** 2 * (self.n * m / (self.n + m))
        self.mean += (mean - self.mean) * (m / (self.n + m))
        self.n += m
        self.least, self.most = np.minimum(self.least, t.min(axis=0)), np.maximum(self.most, t.max(axis=0))
        right = (y > 0.5) == (t > 0.5)
        self.right, self.rows_right = self.right + int(right.sum()), self.rows_right + int(right.all(axis=1).sum())
        self.binary &= bool(((t == 0) | (t == 1)).all())

    def scores(self, binary: bool) -> dict[str, float]:
        """The fields of Evaluation. binary: the outputs are sigmoids."""
        varies = self.most > self.least  # the spread of targets that are all the same may be rounded to more than 0
        r2 = np.where(varies, 1 - self.squares / np.where(varies, self.spread, 1), self.squares == 0)
        scores = {
            "mean_absolute_error": float(self.absolute.mean()) / self.n,
            "root_mean_squared_error": float(np.sqrt(self.squares / self.n).mean()),
            "r2": float(r2.mean()),
        }
        if binary and self.binary:
            scores["exact_match"] = self.rows_right / self.n
            scores["hamming_accuracy"] = self.right / (self.n * len(self.mean))
        return scores
