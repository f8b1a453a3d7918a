"""Files that are made to cost much more than they weigh: bombs, headers that lie, what grows with a square.

Each is some hundred kilobytes or a megabyte: the memory is then seen above the constant, which is small here.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fuzz.guard import check, scratch_folder
from fuzz.targets import TARGETS
from PIL import Image
from pyarrow import parquet

from xpnn.data import (
    arrow,
    files,
    lines,
    read_columns,
    read_csv,
    read_idx,
    read_image,
    read_npz,
    read_samples,
    read_table,
    table,
    zips,
)
from xpnn.data.npy import read_npy
from xpnn.errors import DataError, XpnnError

MILLION = 1 << 20
MANY = 1 << 17
CONSTANT = 3 * MILLION


@pytest.fixture
def path() -> Iterator[Path]:
    folder = scratch_folder()
    yield folder / "images"
    (folder / "images").unlink(missing_ok=True)
    folder.rmdir()


def array(shape: str, body: bytes = b"", dtype: str = "|u1") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as writer:
        for name, content in members:
            writer.writestr(name, content)
    return file.getvalue()


def directory(count: int) -> bytes:
    """An archive that is nothing but a list of members."""
    member = archive(("x", b""))
    entry = member[member.index(b"PK\x01\x02") : member.index(b"PK\x05\x06")]
    return b"PK\x03\x04" + entry * count + b"PK\x05\x06" + struct.pack("<8xIIH", len(entry) * count, 4, 0)


def safetensors(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def model(body: bytes, **network: Any) -> bytes:
    metadata = {"format": "xpnn-mlp-1", "network": json.dumps({"bias": False, "dtype": "float32"} | network)}
    n = len(body) // 4
    tensor = {"dtype": "F32", "shape": [n, 1], "data_offsets": [0, len(body)]}
    return safetensors(json.dumps({"__metadata__": metadata, "layers.0.W": tensor}).encode(), body)


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a line of many short fields": ("csv", lambda: b"255," * 2 * MANY + b"1\n"),
    "quoted": ("csv", lambda: b'"10",' * MANY + b"1\n"),
    "names": ("csv", lambda: b"ab," * MANY + b"ab\n" + b"1," * MANY + b"1\n"),
    "a count": ("csv", lambda: ",".join(map(str, range(MANY))).encode() + b"\n" + b"1," * (MANY - 1) + b"1\n"),
    "a number of a million digits": ("csv", lambda: b"1," + b"9" * MILLION + b"\n"),
    "rows of one number": ("pixels", lambda: b"1\n" * MANY),
    "a row longer than its header": ("table", lambda: b"a,price\n" + b"10," * 2 * MANY + b"1\n"),
    "rows that take the careful reader": ("table", lambda: b"a,price\n" + b'"1",2\n' * (MANY // 4)),
    "short rows": ("usps", lambda: b"1\n" * MANY),
    "a long row": ("usps", lambda: b"1" + b" 1:0" * MANY + b"\n"),
    "dimensions that lie": ("idx", lambda: struct.pack(">4I", 0x803, *[(1 << 32) - 1] * 3)),
    "an array that lies": ("npz", lambda: archive(("x.npy", array("(4096, 65536)", bytes(100))))),
    "a product that overflows": ("npz", lambda: archive(("x.npy", array("(4294967296, 4294967296)", bytes(100))))),
    "an array that lies, by itself": ("npy", lambda: array("(4096, 65536)", bytes(100))),
    "and packed": ("npy", lambda: gzip.compress(array("(4096, 65536)", bytes(100)))),
    "nested minus": ("npz", lambda: archive(("x.npy", array("-" * 9000 + "1")))),
    "nested lists": ("npz", lambda: archive(("x.npy", array("[" * 9000)))),
    "a header's length that lies": ("model", lambda: ((1 << 24) - 1).to_bytes(8, "little") + b"{}"),
    "empty lists": ("model", lambda: safetensors(b"[" + b"[]," * MILLION + b"1]")),
    "nested objects": ("model", lambda: safetensors(b'{"a":' * 100_000)),
    "a text times a size": ("model", lambda: model(b"", sizes=[1, 10**8], bias="x")),
    "sizes of a thousand digits": ("model", lambda: model(b"", sizes=[10**1000, 10**1000], labels=[])),
    "outputs without names": ("model", lambda: model(bytes(4 * MANY), sizes=[1, MANY])),
    "a layer a weight": ("model", lambda: model(bytes(MANY), sizes=[1] * (MANY // 4 + 1), labels=["a"])),
    "short records": ("history", lambda: b'{"epoch":1,"loss":1}\n' * (MANY // 2)),
    "a record of lists": ("history", lambda: b'{"epoch":1,"loss":[' + b"[]," * MILLION + b"1]}\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_and_time_stay_within_the_files_size(name: str, path: Path) -> None:
    reader, make = HOSTILE[name]
    check(TARGETS[reader].read, make(), path, trace=True, constant=CONSTANT)


def test_time_does_not_grow_with_the_square_of_the_columns(path: Path) -> None:
    """Each of these took minutes when every name was looked for among all others."""
    names = ",".join(f"a{i}" for i in range(100_000)).encode()
    check(TARGETS["table"].read, names + b",price\n" + b"1," * 100_000 + b"1\n", path)
    check(TARGETS["table"].read, names + b",a99999\n1\n", path)


@pytest.mark.parametrize("name", ["length-of-a-message", "length-of-a-buffer"])
def test_arrow_asks_for_no_more_than_the_file_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a message of 1.6 GB, in a file of 15 bytes, all would be set aside before it is read."""
    asked = []

    class Asked(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            asked.append(count or 0)
            return super().read(count)

    monkeypatch.setattr(arrow, "with_way_back", lambda file: Asked(file.read()))
    path = Path(__file__).parent / "corpus" / "arrow" / name
    with pytest.raises(DataError, match="damaged Parquet or Arrow file|more memory than there is"):
        read_columns(path)
    assert 0 < max(asked) <= path.stat().st_size
    assert min(asked) >= 0


def constant_columns(rows: int) -> bytes:
    """Of which a Parquet file holds the number, and one value."""
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"label": np.zeros(rows, np.uint8), "x": np.zeros(rows, np.uint8)}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def picture(mode: str, side: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind)
    return file.getvalue()


