"""Parquet and Arrow files as pandas, pyarrow and Hugging Face's hub write them; what is refused in them, and where."""

from __future__ import annotations

import decimal
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hub import hub_table, packed
from numpy.typing import NDArray
from pyarrow import feather, ipc, parquet

from xpnn.data import columnar, layouts, load, read_samples, read_table
from xpnn.data.arrow import BATCH_ROWS, opened_arrow
from xpnn.data.parts import Rows
from xpnn.errors import DataError
from xpnn.samples import Samples

HEIGHT, WIDTH = 8, 8
Write = Callable[[Any, Path], None]


def pixels(rows: int = 30, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, HEIGHT * WIDTH), dtype=np.uint8)


def labels(rows: int = 30) -> NDArray[np.int64]:
    return np.arange(rows, dtype=np.int64) % 3


def write_stream(table: pa.Table, path: Path) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS: dict[str, Write] = {
    "parquet": lambda table, path: parquet.write_table(table, path, row_group_size=7),
    "arrow file": lambda table, path: feather.write_feather(table, str(path), chunksize=7),
    "arrow stream": write_stream,
}


def saved(columns: dict[str, Any] | pa.Table, path: Path) -> Path:
    parquet.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
    return path


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_pictures_as_the_hub_has_them(tmp_path: Path, write: Write) -> None:
    x, y = pixels(), labels()
    write(hub_table(x, y, ["cat", "dog", "hen", "emu"]), path := tmp_path / "data")

    data = load(path)

    assert data.train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(data.train.inputs, x)
    assert data.train.targets is not None
    np.testing.assert_array_equal(data.train.targets, y)
    assert (data.labels, data.classes, data.image_shape) == (("cat", "dog", "hen", "emu"), 4, (HEIGHT, WIDTH))
    assert (data.columns, data.test) == (None, None)
    assert load(path, limit=9).labels == data.labels
    np.testing.assert_array_equal(load(path, limit=9).train.inputs, x[:9])
    unlabelled = read_samples(path, labelled=False)
    assert unlabelled.targets is None
    np.testing.assert_array_equal(unlabelled.inputs, x)
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(load(path).train.inputs, x)


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_pictures_as_bytes_alone(tmp_path: Path, kind: str) -> None:
    x = pixels()
    png = pa.array([packed(row) for row in x], getattr(pa, kind)())
    data = load(saved({"id": list(range(30)), "label": labels(), "png": png}, tmp_path / "data"))
    np.testing.assert_array_equal(data.train.inputs, x)
    assert data.labels == ("0", "1", "2")


def as_list(x: NDArray[Any], kind: Any) -> pa.Array:
    return pa.array(x.tolist(), kind)


LISTS: dict[str, tuple[Callable[[NDArray[Any]], pa.Array], tuple[int, int]]] = {
    "list of int64": (lambda x: as_list(x, pa.list_(pa.int64())), (8, 8)),
    "large list of uint8": (lambda x: as_list(x, pa.large_list(pa.uint8())), (8, 8)),
    "fixed list": (lambda x: pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64), (8, 8)),
    "lists of lists": (lambda x: as_list(x.reshape(-1, 4, 16), pa.list_(pa.list_(pa.uint8()))), (4, 16)),
    "tensors": (lambda x: pa.FixedShapeTensorArray.from_numpy_ndarray(x.reshape(-1, 4, 16)), (4, 16)),
    "pixels as floats": (lambda x: as_list(x, pa.list_(pa.float32())), (8, 8)),
}


