"""Checkpoints of a run that learns, and how it is stopped: by a signal, or by what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import click

import xpnn
from xpnn.early_stopping import EarlyStopping
from xpnn.epochs import Progress, Resumable
from xpnn.history import Record
from xpnn.recipes import Recipe
from xpnn.runs import RunFolder
from xpnn.scaling import Standardization
from xpnn.state import TrainingState
from xpnn.state_file import Checkpoint
from xpnn_cli.config import change_config, made_by, made_of, surroundings, write_config
from xpnn_cli.options import typed
from xpnn_cli.settings import LBFGS
from xpnn_cli.signals import StopRequest, stop_requests


@dataclass(frozen=True)
class Every:
    """When checkpoints are due: after each so many epochs, so many seconds after the last one, or either.

    apart: seconds from the last one that there must be in the first case.
    """

    epochs: int | None = None
    seconds: float | None = None
    apart: float = 0.0
    text: str = ""

    def is_due(self, epoch: int | None, since: float) -> bool:
        """Whether one is; epoch: the one that has just ended, if one has; since: seconds from the last one."""
        in_time = self.seconds is not None and since >= self.seconds
        return in_time or (bool(epoch and self.epochs and epoch % self.epochs == 0) and since >= self.apart)

    def __str__(self) -> str:
        return self.text


USUAL = Every(epochs=1, seconds=300.0, apart=15.0)  # cheap for runs of seconds, and for epochs of hours


@dataclass
class Start:
    """Where a run goes on.

    found:    its newest checkpoint, until the run has taken it; None: it begins again.
    settings: of the run from now on, by their names in its file.
    changes:  those that are others than it had so far: (before, now).
    """

    found: Checkpoint | None
    settings: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]


class Keeper:
    """Writes down what a run does, and stops it where it is asked to.

    every:    when checkpoints are due; None: as is usual.
    history:  the records of its epochs, which others add to.
    state:    where it goes on, until the run has taken it; None: at its beginning.
    """

    def __init__(
        self, folder: RunFolder, settings: Recipe, net: xpnn.MLP, scaling: Standardization | None, every: Every | None
    ) -> None:
        if every is not None and settings.optimizer == LBFGS:
            raise click.UsageError("--checkpoint-every doesn't go with --optimizer lbfgs, which can't go on half-way.")
        self.folder, self.recipe, self.net, self.scaling = folder, settings, net, scaling
        self.every = every or USUAL
        self.settings: dict[str, Any] = {}  # as the file has them
        self.history: list[Record] = []
        self.went_on_after = 0  # so many epochs
        self.state: TrainingState | None = None
        self.epochs: Resumable | None = None
        self.request = StopRequest()
        self.saved_at = time.monotonic()

    def begin(self, samples: xpnn.Samples, digest: str) -> None:
        """Write the configuration down; digest: of the data, of which the samples are learnt from."""
        ctx = click.get_current_context()
        made = made_by(self.net, samples, digest, ctx.params["out"])
        self.settings = write_config(self.folder.config, ctx, self.recipe, self.net, made)

    def go_on(self, start: Start) -> None:
        """Go on there, and have the history end there. Raises XpnnError if the folder can't be written."""
        here, known = surroundings(self.net), made_of(click.get_current_context())
        for name in here.keys() & known.keys():
            if here[name] != known[name]:
                say(f"note: {name} is {here[name]}, the run began with {known[name]}: last bits may differ")
        self.settings = start.settings
        if start.found is None:
            say(f"no checkpoint yet in {self.folder.path}: the run begins again")
        else:
            self.state, self.history = start.found.state, start.found.history
            self.went_on_after, start.found = self.state.epoch, None  # it is as large as the run
            say(f"going on after {_place(self.state)}")
        if start.changes:
            self._change(start)
        self.folder.begin(self.history)

    def _change(self, start: Start) -> None:
        """Write down that the run goes on with other settings, and is not finished any more."""
        said = ", ".join(f"{name} is {new}, it was {old}" for name, (old, new) in start.changes.items())
        hangs_on_it = self.recipe.schedule != "constant" or self.recipe.warmup
        is_another = self.state is not None and "epochs" in start.changes and hangs_on_it
        rates = "; the learning rates hang on it: this is not the run that had so many from its beginning"
        say(f"note: {said}{rates if is_another else ''}")
        self.folder.reopen()
        now = {name: new for name, (_, new) in start.changes.items()}
        made = f"after {_place(self.state)}, {said}" if self.state is not None and is_another else None
        change_config(self.folder.config, click.get_current_context(), now, made)

    def taken_state(self) -> TrainingState | None:
        """Where the run goes on, which is then the run's alone: it is as large as the run."""
        state, self.state = self.state, None
        return state

    def follow(self, epochs: Iterator[xpnn.Epoch]) -> None:
        """Watch a run whose records these are; L-BFGS's has no state, and is at its end by then."""
        self.epochs = epochs if isinstance(epochs, Resumable) else None

    def after_step(self, _: Progress) -> None:
        """Save if it is due; for `progress` of `train`. Raises Exit where a signal has asked to stop."""
        if self.request.signal is not None:
            self._stop()
        if self.every.is_due(None, time.monotonic() - self.saved_at):
            self._save()

    def after_epoch(self) -> None:
        """Write down the history's last record, and save if it is due. Raises Exit likewise."""
        record = self.history[-1]
        self.folder.add(record)
        if len(self.history) > 1 and len(self.history) == self.went_on_after + 1:
            before = self.history[-2]["step"]
            if before != record["step"]:
                say(f"note: the train step is {record['step']} now, it was {before}: last bits may differ")
        if self.request.signal is not None:
            self._stop()
        if self._is_over(record["epoch"]) or self.every.is_due(record["epoch"], time.monotonic() - self.saved_at):
            self._save()

    def _is_over(self, epoch: int) -> bool:
        """Whether it is the last one; after it there is a checkpoint, from which to learn more."""
        epochs = self.epochs
        return epoch == self.recipe.epochs or (isinstance(epochs, EarlyStopping) and epochs.waited >= epochs.patience)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it signals are requests, and errors say how to go on."""
        with self.explained(), stop_requests() as self.request:
            yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Within it errors say how to go on."""
        goes = "begins again" if self.recipe.optimizer == LBFGS else "goes on from the last checkpoint"
        how = f"`xpnn train --resume {typed(self.folder.path)}` {goes}"
        try:
            yield
        except KeyboardInterrupt:
            say(f"\nstopped at once; {how}")
            raise
        except xpnn.DivergenceError:  # it would do so again
            raise
        except xpnn.XpnnError as error:
            raise type(error)(f"{error}; {how}") from error

    def _stop(self) -> NoReturn:
        state = self._save()
        if state is None:  # L-BFGS: the work is done
            raise KeyboardInterrupt
        say(f"saved after {_place(state)}; go on with\n  xpnn train --resume {typed(self.folder.path)}")
        raise click.exceptions.Exit(128 + int(self.request.signal or 0))

    def _save(self) -> TrainingState | None:
        if self.epochs is None:
            return None
        state = self.epochs.state(copied=False)  # it is written at once
        metric = self.recipe.metric
        metric = metric if metric in (self.history or [{}])[-1] else "loss"
        self.folder.save(
            self.net, state, self.history, metric=metric, settings=self.settings, target_scaling=self.scaling
        )
        self.saved_at = time.monotonic()
        return state


def _place(state: TrainingState) -> str:
    rows = f" and {state.rows:,} rows of the next" if state.rows else ""
    return f"epoch {state.epoch}{rows}"


def say(text: str) -> None:
    """On stderr."""
    click.echo(text, err=True)
