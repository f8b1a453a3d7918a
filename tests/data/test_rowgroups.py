"""Parquet files whose rows stay there: they are those that pandas reads, and what becomes of the file is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import peak
import pyarrow as pa
import pytest
from hub import hub_table
from numpy.typing import NDArray
from pyarrow import parquet

import xpnn
from xpnn import DataError, load, memory, stored
from xpnn.data import read_columns, read_samples
from xpnn.data.rowgroups import RowGroups
from xpnn.stored import StoredRows

N, WIDTH = 250, 64
PIXELS: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (N, WIDTH), dtype=np.uint8)
NUMBERS = np.random.default_rng(1).normal(size=(N, 5))
LABELS = np.arange(N) % 3


@pytest.fixture(autouse=True)
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fits into memory; blocks of 40 rows of pixels, which are decoded 10 at a time."""
    monkeypatch.setattr(memory, "SHARE", 0.0)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 40 * WIDTH)
    monkeypatch.setattr("xpnn.data.rowgroups.DECODED_BYTES", 10 * WIDTH)


def columns(x: NDArray[Any]) -> pa.Table:
    return pa.table({f"c{i}": x[:, i] for i in range(x.shape[1])} | {"label": LABELS})


def lists(x: NDArray[Any], kind: Any) -> pa.Table:
    return pa.table({"x": pa.array(x.tolist(), pa.list_(kind)), "label": LABELS})


def tensors(x: NDArray[Any]) -> pa.Table:
    return pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x.reshape(-1, 8, 8)), "label": LABELS})


KINDS: dict[str, tuple[Callable[[], pa.Table], NDArray[Any]]] = {
    "pictures": (lambda: hub_table(PIXELS, LABELS, ["cat", "dog", "hen"]), PIXELS),
    "columns of uint8": (lambda: columns(PIXELS), PIXELS),
    "columns of int64": (lambda: columns(PIXELS.astype(np.int64)), PIXELS),
    "lists": (lambda: lists(PIXELS, pa.int64()), PIXELS),
    "lists of pixels as floats": (lambda: lists(PIXELS, pa.float32()), PIXELS),
    "lists of floats": (lambda: lists(NUMBERS, pa.float64()), NUMBERS),
    "tensors": (lambda: tensors(PIXELS), PIXELS),
    "table": (lambda: columns(NUMBERS), NUMBERS),
}


def write(table: pa.Table, path: Path, *groups: int) -> Path:
    """Groups of these numbers of rows, in turn."""
    start = 0
    with parquet.ParquetWriter(path, table.schema) as writer:
        while start < table.num_rows:
            for rows in groups:
                writer.write_table(table.slice(start, rows))
                start += rows
    return path


