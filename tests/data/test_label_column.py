"""CSV files whose labels stand in a column that is named: of pixels and of tables, with and without names."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_iris

from xpnn.data import lines, load, read_samples, read_table
from xpnn.data.parts import natural_order
from xpnn.data.table import column_called
from xpnn.errors import DataError

NAMES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def iris() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """scikit-learn's, with the species as a column of words."""
    found = load_iris(as_frame=True)
    frame = found.data.copy()
    frame.insert(2, "species", [NAMES[target] for target in found.target])
    return frame, found.target.to_numpy()


@pytest.mark.parametrize(
    ("asked", "named"), [("species", True), ("3", True), ("-3", True), ("3", False), ("-3", False)]
)
@pytest.mark.parametrize("quoted", [0, 1], ids=["plain", "quoted"])
def test_iris(path: Path, asked: str, named: bool, quoted: Any) -> None:
    frame, targets = iris()
    frame.to_csv(path, index=False, header=named, quoting=quoted)
    data = load(path, label_column=asked)
    assert data.labels == NAMES
    np.testing.assert_array_equal(data.train.inputs, load_iris().data)
    np.testing.assert_array_equal(data.train.targets, targets)
    names = tuple(frame.columns.drop("species")) if named else ("1", "2", "4", "5")
    assert (data.columns, data.label_column) == (names, "species" if named else "3")
    again = read_samples(path, labels=NAMES[::-1], label_column=asked, columns=names)
    np.testing.assert_array_equal(again.targets, 2 - targets)
    assert data.columns is not None
    backwards = read_samples(path, labelled=False, columns=data.columns[::-1])
    np.testing.assert_array_equal(backwards.inputs, load_iris().data[:, ::-1])


def digits(rows: int = 40) -> pd.DataFrame:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 64), dtype=np.uint8)
    frame = pd.DataFrame(pixels, columns=[f"pixel{i}" for i in range(64)])
    frame["class"] = np.arange(rows) % 10
    return frame


@pytest.mark.parametrize("asked", ["class", "65", "-1"])
@pytest.mark.parametrize("form", ["whole", "floats", "words", "counted", "no names"])
def test_pixels_stay_pixels(path: Path, form: str, asked: str) -> None:
    frame = digits()
    targets = frame["class"].tolist()
    if form == "floats":
        frame = frame.astype(dict.fromkeys(frame.columns, float))
    if form == "words":
        frame["class"] = [f"digit {label}" for label in targets]
    if form == "counted":
        frame.columns = [*map(str, range(64)), "class"]
    if form == "no names" and asked == "class":
        asked = "-1"
    frame.to_csv(path, index=False, header=form != "no names")
    data = load(path, label_column=asked)
    assert (str(data.train.inputs.dtype), data.columns, data.image_shape) == ("uint8", None, (8, 8))
    np.testing.assert_array_equal(data.train.inputs, digits().to_numpy()[:, :64])
    assert data.train.targets is not None
    assert data.train.targets.tolist() == targets
    assert data.labels[3] == ("digit 3" if form == "words" else "3")
    limited = load(path, label_column=asked, limit=25)
    assert (len(limited.train), limited.labels) == (25, data.labels)


@pytest.mark.parametrize("words", [lambda n: f"größe {n}", lambda n: str(n - 1), lambda n: str(100 * n)])
@pytest.mark.parametrize("place", [0, 5, 60, 64])
@pytest.mark.parametrize("separator", [",", ";"])
def test_pixels_beside_other_labels_are_read_as_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch, separator: str, place: int, words: Any
) -> None:
    frame = digits()
    frame.insert(place, "class", frame.pop("class").map(words))
    frame.to_csv(path, index=False, sep=separator)
    expected = frame.drop(columns="class").to_numpy()
    with monkeypatch.context() as patch:
        patch.delattr("xpnn.data.labelled.read_table")  # which takes eight bytes a pixel and more
        data = load(path, label_column="class", classes=1000)
        few = load(path, label_column="class", classes=1000, limit=7)
        frame.to_csv(path, index=False, sep=separator, quoting=csv.QUOTE_NONNUMERIC)  # as R writes them
        again = load(path, label_column="class", classes=1000)
    assert (data.train.inputs.dtype, data.image_shape) == (np.uint8, (8, 8))
    np.testing.assert_array_equal(data.train.inputs, expected)
    np.testing.assert_array_equal(few.train.inputs, expected[:7])
    assert [data.labels[label] for label in np.asarray(data.train.targets)] == frame["class"].to_list()
    np.testing.assert_array_equal(again.train.inputs, expected)
    np.testing.assert_array_equal(again.train.targets, data.train.targets)


