"""Settings in a TOML file: `--config` reads a command's options by their names, and each run writes all of its own.

    data = "mnist"
    hidden = [300, 100]
    lr = 0.002

The table [made] of a run's own file says how it came about: versions, data, command. No setting is in it.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

import xpnn
from xpnn.data.catalogue import NAMES
from xpnn.data.files import opened, read_up_to
from xpnn.errors import in_one_line
from xpnn.files import write_atomically
from xpnn.recipes import Recipe
from xpnn.stored import are_in_file
from xpnn_cli.augmentation import AUGMENTATION
from xpnn_cli.devices import blas
from xpnn_cli.settings import LBFGS, PENALTIES, WITH_LBFGS
from xpnn_cli.threads import THREADS

MADE = "made"
MOST_BYTES, MOST_DOTS = 1 << 16, 1000  # tomllib's time grows with the square of a dotted key's parts
CHANGED = "changed"  # what it says of a run whose settings were changed on its way
_META, _VALUES = "xpnn_cli.made", "xpnn_cli.values"  # where Click's context keeps that table, and the settings
_NO_SETTINGS = {"config", "resume", "as_json", "help"}
_PLACES = {"run", "out"}  # a repeat has its own
_PATHS = {"data", "test_data", "validation_data"}
# What may be changed in a run's file before it goes on: where its data are, which are known by their hash, and what
# changes no more than the last bits of what is learnt.
FREE = {"data", "test-data", "validation-data", "device", "threads", "checkpoint-every"}


def read_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make the file's values those that the command's options have where the user gives none."""
    if path is None:
        return None
    values, text = _parsed(path)
    made = values.pop(MADE, {})
    ctx.meta[_META], ctx.meta[_VALUES] = made if isinstance(made, dict) else {}, values
    changed = made_of(ctx).get(CHANGED)
    if parameter.name == "config" and changed:
        said = "; ".join(map(str, changed)) if isinstance(changed, list) else str(changed)
        note = f"note: the run of {path} was changed on its way, and is not repeated bit for bit: {said:.300}"
        click.echo(in_one_line(note), err=True)
    options = options_of(ctx.command)
    ctx.default_map = {}
    for key, value in values.items():
        if key not in options:
            near = key.replace("_", "-")
            hint = f"is it {near}?" if near in options else f"`xpnn {ctx.command.name} --help` names all"
            raise _wrong(path, text, key, f"there is no such setting; {hint}")
        option = options[key]
        ctx.default_map[str(option.name)] = found = _value_for(option, value, path, text, key)
        try:
            option.process_value(ctx, found)
        except (click.BadParameter, ValueError) as error:  # the latter of Click's files, for a NUL byte in a name
            raise _wrong(path, text, key, getattr(error, "message", str(error))) from error
    return path


def made_of(ctx: click.Context) -> dict[str, Any]:
    """The table [made] of the file that was read; empty where there was none."""
    found: dict[str, Any] = ctx.meta.get(_META, {})
    return found


def settings_of(ctx: click.Context) -> dict[str, Any]:
    """What was read of all that a run learns by: the settings, as the file has them, and the hash of the data."""
    return _learnt_by(ctx.meta.get(_VALUES, {}), made_of(ctx))


def _learnt_by(values: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in values.items() if key not in FREE}
    return {**found, "data_sha256": made.get("data_sha256")}


def options_of(command: click.Command) -> dict[str, click.Parameter]:
    """The command's arguments and options by their names in a file: "data", "batch-size"."""
    return {
        max(option.opts, key=len).lstrip("-"): option for option in command.params if option.name not in _NO_SETTINGS
    }


def _parsed(path: Path) -> tuple[dict[str, Any], str]:
    """What is in the file, and its text."""
    try:
        with opened(path) as file:
            content = read_up_to(file, MOST_BYTES + 1)
    except xpnn.DataError as error:
        raise click.UsageError(str(error)) from error
    if len(content) > MOST_BYTES or max(line.count(b".") for line in content.split(b"\n")) > MOST_DOTS:
        problem = f"it has more than {MOST_BYTES:,} bytes, or {MOST_DOTS:,} dots in a line"
        raise click.UsageError(f"{path}: this is no file of settings, for {problem}; check the name")
    try:
        text = content.decode("utf-8-sig")  # editors on Windows begin a file with a byte order mark
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # of TOML, and of UTF-8
        raise click.UsageError(in_one_line(f"{path}: this is no TOML ({error}); correct it")) from error


