"""Regularisation: what keeps a net from learning its training rows by heart.

`Regularization` holds the settings; `Regularizer` is what the train step does with them, in place on flat vectors
and on batches. Biases are never penalised or shrunk: they don't make a net more complicated.

    penalties        l1 sum |w| + l2 / 2 sum w^2, added to the loss; here as their gradients
    weight decay     is the optimizer's, see `xpnn.optimizers.decoupled`
    dropout          Srivastava et al., Dropout, 2014; scaled in training, so that a query needs no scale
    max-norm         ibid., section 5.1: each unit's incoming weights are kept within a ball
    input noise      Gaussian, for inputs of about unit range; Bishop, Training with noise, 1995
    gradient clipping   by norm: Pascanu et al., 2013, algorithm 1; by value: Mikolov, 2012

Batch normalisation is not here, see docs/regularization.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from xpnn.backend import Array, xp_of
from xpnn.noise import Draws, Mask, Normal

if TYPE_CHECKING:
    from xpnn.network import MLP

LEAST_LIMIT = 1e-30  # which float32 can hold
NOISE = 0  # stream of the keys; those of the masks come next
MOST_DROPOUT = 0.99  # the masks know rates to 1 / 65,536 (xpnn.noise)


@dataclass(frozen=True)
class Regularization:
    """Settings of the train step; all of them off by default.

    l1, l2:        factors of the penalties on the weights.
    dropout:       the share of a hidden layer's units that are left out of each update.
    input_dropout: likewise for the inputs.
    input_noise:   standard deviation of the Gaussian noise that is added to the inputs, in their unit.
    max_norm:      the largest Euclidean norm of the weights that come into a unit; 0: no limit.
    clip_norm:     the gradient is scaled down to this norm where it is larger; 0: no limit.
    clip_value:    each part of the gradient is kept between minus this and this; 0: no limit.

    Raises ValueError for a value out of its range.
    """

    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    input_noise: float = 0.0
    max_norm: float = 0.0
    clip_norm: float = 0.0
    clip_value: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be 0 or a positive number, not {value}")
            if field.name in ("max_norm", "clip_norm", "clip_value") and 0 < value < LEAST_LIMIT:
                raise ValueError(f"{field.name} must be 0, for no limit, or {LEAST_LIMIT} or more, not {value}")
            if "dropout" in field.name and value > MOST_DROPOUT:
                raise ValueError(f"{field.name} must lie between 0 and {MOST_DROPOUT}, not {value}")


NONE = Regularization()


def noisy(inputs: Array, deviation: float, seed: int = 0) -> Array:
    """Inputs, floats (n, n_in), as `input_noise` makes them in the first update of a run with batches of n; a copy."""
    xp, (n, n_in) = xp_of(inputs), inputs.shape
    noise = Normal(xp, n, n_in, str(inputs.dtype))
    draws = Draws(xp, [(NOISE, noise)], seed)
    draws.begin_epoch(0, 1)
    draws.draw(xp.zeros(1, dtype="int64"))
    return inputs + deviation * noise.values


class Regularizer:
    """What `settings` mean for one net's train step: random masks and noise, and arithmetic on gradient and weights.

    gradient: (P,), in the net's layout.
    rows:     the most rows of a batch; the masks have as many.
    seed:     of masks and noise.

    After its first epoch's beginning nothing here allocates, and nothing asks the device for a value.
    """

    def __init__(self, settings: Regularization, net: MLP, gradient: Array, rows: int, seed: int) -> None:
        xp, (n_in, *hidden, _) = net.xp, net.sizes
        if not hidden and (settings.dropout or settings.max_norm):
            raise ValueError("dropout and max_norm are for hidden layers, and this net has none: leave them out")
        self.settings = settings
        self.weights, self.weight_gradient, self.gradient = net.weights, gradient[: net.weights.size], gradient
        self.hidden_weights = [layer.W for layer in net.layers[:-1]]
        rate, input_rate = settings.dropout, settings.input_dropout
        self.noise = Normal(xp, rows, n_in, net.dtype) if settings.input_noise else None
        self.input_mask = Mask(xp, rows, n_in, input_rate, net.dtype) if input_rate else None
        self.hidden_masks = [Mask(xp, rows, units, rate, net.dtype) if rate else None for units in hidden]
        self.masks: list[Array | None] = [mask and mask.values for mask in self.hidden_masks] + [None]
        self.mask_scale = next((mask.scale for mask in self.hidden_masks if mask), 1.0)
        sources = enumerate([self.noise, self.input_mask, *self.hidden_masks], NOISE)
        self.draws = Draws(xp, [(stream, source) for stream, source in sources if source], seed)
        self.scratch = xp.empty_like(gradient)
        self.norm, self.largest = xp.empty((), dtype=net.dtype), xp.empty((), dtype=net.dtype)
        self.norms = [xp.empty((units, 1), dtype=net.dtype) for units in hidden]

    def disturb(self, x: Array) -> None:
        """Noise on the inputs x (n, n_in), and their mask."""
        xp = xp_of(x)
        if self.noise is not None:
            values = self.noise.values[: len(x)]
            xp.multiply(values, self.settings.input_noise, out=values)
            xp.add(x, values, out=x)
        if self.input_mask is not None:
            xp.multiply(x, self.input_mask.values[: len(x)], out=x)

    def adjust_gradient(self) -> None:
        """Add the penalties' gradient, and clip."""
        xp, s, w = xp_of(self.gradient), self.settings, self.weights
        gradient, scratch = self.weight_gradient, self.scratch[: w.size]
        if s.l2:
            xp.multiply(w, s.l2, out=scratch)
            xp.add(gradient, scratch, out=gradient)
        if s.l1:
            xp.sign(w, out=scratch)
            xp.multiply(scratch, s.l1, out=scratch)
            xp.add(gradient, scratch, out=gradient)
        if s.clip_value:
            xp.clip(self.gradient, -s.clip_value, s.clip_value, out=self.gradient)
        if s.clip_norm:
            self._clip_norm(s.clip_norm)

    def _clip_norm(self, limit: float) -> None:
        """gradient *= min(1, limit / norm); the parts are divided by the largest first, lest their squares overflow."""
        xp, gradient, scratch = xp_of(self.gradient), self.gradient, self.scratch
        xp.absolute(gradient, out=scratch)
        xp.amax(scratch, out=self.largest)
        xp.maximum(self.largest, 1e-7 * limit, out=self.largest)  # a gradient below that has a norm below the limit
        xp.divide(gradient, self.largest, out=scratch)
        xp.multiply(scratch, scratch, out=scratch)
        xp.sum(scratch, out=self.norm)
        xp.sqrt(self.norm, out=self.norm)
        xp.maximum(self.norm, 1, out=self.norm)
        xp.divide(limit, self.largest, out=self.largest)
        xp.divide(self.largest, self.norm, out=self.norm)  # limit / norm
        xp.minimum(self.norm, 1, out=self.norm)
        xp.multiply(gradient, self.norm, out=gradient)

    def limit_norms(self) -> None:
        """Scale the weights that come into each hidden unit to the largest norm that is allowed."""
        xp, start = xp_of(self.gradient), 0
        if not self.settings.max_norm:
            return
        for W, norms in zip(self.hidden_weights, self.norms, strict=True):
            squares = self.scratch[start : start + W.size].reshape(W.shape)
            xp.multiply(W, W, out=squares)
            xp.sum(squares, axis=1, keepdims=True, out=norms)
            xp.sqrt(norms, out=norms)
            xp.maximum(norms, self.settings.max_norm, out=norms)
            xp.divide(self.settings.max_norm, norms, out=norms)
            xp.multiply(W, norms, out=W)
            start += W.size
