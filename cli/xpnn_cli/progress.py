"""Progress of a training run on stderr: a live bar for each epoch on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import numpy as np

from xpnn.epochs import Epoch, Progress
from xpnn.evaluation import Evaluation
from xpnn.memory import SHARE, VARIABLE, bytes_in
from xpnn.samples import Dataset
from xpnn.stored import StoredRows, part_of

LOOKED_AT, FAR = 1000, 10.0  # rows, and the root mean square of their numbers
SECONDS_WITHOUT_A_BAR = 1.0  # of reading
SECONDS_BETWEEN_LOOKS = 0.1  # a look at the running loss waits for the device


def say_of_rows(dataset: Dataset) -> None:
    """A word on training rows that stay in their file, for they take more time, and another order.

    And on floats that a net takes as they are, but hardly learns from: pixels of 0 to 255, for instance.
    """
    rows = dataset.train.inputs
    if isinstance(rows, StoredRows):
        most = f"{SHARE:.0%} of the free memory" if bytes_in(VARIABLE) is None else f"${VARIABLE} has room for"
        size = f"{rows.nbytes / 1e9:.3g} GB, more than {most}"
        click.echo(f"{rows.file.path}: {size}: its rows stay in the file, and are shuffled by blocks", err=True)
    if dataset.columns is None and rows.dtype.kind == "f":
        some = np.asarray(part_of(rows, 0, LOOKED_AT), dtype=np.float64)
        typical = math.sqrt(np.square(some).mean())
        if typical > FAR:
            problem = f"its numbers are about {typical:.3g} in size, and a net learns best from -1 to 1"
            click.echo(f"{dataset.name}: {problem}: divide them, or save pixels as whole numbers (uint8)", err=True)


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None] | None]:
    """What to give to `load` as its `progress`: a bar on a terminal, as soon as reading a part takes a second."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar: Any = None
    begun, next_look = time.monotonic(), 0.0

    def close() -> None:
        nonlocal bar
        if bar is not None:
            bar.__exit__(None, None, None)
        bar = None

    def show(read: int, of: int) -> None:
        nonlocal bar, begun, next_look
        now = time.monotonic()
        if bar is not None and read < bar.pos:  # the next part
            close()
            begun = now
        if bar is None and read < of and now > begun + SECONDS_WITHOUT_A_BAR:
            bar = click.progressbar(length=of, label="reading", file=sys.stderr, width=24, show_pos=True)
            bar.__enter__()
        if bar is not None and (now >= next_look or read == of):
            bar.update(read - bar.pos)
            next_look = now + SECONDS_BETWEEN_LOOKS

    try:
        yield show
    finally:
        close()


class TrainingProgress:
    """Give `step_callback` to `train` as its `progress`, and its records to `show`."""

    def __init__(self, epochs: int, rows: int, validation_name: str) -> None:
        self.epochs, self.rows, self.validation_name = epochs, rows, validation_name
        self.bar: Any = None
        self.next_look = 0.0

    @property
    def step_callback(self) -> Callable[[Progress], None] | None:
        """Redraws the bar; None where stderr is no terminal, or closed."""
        return self._after_step if sys.stderr is not None and sys.stderr.isatty() else None

    @staticmethod
    def say(text: str) -> None:
        """A word on what takes a while."""
        click.echo(text, err=True)

    def show(self, records: Iterator[Epoch]) -> None:
        """Go through the records, and show each as it comes."""
        try:
            for record in records:
                self._show_epoch(record)
        finally:
            self._close()  # after an error in the middle of an epoch, its message starts on a new line

    def _after_step(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self.next_look:
            if self.bar is None:
                self._open(progress.epoch)
            total, hits = progress.totals()
            accuracy = None if hits is None else hits / progress.rows
            self.bar.update(progress.rows - self.bar.pos, _numbers(total / progress.rows, accuracy))
            self.next_look = now + SECONDS_BETWEEN_LOOKS

    def _show_epoch(self, record: Epoch) -> None:
        text = _numbers(record.loss, record.accuracy)
        if record.validation is not None:
            text += f"  {self.validation_name} {_score(record.validation)}"
        if self.bar is None:
            click.echo(f"epoch {record.number}/{self.epochs}  {text}  {record.seconds:.2f} s", err=True)
        else:
            self.bar.update(self.rows - self.bar.pos, text)
            self._close()

    def _open(self, epoch: int) -> None:
        self.bar = click.progressbar(
            length=self.rows,
            label=f"epoch {epoch}/{self.epochs}",
            file=sys.stderr,
            width=24,
            item_show_func=lambda text: text,
        )
        self.bar.__enter__()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)
        self.bar, self.next_look = None, 0.0


def in_turn(*callbacks: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """One callback that calls these, but for those that are None."""
    present = [callback for callback in callbacks if callback is not None]

    def call(progress: Progress) -> None:
        for callback in present:
            callback(progress)

    return call


def _score(found: Evaluation) -> str:
    """The one number to watch."""
    share = found.exact_match if found.accuracy is None else found.accuracy
    return f"R2 {found.r2:.4g}" if share is None else f"{share:.2%}"


def _numbers(loss: float, accuracy: float | None) -> str:
    return f"loss {loss:.4f}" + ("" if accuracy is None else f"  accuracy {accuracy:.2%}")
