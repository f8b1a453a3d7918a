"""Twins of CSV files: a second reading doesn't parse, and no change of the file or of its twin gives a wrong answer."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from xpnn.data import csv, load, read_csv, read_table, table, twins
from xpnn.data.files import Fingerprint, opened
from xpnn.data.places import CACHE_VARIABLE
from xpnn.errors import DataError, XpnnError
from xpnn.samples import Samples

ROWS = b"5,0,255\n3,7,8\n"
OTHER = b"5,0,255\n3,7,9\n"  # as long


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the twins; files of any size have them."""
    monkeypatch.setattr(twins, "FEWEST", 0)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "csv"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "digits.csv"
    file.write_bytes(ROWS)
    return file


def values(samples: Samples) -> list[list[int]]:
    assert samples.targets is not None
    return np.column_stack([samples.targets, samples.inputs]).tolist()  # type: ignore[no-any-return]


def in_folder(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], int]:
    """Calls a function, and says how many times a file was parsed in it."""
    count = 0
    for module in (csv, table):

        def counted(*arguments: Any, parse: Any = module._parse) -> Any:
            nonlocal count
            count += 1
            return parse(*arguments)

        monkeypatch.setattr(module, "_parse", counted)

    def during(call: Callable[[], Any]) -> int:
        before = count
        call()
        return count - before

    return during


PACKED = {
    "plain": ROWS,
    "gzip": gzip.compress(ROWS),
    "gzip, two members, zeros": gzip.compress(ROWS[:8]) + gzip.compress(ROWS[8:]) + bytes(1000),
    "bzip2": bz2.compress(ROWS),
    "bzip2, then something else": bz2.compress(ROWS) + b"x" * 3_000_000,
    "names": b"label,1x1,1x2\n" + ROWS,
    "quotes, for the careful reader": ROWS.replace(b"7", b'"7"'),
    "semicolons": ROWS.replace(b",", b";"),
    "tabs": ROWS.replace(b",", b"\t"),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_the_second_reading_does_not_parse(path: Path, folder: Path, content: bytes, parses: Any) -> None:
    path.write_bytes(content)
    assert parses(lambda: read_csv(path)) == 1
    assert len(in_folder(folder)) == 1

    samples: list[Samples] = []
    assert parses(lambda: samples.append(read_csv(path))) == 0
    assert values(samples[0]) == [[5, 0, 255], [3, 7, 8]]
    assert samples[0].targets is not None
    assert samples[0].inputs.dtype == np.uint8
    assert samples[0].targets.dtype == np.int64
    assert samples[0].inputs.flags.c_contiguous
    assert samples[0].inputs.flags.writeable

    assert parses(lambda: samples.append(read_csv(path, labelled=False))) == 0
    assert samples[1].inputs.tolist() == [[5, 0, 255], [3, 7, 8]]
    assert samples[1].targets is None


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_the_fingerprint_is_of_all_bytes_of_the_file_if_it_was_read_to_the_end(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    fingerprint = Fingerprint()
    with opened(path, fingerprint) as file:
        assert file.read(3)
        assert fingerprint.digest == b""
        file.read()
    assert (fingerprint.size, fingerprint.digest) == (len(content), hashlib.sha256(content).digest())
    with pytest.raises(ZeroDivisionError), opened(path, fingerprint):
        raise ZeroDivisionError
    assert fingerprint.digest == b""


def test_a_twin_is_a_npy_file(path: Path, folder: Path) -> None:
    read_csv(path)
    with open(next(folder.iterdir()), "rb") as file:
        assert np.load(file, allow_pickle=False).tolist() == [[5, 0, 255], [3, 7, 8]]


def test_a_change_is_seen_that_keeps_size_and_time(path: Path, parses: Any) -> None:
    read_csv(path)
    about = path.stat()
    with open(path, "r+b") as file:  # the same file, not one that was put in its place
        file.write(OTHER)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 9]]
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 9]]
    path.write_bytes(ROWS)
    assert parses(lambda: read_csv(path)) == 0
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]