@pytest.mark.parametrize(("make", "shape"), LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_pixels_in_lists(
    tmp_path: Path, write: Write, make: Callable[[NDArray[Any]], pa.Array], shape: tuple[int, int]
) -> None:
    x = pixels()
    write(pa.table({"pixels": make(x), "label": labels()}), path := tmp_path / "data")
    data = load(path)
    assert data.train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(data.train.inputs, x)
    assert data.image_shape == shape


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_in_lists_stay_as_they_are(tmp_path: Path, kind: Any) -> None:
    x = np.random.default_rng(1).normal(size=(30, 5)).astype(kind)
    data = load(saved({"embedding": list(x), "class": labels()}, tmp_path / "data"))
    assert data.train.inputs.dtype == kind
    np.testing.assert_array_equal(data.train.inputs, x)
    assert (data.columns, data.image_shape) == (None, None)


@pytest.mark.parametrize("kind", ["uint8", "int64", "Int64"])
@pytest.mark.parametrize("write", [pd.DataFrame.to_parquet, pd.DataFrame.to_feather], ids=["parquet", "feather"])
def test_a_column_a_pixel_as_pandas_writes_it(
    tmp_path: Path, kind: str, write: Callable[[pd.DataFrame, Path], None]
) -> None:
    rows = BATCH_ROWS + 50
    x, y = pixels(rows), labels(rows)
    frame = pd.DataFrame(x, columns=[f"pixel.{i}" for i in range(64)]).astype(kind)
    frame.insert(64, "label", y)
    write(frame, tmp_path / "data")
    data = load(tmp_path / "data")
    assert (str(data.train.inputs.dtype), data.columns, data.image_shape) == ("uint8", None, (8, 8))
    np.testing.assert_array_equal(data.train.inputs, x)
    np.testing.assert_array_equal(data.train.targets, y)


@pytest.mark.parametrize("write", [pd.DataFrame.to_parquet, pd.DataFrame.to_feather], ids=["parquet", "feather"])
def test_a_table_of_real_numbers(tmp_path: Path, write: Callable[[pd.DataFrame, Path], None]) -> None:
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "length": generator.normal(size=20),
            "kind": pd.Categorical(["b", "a", "b", "c"] * 5),
            "count": generator.integers(0, 9, 20).astype("int16"),
            "is.old": generator.integers(0, 2, 20) > 0,
            "price": [decimal.Decimal(k) / 4 for k in range(20)],
        }
    )
    write(frame, path := tmp_path / "data")
    inputs = frame[["length", "count", "is.old", "price"]].astype(float).to_numpy()

    data = load(path, label_column="kind")
    assert (data.columns, data.label_column) == (("length", "count", "is.old", "price"), "kind")
    assert (data.labels, str(data.train.inputs.dtype)) == (("a", "b", "c"), "float64")
    np.testing.assert_array_equal(data.train.inputs, inputs)
    assert data.train.targets is not None
    assert data.train.targets.tolist() == [1, 0, 1, 2] * 5
    assert load(path, label_column="2").columns == data.columns

    samples, columns = read_table(path, ["price"], columns=["is.old", "length"])
    assert columns == ("is.old", "length")
    np.testing.assert_array_equal(samples.inputs, inputs[:, [2, 0]])
    np.testing.assert_array_equal(samples.targets, inputs[:, 3:])


def test_targets_of_parquet_are_those_of_the_same_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(4).normal(size=(50, 3)), columns=["a", "b", "c"])
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    one, other = (load(tmp_path / f"t.{kind}", targets=("b",)) for kind in ("parquet", "csv"))
    assert (one.columns, one.labels) == (other.columns, other.labels) == (("a", "c"), ("b",))
    np.testing.assert_array_equal(one.train.inputs, other.train.inputs)
    np.testing.assert_array_equal(one.train.targets, other.train.targets)


def test_pandas_own_row_numbers_are_no_input(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "label": [0, 1]}, index=[7, 3])
    frame.to_parquet(tmp_path / "data")
    assert "__index_level_0__" in parquet.read_schema(tmp_path / "data").names
    assert load(tmp_path / "data").columns == ("a",)


def test_whole_numbers_are_pixels_where_they_make_a_picture_and_are_bright(tmp_path: Path) -> None:
    def columns_of(x: NDArray[Any]) -> tuple[str, ...] | None:
        return load(saved({"label": labels()} | {f"c{i}": x[:, i] for i in range(x.shape[1])}, tmp_path / "d")).columns

    x = pixels().astype(np.int32)
    assert columns_of(x) is None
    assert columns_of(pixels()[:, :5]) is None  # of the type uint8
    for table in (x[:, :63], np.minimum(x, 127), np.where(x == x.max(), 256, x), x.astype(float)):
        assert columns_of(table) is not None


def test_a_row_group_by_itself(tmp_path: Path) -> None:
    x, y = pixels(), labels()
    parquet.write_table(hub_table(x, y), path := tmp_path / "data", row_group_size=12)
    with opened_arrow(path) as file:
        layout = layouts.layout_of(file)
        groups: list[Rows] = [columnar.read_group(file, layout, group) for group in range(file.groups)]
    assert [len(rows.inputs) for rows in groups] == [12, 12, 6]
    np.testing.assert_array_equal(np.concatenate([rows.inputs for rows in groups]), x)
    assert [label for rows in groups for label in rows.labels] == list(map(str, y))


# -- labels ------------------------------------------------------------------------------------------------------------

