"""A run's folder: what it is made of, what it has done, and where it goes on.

    config.toml         the resolved configuration, and how it was made
    metrics.jsonl       a record of each epoch
    checkpoints/        the run's state after whole epochs and within them: the last two, and the best of whole epochs
    model.safetensors   the model, in the end
    result.json         the result, after the model: with it the run is finished
    .lock               held by the process that is at work here

Everything but metrics.jsonl is written beside its place and renamed into it (`xpnn.files`), and what is old is removed
only after that. Whenever the process ends, the newest checkpoint that is whole is therefore one to go on from: it has
the history of its epochs in it, from which metrics.jsonl is written anew. Without a checkpoint a run begins again,
which comes to the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from xpnn.data.files import opened, read_up_to
from xpnn.early_stopping import badness
from xpnn.errors import DataError, ModelFileError, XpnnError
from xpnn.files import make_folder, not_written, remove_drafts, write_atomically
from xpnn.history import FILE_NAME, Record, add_record, write_history
from xpnn.locks import LOCK_NAME, alone_in
from xpnn.network import MLP
from xpnn.samples import Samples
from xpnn.scaling import Standardization
from xpnn.state import TrainingState
from xpnn.state_file import Checkpoint, load_state, save_state

LARGEST_RESULT = 1 << 20  # bytes; one that is longer ends in the middle, and is none
KEPT = 2  # checkpoints, beside the best
CHUNK = 1 << 24  # bytes of rows that are hashed at a time


class RunFolder:
    """The folder of a run. Only the process that is within `alone` may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.metrics, self.model = path / "config.toml", path / FILE_NAME, path / "model.safetensors"
        self.checkpoints, self.result = path / "checkpoints", path / "result.json"
        self._is_ours: Callable[[], bool] = lambda: True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder, and keep other processes out; what those that were killed left half written goes.

        Raises XpnnError if another is at work there, or the folder can't be written.
        """

        def refuse() -> NoReturn:
            raise XpnnError(f"{self.path}: another process is training there; wait for its end, or choose a new folder")

        with alone_in(self.path, "choose another folder", refuse) as self._is_ours:
            for folder in (self.path, self.checkpoints):
                remove_drafts(folder)
            yield

    def check(self) -> None:
        """Raise XpnnError where this is no longer the folder that was locked: nothing is mixed into another one."""
        if not self._is_ours():
            raise XpnnError(f"{self.path}: the run's folder, or its {LOCK_NAME}, was moved or deleted; put it back")

    def has_work(self) -> bool:
        """Whether there is something to lose: an epoch, or a part of one."""
        return any(path.exists() for path in (self.metrics, self.result)) or bool(self._files())

    def begin(self, history: Sequence[Record] = ()) -> None:
        """Have the history begin with these records. Raises XpnnError if it can't be written."""
        self.check()
        write_history(history, self.metrics)

    def add(self, record: Record) -> None:
        """Add the record of an epoch. Raises XpnnError if it can't be written."""
        self.check()
        add_record(record, self.metrics)

    def save(
        self,
        net: MLP,
        state: TrainingState,
        history: Sequence[Record],
        *,
        metric: str = "loss",
        settings: Mapping[str, Any] | None = None,
        target_scaling: Standardization | None = None,
    ) -> Path:
        """Write a checkpoint, and then remove the old ones; gives its path.

        metric:   says which epoch is the best (see `xpnn.early_stopping`).
        settings: of the run; see `xpnn.save_state`.
        Raises XpnnError if it can't be written; those before it are then as they were.
        """
        self.check()
        try:
            make_folder(self.checkpoints)
        except OSError as error:
            raise not_written(self.checkpoints, error) from error
        path = self.checkpoints / _Name(state.epoch, state.rows).text()
        save_state(net, state, path, history=history, settings=settings, target_scaling=target_scaling)
        self._prune(history, metric)
        return path

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; None if there is none yet. Damaged ones are renamed, and `say` told.

        Raises XpnnError where there are checkpoints, and all of them are damaged.
        """
        files = self._files()
        for _, path in reversed(files):
            try:
                return load_state(path)
            except ModelFileError as error:
                problem = str(error).rpartition("; ")[0]  # without the remedy, for here is a better one
                say(f"{problem}; the one before it is taken")
                with suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
        if files:
            again = f"xpnn train --config {shlex.quote(str(self.config))}"
            raise XpnnError(f"{self.checkpoints}: all checkpoints are damaged; begin anew: {again}")
        return None

    def finish(self, result: dict[str, Any]) -> None:
        """Keep the result, which is the run's end. Raises XpnnError if it can't be written."""
        self.check()
        write_atomically(self.result, (json.dumps(result, allow_nan=False) + "\n").encode())

    def reopen(self) -> None:
        """Have the run be unfinished again, if it was finished. Raises XpnnError if that can't be done."""
        self.check()
        try:
            self.result.unlink(missing_ok=True)
        except OSError as error:
            raise not_written(self.result, error) from error

    def finished(self) -> dict[str, Any] | None:
        """The result of a finished run, else None. Raises XpnnError if it can't be read."""
        if not self.result.exists():
            return None
        try:
            with opened(self.result) as file:
                found = json.loads(read_up_to(file, LARGEST_RESULT))
            if not isinstance(found, dict) or not {"epochs", "model"} <= found.keys():
                raise ValueError("it is no result")
        except (DataError, ValueError, RecursionError) as error:
            raise XpnnError(f"{self.result}: can't be read ({error}); delete it to finish the run again") from error
        return found

    def _files(self) -> list[tuple[_Name, Path]]:
        """The checkpoints, the oldest first."""
        named = [(_Name.of(path.name), path) for path in self.checkpoints.glob("*")]
        return sorted((name, path) for name, path in named if name is not None)

    def _prune(self, history: Sequence[Record], metric: str) -> None:
        files = self._files()
        whole = {path: name.epoch for name, path in files if not name.rows and 0 < name.epoch <= len(history)}
        best = min(whole, key=lambda path: _badness(history[whole[path] - 1], metric), default=None)
        for _, path in files[:-KEPT]:
            if path != best:
                with suppress(OSError):  # it will go another time
                    path.unlink()


class _Name(NamedTuple):
    """A checkpoint's name says where in the run it was made."""

    epoch: int
    rows: int

    def text(self) -> str:
        return f"{self.epoch:06}-{self.rows:010}.safetensors"

    @staticmethod
    def of(text: str) -> _Name | None:
        found = re.fullmatch(r"(\d{6,})-(\d{10})\.safetensors", text)
        return found and _Name(int(found[1]), int(found[2]))


def _badness(record: Record, metric: str) -> float:
    try:
        return badness(record, metric)
    except ValueError:  # it has no such metric
        return math.inf


def digest_of(*parts: Samples | None) -> str:
    """A SHA-256, in hexadecimal, of all that training and measuring see of data sets' rows."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"none" if part is None else f"{len(part)} rows".encode())
        for array in (part.inputs, part.targets, part.weights) if part is not None else ():
            if array is None:
                continue
            found.update(f"{array.dtype.str} {array.shape}".encode())
            rows = max(1, CHUNK * len(array) // max(1, array.nbytes))
            for start in range(0, len(array), rows):
                found.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return found.hexdigest()
