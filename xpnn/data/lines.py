"""The lines of a CSV file, and what can be said of one: what the readers of pixels and of tables share."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial

from xpnn.data.files import Fingerprint, opened
from xpnn.errors import DataError, Path

PIECE = 1 << 16  # characters
LONGEST_LINE = 1 << 24  # characters; a picture of 2000 x 2000 pixels fits
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
EXCELS_NOTE = re.compile("sep=.\\s*", re.IGNORECASE)  # of what separates the columns
DECIMAL_COMMA = re.compile("[+-]?[0-9]{1,15},[0-9]{1,15}")


def read_lines(path: Path, fingerprint: Fingerprint | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines that aren't blank, each with its number from 1; the fingerprint is taken if all are asked for."""
    with opened(path, fingerprint) as file:
        # Bytes that aren't UTF-8 come through as surrogates: that way their line is known.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
        lines = iter(partial(text.readline, LONGEST_LINE), "")
        for number, line in enumerate(lines, 1):
            if line.isspace() and len(line) < LONGEST_LINE:  # first, for a file may be millions of them
                continue
            if "\0" in line or not (line.isascii() or _is_utf8(line)):
                remedy = "save it as UTF-8 if it is text (in Excel: CSV UTF-8)"
                raise DataError(f"this is not text (UTF-8), so not a CSV file: {remedy}", path, line=number)
            if len(line) == LONGEST_LINE:
                raise DataError(f"more than {LONGEST_LINE:,} characters in a line: not a CSV file", path, line=number)
            yield number, line


def _is_utf8(line: str) -> bool:
    return re.search("[\ud800-\udfff]", line) is None


def separator_of(path: Path) -> str:
    """What stands between the fields of a file: a comma, a semicolon or a tab, whichever its first line has.

    Where that has several outside of quotes, they are semicolons if there are decimal commas between these in the first
    two lines; else what both lines have equally often. Raises DataError where that is not one alone, and for
    a note of Excel's in the first line; "," where there is none.
    """
    lines = read_lines(path)
    number, first = next(lines, (0, ""))
    if EXCELS_NOTE.fullmatch(first):
        raise DataError("this line is a note for Excel alone: delete it", path, line=number)
    found = _separators(first)
    if len(found) < 2:
        return next(iter(found), ",")
    _, second = next(lines, (0, first))
    if {",", ";"} <= found.keys() and any(map(_has_decimal_commas, (first, second))):
        return ";"
    in_second = _separators(second)
    even = [separator for separator, count in found.items() if in_second.get(separator) == count]
    if len(even) != 1:
        names = " or ".join(SEPARATORS[separator] for separator in found)
        problem = f"the columns may be separated by {names}: put names and words that hold one of them in quotes"
        raise DataError(problem, path, line=number)
    return even[0]


def _separators(line: str) -> dict[str, int]:
    """How often each separator stands in a line outside of quotes; tabs beside commas or at the end are but blanks."""
    line = (re.sub('"[^"]*"?', "", line) if '"' in line else line).rstrip()
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    if counts[","] and counts["\t"]:
        counts["\t"] = sum(field.strip().count("\t") for fields in pieces(line, ",") for field in fields)
    return {separator: count for separator, count in counts.items() if count}


def _has_decimal_commas(line: str) -> bool:
    """Whether a line has semicolons, and commas between them that are all decimal."""
    fields = [field for part in pieces(line, ";") for field in part if "," in field]
    return ";" in line and bool(fields) and all(DECIMAL_COMMA.fullmatch(field.strip()) for field in fields)


def with_points(text: str, separator: str) -> str:
    """A number, or a line of them, as Python writes it: where semicolons separate, a comma in a number is decimal."""
    return text.replace(",", ".") if separator == ";" else text


def pieces(line: str, separator: str) -> Iterator[list[str]]:
    """The fields of a line, between its separators, in lists of some thousands.

    A list of all of them takes more than twenty times the memory of a long line.
    """
    start = 0
    while start <= len(line):
        end = line.find(separator, start + PIECE)
        end = len(line) if end < 0 else end
        yield line[start:end].split(separator)
        start = end + 1


def taken_out(line: str, separator: str, columns: int, place: int) -> tuple[str, str]:
    """The field at `place`, of so many in a line, and the line without it.

    Separators within quotes count, too: where there are any, what is left has a quote. ValueError if that makes other
    than so many fields.
    """
    if line.count(separator) != columns - 1:
        raise ValueError
    behind = columns - 1 - place
    parts = line.split(separator, place + 1) if place < behind else line.rsplit(separator, behind + 1)
    field = parts.pop(place if place < behind else -1 - behind)
    return field, separator.join(parts)


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


def without_a_name(column: int) -> str:
    """What to say of a column, counted from 1, that has no name where others have."""
    problem = "this column has no name: give it one in this line, or delete the column"
    return problem + ("; if pandas wrote its row numbers there, to_csv(index=False) doesn't" if column == 1 else "")


def wrong_separator(line: str) -> str | None:
    """What to say of a line without a separator that has bars."""
    if "|" not in line:
        return None
    remedy = "pandas.read_csv(OLD, sep='|').to_csv(NEW, index=False) writes commas"
    return f"the columns are separated by bars: commas, semicolons or tabs are needed; {remedy}"


def count_columns(columns: int) -> str:
    """How many columns, in words: 1 column, 2 columns."""
    return "1 column" if columns == 1 else f"{columns} columns"