def _value_for(option: click.Parameter, value: Any, path: Path, text: str, key: str) -> Any:
    """The value as the option takes it on the command line."""
    kinds: tuple[type, ...]
    if getattr(option, "is_flag", False):
        wanted, kinds = "true or false", (bool,)
    elif isinstance(option.type, click.types.IntParamType):
        wanted, kinds = "a whole number", (int,)
    elif isinstance(option.type, click.types.FloatParamType):
        wanted, kinds = "a number", (int, float)
    elif _takes_list(option):
        wanted, kinds = "a text, or a list of texts or numbers", (str, int, list)
    elif option.name == "checkpoint_every":
        wanted, kinds = 'a number of epochs, or a text such as "10m"', (str, int)
    else:
        wanted, kinds = "a text in quotes", (str,)
    if type(value) not in kinds or (isinstance(value, list) and not {*map(type, value)} <= {str, int}):
        raise _wrong(path, text, key, f"{wanted} is wanted, not {value!r:.60}")
    return _joined(value) if isinstance(value, list) else str(value) if _takes_list(option) else value


def _takes_list(option: click.Parameter) -> bool:
    return "[," in (option.metavar or "")


def _joined(values: list[Any]) -> str:
    """With commas between, and in quotes what has a comma in it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _wrong(path: Path, text: str, key: str, problem: str) -> click.UsageError:
    place = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*[=.]|^[ \t]*\[+{re.escape(key)}", text, re.MULTILINE)
    line = f", line {text.count(chr(10), 0, place.start()) + 1}" if place else ""
    return click.UsageError(in_one_line(f"{path}{line}: {key:.60}: {problem:.300}"))


def write_config(
    path: Path, ctx: click.Context, settings: Recipe, net: xpnn.MLP, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Write all settings of the run that the command starts; gives what `settings_of` will.

    Raises XpnnError if the file can't be written.
    """
    given = {
        **ctx.params,
        "threads": ctx.meta.get(THREADS),
        "device": net.device.kind if ctx.params["device"] == "auto" else ctx.params["device"],
    }
    values = {key: _resolved(option, given, settings) for key, option in options_of(ctx.command).items()}
    known = {key: value for key, value in values.items() if value is not None}
    _write(path, known, made)
    return _learnt_by(known, made)


def change_config(path: Path, ctx: click.Context, changes: Mapping[str, Any], said: str | None) -> None:
    """Write the file that was read once more, with other values of some settings.

    said: what the table [made] says of it from now on, where a repeat of the run comes to something else.

    Raises XpnnError if the file can't be written.
    """
    made = made_of(ctx)
    before = made[CHANGED] if isinstance(made.get(CHANGED), list) else []
    made = made if said is None or said in before else {**made, CHANGED: [*before, said]}
    _write(path, {**ctx.meta[_VALUES], **changes}, made)


def _write(path: Path, values: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    import tomli_w

    text = (
        f"# All settings of a run of xpnn {xpnn.__version__}. `xpnn train --config` of this file\n"
        "# repeats it; `xpnn train --resume` of its folder goes on with it.\n\n"
    )
    try:
        content = (text + tomli_w.dumps({**values, MADE: dict(made)})).encode()
    except UnicodeEncodeError as error:
        raise xpnn.XpnnError(f"{path}: can't be written: the name of the data is no Unicode; rename it") from error
    write_atomically(path, content)


def _resolved(option: click.Parameter, given: Mapping[str, Any], settings: Recipe) -> Any:
    """What an option comes to, as TOML has it; None where it must be left out."""
    name = str(option.name)
    if name in _PLACES:
        return None
    parts = {**dict.fromkeys(PENALTIES, settings.regularization), **dict.fromkeys(AUGMENTATION, settings.augmentation)}
    part = parts.get(name, settings)
    is_setting = hasattr(part, name)
    value = getattr(part, name) if is_setting else given[name]
    if is_setting and settings.optimizer == LBFGS and name not in WITH_LBFGS:
        return None
    if settings.patience is None and name in ("metric", "minimum_change"):
        return None
    if isinstance(option.type, click.types.IntParamType) and value is not None:
        return int(value)
    if name in _PATHS and value is not None:
        return value if value in NAMES else os.path.abspath(value)
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | float) else str(value)


def made_by(net: xpnn.MLP, samples: xpnn.Samples, data_sha256: str, out: Path | None) -> dict[str, Any]:
    """How a run came about; the train step that ran stands in metrics.jsonl, for each epoch."""
    found = {
        "command": shlex.join(["xpnn", *sys.argv[1:]]),
        "started": datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        **surroundings(net),
        "python": platform.python_version(),
        "rows": len(samples),
        "rows_in_file": are_in_file(samples.inputs),
        "data_sha256": data_sha256,
    }
    return found if out is None else {**found, "out": os.path.abspath(out)}


def surroundings(net: xpnn.MLP) -> dict[str, str]:
    """What the last bits of a result may depend on, beside settings and data."""
    library = blas()
    found = {
        "xpnn": xpnn.__version__,
        "numpy": np.__version__,
        "blas": f"{library['name']}, threads: {library['threads']}",
        "device": net.device.kind,
    }
    return found if net.device.kind == "cpu" else {**found, "cupy": net.xp.__version__}
