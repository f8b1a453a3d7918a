"""A set of data in a folder of Parquet files, its shards, as the Hugging Face hub has them.

    root/data/train-00000-of-00002.parquet  root/data/train-00001-of-00002.parquet  root/data/test-00000-of-00001...
    root/train/0000.parquet  root/test/0000.parquet

A file's name says by its first word, or else its folder's, which part it belongs to; if none does, all are training's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.data.arrow import opened_arrow
from xpnn.data.files import Progress, check_limit, shown
from xpnn.data.folders import ROLES, role_of
from xpnn.data.layouts import Layout, layout_of
from xpnn.data.parts import MOST_CLASSES, Parts, Rows, by_names, natural_order, parts_of
from xpnn.data.rowgroups import InFile, RowGroups, in_file, with_labels
from xpnn.errors import DataError, Path
from xpnn.memory import fits
from xpnn.stored import BLOCK_BYTES, StoredRows

ENDING = ".parquet"
NOTES = frozenset(["metadata.parquet"])  # of a folder of pictures, about these
DEEPEST = 3  # folders below the root that are looked into: a configuration's, a part's
NUMBERED = re.compile(r"(.*-)(\d+)-of-(\d+)\.parquet", re.IGNORECASE)


class Shard(NamedTuple):
    """A file, and the folders that it lies in below the root."""

    path: str
    folders: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the file."""
        return os.path.basename(self.path)

    @property
    def role(self) -> str | None:
        """train, test or validation, if the names say so."""
        word = re.match("[a-z]*", self.name.lower())
        return role_of(word[0] if word else "") or (role_of(self.folders[-1]) if self.folders else None)

    @property
    def configuration(self) -> tuple[str, ...]:
        """The folders that it lies in, but for that of a part."""
        return self.folders[:-1] if self.folders and role_of(self.folders[-1]) else self.folders


def holds_shards(folder: Path) -> bool:
    """Whether there are Parquet files in a folder, or not far below it."""
    return next(_listed(os.fspath(folder), ()), None) is not None


def read_shards(
    folder: Path,
    label_column: str | None = None,
    *,
    limit: int | None = None,
    labelled: bool = True,
    columns: Sequence[str] | None = None,
    pixels: bool = False,
    classes: int | None = None,
    progress: Progress | None = None,
) -> Parts:
    """Read the Parquet files of a folder as one set of data, whose parts their names tell; without test, validation is.

    limit:   read the first training rows only, as many as this; those for the test are all read.
    classes: as `load` has it.
    progress: told how many rows of a part have been read, and how many it has.

    The others are those of `columnar.read_columns`, of which each file is as the first one.

    Returns inputs (n, n_in): an array, or StoredRows where they would take too much memory (`xpnn.memory`).
    Raises DataError for files that are missing, differ in their columns, or can't be read in parts.
    """
    check_limit(limit)
    parts = _by_role(natural_shards(folder), folder)
    role = next(role for role in ROLES if role in parts)
    train = parts[role]
    rest = parts.get("test") or parts.get("validation")
    asked = {"label_column": label_column, "labelled": labelled, "columns": columns, "pixels": pixels}
    rows, layout = _read(train, folder, limit, None, progress, **asked)
    found = parts_of(rows, classes)._replace(role=role)
    if rest is None or rest is train:
        return found
    other = parts_of(_read(rest, folder, None, layout, progress, **asked)[0], None if found.labels else MOST_CLASSES)
    if not other.numbered and not found.labels:
        problem = f"the classes of its test rows have names, such as {other.labels[0]!r}, but those of training numbers"
        raise DataError(problem, folder)
    return found._replace(test=by_names(other.train, other, found.labels, folder) if found.labels else other.train)


def natural_shards(folder: Path) -> list[Shard]:
    """The Parquet files of a folder's one configuration, in natural order. Raises DataError where there are several."""
    found = list(_listed(os.fspath(folder), ()))
    several = natural_order("/".join(shard.configuration) for shard in found)
    if len(several) > 1:
        there = ", ".join(shown(name or ".") for name in several[:20])
        raise DataError(f"{len(several)} sets of data lie here, in {there}: give the folder of one", folder)
    order = {path: place for place, path in enumerate(natural_order(shard.path for shard in found))}
    return sorted(found, key=lambda shard: order[shard.path])


def _listed(folder: str, names: tuple[str, ...]) -> Iterator[Shard]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.path, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", folder) from error
    for name, path, is_folder in found:
        if name.startswith("."):
            continue
        if is_folder and len(names) < DEEPEST:
            yield from _listed(path, (*names, name))
        elif not is_folder and name.lower().endswith(ENDING) and name.lower() not in NOTES:
            yield Shard(path, names)


