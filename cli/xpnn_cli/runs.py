"""Keeping a run in its folder: `--run`, `--resume`, checkpoints, and what Ctrl-C does then."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

import xpnn
from xpnn.data.catalogue import NAMES
from xpnn.early_stopping import EarlyStopping
from xpnn.epochs import Progress, Resumable
from xpnn.history import FILE_NAME, Record
from xpnn.recipes import Recipe
from xpnn.runs import RunFolder
from xpnn.scaling import Standardization
from xpnn.state import TrainingState
from xpnn.state_file import Checkpoint
from xpnn_cli.config import change_config, made_by, made_of, read_config, settings_of, surroundings, write_config
from xpnn_cli.options import GroupedOption, print_json, typed
from xpnn_cli.settings import LBFGS
from xpnn_cli.signals import StopRequest, stop_requests

GROUP = "Keeping a run"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
LONGER = {"epochs", "patience"}  # what a run that goes on may have others of than it began with
WITH_RESUME = {"resume", "as_json", "device", "checkpoint_every", *LONGER}


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


class _FolderType(click.Path):
    """A folder that has a name: an empty one would be the current folder, which an unset variable of a shell gives."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name of a folder is needed; . is the current one.", param, ctx)
        return super().convert(value, param, ctx)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a run's folder and of its configuration."""
    options = [
        click.option(
            "--run",
            cls=GroupedOption,
            group=GROUP,
            metavar="FOLDER",
            type=_FolderType(file_okay=False, path_type=Path),
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
            "  [default: after each epoch, but not within 15s of the last, and every 5m; always after the last epoch]",
        ),
        click.option(
            "--resume",
            cls=GroupedOption,
            group=GROUP,
            metavar="FOLDER",
            is_eager=True,
            type=_FolderType(file_okay=False, path_type=Path),
            callback=_settings_of_run,
            help="Go on with the run in FOLDER, which was stopped or killed: it learns, bit for bit, what it would have"
            " learnt. It has its own settings; of others, only more --epochs or --patience go with this, also where"
            " the run is finished.",
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
def opened(
    run: Path | None, resume: Path | None, out: Path | None, as_json: bool
) -> Iterator[tuple[RunFolder | None, Start | None]]:
    """The run's folder, kept from other processes, and where the run goes on; None where there is none to be.

    Raises Exit where the run is finished, which is then said; UsageError for options that don't go together; XpnnError
    for a folder that can't be used.
    """
    if resume is not None:
        folder = RunFolder(resume)
        if not _wants_longer(resume) and _is_finished(folder, out, as_json):  # no lock: the disk may be read-only
            raise click.exceptions.Exit(0)
        with folder.alone():
            start = _start_in(folder)
            if not start.changes and _is_finished(folder, out, as_json):
                raise click.exceptions.Exit(0)
            yield folder, start
    elif run is not None:
        folder = RunFolder(run)
        with folder.alone():
            if folder.has_work():
                raise xpnn.XpnnError(
                    f"--run {run}: there is a run in it; go on with it by --resume {typed(run)}, or choose another"
                    " folder"
                )
            yield folder, None
    elif "checkpoint_every" in _given():  # one in a file of settings is for runs that are kept
        raise click.UsageError("--checkpoint-every is for --run; give that too.")
    else:
        yield None, None


def _wants_longer(resume: Path) -> bool:
    """Whether the user gives a setting of LONGER. Raises UsageError for any other that doesn't go with --resume."""
    given = _given()
    for name, option in given.items():
        if name not in WITH_RESUME:
            shown = max(option.opts, key=len) if isinstance(option, click.Option) else name.upper()
            raise click.UsageError(
                f"{shown} doesn't go with --resume, which goes on with the run's own settings; leave it out, or start"
                f" another run with it: --config {typed(RunFolder(resume).config)}"
            )
    return not LONGER.isdisjoint(given)


def _given() -> dict[str, click.Parameter]:
    """What stands on the command line."""
    ctx = click.get_current_context()
    options = {str(option.name): option for option in ctx.command.params}
    return {
        name: option
        for name, option in options.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


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


def _start_in(folder: RunFolder) -> Start:
    """Where the run in a folder goes on. Raises XpnnError where it can't with its settings as they are now."""
    ctx = click.get_current_context()
    written = settings_of(ctx)
    now = written | {name: ctx.params[name] for name in LONGER & _given().keys()}
    found = folder.newest(_say)
    before = written if found is None else found.settings
    if not before:
        raise xpnn.XpnnError(
            f"{folder.checkpoints}: no settings are in it, as in those of `xpnn train`; {_begin_anew(folder)}"
        )
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    changes = {name: (before.get(name), now.get(name)) for name in names}
    mixed = [
        f"{name:.60} is {_shown(new)}, and the run began with {_shown(old)}"
        for name, (old, new) in changes.items()
        if name not in LONGER or None in (old, new)  # early stopping has rows set aside, which others have learnt
    ]
    if mixed:
        rest = f"; and {len(mixed) - 3} more" if mixed[3:] else ""
        problem = f"{'; '.join(mixed[:3])}{rest}"
        raise xpnn.XpnnError(f"{folder.config}: {problem}; put it back, or {_begin_anew(folder)}")
    if found is not None and changes:
        _check_length(folder, found.state, now)
    for data in (ctx.params[name] for name in ("data", "test_data", "validation_data")):
        if data is not None and data not in NAMES and not os.path.exists(data):
            place = f"put them back, or write their new place into {folder.config}"
            raise xpnn.XpnnError(f"{data}: the run's data are not there; {place}")
    return Start(found, now, changes)


def _check_length(folder: RunFolder, state: TrainingState, now: Mapping[str, Any]) -> None:
    """Raise XpnnError where there is nothing to learn for a run whose length is changed."""
    learnt, epochs, patience = state.epoch + (state.rows > 0), now.get("epochs", 0), now.get("patience")
    if epochs < learnt:
        raise xpnn.XpnnError(
            f"{folder.path}: the run is at epoch {learnt}, which is more than --epochs {epochs}; give more"
        )
    if state.stopping is not None and patience is not None and state.stopping.waited >= patience:
        waited = f"nothing has become better for {state.stopping.waited} epochs"
        raise xpnn.XpnnError(f"{folder.path}: {waited}, which ends a run of --patience {patience}; give more of that")


def _begin_anew(folder: RunFolder) -> str:
    return f"begin another run with --config {typed(folder.config)}"


def _shown(value: Any) -> str:
    return "not there" if value is None else f"{value!r:.80}"


def place_for_the_model(folder: RunFolder, out: Path | None) -> Path:
    """Where the user says, or said when the run began, or in the run's folder, which may have moved."""
    ctx = click.get_current_context()
    said = made_of(ctx).get("out")
    return out or (Path(said) if isinstance(said, str) and ctx.params["resume"] else folder.model)


def _is_finished(folder: RunFolder, out: Path | None, as_json: bool) -> bool:
    """Whether there is nothing left to do, which is then said; out: for the model, see above."""
    result = folder.finished()
    if result is None:
        return False
    result["model"] = os.path.abspath(place_for_the_model(folder, out))
    if as_json:
        print_json(result)
    else:
        click.echo(f"the run in {folder.path} is finished: {result['epochs']} epochs; its model is {result['model']}")
        click.echo(f"to learn more: xpnn train --resume {typed(folder.path)} --epochs N, for N in all", err=True)
    return True


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
        self.folder, self.net, self.scaling, self.metric = folder, net, scaling, settings.metric
        self.every = every or USUAL
        self.recipe = settings
        self.settings: dict[str, Any] = {}  # as the file has them
        self.history: list[Record] = []
        self.went_on_after = 0  # so many epochs
        self.state: TrainingState | None = None
        self.epochs: Resumable | None = None
        self.request = StopRequest()
        self.saved_at = time.monotonic()

    def begin(self, settings: Recipe, samples: xpnn.Samples, digest: str) -> None:
        """Write the configuration down; digest: of the data, of which the samples are learnt from."""
        ctx = click.get_current_context()
        made = made_by(self.net, samples, digest, ctx.params["out"])
        self.settings = write_config(self.folder.config, ctx, settings, self.net, made)

    def go_on(self, start: Start) -> None:
        """Go on there, and have the history end there. Raises XpnnError if the folder can't be written."""
        here, known = surroundings(self.net), made_of(click.get_current_context())
        for name in here.keys() & known.keys():
            if here[name] != known[name]:
                _say(f"note: {name} is {here[name]}, the run began with {known[name]}: last bits may differ")
        self.settings = start.settings
        if start.found is None:
            _say(f"no checkpoint yet in {self.folder.path}: the run begins again")
        else:
            self.state, self.history = start.found.state, start.found.history
            self.went_on_after, start.found = self.state.epoch, None  # it is as large as the run
            _say(f"going on after {_place(self.state)}")
        if start.changes:
            self._change(start)
        self.folder.begin(self.history)

    def _change(self, start: Start) -> None:
        """Write down that the run goes on with other settings, and is not finished any more."""
        said = ", ".join(f"{name} is {new}, it was {old}" for name, (old, new) in start.changes.items())
        hangs_on_it = self.recipe.schedule != "constant" or self.recipe.warmup
        is_another = self.state is not None and "epochs" in start.changes and hangs_on_it
        rates = "; the learning rates hang on it: this is not the run that had so many from its beginning"
        _say(f"note: {said}{rates if is_another else ''}")
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
                _say(f"note: the train step is {record['step']} now, it was {before}: last bits may differ")
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
            _say(f"\nstopped at once; {how}")
            raise
        except xpnn.DivergenceError:  # it would do so again
            raise
        except xpnn.XpnnError as error:
            raise type(error)(f"{error}; {how}") from error

    def _stop(self) -> NoReturn:
        state = self._save()
        if state is None:  # L-BFGS: the work is done
            raise KeyboardInterrupt
        _say(f"saved after {_place(state)}; go on with\n  xpnn train --resume {typed(self.folder.path)}")
        raise click.exceptions.Exit(128 + int(self.request.signal or 0))

    def _save(self) -> TrainingState | None:
        if self.epochs is None:
            return None
        state = self.epochs.state(copied=False)  # it is written at once
        metric = self.metric if self.metric in (self.history or [{}])[-1] else "loss"
        self.folder.save(
            self.net, state, self.history, metric=metric, settings=self.settings, target_scaling=self.scaling
        )
        self.saved_at = time.monotonic()
        return state


def _place(state: TrainingState) -> str:
    rows = f" and {state.rows:,} rows of the next" if state.rows else ""
    return f"epoch {state.epoch}{rows}"


def _say(text: str) -> None:
    click.echo(text, err=True)
