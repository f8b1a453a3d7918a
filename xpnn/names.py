"""Names that may carry a number, written as a device's: "huber", or "huber:0.5" for its parameter.

A table maps each name to a function that makes the thing, of one number with a default, or of none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TypeVar

Thing = TypeVar("Thing")


def made(what: str, text: str, table: Mapping[str, Callable[..., Thing]]) -> Thing:
    """What `text` names in `table`; `what` it is called goes into messages.

    Raises ValueError for an unknown name, a number where none is taken or that is none, or one out of range.
    """
    name, colon, number = text.partition(":") if isinstance(text, str) else (None, "", "")
    if name not in table:
        raise ValueError(f"unknown {what} {text!r}: choose from {choices(table)}")
    make, parameter = table[name], _parameter(table[name])
    if not colon:
        return make()
    if parameter is None:
        raise ValueError(f"the {what} {name} takes no number: write {name}, not {text}")
    try:
        value = float(number)
    except ValueError:
        example = f"{name}:{parameter.default:g}"
        raise ValueError(f"{text!r}: {number!r} is not a number; write {parameter.name} as in {example}") from None
    return make(value)


def choices(table: Mapping[str, Callable[..., Thing]]) -> str:
    """The names of a table, with their parameters' defaults: "huber[:1], squared-error"."""
    parameters = {name: _parameter(make) for name, make in table.items()}
    return ", ".join(name + (f"[:{p.default:g}]" if p else "") for name, p in parameters.items())


def _parameter(make: Callable[..., Thing]) -> inspect.Parameter | None:
    return next(iter(inspect.signature(make).parameters.values()), None)