@pytest.mark.parametrize(("make", "values"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("groups", [(20,), (30, 7, 1), (250,)])
def test_any_rows_are_those_of_the_file(
    tmp_path: Path, make: Callable[[], pa.Table], values: NDArray[Any], groups: tuple[int, ...]
) -> None:
    data = load(write(make(), tmp_path / "data", *groups))
    rows = data.train.inputs
    assert isinstance(rows, StoredRows)
    assert (rows.shape, rows.dtype) == (values.shape, values.dtype)
    assert data.train.targets is not None
    np.testing.assert_array_equal(data.train.targets, LABELS)
    np.testing.assert_array_equal(np.asarray(rows), values)
    generator = np.random.default_rng(2)
    for key in (
        *(slice(37, 111), slice(200, 30, -3), slice(3, 4), generator.random(N) < 0.1, generator.permutation(N)),
        *(np.array([9, 9, 0, -1, 130]), np.zeros(N, dtype=bool), np.arange(0, N, 9)),
    ):
        np.testing.assert_array_equal(np.asarray(rows[key]), values[key])
        np.testing.assert_array_equal(rows[key].read(2, 5), values[key][2:5])
    for start in range(0, N, 13):
        np.testing.assert_array_equal(rows.read(start, min(N, start + 13)), values[start : start + 13])


@pytest.mark.parametrize("make", [make for make, _ in KINDS.values()], ids=KINDS)
def test_the_data_set_is_that_of_rows_in_memory(
    tmp_path: Path, make: Callable[[], pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(make(), tmp_path / "data", 60)
    found, part, unlabelled = load(path), load(path, limit=70), read_columns(path, labelled=False)
    assert isinstance(found.train.inputs, StoredRows)
    assert (len(part.train), len(unlabelled.inputs), unlabelled.labels) == (70, N, [])
    monkeypatch.setattr(memory, "SHARE", 0.5)
    expected = load(path)
    assert isinstance(expected.train.inputs, np.ndarray)
    assert (found.labels, found.classes, found.image_shape, found.columns, found.label_column) == (
        *(expected.labels, expected.classes, expected.image_shape, expected.columns, expected.label_column),
    )
    np.testing.assert_array_equal(np.asarray(found.train.inputs), expected.train.inputs)
    np.testing.assert_array_equal(np.asarray(part.train.inputs), expected.train.inputs[:70])
    assert part.train.targets is not None
    np.testing.assert_array_equal(part.train.targets, LABELS[:70])


def test_labels_of_words_as_pandas_reads_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(NUMBERS, columns=list("abcde")).assign(kind=pd.Categorical(np.take(["x", "z", "y"], LABELS)))
    frame.to_parquet(tmp_path / "data", row_group_size=30)
    data = load(tmp_path / "data", label_column="kind")
    assert (data.columns, data.labels) == (tuple("abcde"), ("x", "y", "z"))
    read = pd.read_parquet(tmp_path / "data")
    np.testing.assert_array_equal(np.asarray(data.train.inputs), read[list("abcde")].to_numpy())
    assert data.train.targets is not None
    assert [data.labels[label] for label in data.train.targets] == read["kind"].tolist()
    other = read_samples(tmp_path / "data", columns=("e", "a"), labels=("z", "y", "x"), label_column="kind")
    np.testing.assert_array_equal(np.asarray(other.inputs), read[["e", "a"]].to_numpy())


@pytest.mark.parametrize(("groups", "block"), [((20,), 40), ((30, 7), 30), ((41,), 41), ((13,), 39)])
def test_a_block_is_whole_groups(tmp_path: Path, groups: tuple[int, ...], block: int) -> None:
    assert load(write(columns(PIXELS), tmp_path / "data", *groups)).train.inputs.file.block_rows == block


def test_each_group_is_decoded_once_where_rows_are_asked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    rows, read_from = load(write(columns(PIXELS), tmp_path / "data", 50)).train.inputs, RowGroups._read_from

    def counting(self: RowGroups, group: int) -> Any:
        started.append(group)
        return read_from(self, group)

    monkeypatch.setattr(RowGroups, "_read_from", counting)
    for start in range(0, N, 7):
        rows.read(start, min(N, start + 7))
    assert started == [0]
    np.asarray(rows[np.arange(0, N, 60)])  # one of each group
    assert started == [0, 0]
    rows.read(210, 220)
    rows.read(60, 70)
    rows.read(160, 170)
    assert started == [0, 0, 4, 1, 3]


def test_what_is_learnt_is_what_rows_in_memory_teach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "WINDOW_BYTES", 100 * WIDTH)
    path = write(hub_table(PIXELS, LABELS), tmp_path / "data", 20)
    np.save(tmp_path / "x.npy", PIXELS)
    np.save(tmp_path / "y.npy", LABELS)
    found = []
    for source in (path, tmp_path / "x.npy"):  # both have blocks of 40 rows
        net, (samples, aside) = xpnn.MLP([WIDTH, 6, 3], seed=1), load(source).train.split(0.2)
        (epoch,) = xpnn.train(net, samples, validation=aside, epochs=1, batch_size=8)
        assert epoch.step.endswith("from file")
        found.append((net.parameters.tobytes(), epoch.loss, epoch.validation))
    assert found[0][:2] == found[1][:2]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_named_by_its_row(tmp_path: Path) -> None:
    values = NUMBERS.copy()
    values[133, 2] = np.nan
    rows = load(write(columns(values), tmp_path / "data", 50)).train.inputs
    rows.read(0, 130)
    for some in (rows, rows[np.arange(N) % 7 == 0], rows[133:]):
        with pytest.raises(
            DataError, match=r"data: 'c2' in row 133, counted from 0, is nan, no finite number: correct"
        ):
            np.asarray(some)
    np.testing.assert_array_equal(rows.read(134, N), values[134:])  # it can be read on
    levels = PIXELS.astype(np.int64)
    levels[70, 3] = 256
    rows = load(write(columns(levels), tmp_path / "data", 50)).train.inputs
    with pytest.raises(DataError, match="'c3' in row 70, counted from 0, is 256, expected a pixel"):
        np.asarray(rows)


def test_a_picture_that_is_damaged(tmp_path: Path) -> None:
    table = hub_table(PIXELS, LABELS).to_pylist()
    table[99]["image"]["bytes"] = b"GIF89a"
    rows = load(write(pa.Table.from_pylist(table), tmp_path / "data", 30)).train.inputs
    with pytest.raises(DataError, match="data: 'image' in row 99, counted from 0, is no good: "):
        np.asarray(rows[95:105])


def test_groups_that_are_too_large_say_how_to_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "WINDOW_BYTES", 100 * WIDTH)
    path = write(columns(PIXELS), tmp_path / "data.parquet", 250)
    problem = r"data.parquet: holds 1.6e-05 GB, too much .* in row groups of 250 rows, .* too large to be shuffled"
    with pytest.raises(
        DataError, match=problem + r".*: write it anew with row_group_size=\d+ \(docs/large-data.md"
    ) as e:
        load(path)
    assert "\n" not in str(e.value)
    monkeypatch.setattr(memory, "SHARE", 0.5)
    assert isinstance(load(path).train.inputs, np.ndarray)


def cut(path: Path) -> None:
    os.truncate(path, 5000)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


CHANGES = [
    (cut, "data: the file was changed while its rows were in use: start anew"),
    (touch, "data: the file was changed while its rows were in use: start anew"),
    (os.unlink, "data: can't be read any more: No such file or directory"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES)
@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_changes_is_not_read_on(tmp_path: Path, change: Any, problem: str, begun: bool) -> None:
    rows = load(write(columns(PIXELS), tmp_path / "data", 50)).train.inputs
    if begun:
        rows.read(0, 5)
    change(tmp_path / "data")
    with pytest.raises(DataError, match=problem):
        rows.read(5, 9)


def test_damage_that_the_footer_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "data"
    parquet.write_table(columns(PIXELS), path, row_group_size=50, write_page_checksum=True, compression="none")
    with parquet.ParquetFile(path) as file:
        place = file.metadata.row_group(3).column(0).data_page_offset + 40
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    rows = load(path).train.inputs
    rows.read(0, 100)
    with pytest.raises(DataError, match=r"data: damaged Parquet or Arrow file \(.*\): fetch it again"):
        rows.read(100, N)


def test_a_group_with_fewer_rows_than_the_footer_promises(tmp_path: Path) -> None:
    rows = load(write(columns(PIXELS), tmp_path / "data", 50)).train.inputs
    rows.file.starts[2:] += 3
    with pytest.raises(DataError, match=r"data: damaged Parquet file \(too few rows in row group 1\): fetch it again"):
        rows.read(0, N)


# -- memory ------------------------------------------------------------------------------------------------------------

MEASURED = """
import numpy as np
import xpnn, xpnn.fast.windows, concurrent.futures.thread, xpnn.memory

xpnn.memory.SHARE = 0
for path in sys.argv[1:]:  # a small file first, for what pyarrow and a step need
    before = peak()
    data = xpnn.load(path)
    net = xpnn.MLP([data.train.inputs.shape[1], 2])
    samples, aside = data.train.split(0.01)
    epochs = list(xpnn.train(net, samples, validation=aside, epochs=1, batch_size=512))
print(peak() - before, epochs[0].step)
"""


def test_peak_memory_stays_below_its_bound(tmp_path: Path) -> None:
    """That of docs/large-data.md, with four row groups; a few validation rows are in the 32 MB."""
    pytest.importorskip("resource")
    rows, n_in, group = 60_000, 4000, 2000
    x = np.random.default_rng(0).integers(0, 256, (group, n_in), dtype=np.uint8)
    x[:] = x[:50].repeat(group // 50, axis=0)  # of which the file is small, and quickly written
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), n_in), "label": np.arange(group) % 2})
    for name, groups in (("small", 1), ("large", rows // group)):
        with parquet.ParquetWriter(tmp_path / name, table.schema, compression="zstd") as writer:
            for _ in range(groups):
                writer.write_table(table.slice(0, 100 if name == "small" else group))
    taken, step = peak.printed(MEASURED, str(tmp_path / "small"), str(tmp_path / "large")).split(maxsplit=1)
    bound = 2 * 2**26 + 32 * rows + 4 * group * n_in + 2**25
    assert step.strip() == "reference, from file"
    assert bound < 0.85 * rows * n_in
    assert int(taken) < bound
