"""Tables: what is read, in which order, what is refused and where, and that the quick reader reads nothing else."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnn.data import load, table, wrong_value
from xpnn.data.table import Head, read_table
from xpnn.errors import DataError

HEADER = b"area,price,rooms,tax\n"
ROWS = b"50.5,-1e3,2,.5\n75,2000,3,0\n"
TEXT = HEADER + ROWS
COMMAS = TEXT.replace(b",", b";").replace(b".", b",")
MARKS = "write all numbers with decimal commas, or all with decimal points, and nothing between thousands"
POINT, EITHER = "expected a number with a decimal point", "write 1234 or 1.234, whichever is meant"
IN_PANDAS = (
    "give it one in this line, or delete the column; if pandas wrote its row numbers there, to_csv(index=False) "
)
INPUTS, TARGETS = [[50.5, 2], [75, 3]], [[0.5, -1000], [0, 2000]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "houses.csv"


@pytest.mark.parametrize(
    "content",
    {
        "plain": TEXT,
        "no end of line": TEXT.rstrip(),
        "byte order mark": b"\xef\xbb\xbf" + TEXT,
        "CRLF": TEXT.replace(b"\n", b"\r\n"),
        "CR": TEXT.replace(b"\n", b"\r"),
        "blank lines": b"\n" + TEXT.replace(b"\n", b"\n\n \n") + b"\n\n",
        "quoted names": b'"area", "price","rooms","tax"\n' + ROWS,
        "quoted numbers": HEADER + b'"50.5","-1e3"," 2",".5"\n75,"2000",3,0\n',
        "spaces": b" area ,price, rooms,tax\n 50.5 , -1e3,2\t,.5\n75,2000,3,0\n",
        "semicolons": TEXT.replace(b",", b";"),
        "semicolons, as Excel writes them": b"\xef\xbb\xbf" + COMMAS.replace(b"\n", b"\r\n"),
        "semicolons and quotes": b'"area"; "price";"rooms";tax\n"50,5";"-1e3"; "2,0";",5"\n75;2000;3;0\n',
        "tabs": TEXT.replace(b",", b"\t"),
        "tabs beside commas": TEXT.replace(b",", b",\t"),
        "gzipped": gzip.compress(TEXT),
    }.items(),
    ids=lambda item: item[0],
)
def test_accepted(path: Path, content: tuple[str, bytes]) -> None:
    path.write_bytes(content[1])
    samples, columns = read_table(path, ("tax", "price"))
    assert samples.targets is not None
    assert samples.inputs.dtype == np.float64
    assert samples.targets.dtype == np.float64
    assert columns == ("area", "rooms")
    assert samples.inputs.tolist() == INPUTS
    assert samples.targets.tolist() == TARGETS
    everything, names = read_table(path)
    assert everything.targets is None
    assert names == ("area", "price", "rooms", "tax")
    assert everything.inputs.tolist() == [[50.5, -1000, 2, 0.5], [75, 2000, 3, 0]]
    first, _ = read_table(path, ["tax"], limit=1)
    assert first.targets is not None
    assert (first.inputs.tolist(), first.targets.tolist()) == ([[50.5, -1000, 2]], [[0.5]])


def test_names_may_hold_commas_and_other_letters(path: Path) -> None:
    path.write_text('"Fläche, m²","price; EUR",2\n1,2,3\n', encoding="utf-8")
    samples, columns = read_table(path, ("price; EUR",))
    assert columns == ("Fläche, m²", "2")
    assert samples.inputs.tolist() == [[1, 3]]


def test_columns_are_found_by_name_and_the_others_may_hold_anything(path: Path) -> None:
    path.write_text("id,rooms,price,area\nA-1,2,,50.5\nÄ 2,3,n/a,75\n", encoding="utf-8")
    samples, columns = read_table(path, columns=("area", "rooms"))
    assert (samples.inputs.tolist(), columns, samples.targets) == (INPUTS, ("area", "rooms"), None)
    with pytest.raises(DataError, match=r"line 2, column 3: 'price' is missing \(an empty field\)"):
        read_table(path, ("price",), columns=("area",))
    path.write_text("id,rooms\nA-1,2\nA-2,3,4\n")
    with pytest.raises(DataError, match="line 3: 3 columns, but line 1 has 2"):
        read_table(path, columns=("rooms",))


def test_numbers_are_read_to_the_last_bit(path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(100, 3)) * 10.0 ** np.arange(-150, 151, 150)
    path.write_text("a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in values.tolist()))
    np.testing.assert_array_equal(read_table(path)[0].inputs, values)


@pytest.mark.parametrize(
    ("content", "line", "column", "problem"),
    [
        (b"area,price,rooms\n1,2,3\n", 1, None, "no column is called 'tax'; the columns are 'area', 'price', 'rooms'"),
        (b"a,b\n1,2\n", 1, None, "no column is called 'tax' or 'price'; the columns are 'a', 'b'"),
        (b"tax,price\n1,2\n", 1, None, "every column is a target: at least one must be an input"),
        (HEADER + b"1,2,,4\n", 2, 3, "'rooms' is missing (an empty field): fill it in, or delete the line"),
        (HEADER + b"1,2,3,4\n1,2, ,4\n", 3, 3, "'rooms' is missing (an empty field)"),
        (HEADER + b"1,2,NA,4\n", 2, 3, "'rooms' is missing ('NA'): fill it in"),
        (HEADER + b"1,nan,3,4\n", 2, 2, "'price' is missing ('nan')"),
        (HEADER + b"1,2,3,?\n", 2, 4, "'tax' is missing ('?')"),
        (HEADER + b"1,2,inf,4\n", 2, 3, "'rooms' is infinite or too large ('inf'): correct it, or delete the line"),
        (HEADER + b"-1e999,2,3,4\n", 2, 1, "'area' is infinite or too large ('-1e999')"),
        (HEADER + b"1,2,three,4\n", 2, 3, "'rooms' is 'three', expected a number: correct it, write the column's"),
        (HEADER + b'1,2,"3,5",4\n', 2, 3, "'rooms' is '3,5', expected a number with a decimal point: write 3.5"),
        (
            HEADER + b"1,2,3,4\n1,2,True,4\n",
            3,
            3,
            "'rooms' is 'True', expected a number, as in the first row: write all ",
        ),
        (
            HEADER + b"1,2,True,4\n1,2,1,4\n",
            3,
            3,
            "'rooms' is '1', expected true or false, as in the first row: write ",
        ),
        (HEADER + b"1,2,True,4\n1,2,yes,4\n", 3, 3, "'rooms' is 'yes', expected true or false, as in the first row"),
        (HEADER + b"1,2,True,4\n1,2,,4\n", 3, 3, "'rooms' is missing (an empty field): fill it in"),
        (HEADER + b"1,2,wahr,4\n", 2, 3, "'rooms' is 'wahr', expected a number"),
        (HEADER + b"1,2,0x10,4\n", 2, 3, "'rooms' is '0x10', expected a number"),
        (HEADER + b"1,2,1_0,4\n", 2, 3, "'rooms' is '1_0'"),
        (HEADER + "1,2,٣,4\n".encode(), 2, 3, "'rooms' is '٣'"),
        (HEADER + b'1,2,"1,000",4\n', 2, 3, "'rooms' is '1,000'"),
        (
            HEADER + b'1,2,"1,000.5",4\n',
            2,
            3,
            "'rooms' is '1,000.5', expected a number with nothing between its thousa",
        ),
        (HEADER + b"\n1,x,y,4\n", 3, 2, "'price' is 'x'"),
        (HEADER + b"1,2,3," + b"z" * 100_000, 2, 4, "'tax' is 'zzzzzzzzzzzzzzzzzzz…'"),
        (HEADER + b"1,2,3\n", 2, None, "3 columns, but line 1 has 4: every line needs as many"),
        (HEADER + b"1,2,3,4,5\n", 2, None, "5 columns, but line 1 has 4"),
        (HEADER + b"1,2,3,4\n\n1\n", 4, None, "1 column, but line 1 has 4"),
        (HEADER + b'1,2,"3,4\n', 2, None, "a quote is open at its end: close it; a field may not go on in the next"),
        (HEADER + b'1,2,"3"4,4\n', 2, None, "its quotes can't be made out"),
        (b'"area" ,price,rooms,tax\n', 1, None, "its quotes can't be made out"),
        (b'"area,price,rooms,tax\n1,2,3,4\n', 1, None, "a quote is open at its end"),
        (HEADER + b'1,2,"3\n3",4\n', 2, None, "a quote is open at its end"),
        (HEADER + b"1,2," + b"9" * 140_000 + b",4\n", 2, None, "a field has more than 131,072 characters: no number"),
        (b"sep=;\narea;price;rooms;tax\n1;2;3;4\n", 1, None, "this line is a note for Excel alone: delete it"),
        (
            b"# prices\narea,price,rooms,tax\n1,2,3,4\n",
            1,
            None,
            "no column is called 'tax' or 'price'; the columns are '# prices': the first line must hold all names,",
        ),
        (
            HEADER + b'1,"1,234",3,4\n',
            2,
            2,
            f"'price' is '1,234', {POINT}, and nothing between its thousands: {EITHER}",
        ),
        (HEADER + b'1,"0,234",3,4\n', 2, 2, f"'price' is '0,234', {POINT}: write 0.234"),
        (ROWS, 1, None, "there are no column names: write a line of names above the numbers, such as area,rooms,price"),
        (b"1\n2\n", 1, None, "there are no column names"),
        (b"area,,rooms,tax\n1,2,3,4\n", 1, 2, "this column has no name: give it one in this line, or delete"),
        (b",area\n0,1\n", 1, 1, f"this column has no name: {IN_PANDAS}"),
        (b"area,\x1b[2J,rooms,tax\n", 1, 2, "this column is called '\\x1b[2J': give it a name of printable"),
        (b"area,price,price,tax\n", 1, 3, "a second column is called 'price': give every column a name of its own"),
        (
            b"area|price|rooms|tax\n1|2|3|4\n",
            1,
            None,
            "the columns are separated by bars: commas, semicolons or tabs a",
        ),
        (COMMAS + b"1,5;2;3.5;4\n", 4, 3, f"'rooms' is '3.5', but line 2 has '50,5': {MARKS}"),
        (b"area;price;tax\n1;2.000;3\n1;2;3,5\n", 3, 3, f"'tax' is '3,5', but line 2 has '2.000': {MARKS}"),
        (b"area;price;tax\n1.5;2;3,5\n", 2, 3, f"'tax' is '3,5', but line 2 has '1.5': {MARKS}"),
        (b"area;price;tax\n1;2.000,5;3\n", 2, 2, "'price' is '2.000,5', expected a number with nothing between its th"),
        (b"area;price;tax\n1;2,000,5;3\n", 2, 2, "'price' is '2,000,5', expected a number: "),
        (b"area;price;tax\n1,5;x;3\n", 2, 2, "'price' is 'x', expected a number"),
        (b"area;price;tax\n1,5;2,5;3\n1,2,3\n", 3, None, "1 column, but line 1 has 3"),
        (b"area\tprice\ttax\n1\t3,5\t3\n", 2, 2, "'price' is '3,5', expected a number with a decimal point: write 3.5"),
        (b"1,5;2,25;3\n2,5;0,5;1\n", 1, None, "there are no column names"),
        (b"area;tax,price\n1;2,x\n", 1, None, "the columns may be separated by commas or semicolons: put names and "),
        (b"area\ttax;price\n", 1, None, "the columns may be separated by semicolons or tabs: put names and words"),
        (HEADER + b"1;2;3;4\n", 2, None, "1 column, but line 1 has 4"),
        (HEADER, None, None, "column names at the top, but no rows of data below"),
        (HEADER + b"\n \n", None, None, "column names at the top, but no rows of data below"),
        (b"", None, None, "the file is empty"),
        (b"\n \r\n", None, None, "the file is empty"),
        (HEADER + b"1,2,3,\xe9\n", 2, None, "this is not text (UTF-8), so not a CSV file"),
        (
            TEXT.decode().encode("utf-16"),
            1,
            None,
            "this is not text (UTF-8), so not a CSV file: save it as UTF-8 if it is text (in Excel: CSV UTF-8)",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1, None, "this is not text (UTF-8)"),
        (gzip.compress(TEXT, mtime=0)[:-9], None, None, "damaged gzip file"),
    ],
)
def test_refused(path: Path, content: bytes, line: int | None, column: int | None, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(path, ("tax", "price"))
    error = caught.value
    assert (error.path, error.line, error.column) == (path, line, column)
    place = [str(path), f"line {line}" if line else "", f"column {column}" if column else ""]
    assert str(error).startswith(f"{', '.join(filter(None, place))}: {problem}")
    assert len(str(error)) < len(str(path)) + 200
    assert "\n" not in str(error)


def test_all_columns_that_can_not_be_used_are_named_at_once(path: Path) -> None:
    path.write_text(
        "name,sex,age,city,fare,deck,x\n"
        '"Braund, Owen",male,22,Rome,7.25,,1\n'
        "Laina,female,26,Oslo,7.9,,2\n"
        "James,male,,Rome,8.4,C,inf\n"
        "short,line\n"
    )
    with pytest.raises(DataError) as caught:
        read_table(path, ("fare",))
    assert str(caught.value) == (
        f"{path}, line 2, column 1: 'name' is 'Braund, Owen', expected a number; other columns that can't be used "
        "are 'sex' ('male' in line 2), 'city' ('Rome' in line 2), 'deck' (empty in line 2), 'age' (empty in line 4), "
        "'x' ('inf' in line 4): write words as numbers, fill gaps in or delete their lines, or delete such columns"
    )
    with pytest.raises(DataError, match=r"line 2, column 4: 'city' is 'Rome', expected a number: correct it, write "):
        read_table(path, ("fare",), columns=("city",))
    with pytest.raises(
        DataError, match=r"\('male' in line 2\), 'city' \('Rome' in line 2\), 'deck' .*2\): write words"
    ):
        read_table(path, limit=2)


def test_columns_that_can_not_be_used_are_looked_for_up_to_some(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SEARCHED", 2)
    path.write_text(",".join(f"c{i}" for i in range(30)) + "\n" + ",".join(["1", *"x" * 28, "2"]) + "\n")
    with pytest.raises(
        DataError, match=r"line 2, column 2: 'c1' is .*'c2' .*, 'c11' \('x' in line 2\) and 17 more: write"
    ):
        read_table(path)
    path.write_text("a,b,c\n1,2,3\nx,2,3\n1,y,3\n1,2,z\n")
    with pytest.raises(DataError, match=r"line 3, column 1: 'a' is 'x', .* used are 'b' \('y' in line 4\): write"):
        read_table(path)


def test_a_list_of_many_columns_is_cut_short(path: Path) -> None:
    path.write_text(",".join(f"c{i}" for i in range(1000)) + "\n")
    with pytest.raises(DataError, match=r"the columns are 'c0', .*, 'c19' and 980 more$"):
        read_table(path, ("price",))


def test_a_limit_is_kept_and_what_follows_is_not_looked_at(path: Path) -> None:
    for quote in (b"", b'"'):
        path.write_bytes(HEADER + quote + b"1" + quote + b",2,3,4\n5,6,7,8\nrubbish\n")
        assert read_table(path, limit=2)[0].inputs.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
        with pytest.raises(DataError, match="line 4: 1 column, but line 1 has 4"):
            read_table(path, limit=3)
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        read_table(path, limit=0)


@pytest.mark.parametrize("targets", [(), "price", ("price", "price")])
def test_targets_that_can_not_be_meant(path: Path, targets: Any) -> None:
    path.write_bytes(TEXT)
    for read in (read_table, lambda path, targets: load(path, targets=targets)):
        with pytest.raises(ValueError, match="targets must be one or more different column names") as caught:
            read(path, targets)
        assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize("words", [("True", "False"), ("true", "false"), ("TRUE", "FALSE"), ('"True"', " false ")])
@pytest.mark.parametrize("separator", [",", ";"])
def test_columns_of_true_and_false_are_1_and_0(path: Path, words: tuple[str, str], separator: str) -> None:
    yes, no = words
    path.write_text(f"a,b,c\n1,{yes},{no}\n2,{yes},{yes}\n3,{no},{yes}\n".replace(",", separator))
    samples, _ = read_table(path, ("c",))
    assert samples.targets is not None
    assert samples.inputs.tolist() == [[1, 1], [2, 1], [3, 0]]
    assert samples.targets.tolist() == [[0], [1], [1]]
    assert read_table(path, columns=("b",), limit=1)[0].inputs.tolist() == [[1]]


def test_true_and_false_are_inputs_beside_a_label_and_labels_stay_words(path: Path) -> None:
    pd.DataFrame({"old": [True, False], "x": [0.5, 1.5], "kind": [True, False]}).to_csv(path, index=False)
    data = load(path, label_column="kind")
    assert data.train.targets is not None
    assert (data.train.inputs.tolist(), data.labels) == ([[1, 0.5], [0, 1.5]], ("False", "True"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Fläche, m²;Preis\n1,5;2\n", ("Fläche, m²", "Preis")),
        ("Fläche, m²;Preis, EUR\n1,5;2,5\n", ("Fläche, m²", "Preis, EUR")),
        ("Fläche, m²;Preis\n1.5;2\n", ("Fläche, m²", "Preis")),
        ("area,price; EUR\n1,2\n", ("area", "price; EUR")),
        ('"area; m",price\n1,2\n', ("area; m", "price")),
        ('"area; m";"a,b"\n1;2\n', ("area; m", "a,b")),
        ("area, m\tprice\n1\t2\n", ("area, m", "price")),
        ("\tarea\n0\t2\n", None),
    ],
)
def test_which_separator_it_is(path: Path, text: str, names: tuple[str, ...] | None) -> None:
    path.write_text(text, encoding="utf-8")
    if names is None:
        with pytest.raises(DataError, match="line 1, column 1: this column has no name"):
            read_table(path)
        return
    assert read_table(path)[1] == names


def test_a_decimal_comma_in_the_first_line_makes_no_names_of_it(path: Path) -> None:
    path.write_text("1,5;2,25;3\n2,5;0,5;1\n")
    data = load(path, targets=("3",))
    assert data.train.targets is not None
    assert (data.train.inputs.tolist(), data.train.targets.tolist()) == ([[1.5, 2.25], [2.5, 0.5]], [[3], [1]])


GOOD = ["0", "-1.5", "+.5", "1e-320", "5.", " 7", "7\t", '"8"', "1e308", "\x1c5", "\xa05"]
BOOLEAN = ["True", "FALSE", '"true"', " false "]
COMMA = ["1,5", ",5e1", "-2,", "1.234,5", "1,234,5"]
BAD = ["1e309", "", "NA", "nan", "-inf", "x", '"', "1_0", "0x1", "#1", "1 2", "1d5", "1j", "٣", "1;2", '"1,5"']
FIELDS = st.sampled_from([*GOOD, *COMMA, *BOOLEAN, *BAD, '1""', '"3"4', "9" * 400, "\ufeff5"])
LINES = st.lists(st.one_of(FIELDS, st.just("3"), st.text(max_size=3)), min_size=1, max_size=3)
CONTENTS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])), max_size=4)


@given(CONTENTS, st.sampled_from([None, 1, 2]), st.sampled_from([None, ("a",), ("b", "a")]), st.sampled_from(",;\t"))
def test_quick_and_careful_readers_agree(
    tmp_path_factory: pytest.TempPathFactory,
    content: list[tuple[list[str], str]],
    limit: int | None,
    columns: tuple[str, ...] | None,
    separator: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "agree.csv"
    text = f"a{separator}b\n" + "".join(separator.join(fields) + end for fields, end in content)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    places = ["ab".index(name) for name in columns or "ab"]

    def outcome(reader: Callable[..., Any]) -> Any:
        try:
            return reader().tolist()
        except DataError as refused:
            return str(refused)

    both = outcome(lambda: read_table(path, limit=limit, columns=columns)[0].inputs)
    assert both == outcome(lambda: table._read_carefully(path, Head(["a", "b"], 1, 1, separator), places, limit))


@pytest.mark.parametrize("separator", [",", ";"])
def test_plain_numbers_take_the_quick_way(path: Path, monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    """Which takes half of the careful one's time."""
    monkeypatch.delattr(table, "_read_carefully")
    values = np.random.default_rng(2).normal(size=(10_000, 20)).round(4)
    names = [f"c{i}" for i in range(20)]
    np.savetxt(path, values, fmt="%.4f", delimiter=separator, header=separator.join(names), comments="")
    if separator == ";":
        path.write_text(path.read_text().replace(".", ","))
    samples, _ = read_table(path, ("c7",))
    np.testing.assert_array_equal(samples.targets, values[:, 7:8])


