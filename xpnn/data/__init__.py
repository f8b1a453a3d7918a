"""Data sets from files: CSV, IDX, NPY, NPZ, Parquet, Arrow and pictures, packed or not, told apart by their content.

A CSV, Parquet or Arrow file holds labels and pixels, or is a table of real numbers with named columns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.data.catalogue import NAMES
from xpnn.data.columnar import read_columns
from xpnn.data.csv import column_names, line_of_row, read_csv
from xpnn.data.files import Progress, check_limit, shown
from xpnn.data.folders import read_folder, read_zip
from xpnn.data.formats import file_format
from xpnn.data.idx import read_idx
from xpnn.data.images import read_digits, read_image, read_photo
from xpnn.data.labelled import read_labelled, square
from xpnn.data.layouts import LABEL_NAMES
from xpnn.data.named import is_mnist, read_mnist, read_named
from xpnn.data.npy import read_npy
from xpnn.data.npz import read_npz
from xpnn.data.parts import MOST_CLASSES, Parts, by_names, check_are_classes, parts_of
from xpnn.data.shards import read_shards
from xpnn.data.table import check_targets
from xpnn.data.values import TABLES, columns_called, read_table, wrong_value
from xpnn.errors import DataError, Path
from xpnn.samples import Dataset, Samples

__all__ = [
    "MOST_CLASSES",
    "Dataset",
    "Samples",
    "check_label_is_first",
    "column_names",
    "file_format",
    "load",
    "read_alike",
    "read_columns",
    "read_csv",
    "read_digits",
    "read_folder",
    "read_idx",
    "read_image",
    "read_labelled",
    "read_npy",
    "read_npz",
    "read_photo",
    "read_samples",
    "read_shards",
    "read_table",
    "read_zip",
    "wrong_value",
]


def load(
    source: Path,
    *,
    test_data: Path | None = None,
    limit: int | None = None,
    classes: int | None = None,
    targets: Sequence[str] | None = None,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set to train on, by name or from a file (docs/data.md shows each format).

    source:    the name of a data set ("digits", which comes with xpnn, or another of `xpnn data list`, looked for in
               $XPNN_DATA_DIR and in the user's cache folder and never downloaded here), or a path: a CSV, IDX, NPY,
               NPZ, Parquet or Arrow file; a folder or ZIP file of pictures, in a folder for each class; a folder
               of Parquet files, as the Hugging Face hub has them; or one of four files named as MNIST's. A name wins
               over a file of that name: for the file write "./mnist".
               The inputs of IDX, NPY and Parquet files that would take more than half of the free memory stay there, as
               `xpnn.stored.StoredRows`, and are read while they are learnt.
    test_data: what to test on in place of the source's own test rows: a name (its test rows) or a file, as above.
    limit:     keep the first training rows only, as many as this; the test rows all stay.
    classes:   the number of classes; if None, as many as have a name, else the largest label and one more.

    targets:   names of the columns to predict, real numbers: `source` is then a table, a CSV, Parquet or Arrow file
               (see `read_table`), and so is `test_data`, whose columns are found by their names.
    label_column: name of the column that holds the labels, or its number, from "1", or from "-1" for the last one; for
               CSV, Parquet and Arrow. If None, it is the first column of a CSV file, and in the others the one called
               label or the like. All other columns are inputs. With a label column that is named, or in Parquet,
               inputs that are no pixels are real numbers with names, `Dataset.columns`: a net for them takes these, and
               `standardization_of` their values. Labels that are words, or numbers without a 0, are names: the classes
               are numbered in their order, and `test_data`'s are found by their names.

    progress:  told how many pictures or rows of a part have been read, and how many it has: of folders and ZIP files
               of pictures, and of Parquet files, which take a while.

    Raises DataError if something is missing, damaged, or doesn't fit together; ValueError if `limit` is less than 1,
    `classes` is not from 2 to 65,536, or `targets` or `label_column` can't be meant.
    """
    check_limit(limit)
    if targets is not None:
        if label_column is not None:
            raise ValueError("targets and label_column both name what is to be predicted: give one of them")
        return _load_table(source, test_data, limit, classes, targets)
    if classes is not None and not 2 <= classes <= MOST_CLASSES:
        raise ValueError(f"classes must be at least 2 and at most {MOST_CLASSES:,}, not {classes}")
    found = _read(source, limit, label_column=label_column, classes=classes, progress=progress)
    if found.role != "train":
        remedy = f"give the {found.role} part itself if its rows are to be learnt"
        raise DataError(f"there is no training part, only one that is called {found.role}: {remedy}", source)
    if found.label_column is not None and classes is None and limit is None:
        check_are_classes(found, source)
    test = found.test if test_data is None else _read_test(test_data, found, label_column, progress)
    parts = [("training", source, found.train)]
    if test is not None:
        _check_alike(found.train, source, test, test_data or source)
        parts.append(("test", test_data or source, test))
    if len(found.labels) == 1 and classes is None:
        raise DataError(f"all rows are of the class {found.labels[0]!r}, but at least two are needed", source)
    column = "the first column" if label_column is None else shown(label_column)
    count = _count_classes(parts, classes or len(found.labels) or None, limit, column)
    labels = (*found.labels, *map(str, range(len(found.labels), count)))[:count]
    label = label_column if found.columns is None else found.label_column
    return Dataset(os.fspath(source), found.train, test, count, labels, found.image_shape, found.columns, label)


