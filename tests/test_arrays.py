"""Any array: what callers give is read as its own library reads it, and what can't be read is named with its place."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from fake_device import FakeCupy
from numpy.typing import NDArray

from xpnn import MLP, DataError, DeviceError, Samples, evaluate, find_learning_rate, standardization_of, to_host, train
from xpnn.arrays import as_array, in_kind_of, named_array
from xpnn.lbfgs import train_lbfgs

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal(size=(12, 3))
LABELS = np.arange(12) % 2
NAMES = ["area", "rooms", "price"]


def named_columns(rows: NDArray[Any] = ROWS) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(column) for name, column in zip(NAMES, rows.T, strict=True)}


TABLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas of Arrow's": lambda columns: pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "record batch": pa.RecordBatch.from_pydict,
}
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Series": pd.Series,
    "nullable": lambda values: pd.Series(values, dtype="Int64"),
    "category": lambda values: pd.Series(values, dtype="category"),
    "Index": pd.Index,
    "polars": pl.Series,
    "arrow": pa.array,
    "chunked": lambda values: pa.chunked_array([values[:5], values[5:]]),
    "list": lambda values: values.tolist(),
    "tuple": lambda values: tuple(values.tolist()),
    "object": lambda values: values.astype(object),
}


@pytest.fixture(params=TABLES)
def table_of(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    return TABLES[request.param]


@pytest.mark.parametrize("column_of", COLUMNS.values(), ids=COLUMNS)
def test_tables_and_columns_train_as_their_numbers_do(
    device: str, table_of: Callable[..., Any], column_of: Callable[..., Any]
) -> None:
    given, plain = (MLP([3, 4, 2], device=device, seed=1) for _ in range(2))
    pair = (table_of(named_columns()), column_of(LABELS))
    records = list(train(given, pair, validation=pair, epochs=2, batch_size=4))
    expected = list(train(plain, (ROWS, LABELS), validation=(ROWS, LABELS), epochs=2, batch_size=4))
    np.testing.assert_array_equal(to_host(given.parameters), to_host(plain.parameters))
    assert [record.loss for record in records] == [record.loss for record in expected]
    assert evaluate(given, pair).loss == evaluate(plain, (ROWS, LABELS)).loss
    assert type(given.query(pair[0])) is type(plain.query(ROWS))
    np.testing.assert_array_equal(to_host(given.query(pair[0])), to_host(plain.query(ROWS)))
    np.testing.assert_array_equal(to_host(given.predict(pair[0])), to_host(plain.predict(ROWS)))


def test_the_other_ways_of_training_take_tables(table_of: Callable[..., Any]) -> None:
    pair = (table_of(named_columns()), pd.Series(LABELS))
    one, other = MLP([3, 2], seed=1), MLP([3, 2], seed=1)
    assert [e.loss for e in train_lbfgs(one, pair, epochs=3)] == [
        e.loss for e in train_lbfgs(other, (ROWS, LABELS), epochs=3)
    ]
    sweeps = [find_learning_rate(MLP([3, 2], seed=1), rows, steps=20) for rows in (pair, (ROWS, LABELS))]
    np.testing.assert_array_equal(sweeps[0].losses, sweeps[1].losses)
    np.testing.assert_array_equal(standardization_of(pair[0]), standardization_of(ROWS))


def test_weights_may_be_any_column(device: str) -> None:
    weights = GENERATOR.uniform(size=12)
    expected = evaluate(MLP([3, 2], device=device), Samples(ROWS, LABELS, weights)).loss
    on_device = MLP([3, 2], device=device).xp.asarray(weights)
    given: Any
    for given in (pd.Series(weights), pl.Series(weights), pa.array(weights), weights.tolist(), on_device):
        assert evaluate(MLP([3, 2], device=device), Samples(ROWS, LABELS, given)).loss == expected


def test_types_of_columns_become_one_that_holds_them_all(table_of: Callable[..., Any]) -> None:
    columns = {
        "small": np.array([1, 2], "int8"),
        "flag": np.array([True, False]),
        "real": np.array([0.5, 7], "float32"),
    }
    array, names = named_array(table_of(columns))
    assert names == ("small", "flag", "real")
    np.testing.assert_array_equal(array, [[1, 1, 0.5], [2, 0, 7]])
    assert array.dtype.kind == "f"
    pixels = as_array(table_of({"a": np.array([1, 255], "uint8"), "b": np.array([0, 7], "uint8")}))
    assert (pixels.dtype, pixels.flags.c_contiguous) == ("uint8", True)


def test_columns_are_found_by_name(device: str, table_of: Callable[..., Any]) -> None:
    net = MLP([3, 4, 2], columns=NAMES, device=device, seed=1)
    table = table_of({"city": ["Oslo"] * 12} | dict(reversed(named_columns().items())))  # text, which it must not read
    np.testing.assert_array_equal(to_host(net.query(table)), to_host(net.query(ROWS)))
    assert evaluate(net, (table, LABELS)).loss == evaluate(net, (ROWS, LABELS)).loss
    with pytest.raises(DataError, match="no column is called 'area' or 'rooms'; the columns are 'city', 'price'"):
        net.query(table_of({"city": [1.0], "price": [2.0]}))
    many = table_of({f"x{i}": [1.0] for i in range(2000)})
    with pytest.raises(DataError, match="the columns are 'x0', .* 'x7' and 1,992 more$"):
        net.query(many)


def test_samples_remember_the_names_of_columns(device: str) -> None:
    net = MLP([3, 2], columns=NAMES, device=device, seed=1)
    samples = Samples(pd.DataFrame(named_columns()).loc[:, ::-1], LABELS)
    assert samples.columns == ("price", "rooms", "area")
    expected = evaluate(net, (ROWS, LABELS)).loss
    assert evaluate(net, samples).loss == expected
    assert evaluate(net, samples.take(np.arange(12))).loss == expected
    assert evaluate(net, Samples(ROWS[:, ::-1], LABELS, columns=("price", "rooms", "area"))).loss == expected
    on_device = net.xp.asarray(np.ascontiguousarray(ROWS))
    assert evaluate(net, Samples(on_device, LABELS, columns=tuple(NAMES))).loss == expected
    with pytest.raises(DataError, match="3 inputs a row but 2 names of columns"):
        Samples(ROWS, LABELS, columns=("a", "b"))


def test_without_names_the_place_counts() -> None:
    net, plain = MLP([3, 2], columns=NAMES, seed=1), MLP([3, 2], seed=1)
    np.testing.assert_array_equal(net.query(pd.DataFrame(ROWS)), net.query(ROWS))
    np.testing.assert_array_equal(plain.query(pd.DataFrame(ROWS, columns=["x", "y", "z"])), net.query(ROWS))


def test_one_row_of_a_frame_is_a_row() -> None:
    net = MLP([3, 2], columns=NAMES, seed=1)
    frame = pd.DataFrame(named_columns()).loc[:, ::-1]
    expected = net.query(ROWS[4])
    np.testing.assert_array_equal(net.query(frame.iloc[4]), expected)
    np.testing.assert_array_equal(net.query(frame.assign(city="Oslo").iloc[4]), expected)  # which makes it objects
    with pytest.raises(DataError, match="no column is called 'area'; the columns are 'price', 'rooms'"):
        net.query(frame.drop(columns="area").iloc[0])


def test_two_columns_of_one_name_are_refused_where_it_matters() -> None:
    frame = pd.DataFrame(np.ones((2, 4)), columns=["area", "rooms", "rooms", "price"])
    with pytest.raises(DataError, match="more than one column is called 'rooms'"):
        MLP([3, 2], columns=NAMES).query(frame)
    assert MLP([2, 2], columns=["area", "price"]).query(frame).shape == (2, 2)


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0, None],
        pd.array([1, 2, None], dtype="Int64"),
        pd.array([True, False, None], dtype="boolean"),
        pd.array([1, 2, None], dtype="float64[pyarrow]"),
        pd.array([1, 2, None], dtype="category"),
        pl.Series([1, 2, None]),
        pl.Series([True, False, None]),
        pa.array([1, 2, None]),
        pa.array([True, False, None]),
        np.array([1, 2, np.nan]),
        np.array([1, 2, None]),
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
)
def test_a_missing_value_is_named_with_column_and_row(values: Any) -> None:
    tables = {"DataFrame": pd.DataFrame, "Series": pl.DataFrame}
    kind = "Series" if isinstance(values, pl.Series) else "DataFrame"
    table = pa.table if isinstance(values, pa.Array) else tables[kind]
    with pytest.raises(DataError, match="^column 'age', row 2, counted from 0, is missing .or nan.: fill it in"):
        MLP([2, 2]).query(table({"size": [1, 2, 3], "age": values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"size": [1, 2], "city": ["Oslo", "Rome"]},
            "column 'city', row 0, counted from 0, holds 'Oslo', but these",
        ),
        (
            {"when": [datetime.datetime(2020, 1, 1)]},
            "column 'when' has the type datetime64.[un]s.: these must be numbers",
        ),
        ({"how": [datetime.timedelta(1)]}, "column 'how' has the type timedelta64.[un]s.: these must be numbers"),
    ],
)
def test_columns_of_no_numbers_are_named(table_of: Callable[..., Any], values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_array(table_of(values))


def test_words_as_targets_are_named() -> None:
    with pytest.raises(
        DataError, match="column 'kind', row 0, counted from 0, holds 'cat', .* classes as numbers first"
    ):
        evaluate(MLP([3, 2]), (ROWS, pd.Series(["cat", "dog"] * 6, name="kind")))
    with pytest.raises(DataError, match="^row 0, counted from 0, holds 'cat'"):
        evaluate(MLP([3, 2]), (ROWS, ["cat", "dog"] * 6))
    with pytest.raises(DataError, match="^row 3, counted from 0, is missing"):
        evaluate(MLP([3, 2]), (ROWS, pa.array([0, 1, 0, None] * 3)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3, 4], [5]], "row 2, counted from 0, has 1 values, but row 0 has 2 values: every row needs as many"),
        ([1, [2, 3]], "row 1, counted from 0, has 2 values, but row 0 has a number"),
        ([[[1], [2, 3]], [[1], [2]]], "the lists inside the rows are not all of one length"),
        ([[1, 2], [3, None]], "row 1, column 1, counted from 0, is missing"),
        ([[1, 2], ["3", 4]], "row 1, column 0, counted from 0, holds '3', but"),
        ((1.5, b"x", 2), "row 1, counted from 0, holds b'x', but"),
        ([[1, 2], [3, pd.NA]], "row 1, column 1, counted from 0, is missing"),
        (np.array([[1, "two"]], dtype=object), "row 0, column 1, counted from 0, holds 'two'"),
        (np.array([[1, "x" * 99]], dtype=object), f"holds 'x{'x' * 17}…, but"),
        (pl.Series("pairs", [[1, 2], [3, 4]]), r"column 'pairs', row 0, counted from 0, holds array\(\[1, 2\]\), but"),
        (pd.Series([np.zeros((2, 1))] * 2), r"row 0, counted from 0, holds array\(\[\[0.\], \[0.\]\]\), but"),
        (np.array([[b"a"]]), "row 0, column 0, counted from 0, holds b'a'"),
        (np.array([[1 << 9999]], dtype=object), "the array holds a number too large for float64"),
        (np.ma.masked_greater(np.array([[1.0, 2.0], [3.0, 4.0]]), 3), "row 1, column 1, counted from 0, is missing"),
        (pd.DataFrame(index=range(3)), "the table has no columns"),
    ],
    ids=str,
)
def test_what_holds_no_numbers_is_named_with_its_place(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        as_array(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "a NoneType is no array of numbers: give an array, a table or lists of numbers"),
        ({"a": [1]}, "a dict is no array"),
        ({1, 2}, "a set is no array"),
        (iter([1]), "a list_iterator is no array"),
        (scipy.sparse.csr_matrix(np.eye(3)), r"a csr_matrix is no array of numbers: give its .toarray\(\)"),
        (pl.LazyFrame({"a": [1]}), "a LazyFrame is no array"),
        (SimpleNamespace(__cuda_array_interface__={}, __array__=None), "can't be used: CuPy is not installed"),
    ],
    ids=lambda values: type(values).__name__,
)
def test_what_is_no_array_is_refused_in_a_line(values: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.setattr("xpnn.arrays.why_no_cuda", lambda index: "CuPy is not installed")
    with pytest.raises((TypeError, DeviceError), match=message):
        MLP([3, 2]).query(values)


def test_arrays_that_are_there_are_not_copied(device: str, xp: ModuleType, tmp_path: Path) -> None:
    array = xp.zeros((2, 3), dtype="float32")
    assert as_array(array) is array
    np.save(tmp_path / "rows.npy", ROWS)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert as_array(mapped) is mapped
    assert Samples(mapped, LABELS).inputs is mapped
    assert np.shares_memory(as_array(np.ma.masked_array(ROWS)), ROWS)
    assert device


def test_numbers_of_python_and_old_subclasses_are_read() -> None:
    assert as_array([[1, 2], [3, 4]]).dtype == "int64"
    np.testing.assert_array_equal(
        as_array(np.array([[1, 2.5], [Decimal("0.5"), True]], dtype=object)), [[1, 2.5], [0.5, 1]]
    )
    with pytest.warns(PendingDeprecationWarning):
        matrix = as_array(np.matrix([[1.0, 2.0]]))
    assert (type(matrix), matrix.ndim) == (np.ndarray, 2)
    big = as_array([[1 << 70, 1]])
    assert (big.dtype, float(big[0, 0])) == ("float64", 2.0**70)


# Device arrays of other libraries, on the fake device.


class Tensor:
    """A tensor of a library that exports DLPack, on a fake card."""

    def __init__(self, data: NDArray[Any], index: int = 0, problem: str = "") -> None:
        self.data, self.index, self.problem, self.dtype = data, index, problem, f"torch.{data.dtype}"

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.index

    def __dlpack__(self, *, stream: int) -> NDArray[Any]:
        assert sys.modules["cupy"]._current == self.index  # or it would wait for another card's stream
        if self.problem:
            raise BufferError(self.problem)
        return self.data

    def __array__(self, *arguments: Any, **keywords: Any) -> NDArray[Any]:
        raise AssertionError("copied through the host")


class InterfaceAlone:
    """An array as Numba's: it has CUDA's array interface and no DLPack."""

    def __init__(self, data: NDArray[Any]) -> None:
        self.data, self.__cuda_array_interface__ = data, data.__array_interface__


Tensor.__module__ = "torch"
torch_of_cards = SimpleNamespace(__name__="torch", from_dlpack=lambda array: Tensor(array._data, array._device))


@pytest.fixture
def no_large_reads(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device refuses to be read but for single numbers, such as whether all inputs are finite."""
    read = fake_cupy._read

    def checked(array: Any) -> NDArray[Any]:
        assert array.size == 1, f"{array.shape} was copied to the host"
        return read(array)

    monkeypatch.setattr(fake_cupy, "_read", checked)


