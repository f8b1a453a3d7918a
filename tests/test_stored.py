"""Rows that stay in a file: what is read of them is what lies there, and what has become of the file is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import MLP, DataError, Samples, evaluate, standardization_of, stored, to_host
from xpnn.stored import FlatFile, StoredRows, named_rows

N, N_IN, BEFORE = 103, 5, 24


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4 rows of 5 bytes; a piece of the file is 8, and gaps of 3 are read over."""
    monkeypatch.setattr(stored, "WINDOW_BYTES", 60)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 20)
    monkeypatch.setattr(stored, "PIECE_BYTES", 40)
    monkeypatch.setattr(stored, "GAP_BYTES", 15)


def write(folder: Path, values: NDArray[Any]) -> StoredRows:
    path = folder / "rows"
    path.write_bytes(b"\xff" * BEFORE + values.tobytes())
    return StoredRows.of(FlatFile(path, BEFORE, (len(values), values.shape[1]), values.dtype))


def pixels(n: int = N) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, N_IN), dtype=np.uint8)


def test_selections_read_what_numpy_selects(tmp_path: Path) -> None:
    values, generator = pixels(), np.random.default_rng(1)
    rows = write(tmp_path, values)
    mask = generator.random(N) < 0.3
    for key in (
        *(slice(None), slice(7), slice(-5, None), slice(90, 3, -4), slice(0, 0), slice(50, 999)),
        *(mask, np.zeros(N, dtype=bool), generator.permutation(N), np.array([3, 3, 0, -1])),
    ):
        found = rows[key]
        assert isinstance(found, StoredRows)
        assert (found.shape, found.ndim, found.nbytes) == (values[key].shape, 2, values[key].nbytes)
        np.testing.assert_array_equal(np.asarray(found), values[key])
        np.testing.assert_array_equal(found.read(2, 9), values[key][2:9])
        np.testing.assert_array_equal(np.asarray(found[1:30][::2]), values[key][1:30][::2])
    np.testing.assert_array_equal(rows[-1], values[-1])
    np.testing.assert_array_equal(rows[mask][5], values[mask][5])
    with pytest.raises(IndexError):
        rows[N]
    with pytest.raises(IndexError):
        rows[mask[:-1]]