def test_a_copy_with_another_name_and_time_has_the_same_twin(path: Path, tmp_path: Path, parses: Any) -> None:
    read_csv(path)
    (tmp_path / "copy").write_bytes(ROWS)
    os.utime(tmp_path / "copy", ns=(0, 0))
    assert parses(lambda: read_csv(tmp_path / "copy")) == 0


def test_a_change_while_the_file_is_read_makes_no_wrong_twin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(ROWS.replace(b"7", b'"7"'))  # it is read twice: NumPy refuses
    changed = ROWS.replace(b"7", b'"6"')
    quickly = csv._read_quickly

    def change(*arguments: Any) -> Any:
        table = quickly(*arguments)
        path.write_bytes(changed)
        return table

    with monkeypatch.context() as patch:
        patch.setattr(csv, "_read_quickly", change)
        assert values(read_csv(path)) == [[5, 0, 255], [3, 6, 8]]
    path.write_bytes(ROWS.replace(b"7", b'"7"'))
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]

    path.write_bytes(ROWS)
    parse = csv._parse

    def change_after(*arguments: Any) -> Any:
        table = parse(*arguments)
        path.write_bytes(OTHER)
        return table

    with monkeypatch.context() as patch:
        patch.setattr(csv, "_parse", change_after)
        patch.setattr(twins, "_recalled", lambda *_: None)
        assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 9]]


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": dtype, "fortran_order": False, "shape": shape})
    return written.getvalue()


NOT_TRUE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut in the header": lambda true: true[:60],
    "cut in the values": lambda true: true[:131],
    "cut at the end": lambda true: true[:-1],
    "longer": lambda true: true + b"\0",
    "zeros": lambda true: bytes(len(true)),
    "a NPY file": lambda true: true[:-32],
    "rows and columns exchanged": lambda true: header((3, 2)) + true[128:],
    "more rows than memory": lambda true: header((10**14, 3)) + true[128:],
    "no rows": lambda true: header((0, 3)) + true[128:],
    "other type": lambda true: header((1, 3), "<u2") + true[128:],
    "objects": lambda true: header((2, 3), "|O") + true[128:],
    "a shape that is no shape": lambda true: true[:128].replace(b"(2, 3)", b"(2, X)") + true[128:],
    "CSV": lambda _: ROWS,
}


@pytest.mark.parametrize("change", NOT_TRUE.values(), ids=NOT_TRUE)
def test_what_is_no_true_twin_is_not_used_and_written_anew(
    path: Path, folder: Path, change: Callable[[bytes], bytes], parses: Any
) -> None:
    read_csv(path)
    (twin,) = folder.iterdir()
    true = twin.read_bytes()
    twin.write_bytes(change(true))
    found: list[Samples] = []
    assert parses(lambda: found.append(read_csv(path))) == 1
    assert twin.read_bytes() == true
    assert parses(lambda: found.append(read_csv(path))) == 0
    assert [values(samples) for samples in found] == [[[5, 0, 255], [3, 7, 8]]] * 2


def test_every_byte_of_a_twin_is_checked(path: Path, folder: Path, parses: Any) -> None:
    read_csv(path)
    (twin,) = folder.iterdir()
    true = twin.read_bytes()
    for index in range(len(true)):
        twin.write_bytes(true[:index] + bytes([true[index] ^ 1]) + true[index + 1 :])
        assert parses(lambda: read_csv(path)) == 1, index
    assert len(true) == 128 + 6 + 32


def test_anothers_twin_is_not_taken_for_ones_own(path: Path, folder: Path) -> None:
    read_csv(path)
    (twin,) = folder.iterdir()
    path.write_bytes(OTHER)
    read_csv(path)
    (other,) = set(folder.iterdir()) - {twin}
    twin.replace(other)
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 9]]


