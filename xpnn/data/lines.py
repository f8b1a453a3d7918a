"""The lines of a CSV file, and what can be said of one: what the readers of pixels and of tables share."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator

from xpnn.data.files import Fingerprint, opened
from xpnn.errors import DataError, Path

PIECE = 1 << 16  # characters
LONGEST_LINE = 1 << 24  # characters; a picture of 2000 x 2000 pixels fits


def read_lines(path: Path, fingerprint: Fingerprint | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines that aren't blank, each with its number from 1; the fingerprint is taken if all are asked for."""
    with opened(path, fingerprint) as file:
        # Bytes that aren't UTF-8 come through as surrogates: that way their line is known.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
        for number in itertools.count(1):
            line = text.readline(LONGEST_LINE)
            if not line:
                return
            if "\0" in line or not (line.isascii() or _is_utf8(line)):
                remedy = "save it as UTF-8 if it is text (in Excel: CSV UTF-8)"
                raise DataError(f"this is not text (UTF-8), so not a CSV file: {remedy}", path, line=number)
            if len(line) == LONGEST_LINE:
                raise DataError(f"more than {LONGEST_LINE:,} characters in a line: not a CSV file", path, line=number)
            if not line.isspace():
                yield number, line


def _is_utf8(line: str) -> bool:
    return re.search("[\ud800-\udfff]", line) is None


def pieces(line: str) -> Iterator[list[str]]:
    """The fields of a line, between its commas, in lists of some thousands.

    A list of all of them takes more than twenty times the memory of a long line.
    """
    start = 0
    while start <= len(line):
        end = line.find(",", start + PIECE)
        end = len(line) if end < 0 else end
        yield line[start:end].split(",")
        start = end + 1


def is_number(field: str) -> bool:
    """Whether Python reads the field as a number, nan and inf among them."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def unquoted(field: str) -> str:
    """The field without the spaces and the quotes around it."""
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] == '"' else field


def wrong_separator(line: str) -> str | None:
    """What to say of a line without a comma that has some other separator."""
    for separator, name in {";": "semicolons", "\t": "tabs", "|": "bars"}.items():
        if separator in line.strip():
            remedy = f"pandas.read_csv(OLD, sep={separator!r}).to_csv(NEW, index=False) writes them"
            return f"the columns are separated by {name}: commas are needed, and points in numbers; {remedy}"
    return None


def count_columns(columns: int) -> str:
    """How many columns, in words: 1 column, 2 columns."""
    return "1 column" if columns == 1 else f"{columns} columns"
