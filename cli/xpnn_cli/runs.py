"""The options of a run that is kept in its folder, and what becomes of them: `--run`, `--resume`, `--config`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import xpnn
from xpnn.data.catalogue import NAMES
from xpnn.history import FILE_NAME
from xpnn.runs import RunFolder
from xpnn.state import TrainingState
from xpnn_cli.config import made_of, read_config, settings_of
from xpnn_cli.keeper import Every, Start, say
from xpnn_cli.options import GroupedOption, print_json, typed

GROUP = "Keeping a run"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
LONGER = {"epochs", "patience"}  # what a run that goes on may have others of than it began with
WITH_RESUME = {"resume", "as_json", "device", "checkpoint_every", *LONGER}

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


def _start_in(folder: RunFolder) -> Start:
    """Where the run in a folder goes on. Raises XpnnError where it can't with its settings as they are now."""
    ctx = click.get_current_context()
    written = settings_of(ctx)
    now = written | {name: ctx.params[name] for name in LONGER & _given().keys()}
    found = folder.newest(say)
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