def _read_test(path: Path, train: Parts, label_column: str | None, progress: Progress | None) -> Samples:
    """The rows to test on, with the labels of the training rows `train`."""
    found = _read(
        path,
        label_column=_label_column_of(path, label_column) if train.columns is None else train.label_column,
        columns=train.columns,
        pixels=train.columns is None,
        classes=None if train.labels else MOST_CLASSES,
        progress=progress,
    )
    test = found.train if found.test is None else found.test
    if not found.numbered and not train.labels:
        raise DataError(f"its classes have names, such as {found.labels[0]!r}, but the training data's numbers", path)
    return by_names(test, found, train.labels, path) if train.labels else test


def _label_column_of(path: Path, label_column: str | None) -> str | None:
    """The label column of other pixels, where these are in columns too; elsewhere the format says where labels are."""
    if path in NAMES or not os.path.exists(path):
        return None
    return label_column if file_format(path) in TABLES else None


def _load_table(
    source: Path, test_data: Path | None, limit: int | None, classes: int | None, targets: Sequence[str]
) -> Dataset:
    """What `load` does where targets are named."""
    check_targets(targets)
    if classes is not None:
        raise ValueError("classes are for labels: leave them out where targets are named")
    if source in NAMES:
        raise ValueError(f"{source} has no columns with names: targets are columns of a CSV, Parquet or Arrow file")
    targets = columns_called(source, targets)
    train, columns = read_table(source, targets, limit)
    test = None if test_data is None else read_table(test_data, targets, columns=columns)[0]
    return Dataset(os.fspath(source), train, test, len(targets), targets, columns=columns)


