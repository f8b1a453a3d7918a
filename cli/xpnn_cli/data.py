"""xpnn data: the data sets that are known by name, and what is kept of CSV files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import xpnn
from xpnn.data.catalogue import CATALOGUE, NAMES
from xpnn.data.places import find, places
from xpnn_cli.options import json_option, print_json

name_argument = click.argument("name", type=click.Choice(NAMES), metavar="NAME")


@click.group(short_help="Get data sets that are known by name, and check them.")
def data() -> None:
    """Data sets that are known by name: list them, get them, check them.

    \b
      xpnn data list                  what there is, and what is here
      xpnn data get fashion-mnist     download it
      xpnn train fashion-mnist        then it can be used by name

    They are looked for in $XPNN_DATA_DIR and then in your cache folder ($XPNN_CACHE_DIR, or the system's), each in a
    folder of its own name. Only `xpnn data get` downloads.

    `xpnn data cache` is about CSV files of your own: what is kept of them so that they are parsed only once.
    """


@data.command("list", short_help="What there is, and what is here.")
@json_option
def list_(as_json: bool) -> None:
    """List the data sets: rows for training and test, pixels, classes, size of the download, and if it is here."""
    if as_json:
        print_json([_about(name) for name in NAMES])
        return
    for name, entry in CATALOGUE.items():
        height, width = entry.image_shape
        rows = "{:,} + {:,}".format(*entry.rows)
        size = f"{entry.megabytes:.0f} MB" if entry.mirrors else "-"
        here = "here" if _folder(name) else "-"
        line = (
            f"{name:16}{rows:>17}  {height} x {width:<3}{len(entry.labels):3} classes  {size:>7}  {here:5}{entry.title}"
        )
        click.echo(line)


@data.command()
@name_argument
@json_option
def get(name: str, as_json: bool) -> None:
    """Download the data set NAME, and check it.

    It goes to $XPNN_DATA_DIR if that is set, else to your cache folder. Each file is checked against its published
    checksum, and what was cut off is taken up where it stopped, also by the next `xpnn data get`. Files that are there
    and whole are left alone.
    """
    from xpnn.data.fetch import fetch

    with _DownloadProgress() as progress:
        folder = fetch(name, progress=progress.update, say=progress.say)
    if as_json:
        print_json(_about(name) | {"folder": str(folder)})
        return
    entry = CATALOGUE[name]
    click.echo(f"{folder} holds {name}, whole: {', '.join(file.name for file in entry.files)}")
    click.echo(f"licence: {entry.licence}\nto cite: {entry.citation}\nfrom:    {entry.homepage}")


@data.command(short_help="Check a set's files against their checksums.")
@name_argument
@json_option
def verify(name: str, as_json: bool) -> None:
    """Check the files of the data set NAME against their published checksums.

    Ends with 1 unless each of them is whole.
    """
    from xpnn.data.fetch import WHOLE
    from xpnn.data.fetch import verify as states_of

    folder = _folder(name) or next(places(name))
    states = states_of(name, folder)
    checksums = {file.name: file.checksum for file in CATALOGUE[name].files}
    if as_json:
        files = {file: {"state": state, "checksum": checksums[file]} for file, state in states.items()}
        print_json({"name": name, "folder": str(folder), "files": files})
    else:
        for file, state in states.items():
            click.echo(f"{state:9} {file}  {checksums[file]}")
    wrong = [file for file, state in states.items() if state != WHOLE]
    if wrong:
        problem = f"{len(wrong)} of {len(states)} files are not as published"
        remedy = f"`xpnn data get {name}` downloads them" if CATALOGUE[name].mirrors else "install xpnn again"
        raise xpnn.DataError(f"{problem}: {remedy}", folder)


@data.command()
@name_argument
def path(name: str) -> None:
    """Print the folder that holds the data set NAME."""
    click.echo(next(iter(find(name).values())).parent)


@data.command(short_help="What is kept of CSV files that were read.")
@click.option("--clear", is_flag=True, help="Delete all of it.")
@json_option
def cache(clear: bool, as_json: bool) -> None:
    """Show what is kept of CSV files that were read, so that the next time they are not parsed; or delete it.

    The numbers in a CSV file of 2 MB or more are kept in your cache folder, and used again while the file's content is
    the same to the last byte; nothing is lost by deleting them. Before they take more than 2,000 MB in all, those that
    were not used for longest are deleted; $XPNN_CSV_CACHE_MB sets another number, and with 0 nothing is kept.
    """
    from xpnn.data import twins

    found = twins.clear() if clear else twins.kept()
    size = sum(about.st_size for _, about in found)
    if as_json:
        print_json({"folder": str(twins.folder()), "files": len(found), "bytes": size, "cleared": clear})
        return
    count = f"{len(found)} file{'' if len(found) == 1 else 's'} with {size / 1e6:.1f} MB"
    click.echo(f"{twins.folder()}: {count}{' deleted' if clear else ''}")


def _folder(name: str) -> Path | None:
    try:
        return next(iter(find(name).values())).parent
    except xpnn.DataError:
        return None


def _about(name: str) -> dict[str, Any]:
    """What the catalogue says of a data set, and where it is (null: nowhere)."""
    entry = CATALOGUE[name]
    return {
        "name": name,
        "title": entry.title,
        "rows": list(entry.rows),
        "image_shape": list(entry.image_shape),
        "labels": list(entry.labels),
        "megabytes": entry.megabytes,
        "files": {file.name: file.checksum for file in entry.files},
        "licence": entry.licence,
        "citation": entry.citation,
        "homepage": entry.homepage,
        "folder": None if (folder := _folder(name)) is None else str(folder),
    }


class _DownloadProgress:
    """A bar for each file on stderr where that is a terminal; what there is to say, on lines of its own."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> _DownloadProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def update(self, received: int, total: int | None) -> None:
        """Redraw the bar; without a total there is none."""
        if total is None or sys.stderr is None or not sys.stderr.isatty():
            return
        if self.bar is None:
            self.bar = click.progressbar(length=total, file=sys.stderr, width=24, item_show_func=lambda text: text)
            self.bar.__enter__()
        self.bar.update(received - self.bar.pos, f"{received / 1e6:.1f} of {total / 1e6:.1f} MB")

    def say(self, text: str) -> None:
        """Print a line."""
        self._close()
        click.echo(text, err=True)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)
        self.bar = None
