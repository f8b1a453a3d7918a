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
from xpnn.epochs import Epoch
from xpnn.errors import DivergenceError, XpnnError
from xpnn.evaluation import measure, placed
from xpnn.losses import check_smoothing
from xpnn.memory import check_room
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, State
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples
from xpnn.schedules import constant
from xpnn.steps import Buffers, ReferenceStep
from xpnn.stored import StoredRows
from xpnn.training import placed_weights

PAIRS = 10  # of steps and changes of the gradient, that SciPy keeps


def train_lbfgs(
    net: MLP,
    samples: Samples | tuple[Any, Any],
    *,
    validation: Samples | tuple[Any, Any] | None = None,
    epochs: int = 200,
    regularization: Regularization = NONE,
    class_weight: str | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    passes: int | None = None,
    gradient_tolerance: float = 1e-5,
    say: Callable[[str], None] | None = None,
) -> list[Epoch]:
    """Train `net`, which must be on the CPU, in place; returns a record of each iteration, one or more.

    An iteration is a line search, of one or more passes over the rows. There are at most `epochs`, and fewer where the
    loss no longer falls.

    passes:             the most passes over the rows; None: 20 an epoch.
    gradient_tolerance: the search ends where no part of the gradient is larger.
    say:                told in the end, by SciPy's words, why it ended: "CONVERGENCE: ..." where it found a minimum.

    The other arguments are those of `train`; of `regularization` only l1 = 0 and l2 can be used.
    Raises ValueError for settings that can't work, DataError for rows that don't fit the net, XpnnError without SciPy,
    DivergenceError where the loss is no finite number at the start.
    """
    if net.device.kind != "cpu":
        raise ValueError(f"L-BFGS runs on the CPU, and the net is on {net.device}: choose device cpu, or adam")
    if regularization != Regularization(l2=regularization.l2):
        raise ValueError("L-BFGS goes with the penalty l2 alone: the rest of the regularization makes its loss noisy")
    check_smoothing(net.loss, label_smoothing)
    passes = 20 * epochs if passes is None else passes
    for name, value in (("epochs", epochs), ("passes", passes)):
        if value < 1 or value != int(value):
            raise ValueError(f"{name} must be a whole number of 1 or more, not {value}")
    samples = placed(net, samples, "train on")
    if isinstance(samples.inputs, StoredRows):
        raise ValueError("L-BFGS needs all rows in memory, and these stay in their file: take another optimizer")
    watched = None if validation is None else placed(net, validation, "validate on")
    minimize, size = _scipy_minimize(), net.parameters.size
    room = 8 * size * (16 + 2 * min(epochs, PAIRS))  # in float64: SciPy's own vectors, and what is handed to and fro
    check_room(room, f"L-BFGS on {size:,} parameters takes", "take another optimizer, or choose smaller hidden sizes")
    objective = _Objective(net, samples, regularization, label_smoothing, class_weight)
    records: list[Epoch] = []
    started = time.perf_counter()

    def after_iteration(intermediate_result: Any) -> None:  # SciPy looks for this name
        nonlocal started
        objective(intermediate_result.x)
        seconds = time.perf_counter() - started
        measured = None if watched is None else measure(net, watched)
        number, loss, accuracy = len(records) + 1, objective.loss, objective.accuracy
        records.append(Epoch(number, loss, accuracy, measured, seconds, "lbfgs", 1.0))
        started = time.perf_counter()

    start = net.parameters.astype(np.float64)
    if not math.isfinite(objective(start)[0]):
        raise DivergenceError("the loss is no finite number at the start; scale the inputs to about -1 to 1")
    options = {"maxiter": epochs, "maxfun": passes, "gtol": gradient_tolerance}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=after_iteration, options=options)
    if not records:  # the loss can't be lowered from the start
        after_iteration(found)
    net.parameters[...] = found.x
    if say is not None:
        say(str(found.message))
    return records


def _scipy_minimize() -> Callable[..., Any]:
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise XpnnError("L-BFGS needs SciPy; pip install 'xpnn[lbfgs]'") from error
    function: Callable[..., Any] = minimize
    return function


class _StepOverAll(ReferenceStep):
    """The reference step for the same rows each time: they are gathered once."""

    gathered = False

    def _gather(self, rows: Array, buffers: Buffers) -> None:
        if not self.gathered:
            super()._gather(rows, buffers)
            self.gathered = True


class _Objective:
    """The loss of all rows as a function of the parameters, with its gradient: both by the train step's own lines."""

    def __init__(
        self,
        net: MLP,
        samples: Samples,
        regularization: Regularization,
        label_smoothing: float,
        class_weight: str | Sequence[float] | None,
    ) -> None:
        self.net, self.n, self.l2 = net, len(samples), regularization.l2
        self.step = _StepOverAll(
            net,
            Optimizer("gradient", constant(1.0), _gradient_state, lambda steps, rates: (rates,), _keep_gradient),
            samples.inputs,
            samples.targets,
            self.n,
            regularization=regularization,
            weights=placed_weights(net, samples, class_weight),
            label_smoothing=label_smoothing,
        )
        self.order, self.table = np.arange(self.n), np.ones((1, 3), dtype=net.dtype)
        self.loss = math.nan  # of the data alone, as of the last call
        self.accuracy: float | None = None
        self.last: tuple[NDArray[np.float64], float, NDArray[np.float64]] | None = None

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """SciPy asks twice for the point that a line search ends in, and for the start: it is worked out once."""
        if self.last is None or not np.array_equal(parameters, self.last[0]):
            self.last = (parameters.copy(), *self._worked_out(parameters))
        return self.last[1], self.last[2].copy()

    def _worked_out(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self.net.parameters[...] = parameters
        self.step.begin_epoch(0, self.table)
        with np.errstate(over="ignore", invalid="ignore"):
            self.step(self.order)
        total, hits = self.step.totals()
        self.accuracy = None if hits is None else hits / self.n
        self.loss = total / self.n
        weights = self.net.weights.astype(np.float64)
        penalty = self.l2 / 2 * float(weights @ weights)
        # The gradient is that of the rows' weighted losses over n, while totals are over their mean weight.
        return self.loss * self.step.mean_weight + penalty, self.step.state["gradient"].astype(np.float64)


def _gradient_state(parameters: Array) -> State:
    return {"gradient": parameters.copy()}


def _keep_gradient(gradient: Array, state: State, parameters: Array, coefficients: Any) -> None:
    state["gradient"][...] = gradient