def test_a_sparse_selection_reads_neither_all_rows_nor_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, counts = write(tmp_path, pixels()), []
    read = FlatFile.read

    def counting(self: FlatFile, start: int, out: NDArray[Any]) -> None:
        counts.append(len(out))
        read(self, start, out)

    monkeypatch.setattr(FlatFile, "read", counting)
    rows[np.array([80, 0, 3, 9, 10, 50])].read(0, 6)
    assert counts == [4, 2, 1, 1]  # 0 to 3 over a gap; 9 and 10; 50; 80
    counts.clear()
    np.asarray(rows[np.arange(0, N, 2)])
    assert sum(counts) < N
    assert max(counts) <= 8
    assert len(counts) <= 14


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">i2", "f2"])
def test_other_byte_orders_and_types_become_what_a_net_takes(tmp_path: Path, dtype: str) -> None:
    values = pixels().astype(dtype)
    net = MLP([N_IN, 3], seed=1)
    expected = net.checked_inputs(values.astype(values.dtype.newbyteorder("=")))
    checked = net.checked_inputs(write(tmp_path, values))
    assert (checked.shape, checked.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(checked.read(10, 30), expected[10:30])


def test_a_large_mapping_is_read_from_its_file_and_no_other_array_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((N, N_IN))
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    for part, expected in (
        *((mapped, values), (mapped[40:], values[40:]), (mapped[40:][5:30], values[45:70])),
        (mapped.reshape(-1)[5:].reshape(-1, N_IN), values[1:]),
    ):
        found = named_rows(part)[0]
        assert isinstance(found, StoredRows)
        np.testing.assert_array_equal(np.asarray(found), expected)
    assert isinstance(Samples(mapped).inputs, StoredRows)
    copied = np.load(tmp_path / "values.npy", mmap_mode="c")
    copied[0] = 7  # in memory alone
    for array in (values, mapped[:1], mapped[::2], mapped.T, mapped[:, 1:], copied):
        assert named_rows(array)[0] is array


def test_a_mapping_of_a_file_that_begins_anywhere(tmp_path: Path) -> None:
    values = pixels(20_000)
    (tmp_path / "raw").write_bytes(b"\0" * 70_001 + values.tobytes())
    mapped = np.memmap(tmp_path / "raw", np.uint8, "r", offset=70_001, shape=values.shape)
    np.testing.assert_array_equal(np.asarray(named_rows(mapped[15_000:])[0]), values[15_000:])


def test_what_was_written_to_a_mapping_is_read(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "new", np.float32, "w+", shape=(N, N_IN))
    mapped[...] = 3
    np.testing.assert_array_equal(np.asarray(named_rows(mapped)[0]), np.full((N, N_IN), 3, dtype=np.float32))


def test_a_row_that_is_not_finite_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    values = np.zeros((N, N_IN), dtype=np.float32)
    values[77, 2] = np.nan
    net, rows = MLP([N_IN, 3]), write(tmp_path, values)
    problem = r"rows: the inputs of row 77, counted from 0, hold nan, inf or a number too large for float32"
    for some in (rows, rows[50:], rows[np.arange(N) % 7 == 0]):
        checked = net.checked_inputs(some)  # which reads nothing yet
        checked.read(0, 3)
        with pytest.raises(DataError, match=problem):
            checked.read(0, N)
    with pytest.raises(DataError, match=problem):
        net.query(rows)


def test_what_no_row_can_be_is_told_at_once(tmp_path: Path) -> None:
    rows = write(tmp_path, pixels())
    with pytest.raises(DataError, match=r"inputs have shape \(103, 5\); this net takes \(n, 4\)"):
        MLP([4, 3]).checked_inputs(rows)
    with pytest.raises(DataError, match="inputs must be numbers, not complex64"):
        MLP([N_IN, 3]).checked_inputs(write(tmp_path, pixels().astype("complex64")))
    with pytest.raises(DataError, match=r"rows: whole-number inputs are pixels and must lie in 0-255, not 0 to 256"):
        MLP([N_IN, 3]).checked_inputs(write(tmp_path, np.full((N, N_IN), 256) * np.eye(N, N_IN, dtype=int))).read(0, 9)


def test_queries_and_evaluation_are_those_of_rows_in_memory(tmp_path: Path, device: str) -> None:
    values, labels = pixels(), np.arange(N) % 3
    rows, net = write(tmp_path, values), MLP([N_IN, 4, 3], device=device, seed=1)
    np.testing.assert_array_equal(to_host(net.query(rows)), to_host(net.query(values)))
    np.testing.assert_array_equal(to_host(net.predict(rows)), to_host(net.predict(values)))
    found, expected = evaluate(net, Samples(rows, labels)), evaluate(net, Samples(values, labels))
    assert found.scores() == expected.scores()
    np.testing.assert_array_equal(found.confusion, expected.confusion)


def test_samples_split_and_fold_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = pixels(), np.arange(N) % 3
    in_file, in_memory = Samples(write(tmp_path, values), labels), Samples(values, labels)
    (tmp_path / "rows").rename(tmp_path / "away")
    parts = [*in_file.split(0.2, 3), *(part for fold in in_file.folds(3) for part in fold), in_file.take(slice(9))]
    (tmp_path / "away").rename(tmp_path / "rows")
    expected = [*in_memory.split(0.2, 3), *(part for fold in in_memory.folds(3) for part in fold)]
    for part, other in zip(parts, [*expected, in_memory.take(slice(9))], strict=True):
        np.testing.assert_array_equal(np.asarray(part.inputs), other.inputs)
        np.testing.assert_array_equal(np.array(part.targets), np.array(other.targets))


def test_standardization_goes_block_by_block(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal([0, 1e6, 5, 7, -3], [1, 1, 1e-3, 0, 1e3], (N, N_IN))
    found, expected = standardization_of(write(tmp_path, values)), (values.mean(axis=0), values.std(axis=0))
    assert found[1][3] == 1  # of a column that is the same in all rows
    expected[1][3] = 1
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-14)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)  # 1e6 +- 1: its squares have lost 12 digits of 16
    values[100, 4] = np.inf
    with pytest.raises(DataError, match="column 4, counted from 0, has values that are not finite"):
        standardization_of(write(tmp_path, values))
    means, deviations = found
    net = MLP([N_IN, 3], standardization=(means, deviations))
    values = values[:90]
    np.testing.assert_array_equal(
        net.checked_inputs(write(tmp_path, values)).read(5, 50), net.checked_inputs(values)[5:50]
    )


def test_a_column_that_is_the_same_in_all_rows_may_be_large() -> None:
    means, deviations = standardization_of(np.full((3, 2), [1e200, 2.0]))
    assert (means.tolist(), deviations.tolist()) == ([1e200, 2], [1, 1])


def test_a_file_that_is_too_short_or_not_there(tmp_path: Path) -> None:
    write(tmp_path, pixels())
    with pytest.raises(DataError, match="rows: cut short: it has 539 bytes and should have 544"):
        FlatFile(tmp_path / "rows", BEFORE, (N + 1, N_IN), np.dtype(np.uint8))
    with pytest.raises(DataError, match="none: can't be read: No such file"):
        FlatFile(tmp_path / "none", BEFORE, (N, N_IN), np.dtype(np.uint8))


def cut(path: Path) -> None:
    os.truncate(path, BEFORE + 40)


def rewrite(path: Path) -> None:
    path.write_bytes(b"\xff" * BEFORE + pixels(N + 1).tobytes())


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


CHANGES = [
    (cut, "rows: the file was changed while its rows were in use: start anew"),
    (rewrite, "rows: the file was changed while its rows were in use: start anew"),
    (touch, "rows: the file was changed while its rows were in use: start anew"),
    (os.unlink, "rows: can't be read any more: No such file or directory"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES)
def test_a_file_that_changes_is_not_read_on(tmp_path: Path, change: Any, problem: str) -> None:
    rows = write(tmp_path, pixels())
    rows.read(0, 9)
    change(tmp_path / "rows")
    with pytest.raises(DataError, match=problem):
        rows.read(0, 9)


def test_a_file_that_ends_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write(tmp_path, pixels())
    cut(tmp_path / "rows")
    monkeypatch.setattr(stored, "file_state", lambda _: rows.file.state)  # type: ignore[attr-defined]  # it was looked at just before
    with pytest.raises(DataError, match="rows: the file became shorter while it was read: start anew"):
        rows.read(5, 12)
