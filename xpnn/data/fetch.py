"""Getting a data set of the catalogue, and checking the files of one that is there."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpnn.data.catalogue import CATALOGUE, Entry, File
from xpnn.data.downloads import Progress, Say, checksum_of, download
from xpnn.data.places import by_hand, places, present_files
from xpnn.errors import DataError, XpnnError
from xpnn.files import write_atomically
from xpnn.locks import alone_in

ARCHIVE_FOLDER = "emnist"  # beside the folders of the sets that come out of it
WHOLE, DAMAGED, MISSING, UNPACKED = "whole", "damaged", "missing", "unpacked"


def fetch(name: str, *, progress: Progress, say: Say) -> Path:
    """Download what is missing or damaged of a data set, and return the folder that holds it, whole.

    It goes to $XPNN_DATA_DIR if that is set, else to the user's cache folder; where it is whole already, it stays.
    Several processes may do this at once: one downloads, the others wait for it.
    progress, say: as for `download`.

    Raises XpnnError if no mirror gives a file or it can't be written, with what to put where by hand.
    """
    entry, target = CATALOGUE[name], next(places(name))
    for folder in places(name):
        found = set(verify(name, folder).values())
        if found == {WHOLE}:
            return folder
        if MISSING not in found:  # what is here is what would be read
            break
    if not entry.mirrors:
        raise DataError("is damaged; install xpnn again", target / entry.files[0].name)
    with _alone_in(target, say):
        states = verify(name, target)  # another process may have been here in the meantime
        lacking = [file for file in entry.files if states[file.name] != WHOLE]
        try:
            if entry.archive is None:
                for file in lacking:
                    _fetch_file(entry, file, target, progress, say)
            elif lacking:
                _extract(_archive(entry, entry.archive, target, progress, say), lacking, target)
        except XpnnError as error:
            missing = [file for file, state in verify(name, target).items() if state != WHOLE]
            into = f"{by_hand(name, missing)} into {target}"
            raise XpnnError(f"{error}. `xpnn data get {name}` goes on from here; or, by hand, put {into}") from error
    return target


def verify(name: str, folder: Path) -> dict[str, str]:
    """What the folder has of each published file: whole, damaged, missing, or unpacked, for which there is no checksum.

    Raises XpnnError if a file can't be read.
    """
    entry = CATALOGUE[name]
    unpacked = present_files(folder, entry)
    states = {}
    for file in entry.files:
        if (folder / file.name).is_file():
            states[file.name] = WHOLE if _is_whole(folder / file.name, file) else DAMAGED
        else:
            states[file.name] = UNPACKED if file.name in unpacked else MISSING
    return states


def _is_whole(path: Path, file: File) -> bool:
    return path.is_file() and checksum_of(path, file.checksum.partition(":")[0]) == file.checksum


def _fetch_file(entry: Entry, file: File, folder: Path, progress: Progress, say: Say) -> None:
    say(f"downloading {file.name}")
    download(
        [mirror + file.name for mirror in entry.mirrors], folder / file.name, file.checksum, progress=progress, say=say
    )


def _archive(entry: Entry, archive: File, target: Path, progress: Progress, say: Say) -> Path:
    """The archive, which is downloaded if it isn't there, and stays for the other sets that it holds."""
    path = target.parent / ARCHIVE_FOLDER / archive.name
    with _alone_in(path.parent, say):
        if not _is_whole(path, archive):
            _fetch_file(entry, archive, path.parent, progress, say)
    say(f"{path} holds the other sets of EMNIST too; delete it if you don't need them")
    return path


def _extract(path: Path, files: list[File], target: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {member.rpartition("/")[2]: member for member in archive.namelist()}
        for file in files:
            content = archive.read(members[file.name])
            algorithm, _, digest = file.checksum.partition(":")
            if hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() != digest:
                raise DataError(f"{file.name} in it has another checksum than the published one", path)
            write_atomically(target / file.name, content)


@contextmanager
def _alone_in(folder: Path, say: Say) -> Iterator[None]:
    """Make the folder, and keep other processes that download to it waiting."""
    said = False

    def wait() -> None:
        nonlocal said
        if not said:
            say(f"another process downloads to {folder}: waiting for it")
        said = True
        time.sleep(0.1)

    with alone_in(folder, "set XPNN_DATA_DIR to a folder that can be, on a local disk", wait):
        yield