def test_memory_for_a_false_shape_is_never_asked_for(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_csv(path)
    (twin,) = folder.iterdir()
    monkeypatch.setenv(twins.MOST_VARIABLE, "1")
    monkeypatch.setattr(np, "empty", None)
    false = header((10**5, 3)), header((10**6, 3)) + bytes(3_000_032)  # too short; as it says, but longer than any twin
    for content in false:
        twin.write_bytes(content)
        assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]


def test_a_machine_of_another_byte_order_has_other_twins(path: Path, folder: Path, parses: Any) -> None:
    path.write_bytes(b"a,b\n1,2\n")
    read_table(path)
    (twin,) = folder.iterdir()
    other = ">" if sys.byteorder == "little" else "<"
    content = header((1, 2), f"{other}f8") + np.array([1, 2], f"{other}f8").tobytes()
    twin.write_bytes(content + hashlib.sha256(twin.name.encode() + content).digest())
    found: list[Samples] = []
    assert parses(lambda: found.append(read_table(path)[0])) == 1
    assert found[0].inputs.tolist() == [[1, 2]]


def test_a_reader_of_another_version_parses_for_itself(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, parses: Any
) -> None:
    read_csv(path)
    for target, name in ((csv, "READER"), (np, "__version__")):
        monkeypatch.setattr(target, name, "next")
        assert parses(lambda: read_csv(path)) == 1
        assert parses(lambda: read_csv(path)) == 0
    assert len(in_folder(folder)) == 3


def test_with_a_limit_no_twin_is_written_or_used(path: Path, folder: Path, parses: Any) -> None:
    for limit in (1, 2, 9):
        assert values(read_csv(path, limit=limit)) == [[5, 0, 255], [3, 7, 8]][:limit]
    assert in_folder(folder) == []
    read_csv(path)
    assert parses(lambda: read_csv(path, limit=1)) == 1
    assert values(read_csv(path, limit=1)) == [[5, 0, 255]]


def test_what_cannot_be_read_has_no_twin_and_its_error_stays(path: Path, folder: Path) -> None:
    for content in (b"5,0,255\n3,7,abc\n", b"5,0,255\n3,7\n", b"", gzip.compress(ROWS)[:-5], b"\0"):
        path.write_bytes(content)
        said = []
        for _ in range(2):
            with pytest.raises(DataError) as caught:
                read_csv(path)
            said.append(str(caught.value))
        assert said[0] == said[1]
    assert in_folder(folder) == []
    with pytest.raises(DataError, match="no such file"):
        read_csv(path.with_name("none.csv"))
    with pytest.raises(DataError, match="no file can have this name"):
        read_csv("a\0b")


def test_one_column_is_pixels_and_never_labels(path: Path) -> None:
    path.write_bytes(b"5\n3\n")
    assert read_csv(path, labelled=False).inputs.tolist() == [[5], [3]]
    with pytest.raises(DataError, match="line 1: only one column"):
        read_csv(path)


def test_errors_about_labels_name_the_line_out_of_a_twin_too(path: Path, parses: Any) -> None:
    path.write_bytes(b"label,0,1\n\n1,0,255\n0,7,8\n7,1,1\n")
    for times in (1, 0):

        def refused() -> None:
            with pytest.raises(DataError, match=r"digits\.csv, line 5: label 7 is out of range"):
                load(path, classes=3)

        assert parses(refused) == times


def test_tables_that_differ_by_their_separator_have_twins_of_their_own(path: Path, folder: Path, parses: Any) -> None:
    contents = {b"a;b\n1,5;2\n": [[1.5, 2]], b"a,b\n1.5,2\n": [[1.5, 2]], b"a\tb\n1.5\t3\n": [[1.5, 3]]}
    for times in (1, 0):
        for content, expected in contents.items():
            path.write_bytes(content)
            found: list[Samples] = []
            assert parses(lambda: found.append(read_table(path)[0])) == times  # noqa: B023
            assert found[0].inputs.tolist() == expected
    assert len(in_folder(folder)) == 3


