"""Any array in: what a caller gives becomes an array of NumPy, or of CuPy where it lies on a CUDA card.

Arrays are told by the protocols that their libraries share (DLPack, `__cuda_array_interface__`, `__array__`), tables by
the library that they come from, which the caller has imported already: none is imported here. On a card nothing is
copied. docs/arrays.md says what is taken, what comes back, and what is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, Device, why_no_cuda
from xpnn.errors import DataError, DeviceError
from xpnn.failures import first_line

Names: TypeAlias = tuple[str, ...] | None

TABLES = ("pandas", "polars", "pyarrow")
TENSORS = ("torch", "jax", "jaxlib")
ON_CUDA = (2, 13)  # DLPack's numbers for a card's own memory, and for managed memory
MISSING = ("None", "<NA>", "nan", "NaT")  # how Python and pandas write what isn't there
SHOWN_NAMES = 8


def as_array(values: Any) -> Array:
    """The array that `values` are; see `named_array`."""
    return named_array(values)[0]


def named_array(values: Any, wanted: Sequence[str] | None = None) -> tuple[Array, Names]:
    """`values` as an array of NumPy or CuPy, and the names of its columns where it is a table that has them.

    wanted: the columns to take from a table with names, in this order; None: all, in the table's.

    Not copied are arrays of NumPy and CuPy, memory maps, and tensors of PyTorch and JAX but those of bfloat16, which
    become float32. Where columns are wanted, a Series of pandas whose index has names is taken for a row.
    Raises DataError for what are no numbers, for values that are missing and columns that aren't there, TypeError for
    what is no array, DeviceError for CUDA arrays where CuPy is missing.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf":  # by far the most often
        return values, None
    library = _library(values)
    if library == "cupy":
        return values, None
    if library in TABLES:
        columns = _columns(values, library)
        if columns is not None:
            return _table(columns, wanted)
        if wanted is not None and _texts(getattr(values, "index", ())):
            rows, names = _table(list(values.to_frame().T.items()), wanted)
            return rows[0], names
        return _numbers(values, _name_of(values)), None
    if hasattr(values, "resolve_neg"):
        values = values.resolve_neg()  # signs that PyTorch has put off, which DLPack leaves out
    if library in TENSORS and str(getattr(values, "dtype", "")).endswith("bfloat16"):
        values = values.float() if library == "torch" else values.astype("float32")
    return _from_card(values) if _is_on_card(values) else _numbers(values), None


def in_kind_of(values: Any, result: Array) -> Any:
    """`result`, an array of NumPy or CuPy, as a tensor of PyTorch or JAX if `values` are one; nothing is copied.

    Raises TypeError if that library can't use the device that the result is on.
    """
    library = "numpy" if type(values) is np.ndarray else _library(values)  # by far the most often
    if library not in TENSORS:
        return result
    module = sys.modules["torch"] if library == "torch" else sys.modules["jax"].numpy
    try:
        return module.from_dlpack(np.asarray(result) if isinstance(result, np.generic) else result)
    except Exception as error:  # each library raises its own kinds
        problem = f"the outputs are on the net's device, where this {module.__name__} can't have them"
        raise TypeError(f"{problem} ({first_line(error)}); give the inputs as an array of NumPy or CuPy") from error


def in_order(rows: Array, names: Sequence[str], wanted: Sequence[str]) -> Array:
    """The columns of rows (n, names) that are wanted, in that order: the rows themselves if they are that already.

    Raises DataError for a column that isn't there, or is there twice.
    """
    places = _places(names, wanted)
    return rows if places == list(range(len(names))) else rows[:, places]


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    place = {name: i for i, name in enumerate(names)}
    absent = [repr(name) for name in wanted if name not in place]
    if absent:
        more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
        there = ", ".join(map(repr, names[:SHOWN_NAMES])) + more
        raise DataError(f"no column is called {' or '.join(absent[:SHOWN_NAMES])}; the columns are {there}")
    if len(place) < len(names):
        twice = next((name for name in wanted if list(names).count(name) > 1), None)
        if twice is not None:
            raise DataError(f"more than one column is called {twice!r}: give every column a name of its own")
    return [place[name] for name in wanted]


def _library(values: Any) -> str:
    """The package that the type of `values` is from, or is derived from if it is a class of the caller's."""
    known = ("numpy", "cupy", *TABLES, *TENSORS)
    packages = [base.__module__.partition(".")[0] for base in type(values).__mro__]
    return next((package for package in packages if package in known), packages[0])


def _columns(table: Any, library: str) -> list[tuple[Any, Any]] | None:
    """The columns of a table with their names; None for a column that is by itself."""
    if library == "pandas" and getattr(table, "ndim", 1) == 2:
        return list(table.items())
    if library == "polars" and hasattr(table, "get_columns"):
        return [(column.name, column) for column in table.get_columns()]
    if library == "pyarrow" and hasattr(table, "column_names"):
        return list(zip(table.column_names, table.columns, strict=True))
    return None


def _table(columns: list[tuple[Any, Any]], wanted: Sequence[str] | None) -> tuple[Array, Names]:
    names = _texts(name for name, _ in columns)
    if wanted is not None and names is not None:
        columns = [columns[place] for place in _places(names, wanted)]
        names = tuple(wanted)
    if not columns:
        raise DataError("the table has no columns")
    return np.stack([_numbers(column, str(name)) for name, column in columns], axis=1), names