LABELS: dict[str, tuple[Any, tuple[str, ...], list[int]]] = {
    "words": (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
    "dictionary": (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1]),
    "numbers from 0": ([0, 3, 1], ("0", "1", "2", "3"), [0, 3, 1]),
    "numbers from 1": ([1, 10, 9], ("1", "9", "10"), [0, 2, 1]),
    "-1 and 1": ([1, -1, 1], ("-1", "1"), [1, 0, 1]),
    "whole floats": ([0.0, 1.0, 1.0], ("0", "1"), [0, 1, 1]),
    "truth": ([True, False, True], ("False", "True"), [1, 0, 1]),
}


@pytest.mark.parametrize(("column", "names", "targets"), LABELS.values(), ids=LABELS)
def test_labels(tmp_path: Path, column: Any, names: tuple[str, ...], targets: list[int]) -> None:
    data = load(saved({"a": [0.1, 0.2, 0.3], "label": column}, tmp_path / "data"))
    assert data.train.targets is not None
    assert (data.labels, data.train.targets.tolist()) == (names, targets)


def test_test_rows_have_the_training_rows_numbers(tmp_path: Path) -> None:
    train = saved({"a": [0.1, 0.2, 0.3], "label": ["a", "b", "c"]}, tmp_path / "train")
    test = saved({"label": ["c", "b"], "b": ["x", "y"], "a": [1.0, 2.0]}, tmp_path / "test")
    data = load(train, test_data=test)
    assert data.test is not None
    assert data.test.targets is not None
    assert (data.test.inputs.tolist(), data.test.targets.tolist()) == ([[1.0], [2.0]], [2, 1])
    strange = saved({"label": ["b", "d"], "a": [1.0, 2.0]}, tmp_path / "strange")
    with pytest.raises(DataError, match=r"strange: the label 'd', in row 1, .* is none of the classes 'a', 'b', 'c'"):
        load(train, test_data=strange)
    numbers = saved({"label": [2, 1], "a": [1.0, 2.0]}, tmp_path / "numbers")
    ones = load(saved({"a": [0.1, 0.2, 0.3], "label": [0, 1, 2]}, tmp_path / "ones"), test_data=numbers)
    assert ones.test is not None
    assert ones.test.targets is not None
    assert ones.test.targets.tolist() == [2, 1]  # and not numbered anew


def test_numbers_find_the_names_that_a_net_has(tmp_path: Path) -> None:
    x = pixels(3)
    path = saved(hub_table(x, [0, 2, 1], ["cat", "dog", "hen"]), tmp_path / "data")
    assert read_samples(path, labels=["hen", "dog", "cat"]).targets.tolist() == [2, 0, 1]  # type: ignore[union-attr]
    plain = saved(hub_table(x, [0, 2, 1]), tmp_path / "plain")
    assert read_samples(plain, labels=["hen", "dog", "cat"]).targets.tolist() == [0, 2, 1]  # type: ignore[union-attr]


# -- what is refused ---------------------------------------------------------------------------------------------------