def test_a_separator_that_changes_while_the_file_is_read_makes_no_wrong_twin(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found at that moment may be neither; the next reading is right."""
    semicolons, commas = b"a;b\n1;2,5\n", b"a,b\n1,2;5\n"
    path.write_bytes(semicolons)
    parse = table._parse

    def change_before(*arguments: Any) -> Any:
        path.write_bytes(commas)
        return parse(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(table, "_parse", change_before)
        read_table(path, columns=("a",))
    assert read_table(path, columns=("a",))[0].inputs.tolist() == [[1]]


def test_tables_have_a_twin_for_what_was_read_of_them(path: Path, folder: Path, parses: Any) -> None:
    path.write_bytes(b"a,b,word,c\n1,2.5,x,3\n4,5,y,1e-3\n")
    columns = ("b", "a")
    for targets, names in ((("c",), columns), (("c",), columns[::-1]), (("b",), ("a",)), (None, columns)):
        found = []
        for times in (1, 0):
            assert parses(lambda: found.append(read_table(path, targets, columns=names)[0])) == times  # noqa: B023
        (first, second) = found
        assert first.inputs.tolist() == second.inputs.tolist()
        assert second.inputs.dtype == np.float64
        assert second.inputs[:, list(names).index("a")].tolist() == [1, 4]
        if targets:
            assert second.targets is not None
            assert second.targets.tolist() == {"c": [[3], [1e-3]], "b": [[2.5], [5]]}[targets[0]]
    assert len(in_folder(folder)) == 4
    for names in (("a",), columns):
        assert len(read_table(path, ("c",), 1, columns=names)[0]) == 1
    assert len(in_folder(folder)) == 4
    with pytest.raises(DataError, match="line 2, column 3: 'word' is 'x', expected a number"):
        read_table(path, ("c",))


def test_pixels_beside_words_have_one(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 64))
    names = ",".join(f"p{place}" for place in range(64))
    path.write_text(f"{names},kind\n" + "".join(f"{','.join(map(str, row))},{row[0] % 2}x\n" for row in pixels))
    found = load(path, label_column="kind").train.inputs
    assert len(in_folder(folder)) == 1
    monkeypatch.delattr("numpy.loadtxt")
    np.testing.assert_array_equal(load(path, label_column="kind").train.inputs, found)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system knows other homes")
def test_who_has_no_home_has_no_twins(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does for an unknown user without $HOME
    monkeypatch.chdir(tmp_path)
    for older in (False, True):
        if older:
            monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/xpnn")
        assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]
        assert os.listdir(tmp_path) == [path.name]
        with pytest.raises(DataError, match="^the system has no home for this user: set XPNN_CACHE_DIR to a folder"):
            twins.folder()


@pytest.mark.parametrize("trouble", ["no folder", "read-only", "full", "nothing can be made", "no permission"])
def test_where_nothing_can_be_kept_files_are_read_all_the_same(
    path: Path, folder: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(code: int) -> Callable[..., None]:
        def refusal(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        return refusal

    match trouble:
        case "no folder":  # a file is in its place
            folder.parent.write_bytes(b"")
        case "nothing can be made":
            monkeypatch.setattr(Path, "mkdir", refuse(errno.EROFS))
        case "no permission":
            monkeypatch.setattr(Path, "glob", refuse(errno.EACCES))
        case "full":
            monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
        case _:
            monkeypatch.setattr(os, "replace", refuse(errno.EROFS))
    for _ in range(2):
        assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 8]]
    assert not folder.parent.is_dir() or in_folder(folder) == []


def test_a_twin_in_a_read_only_folder_is_used(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, parses: Any
) -> None:
    read_csv(path)
    folder.chmod(0o500)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert parses(lambda: read_csv(path)) == 0
    folder.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_only_the_user_sees_what_was_read(path: Path, folder: Path) -> None:
    read_csv(path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_small_files_have_none(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "FEWEST", len(ROWS) + 1)
    read_csv(path)
    assert in_folder(folder) == []
    monkeypatch.setattr(twins, "FEWEST", len(ROWS))
    read_csv(path)
    assert len(in_folder(folder)) == 1


def test_what_was_not_used_for_longest_is_deleted_to_make_room(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, parses: Any
) -> None:
    monkeypatch.setenv(twins.MOST_VARIABLE, "1")
    for name in "abcd":  # each a third of the bound and more, so that there is room for two
        rows = np.full((400, 1000), ord(name), np.uint8)
        (tmp_path / name).write_bytes(b"\n".join(b",".join(b"%d" % value for value in row) for row in rows))
    assert parses(lambda: [read_csv(tmp_path / name) for name in "ab"]) == 2
    for age, (path, _) in enumerate(twins.kept()):  # where the clock is coarse, too
        os.utime(path, ns=(age, age))
    assert parses(lambda: read_csv(tmp_path / "a")) == 0
    draft, fresh = folder / ".killed.draft", folder / ".at work.draft"
    for path in (draft, fresh):
        path.write_bytes(b"")
    os.utime(draft, (time.time() - 1e6,) * 2)

    assert parses(lambda: read_csv(tmp_path / "c")) == 1
    assert parses(lambda: [read_csv(tmp_path / name) for name in "ac"]) == 0
    assert len(twins.kept()) == 2
    assert sum(about.st_size for _, about in twins.kept()) <= 1_000_000
    assert (draft.exists(), fresh.exists()) == (False, True)

    monkeypatch.setattr(csv, "READER", "next")  # what nobody asks for any more goes, too
    assert parses(lambda: [read_csv(tmp_path / name) for name in "bd"]) == 2
    assert len(twins.kept()) == 2


def test_the_bound_is_a_variable(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, parses: Any) -> None:
    read_csv(path)
    monkeypatch.setenv(twins.MOST_VARIABLE, "0")
    assert parses(lambda: read_csv(path)) == 1
    path.write_bytes(OTHER)
    read_csv(path)
    assert len(in_folder(folder)) == 1
    for wrong in ("-1", "much", "1.5", "²"):
        monkeypatch.setenv(twins.MOST_VARIABLE, wrong)
        with pytest.raises(XpnnError, match=f"XPNN_CSV_CACHE_MB is '{wrong}', expected a whole number of megabytes"):
            read_csv(path)


def test_a_table_beyond_the_bound_has_none(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_csv(path)
    there = in_folder(folder)
    monkeypatch.setattr(twins, "_most_bytes", lambda: 128 + 6 + 32 - 1)
    path.write_bytes(OTHER)
    assert values(read_csv(path)) == [[5, 0, 255], [3, 7, 9]]
    assert in_folder(folder) == there  # and nothing was deleted for it


def test_what_another_process_deletes_first_is_no_trouble(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = os.stat_result((0, 0, 0, 0, 0, 0, 10**10, 0, 0, 0))
    monkeypatch.setattr(twins, "kept", lambda: [(folder / "1-gone.npy", large)])
    read_csv(path)
    assert len(in_folder(folder)) == 1
    assert len(twins.clear()) == 1


PROGRAM = """
import sys
from xpnn.data import read_csv, twins
twins.FEWEST = 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    samples = read_csv(sys.argv[1])
    print(samples.inputs.sum(), samples.targets.sum())
    if sys.argv[2] == "clear":
        twins.clear()
"""


def test_processes_that_read_write_and_delete_at_once_harm_nothing(tmp_path: Path, folder: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (300, 100), dtype=np.uint8)
    path = tmp_path / "rows.csv"
    np.savetxt(path, rows, "%d", ",")
    command = [sys.executable, "-c", PROGRAM, str(path)]
    with ExitStack() as stack:
        processes = []
        for what in ("clear", "keep", "keep"):
            process = subprocess.Popen([*command, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            said, _ = process.communicate()
            assert process.returncode == 0
            assert said.splitlines() == [f"{rows[:, 1:].sum()} {rows[:, 0].sum()}"] * 40
    assert values(read_csv(path)) == rows.tolist()
    assert [name for name in in_folder(folder) if name.endswith(".draft")] == []
