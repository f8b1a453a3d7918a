"""Folders of Parquet files, as the Hugging Face hub has them, read as one set of data; pandas is the oracle."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hub import hub_table
from numpy.typing import NDArray
from pyarrow import parquet

from xpnn import DataError, load, memory
from xpnn.data import file_format, read_samples, shards
from xpnn.stored import StoredRows

N = 40
PIXELS: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (N, 64), dtype=np.uint8)
LABELS = np.arange(N) % 3
NAMES = ["cat", "dog", "hen"]
HUB = {
    "train-00000-of-00003.parquet": slice(0, 11),
    "train-00001-of-00003.parquet": slice(11, 14),
    "train-00002-of-00003.parquet": slice(14, 30),
    "test-00000-of-00001.parquet": slice(30, 40),
}
TRAIN, TEST = slice(0, 30), slice(30, 40)


def write(folder: Path, files: dict[str, slice] = HUB, table: pa.Table | None = None) -> Path:
    table = hub_table(PIXELS, LABELS, NAMES) if table is None else table
    for name, rows in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table.slice(rows.start, rows.stop - rows.start), folder / name, row_group_size=5)
    return folder


@pytest.fixture(params=[0.0, 0.5], ids=["in file", "in memory"])
def share(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(memory, "SHARE", request.param)
    return float(request.param)


LAYOUTS: dict[str, dict[str, slice]] = {
    "flat": HUB,
    "data": {f"data/{name}": rows for name, rows in HUB.items()},
    "configuration": {f"mnist/{name}": rows for name, rows in HUB.items()},
    "converted": {"mnist/train/0000.parquet": slice(0, 20), "mnist/train/0001.parquet": slice(20, 30)}
    | {"mnist/test/0000.parquet": TEST},
    "plain": {"train.parquet": TRAIN, "test.parquet": TEST},
    "nine before ten": {"train_9.parquet": slice(0, 20), "train_10.parquet": slice(20, 30), "validation.parquet": TEST},
    "three parts": {"train.parquet": TRAIN, "test.parquet": TEST, "validation.parquet": slice(0, 3)},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_shards_are_one_set_of_data(tmp_path: Path, share: float, files: dict[str, slice]) -> None:
    folder = write(tmp_path / "set", files)
    (folder / "README.md").write_text("---\n")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "train-9.parquet").touch()
    assert file_format(folder) == "shards"
    data = load(folder)
    assert data.test is not None
    assert (isinstance(data.train.inputs, StoredRows), data.labels, data.image_shape) == (
        share == 0,
        tuple(NAMES),
        (8, 8),
    )
    for part, rows in ((data.train, TRAIN), (data.test, TEST)):
        np.testing.assert_array_equal(np.asarray(part.inputs), PIXELS[rows])
        np.testing.assert_array_equal(part.targets, LABELS[rows])


def test_any_rows_over_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SHARE", 0.0)
    rows, values = load(write(tmp_path)).train.inputs, PIXELS[TRAIN]
    for key in (slice(9, 16), slice(29, 3, -2), np.array([29, 0, 12, 12, 13, 11]), np.zeros(30, dtype=bool)):
        np.testing.assert_array_equal(np.asarray(rows[key]), values[key])
    assert Path(rows.file.path) == tmp_path
    assert len(load(tmp_path, limit=12).train) == 12
    np.testing.assert_array_equal(np.asarray(load(tmp_path, limit=12).train.inputs), values[:12])
    assert rows.file.block_rows >= 5


def test_a_table_as_pandas_reads_it(tmp_path: Path, share: float) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(N, 3)), columns=list("abc"))
    frame["kind"] = np.take(["x", "z", "y"], LABELS)
    for name, rows in HUB.items():
        frame[rows].to_parquet(tmp_path / name)
    data = load(tmp_path, label_column="kind")
    whole = pd.concat([pd.read_parquet(tmp_path / name) for name in list(HUB)[:3]])
    assert (data.columns, data.labels) == (("a", "b", "c"), ("x", "y", "z"))
    np.testing.assert_array_equal(np.asarray(data.train.inputs), whole[["a", "b", "c"]].to_numpy())
    assert [data.labels[label] for label in data.train.targets] == whole["kind"].tolist()  # type: ignore[union-attr]
    test = read_samples(tmp_path, columns=("c",), labels=("z", "y", "x"), label_column="kind")
    np.testing.assert_array_equal(np.asarray(test.inputs), frame[TEST][["c"]].to_numpy())
    assert [["z", "y", "x"][label] for label in test.targets] == frame[TEST]["kind"].tolist()  # type: ignore[union-attr]


def test_files_of_no_part_are_for_training(tmp_path: Path) -> None:
    data = load(write(tmp_path, {"0.parquet": TRAIN, "1.parquet": TEST}))
    assert data.test is None
    np.testing.assert_array_equal(data.train.inputs, PIXELS)


def test_progress_is_told_of_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK_BYTES", 4 * PIXELS.shape[1])
    told: list[tuple[int, int]] = []
    load(write(tmp_path, HUB), progress=lambda read, of: told.append((read, of)))
    n, rest = len(PIXELS[TRAIN]), len(PIXELS[TEST])
    parts = [[*range(4, count, 4), count] for count in (n, rest)]
    assert told == [(read, count) for count, part in zip((n, rest), parts, strict=True) for read in part]


def test_test_rows_alone_are_not_learnt(tmp_path: Path, share: float) -> None:
    folder = write(tmp_path, {"test-0.parquet": TEST, "validation-0.parquet": TRAIN})
    with pytest.raises(DataError, match=r"there is no training part, only one that is called test: give the test part"):
        load(folder)
    np.testing.assert_array_equal(read_samples(folder).inputs[:], PIXELS[TEST])
    assert len(load(folder / "validation-0.parquet").train) == len(PIXELS[TRAIN])


def test_what_the_first_file_holds_all_hold(tmp_path: Path) -> None:
    values = PIXELS.astype(np.float64)
    values[TEST] /= 2
    write(tmp_path, {"a.parquet": TEST, "b.parquet": TRAIN}, pa.table({"x": list(values), "label": LABELS}))
    inputs = load(tmp_path).train.inputs
    np.testing.assert_array_equal(inputs, np.concatenate([values[TEST], values[TRAIN]]))
    assert inputs.dtype == np.float64


def test_pictures_with_notes_in_parquet_are_a_folder_of_pictures(tmp_path: Path) -> None:
    write(tmp_path, {"metadata.parquet": TRAIN})
    assert file_format(tmp_path) == "folder"


# -- what is refused ---------------------------------------------------------------------------------------------------


def lost(folder: Path, name: str) -> None:
    write(folder)
    (folder / name).unlink()


def other_columns(folder: Path) -> None:
    write(folder)
    write(
        folder, {"train-00001-of-00003.parquet": TEST}, hub_table(PIXELS, LABELS).rename_columns(["picture", "label"])
    )


def other_names(folder: Path) -> None:
    write(folder)
    write(folder, {"test-00000-of-00001.parquet": TEST}, hub_table(PIXELS, LABELS, ["cat", "hen", "dog"]))


def other_width(folder: Path) -> None:
    write(folder)
    write(folder, {"train-00002-of-00003.parquet": TEST}, hub_table(PIXELS[:, :32], LABELS, NAMES))


def packed(folder: Path) -> None:
    path = write(folder) / "train-00001-of-00003.parquet"
    path.write_bytes(gzip.compress(path.read_bytes()))


def words_for_the_test(folder: Path) -> None:
    write(folder, {"train.parquet": TRAIN}, pa.table({"a": np.arange(N) / 2, "label": LABELS}))
    write(folder, {"test.parquet": TEST}, pa.table({"a": np.arange(N) / 2, "label": ["x"] * N}))


BAD: dict[str, tuple[Any, str]] = {
    "one is missing": (
        lambda folder: lost(folder, "train-00001-of-00003.parquet"),
        "train-00000-of-00003.parquet: train-00001-of-00003.parquet is missing beside it: fetch all 3 files",
    ),
    "the first is missing": (
        lambda folder: lost(folder, "train-00000-of-00003.parquet"),
        "train-00001-of-00003.parquet: train-00000-of-00003.parquet is missing beside it",
    ),
    "two sets": (
        lambda folder: write(folder, {"one/train.parquet": TRAIN, "two/train.parquet": TRAIN}),
        "2 sets of data lie here, in 'one', 'two': give the folder of one",
    ),
    "no part": (
        lambda folder: write(folder, {"train.parquet": TRAIN, "rest.parquet": TEST}),
        "rest.parquet: its name doesn't say which part it is of: name it train-..., test-... or validation-...",
    ),
    "other columns": (other_columns, "train-00001-of-00003.parquet: its columns, or its classes' names, are not those"),
    "other names": (other_names, "test-00000-of-00001.parquet: its columns, or its classes' names, are not those"),
    "other width": (
        other_width,
        "train-00002-of-00003.parquet: a row has 32 inputs (uint8) of a picture, 8 x 4, but 64 inputs",
    ),
    "packed": (packed, "train-00001-of-00003.parquet: it is packed: unpack it, for Parquet packs its columns itself"),
    "no rows": (lambda folder: write(folder, {"train.parquet": slice(0, 0)}), "the files have no rows"),
    "words": (
        words_for_the_test,
        "the classes of its test rows have names, such as 'x', but those of training numbers",
    ),
}


@pytest.mark.parametrize(("make", "problem"), BAD.values(), ids=BAD)
def test_refused(tmp_path: Path, make: Any, problem: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_a_row_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SHARE", 0.0)
    monkeypatch.setattr("xpnn.stored.BLOCK_BYTES", 40)  # of which the first row of each file is read at once
    values = np.random.default_rng(1).normal(size=(N, 5))
    values[13, 2] = np.inf
    write(tmp_path, table=pa.table({"x": list(values), "label": LABELS}))
    rows = load(tmp_path).train.inputs
    rows.read(0, 11)
    with pytest.raises(DataError, match=r"train-00001-of-00003.parquet: 'x' in row 2, counted from 0, is inf"):
        rows.read(0, 30)
    os.utime(tmp_path / "train-00002-of-00003.parquet", ns=(1, 1))
    with pytest.raises(
        DataError, match=r"train-00002-of-00003.parquet: the file was changed while its rows were in use"
    ):
        rows.read(20, 25)