def broken(place: int, content: Any) -> pa.Array:
    images: list[Any] = [packed(row) for row in pixels(4)]
    images[place] = content
    return pa.array(images, pa.binary())


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "null number": ({"a": [1.5, None], "label": [0, 1]}, "'a' in row 1, counted from 0, is missing (null): fill it in"),
    "nan": ({"a": [1.5, 2.0, np.nan], "label": [0, 1, 0]}, "'a' in row 2, counted from 0, is nan, no finite number"),
    "words": ({"a": ["x", "y"], "label": [0, 1]}, "'a' holds values of the type string, expected numbers: leave"),
    "words and gaps": (
        {"a": [None, 1], "b": ["x", "y"], "c": [1.5, 2.5], "d": ["u", None], "e": [None, 1.5], "label": [0, 1]},
        (
            "'b' holds values of the type string, expected numbers; other columns that can't be used are 'd' (string), "
            "'a' (null), 'e' (null): write words as numbers, fill gaps in or leave their rows out, or leave such"
        ),
    ),
    "gaps": (
        {"a": [None, 2, 3], "b": [None, 1.5, 2.5], "label": [0, 1, 0]},
        "'a' in row 0, counted from 0, is missing (null); other columns that can't be used are 'b' (null): write",
    ),
    "many words": (
        {f"c{i}": ["x", "y"] for i in range(30)} | {"label": [0, 1]},
        "'c0' holds values of the type string, expected numbers; other columns that can't be used are "
        + ", ".join(f"'c{i}' (string)" for i in range(1, 11))
        + " and 19 more: write words",
    ),
    "dates": ({"a": pa.array([1, 2], pa.date32()), "label": [0, 1]}, "'a' holds values of the type date32"),
    "null label": ({"a": [1.5, 2.5], "label": [0, None]}, "'label' in row 1, counted from 0, is missing (null)"),
    "empty label": ({"a": [1.5, 2.5], "label": ["x", ""]}, "'label' in row 1, counted from 0, is missing (an empty"),
    "label with a fraction": (
        {"a": [1.5, 2.5], "label": [0, 0.5]},
        "'label' in row 1, counted from 0, is '0.5', and a",
    ),
    "label of dates": ({"a": [1.5], "label": pa.array([1], pa.date32())}, "'label' holds values of the type date32"),
    "no label": ({"a": [1.5], "b": [0.5]}, "which column has the labels? None is called label, labels, class, target"),
    "only a label": ({"label": [0, 1]}, "the label is the only column: at least one more is needed"),
    "one class": ({"a": [1.5, 2.5], "label": ["x", "x"]}, "all rows are of the class 'x', but at least two"),
    "no rows": ({"a": pa.array([], pa.float64()), "label": pa.array([], pa.int64())}, "the file has no rows"),
    "ragged": (
        {"x": [[1, 2], [1, 2, 3]], "label": [0, 1]},
        "'x' in row 1, counted from 0, has a list of 3 values, but",
    ),
    "ragged inside": (
        {"x": [[[1, 2], [1, 2]], [[3, 4], [5]]], "label": [0, 1]},
        "'x' in row 1, counted from 0, has a list of 1 values, but the first row one of 2",
    ),
    "empty lists": ({"x": [[], []], "label": [0, 1]}, "'x' in row 0, counted from 0, has a list of 0 values"),
    "null list": ({"x": [[1], None], "label": [0, 1]}, "'x' in row 1, counted from 0, is missing"),
    "null in a list": ({"x": [[1, 2], [1, None]], "label": [0, 1]}, "'x' in row 1, counted from 0, is missing"),
    "lists of words": ({"x": [["a"], ["b"]], "label": [0, 1]}, "'x' holds lists of the type string, expected numbers"),
    "no pixel in a list": (
        {"x": [[1, 2], [1, 256]], "label": [0, 1]},
        "'x' in row 1, counted from 0, is 256, expected a",
    ),
    "infinite in a list": ({"x": [[1, 2.5], [np.inf, 1]], "label": [0, 1]}, "'x' in row 1, counted from 0, is inf, no"),
    "two lists": ({"x": [[1]], "y": [[1]], "label": [0]}, "2 columns hold lists: 'x', 'y'; one is needed"),
    "no picture": ({"x": broken(2, b"GIF89a"), "label": [0, 1, 0, 1]}, "'x' in row 2, counted from 0, is no good: "),
    "cut off": ({"x": broken(1, packed(pixels(1))[:40]), "label": [0, 1, 0, 1]}, "'x' in row 1, counted from 0, is no"),
    "null picture": ({"x": broken(3, None), "label": [0, 1, 0, 1]}, "'x' in row 3, counted from 0, is missing (null)"),
    "another size": (
        {"x": broken(2, packed(pixels(1).reshape(-1)[:56])), "label": [0, 1, 0, 1]},
        "'x' in row 2, counted from 0, is no good: the picture has 8 x 7 pixels (height x width), but the first",
    ),
}