def test_the_place_of_a_number_that_can_not_be_used(path: Path) -> None:
    path.write_bytes(b"\n" + TEXT.replace(b"\n", b"\n\n"))
    found = str(table.wrong_value(path, 1, "rooms", "too few"))
    assert found == f"{path}, line 6, column 3: 'rooms' is '3', too few"


def test_a_number_that_can_not_be_used_is_shown_as_it_is_written(path: Path) -> None:
    path.write_text("Fläche;Preis\n1,5;195,30\n")
    assert str(wrong_value(path, 0, "Preis", 195.3, "too much")).endswith("'Preis' is '195,30', too much")


# -- load -------------------------------------------------------------------------------------------------------------


def test_load_names_targets_and_columns(path: Path) -> None:
    path.write_bytes(TEXT)
    data = load(path, targets=("tax", "price"), limit=1)
    assert data.train.targets is not None
    assert (data.name, data.labels, data.classes) == (str(path), ("tax", "price"), 2)
    assert (data.columns, data.image_shape, data.test) == (("area", "rooms"), None, None)
    assert (data.train.inputs.tolist(), data.train.targets.tolist()) == (INPUTS[:1], TARGETS[:1])
    assert load("digits").columns is None


def test_test_datas_columns_are_found_by_name(path: Path, tmp_path: Path) -> None:
    path.write_bytes(TEXT)
    other = tmp_path / "test.csv"
    other.write_text("rooms,id,tax,area,price\n3,x,0,75,2000\n2,y,.5,50.5,-1000\n5,z,1,99,0\n")
    data = load(path, test_data=other, targets=("tax", "price"), limit=1)
    assert data.test is not None
    assert data.test.targets is not None
    assert data.test.inputs.tolist() == [*INPUTS[::-1], [99, 5]]
    assert data.test.targets.tolist() == [*TARGETS[::-1], [1, 0]]
    other.write_text("rooms,tax,price\n3,0,2000\n")
    with pytest.raises(DataError, match=r"test.csv, line 1: no column is called 'area'; the columns are 'rooms', 'tax"):
        load(path, test_data=other, targets=("tax", "price"))


