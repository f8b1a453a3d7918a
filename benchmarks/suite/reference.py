"""Training and answers in float64, written out as plainly as can be: what is timed must agree with this first."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.cases import Case
from suite.data import SCALE, SEED_HIGH, SEED_LOW, SEED_OFFSET, SEED_SCALE, initial_weights

Arrays = list[NDArray[Any]]
CHECK_STEPS = 50
MOST_ERROR = {"float32": 1e-4, "tf32": 1e-2}  # of the weights after CHECK_STEPS, relative to their norm
MOST_OF_THE_WAY = (
    0.1  # that the weights have gone: where it is short, MOST_ERROR would let a net pass that learns nothing
)
MOST_OPERATIONS = 5e12  # of a check, in float64 on the CPU: some ten seconds
BETA1, BETA2, EPSILON, MOMENTUM = 0.9, 0.999, 1e-8, 0.9
DRAWS = (1, 2, 3)  # seeds of initial weights: see `suite.rounds.checked`


def check_plan(case: Case, least: int = CHECK_STEPS) -> tuple[int, int]:
    """(steps a pass, passes) of a check of at least so many steps, or of as many as float64 has the time for."""
    steps = min(least, case.epoch_steps)
    operations = 6 * steps * case.batch * sum(a * b for a, b in pairwise(case.sizes))
    return steps, max(1, min(-(-least // steps), int(MOST_OPERATIONS // operations)))


def expected(
    case: Case,
    inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
    uncorrected_epsilon: bool,
    draw: int,
    plan: tuple[int, int] | None = None,
    rate_factor: float = 1.0,
) -> Arrays:
    """The weights after `plan`'s passes over the first batches in their order; of a question, the probabilities.

    plan: (steps a pass, passes), see `check_plan`; rate_factor: of the case's rate.
    uncorrected_epsilon: Adam in the quicker order of its paper's section 2, where epsilon is not corrected as v is.
    """
    weights = [part.astype(np.float64) for part in initial_weights(case, draw)]
    if case.is_query:
        return [forward(weights, inputs[: case.batch] * SCALE)[-1]]
    steps, passes = plan or check_plan(case)
    rows = steps * case.batch
    if case.optimizer == "seed":
        train_textbook(weights, inputs[:rows], labels[:rows], case)
    else:
        rate = case.rate * rate_factor
        train(weights, inputs[:rows], labels[:rows], case, passes, rate, uncorrected_epsilon)
    return weights


def allowed_error(case: Case, wanted: Arrays, draw: int) -> float:
    """The largest relative error that passes beside these weights, or answers."""
    most = MOST_ERROR[case.precision]
    return most if case.is_query else min(most, MOST_OF_THE_WAY * relative_error(initial_weights(case, draw), wanted))


def forward(weights: Arrays, x: NDArray[Any]) -> Arrays:
    """x, each hidden layer's ReLU, and the softmax."""
    outputs = [x]
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        outputs.append(np.maximum(outputs[-1] @ W.T + b, 0))
    z = outputs[-1] @ weights[-2].T + weights[-1]
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return [*outputs, exponentials / exponentials.sum(axis=1, keepdims=True)]


def gradient(weights: Arrays, x: NDArray[Any], labels: NDArray[np.int64]) -> Arrays:
    """Of the mean cross-entropy."""
    outputs, gradients = forward(weights, x), []
    delta = (outputs[-1] - np.eye(outputs[-1].shape[1])[labels]) / len(x)
    for i in reversed(range(len(weights) // 2)):
        gradients = [delta.T @ outputs[i], delta.sum(axis=0), *gradients]
        delta = (delta @ weights[2 * i]) * (outputs[i] > 0)
    return gradients


def train(
    weights: Arrays,
    inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
    case: Case,
    passes: int,
    rate: float,
    uncorrected_epsilon: bool,
) -> None:
    first, second = [np.zeros_like(W) for W in weights], [np.zeros_like(W) for W in weights]
    for t, start in enumerate([*range(0, len(inputs), case.batch)] * passes, 1):
        batch = slice(start, start + case.batch)
        gradients = gradient(weights, inputs[batch] * SCALE, labels[batch])
        for i, g in enumerate(gradients):
            if case.optimizer == "adam":  # Kingma and Ba, 2015, algorithm 1
                first[i] += (1 - BETA1) * (g - first[i])
                second[i] += (1 - BETA2) * (g**2 - second[i])
                m, v = first[i] / (1 - BETA1**t), second[i] / (1 - BETA2**t)
                epsilon = EPSILON / (1 - BETA2**t) ** 0.5 if uncorrected_epsilon else EPSILON
                weights[i] -= rate * m / (np.sqrt(v) + epsilon)
            else:
                first[i] = (MOMENTUM if case.optimizer == "momentum" else 0) * first[i] + g
                weights[i] -= rate * first[i]


def train_textbook(weights: Arrays, inputs: NDArray[np.uint8], labels: NDArray[np.int64], case: Case) -> None:
    """Two layers of sigmoids, one row at a time; the raw output error goes back (Rashid, 2016)."""
    W1, W2 = weights
    for row, label in zip(inputs, labels, strict=True):
        x, t = row * SEED_SCALE + SEED_OFFSET, np.full(len(W2), SEED_LOW)
        t[label] = SEED_HIGH
        hidden = 1 / (1 + np.exp(-(W1 @ x)))
        output = 1 / (1 + np.exp(-(W2 @ hidden)))
        error = t - output
        hidden_error = W2.T @ error
        W2 += case.rate * np.outer(error * output * (1 - output), hidden)
        W1 += case.rate * np.outer(hidden_error * hidden * (1 - hidden), x)


def relative_error(got: Arrays, wanted: Arrays) -> float:
    """||W - W64|| / ||W64|| over all of them; infinite where the shapes differ."""
    if [part.shape for part in got] != [part.shape for part in wanted]:
        return float("inf")
    a, b = (np.concatenate([part.ravel().astype(np.float64) for part in parts]) for parts in (got, wanted))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