@pytest.mark.parametrize(("columns", "problem"), BAD.values(), ids=BAD)
def test_refused(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    path = saved(columns, tmp_path / "data.parquet")
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(caught.value)


def test_rows_are_counted_over_batches_and_groups(tmp_path: Path) -> None:
    x = np.ones(BATCH_ROWS + 300)
    x[BATCH_ROWS + 200] = np.nan
    table = pa.table({"a": x, "label": np.arange(len(x)) % 2})
    parquet.write_table(table, path := tmp_path / "data", row_group_size=BATCH_ROWS + 100)
    with pytest.raises(DataError, match=f"'a' in row {BATCH_ROWS + 200}, counted from 0"):
        load(path)


def test_a_path_alone_is_no_picture(tmp_path: Path) -> None:
    image = pa.array([{"bytes": None, "path": "cat.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    with pytest.raises(DataError, match=r"'image' in row 0, counted from 0, has no bytes, but at most the path"):
        load(saved({"image": image, "label": [0]}, tmp_path / "data"))


def test_labels_that_the_file_has_no_name_for(tmp_path: Path) -> None:
    path = saved(hub_table(pixels(2), [0, -1], ["cat", "dog"]), tmp_path / "data")
    with pytest.raises(
        DataError, match="'label' in row 1, counted from 0, is '-1', but the file names 2 classes, 0 to 1"
    ):
        load(path)


@pytest.mark.parametrize("noted", ["{", "[]", '{"info": {"features": {"label": {"names": 7, "_type": "ClassLabel"}}}}'])
def test_odd_notes_beside_the_schema_are_passed_over(tmp_path: Path, noted: str) -> None:
    table = pa.table({"a": [0.5, 1.5], "label": [0, 1]}).replace_schema_metadata(
        {"huggingface": noted, "pandas": noted}
    )
    assert load(saved(table, tmp_path / "data")).labels == ("0", "1")


def test_too_many_labels_are_no_classes(tmp_path: Path) -> None:
    path = saved({"a": np.arange(40.0), "price": np.arange(40) * 1000 + 1}, tmp_path / "data")
    with pytest.raises(DataError, match="'price' has 40 different labels in 40 rows, too many for classes: to predict"):
        load(path, label_column="price")


def test_progress_is_told_where_the_file_says_how_many_there_are(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "data"
    parquet.write_table(pa.table({"x": list(pixels()), "label": labels()}), path, row_group_size=7)
    data = load(path, progress=lambda read, of: told.append((read, of)))
    assert told == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]
    told.clear()
    load(path, limit=10, progress=lambda read, of: told.append((read, of)))
    assert told == [(7, 10), (10, 10)]
    np.testing.assert_array_equal(data.train.inputs, pixels())


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = saved({"a": [0.5, 1.5], "label": [0, 1]}, tmp_path / "data")
    with pytest.raises(DataError, match="data: no column is called 'kind'; the columns are 'a', 'label'"):
        load(path, label_column="kind")
    with pytest.raises(DataError, match="none: no column is called 'kind'; the columns are none"):
        load(saved({}, tmp_path / "none"), label_column="kind")
    with pytest.raises(DataError, match="data: no column is called 'b'; the columns are 'a', 'label'"):
        read_samples(path, columns=("b",))
    with pytest.raises(DataError, match="every column is a target"):
        read_table(path, ("a", "label"))
    with pytest.raises(ValueError, match="targets and label_column both name what is to be predicted"):
        load(path, label_column="label", targets=("a",))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_damaged_files(tmp_path: Path, write: Write) -> None:
    """Files that are cut off anywhere are refused, or (a stream, between its messages) have fewer rows."""
    x = pixels()
    write(hub_table(x, labels()), path := tmp_path / "data")
    content = path.read_bytes()
    for end in range(8, len(content) - 8, len(content) // 40):
        path.write_bytes(content[:end])
        try:
            rows = load(path).train.inputs
        except DataError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 - both ends are right
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert write is write_stream
            np.testing.assert_array_equal(rows, x[: len(rows)])


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved({"a": [0.5], "label": [0]}, tmp_path / "data")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        DataError, match=r"reading Parquet and Arrow files needs pyarrow: pip install 'xpnn\[parquet\]'"
    ):
        load(path)


def test_samples_of_a_tables_columns(tmp_path: Path) -> None:
    path = saved({"b": ["x", "y"], "a": [0.5, 1.5], "kind": ["cat", "dog"]}, tmp_path / "data")
    found: Samples = read_samples(path, columns=("a",), labels=("dog", "cat"), label_column="kind")
    assert found.targets is not None
    assert (found.inputs.tolist(), found.targets.tolist()) == ([[0.5], [1.5]], [1, 0])
    assert read_samples(path, columns=("a",), labelled=False).inputs.tolist() == [[0.5], [1.5]]
    with pytest.raises(DataError, match="'b' holds values of the type string, expected numbers"):
        read_samples(path, label_column="kind")


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_dark_columns_are_pixels_for_a_net_of_pixels(tmp_path: Path, dtype: str) -> None:
    dark = pixels() // 4
    frame = pd.DataFrame(dark.astype(dtype), columns=[f"p{i}" for i in range(dark.shape[1])])
    frame.assign(label=labels()).to_parquet(tmp_path / "dark.parquet")
    assert load(tmp_path / "dark.parquet").columns is not None  # a table, for all that its numbers say
    found = read_samples(tmp_path / "dark.parquet").inputs
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, dark)


def test_named_classes_keep_their_numbers_where_the_first_one_does_not_occur(tmp_path: Path) -> None:
    parquet.write_table(hub_table(pixels(4), [1, 2, 2, 1], ["ant", "bee", "cat"]), tmp_path / "some.parquet")
    data = load(tmp_path / "some.parquet")
    assert data.labels == ("ant", "bee", "cat")
    assert np.asarray(data.train.targets).tolist() == [1, 2, 2, 1]