ROWS = b"0,0\n" * MILLION
IMAGES = struct.pack(">4I", 0x803, 4, MILLION, 1) + bytes(4 * MILLION)
LARGER = "write it without compression and dictionaries"
UNPACK, PLAIN = "become more than 100 times as many: if that is meant, unpack it first", "save it with numpy.savez,"
BOMBS: dict[str, tuple[Callable[[Path], object], Callable[[], bytes], str]] = {
    "csv.gz": (read_csv, lambda: gzip.compress(ROWS), UNPACK),
    "csv.bz2": (read_csv, lambda: bz2.compress(ROWS), UNPACK),
    "csv.gz, careful": (read_csv, lambda: gzip.compress(b'"0",0\n' + ROWS), UNPACK),
    "table.gz": (lambda path: read_table(path, ("b",)), lambda: gzip.compress(b"a,b\n" + ROWS), UNPACK),
    "idx.gz": (lambda path: read_idx(path, labelled=False)[0], lambda: gzip.compress(IMAGES), UNPACK),
    "npz.gz": (read_npz, lambda: gzip.compress(archive(("x.npy", bytes(4 * MILLION)), compression=0)), UNPACK),
    "npz": (read_npz, lambda: archive(("x.npy", array("(4, 1048576)", bytes(4 * MILLION)))), PLAIN),
    "npy.gz": (
        lambda path: read_npy(path, labelled=False),
        lambda: gzip.compress(array("(4, 1048576)", bytes(4 * MILLION))),
        UNPACK,
    ),
    "parquet": (read_columns, lambda: constant_columns(4 * MILLION), LARGER),
    "zip": (read_samples, lambda: archive(*((f"a/{i}.png", picture("1", 1024)) for i in range(4))), "pictures smaller"),
    "png.gz": (read_image, lambda: gzip.compress(picture("L", 16) + bytes(4 * MILLION)), UNPACK),
    "png": (read_image, lambda: picture("RGB", 1024), "become more than 100 times as many: reduce it first"),
    "grey png": (read_image, lambda: picture("1", 2048), "reduce it first"),
    "jpeg": (read_image, lambda: picture("RGB", 2048, "JPEG"), "reduce it first"),
    "gif": (read_image, lambda: picture("P", 2048, "GIF"), "reduce it first"),
    "webp": (read_image, lambda: picture("RGB", 2048, "WEBP"), "reduce it first"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_with_what_to_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, make, problem = BOMBS[name]
    path = tmp_path / "file"
    path.write_bytes(make())
    monkeypatch.setattr(files, "ALWAYS_UNPACKED", MILLION)
    with pytest.raises(DataError, match=problem):
        read(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_what_is_packed_well_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """A small file may unpack to 64 MiB whatever its size, a larger one to a hundred times as much."""
    path = tmp_path / "rows"
    path.write_bytes(pack(b"0,0\n" * (MILLION // 4)))
    assert path.stat().st_size < MILLION / 100
    assert len(read_csv(path)) == MILLION // 4
    path.write_bytes(pack(np.random.default_rng(0).integers(48, 58, MILLION // 2, dtype=np.uint8).tobytes()))
    monkeypatch.setattr(files, "ALWAYS_UNPACKED", 0)
    with files.opened(path) as file:
        assert len(file.read()) == MILLION // 2


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    """Each of them passes over the whole picture, and takes a few bytes of the file."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    (tmp_path / "digit.jpg").write_bytes(content[:-2] + content[last:-2] * 100 + content[-2:])
    with pytest.raises(DataError, match="more than 100 scans in a JPEG: save it anew"):
        read_image(tmp_path / "digit.jpg")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_numpys_files_of_python_2_are_read_without_a_word(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "x.npy").write_bytes(pack(array("(2L, 3L)", bytes(range(6)))))
    assert read_npy(tmp_path / "x.npy", labelled=False)[0].inputs.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_wide_files_that_are_meant_are_read(tmp_path: Path) -> None:
    columns = 3 * lines.PIECE
    (tmp_path / "rows").write_text(
        ",".join(["7", *(str(i % 256) for i in range(columns))]) + '\n"8"' + ",255" * columns
    )
    samples = read_csv(tmp_path / "rows")
    assert samples.targets is not None
    assert samples.targets.tolist() == [7, 8]
    assert samples.inputs[0].tolist() == [i % 256 for i in range(columns)]
    (tmp_path / "rows").write_text('"7"' + ",1" * (columns - 1) + ",x\n")
    with pytest.raises(DataError, match=f"line 1, column {columns + 1}: found 'x', expected a pixel"):
        read_csv(tmp_path / "rows")


def test_tables_have_a_limit_of_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_COLUMNS", 3)
    (tmp_path / "rows").write_text("a,b,c\n1,2,3\n")
    assert read_table(tmp_path / "rows")[1] == ("a", "b", "c")
    (tmp_path / "rows").write_text("a,b,c,d\n1,2,3,4\n")
    with pytest.raises(DataError, match="line 1: more than 3 columns: too many for a table; leave some out"):
        read_table(tmp_path / "rows")


def test_large_archives_keep_their_list_of_members_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # the list is then written as for files beyond 4 GB
    members = [("x.npy", array("(2, 2)", bytes(4))), ("y.npy", array("(2,)", b"\0\1"))]
    (tmp_path / "data").write_bytes(archive(*members))
    assert b"PK\x06\x06" in (tmp_path / "data").read_bytes()
    assert len(read_npz(tmp_path / "data")[0]) == 2
    monkeypatch.setattr(zips, "ALWAYS_LISTED", 90)
    (tmp_path / "data").write_bytes(archive(*members, *((str(i), b"") for i in range(99))))
    with pytest.raises(DataError, match="its list of members is too long"):
        read_npz(tmp_path / "data")
    monkeypatch.undo()
    (tmp_path / "data").write_bytes(directory(MANY // 4))
    with pytest.raises(DataError, match="its list of members is too long"):
        read_npz(tmp_path / "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """A pipe nobody writes to, a device that never ends, a folder, names that can't be."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "folder", tmp_path / "no\0name", tmp_path / "\udcff"):
        with pytest.raises(XpnnError):
            TARGETS[name].read(path)
