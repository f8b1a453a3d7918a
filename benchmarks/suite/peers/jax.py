"""JAX: one jitted scan over the pass, its state donated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suite.accuracy import SIZES, Settings, read_mnist
from suite.data import float_inputs
from suite.reference import BETA1, BETA2, EPSILON, MOMENTUM


def version() -> str:
    return f"JAX {jax.__version__}"


def logits(weights: Any, x: Any) -> Any:
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = jax.nn.relu(x @ W.T + b)
    return x @ weights[-2].T + weights[-1]


def loss(weights: Any, x: Any, t: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), t[:, None], axis=1).mean()


def updated(kind: str, epsilon: float, rate: Any, state: Any, gradient: Any) -> Any:
    weights, first, second, count = state
    count = count + 1
    if kind == "adam":
        first = [m + (1 - BETA1) * (g - m) for m, g in zip(first, gradient, strict=True)]
        second = [v + (1 - BETA2) * (g * g - v) for v, g in zip(second, gradient, strict=True)]
        a, b = 1 - BETA1**count, 1 - BETA2**count
        moves = [m / a / (jnp.sqrt(v / b) + epsilon) for m, v in zip(first, second, strict=True)]
    elif kind == "momentum":
        first = moves = [MOMENTUM * m + g for m, g in zip(first, gradient, strict=True)]
    else:
        moves = gradient
    return [W - rate * move for W, move in zip(weights, moves, strict=True)], first, second, count


@partial(jax.jit, static_argnames=("kind", "epsilon", "unroll"), donate_argnums=0)
def learn(state: Any, x: Any, t: Any, order: Any, rates: Any, kind: str, epsilon: float, unroll: int = 1) -> Any:
    """One pass; order: (steps, batch) row numbers, rates: (steps,)."""

    def step(state: Any, now: Any) -> Any:
        rows, rate = now
        return updated(kind, epsilon, rate, state, jax.grad(loss)(state[0], x[rows], t[rows])), None

    return jax.lax.scan(step, state, (order, rates), unroll=unroll)[0]


def initial_state(weights: Any, kind: str) -> Any:
    def zeros(wanted: bool) -> Any:
        return [jnp.zeros_like(W) for W in weights] if wanted else []

    return [jnp.array(W) for W in weights], zeros(kind in ("momentum", "adam")), zeros(kind == "adam"), jnp.array(0)


class Trainer:
    """The variant "unroll K" unrolls K steps of the scan. On a GPU, JAX's default precision is TF32."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.unroll = int(task.variant.removeprefix("unroll ") or 1)
        self.path = f"jit, scan, unroll {self.unroll}" if task.variant else "jit, scan"
        self.precision = "default" if task.case.precision == "tf32" or task.device == "cpu" else "highest"
        self.x, self.t = jnp.asarray(float_inputs(task.inputs)), jnp.asarray(task.labels)
        self.warm: set[int] = set()

    def start(self, steps: int, shuffle: bool) -> None:
        self.steps, self.shuffle, self.generator = steps, shuffle, np.random.default_rng(0)
        self.state = initial_state(self.task.weights, self.task.case.optimizer)
        order = np.arange(steps * self.task.case.batch, dtype=np.int32)
        self.order = jnp.asarray(order.reshape(steps, self.task.case.batch))
        self.rates = jnp.full(steps, self.task.rate, dtype=jnp.float32)
        if steps not in self.warm:  # compile, untimed
            self.run()
            self.warm.add(steps)
            self.state = initial_state(self.task.weights, self.task.case.optimizer)

    def run(self) -> None:
        order = self.order
        if self.shuffle:
            order = self.generator.permutation(order.size).astype(np.int32).reshape(order.shape)
        with jax.default_matmul_precision(self.precision):
            kind = self.task.case.optimizer
            self.state = learn(self.state, self.x, self.t, order, self.rates, kind, EPSILON, self.unroll)
        jax.block_until_ready(self.state)

    def result(self) -> list[Any]:
        return list(map(np.asarray, self.state[0]))


trainer = Trainer


def accuracies(settings: Settings) -> Iterator[float]:
    """See `suite.accuracy`. The rows of an epoch that don't fill a batch are left out."""
    if settings.device != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")  # as the others; the default is TF32
    x, t, test_x, test_t = map(jnp.asarray, read_mnist())
    generator, batch = np.random.default_rng(settings.seed), settings.batch
    weights: list[Any] = []
    for n_in, n_out in pairwise(SIZES):
        weights += [generator.normal(0, (2 / n_in) ** 0.5, (n_out, n_in)).astype(np.float32), np.zeros(n_out, "f")]
    state, answer = initial_state(weights, "adam"), jax.jit(logits)
    for epoch in range(settings.epochs):
        steps = len(x) // batch
        order = jnp.asarray(generator.permutation(len(x))[: steps * batch].reshape(steps, batch).astype(np.int32))
        rates = jnp.asarray(settings.rates(np.arange(steps) + epoch * steps, steps), dtype=jnp.float32)
        state = learn(state, x, t, order, rates, "adam", 1e-8)
        yield float((answer(state[0], test_x).argmax(axis=1) == test_t).mean())