def _texts(names: Any) -> Names:
    """Names, if any of them are text: else they are pandas' numbers for columns that have none."""
    found = [] if callable(names) else list(names)  # the `index` of PyArrow's arrays is a search
    return tuple(map(str, found)) if any(isinstance(name, str) for name in found) else None


def _name_of(column: Any) -> str | None:
    """What a column that is by itself is called: pandas and Polars let it have a name."""
    name = getattr(column, "name", None)
    return str(name) if name else None


def _is_on_card(values: Any) -> bool:
    if hasattr(values, "__dlpack_device__"):
        try:
            return int(values.__dlpack_device__()[0]) in ON_CUDA
        except Exception as error:  # no device that DLPack has a number for, or several at once
            _refuse(values, error)
    return hasattr(values, "__cuda_array_interface__")


def _from_card(values: Any) -> Array:
    """An array of CuPy over the memory of `values`, which is on a card."""
    by_dlpack = hasattr(values, "__dlpack_device__")
    index = int(values.__dlpack_device__()[1]) if by_dlpack else 0
    if "cupy" not in sys.modules:  # no net of this program is on a card
        problem = why_no_cuda(index)
        if problem:
            kind = f"{type(values).__name__} on a CUDA device"
            raise DeviceError(
                f"a {kind} can't be used: {problem}; or copy it to the host, as by PyTorch's tensor.cpu()"
            )
    device = Device("cuda", index)
    with device.active():
        try:
            return device.xp.from_dlpack(values) if by_dlpack else device.xp.asarray(values)
        except (TypeError, ValueError, BufferError, NotImplementedError) as error:
            _refuse(values, error)  # a tensor that requires grad, or of a type that CuPy doesn't have


def _numbers(values: Any, name: str | None = None) -> NDArray[Any]:
    """An array of NumPy; name: of the column that it is, of a table or by itself."""
    array = _on_host(values)
    if array.dtype.name == "bfloat16":  # ml_dtypes', as JAX has
        return array.astype("float32")
    if array.dtype.kind in "OSUT":
        if isinstance(values, list | tuple):  # NumPy made texts of the numbers beside one
            array = np.asarray(values, dtype=object)
        return _from_objects(array.astype(object), name)
    if name is None and _library(values) not in TABLES:
        return array  # the net looks at the rest
    if array.dtype.kind not in "biuf":
        raise DataError(f"{_place(name, ())} has the type {array.dtype}: these must be numbers")
    if array.dtype.kind == "f" and np.isnan(array).any():  # which a column's missing values become
        _refuse_missing(_place(name, (int(np.isnan(array).argmax()),)))
    return array


def _on_host(values: Any) -> NDArray[Any]:
    if isinstance(values, np.memmap):
        return values
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        _refuse_missing(_place(None, tuple(np.argwhere(np.ma.getmaskarray(values))[0])))
    try:
        array = np.asarray(values)
    except MemoryError:
        raise
    except Exception as error:  # each library raises its own kinds
        if isinstance(values, list | tuple) and "inhomogeneous" in str(error):
            raise DataError(_why_ragged(values)) from error
        _refuse(values, error)
    if array.ndim == 0 and array.dtype.kind == "O":
        remedy = "its .toarray()" if hasattr(values, "toarray") else "an array, a table or lists of numbers"
        raise TypeError(f"a {type(values).__name__} is no array of numbers: give {remedy}")
    return array


def _from_objects(objects: NDArray[Any], name: str | None) -> NDArray[Any]:
    """Python's own numbers as NumPy's. Raises DataError for the first thing that is none."""
    for index, value in np.ndenumerate(objects):
        if isinstance(value, str | bytes) or not isinstance(value, Real | Decimal | np.bool):
            if str(value) in MISSING and not isinstance(value, str):
                _refuse_missing(_place(name, index))
            text = " ".join(repr(value).split())
            shown = text if len(text) <= 20 else f"{text[:19]}…"
            problem = f"{_place(name, index)} holds {shown}, but these must be numbers"
            raise DataError(f"{problem}: write words and classes as numbers first")
    numbers = np.array(objects.tolist())
    try:
        return numbers if numbers.dtype.kind in "biuf" else objects.astype("float64")
    except OverflowError as error:
        raise DataError(f"{_place(name, ())} holds a number too large for float64: rescale it") from error


def _place(name: str | None, index: tuple[int, ...]) -> str:
    """Where in a column, or in an array without names, something is; no index: the whole."""
    parts = [] if name is None else [f"column {name!r}"]
    parts += [f"{kind} {i}" for kind, i in zip(("row", "column", "place"), index, strict=False)]
    return ", ".join(parts) + ", counted from 0," if index else parts[0] if parts else "the array"


def _refuse_missing(place: str) -> NoReturn:
    raise DataError(f"{place} is missing (or nan): fill it in, or leave the row out")


def _refuse(values: Any, error: Exception) -> NoReturn:
    raise TypeError(f"this {type(values).__name__} can't be read as an array: {first_line(error)}") from error


def _why_ragged(rows: Sequence[Any]) -> str:
    lengths = [len(row) if hasattr(row, "__len__") else None for row in rows]
    for number, length in enumerate(lengths):
        if length != lengths[0]:
            found, first = ("a number" if n is None else f"{n} values" for n in (length, lengths[0]))
            return f"row {number}, counted from 0, has {found}, but row 0 has {first}: every row needs as many"
    return "the lists inside the rows are not all of one length"
