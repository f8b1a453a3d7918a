"""Callbacks: functions that are called with the record of each epoch as soon as it has ended.

    log = csv_log("run.csv")
    for epoch in train(net, rows):          net.train(inputs, targets, callback=log)
        log(epoch)

A callback is any function of an `Epoch`; what it returns is not looked at, and what it raises ends the run.
docs/tracking.md has MLflow and Weights & Biases. `recorded` in xpnn/history.py writes lines of JSON, which `xpnn plot`
draws.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from xpnn.epochs import Epoch
from xpnn.errors import DataError, XpnnError
from xpnn.errors import Path as PathLike
from xpnn.files import check_writable, write_atomically
from xpnn.history import record_of

Callback: TypeAlias = Callable[[Epoch], object]


def numbers_of(epoch: Epoch) -> dict[str, float]:
    """The numbers of an epoch by name, as trackers of experiments take them.

    They are those of `record_of` but for the epoch's own; what is not finite is left out.
    """
    record = record_of(epoch)
    return {name: value for name, value in record.items() if isinstance(value, float)}


def csv_log(path: PathLike) -> Callback:
    """A callback that appends each epoch to a CSV file as a line, below a line of the names that `record_of` gives.

    A run that goes on at epoch k keeps the lines of the epochs before it; those of k and later ones, which an earlier
    run left, go when the new epoch has come. So a run from epoch 1 starts the file anew.
    Raises XpnnError if the file can't be written, DataError if it holds something else, or other columns.
    """
    check_writable(path)
    _read_log(path)
    following, names = 0, [""]

    def log(epoch: Epoch) -> None:
        nonlocal following, names
        record = record_of(epoch)
        if epoch.number != following:
            names = list(record)
            write_atomically(path, _lines([names, *_earlier(path, epoch.number, names)]))
        _append(path, _lines([[record[name] for name in names]]))
        following = epoch.number + 1

    return log


def tensorboard_log(folder: PathLike) -> Callback:
    """A callback that writes the numbers of each epoch to an event file of TensorBoard's, at the epoch's number.

    `tensorboard --logdir FOLDER` shows them while the net learns. Give every run a folder of its own; of a run that
    goes on at epoch k in the same folder, TensorBoard's reader forgets k and what came after it.
    Raises XpnnError without the package tensorboard, and where nothing can be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ModuleNotFoundError as error:
        raise XpnnError("event files are TensorBoard's; pip install 'xpnn[tensorboard]'") from error
    # The reader takes files in the order of their names.
    path = Path(folder, f"events.out.tfevents.{time.time():.6f}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_written(path.parent, error) from error
    check_writable(path)
    following = 0

    def log(epoch: Epoch) -> None:
        nonlocal following
        now, step = time.time(), epoch.number
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers_of(epoch).items()]
        events = [Event(wall_time=now, step=step, summary=Summary(value=values))]
        if epoch.number != following:
            start = Event(wall_time=now, step=step, session_log=SessionLog(status=SessionLog.START))
            events = [Event(wall_time=now, file_version="brain.Event:2"), start, *events]
        content = io.BytesIO()
        for event in events:
            RecordWriter(content).write(event.SerializeToString())
        _append(path, content.getvalue())
        following = step + 1

    return log


def _earlier(path: PathLike, number: int, names: list[str]) -> list[list[str]]:
    """The lines of the epochs before `number` in a file that is there."""
    columns, lines = _read_log(path)
    earlier = [line for line in lines if int(line[0]) < number]
    if earlier and columns != names:
        problem = f"its columns are {', '.join(columns)}, and this run's are {', '.join(names)}: choose another file"
        raise DataError(problem, path)
    return earlier


def _read_log(path: PathLike) -> tuple[list[str], list[list[str]]]:
    """The names and the lines of a file that `csv_log` wrote, but for one that was cut off; nothing without a file.

    Raises DataError for a file of another kind, so that none is written over.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        columns, *lines = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, csv.Error) as error:
        raise DataError("this is no log of epochs: choose another file", path) from error
    if text and (columns[:2] != ["epoch", "loss"] or not all(line and line[0].isdecimal() for line in lines)):
        raise DataError("this is no log of epochs: choose another file", path)
    return columns, lines


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _append(path: PathLike, content: bytes) -> None:
    try:
        with open(path, "ab") as file:
            file.write(content)
    except OSError as error:
        raise _cannot_be_written(path, error) from error


def _cannot_be_written(path: PathLike, error: OSError) -> XpnnError:
    return XpnnError(f"{path}: can't be written ({error.strerror}); make room, or choose another place")
