"""Reading CSV: what is accepted, what is refused and where, and that the quick reader accepts nothing else."""

import gzip
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peak
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xpnn.data import csv, files, lines
from xpnn.data.csv import line_of_row, read_csv
from xpnn.errors import DataError

ROWS = b"5,0,255\n3,7,8\n"
GZIPPED = gzip.compress(ROWS, mtime=0)
EXPECTED = [[5, 0, 255], [3, 7, 8]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digits.csv"


@pytest.mark.parametrize(
    "content",
    {
        "plain": ROWS,
        "header": b"label,1x1,1x2\n" + ROWS,
        "quoted header": b'"label","1x1","1x2"\n' + ROWS,
        "header of numbers but for the first": b"label,1,2\n" + ROWS,
        "header of columns counted from 0": b"label,0,1\n" + ROWS,
        "byte order mark": b"\xef\xbb\xbf" + ROWS,
        "byte order mark and header": b"\xef\xbb\xbflabel,1x1,1x2\n" + ROWS,
        "header in UTF-8": "Ziffer,größe,2\n".encode() + ROWS,
        "CRLF": ROWS.replace(b"\n", b"\r\n"),
        "CR": ROWS.replace(b"\n", b"\r"),
        "no end of line": ROWS.rstrip(),
        "blank lines": b"\n5,0,255\n\n  \n3,7,8\n\n",
        "blank line before the header": b"\nlabel,1x1,1x2\n" + ROWS,
        "spaces": b" 5 , 0,255 \n3,\t7,8\n",
        "quotes": b'"5","0"," 255"\n"3","7","8"\n',
        "floats": b"5.0,0.,2.55e2\n3,7.000,8\n",
        "signs and zeros": b"+5,-0,255\n03,007,8\n",
        "semicolons": ROWS.replace(b",", b";"),
        "semicolons, as Excel writes them": b"\xef\xbb\xbfZiffer;1x1;1x2\r\n" + ROWS.replace(b",", b";"),
        "semicolons and quotes": b'"label";"1x1";"1x2"\n"5";"0";"255"\n3;7;8\n',
        "names with commas between semicolons": b"label;row 1, 1;row 1, 2\n" + ROWS.replace(b",", b";"),
        "names with semicolons between commas": b"label; digit,1x1,1x2\n" + ROWS,
        "tabs": b"label\t1x1\t1x2\n" + ROWS.replace(b",", b"\t"),
        "tabs beside commas": ROWS.replace(b",", b",\t"),
        "gzipped": gzip.compress(ROWS),
        "gzipped in two members": gzip.compress(ROWS[:8]) + gzip.compress(ROWS[8:]),
    }.items(),
    ids=lambda item: item[0],
)
def test_accepted(path: Path, content: tuple[str, bytes]) -> None:
    path.write_bytes(content[1])
    samples = read_csv(path)
    assert samples.targets is not None
    assert samples.inputs.dtype == np.uint8
    assert samples.targets.dtype == np.int64
    assert np.column_stack([samples.targets, samples.inputs]).tolist() == EXPECTED
    unlabelled = read_csv(path, labelled=False)
    assert unlabelled.targets is None
    assert unlabelled.inputs.tolist() == EXPECTED
    assert read_csv(path, limit=1).inputs.tolist() == [[0, 255]]
    assert len(read_csv(path, limit=9)) == 2


NUMBER = "a whole number from 0 to 255: correct it or delete the line"


@pytest.mark.parametrize(
    ("content", "line", "column", "problem"),
    [
        (
            b",label,p0\n0,5,7\n",
            1,
            1,
            "this column has no name: give it one in this line, or delete the column; if pandas",
        ),
        (b",5,7\n0,5,7\n", 1, 1, "found an empty field, expected a label"),
        (b"5,5,7\n,x,7\n", 2, 1, "found an empty field, expected a label"),
        (b"sep=,\n5,0,0\n", 1, None, "this line is a note for Excel alone: delete it"),
        (b"5,0,0\n3,0\n", 2, None, "2 columns, but line 1 has 3: every line needs as many"),
        (b"label,1,2\n5,0\n", 2, None, "2 columns, but line 1 has 3"),
        (b"\nlabel,1\n\n5,0\n3,0,0\n", 5, None, "3 columns, but line 2 has 2"),
        (b"5,0\n3\n", 2, None, "1 column, but line 1 has 2"),
        (b"5,0,0\n3,0,abc\n", 2, 3, f"found 'abc', expected a pixel, {NUMBER}"),
        (b"label,1,2\n\n5,0,0\n3,x,y\n", 4, 2, "found 'x'"),
        (b"5,0,0\n\n3,,0\n", 3, 2, "found an empty field"),
        (b",0,0\n", 1, 1, "found an empty field, expected a label"),
        (b"5,0,0,\n", 1, 4, "found an empty field"),
        (b"5,256\n", 1, 2, "found '256'"),
        (b"5,-1\n", 1, 2, "found '-1'"),
        (b"5,nan\n", 1, 2, "found 'nan'"),
        (b"nan,5\n", 1, 1, "found 'nan', expected a label"),
        (b"5,inf\n", 1, 2, "found 'inf'"),
        (b"5,1e999\n", 1, 2, "found '1e999'"),
        (
            b"5,12.5\n",
            1,
            2,
            f"found '12.5', expected a pixel, {NUMBER}; or is this a table? Then name its --label-column or --ta",
        ),
        (b"5,1_0\n", 1, 2, "found '1_0'"),
        ("5,٣\n".encode(), 1, 2, "found '٣'"),
        (b"5,0\n2.5,0\n", 2, 1, f"found '2.5', expected a label, {NUMBER}"),
        (b"x,0,7\n3,0,0\n", 1, 1, "found 'x', expected a label"),
        (b"5O,0,0,\n3,0,0,0\n", 1, 1, "found '5O', expected a label"),
        (b"5O,,\n3,0,0\n", 1, 1, "found '5O', expected a label"),
        (b"5O,0,0,O\n3,0,0,0\n", 1, 1, "found '5O', expected a label"),
        (b"5,0\nfive,0\n", 2, 1, "found 'five', expected a label"),
        (b"5,0\n300,0\n", 2, 1, "found '300', expected a label"),
        (b'5,"0\n', 1, 2, "found '\"0'"),
        (b"5,#0\n", 1, 2, "found '#0'"),
        (b"5,0\n3," + b"z" * 100_000, 2, 2, "found 'zzzzzzzzzzzzzzzzzzz…', expected"),
        (b"5,0\n3," + b"9" * 100_000, 2, 2, "found '9999999999999999999…', expected"),
        (
            b'survived,name\n1,"Braund, Owen"\n',
            2,
            None,
            "3 columns, but line 1 has 2: every line needs as many; or is this a table? Then name its --label-column",
        ),
        (b"", None, None, "the file is empty"),
        (b"\n \r\n", None, None, "the file is empty"),
        (b"label,1x1\n", None, None, "column names at the top, but no rows of data below"),
        (b"5\n3\n", 1, None, "only one column: a label and pixels are needed, separated by commas, semicolons or tabs"),
        (b"label\n5\n", 1, None, "only one column"),
        (b"5 0 0\n", 1, None, "only one column"),
        (
            b"5|0|0\n3|0|0\n",
            1,
            None,
            "the columns are separated by bars: commas, semicolons or tabs are needed; pandas",
        ),
        (b"label|1x1\n5|0\n", 1, None, "the columns are separated by bars"),
        (b"5;0;0\n3,0,0\n", 2, None, "1 column, but line 1 has 3"),
        (b"5;0\n3;x\n", 2, 2, "found 'x', expected a pixel"),
        (b"5\t0\n3\t\t0\n", 2, None, "3 columns, but line 1 has 2"),
        (b"5;12,5\n", 1, 2, f"found '12,5', expected a pixel, {NUMBER}; or is this a table? Then name its --label-c"),
        (b"50,5;2\n3;0\n", 1, 1, f"found '50,5', expected a label, {NUMBER}; or is this a table?"),
        (b"label,a;b\nx,1;2\n", 1, None, "the columns may be separated by commas or semicolons: put names and words"),
        (b"5,0\n3,\x000\n", 2, None, "this is not text (UTF-8), so not a CSV file"),
        (b"5,0\n3,\xe9\n", 2, None, "this is not text (UTF-8)"),
        (b"\x93\x8a\xff\x80" * 50, 1, None, "this is not text (UTF-8)"),
        ("5,0\n3,0\n".encode("utf-16"), 1, None, "this is not text (UTF-8)"),
        (gzip.compress(b"5,0\n3,x\n", mtime=0), 2, 2, "found 'x'"),
        (GZIPPED[:-9], None, None, "damaged gzip file"),
        (GZIPPED[:-8] + b"\0" * 8, None, None, "damaged gzip file"),
        (GZIPPED[:10] + b"\xff" * 20, None, None, "damaged gzip file"),
        (GZIPPED + b"rubbish", None, None, "damaged gzip file"),
        (b"\x1f\x8b", None, None, "damaged gzip file"),
    ],
)
def test_refused(path: Path, content: bytes, line: int | None, column: int | None, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    error = caught.value
    assert (error.path, error.line, error.column) == (path, line, column)
    place = [str(path), f"line {line}" if line else "", f"column {column}" if column else ""]
    assert str(error).startswith(f"{', '.join(filter(None, place))}: {problem}")
    assert len(str(error)) < len(str(path)) + 200
    assert "\n" not in str(error)


def test_one_pixel_a_row_is_enough_without_labels(path: Path) -> None:
    path.write_bytes(b"5\n3\n")
    assert read_csv(path, labelled=False).inputs.tolist() == [[5], [3]]
    for content in (b"5|0\n3|0\n", b"5|0\n", b"label|1x1\n5\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="line 1, column 1: the columns are separated by bars"):
            read_csv(path, labelled=False)


def test_a_count_alone_is_a_header_where_it_is_long(path: Path) -> None:
    """pandas writes columns without names so."""
    for columns, header in ((9, False), (10, True), (300, True)):
        rows = [",".join(map(str, range(columns))), ",".join(["7"] * columns)]
        path.write_text("\n".join(rows))
        targets = read_csv(path).targets
        assert targets is not None
        assert targets.tolist() == ([7] if header else [0, 7])
        assert line_of_row(path, 0) == (2 if header else 1)


def test_what_follows_the_limit_is_not_looked_at(path: Path) -> None:
    path.write_bytes(b"5.0,0\n3,0\nrubbish\n")
    assert len(read_csv(path, limit=2)) == 2
    with pytest.raises(DataError, match="line 3"):
        read_csv(path, limit=3)
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        read_csv(path, limit=0)


def test_column_names(path: Path) -> None:
    for first, names in (("", []), ("5,0,0\n", []), ('"label", 1x1,1x2\n', ["label", "1x1", "1x2"])):
        for separator in ",;\t":
            path.write_text(f"{first}3,0,0\n".replace(",", separator))
            assert csv.column_names(path) == names
    path.write_text("1,5;2,25;3\n2,5;0,5;1\n")
    assert csv.column_names(path) == []


def test_an_endless_line_is_refused_before_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    path.write_bytes(b"5," + b"0," * 1000)
    with pytest.raises(DataError, match="line 1: more than 100 characters in a line"):
        read_csv(path)


def test_files_that_can_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    not_gzip = tmp_path / "digits.csv.gz"
    not_gzip.write_bytes(ROWS)
    with pytest.raises(DataError, match=r"is named \.gz but isn't gzipped"):
        read_csv(not_gzip)
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="this is a directory"):
        read_csv(tmp_path)
    with pytest.raises(DataError, match="no file can have this name"):
        read_csv("digits\0.csv")
    with pytest.raises(DataError, match="can't be read: Not a directory"):
        read_csv(not_gzip / "digits.csv")

    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)  # root may read everything, so chmod proves nothing
    with pytest.raises(DataError, match="can't be read: Permission denied"):
        read_csv(not_gzip)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file: save the data to a file first"):
        read_csv(tmp_path / "pipe")


def test_line_of_row_counts_blank_lines_and_the_header(path: Path) -> None:
    path.write_bytes(b"\nlabel,1\n5,0\n\n3,0\n")
    assert [line_of_row(path, row) for row in range(2)] == [3, 5]
    path.write_bytes(b"5,0\n3,0\n")
    assert [line_of_row(path, row) for row in range(2)] == [1, 2]


GOOD = ["0", "7", "255", "-0", "+5", "007", " 5", "5 ", "5\t", "\x0c5", "\x1c5", "\xa05", "5.0", "1e2", '"5"']
BAD = ["", " ", "256", "-1", "5.5", "nan", "inf", "x", '"', "1_0", "0x1", "#1", "1;2", "1 2", "٣", "\ufeff5", "5\x00"]
FIELDS = st.sampled_from([*GOOD, *BAD, "9" * 30])
LINES = st.lists(st.one_of(FIELDS, st.just("0"), st.text(max_size=3)), min_size=1, max_size=3)
CONTENTS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])), max_size=4)


