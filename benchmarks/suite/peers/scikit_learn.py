"""scikit-learn: `MLPClassifier.partial_fit` with all rows of a pass, which goes through them in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from suite.accuracy import SIZES, Settings, read_mnist
from suite.data import float_inputs
from suite.peers.chunks import quickest_chunk
from suite.reference import EPSILON, MOMENTUM


def version() -> str:
    return f"scikit-learn {sklearn.__version__}"


def make_model(task: Any, shuffle: bool, x: Any) -> Any:
    """A model of float32 with the task's weights and a new optimizer."""
    case = task.case
    model = MLPClassifier(
        case.sizes[1:-1],
        solver="adam" if case.optimizer == "adam" else "sgd",
        alpha=0.0,
        batch_size=case.batch,
        learning_rate_init=task.rate,
        epsilon=EPSILON,
        momentum=MOMENTUM if case.optimizer == "momentum" else 0.0,
        nesterovs_momentum=False,
        shuffle=shuffle,
        random_state=0,
    )
    classes = np.arange(case.sizes[-1])
    model.set_params(batch_size=len(classes)).partial_fit(x[: len(classes)], classes, classes=classes)
    for part, value in zip(model.coefs_, task.weights[::2], strict=True):
        part[...] = value.T
    for part, value in zip(model.intercepts_, task.weights[1::2], strict=True):
        part[...] = value
    del model._optimizer  # the next call makes one anew
    return model.set_params(batch_size=case.batch)


class Trainer:
    path = "partial_fit"

    def __init__(self, task: Any) -> None:
        self.task, self.x = task, float_inputs(task.inputs)

    def start(self, steps: int, shuffle: bool) -> None:
        self.rows = slice(steps * self.task.case.batch)
        self.model = make_model(self.task, shuffle, self.x)

    def run(self) -> None:
        self.model.partial_fit(self.x[self.rows], self.task.labels[self.rows])

    def result(self) -> list[Any]:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [part for W, b in pairs for part in (W.T, b)]


class Predictor:
    def __init__(self, task: Any) -> None:
        self.x = float_inputs(task.inputs[: task.case.batch])
        self.model = make_model(task, False, float_inputs(task.inputs[:10]))
        self.chunk = quickest_chunk(self.answer, self.x)
        self.path = f"predict_proba, chunks of {self.chunk}"

    def answer(self, x: Any, chunk: int) -> Any:
        parts = [self.model.predict_proba(x[start : start + chunk]) for start in range(0, len(x), chunk)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def start(self, steps: int, shuffle: bool) -> None:
        self.run()

    def run(self) -> None:
        self.outputs = self.answer(self.x, self.chunk)

    def result(self) -> list[Any]:
        return [self.outputs]


trainer, predictor = Trainer, Predictor


PARTS = 10  # of an epoch, each with its own rate: it has no schedule of a rate a step


def accuracies(settings: Settings) -> Iterator[float]:
    """See `suite.accuracy`."""
    x, t, test_x, test_t = read_mnist()
    model = MLPClassifier(SIZES[1:-1], alpha=0.0, batch_size=settings.batch, random_state=settings.seed)
    generator, classes = np.random.default_rng(settings.seed), np.arange(SIZES[-1])
    for epoch in range(settings.epochs):
        for part, rows in enumerate(np.array_split(generator.permutation(len(x)), PARTS)):
            (rate,) = settings.rates(np.array([epoch * PARTS + part + 0.5]), PARTS)
            model.set_params(learning_rate_init=rate)
            if hasattr(model, "_optimizer"):
                model._optimizer.learning_rate_init = rate
            model.partial_fit(x[rows], t[rows], classes=classes)
        yield float(model.score(test_x, test_t))
