"""Optimizers that take the gradient, or its running mean, as the direction."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.backend import Array, xp_of
from xpnn.optimizers.optimizer import (
    Optimizer,
    State,
    as_schedule,
    check_decays,
    decoupled,
    rate_alone,
    zeros,
)
from xpnn.schedules import Schedule


def sgd(learning_rate: float | Schedule = 0.1, momentum: float = 0.0, nesterov: bool = False) -> Optimizer:
    """Gradient descent, with momentum as PyTorch writes it (Polyak, 1964; Sutskever et al., 2013).

    v <- momentum * v + g;  p <- p - rate * v;  with nesterov  p <- p - rate * (g + momentum * v)

    Raises ValueError for a learning rate that isn't positive, a momentum outside [0, 1), or nesterov without momentum.
    """
    check_decays(momentum=momentum)
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum in (0, 1), not 0")

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        return (rates * momentum if nesterov else rates,)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        (rate,) = coefficients
        if momentum:
            velocity = state["velocity"]
            xp.multiply(velocity, momentum, out=velocity)
            xp.add(velocity, gradient, out=velocity)
        if nesterov:  # rate * (g + momentum v) = (rate * momentum) * (g / momentum + v)
            xp.divide(gradient, momentum, out=gradient)
            xp.add(gradient, velocity, out=gradient)
        xp.multiply(velocity if momentum and not nesterov else gradient, rate, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    init = zeros("velocity") if momentum else zeros()
    settings = {"momentum": momentum, "nesterov": float(nesterov)}
    return Optimizer("sgd", as_schedule(learning_rate), init, coefficients, update, settings=settings)


def momentum(learning_rate: float | Schedule = 0.01, momentum: float = 0.9) -> Optimizer:
    """`sgd` with momentum (Polyak, 1964). Raises what it raises."""
    return sgd(learning_rate, momentum)._replace(name="momentum")


def nesterov(learning_rate: float | Schedule = 0.01, momentum: float = 0.9) -> Optimizer:
    """`sgd` with Nesterov's momentum (Sutskever et al., 2013). Raises what it raises."""
    return sgd(learning_rate, momentum, nesterov=True)._replace(name="nesterov")


def lion(
    learning_rate: float | Schedule = 3e-4, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0
) -> Optimizer:
    """Lion (Chen et al., 2023, algorithm 2): every weight moves by the rate, in the direction of the sign.

    p <- p - rate * sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g

    The paper suggests a rate 3 to 10 times smaller than AdamW's, and a weight_decay as many times larger.

    Raises ValueError for a learning rate that isn't positive, a beta outside [0, 1), or a negative weight_decay.
    """
    check_decays(beta1=beta1, beta2=beta2)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        first, scratch = state["first_moment"], state["scratch"]
        xp.multiply(first, beta1 * (1 - beta2) / (1 - beta1), out=scratch)  # the sum over 1 - beta1 has the same sign
        xp.add(scratch, gradient, out=scratch)
        xp.sign(scratch, out=scratch)
        xp.multiply(scratch, coefficients[0], out=scratch)
        xp.subtract(parameters, scratch, out=parameters)
        xp.multiply(first, beta2, out=first)
        xp.add(first, gradient, out=first)

    init = zeros("first_moment", "scratch")
    return decoupled(Optimizer("lion", as_schedule(learning_rate), init, rate_alone, update), weight_decay)
