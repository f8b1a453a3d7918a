"""Where the data sets of the catalogue lie: in $XPNN_DATA_DIR, or in the user's cache folder; a folder for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from xpnn.data.catalogue import CATALOGUE, Entry
from xpnn.errors import DataError

DATA_VARIABLE = "XPNN_DATA_DIR"
CACHE_VARIABLE = "XPNN_CACHE_DIR"
PACKED = (".gz", ".bz2")


def places(name: str) -> Iterator[Path]:
    """The folders in which a data set is looked for, in this order; the first is where it is downloaded to.

    Raises DataError where $XPNN_DATA_DIR is a file.
    """
    if not CATALOGUE[name].mirrors:
        yield Path(__file__).parent
        return
    if given := os.environ.get(DATA_VARIABLE):
        folder = Path(os.path.expanduser(given))
        if folder.exists() and not folder.is_dir():
            problem = f"{DATA_VARIABLE} is {given}, which is no folder"
            raise DataError(f"{problem}: set it to one that holds {name}, or to none")
        yield folder / name
    yield cache_folder() / name


def cache_folder() -> Path:
    """The folder for what can be fetched or made again: $XPNN_CACHE_DIR, or as the operating system has it.

    Raises DataError where it has none, for a user without a home.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(os.path.expanduser(given))
    import platformdirs

    problem = f"the system has no home for this user: set {CACHE_VARIABLE} to a folder for data sets"
    try:
        folder = Path(platformdirs.user_cache_dir("xpnn", appauthor=False))
    except RuntimeError as error:
        raise DataError(problem) from error
    if not folder.is_absolute():  # an older platformdirs returns ~/.cache
        raise DataError(problem)
    return folder


def find(name: str) -> dict[str, Path]:
    """The files of a data set, by their published names, each in the spelling in which it is there.

    Raises DataError if they are in none of its places, which says how to get them.
    """
    tried = []
    for place in places(name):
        paths = present_files(place, CATALOGUE[name])
        if len(paths) == len(CATALOGUE[name].files):
            return paths
        tried.append((place, paths))
    folder, paths = next((place for place in tried if place[1]), tried[0])
    missing = [file.name for file in CATALOGUE[name].files if file.name not in paths]
    they, are = ("them", "are") if paths and len(missing) > 1 else ("it", "is")
    problem = f"{_listed(missing)} {are} missing" if paths else "it is not here"
    remedy = f"`xpnn data get {name}` downloads {they}, or put {by_hand(name, missing)} into {folder}"
    looked_in = " and ".join(str(place) for place, _ in tried)
    raise DataError(f"{name}: {problem} (looked in {looked_in}): {remedy}")


def present_files(folder: Path, entry: Entry) -> dict[str, Path]:
    """Which of the published files are in the folder: packed or not, with - or . before idx."""
    try:
        there = set(os.listdir(folder))
    except OSError:
        return {}
    found = {}
    for file in entry.files:
        packing = next((ending for ending in PACKED if file.name.endswith(ending)), "")
        plain = file.name.removesuffix(packing)
        spellings = (file.name, plain, plain.replace("-idx", ".idx"), file.name.replace("-idx", ".idx"))
        found_here = (spelling for spelling in spellings if spelling in there and (folder / spelling).is_file())
        spelling = next(found_here, None)
        if spelling is not None:
            found[file.name] = folder / spelling
    return found


def by_hand(name: str, missing: Sequence[str]) -> str:
    """What to fetch without xpnn, of the files that are missing, and where from."""
    entry = CATALOGUE[name]
    archive = f"{entry.archive.name} of " if entry.archive else ""
    return f"{_listed(missing)} from {archive}{entry.mirrors[0] if entry.mirrors else entry.homepage}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
