"""Samples and data sets as plain arrays on the host.

Pixels stay uint8, a quarter of float32's memory; the network scales them when it uses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.arrays import Names, as_array
from xpnn.backend import to_host
from xpnn.errors import DataError
from xpnn.stored import StoredRows, chunks, named_rows


@dataclass(frozen=True)
class Samples:
    """Rows to learn from, or to be tested on.

    inputs:  (n, n_in), uint8 pixels 0-255 or floats; of a memory-mapped array (np.memmap) of more than 64 MB the rows
             stay in its file, as `xpnn.stored.StoredRows`, and are read as they are needed.
    targets: (n,) int64 class labels from 0, or (n, n_out) floats; None where only inputs are known.
    weights: (n,) numbers, how much each row's loss counts; None: all the same.
    columns: names of the inputs' columns, by which a net that has such names puts them in its order; None: they have
             none. A table of pandas, Polars or PyArrow brings its own.

    Each may be any array, table or list that docs/arrays.md names. Inputs and targets on a CUDA card stay there.
    """

    inputs: Any
    targets: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    columns: Names = None

    def __post_init__(self) -> None:
        inputs, names = named_rows(self.inputs)
        targets = None if self.targets is None else as_array(self.targets)
        weights = None if self.weights is None else to_host(as_array(self.weights))
        columns = names if self.columns is None else tuple(self.columns)
        for name, part in (("inputs", inputs), ("targets", targets), ("weights", weights), ("columns", columns)):
            object.__setattr__(self, name, part)
        if self.inputs.ndim != 2:
            remedy = ": give inputs.reshape(len(inputs), -1)" if self.inputs.ndim > 2 else ""
            raise DataError(f"inputs must have shape (n, n_in), not {self.inputs.shape}{remedy}")
        if self.columns is not None and len(self.columns) != self.inputs.shape[1]:
            raise DataError(f"{self.inputs.shape[1]} inputs a row but {len(self.columns)} names of columns")
        if self.targets is not None and not self.targets.ndim:
            raise DataError(f"one target a row is needed, not the single number {self.targets}")
        if self.targets is not None and len(self.targets) != len(self.inputs):
            raise DataError(f"{len(self.inputs)} inputs but {len(self.targets)} targets: one target a row is needed")
        if self.weights is not None:
            _check_weights(self.weights, len(self.inputs))

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        parts = (("inputs", self.inputs), ("targets", self.targets), ("weights", self.weights))
        shown = (f"{name}: {part.dtype} {tuple(part.shape)}" for name, part in parts if part is not None)
        return f"Samples({', '.join(shown)})"

    @staticmethod
    def of(pair: Samples | tuple[Any, Any], columns: Sequence[str] | None = None) -> Samples:
        """Samples as they are; a pair (inputs, targets) of arrays, tables or lists as Samples.

        columns: the names of those to take from inputs that have names; the others are not looked at.
        Raises TypeError for anything else.
        """
        if isinstance(pair, Dataset):
            raise TypeError("this is a whole data set; give its rows: data.train or data.test")
        if not isinstance(pair, Samples | tuple | list) or (not isinstance(pair, Samples) and len(pair) != 2):
            raise TypeError(f"give Samples, or a pair (inputs, targets), not {type(pair).__name__}")
        if isinstance(pair, Samples):
            return pair
        inputs, names = named_rows(pair[0], columns)
        return Samples(inputs, pair[1], columns=names)

    def take(self, rows: NDArray[Any] | slice) -> Samples:
        """The samples at `rows`, in that order."""
        targets, weights = (None if part is None else part[rows] for part in (self.targets, self.weights))
        return Samples(self.inputs[rows], targets, weights, self.columns)

    def split(self, fraction: float, seed: int = 0) -> tuple[Samples, Samples]:
        """Set aside a `fraction` of the rows at random; labels keep their shares (stratified).

        Returns (the rest, the rows set aside), each in the original order.
        Raises ValueError if either part would be empty.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie between 0 and 1, not {fraction}")
        aside = np.zeros(len(self), dtype=bool)
        shuffled = self._shuffled_by_label(seed)
        count = round(fraction * len(self))
        if not 0 < count < len(self):
            raise ValueError(f"a fraction of {fraction} of {len(self)} rows leaves one part empty")
        offset = np.random.default_rng([seed, 1]).integers(len(self))  # or the first row of the line would always go
        aside[shuffled[(np.arange(count) * len(self) + offset) // count]] = True
        return self.take(~aside), self.take(aside)

    def folds(self, count: int, seed: int = 0) -> Iterator[tuple[Samples, Samples]]:
        """Cut the rows into `count` parts at random, labels in their shares; yields (all others, the part) for each.

        Stone, Cross-validatory choice and assessment of statistical predictions, 1974.
        Raises ValueError unless count is from 2 to the number of rows.
        """
        if not 2 <= count <= len(self):
            raise ValueError(f"{len(self)} rows can be cut into 2 to {len(self)} folds, not {count}")
        fold = np.empty(len(self), dtype=np.int64)
        fold[self._shuffled_by_label(seed)] = np.arange(len(self)) % count
        return ((self.take(fold != k), self.take(fold == k)) for k in range(count))

    def _shuffled_by_label(self, seed: int) -> NDArray[np.int64]:
        """Row numbers in random order, those of a label one after another: every k-th takes each label's share."""
        shuffled = np.random.default_rng(seed).permutation(len(self))
        if self.targets is None or self.targets.ndim != 1:
            return shuffled
        return shuffled[np.argsort(self.targets[shuffled], kind="stable")]


def _check_weights(weights: NDArray[Any], n: int) -> None:
    if weights.shape != (n,) or weights.dtype.kind not in "biuf":
        raise DataError(f"weights must be {n} numbers, one a row, not {weights.dtype} of shape {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError("weights must be finite numbers, and none below 0")


def row_weights(
    samples: Samples, classes: int, class_weight: str | Sequence[float] | None
) -> NDArray[np.float64] | None:
    """How much each row counts, float64 (n,): its own weight times its class's; None where neither is given.

    class_weight: a number for each class, or "balanced": n / (classes * rows of the class), so that all classes
    that occur count the same (King and Zeng, 2001).
    Raises ValueError for class weights that can't be, DataError where nothing is left that counts.
    """
    own = None if samples.weights is None else samples.weights.astype(np.float64)
    if class_weight is None:
        return own
    labels = None if samples.targets is None else to_host(samples.targets)
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "biu":
        raise ValueError("class_weight needs class labels as targets")
    if isinstance(class_weight, str | dict):
        if class_weight != "balanced":
            raise ValueError(f"unknown class_weight {class_weight!r}: give 'balanced', or a number for each class")
        counts = np.bincount(labels, minlength=classes)
        factors = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)
    else:
        factors = np.asarray(class_weight, dtype=np.float64)
        if factors.shape != (classes,) or not (np.isfinite(factors).all() and (factors >= 0).all()):
            raise ValueError(f"class_weight must be {classes} finite numbers of 0 or more, one a class")
    weights: NDArray[np.float64] = factors[labels] * (1.0 if own is None else own)
    _check_weights(weights, len(samples))
    return weights


def standardization_of(
    values: Any, names: Sequence[str] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (of n, not n - 1) of each column of (n, columns), float64 (columns,) each.

    names: of the columns, for errors.

    The rows may be stored: they are then read a block at a time.

    Both are for `MLP(standardization=...)`. A column that is the same in all rows gets the deviation 1.
    Raises DataError if there are no rows, or values that are not finite or too large for their squares.
    """
    values = values if isinstance(values, StoredRows) else to_host(as_array(values))
    if values.ndim != 2 or not len(values):
        raise DataError(f"there must be rows to take means of, (n, columns), not {values.shape}")
    n, means, spread, is_constant = 0, np.zeros(values.shape[1]), np.zeros(values.shape[1]), np.bool(True)
    first = values[0]
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in chunks(values):  # Chan, Golub and LeVeque, 1983: two parts' means and spreads make the whole's
            m, mean = len(chunk), chunk.mean(axis=0, dtype=np.float64)
            spread += np.square(chunk - mean).sum(axis=0, dtype=np.float64)
            if n:  # or a mean whose square is too large would make nan of 0
                spread += (mean - means) ** 2 * (n * m / (n + m))
            means += (mean - means) * (m / (n + m))
            is_constant &= (chunk == first).all(axis=0)  # the rounded mean may differ from the values
            n += m
        deviations = np.sqrt(spread / n)
        is_finite = np.isfinite(means) & np.isfinite(deviations)
    if not is_finite.all():
        column = int(np.flatnonzero(~is_finite)[0])
        called = f"column {column}, counted from 0," if names is None else repr(names[column])
        raise DataError(f"{called} has values that are not finite or above 1e150: rescale it")
    return means, np.where(is_constant | (deviations == 0), 1.0, deviations)


@dataclass(frozen=True)
class Dataset:
    """A training set, a test set where there is one, and what is known about both.

    classes:     the number of classes, or of the targets of a table: a net needs as many outputs.
    labels:      the names of the classes or targets, as many as there are.
    image_shape: (height, width) where a row is a picture.
    columns:     names of the input columns of a table, as many as a row has inputs.
    label_column: the column that the labels are from, in a table, or where the user named it.
    """

    name: str
    train: Samples
    test: Samples | None
    classes: int
    labels: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None
    label_column: str | None = None
