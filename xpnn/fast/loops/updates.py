"""Updates of the parameters, for compiled loops: one pass over memory each."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.fast.loops import compiled


@compiled
def adam(gradient: Any, first: Any, second: Any, parameters: Any, numbers: Any, shrink: Any, l2: Any) -> None:
    """As `xpnn.optimizers.adam` has it; numbers: beta1, beta2, and the two coefficients of the step.

    shrink: what weight decay leaves of a parameter; l2: how much of the parameter comes to its gradient.
    """
    beta1, beta2, rate, small = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(gradient.size):
        g = gradient[i] + l2 * parameters[i]
        m = beta1 * first[i] + g
        v = beta2 * second[i] + g * g
        first[i] = m
        second[i] = v
        parameters[i] = shrink * parameters[i] - rate * (m / (np.sqrt(v) + small))


@compiled
def momentum(velocity: Any, parameters: Any, rate: Any, shrink: Any, l2: Any) -> None:
    """Polyak's, the gradient being in the velocity already."""
    for i in range(velocity.size):
        v = velocity[i] + l2 * parameters[i]
        velocity[i] = v
        parameters[i] = shrink * parameters[i] - rate * v
