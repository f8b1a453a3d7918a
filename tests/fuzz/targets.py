"""The readers that are fuzzed. Another one is a line in TARGETS, with seeds and parts of its format in formats.py."""

from __future__ import annotations

import bz2
import gzip
import random
from collections.abc import Callable
from contextlib import nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from click import ClickException, Context
from fuzz import formats
from xpnn_cli.config import read_config
from xpnn_cli.train import train

from xpnn import MLP, load_model
from xpnn.data import (
    file_format,
    read_columns,
    read_csv,
    read_idx,
    read_image,
    read_npz,
    read_photo,
    read_samples,
    read_shards,
    read_table,
)
from xpnn.data.files import opened
from xpnn.data.idx import read_idx_array
from xpnn.data.npy import read_npy
from xpnn.data.npz import array_in
from xpnn.data.usps import read_usps
from xpnn.errors import DataError, XpnnError
from xpnn.failures import first_line
from xpnn.history import read_history
from xpnn.runs import RunFolder
from xpnn.samples import Samples
from xpnn.state_file import load_state


class Target(NamedTuple):
    """A reader, called with a path; valid files of its format; how they are taken apart and put together again.

    words:  what a format's files may hold, for the fuzzers to put in.
    lay:    puts the content at the path.
    traced: whether tracemalloc may be used: not with pyarrow's threads, on which it crashes before Python 3.12.9
            (cpython issue 128679).
    """

    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    split: Callable[[bytes], list[bytes]] = formats.split_text
    join: Callable[[list[bytes]], bytes] = formats.join_text
    words: tuple[bytes, ...] = ()
    lay: Callable[[Path, bytes], object] = Path.write_bytes
    traced: bool = True


def parts_of(target: Target, content: bytes) -> list[bytes]:
    """The file's parts; none where it can't be taken apart."""
    try:
        return target.split(content)
    except Exception:  # it is damaged, in whatever way
        return []