def test_pixels_beside_words_that_hold_a_separator_and_a_line_that_is_cut_off(path: Path) -> None:
    frame = digits()
    frame["class"] = frame["class"].map(lambda n: f"{n}, or so")
    frame.to_csv(path, index=False)
    assert load(path, label_column="class").train.inputs.dtype == np.uint8
    assert load(path, label_column="class").labels[9] == "9, or so"
    frame.insert(40, "class", frame.pop("class").str[0] + "x")
    frame.to_csv(path, index=False)
    whole = path.read_text().splitlines()
    path.write_text("\n".join([*whole[:5], whole[5][:9], *whole[6:]]))
    with pytest.raises(DataError, match=r"data\.csv, line 6: \d+ columns?, but line 1 has 65"):
        load(path, label_column="class")


@given(fields=st.lists(st.text("ab ", max_size=3), min_size=1, max_size=9), data=st.data())
def test_a_field_is_taken_out_of_a_line(fields: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(fields) - 1))
    rest = fields[:place] + fields[place + 1 :]
    assert lines.taken_out(",".join(fields), ",", len(fields), place) == (fields[place], ",".join(rest))
    with pytest.raises(ValueError, match=r"^$"):
        lines.taken_out(",".join(fields), ",", len(fields) + 1, place)


def test_dark_pixels_are_pixels_for_a_net_of_pixels(path: Path) -> None:
    frame = digits()
    frame.iloc[:, :64] //= 4
    frame.to_csv(path, index=False)
    assert load(path, label_column="class").columns is not None
    assert read_samples(path, label_column="class").inputs.dtype == np.uint8
    bright = path.with_name("bright.csv")
    digits().to_csv(bright, index=False)
    data = load(bright, test_data=path, label_column="class")
    assert data.test is not None
    assert data.test.inputs.dtype == np.uint8
    frame = frame.astype(int)
    frame.iloc[2, 5] = 300
    frame.to_csv(path, index=False)
    with pytest.raises(
        DataError, match=r"data.csv, line 4, column 6: 'pixel5' is '300', expected a pixel, a whole number"
    ):
        read_samples(path, label_column="class")


@pytest.mark.parametrize(
    ("column", "labels", "targets"),
    [
        ("b,a,b", ("a", "b"), [1, 0, 1]),
        ("0,3,1", ("0", "1", "2", "3"), [0, 3, 1]),
        ("1,10,9", ("1", "9", "10"), [0, 2, 1]),
        ("-1,+1,1.0", ("-1", "1"), [0, 1, 1]),
        ("0.0,1.0,1", ("0", "1"), [0, 1, 1]),
        (" yes , no,yes", ("no", "yes"), [1, 0, 1]),
        ("class 10,class 9,class 9", ("class 9", "class 10"), [1, 0, 0]),
        ("木,火,木", ("木", "火"), [0, 1, 0]),
    ],
)
def test_labels(path: Path, column: str, labels: tuple[str, ...], targets: list[int]) -> None:
    path.write_text("a,kind\n" + "\n".join(f"{i}.5,{label}" for i, label in enumerate(column.split(","))), "utf-8")
    data = load(path, label_column="kind")
    assert data.train.targets is not None
    assert (data.labels, data.train.targets.tolist()) == (labels, targets)


def test_the_number_of_classes_makes_whole_labels_numbers(path: Path) -> None:
    path.write_text("a,kind\n0.5,1\n1.5,2\n")
    data = load(path, label_column="kind", classes=4)
    assert data.train.targets is not None
    assert (data.labels, data.train.targets.tolist()) == (("0", "1", "2", "3"), [1, 2])


def test_test_data_without_a_0_has_numbers_where_the_training_data_have(path: Path) -> None:
    path.write_text("a,kind\n0.5,0\n1.5,1\n2.5,2\n")
    other = path.with_name("other.csv")
    other.write_text("a,kind\n1.5,2\n0.5,1\n")
    data = load(path, label_column="kind", test_data=other)
    assert data.test is not None
    assert data.test.targets is not None
    assert data.test.targets.tolist() == [2, 1]


def test_whole_numbers_of_a_table_are_no_pixels(path: Path) -> None:
    for text in ("age,rooms,kind\n20,3,a\n30,4,b\n", "age,rooms,kind\n20,3,0\n30,4,1\n"):
        path.write_text(text)
        data = load(path, label_column="kind")
        assert (data.train.inputs.dtype, data.columns) == (np.float64, ("age", "rooms"))
        assert data.train.inputs.tolist() == [[20, 3], [30, 4]]


