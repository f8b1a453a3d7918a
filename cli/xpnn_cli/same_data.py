"""Whether a run that goes on, or is repeated, has the data that it began with, in the same order."""

from __future__ import annotations

import click

import xpnn
from xpnn.memory import VARIABLE
from xpnn.runs import RunFolder, digest_of
from xpnn.stored import are_in_file
from xpnn_cli.config import made_of
from xpnn_cli.options import typed


def checked_data(folder: RunFolder | None, resumes: bool, samples: xpnn.Samples, *others: xpnn.Samples | None) -> str:
    """The digest of the rows to train on, to validate on and to test on; empty where nobody needs it.

    Raises DataError where a run can't go on for data that are others now; for a configuration's repeat a note says so.
    """
    known = made_of(click.get_current_context()).get("data_sha256")
    _check_order(folder if resumes else None, samples)
    if folder is None and known is None:
        return ""
    digest = digest_of(samples, *others)
    if resumes and folder is not None and known != digest:
        raise xpnn.DataError(
            f"the data are not those that the run in {folder.path} began with: put them back, or begin anew with "
            f"--config {typed(folder.config)}"
        )
    if known not in (None, digest):
        click.echo("note: the data are not those that the run of this configuration had", err=True)
    return digest


def _check_order(folder: RunFolder | None, samples: xpnn.Samples) -> None:
    """Raise DataError where a run in the folder can't go on: its rows came in the other of the two orders there are.

    Without a folder, for a configuration's repeat, a note says so.
    """
    were_in_file, are = made_of(click.get_current_context()).get("rows_in_file"), are_in_file(samples.inputs)
    if were_in_file in (None, are):
        return
    place, now = ("in memory", "stay in their file") if are else ("in their file", "fit into memory")
    problem = f"the rows were {place} when the run began, and now they {now}, where they come in another order"
    remedy = f"set {VARIABLE} to {'the megabytes that they take' if are else '0'}"
    if folder is None:
        click.echo(f"note: {problem}; to have the same one, {remedy}", err=True)
    else:
        raise xpnn.DataError(f"{problem}: {remedy}, or begin anew with --config {typed(folder.config)}")
