"""Python's and NumPy's values as JSON, and back: what is read is data alone, and never runs code.

JSON has no tuples, no keys but strings, and no arrays with a type; these are written as objects of one entry, which
names the kind: {"tuple": [64, 32]}, {"dict": [[key, value], ...]}, {"array": ["<U3", ["cat", "dog"]]}.
"""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = "biufUO"  # of arrays; O is for strings of any length


def to_plain(value: Any) -> Any:
    """What JSON can hold for a value. Raises TypeError for one that it can't."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return to_plain(value.item())
        case list():
            return list(map(to_plain, value))
        case tuple():
            return {"tuple": list(map(to_plain, value))}
        case dict():
            return {"dict": [[to_plain(key), to_plain(entry)] for key, entry in value.items()]}
        case np.ndarray():
            return {"array": _plain_array(value)}
    raise TypeError(f"{type(value).__name__} can't be written as data")


def _plain_array(array: np.ndarray[Any, Any]) -> list[Any]:
    if array.dtype.kind not in KINDS or (array.dtype.kind == "O" and not all(isinstance(x, str) for x in array.flat)):
        raise TypeError(f"an array of {array.dtype} can't be written as data")
    return [array.dtype.str, array.tolist()]


def from_plain(plain: Any) -> Any:
    """The value that `to_plain` wrote. Raises ValueError or TypeError for what it never wrote."""
    if isinstance(plain, list):
        return list(map(from_plain, plain))
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"tuple": list(entries)}:
            return tuple(map(from_plain, entries))
        case {"dict": list(pairs)}:
            return {from_plain(key): from_plain(value) for key, value in pairs}
        case {"array": [str(name), values]} if np.dtype(name).kind in KINDS:
            array = np.array(values, dtype=name)
            _plain_array(array)  # objects are strings
            return array
    raise ValueError(f"unknown kind of data: {str(plain)[:80]}")