def test_targets_are_for_tables(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digits has no columns with names: targets are columns of a CSV, Parquet"):
        load("digits", targets=("price",))
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 3)), y=np.zeros(2, dtype=int))
    with pytest.raises(
        DataError, match=r"data.npz: a CSV, Parquet or Arrow file with column names is needed, and this is none \(npz\)"
    ):
        load(tmp_path / "data.npz", targets=("price",))
    with pytest.raises(
        DataError,
        match=re.escape(
            f"{tmp_path}: a CSV, Parquet or Arrow file with column names is needed, and this is none (folder)"
        ),
    ):
        load(tmp_path, targets=("price",))
    with pytest.raises(DataError, match="nowhere.csv: no such file"):
        load(tmp_path / "nowhere.csv", targets=("price",))
    with pytest.raises(ValueError, match="classes are for labels"):
        load("houses.csv", targets=("price",), classes=3)


def test_columns_that_are_not_asked_for_need_no_names(path: Path) -> None:
    """As a file of pandas' with its index, read for a net that knows its columns; to train on it is refused."""
    path.write_bytes(b",area,note,,note,rooms\n0,50.5,x,,y,2\n1,75,x,,y,3\n")
    assert read_table(path, columns=("rooms", "area"))[0].inputs.tolist() == [[2, 50.5], [3, 75]]
    with pytest.raises(DataError, match="line 1, column 1: this column has no name"):
        read_table(path)
    with pytest.raises(DataError, match="line 1, column 5: a second column is called 'note'"):
        read_table(path, columns=("note",))