@pytest.mark.parametrize("kind", [Tensor, InterfaceAlone])
@pytest.mark.usefixtures("no_large_reads")
def test_device_arrays_of_others_stay_on_the_device(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch_of_cards)
    rows, labels = ROWS.astype("float32"), LABELS.astype("int64")
    net = MLP([3, 4, 2], device="cuda", seed=1)
    with fake_cupy.counting() as counts:
        assert as_array(kind(rows))._data.ctypes.data == rows.ctypes.data
        answers, classes = net.query(kind(rows)), net.predict(kind(rows))
    assert counts.copies == 0
    with fake_cupy.counting() as counts:
        samples = Samples(kind(rows), kind(labels))
    assert (counts.copies, counts.synchronisations) == (0, 0)
    list(train(net, samples, epochs=1, batch_size=4, fast=False))
    assert type(answers).__name__ == ("Tensor" if kind is Tensor else "FakeArray")
    assert type(classes) is type(answers)


def test_device_arrays_give_what_their_numbers_do(cuda: str) -> None:
    net = MLP([3, 4, 2], device=cuda, seed=1)
    if type(net.parameters).__module__ == "cupy" and not hasattr(net.parameters, "_data"):
        pytest.skip("the tensors here are of the fake device")
    rows = ROWS.astype("float32")
    np.testing.assert_array_equal(to_host(net.query(InterfaceAlone(rows))), to_host(net.query(rows)))