def mutated(target: Target, content: bytes, choose: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    """A file with one or a few of its parts changed, left out, or doubled; changed as a whole where it has no parts."""
    parts = parts_of(target, content)
    if not parts:
        return change(content)
    for _ in range(choose.choice((1, 1, 2, 4))):
        place = choose.randrange(len(parts))
        match choose.randrange(8):
            case 0:
                parts.insert(place, parts[choose.randrange(len(parts))])
            case 1 if len(parts) > 1:
                del parts[place]
            case 2 if target.words:
                at = choose.randrange(len(parts[place]) + 1)
                parts[place] = parts[place][:at] + choose.choice(target.words) + parts[place][at:]
            case _:
                parts[place] = change(parts[place])
    try:
        return target.join(parts)
    except Exception:  # what was changed made it one that can't be put together
        return change(content)


def _sound(samples: Samples, finite: bool = True) -> None:
    """Raise AssertionError for what a reader must never hand on. finite: it looks at the values."""
    inputs, targets = np.asarray(samples.inputs), samples.targets
    assert inputs.ndim == 2
    assert inputs.size
    assert inputs.dtype in (np.uint8, np.float32, np.float64)
    assert not finite or np.isfinite(inputs).all()
    if targets is not None:
        assert len(targets) == len(inputs)
        assert np.isfinite(np.asarray(targets)).all()
        assert np.asarray(targets).dtype in (np.int64, np.float64)


def _csv(path: Path) -> None:
    _sound(read_csv(path))


def _pixels(path: Path) -> None:
    _sound(read_csv(path, labelled=False, limit=2))


def _table(path: Path) -> None:
    samples, names = read_table(path, ("price",))
    _sound(samples)
    assert len(names) == samples.inputs.shape[1]


def _idx(path: Path) -> None:
    """Alone as labels, and as images beside labels."""
    try:
        read_idx_array(path, 1)
    except DataError:
        _sound(read_idx(path)[0])


def _npy(path: Path) -> None:
    """Mapped, and as labels are read."""
    _sound(read_npy(path, labelled=False)[0], finite=False)
    with opened(path) as file:
        try:
            array_in(file)
        except Exception as error:
            raise DataError(first_line(error), path) from error


def _npz(path: Path) -> None:
    train, test, shape = read_npz(path)
    _sound(train)
    assert shape is None or shape[0] * shape[1] == train.inputs.shape[1]
    if test is not None:
        _sound(test)


def _picture(path: Path) -> None:
    for digit in read_photo(path, confidence=lambda rows: rows.mean(axis=1)).digits:  # cut apart, if all else holds
        assert digit.pixels.shape == (784,)
        left, top, right, bottom = digit.box
        assert 0 <= left < right
        assert 0 <= top < bottom
    read_image(path, (8, 8), deskew=True)


def _arrow(path: Path) -> None:
    rows = read_columns(path)
    _sound(Samples(rows.inputs))
    assert len(rows.labels) == len(rows.inputs)


def _lay_shards(path: Path, content: bytes) -> None:
    """A folder of as many files as there are names for; those of the last content go."""
    path.with_name("shards").mkdir(exist_ok=True)
    for name, file in zip_longest(formats.SHARDS, formats.split_shards(content)[: len(formats.SHARDS)]):
        place = path.with_name("shards") / name
        place.unlink(missing_ok=True) if file is None else place.write_bytes(file)


def _shards(path: Path) -> None:
    """A folder's Parquet files together, in memory, and as rows that stay there."""
    folder = path.with_name("shards")
    parts = read_shards(folder)
    _sound(parts.train)
    if parts.test is not None:
        _sound(parts.test)
    with patch("xpnn.data.shards.fits", lambda size: False):
        _sound(read_shards(folder).train)


def _result(path: Path) -> None:
    run = RunFolder(path.parent)
    run.result = path
    if run.finished() is None:
        raise DataError("no such file", path)


def _config(path: Path) -> None:
    """As `xpnn train --config` reads it, and checks each setting."""
    try:
        with patch("xpnn_cli.threads.limited", lambda threads: nullcontext()), Context(train, info_name="train") as ctx:
            read_config(ctx, train.params[0], path)
    except ClickException as error:
        text = error.format_message()
        assert text.isprintable(), text  # XpnnError would mend it
        raise XpnnError(text) from error


def _any(path: Path) -> None:
    file_format(path)
    _sound(read_samples(path, labelled=False))


def _model(path: Path) -> None:
    net = load_model(path)
    assert isinstance(net, MLP)
    assert np.isfinite(net.parameters).all()


def _with_packed(seeds: Callable[[], list[bytes]]) -> Callable[[], list[bytes]]:
    return lambda: [*seeds(), gzip.compress(seeds()[0], mtime=0), bz2.compress(seeds()[-1], 1)]


NUMBERS = (b"0", b"-1", b"255", b"256", b"1e400", b"nan", b"inf", b"9" * 40, b"0x1p3", b"1_0", "٣".encode(), b"1.5")
TEXT = (*NUMBERS, b",", b'"', b'""', b";", b"\t", b"\0", b"\r", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80")
JSON = (*NUMBERS, b"NaN", b"Infinity", b"null", b"true", b"[", b"]", b"{", b"}", b"[" * 2000, b'"', b"\\ud800", b",")
TOML = (*NUMBERS, b"[made]", b"[[", b"]]", b"=", b'"""', b"'''", b"#", b"true", b"1979-05-27", b"lr", b"=[" * 2000)
HEADERS = (b"|O", b"|V8", b"<M8", b"(2,)<f4", b"True", b"(" * 300, b"L", b"4294967296", b"-1", b"\n", b"<U9", b"x_test")
CHUNKS = (b"tRNS", b"eXIf", b"iCCPx\0\0", b"zTXtx\0\0", b"acTL", b"fdAT", b"PLTE", b"\xff\xda", b"\x7f\xff", b"\0\0")


def _whole(content: bytes) -> list[bytes]:
    """A file that is changed as it is."""
    return [content]


TARGETS = {
    "csv": Target(_csv, _with_packed(formats.csv_files), words=TEXT),
    "pixels": Target(_pixels, formats.csv_files, words=TEXT),
    "table": Target(_table, _with_packed(formats.table_files), words=(*TEXT, b"price", b"NA")),
    "usps": Target(read_usps, _with_packed(formats.usps_files), words=(*TEXT, b":", b"256:", b" ")),
    "idx": Target(_idx, _with_packed(formats.idx_files), words=(b"\xff\xff\xff\xff", b"\0\0\x08\x03", b"\x80\0\0\0")),
    "npz": Target(_npz, formats.npz_files, formats.split_npz, formats.join_npz, HEADERS),
    "npy": Target(_npy, formats.npy_files, words=HEADERS),
    "picture": Target(_picture, formats.picture_files, formats.split_picture, formats.join_picture, CHUNKS),
    "model": Target(_model, formats.model_files, formats.split_model, formats.join_model, JSON),
    "history": Target(read_history, formats.history_files, words=JSON),
    "zip": Target(
        _any, formats.zip_files, formats.split_npz, formats.join_npz, (b"/", b"..", b"train/", b"test/"), traced=False
    ),
    "arrow": Target(_arrow, formats.arrow_files, _whole, b"".join, traced=False),
    "shards": Target(
        _shards, formats.shard_files, formats.split_shards, formats.join_shards, lay=_lay_shards, traced=False
    ),
    "config": Target(_config, formats.config_files, words=TOML),
    "result": Target(_result, formats.result_files, words=JSON),
    "state": Target(load_state, formats.state_files, formats.split_state, formats.join_state, JSON),
    "any": Target(
        _any, _with_packed(lambda: [*formats.csv_files(), *formats.idx_files(), *formats.npz_files()]), traced=False
    ),
}
