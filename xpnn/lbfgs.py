"""L-BFGS for small data: all rows at once, and SciPy's line search instead of a learning rate.

D. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, 1989; the implementation is
SciPy's `minimize(method="L-BFGS-B")`. It needs the same loss for the same parameters, so nothing random may be on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array
from xpnn.errors import DivergenceError, XpnnError
from xpnn.evaluation import evaluate, placed
from xpnn.losses import check_smoothing
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, State
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples, row_weights
from xpnn.schedules import constant
from xpnn.steps import ReferenceStep
from xpnn.training import Epoch


def train_lbfgs(
    net: MLP,
    samples: Samples | tuple[Any, Any],
    *,
    validation: Samples | tuple[Any, Any] | None = None,
    epochs: int = 200,
    regularization: Regularization = NONE,
    class_weight: str | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> list[Epoch]:
    """Train `net`, which must be on the CPU, in place; returns a record of each iteration.

    An iteration is a line search, of one or more passes over the rows. There are at most `epochs`, and fewer where the
    loss no longer falls.

    The arguments are those of `train`; of `regularization` only l1 = 0 and l2 can be used.
    Raises ValueError for settings that can't work, DataError for rows that don't fit the net, XpnnError without SciPy,
    DivergenceError where the loss is no finite number at the start.
    """
    if net.device.kind != "cpu":
        raise ValueError(f"L-BFGS runs on the CPU, and the net is on {net.device}: choose device cpu, or adam")
    if regularization != Regularization(l2=regularization.l2):
        raise ValueError("L-BFGS goes with the penalty l2 alone: the rest of the regularization makes its loss noisy")
    check_smoothing(net.loss, label_smoothing)
    if epochs < 1:
        raise ValueError(f"epochs must be 1 or more, not {epochs}")
    samples = placed(net, samples, "train on")
    minimize = _scipy_minimize()
    weights = row_weights(samples, net.sizes[-1], class_weight)
    objective = _Objective(net, samples, regularization, label_smoothing, weights)
    records: list[Epoch] = []
    started = time.perf_counter()

    def after_iteration(intermediate_result: Any) -> None:  # SciPy looks for this name
        nonlocal started
        loss, accuracy = objective(intermediate_result.x)[0], objective.accuracy
        seconds = time.perf_counter() - started
        measured = None if validation is None else evaluate(net, validation)
        records.append(Epoch(len(records) + 1, loss, accuracy, measured, seconds, "lbfgs", 1.0))
        started = time.perf_counter()

    start = net.parameters.astype(np.float64)
    if not math.isfinite(objective(start)[0]):
        raise DivergenceError("the loss is no finite number at the start; scale the inputs to about -1 to 1")
    options = {"maxiter": epochs, "maxfun": 20 * epochs}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=after_iteration, options=options)
    net.parameters[...] = found.x
    return records


def _scipy_minimize() -> Callable[..., Any]:
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise XpnnError("L-BFGS needs SciPy; pip install 'xpnn[lbfgs]'") from error
    function: Callable[..., Any] = minimize
    return function


class _Objective:
    """The loss of all rows as a function of the parameters, with its gradient: both by the train step's own lines."""

    def __init__(
        self,
        net: MLP,
        samples: Samples,
        regularization: Regularization,
        label_smoothing: float,
        weights: NDArray[np.float64] | None,
    ) -> None:
        self.net, self.n, self.l2 = net, len(samples), regularization.l2
        self.step = ReferenceStep(
            net,
            Optimizer("gradient", constant(1.0), _gradient_state, lambda steps, rates: (rates,), _keep_gradient),
            samples.inputs,
            samples.targets,
            self.n,
            regularization=regularization,
            weights=None if weights is None else weights[:, None].astype(net.dtype),
            label_smoothing=label_smoothing,
        )
        self.order, self.table = np.arange(self.n), np.ones((1, 3), dtype=net.dtype)
        self.accuracy: float | None = None

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self.net.parameters[...] = parameters
        self.step.begin_epoch(0, self.table)
        with np.errstate(over="ignore", invalid="ignore"):
            self.step(self.order)
        total, hits = self.step.totals()
        self.accuracy = None if hits is None else hits / self.n
        penalty = self.l2 / 2 * float((self.net.weights.astype(np.float64) ** 2).sum())
        return total / self.n + penalty, self.step.state["gradient"].astype(np.float64)


def _gradient_state(parameters: Array) -> State:
    return {"gradient": parameters.copy()}


def _keep_gradient(gradient: Array, state: State, parameters: Array, coefficients: Any) -> None:
    state["gradient"][...] = gradient
