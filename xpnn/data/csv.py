"""MNIST's CSV: on each line a label and the pixels, whole numbers from 0 to 255; commas, semicolons or tabs between.

NumPy reads well-formed files quickly. The careful reader below is the reference: it reads what NumPy
refuses (quotes, 12.0), and says what is wrong, and where, in what can't be read.
"""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import Fingerprint, check_limit, shown
from xpnn.data.lines import (
    count_columns,
    is_number,
    pieces,
    read_lines,
    separator_of,
    taken_out,
    unquoted,
    with_points,
    without_a_name,
    wrong_separator,
)
from xpnn.data.twins import read_once
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

LEVELS = frozenset(range(256))
READER = "pixels 1"  # to be counted up when a file is read otherwise than before: see twins.py
TABLE = "; or is this a table? Then name its --label-column or --targets"
FEWEST_COUNTED = 10  # columns; fewer that count 0, 1, 2, ... may well be data


def read_csv(path: Path, *, limit: int | None = None, labelled: bool = True) -> Samples:
    """Read a CSV file, gzipped or not, with or without a line of column names at the top.

    All of a large file is parsed once, and then kept in the user's cache folder (`xpnn.data.twins`).
    limit:    read the first rows only, as many as this.
    labelled: the first column is the label; if False, every column is a pixel.

    Returns inputs (n, pixels) uint8 and targets (n,) int64, or None if not `labelled`.
    Raises DataError naming line and column of what can't be read; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    separator = separator_of(path)
    parse = partial(_parse, path, separator, limit, labelled)
    table = read_once(path, f"{READER}, by {separator!r}", np.uint8, parse) if limit is None else parse()
    if labelled and table.shape[1] < 2:
        table = _read_carefully(path, separator, limit, labelled)  # which says so
    if not labelled:
        return Samples(table)
    return Samples(np.ascontiguousarray(table[:, 1:]), table[:, 0].astype(np.int64))


def read_levels(
    path: Path, separator: str, above: int, columns: int, place: int, limit: int | None
) -> NDArray[np.uint8] | None:
    """All columns but the one at `place`, which may hold anything, (n, columns - 1) uint8; None for any other file.

    above: how many lines of names there are.

    All of a large file is kept, as by `read_csv`. A file with quotes around anything else is not one of these.
    """

    def parse(fingerprint: Fingerprint | None = None) -> NDArray[np.uint8]:
        lines = itertools.islice(read_lines(path, fingerprint), above, None)
        rest = _ascii_only(taken_out(line, separator, columns, place)[1] for _, line in lines)
        most = None if limit is None else min(limit, sys.maxsize)
        return np.loadtxt(rest, dtype=np.uint8, delimiter=separator, comments=None, ndmin=2, max_rows=most)

    reader = f"{READER}, by {separator!r}: all but {place} of {columns} below {above}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read_once(path, reader, np.uint8, parse) if limit is None else parse()
        except (ValueError, Warning):  # a DataError too
            return None


def line_of_row(path: Path, row: int) -> int:
    """The line, counted from 1, on which data row `row`, counted from 0, is found in a file that can be read."""
    lines = read_lines(path)
    first = next(lines)
    data_lines = lines if _is_header(first[1], separator_of(path)) else itertools.chain([first], lines)
    return next(itertools.islice(data_lines, row, None))[0]


def column_names(path: Path) -> list[str]:
    """The names in the line at the top; none where it is a row of data."""
    _, first = next(read_lines(path), (0, ""))
    return names_in(first, separator_of(path))


def names_in(first: str, separator: str) -> list[str]:
    """The names in a file's first line; none where it is a row of data."""
    return [*_fields(first, separator)] if _is_header(first, separator) else []


def _parse(
    path: Path, separator: str, limit: int | None, labelled: bool, fingerprint: Fingerprint | None = None
) -> NDArray[np.uint8]:
    """All columns, (n, columns) uint8: the quick way, or else the careful one."""
    table = _read_quickly(path, separator, limit, fingerprint)
    return _read_carefully(path, separator, limit, labelled, fingerprint) if table is None else table


def _read_quickly(
    path: Path, separator: str, limit: int | None, fingerprint: Fingerprint | None = None
) -> NDArray[np.uint8] | None:
    """All columns as NumPy reads them, (n, columns) uint8; None where NumPy has any doubt."""
    lines = (line for _, line in read_lines(path, fingerprint))
    first = next(lines, "")
    data_lines = _ascii_only(lines if _is_header(first, separator) else itertools.chain([first], lines))
    most = None if limit is None else min(limit, sys.maxsize)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            table = np.loadtxt(data_lines, dtype=np.uint8, delimiter=separator, comments=None, ndmin=2, max_rows=most)
        except DataError:  # of `read_lines`, which the careful reader would meet too, if it goes beyond the first line
            if separator not in first:
                return None
            raise
        except (ValueError, Warning):
            return None
    return table if table.shape[1] == first.count(separator) + 1 else None