def test_the_first_column_may_be_named_too(path: Path) -> None:
    frame = digits()[["class", *(f"pixel{i}" for i in range(64))]]
    frame.to_csv(path, index=False)
    np.testing.assert_array_equal(load(path, label_column="class").train.inputs, digits().to_numpy()[:, :64])


def test_a_label_column_that_is_not_there_is_no_input_either(path: Path) -> None:
    digits().to_csv(path, index=False)
    assert read_samples(path, labelled=False, label_column="class").inputs.shape == (40, 64)
    with pytest.raises(DataError, match="no column is called 'kind'; the columns are 'pixel0'"):
        read_samples(path, labelled=False, label_column="kind")


def test_few_of_the_rows_may_each_have_a_class_of_their_own(path: Path) -> None:
    """Whether these are classes is asked of all rows."""
    path.write_text("a,kind\n" + "\n".join(f"{row}.5,{row % 30}" for row in range(90)))
    assert load(path, label_column="kind", limit=30).classes == 30
    path.write_text("a,kind\n" + "\n".join(f"{row}.5,{row}" for row in range(90)))
    with pytest.raises(DataError, match="'kind' has 90 different labels in 90 rows, too many for classes"):
        load(path, label_column="kind")


def test_test_data_is_mapped_by_the_training_datas_names(path: Path) -> None:
    path.write_text("a,kind,b\n0.5,cat,1\n1.5,dog,2\n2.5,emu,3\n")
    other = path.with_name("other.csv")
    other.write_text("kind,note,b,a\nemu,x,9,0.5\ndog,y,8,0.25\n")
    for asked in ("kind", "2"):  # the column's number in the training data
        data = load(path, test_data=other, label_column=asked)
        assert data.test is not None
        assert data.test.targets is not None
        assert (data.test.inputs.tolist(), data.test.targets.tolist()) == ([[0.5, 9.0], [0.25, 8.0]], [2, 1])
    other.write_text("kind,b,a\nemu,9,0.5\nape,8,0.25\n")
    with pytest.raises(
        DataError, match=r"other.csv: the label 'ape', in row 1, counted from 0, is none of the classes "
    ):
        load(path, test_data=other, label_column="kind")
    path.write_text("a,kind,b\n0.5,0,1\n1.5,1,2\n")
    with pytest.raises(DataError, match=r"other.csv: its classes have names, such as 'ape', but the training data's"):
        load(path, test_data=other, label_column="kind")


BAD = {
    "a,kind\n0.5,x\n1.5,\n": "line 3, column 2: 'kind' is missing (an empty field): fill it in, or leave the row out",
    "a,kind\n0.5,x\n1.5,?\n": "line 3, column 2: 'kind' is missing ('?')",
    "a,kind\n0.5,0\n1.5,0.5\n": "line 3, column 2: 'kind' is '0.5', and a class has a name or a whole number",
    "a,kind\n0.5,inf\n": "line 2, column 2: 'kind' is 'inf', and a class",
    "a,kind\n0.5,x\x1b[2J\n": "line 2, column 2: 'kind' is 'x\\x1b[2J': the name of a class must be printable",
    "a,kind\n0.5,x\nz,y\n": "line 3, column 1: 'a' is 'z', expected a number",
    "a,kind\n0.5,x\n1.5\n": "line 3: 1 column, but line 1 has 2: every line needs as many",
    "a,kind\n": "column names at the top, but no rows of data below",
    "kind\nx\ny\n": "line 1: the label is the only column: at least one more is needed",
    "a,Kind\n0.5,x\n": "line 1: no column is called 'kind'; the columns are 'a', 'Kind'",
    "a|kind\n0.5|x\n": "line 1: the columns are separated by bars: commas, semicolons or tabs are needed",
    "a;kind\n0,5;1,5\n": "line 2, column 2: 'kind' is '1,5', and a class has a name or a whole number",
    "a,kind\n0.5,0\n1.5,0\n": "all labels are 0, but at least two classes are needed: is the label 'kind'? If it is,",
    "a,kind\n0.5,x\n1.5,x\n": "all rows are of the class 'x', but at least two are needed",
    "": "the file is empty",
    f"a,kind\n0.5,{'x' * 300}\n": "line 2, column 2: 'kind' is 'xxxxxxxxxxxxxxxxxxx…', 300 characters: the name of a",
    "a,kind\n" + "".join(f"1,w{i}\n" for i in range(30)): "'kind' has 30 different labels in 30 rows, too many for"
    " classes: name another column, if these are no classes; else pass classes=N",
    "a,kind\n" + "".join(f"1,{i}00\n" for i in range(1, 31)): "'kind' has 30 different labels in 30 rows, too many for"
    " classes: to predict the numbers themselves, name the column in --targets",
}