def test_a_tensor_on_the_other_card_is_moved_from_card_to_card(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch_of_cards)
    rows = ROWS.astype("float32")
    net = MLP([3, 2], device="cuda:0", seed=1)
    with fake_cupy.counting() as counts:
        there = net.query(Tensor(rows, index=1))
    assert (counts.copies, there.index) == (0, 0)
    np.testing.assert_array_equal(there.data, to_host(net.query(rows)))


@pytest.mark.usefixtures("fake_cupy")
def test_a_device_tensor_given_to_a_net_on_the_cpu_is_refused_with_the_remedy() -> None:
    tensor = Tensor(ROWS.astype("float32"))
    for run in (
        lambda: MLP([3, 2]).query(tensor),
        lambda: list(train(MLP([3, 2]), (tensor, LABELS))),
        lambda: list(train(MLP([3, 2]), (ROWS, Tensor(LABELS)))),
    ):
        with pytest.raises(
            TypeError, match=r"a CUDA array .*PyTorch's tensor.cpu\(\)\), or move the net .*to\('cuda'\)"
        ):
            run()


@pytest.mark.usefixtures("fake_cupy")
def test_what_a_library_says_of_its_tensor_is_passed_on_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="this Tensor can't be read as an array: it requires grad$"):
        as_array(Tensor(ROWS, problem="it requires grad\nand more"))
    no_cards = SimpleNamespace(__name__="torch", from_dlpack=lambda array: 1 / 0)
    monkeypatch.setitem(sys.modules, "torch", no_cards)
    with pytest.raises(
        TypeError, match=r"this torch can't have them \(division by zero\); give the inputs as an array"
    ):
        in_kind_of(Tensor(ROWS), ROWS)
