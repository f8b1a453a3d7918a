"""Optimizers that divide by the root of past squared gradients, so that each weight has a rate of its own."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.backend import Array, xp_of
from xpnn.optimizers.optimizer import (
    Optimizer,
    State,
    as_schedule,
    check_decays,
    check_epsilon,
    decoupled,
    rate_alone,
    zeros,
)
from xpnn.schedules import Schedule


def adagrad(learning_rate: float | Schedule = 0.01, epsilon: float = 1e-10) -> Optimizer:
    """Adagrad (Duchi, Hazan and Singer, 2011): each weight's rate falls with the squares that it has seen.

    s <- s + g^2;  p <- p - rate * g / (sqrt(s) + epsilon)

    Raises ValueError for a learning rate or epsilon that isn't positive.
    """
    check_epsilon(epsilon)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        squares, scratch = state["squares"], state["scratch"]
        xp.multiply(gradient, gradient, out=scratch)
        xp.add(squares, scratch, out=squares)
        xp.sqrt(squares, out=scratch)
        xp.add(scratch, epsilon, out=scratch)
        xp.divide(gradient, scratch, out=gradient)
        xp.multiply(gradient, coefficients[0], out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    return Optimizer("adagrad", as_schedule(learning_rate), zeros("squares", "scratch"), rate_alone, update)


def rmsprop(
    learning_rate: float | Schedule = 0.001, alpha: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0
) -> Optimizer:
    """RMSprop (Tieleman and Hinton, 2012), with PyTorch's momentum.

    v <- alpha v + (1 - alpha) g^2;  b <- momentum * b + g / (sqrt(v) + epsilon);  p <- p - rate * b

    Raises ValueError for a learning rate or epsilon that isn't positive, or an alpha or momentum outside [0, 1).
    """
    check_decays(alpha=alpha, momentum=momentum)
    check_epsilon(epsilon)
    root = (1 - alpha) ** 0.5  # sqrt(v) = root * sqrt(V); the velocity is b * root

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        return (rates / root,)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        second, scratch = state["second_moment"], state["scratch"]
        xp.multiply(second, alpha, out=second)
        xp.multiply(gradient, gradient, out=scratch)
        xp.add(second, scratch, out=second)
        xp.sqrt(second, out=scratch)
        xp.add(scratch, epsilon / root, out=scratch)
        xp.divide(gradient, scratch, out=gradient)
        if momentum:
            velocity = state["velocity"]
            xp.multiply(velocity, momentum, out=velocity)
            xp.add(velocity, gradient, out=velocity)
        xp.multiply(velocity if momentum else gradient, coefficients[0], out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    init = zeros("second_moment", "scratch", *(["velocity"] if momentum else []))
    return Optimizer("rmsprop", as_schedule(learning_rate), init, coefficients, update)


def adam(
    learning_rate: float | Schedule = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Adam (Kingma and Ba, 2015, algorithm 1).

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
    p <- p - rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon),  t = 1, 2, ...

    Raises ValueError for a learning rate or epsilon that isn't positive, or a beta outside [0, 1).
    """
    check_decays(beta1=beta1, beta2=beta2)
    check_epsilon(epsilon)

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        first = (1 - beta1) / (1 - beta1 ** (steps + 1))  # M * first is m, corrected for its start at zero
        second = ((1 - beta2) / (1 - beta2 ** (steps + 1))) ** 0.5
        return rates * first / second, epsilon / second

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        first, second = _moments(gradient, state, beta1, beta2, scratch=gradient)
        rate, small = coefficients
        xp.sqrt(second, out=gradient)
        xp.add(gradient, small, out=gradient)
        xp.divide(first, gradient, out=gradient)
        xp.multiply(gradient, rate, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    init = zeros("first_moment", "second_moment")
    settings = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return Optimizer("adam", as_schedule(learning_rate), init, coefficients, update, settings=settings)


def _moments(gradient: Array, state: State, beta1: float, beta2: float, scratch: Array) -> tuple[Array, Array]:
    """M <- beta1 M + g and V <- beta2 V + g^2, which leaves g^2 in `scratch`; gives both."""
    xp = xp_of(gradient)
    first, second = state["first_moment"], state["second_moment"]
    xp.multiply(first, beta1, out=first)
    xp.add(first, gradient, out=first)
    xp.multiply(second, beta2, out=second)
    xp.multiply(gradient, gradient, out=scratch)
    xp.add(second, scratch, out=second)
    return first, second


def adamw(
    learning_rate: float | Schedule = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019, algorithm 2): `adam`, `decoupled`. Raises what these raise."""
    return decoupled(adam(learning_rate, beta1, beta2, epsilon), weight_decay)._replace(name="adamw")


def nadam(
    learning_rate: float | Schedule = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
) -> Optimizer:
    """NAdam (Dozat, 2016), Adam with Nesterov's momentum, as PyTorch writes it; m and v are Adam's.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  product_t = mu_1 ... mu_t
    p <- p - rate * ( (1 - mu_t) g / (1 - product_t) + mu_t+1 m / (1 - product_t+1) )
                    / (sqrt(v / (1 - beta2^t)) + epsilon),  t = 1, 2, ...

    Raises ValueError for a learning rate or epsilon that isn't positive, a beta outside [0, 1), or a momentum_decay
    that is negative or not finite.
    """
    check_decays(beta1=beta1, beta2=beta2)
    check_epsilon(epsilon)
    if not 0 <= momentum_decay < float("inf"):
        raise ValueError(f"momentum_decay must be a number of 0 or more, not {momentum_decay}")

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        xp, here = xp_of(steps), steps.astype("int64")
        # The product is taken from the run's first step each time, so that a later epoch gets the same bits.
        mu = beta1 * (1 - 0.5 * 0.96 ** ((xp.arange(int(here.max()) + 2) + 1) * momentum_decay))
        product = xp.cumprod(mu)
        second = ((1 - beta2) / (1 - beta2 ** (steps + 1))) ** 0.5
        of_gradient = (1 - mu[here]) / (1 - product[here])
        of_moment = (1 - beta1) * mu[here + 1] / (1 - product[here + 1])
        return rates * of_gradient / second, rates * of_moment / second, epsilon / second

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp, scratch = xp_of(gradient, parameters), state["scratch"]
        first, second = _moments(gradient, state, beta1, beta2, scratch)
        of_gradient, of_moment, small = coefficients
        xp.multiply(first, of_moment, out=scratch)
        xp.multiply(gradient, of_gradient, out=gradient)
        xp.add(gradient, scratch, out=gradient)
        xp.sqrt(second, out=scratch)
        xp.add(scratch, small, out=scratch)
        xp.divide(gradient, scratch, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    init = zeros("first_moment", "second_moment", "scratch")
    return Optimizer("nadam", as_schedule(learning_rate), init, coefficients, update)


def radam(
    learning_rate: float | Schedule = 0.003, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """RAdam (Liu et al., 2020, algorithm 2): plain momentum until the second moment can be relied on; m, v are Adam's.

    rho = 2 / (1 - beta2) - 1;  rho_t = rho - 2 t beta2^t / (1 - beta2^t)
    r_t = sqrt( (rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t) )
    p <- p - rate * m / (1 - beta1^t) * r_t sqrt(1 - beta2^t) / (sqrt(v) + epsilon)   where rho_t > 5, else
    p <- p - rate * m / (1 - beta1^t)

    Raises ValueError for a learning rate or epsilon that isn't positive, or a beta outside [0, 1).
    """
    check_decays(beta1=beta1, beta2=beta2)
    check_epsilon(epsilon)
    rho = 2 / (1 - beta2) - 1

    def coefficients(steps: Array, rates: Array) -> Sequence[Array]:
        t, largest = steps + 1, max(rho, 5)  # 5 for the smaller ones too, which aren't used, keeps all roots real
        correction = 1 - beta2**t
        rho_t = rho - 2 * t * beta2**t / correction
        on = (rho_t > 5) * 1.0
        long = xp_of(steps).maximum(rho_t, 5)
        r = ((long - 4) * (long - 2) * largest / ((largest - 4) * (largest - 2) * long)) ** 0.5
        rate = rates * (1 - beta1) / (1 - beta1**t) * (on * r + (1 - on))
        return rate, on * ((1 - beta2) / correction) ** 0.5, on * epsilon / correction**0.5 + (1 - on)

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        xp = xp_of(gradient, parameters)
        first, second = _moments(gradient, state, beta1, beta2, scratch=gradient)
        rate, of_root, small = coefficients  # off: 0 and 1, so that the denominator is 1
        xp.sqrt(second, out=gradient)
        xp.multiply(gradient, of_root, out=gradient)
        xp.add(gradient, small, out=gradient)
        xp.divide(first, gradient, out=gradient)
        xp.multiply(gradient, rate, out=gradient)
        xp.subtract(parameters, gradient, out=parameters)

    init = zeros("first_moment", "second_moment")
    return Optimizer("radam", as_schedule(learning_rate), init, coefficients, update)