def test_a_table_of_100_000_columns(path: Path) -> None:
    """In a second or two: looking for each name among all others takes minutes."""
    count = 100_000
    names, row = (",".join(f"{kind}{i}" for i in range(count)) for kind in ("c", "1."))
    path.write_text(f"{names}\n{row}\n")
    samples, columns = read_table(path, ("c0",))
    assert (columns[-1], len(columns)) == (f"c{count - 1}", count - 1)
    assert samples.inputs[0, [0, -1]].tolist() == [1.1, 1.99999]
    assert samples.targets is not None
    assert samples.targets.tolist() == [[1.0]]


def test_what_the_remedy_for_bars_writes_is_read(path: Path) -> None:
    path.write_bytes(TEXT.replace(b",", b"|"))
    with pytest.raises(DataError) as caught:
        read_table(path)
    found = re.search(r"pandas\.read_csv\(OLD, sep='(.)'\)\.to_csv\(NEW, index=False\)", str(caught.value))
    assert found is not None
    pd.read_csv(path, sep=found[1]).to_csv(path, index=False)
    assert read_table(path, ("tax", "price"))[0].inputs.tolist() == INPUTS


CHOICES: list[dict[str, Any]] = [{}, {"label_column": "kind"}, {"targets": ("price",)}]


def test_an_excel_workbook_is_called_one(tmp_path: Path) -> None:
    for name in ("book.xlsx", "book.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", "<workbook/>")
        for asked in CHOICES:
            with pytest.raises(DataError, match=rf"{name}: this is an Excel workbook: save the sheet as a CSV file"):
                load(tmp_path / name, **asked)
