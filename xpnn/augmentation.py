"""Augmentation: each update sees its pictures shifted, turned, stretched and bent by chance, and never twice the same.

`Augmentation` holds the settings; `xpnn.augmenter` is what the train step does with them.

    shift, rotate, zoom, shear   affine maps; +-10 degrees as in Rashid, Make Your Own Neural Network, 2016
    elastic                      a smooth field of displacements; Simard, Steinkraus and Platt, Best practices for
                                 convolutional neural networks applied to visual document analysis, 2003
    cutout                       a square of background; DeVries and Taylor, Improved regularization of convolutional
                                 neural networks with cutout, 2017

Noise on the inputs is a kind of regularisation, see `xpnn.regularization`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpnn.network import MLP

MOST = {"rotate": 180.0, "zoom": 0.9, "shear": 60.0, "elastic": 1000.0}


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed; each number is drawn anew for each row and update. All of it is off by default.

    shift:   pixels, along each axis, to either side.
    rotate:  degrees, to either side.
    zoom:    share of the size that is added or taken away: 0.1 makes them 0.9 to 1.1 times as large.
    shear:   degrees that upright lines lean, to either side; their tangent is uniform.
    elastic: alpha of Simard et al.: pixels of a picture of 28 x 28, by which noise between -1 and 1, smoothed by a
             Gaussian of sigma 4, is multiplied. 34 is theirs, and moves the middle of a picture by 1.4 pixels
             (root mean square, along each axis). Pictures of other sizes are bent in proportion.
    cutout:  side of the square that is blanked, pixels; its middle is anywhere in the picture.

    Raises ValueError for a value out of its range.
    """

    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), MOST.get(field.name, math.inf)
            if not 0 <= value <= most or value == math.inf:
                limits = "0 or a positive number" if most == math.inf else f"a number from 0 to {most:g}"
                raise ValueError(f"{field.name} must be {limits}, not {value}")
        if self.cutout != int(self.cutout):
            raise ValueError(f"cutout must be a whole number of pixels, not {self.cutout}")


UNCHANGED = Augmentation()


def check_pictures(settings: Augmentation, net: MLP) -> None:
    """Raise ValueError where the net's rows are no square pictures, or too small for the settings."""
    if settings == UNCHANGED:
        return
    if net.columns is not None or net.standardization is not None:
        raise ValueError("augmentation (shift, rotate, elastic, ...) is for square pictures, not for tables")
    if net.image_shape is not None and net.image_shape[0] != net.image_shape[1]:
        height, width = net.image_shape
        raise ValueError(f"augmentation is for square pictures, and the net's have {height} x {width} pixels")
    side_of(net.sizes[0], settings)


def side_of(n_in: int, settings: Augmentation) -> int:
    """The side of square pictures of n_in pixels.

    Raises ValueError for rows that are no square pictures, or too small for the settings.
    """
    side = math.isqrt(n_in)
    if side * side != n_in:
        raise ValueError(f"augmentation is for square pictures; rows of {n_in} values are none")
    for name in ("shift", "cutout"):
        if getattr(settings, name) >= side:
            raise ValueError(f"{name} {getattr(settings, name):g} leaves nothing of pictures of {side} x {side} pixels")
    return side
