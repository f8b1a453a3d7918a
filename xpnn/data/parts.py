"""What a source of data holds, as all readers that know classes give it; and labels that are names, as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn.data.files import shown
from xpnn.data.lines import is_number
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

MOST_CLASSES = 1 << 16  # each has a name, and a row and a column in the confusion matrix
WHOLE = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
MISSING_LABELS = frozenset(["", "nan", "?"])
LONGEST_LABEL = 255  # characters; a folder's name has no more
FEWEST_DOUBTED = 20  # different labels; more than these, and than half of the rows, are hardly classes


class Parts(NamedTuple):
    """What a source of data holds: training samples, test samples if it has any, (height, width) of pictures.

    labels:       the classes' names, where they have any.
    numbered:     the classes have these numbers in the source itself, and not only in the order of their names.
    columns:      names of the input columns, where it is a table.
    label_column: the name of the column with the labels, where it is a table.
    role:         train; or test or validation where there are no others, and these stand in the place of training's.
    """

    train: Samples
    test: Samples | None
    image_shape: tuple[int, int] | None
    labels: tuple[str, ...] = ()
    numbered: bool = True
    columns: tuple[str, ...] | None = None
    label_column: str | None = None
    role: str = "train"


class Rows(NamedTuple):
    """Rows as a reader of tables finds them.

    inputs:       (n, n_in), uint8 pixels or floats; an array, or StoredRows.
    labels:       of each row, as it stands there; none where they were not asked for.
    image_shape:  (height, width) where a row is a picture.
    columns:      names of the input columns, where each has a meaning of its own.
    label_column: its name.
    names:        what the numbers among the labels are called, where the file says so.
    """

    inputs: Any
    labels: list[str]
    image_shape: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None
    label_column: str | None = None
    names: tuple[str, ...] = ()


def label_text(text: str, written: str | None = None) -> str:
    """A label as it is called: without spaces around it, and a whole number without signs and zeros that say nothing.

    written: how it stands in the file, if otherwise.

    Raises ValueError, with what to say of it after its column's name, where it is none.
    """
    text, written = text.strip(), (written or text).strip()
    if WHOLE.fullmatch(text):
        return str(int(text.partition(".")[0]))
    if text.lower() in MISSING_LABELS:
        raise ValueError(f"is missing ({shown(text) if text else 'an empty field'}): fill it in, or leave the row out")
    if is_number(text):
        problem = f"is {shown(written)}, and a class has a name or a whole number"
        raise ValueError(f"{problem}: to predict the numbers themselves, name the column in --targets")
    if not text.isprintable():
        raise ValueError(f"is {shown(text)}: the name of a class must be printable")
    if len(text) > LONGEST_LABEL:
        raise ValueError(f"is {shown(text)}, {len(text):,} characters: the name of a class has {LONGEST_LABEL} at most")
    return text


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Different names as people sort them: 9 before 10, and -1 before 1."""
    names = set(names)
    if all(map(WHOLE.fullmatch, names)):  # folders too may be called 2 and 02, or 2. (with a point)
        return tuple(sorted(names, key=lambda name: (int(name.partition(".")[0]), name)))
    return tuple(sorted(names, key=lambda name: ([_sortable(part) for part in re.split("([0-9]+)", name)], name)))


def _sortable(part: str) -> tuple[int, str]:
    """Digits by the number that they make, before which the longer one is the larger; anything else by its letters."""
    digits = part.lstrip("0")
    return (len(digits), digits) if part.isascii() and part.isdigit() else (-1, part.casefold())


def parts_of(rows: Rows, classes: int | None = None) -> Parts:
    """The rows with their labels as numbers.

    Labels that are whole numbers from 0 on, 0 among them, are the classes' numbers, as they are where the number of
    `classes` is given or the file has names for them. All others are names: the classes are numbered in their order.
    """
    whole = all(label.isascii() and label.isdigit() for label in rows.labels)
    numbered = whole and ("0" in rows.labels or classes is not None or bool(rows.names))
    names = rows.names
    if numbered:
        targets = np.fromiter(map(int, rows.labels), np.int64, len(rows.labels))
    else:
        names = natural_order(rows.labels)
        numbers = {name: number for number, name in enumerate(names)}
        targets = np.fromiter((numbers[label] for label in rows.labels), np.int64, len(rows.labels))
    samples = Samples(rows.inputs, targets if rows.labels else None)
    return Parts(samples, None, rows.image_shape, names, numbered, rows.columns, rows.label_column)


def check_are_classes(parts: Parts, path: Path) -> None:
    """Raise DataError where nearly every row has a label of its own: these are no classes."""
    n, count = len(parts.train), len(np.unique(np.asarray(parts.train.targets)))
    if count > FEWEST_DOUBTED and 2 * count > n:
        problem = f"{shown(parts.label_column or 'label')} has {count:,} different labels in {n:,} rows, too many"
        another = "to predict the numbers themselves, name the column in --targets"
        if not all(map(WHOLE.fullmatch, parts.labels)):
            another = "name another column, if these are no classes"
        raise DataError(f"{problem} for classes: {another}; else pass classes=N (--classes N)", path)


def by_names(samples: Samples, parts: Parts, known: Sequence[str], path: Path) -> Samples:
    """The samples, which are `parts`', with the numbers that their classes have in the list `known`.

    A class is found by its name; or by its number, where it has no name or another one, if `known` has no numbers as
    names. Raises DataError for a name that is not there; whether numbers are in range is for others to say.
    """
    if samples.targets is None:
        return samples
    place = {name: number for number, name in enumerate(known)}
    by_number = parts.numbered and (_are_numbers(known) or not any(map(WHOLE.fullmatch, known)))
    present, where = np.unique(samples.targets, return_inverse=True)
    found = []
    for label in present.tolist():
        name = parts.labels[label] if label < len(parts.labels) else str(label)
        number = place.get(name, label if by_number else None)
        if number is None:
            row = int(np.flatnonzero(samples.targets == label)[0])
            there = ", ".join(map(shown, known[:20])) + (f" and {len(known) - 20:,} more" if len(known) > 20 else "")
            problem = f"the label {shown(name)}, in row {row}, counted from 0, is none of the classes {there}"
            raise DataError(f"{problem}: correct it, or leave the row out", path)
        found.append(number)
    return Samples(samples.inputs, np.array(found, dtype=np.int64)[where.reshape(-1)], samples.weights)


def _are_numbers(names: Sequence[str]) -> bool:
    return all(name == str(number) for number, name in enumerate(names))
