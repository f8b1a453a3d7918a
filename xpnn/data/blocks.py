"""From some rows of Arrow's columns to arrays: numbers, lists of numbers, packed pictures and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import and_unusable, shown
from xpnn.data.parts import label_text
from xpnn.data.pictures import decoded
from xpnn.errors import DataError, Path

MISSING = "is missing (null): fill it in, or leave the row out"
LEVELS = "expected a pixel, a whole number from 0 to 255"


class NotPixelsError(DataError):
    """A column of numbers holds one that is no pixel."""


class Block(NamedTuple):
    """Rows of a file: pyarrow's record batch, and the rows' numbers in the file."""

    path: Path
    batch: Any
    rows: Sequence[int]

    def column(self, name: str) -> Any:
        """The values as they are stored, without a dictionary or the meaning that an extension gives them."""
        array = self.batch.column(self.batch.schema.get_field_index(name))
        array = array.storage if hasattr(array, "storage") else array
        return array.dictionary_decode() if hasattr(array, "dictionary_decode") else array

    def error(self, name: str, row: int, problem: str, kind: type[DataError] = DataError) -> DataError:
        """The error for what a column holds in one of these rows."""
        return kind(f"{shown(name)} in row {self.rows[int(row)]}, counted from 0, {problem}", self.path)

    def refuse_missing(self, name: str, array: Any, per_row: int = 1) -> None:
        """Raise DataError for the first null, where there are so many values a row."""
        if array.null_count:
            row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]) // per_row
            raise self.error(name, row, MISSING)


def storage(kind: Any) -> Any:
    """The type of the values that `Block.column` gives for a column of pyarrow's type `kind`."""
    kind = getattr(kind, "storage_type", kind)
    return kind.value_type if hasattr(kind, "index_type") else kind


def numbers(block: Block, names: Sequence[str], pixels: bool) -> NDArray[Any]:
    """Columns of numbers, (n, columns): uint8 if they are pixels, else float64.

    Raises DataError for what is missing, no number or not finite, NotPixelsError for what is none.
    """
    values = np.empty((block.batch.num_rows, len(names)), dtype=np.uint8 if pixels else np.float64)
    arrays = {name: block.column(name) for name in names}
    unusable = {name: array for name, array in arrays.items() if array.null_count or not _is_number(array.type)}
    if unusable:
        raise _unusable(block, unusable)
    for place, (name, array) in enumerate(arrays.items()):
        found = _to_numpy(array)
        if pixels:
            _check_levels(block, name, found)
        else:
            _check_finite(block, name, found)
        values[:, place] = found
    return values


