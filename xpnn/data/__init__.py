"""Data sets from files: CSV, IDX, NPZ and pictures, plain or packed, told apart by their content.

A CSV file holds labels and pixels, or is a table with named columns: then its targets are named.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from xpnn.data.catalogue import NAMES
from xpnn.data.csv import column_names, line_of_row, read_csv
from xpnn.data.files import check_limit, first_bytes
from xpnn.data.idx import is_idx, read_idx
from xpnn.data.images import is_image, read_digits, read_image
from xpnn.data.named import Parts, read_mnist, read_named
from xpnn.data.npz import ZIP_MAGICS, read_npz
from xpnn.data.table import check_targets, read_table
from xpnn.errors import DataError, Path
from xpnn.samples import Dataset, Samples

__all__ = [
    "MOST_CLASSES",
    "Dataset",
    "Samples",
    "column_names",
    "file_format",
    "load",
    "read_csv",
    "read_digits",
    "read_idx",
    "read_image",
    "read_npz",
    "read_samples",
    "read_table",
]

MOST_CLASSES = 1 << 16  # each has a name, and a row and a column in the confusion matrix


def load(
    source: Path,
    *,
    test_data: Path | None = None,
    limit: int | None = None,
    classes: int | None = None,
    targets: Sequence[str] | None = None,
) -> Dataset:
    """Load a data set to train on, by name or from a file.

    source:    the name of a data set ("digits", which comes with xpnn, or another of `xpnn data list`, looked for in
               $XPNN_DATA_DIR and in the user's cache folder and never downloaded here), or a path: a CSV, IDX or NPZ
               file, or a folder of four files named as MNIST's. A name wins over a file of that name: for the file
               write "./mnist".
    test_data: what to test on in place of the source's own test rows: a name (its test rows) or a file, as above.
    limit:     keep the first training rows only, as many as this; the test rows all stay.
    classes:   the number of classes; if None, as many as the named data set has, else the largest label and one more.

    targets:   names of the columns to predict: `source` is then a table, a CSV file with column names in its first
               line (see `read_table`), and so is `test_data`, whose columns are found by their names.

    Raises DataError if something is missing, damaged, or doesn't fit together; ValueError if `limit` is less than 1,
    `classes` is not from 2 to 65,536, or `targets` can't be meant.
    """
    check_limit(limit)
    if targets is not None:
        return _load_table(source, test_data, limit, classes, targets)
    if classes is not None and not 2 <= classes <= MOST_CLASSES:
        raise ValueError(f"classes must be at least 2 and at most {MOST_CLASSES:,}, not {classes}")
    train, test, image_shape, names = _read(source, limit)
    if test_data is not None:
        test = read_samples(test_data)
    parts = [("training", source, train)]
    if test is not None:
        _check_alike(train, source, test, test_data or source)
        parts.append(("test", test_data or source, test))
    count = _count_classes(parts, classes or len(names) or None, limit)
    labels = (*names, *map(str, range(len(names), count)))[:count]
    return Dataset(os.fspath(source), train, test, count, labels, image_shape)


def _load_table(
    source: Path, test_data: Path | None, limit: int | None, classes: int | None, targets: Sequence[str]
) -> Dataset:
    """What `load` does where targets are named."""
    check_targets(targets)
    if classes is not None:
        raise ValueError("classes are for labels: leave them out where targets are named")
    if source in NAMES:
        raise ValueError(f"{source} has no columns with names: targets are columns of a CSV file")
    for path in (source, *([] if test_data is None else [test_data])):
        if file_format(path) != "csv":
            raise DataError(f"targets need a CSV file with column names, and this is none ({file_format(path)})", path)
    train, columns = read_table(source, targets, limit)
    test = None if test_data is None else read_table(test_data, targets, columns=columns)[0]
    return Dataset(os.fspath(source), train, test, len(targets), tuple(targets), columns=columns)


def read_samples(path: Path, *, limit: int | None = None, labelled: bool = True, classes: int | None = None) -> Samples:
    """Read the rows of one source, to test on or to query: its test rows, where it tells test from training.

    path:     a name or a file, as for `load`.
    limit:    read the first rows only, as many as this.
    labelled: labels are there; if False, every column of a CSV file is a pixel, and the targets are None.
    classes:  how many classes the labels may be of; if None, any number.

    Raises DataError if the file is missing or damaged, or a label out of range; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    train, test, *_ = _read(path, limit, labelled)
    samples = train if test is None else test.take(slice(limit))
    if not labelled:
        return Samples(samples.inputs)
    if classes is not None:
        _count_classes([("test", path, samples)], classes)
    return samples


def _read(path: Path, limit: int | None, labelled: bool = True) -> Parts:
    if path in NAMES:
        return read_named(str(path), limit)
    if not os.path.exists(path):
        raise DataError(f"no such file; the data sets known by name are {', '.join(NAMES[:-1])} and {NAMES[-1]}", path)
    match file_format(path):
        case "folder":
            return read_mnist(path, limit)
        case "picture":
            raise DataError("this is a picture, not a data set: pictures are for `xpnn query`", path)
        case "npz":
            return Parts(*read_npz(path, limit=limit, labelled=labelled))
        case "idx":
            samples, image_shape = read_idx(path, limit=limit, labelled=labelled)
            return Parts(samples, None, image_shape)
        case _:
            samples = read_csv(path, limit=limit, labelled=labelled)
            return Parts(samples, None, _square(samples.inputs.shape[1]))


def file_format(path: Path) -> str:
    """Which format the content has: folder, picture, npz, idx or csv; what is none of the others is taken for CSV."""
    if os.path.isdir(path):
        return "folder"
    head = first_bytes(path, 12)
    formats = {"picture": is_image(head), "npz": head.startswith(ZIP_MAGICS), "idx": is_idx(head), "csv": True}
    return next(name for name, fits in formats.items() if fits)


def _square(pixels: int) -> tuple[int, int] | None:
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else None


def _check_alike(train: Samples, source: Path, test: Samples, test_data: Path) -> None:
    """Raise DataError unless a network for the training rows can read the test rows."""
    if train.inputs.shape[1] != test.inputs.shape[1]:
        found = f"{test.inputs.shape[1]} inputs a row, but {train.inputs.shape[1]} in {os.fspath(source)}"
        raise DataError(f"{found}: training and test data need the same", test_data)
    if train.inputs.dtype.kind != test.inputs.dtype.kind:
        found = f"inputs are {test.inputs.dtype}, but {train.inputs.dtype} in {os.fspath(source)}"
        raise DataError(f"{found}: training and test data need the same", test_data)


def _count_classes(parts: list[tuple[str, Path, Samples]], classes: int | None, limit: int | None = None) -> int:
    """The number of classes, from the labels of (training or test, path, samples) if it isn't given."""
    present = np.unique(np.concatenate([samples.targets for _, _, samples in parts if samples.targets is not None]))
    largest = int(present[-1])
    most = classes or MOST_CLASSES
    if largest >= most:
        raise _wrong_label(parts, largest, f"is out of range: {most} classes have the labels 0 to {most - 1}")
    if classes is None and largest == 0:
        problem = "all labels are 0, but at least two classes are needed: is the label the first column?"
        raise DataError(f"{problem} If it is, pass classes=N (--classes N) for N classes", parts[0][1])
    if classes is None and largest >= 10 and len(present) <= largest:
        missing = int(np.flatnonzero(present != np.arange(len(present)))[0])
        cut = f" of the first {limit}" if limit == len(parts[0][2]) else ""
        count = "N" if cut else f"{largest + 1}"
        problem = (
            f"makes {largest + 1} classes, but no row{cut} has the label {missing}: correct it, or if it is meant,"
        )
        remedy = f"pass classes={count} (--classes {count})" + (" for the N classes of the whole file" if cut else "")
        raise _wrong_label(parts, largest, f"{problem} {remedy}")
    return classes or largest + 1


def _wrong_label(parts: list[tuple[str, Path, Samples]], label: int, problem: str) -> DataError:
    """The error that names the first row with this label."""
    name, path, samples = next(part for part in parts if np.any(part[2].targets == label))
    row = int(np.flatnonzero(samples.targets == label)[0])
    line = line_of_row(path, row) if path not in NAMES and file_format(path) == "csv" else None
    place = "" if line else f" in {name} row {row}, counted from 0,"
    return DataError(f"label {label}{place} {problem}", path, line=line)
