"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np

from xpnn.backend import NO_CUPY, Device, why_no_cuda
from xpnn.data.catalogue import NAMES
from xpnn.errors import ModelFileError
from xpnn.files import check_writable


def size_list(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Layer sizes from whole numbers with commas between; an empty text is an empty list."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")] if value.strip() else []
    if not all(re.fullmatch("0*[1-9][0-9]{0,8}", part) for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 200 or 300,100.")
    return tuple(int(part) for part in parts)


def name_list(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | tuple[str, ...] | None:
    """One name, or several with commas between. What names there are is for the network to say."""
    return tuple(part.strip() for part in value.split(",")) if value and "," in value else value


def device_name(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """auto, cpu, cuda or cuda:N; whether it is there is found out later."""
    if not Device.is_name(value):
        raise click.BadParameter(f"{value!r} is not one of auto, cpu, cuda, cuda:N (such as cuda:1).")
    return value


def finite(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Neither "nan", which no range keeps out, nor "inf"."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def writable(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """A file that can be written: found out before the work, not after it."""
    if value is None:
        return None
    if not value.name:
        raise click.BadParameter("the name of a file is needed.")
    if not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}; make it first.")
    check_writable(value)
    return value


def check_not_read(option: str, written: Path | None, **read: str | Path | None) -> None:
    """Raise UsageError where the file that an option names is one of those that are read: it would be lost."""
    if written is None or not os.path.exists(written):
        return
    for name, path in read.items():
        if path is not None and path not in NAMES and os.path.exists(path) and os.path.samefile(path, written):
            problem = f"{written} is the {name.replace('_', ' ')} itself, which would be lost"
            raise click.UsageError(f"{option}: {problem}; choose another name.")


def typed(path: Path | str) -> str:
    """A path as it is typed in a shell: in quotes where it holds spaces or the like."""
    return shlex.quote(str(path))


class GroupedOption(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *arguments: Any, group: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings; those without one come first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options' part of the help."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


device_option = click.option(
    "--device",
    metavar="DEVICE",
    callback=device_name,
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:N for the N-th GPU from 0, or auto: a GPU if one can be used, else the CPU.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout and nothing else.")


def chosen_device(name: str) -> Device:
    """The device called `name`; for "auto", stderr says which it is, and why not CUDA where that could be expected."""
    device = Device.named(name)
    if name == "auto":
        problem = why_no_cuda() if device.kind == "cpu" else ""
        if problem == NO_CUPY and shutil.which("nvidia-smi") is None:  # no driver either: there is no card to speak of
            problem = ""
        click.echo(f"device: {device}" + (problem and f"; CUDA can't be used: {problem}"), err=True)
    return device


def refuse_unless_finite(values: Any, model: str, output: str) -> None:
    """Raise ModelFileError if what a model gave is not finite: nothing can be read from it.

    values: (n, n_out), or a number of all rows; output: the activation behind which they are.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    if output == "exp":
        row = f"; the first is row {int(finite.all(axis=1).argmin()) + 1}" if np.ndim(values) == 2 else ""
        problem = "rows far from those that were learnt come to more than exp can hold; correct them"
        raise ModelFileError(f"{model}: its answers are not finite numbers, for {problem}{row}")
    raise ModelFileError(f"{model}: its answers are not finite numbers, so its weights are too large; train it anew")


def print_json(result: Any) -> None:
    """A command's result as JSON, on stdout: one value, all of it standard."""
    click.echo(json.dumps(result, allow_nan=False))