def lists(
    block: Block, name: str, shape: tuple[int, ...] | None, pixels: bool = False
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """A column of lists, (n, numbers): whole numbers as uint8, others as floats; and what is in each list.

    shape:  of the lists before these, (numbers,) or (lists, numbers), which these must have, too.
    pixels: floats are whole numbers, too.
    """
    from pyarrow import compute

    array = block.column(name)
    counts: list[int] = []
    given = getattr(block.batch.schema.field(name).type, "shape", ())  # of a tensor, which is stored as one list
    while is_list(array.type):
        per_row = math.prod(counts)
        block.refuse_missing(name, array, per_row)
        lengths = compute.list_value_length(array).to_numpy(zero_copy_only=False)
        expected = int(lengths[0]) if shape is None or given else shape[len(counts)]
        wrong = np.flatnonzero(lengths != expected)
        if len(wrong) or not expected:
            row = int(wrong[0]) if len(wrong) else 0
            problem = f"has a list of {lengths[row]} values, but the first row one of {expected}"
            raise block.error(name, row // per_row, f"{problem}: all must have as many, and at least one")
        counts.append(expected)
        array = array.flatten()
    width = math.prod(counts)
    if not _is_number(array.type):
        raise DataError(f"{shown(name)} holds lists of the type {array.type}, expected numbers", block.path)
    block.refuse_missing(name, array, width)
    values = _to_numpy(array).reshape(-1, width)
    if values.dtype.kind == "f" and not pixels:
        _check_finite(block, name, values)
        return values, tuple(given or counts)
    _check_levels(block, name, values)
    return values.astype(np.uint8, copy=False), tuple(given or counts)


def pictures(block: Block, name: str, shape: tuple[int, ...] | None) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """A column of packed pictures, (n, height * width), and (height, width); `shape` is that of those before."""
    array = block.column(name)
    block.refuse_missing(name, array)
    contents = array if is_bytes(array.type) else array.field("bytes")
    size = shape
    rows: list[NDArray[np.uint8]] = []
    for row, content in enumerate(contents):
        if not content.is_valid:
            raise block.error(
                name, row, "has no bytes, but at most the path of a picture: store the pictures themselves"
            )
        try:
            pixels = decoded(content.as_py(), shape=size)
        except DataError as error:
            raise block.error(name, row, f"is no good: {error}") from error
        rows.append(pixels.reshape(-1))
        size = pixels.shape
    return np.stack(rows), size or ()  # a block has rows


def label_texts(block: Block, name: str, names: Sequence[str]) -> list[str]:
    """The labels in a column, as they are called. names: of the numbers in it, where the file has such names."""
    array = block.column(name)
    if not is_label(array.type):
        problem = f"{shown(name)} holds values of the type {array.type}, no labels"
        raise DataError(f"{problem}: name the column of labels (label_column, --label-column)", block.path)
    block.refuse_missing(name, array)
    texts, known = [], {}
    for row, value in enumerate(array.to_pylist()):
        if value not in known:
            try:
                known[value] = label_text(str(value))
            except ValueError as error:
                raise block.error(name, row, str(error)) from None
            if names and not (isinstance(value, int) and 0 <= value < len(names)):
                problem = f"is {shown(str(value))}, but the file names {len(names)} classes, 0 to {len(names) - 1}"
                raise block.error(name, row, f"{problem}: correct it, or leave the row out")
        texts.append(known[value])
    return texts


def is_bytes(kind: Any) -> bool:
    """Whether a column of this type holds bytes."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def is_picture(kind: Any) -> bool:
    """Whether a column of this type may hold packed pictures."""
    from pyarrow import types

    if not types.is_struct(kind):
        return is_bytes(kind)
    place = kind.get_field_index("bytes")
    return place >= 0 and is_bytes(kind.field(place).type)


def is_list(kind: Any) -> bool:
    """Whether a column of this type holds lists."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_label(kind: Any) -> bool:
    """Whether a column of this type may hold labels."""
    from pyarrow import types

    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(is_text or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _unusable(block: Block, columns: dict[str, Any]) -> DataError:
    """The error for columns that hold no numbers, or nulls; the former first."""
    (name, array), *others = sorted(columns.items(), key=lambda column: _is_number(column[1].type))
    if _is_number(array.type):
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        missing, _, remedy = MISSING.partition(": ")
        what = f"{shown(name)} in row {block.rows[row]}, counted from 0, {missing}"
    else:
        what = f"{shown(name)} holds values of the type {array.type}, expected numbers"
        remedy = "leave the column out, or write its words as numbers"
    if others:
        what += and_unusable(
            f"{shown(other)} ({'null' if _is_number(array.type) else array.type})" for other, array in others
        )
        remedy = "write words as numbers, fill gaps in or leave their rows out, or leave such columns out"
    return DataError(f"{what}: {remedy}", block.path)


def _to_numpy(array: Any) -> NDArray[Any]:
    from pyarrow import types

    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    if types.is_decimal(array.type):
        return values.astype(np.float64)
    return values.astype({"b1": np.uint8, "f2": np.float32}.get(values.dtype.str[1:], values.dtype), copy=False)


def _check_levels(block: Block, name: str, values: NDArray[Any]) -> None:
    """Raise NotPixelsError unless all values, (n,) or (n, numbers), are pixels."""
    if values.dtype == np.uint8 or (values.min() >= 0 and values.max() <= 255 and (values == np.rint(values)).all()):
        return
    place = np.argwhere(~((values >= 0) & (values <= 255) & (values == np.rint(values))))[0]
    problem = f"is {values[tuple(place)]:g}, {LEVELS}: store other numbers as floats"
    raise block.error(name, int(place[0]), problem, NotPixelsError)


def _check_finite(block: Block, name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        problem = f"is {values[tuple(place)]}, no finite number: correct it, or leave the row out"
        raise block.error(name, int(place[0]), problem)
