"""From the data's own units to a net's and back: pixels and columns of real numbers on their way in, outputs on theirs.

A net learns best from numbers of about -1 to 1. Pixels are scaled, x = pixel * factor + offset; columns of a table are
standardised, x = (value - mean) / deviation. Targets are standardised for the training alone, outside of the net:
`fold_target_scaling` then puts it into the last layer, so that the outputs are in the targets' own units. Behind exp
they are only divided: exp(z) d is exp(z + log d), and counts about 1 are what such a net starts with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from xpnn.backend import Array, as_floats, xp_of

if TYPE_CHECKING:
    from xpnn.network import MLP

PRECISION = {"float32": 2.0**-24, "float64": 2.0**-53}  # how far a number is from its neighbours, relative to it
LARGEST = {"float32": 1e19, "float64": 1e154}  # that can be squared


class Scaling(NamedTuple):
    """What a net does to pixels before it uses them: x = pixel * factor + offset."""

    factor: float = 1 / 255
    offset: float = 0.0


class Standardization(NamedTuple):
    """What a net does to numbers before it uses them: x = (value - mean) / deviation, one of each a column."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]


def scale_pixels(pixels: Array, scaling: Scaling, out: Array) -> None:
    """out = pixels * factor + offset, from uint8 to floats."""
    xp = xp_of(pixels, out)
    xp.copyto(out, pixels)  # converting first and scaling in place is faster than one mixed multiplication
    xp.multiply(out, scaling.factor, out=out)
    if scaling.offset:
        xp.add(out, scaling.offset, out=out)


def checked_standardization(means: Iterable[float], deviations: Iterable[float], count: int) -> Standardization:
    """The two as floats. Raises ValueError unless they are `count` finite numbers each, the deviations above 0."""
    found = Standardization(tuple(map(float, means)), tuple(map(float, deviations)))
    if not len(found.means) == len(found.deviations) == count:
        lengths = f"{len(found.means)} and {len(found.deviations)}"
        raise ValueError(f"means and deviations must be {count} numbers each, not {lengths}")
    if not all(map(math.isfinite, (*found.means, *found.deviations))) or min(found.deviations) <= 0:
        raise ValueError("means and deviations must be finite numbers, the deviations above 0")
    return found


def standardized(values: Array, standardization: Standardization) -> Array:
    """(values - means) / deviations, float64 (n, columns), where the values are."""
    xp = xp_of(values)
    result = values.astype("float64")
    xp.subtract(result, xp.asarray(standardization.means, dtype="float64"), out=result)
    xp.divide(result, xp.asarray(standardization.deviations, dtype="float64"), out=result)
    return result


def check_target_scaling(net: MLP, means: Iterable[float], deviations: Iterable[float]) -> Standardization:
    """The two as floats. Raises ValueError where `fold_target_scaling` could not be done to the net."""
    scaling = checked_standardization(means, deviations, net.sizes[-1])
    if net.output not in ("identity", "exp"):
        raise ValueError(f"standardised targets need a net with the output identity or exp, not {net.output}")
    if net.output == "exp" and any(scaling.means):
        raise ValueError("behind exp targets can be divided only: their means must be 0")
    if not net.bias and (any(scaling.means) or net.output == "exp"):
        raise ValueError(
            "this net has no biases, which would take in the targets' means: give it biases, or take another recipe"
        )
    for label, mean, deviation in zip(net.labels, *scaling, strict=True):
        large = abs(mean) + 100 * deviation > LARGEST[net.dtype]
        if large or abs(mean) * PRECISION[net.dtype] > 0.01 * deviation:
            problem = f"target {label} has the mean {mean:.6g} and the deviation {deviation:.3g}"
            remedy = "choose float64" if net.dtype == "float32" else "subtract or divide by a constant first"
            raise ValueError(f"{problem}: {net.dtype} can't hold them apart or square them; {remedy}")
    return scaling


def fold_target_scaling(net: MLP, means: Iterable[float], deviations: Iterable[float]) -> None:
    """Make a net that learnt (target - mean) / deviation answer in the targets' own units, for good.

    means, deviations: one each an output. The last layer takes them in: W becomes W * deviation, and b becomes
    b * deviation + mean, each computed in float64 and rounded once. With the output exp the means must be 0, and
    b becomes b + log(deviation).
    Raises ValueError, the net being as it was, for numbers that can't be (see `Standardization`) or that don't fit
    into the net's dtype, for another output than identity and exp, and in a net without biases for what they would
    take in.
    """
    scaling = check_target_scaling(net, means, deviations)
    if net.output == "exp":
        scaling = Standardization(tuple(map(math.log, scaling.deviations)), (1.0,) * net.sizes[-1])
    W, b = net.layers[-1]
    with net.device.active():
        means_there, deviations_there = (net.xp.asarray(numbers, dtype="float64") for numbers in scaling)
        W_there = as_floats(W.astype("float64") * deviations_there[:, None], net.dtype)
        if b is not None:
            b[...] = as_floats(b.astype("float64") * deviations_there + means_there, net.dtype)
        W[...] = W_there  # when nothing more needs memory: half a scaling would be a broken net