def read_samples(
    path: Path,
    *,
    limit: int | None = None,
    labelled: bool = True,
    classes: int | None = None,
    labels: Sequence[str] | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
) -> Samples:
    """Read the rows of one source, to test on or to query: its test rows, where it tells test from training.

    path:     a name or a file, as for `load`.
    limit:    read the first rows only, as many as this.
    labelled: labels are there; if False, every column of a CSV file is a pixel, and the targets are None.
    classes:  how many classes the labels may be of; if None, any number.
    labels:   the classes' names, a net's `labels`: what a file calls a class gets the number that it has here.
    label_column: name or number of the column with the labels, as for `load`.
    columns:  names of the input columns, a net's `columns`: the file is a table that has these. If None, it must hold
              pixels, or floats that a net takes as they are.

    Raises DataError if the file is missing or damaged, or a label out of range; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    if labels is not None:
        classes = len(labels)
    found = _read(path, limit, labelled, label_column, columns, pixels=columns is None, classes=classes)
    samples = found.train if found.test is None else found.test.take(slice(limit))
    if not labelled:
        return Samples(samples.inputs)
    if labels is not None:
        samples = by_names(samples, found, labels, path)
    if classes is not None:
        _count_classes([("test", path, samples)], classes)
    return samples


def read_alike(path: Path, dataset: Dataset) -> Samples:
    """Read the rows of another source for a net that learns from a data set: its columns, and its classes' numbers.

    path: as for `load`. Where the data set's label column was named, a table's is the same; pixels of other formats
    have their labels where these formats have them.

    Raises DataError for what can't be read or doesn't fit.
    """
    if dataset.columns is not None and dataset.label_column is None:
        return read_table(path, dataset.labels, columns=dataset.columns)[0]
    label = dataset.label_column if dataset.columns is not None else _label_column_of(path, dataset.label_column)
    samples = read_samples(path, labels=dataset.labels, label_column=label, columns=dataset.columns)
    width, expected = samples.inputs.shape[1], dataset.train.inputs.shape[1]
    if width != expected:
        raise DataError(f"its rows have {width} values, those of {dataset.name} have {expected}", path)
    return samples


def _read(
    path: Path,
    limit: int | None = None,
    labelled: bool = True,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    pixels: bool = False,
    classes: int | None = None,
    progress: Progress | None = None,
) -> Parts:
    if path in NAMES:
        if columns is not None:
            problem = "its rows are pixels, and have no columns with names"
            raise DataError(f"{problem}: give a CSV, Parquet or Arrow file with the columns of the table", path)
        if label_column is not None:
            raise ValueError(f"{path} has no columns with names: leave the label column out")
        return read_named(str(path), limit)
    if not os.path.exists(path):
        raise DataError(f"no such file; the data sets known by name are {', '.join(NAMES[:-1])} and {NAMES[-1]}", path)
    form = file_format(path)
    options: dict[str, Any] = {"limit": limit, "labelled": labelled}
    if form in ("folder", "zip", "arrow", "shards"):
        options["progress"] = progress
    if form == "shards":
        return read_shards(path, label_column, **options, columns=columns, pixels=pixels, classes=classes)
    if label_column is None and columns is None and form != "arrow":
        return _read_rows(path, form, options)
    if form not in TABLES:
        problem = f"a CSV, Parquet or Arrow file is needed to find columns by name, and this is none ({form})"
        raise DataError(problem, path)
    read = read_columns if form == "arrow" else read_labelled
    return parts_of(read(path, label_column, **options, columns=columns, pixels=pixels), classes)


def _read_rows(path: Path, form: str, options: dict[str, Any]) -> Parts:
    """The rows of a file or a folder whose format says where the labels are."""
    match form:
        case "folder":
            return read_mnist(path, options["limit"]) if is_mnist(path) else read_folder(path, **options)
        case "picture":
            raise DataError("this is a picture, not a data set: pictures are for `xpnn query`", path)
        case "zip":
            return read_zip(path, **options)
        case "npz":
            return Parts(*read_npz(path, **options))
        case "idx":
            samples, image_shape = read_idx(path, **options, may_stay=True)
            return Parts(samples, None, image_shape)
        case "npy":
            samples, picture = read_npy(path, **options)
            return Parts(samples, None, picture)
        case _:
            if options["labelled"]:
                check_label_is_first(path)
            samples = read_csv(path, **options)
            return Parts(samples, None, square(samples.inputs.shape[1]))


def check_label_is_first(path: Path) -> None:
    """Raise DataError where a CSV file's line of names says that the labels are not in its first column."""
    names = column_names(path)
    usual = [name for name in names if name.lower() in LABEL_NAMES]
    if usual and names[0] not in usual:
        problem = f"labels are read from the first column, {shown(names[0])}, but another one is called"
        raise DataError(f"{problem} {shown(usual[0])}: name the right one (label_column=, --label-column)", path)


def _check_alike(train: Samples, source: Path, test: Samples, test_data: Path) -> None:
    """Raise DataError unless a network for the training rows can read the test rows."""
    if train.inputs.shape[1] != test.inputs.shape[1]:
        found = f"{test.inputs.shape[1]} inputs a row, but {train.inputs.shape[1]} in {os.fspath(source)}"
        raise DataError(f"{found}: training and test data need the same", test_data)
    if train.inputs.dtype.kind != test.inputs.dtype.kind:
        found = f"inputs are {test.inputs.dtype}, but {train.inputs.dtype} in {os.fspath(source)}"
        raise DataError(f"{found}: training and test data need the same", test_data)


def _count_classes(
    parts: list[tuple[str, Path, Samples]],
    classes: int | None,
    limit: int | None = None,
    column: str = "the first column",
) -> int:
    """The number of classes, from the labels of (training or test, path, samples) if it isn't given.

    column: where the labels stand in a file of columns.
    """
    present = np.unique(np.concatenate([samples.targets for _, _, samples in parts if samples.targets is not None]))
    largest = int(present[-1])
    most = classes or MOST_CLASSES
    if largest >= most:
        raise _wrong_label(parts, largest, f"is out of range: {most} classes have the labels 0 to {most - 1}")
    if classes is None and largest == 0:
        problem = f"all labels are 0, but at least two classes are needed: is the label {column}?"
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
