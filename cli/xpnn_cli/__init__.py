"""The command line of xpnn: each command is one file, and all of them are thin; the work is xpnn's.

stdout is for results, stderr for progress. Exit codes: 0, 1 for bad data or a failed run, 2 for wrong usage,
130 on Ctrl-C; 143 on SIGTERM and 129 on SIGHUP where a run is kept, which is then saved.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import Any

try:
    import click

    from xpnn.errors import XpnnError
    from xpnn_cli.cross_validate import cross_validate
    from xpnn_cli.data import data
    from xpnn_cli.devices import devices
    from xpnn_cli.draw import draw
    from xpnn_cli.export import export
    from xpnn_cli.find_lr import find_lr
    from xpnn_cli.plot import plot
    from xpnn_cli.query import query
    from xpnn_cli.streams import prepare_streams
    from xpnn_cli.test import test
    from xpnn_cli.train import train
except KeyboardInterrupt:  # Ctrl-C while NumPy is being loaded
    sys.exit(130)


class _Commands(click.Group):
    """The group that turns what can go wrong into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are needed; Click's is that of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        prepare_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a class may be called お where the output is no Unicode
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]  # it passes over the place
                return super().invoke(ctx)
        except XpnnError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            detail = f" ({error})" if str(error) else ""
            raise click.ClickException(f"not enough memory{detail}; lower --hidden or --limit") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has seen enough: Click ends the program quietly
                raise
            _discard_output()
            raise click.ClickException(f"the output can't be written ({error.strerror}); make room for it") from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            ctx.exit(130)


def _show_warning(message: Warning | str, *_: Any) -> None:
    """In one line, without the place in the code."""
    click.echo(f"Warning: {message}", err=True)


def _discard_output() -> None:
    """Let what stdout still holds go nowhere: Python tries to write it once more when it ends."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="xpnn")
def main() -> None:
    """Train, test and query multilayer perceptrons on the CPU or a CUDA GPU.

    \b
    Start here:
      xpnn train                                learn digits, in a second
      xpnn test model.safetensors               how good is it?
      xpnn query model.safetensors picture.png  which digit is this?

    `xpnn COMMAND --help` explains each command.
    """


for command in (train, test, query, draw, plot, find_lr, cross_validate, data, export, devices):
    main.add_command(command)
