"""Every activation and loss, and the hash, once more, as its formula reads: what the tests compare with, on the host.

A new activation or loss needs a line here. The NAMES are what the tests run over: each table's, and some with numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from xpnn.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from xpnn.losses import LOSSES

Floats: TypeAlias = NDArray[Any]

SELU = 1.0507009873554805, 1.6732632423543772  # scale, alpha

ACTIVATION_FORMULAS: dict[str, Callable[..., Floats]] = {
    "elu": lambda z, alpha=1.0: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
    "exp": np.exp,
    "gelu": lambda z: z * special.ndtr(z),
    "gelu-tanh": lambda z: z / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3))),
    "identity": lambda z: z,
    "leaky-relu": lambda z, slope=0.01: np.where(z > 0, z, slope * z),
    "mish": lambda z: z * np.tanh(np.log1p(np.exp(z))),
    "relu": lambda z: np.where(z > 0, z, 0),
    "selu": lambda z: SELU[0] * np.where(z > 0, z, SELU[1] * np.expm1(np.minimum(z, 0))),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "tanh": lambda z: np.expm1(2 * z) / (np.expm1(2 * z) + 2),
}
LOSS_FORMULAS: dict[str, Callable[..., Floats]] = {  # of each output: a row's loss is their sum
    "absolute-error": lambda y, t: np.abs(y - t),
    "binary-cross-entropy": lambda y, t: -(t * np.log(y) + (1 - t) * np.log(1 - y)),
    "binary-focal": lambda y, t, gamma=2.0: -(t * (1 - y) ** gamma * np.log(y) + (1 - t) * y**gamma * np.log(1 - y)),
    "cross-entropy": lambda y, t: -t * np.log(y),
    "focal": lambda y, t, gamma=2.0: -t * (1 - y) ** gamma * np.log(y),
    "huber": lambda y, t, delta=1.0: np.where(
        np.abs(y - t) <= delta, (y - t) ** 2 / 2, delta * (np.abs(y - t) - delta / 2)
    ),
    "poisson": lambda y, t: y - t + special.xlogy(t, t / y),
    "squared-error": lambda y, t: (y - t) ** 2 / 2,
}
HIDDEN_NAMES = [*HIDDEN_ACTIVATIONS, "elu:0.5", "leaky-relu:0.2"]
ACTIVATION_NAMES = [*ACTIVATIONS, "elu:0.5", "leaky-relu:0.2"]
LOSS_NAMES = [*LOSSES, "huber:0.3", "focal:0", "focal:0.5", "binary-focal:0", "binary-focal:0.5"]


def activation(name: str, z: Floats) -> Floats:
    return _formula(ACTIVATION_FORMULAS, name, z)


def row_losses(name: str, y: Floats, t: Floats) -> Floats:
    losses: Floats = _formula(LOSS_FORMULAS, name, y, t).sum(axis=1)
    return losses


def _formula(formulas: dict[str, Callable[..., Floats]], text: str, *arrays: Floats) -> Floats:
    name, colon, number = text.partition(":")
    return formulas[name](*arrays, *([float(number)] if colon else []))


def lowbias32(x: int) -> int:
    """The hash of random numbers and shuffles (see `xpnn.noise`), in Python's whole numbers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16
