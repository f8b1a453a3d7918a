"""Samples and data sets as plain arrays on the host.

Pixels stay uint8, a quarter of float32's memory; the network scales them when it uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import as_array
from xpnn.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Rows to learn from, or to be tested on.

    inputs:  (n, n_in), uint8 pixels 0-255 or floats.
    targets: (n,) int64 class labels from 0, or (n, n_out) floats; None where only inputs are known.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.inputs.ndim != 2:
            raise DataError(f"inputs must have shape (n, n_in), not {self.inputs.shape}")
        if self.targets is not None and len(self.targets) != len(self.inputs):
            raise DataError(f"{len(self.inputs)} inputs but {len(self.targets)} targets: one target a row is needed")

    def __len__(self) -> int:
        return len(self.inputs)

    @staticmethod
    def of(pair: Samples | tuple[Any, Any]) -> Samples:
        """Samples as they are; a pair (inputs, targets) of arrays or lists as Samples. TypeError for anything else."""
        if isinstance(pair, Dataset):
            raise TypeError("this is a whole data set; give its rows: data.train or data.test")
        if not isinstance(pair, Samples | tuple | list) or (not isinstance(pair, Samples) and len(pair) != 2):
            raise TypeError(f"give Samples, or a pair (inputs, targets), not {type(pair).__name__}")
        return pair if isinstance(pair, Samples) else Samples(as_array(pair[0]), as_array(pair[1]))

    def take(self, rows: NDArray[Any] | slice) -> Samples:
        """The samples at `rows`, in that order."""
        return Samples(self.inputs[rows], None if self.targets is None else self.targets[rows])

    def split(self, fraction: float, seed: int = 0) -> tuple[Samples, Samples]:
        """Set aside a `fraction` of the rows at random; labels keep their shares (stratified).

        Returns (the rest, the rows set aside), each in the original order.
        Raises ValueError if either part would be empty.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie between 0 and 1, not {fraction}")
        aside = np.zeros(len(self), dtype=bool)
        shuffled = np.random.default_rng(seed).permutation(len(self))
        if self.targets is not None and self.targets.ndim == 1:
            # Rows of a label in random order, the labels one after another: every (1/fraction)-th row
            # of that line takes each label's share, exact to one row.
            shuffled = shuffled[np.argsort(self.targets[shuffled], kind="stable")]
        count = round(fraction * len(self))
        if not 0 < count < len(self):
            raise ValueError(f"a fraction of {fraction} of {len(self)} rows leaves one part empty")
        aside[shuffled[(np.arange(count) * len(self)) // count]] = True
        return self.take(~aside), self.take(aside)


@dataclass(frozen=True)
class Dataset:
    """A training set, a test set where there is one, and what is known about both.

    classes:     the number of classes.
    labels:      the classes' names, as many as there are classes.
    image_shape: (height, width) where a row is a picture.
    """

    name: str
    train: Samples
    test: Samples | None
    classes: int
    labels: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
