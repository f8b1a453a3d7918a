"""The history of a run: each epoch as a plain record, kept as lines of JSON in a file.

One record is one line of `metrics.jsonl`, written as soon as its epoch has ended, so that a run that is broken off
leaves what it has done, and other programs can watch it.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from xpnn.data.files import opened
from xpnn.epochs import Epoch
from xpnn.errors import DataError
from xpnn.errors import Path as PathLike
from xpnn.files import not_written, write_atomically

FILE_NAME = "metrics.jsonl"
LONGEST_LINE = 1 << 16  # bytes; a record has some hundreds
LARGEST = 1e100  # beyond which no number of a run lies that has been recorded
Record: TypeAlias = dict[str, Any]


def record_of(epoch: Epoch) -> Record:
    """The numbers of an epoch by name; those of the validation rows are called validation_loss and so on.

    What is not finite, such as the validation loss of a net that has just diverged, is None.
    """
    record: Record = {"epoch": epoch.number, "loss": epoch.loss}
    if epoch.accuracy is not None:
        record["accuracy"] = epoch.accuracy
    if epoch.validation is not None:
        scores = epoch.validation.scores()
        record |= {f"validation_{name}": value if math.isfinite(value) else None for name, value in scores.items()}
    return record | {"learning_rate": epoch.rate, "seconds": epoch.seconds, "step": epoch.step}


def recorded(epochs: Iterable[Epoch], path: PathLike) -> Iterator[Epoch]:
    """The epochs as they come, each appended to a new file at `path`; one that was there goes when the first has come.

    Raises XpnnError if the file can't be written.
    """
    is_first = True
    for epoch in epochs:
        if is_first:
            write_history([], path)
        is_first = False
        add_record(record_of(epoch), path)
        yield epoch


def write_history(records: Iterable[Record], path: PathLike) -> None:
    """Write a file of these records, whole or not at all. Raises XpnnError if it can't be written."""
    write_atomically(path, "".join(map(_line, records)).encode())


def add_record(record: Record, path: PathLike) -> None:
    """Append a record to the file. Raises XpnnError if it can't be written."""
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:  # the same bytes on every system
            file.write(_line(record))
    except OSError as error:
        raise not_written(path, error) from error


def _line(record: Record) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_history(path: PathLike) -> list[Record]:
    """The records in a file that `recorded` wrote, or in the run's folder; a last line that was cut off is left out.

    Raises DataError, naming the line, for a file that is missing or no such history.
    """
    file = Path(path)
    file = file / FILE_NAME if file.is_dir() else file
    if not file.is_file():  # pipes and devices, which may never end, are none
        raise DataError(f"there is no such file; give a folder of xpnn train --run, or its {FILE_NAME}", file)
    records = []
    with opened(file) as content:
        for number in itertools.count(1):
            line = content.readline(LONGEST_LINE)
            if not line:
                break
            record = read_record(line)
            if record is not None:
                records.append(record)
            elif number == 1 or line.endswith(b"\n") or len(line) == LONGEST_LINE:
                raise DataError(f"this is no record of an epoch; give the {FILE_NAME} of a run", file, line=number)
    if not records:
        raise DataError("there is no epoch in it yet", file)
    return records


def read_record(line: bytes | str) -> Record | None:
    """The record in a line; None where there is none."""
    try:
        record = json.loads(line, object_pairs_hook=_with_shared_names)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not {"epoch", "loss"} <= record.keys():
        return None
    numbers = [value for name, value in record.items() if name != "step" and value is not None]
    needed = record["epoch"] is not None and record["loss"] is not None
    return record if needed and all(map(_is_sound, numbers)) else None


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict whose keys are the same texts in every record, which makes these half as large."""
    return {sys.intern(name): value for name, value in pairs}


def _is_sound(value: Any) -> bool:
    """A number that can be drawn."""
    return type(value) in (int, float) and abs(value) < LARGEST