@pytest.mark.parametrize(("text", "problem"), BAD.items(), ids=range(len(BAD)))
def test_refused(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load(path, label_column="kind")
    assert str(caught.value).startswith(f"{path}{': ' if not problem.startswith('line') else ', '}{problem}")
    assert "\n" not in str(caught.value)


def test_a_label_column_needs_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digits has no columns with names: leave the label column out"):
        load("digits", label_column="label")
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 3)), y=np.zeros(2, dtype=int))
    for path in (tmp_path / "data.npz", tmp_path):
        with pytest.raises(
            DataError, match=r"a CSV, Parquet or Arrow file is needed to find columns by name, and this"
        ):
            load(path, label_column="y")


def test_targets_by_number_and_without_names(path: Path) -> None:
    path.write_text("1.5,2,30\n2.5,3,40\n")
    data = load(path, targets=("-1", "2"))
    assert (data.labels, data.columns) == (("3", "2"), ("1",))
    assert data.train.targets is not None
    assert (data.train.inputs.tolist(), data.train.targets.tolist()) == ([[1.5], [2.5]], [[30, 2], [40, 3]])
    path.write_text("1990,1991,price\n1,2,30\n3,4,40\n")  # names that are numbers, but of no column
    samples, _ = read_table(path, columns=("1991", "1990"))
    assert samples.inputs.tolist() == [[2, 1], [4, 3]]


def test_columns_by_name_before_their_number() -> None:
    names = ["a", "1", "c"]
    asked = {"a": "a", "1": "1", "3": "c", "-1": "c", "-3": "a", "0": "0", "4": "4", "-4": "-4", "x": "x"}
    assert {name: column_called(name, names) for name in asked} == asked


def test_natural_order() -> None:
    assert natural_order(["b", "a10", "a9", "A1", "10", "9", "a010"]) == ("9", "10", "A1", "a9", "a010", "a10", "b")
    assert natural_order(["1", "-1", "-10", "0"]) == ("-10", "-1", "0", "1")
    assert natural_order(["2.", "10", "2", "02"]) == ("02", "2", "2.", "10")
    natural_order(["1" * 10_000, "²", "٣", ""])  # what int() would refuse


@pytest.mark.parametrize("asked", ["0", "3", "-3"])
def test_a_number_that_no_column_has(path: Path, asked: str) -> None:
    path.write_text("a,kind\n0.5,x\n1.5,y\n")
    problem = f"line 1: no column is called '{asked}'; the columns, numbered from 1 to 2, are 'a', 'kind'"
    with pytest.raises(DataError, match=problem):
        load(path, label_column=asked)


def test_bars_are_named_where_the_column_is_a_number(path: Path) -> None:
    path.write_text("a|kind\n0.5|x\n1.5|y\n")
    with pytest.raises(DataError, match="line 1: the columns are separated by bars"):
        load(path, label_column="1")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a;kind;b\n0,5;Braund, Owen;1\n1,5;y;2\n", ("Braund, Owen", "y")),
        ('a;kind;b\n0,5;"x;y";1\n1,5;1.5 l;2\n', ("1.5 l", "x;y")),  # a point that is in no number
        ("a;kind;b\n0,5;1,0;1\n1,5;2;2\n", ("1", "2")),
        ("a\tkind\tb\n0.5\tx\t1\n1.5\ty, z\t2\n", ("x", "y, z")),
    ],
)
def test_labels_between_semicolons_and_tabs(path: Path, text: str, labels: tuple[str, ...]) -> None:
    path.write_text(text)
    for asked in ("kind", "2"):
        data = load(path, label_column=asked)
        assert (data.labels, data.columns) == (labels, ("a", "b"))
        assert data.train.inputs.tolist() == [[0.5, 1], [1.5, 2]]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_pixels_between_semicolons_and_tabs(path: Path, separator: str) -> None:
    digits().to_csv(path, sep=separator, index=False)
    np.testing.assert_array_equal(load(path, label_column="class").train.inputs, digits().to_numpy()[:, :64])