@example([(["0"], "\n"), (["5\x00"], "\n")], None, True, ",")
@given(CONTENTS, st.sampled_from([None, 1, 2]), st.booleans(), st.sampled_from(",;\t"))
def test_quick_and_careful_readers_agree(
    tmp_path_factory: pytest.TempPathFactory,
    content: list[tuple[list[str], str]],
    limit: int | None,
    labelled: bool,
    separator: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "agree.csv"
    text = "".join(separator.join(fields) + end for fields, end in content)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def outcome(reader: Callable[..., Any]) -> Any:
        try:
            return reader()
        except DataError as refused:
            return str(refused)

    def both() -> Any:
        samples = read_csv(path, limit=limit, labelled=labelled)
        return np.column_stack([*([] if samples.targets is None else [samples.targets]), samples.inputs]).tolist()

    def carefully() -> Any:
        return csv._read_carefully(path, lines.separator_of(path), limit, labelled).tolist()

    assert outcome(both) == outcome(carefully)


def test_the_quick_reader_is_used(path: Path) -> None:
    for content in (ROWS, b"label,1,2\n" + ROWS, b"\xef\xbb\xbf" + ROWS.replace(b"\n", b"\r\n"), gzip.compress(ROWS)):
        path.write_bytes(content)
        quick = csv._read_quickly(path, ",", None)
        assert quick is not None
        assert quick.tolist() == EXPECTED
    for separator in ";\t":
        path.write_bytes(ROWS.replace(b",", separator.encode()))
        quick = csv._read_quickly(path, separator, None)
        assert quick is not None
        assert quick.tolist() == EXPECTED


def test_well_formed_files_never_meet_the_careful_reader(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes ten times as long."""
    monkeypatch.delattr(csv, "_read_carefully")
    path.write_bytes(b"label,1,2\n" + ROWS)
    assert read_csv(path).inputs.tolist() == [[0, 255], [7, 8]]


MEASURED = """
from xpnn.data import load

kind, *paths = sys.argv[1:]
for path in paths:  # a small file first, for what is loaded
    before = peak()
    table = load(path, classes=256, label_column=kind or None).train.inputs
print(peak() - before, table.size)
"""


@pytest.mark.parametrize("pack", [bytes, partial(gzip.compress, compresslevel=1)], ids=["plain", "gzipped"])
@pytest.mark.parametrize("word", ["", "word"], ids=["label first", "a word last"])
def test_peak_memory_is_below_three_times_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], word: str
) -> None:
    pytest.importorskip("resource")
    monkeypatch.setenv("XPNN_CSV_CACHE_MB", "100")  # what is kept of the file is a part of it
    monkeypatch.setenv("XPNN_CACHE_DIR", str(tmp_path))
    values = np.random.default_rng(0).integers(0, 256, (100, 785))
    rows = [[*row[1:], f"{word}{row[0]}"] if word else row for row in values.tolist()]
    lines_of = "".join(f"{','.join(map(str, row))}\n" for row in rows).encode()
    for name, times in (("small", 1), ("large", 80)):
        (tmp_path / name).write_bytes(pack(times * lines_of))
    paths = (str(tmp_path / name) for name in ("small", "large"))
    taken, size = map(int, peak.printed(MEASURED, "-1" if word else "", *paths).split())
    assert size == 8000 * 784
    assert taken < 3 * size
    assert any((tmp_path / "csv").glob("*.npy"))


def test_characters_that_crash_loadtxt_are_kept_from_it(path: Path) -> None:
    path.write_text(
        "5,\xa00\n", encoding="utf-8"
    )  # this one it reads; from U+2C6C0 on NumPy 2.4 reads memory not its own
    assert csv._read_quickly(path, ",", None) is None
    assert read_csv(path).inputs.tolist() == [[0]]