def _by_role(shards: list[Shard], folder: Path) -> dict[str, list[Shard]]:
    """The files of each part, of which none is missing."""
    roles: dict[str, list[Shard]] = {}
    told = any(shard.role for shard in shards)
    for shard in shards:
        if told and shard.role is None:
            remedy = "name it train-..., test-... or validation-..., as others are, or move it away"
            raise DataError(f"its name doesn't say which part it is of: {remedy}", shard.path)
        roles.setdefault(shard.role or "train", []).append(shard)
        numbered = NUMBERED.fullmatch(shard.name)
        if numbered:
            _check_beside(shard, *numbered.groups())
    if not roles:
        raise DataError("there are no Parquet files", folder)
    return roles


def _check_beside(shard: Shard, stem: str, number: str, count: str) -> None:
    """Raise DataError if the file after this one isn't there."""
    following = f"{stem}{int(number) + 1:0{len(number)}}-of-{count}{shard.name[-len(ENDING) :]}"
    first = f"{stem}{0:0{len(number)}}-of-{count}{shard.name[-len(ENDING) :]}"
    for name, is_due in ((following, int(number) + 1 < int(count)), (first, True)):
        if is_due and not os.path.exists(os.path.join(os.path.dirname(shard.path), name)):
            raise DataError(f"{name} is missing beside it: fetch all {int(count)} files", shard.path)


class Joined:
    """The rows of several files one after the other, as `xpnn.stored.RowFile` has them.

    path: of the folder that they lie in.
    """

    def __init__(self, path: Path, files: Sequence[RowGroups]) -> None:
        self.path, self.files = path, files
        self.starts = np.cumsum([0, *(file.shape[0] for file in files)], dtype=np.int64)
        self.shape, self.dtype = (int(self.starts[-1]), files[0].shape[1]), files[0].dtype

    @property
    def block_rows(self) -> int:
        """See RowFile."""
        return max(file.block_rows for file in self.files)

    def read(self, start: int, out: NDArray[Any]) -> None:
        """See RowFile."""
        self.pick(np.arange(start, start + len(out)), out)

    def pick(self, numbers: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See RowFile."""
        ends = np.searchsorted(numbers, self.starts[1:]).tolist()
        for file, first, begin, end in zip(self.files, self.starts.tolist(), [0, *ends], ends, strict=False):
            if end > begin:
                file.pick(numbers[begin:end] - first, out[begin:end])


def _read(
    shards: list[Shard],
    folder: Path,
    limit: int | None,
    layout: Layout | None,
    progress: Progress | None,
    **options: Any,
) -> tuple[Rows, Layout]:
    """The rows of a part, and how they lie in its files.

    layout: that of the part before, which they must have, too. The others are those of `layout_of`.
    """
    files: list[RowGroups] = []
    labels: list[str] = []
    rows: Rows | None = None
    for shard in shards:
        if limit is not None and sum(file.shape[0] for file in files) >= limit:
            break
        found, own_labels = _found(shard.path, rows, layout, options)
        if found is not None:
            files.append(found.rows.inputs.file)
            labels += own_labels
            rows, layout = rows or found.rows, found.layout
    if rows is None or layout is None:
        raise DataError("the files have no rows", folder)
    joined: Any = files[0] if len(files) == 1 else Joined(folder, files)
    inputs: Any = StoredRows.of(joined)[:limit]
    if fits(inputs.nbytes):
        inputs = _in_memory(inputs, progress)
    else:
        for file in files:
            file.check_groups()
    return rows._replace(inputs=inputs, labels=labels[: len(inputs)]), layout


def _in_memory(rows: StoredRows, progress: Progress | None) -> NDArray[Any]:
    """All of the rows, read a block at a time."""
    values = np.empty(rows.shape, dtype=rows.dtype)
    count = max(1, BLOCK_BYTES * len(rows) // max(1, values.nbytes))
    for start in range(0, len(rows), count):
        stop = min(start + count, len(rows))
        values[start:stop] = rows.read(start, stop)
        if progress is not None:
            progress(stop, len(rows))
    return values


def _found(
    path: str, before: Rows | None, layout: Layout | None, options: dict[str, Any]
) -> tuple[InFile | None, list[str]]:
    """The rows of a file, none if there are none, and their labels."""
    with opened_arrow(path) as file:
        if file.footer is None:
            raise DataError("it is packed: unpack it, for Parquet packs its columns itself", path)
        own = layout_of(file, **options)
        if layout is not None:
            if own._replace(pixels=layout.pixels) != layout:
                problem = "its columns, or its classes' names, are not those of the files before it"
                raise DataError(f"{problem}: move it away, or write it as they are", path)
            own = layout
        found = in_file(file, own, options["pixels"], decided=layout is not None)
        if found is None:
            return None, []
        if before is not None and _kind(found.rows) != _kind(before):
            problem = f"a row has {_kind(found.rows)}, but {_kind(before)} in the files before it"
            raise DataError(f"{problem}: all must have the same", path)
        return found, with_labels(file, found).labels


def _kind(rows: Rows) -> str:
    """What all rows have in common."""
    shape = "" if rows.image_shape is None else " of a picture, {} x {}".format(*rows.image_shape)
    return f"{rows.inputs.shape[1]} inputs ({rows.inputs.dtype}){shape}"
