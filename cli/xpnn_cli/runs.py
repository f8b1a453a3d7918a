"""Keeping a run in its folder: `--run`, `--resume`, checkpoints, and what Ctrl-C does then."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

import xpnn
from xpnn.epochs import Progress, Resumable
from xpnn.history import FILE_NAME, Record
from xpnn.recipes import Recipe
from xpnn.runs import RunFolder
from xpnn.scaling import Standardization
from xpnn.state import TrainingState
from xpnn_cli.config import made_by, made_of, read_config, surroundings, write_config
from xpnn_cli.options import GroupedOption, print_json, typed
from xpnn_cli.settings import LBFGS
from xpnn_cli.signals import StopRequest, stop_requests

GROUP = "Keeping a run"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
WITH_RESUME = {"resume", "as_json", "device", "checkpoint_every"}  # what changes nothing that is learnt


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


if TYPE_CHECKING:
    _ParamType = click.ParamType[Every]
else:
    _ParamType = click.ParamType  # takes no parameters before Click 8.4


class _EveryType(_ParamType):
    name = "every"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Every:
        if isinstance(value, Every):
            return value
        found = re.fullmatch(r"0*([1-9][0-9]{0,8})([smh]?)", str(value))
        if not found:
            self.fail(f"{value!r} is neither a number of epochs, such as 5, nor a time such as 90s, 10m or 2h.", param)
        number, unit = int(found[1]), found[2]
        return Every(seconds=number * UNITS[unit], text=value) if unit else Every(epochs=number, text=str(value))


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a run's folder and of its configuration."""
    options = [
        click.option(
            "--run",
            cls=GroupedOption,
            group=GROUP,
            metavar="FOLDER",
            type=click.Path(file_okay=False, path_type=Path),
            help=f"Keep the run in a new folder: settings, each epoch's numbers ({FILE_NAME}, for `xpnn plot FOLDER`),"
            " checkpoints and the model. Ctrl-C then saves where it is.",
        ),
        click.option(
            "--checkpoint-every",
            cls=GroupedOption,
            group=GROUP,
            metavar="EPOCHS|TIME",
            type=_EveryType(),
            help="When --run saves a checkpoint: 5 is after every fifth epoch, 10m every ten minutes; also 90s, 2h."
            "  [default: after each epoch, but not within 15s of the last, and every 5m]",
        ),
        click.option(
            "--resume",
            cls=GroupedOption,
            group=GROUP,
            metavar="FOLDER",
            is_eager=True,
            type=click.Path(file_okay=False, path_type=Path),
            callback=_settings_of_run,
            help="Go on with the run in FOLDER, which was stopped or killed: it learns, bit for bit, what it would have"
            " learnt. It has its own settings, and no others go with this.",
        ),
        click.option(
            "--config",
            cls=GroupedOption,
            group=GROUP,
            metavar="FILE",
            is_eager=True,
            type=click.Path(dir_okay=False, path_type=Path),
            callback=read_config,
            help="Take settings from a TOML file, such as a run's config.toml; the options given beside it win.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _settings_of_run(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Have the command's options be those of the run."""
    if path is not None:
        folder = RunFolder(path)
        config = folder.config
        if not config.exists() and folder.has_work():
            raise xpnn.XpnnError(f"--resume {path}: the run's {config.name} is missing; put it back")
        if not config.exists():
            raise xpnn.XpnnError(f"--resume {path}: there is no run to go on with; start one with --run {typed(path)}")
        read_config(ctx, parameter, config)
    return path


@contextmanager
def opened(run: Path | None, resume: Path | None, every: Every | None) -> Iterator[RunFolder | None]:
    """The run's folder, kept from other processes; None where there is none to be.

    Raises UsageError for options that don't go together, XpnnError for a folder that can't be used.
    """
    if resume is not None:
        _check_alone(resume)
    elif every is not None and run is None:
        raise click.UsageError("--checkpoint-every is for --run; give that too.")
    path = resume or run
    if path is None:
        yield None
        return
    folder = RunFolder(path)
    with folder.alone():
        if resume is None and folder.has_work():
            raise xpnn.XpnnError(
                f"--run {path}: there is a run in it; go on with it by --resume {typed(path)}, or choose another folder"
            )
        yield folder


def _check_alone(resume: Path) -> None:
    ctx = click.get_current_context()
    for option in ctx.command.params:
        source = ctx.get_parameter_source(str(option.name))
        if source is ParameterSource.COMMANDLINE and option.name not in WITH_RESUME:
            name = max(option.opts, key=len) if isinstance(option, click.Option) else str(option.name).upper()
            raise click.UsageError(
                f"{name} doesn't go with --resume, which goes on with the run's own settings; leave it out, or start"
                f" another run with it: --config {typed(RunFolder(resume).config)}"
            )


def is_finished(folder: RunFolder, out: Path, as_json: bool) -> bool:
    """Whether there is nothing left to do, which is then said. out: where the model is; the folder may have moved."""
    result = folder.finished()
    if result is None:
        return False
    result["model"] = os.path.abspath(out)
    if as_json:
        print_json(result)
    else:
        click.echo(f"the run in {folder.path} is finished: {result['epochs']} epochs; its model is {result['model']}")
    return True


class Keeper:
    """Writes down what a run does, and stops it where it is asked to.

    every:    when checkpoints are due; None: as is usual.
    history:  the records of its epochs, which others add to.
    state:    where it goes on; None: at its beginning.
    """

    def __init__(
        self, folder: RunFolder, settings: Recipe, net: xpnn.MLP, scaling: Standardization | None, every: Every | None
    ) -> None:
        if every is not None and settings.optimizer == LBFGS:
            raise click.UsageError("--checkpoint-every doesn't go with --optimizer lbfgs, which can't go on half-way.")
        self.folder, self.net, self.scaling, self.metric = folder, net, scaling, settings.metric
        self.every = every or USUAL
        self.history: list[Record] = []
        self.state: TrainingState | None = None
        self.epochs: Resumable | None = None
        self.request = StopRequest()
        self.saved_at = time.monotonic()

    def begin(self, settings: Recipe, samples: xpnn.Samples, digest: str) -> None:
        """Write the configuration down; digest: of the data, of which the samples are learnt from."""
        ctx = click.get_current_context()
        made = made_by(self.net, samples, digest, ctx.params["out"])
        write_config(self.folder.config, ctx, settings, self.net, made)

    def go_on(self) -> None:
        """Find out where the run goes on, and have its history end there. Raises XpnnError where it can't."""
        here, known = surroundings(self.net), made_of(click.get_current_context())
        for name in here.keys() & known.keys():
            if here[name] != known[name]:
                self._say(f"note: {name} is {here[name]}, the run began with {known[name]}: last bits may differ")
        found = self.folder.newest(self._say)
        if found is None:
            self._say(f"no checkpoint yet in {self.folder.path}: the run begins again")
        else:
            if found.net.settings() != self.net.settings():
                raise xpnn.XpnnError(f"{self.folder.config}: the checkpoints are of another network; put it back")
            self.state, self.history = found.state, found.history
            self._say(f"going on after {self._place(found.state)}")
        self.folder.begin(self.history)

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
        if len(self.history) > 1 and self.state is not None and len(self.history) == self.state.epoch + 1:
            before = self.history[-2]["step"]
            if before != record["step"]:
                self._say(f"note: the train step is {record['step']} now, it was {before}: last bits may differ")
        if self.request.signal is not None:
            self._stop()
        if self.every.is_due(record["epoch"], time.monotonic() - self.saved_at):
            self._save()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it signals are requests, and errors say how to go on."""
        with self.explained(), stop_requests() as self.request:
            yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Within it errors say how to go on."""
        how = f"`xpnn train --resume {typed(self.folder.path)}` goes on"
        try:
            yield
        except KeyboardInterrupt:
            self._say(f"\nstopped at once; {how} from the last checkpoint")
            raise
        except xpnn.DivergenceError:  # it would do so again
            raise
        except xpnn.XpnnError as error:
            raise type(error)(f"{error}; {how} from the last checkpoint") from error

    def _stop(self) -> NoReturn:
        state = self._save()
        if state is None:  # L-BFGS: the work is done
            raise KeyboardInterrupt
        self._say(f"saved after {self._place(state)}; go on with\n  xpnn train --resume {typed(self.folder.path)}")
        raise click.exceptions.Exit(128 + int(self.request.signal or 0))

    def _save(self) -> TrainingState | None:
        if self.epochs is None:
            return None
        state = self.epochs.state()
        metric = self.metric if self.metric in (self.history or [{}])[-1] else "loss"
        self.folder.save(self.net, state, self.history, metric=metric, target_scaling=self.scaling)
        self.saved_at = time.monotonic()
        return state

    @staticmethod
    def _place(state: TrainingState) -> str:
        rows = f" and {state.rows:,} rows of the next" if state.rows else ""
        return f"epoch {state.epoch}{rows}"

    @staticmethod
    def _say(text: str) -> None:
        click.echo(text, err=True)