def _ascii_only(lines: Iterator[str]) -> Iterator[str]:
    """The lines as they are; ValueError at one that isn't ASCII, for on some characters loadtxt crashes Python."""
    for line in lines:
        if not line.isascii():
            raise ValueError
        yield line


def _read_carefully(
    path: Path, separator: str, limit: int | None, labelled: bool, fingerprint: Fingerprint | None = None
) -> NDArray[np.uint8]:
    """All columns, (n, columns) uint8, or a DataError for the first thing that is wrong."""
    values = bytearray()
    columns = 0
    for number, line in read_lines(path, fingerprint):
        found = line.count(separator) + 1
        if not columns:
            columns, first_number = found, number
            if labelled and columns == 1:
                problem = "only one column: a label and pixels are needed, separated by commas, semicolons or tabs"
                raise DataError(wrong_separator(line) or problem, path, line=number)
            if _is_header(line, separator):
                continue
        if found != columns:
            problem = f"{count_columns(found)}, but line {first_number} has {columns}: every line needs as many"
            problem += TABLE if '"' in line else ""  # around a text with a comma in it
            raise DataError(problem, path, line=number)
        before = 0
        for fields in pieces(line, separator):
            levels = list(map(level, fields))
            if min(levels) < 0:
                wrong = levels.index(-1)
                problem = _what_is_wrong(fields[wrong], separator, labelled and before + wrong == 0)
                known = _known_fault(line, separator, number == first_number)
                raise DataError(known or problem, path, line=number, column=before + wrong + 1)
            values += bytes(levels)
            before += len(fields)
        if limit is not None and len(values) == limit * columns:
            break
    if not values:
        problem = "column names at the top, but no rows of data below" if columns else "the file is empty"
        raise DataError(problem, path)
    return np.frombuffer(values, np.uint8).reshape(-1, columns)


def _is_header(line: str, separator: str) -> bool:
    """Whether a first line holds column names: a name, and then names or a count (0, 1, 2, ...), or a count alone.

    A name before anything else is a label that was mistyped: taken for a header, its row would be lost in silence.
    """
    line = with_points(line, separator)
    first, others = next(_fields(line, separator)), line.count(separator)
    if first == "" or is_number(first) or (not others and wrong_separator(first)):
        return others + 1 >= FEWEST_COUNTED and _counts(_fields(line, separator), 0)
    after_first = (itertools.islice(_fields(line, separator), 1, None) for _ in range(3))
    names = sum(field != "" and not is_number(field) for field in next(after_first))
    return 2 * names >= others or any(map(_counts, after_first, (0, 1)))


def _fields(line: str, separator: str) -> Iterator[str]:
    return map(unquoted, itertools.chain.from_iterable(pieces(line, separator)))


def _counts(fields: Iterator[str], start: int) -> bool:
    return all(field == str(number) for number, field in enumerate(fields, start))


@lru_cache(maxsize=4096)
def level(field: str) -> int:
    """The whole number from 0 to 255 that a field holds, or -1 if it holds anything else."""
    text = unquoted(field)
    if not text.isascii() or "_" in text:  # float() reads digits of any script and 1_000, no numbers in a CSV file
        return -1
    try:
        value = float(text)
    except ValueError:
        return -1
    return int(value) if value in LEVELS else -1


def _known_fault(line: str, separator: str, is_first: bool) -> str | None:
    """What to say of a line that can't be read, where it shows why: by bars between columns, or pandas' row numbers."""
    if separator not in line:
        return wrong_separator(line)
    first, second = itertools.islice(_fields(line, separator), 2)
    return without_a_name(1) if is_first and not first and second and not is_number(second) else None


def _what_is_wrong(field: str, separator: str, is_label: bool) -> str:
    """What to say of a field that holds no level."""
    field = field.strip()
    problem = f"found {shown(field) if field else 'an empty field'}, expected a {'label' if is_label else 'pixel'}"
    problem = f"{problem}, a whole number from 0 to 255: correct it or delete the line"
    number = with_points(unquoted(field), separator)
    if is_number(number) and math.isfinite(float(number)):
        problem += TABLE
    elif is_label:
        problem += "; if labels are words, name their --label-column"
    return problem
