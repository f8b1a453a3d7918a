"""Valid files of every format, small, and the parts that each is made of.

A fuzzer that changes bytes at random hardly ever passes a checksum or a length. So each format is taken apart, a part
is changed, and the file is put together again with its checksums and lengths right: `split` and `join`, of which
`join(split(content))` means what `content` does.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from pyarrow import parquet

import xpnn
from xpnn.state_file import save_state

SHARDS = ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet")
BETWEEN = b"\0--shard--\0"
PNG = b"\x89PNG\r\n\x1a\n"


def csv_files() -> list[bytes]:
    return [
        b"label,1,2,3,4\n5,0,255,12,3\n0,1,2,3,4\n",
        b'\xef\xbb\xbf"label","a"\r\n"3", 12.0\r\n7,1e2\r\n',
        b"1,2\n3,4",
        b"0,1,2,3,4,5,6,7,8,9\n" * 3,
    ]


def table_files() -> list[bytes]:
    return [
        b"area,rooms,price\n1.5,2,3e2\n-4,5,6\n",
        b'"a, b","c",price\n1,"2",-0.5\n7, 8 ,9\n',
        b"\xef\xbb\xbfa, b;c;price\r\n1,5;2;-0,5\r\n7;8,25;9\r\n",
        b'"a;b"\tprice\n1\t-0.5\n',
        "Größe;x,price\r\n1,2\r\n".encode(),
        b"a,price\n1,nan\n2,\n3,1e999\n",
    ]


def usps_files() -> list[bytes]:
    return [b"7 1:-1 2:-0.5 256:1\n10 3:0.25\n", b"1\n2 1:1\n"]


def idx_files() -> list[bytes]:
    images = np.arange(24, dtype=np.uint8).tobytes()
    return [struct.pack(">4I", 0x803, 4, 2, 3) + images, struct.pack(">2I", 0x801, 24) + images]


def npz_files() -> list[bytes]:
    pixels, labels = np.arange(24, dtype=np.uint8).reshape(4, 2, 3), np.array([0, 2, 1, 2])
    return [
        _npz(x=pixels, y=labels.astype(np.uint8)),
        _npz(x_train=pixels, y_train=labels, x_test=pixels[:2], y_test=labels[:2]),
        _npz(inputs=np.asfortranarray(pixels.reshape(4, 6) / 7), targets=labels.astype(">i2")),
        _npz(x=np.array([[0.0, 255]], dtype="<f2"), y=labels[:1]),
    ]


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy_files() -> list[bytes]:
    files = []
    for array in (
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.eye(3) / 7),
        np.ones((2, 2, 2), ">f4"),
    ):
        np.save(file := io.BytesIO(), array)
        files.append(file.getvalue())
    return [*files, gzip.compress(files[0], mtime=0)]


def picture_files() -> list[bytes]:
    files = []
    for mode, form, options in (
        ("L", "PNG", {}),
        ("1", "PNG", {}),
        ("P", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("I;16", "PNG", {}),
        ("L", "JPEG", {"quality": 30}),
        ("RGB", "JPEG", {"quality": 30, "progressive": True}),
        ("RGB", "BMP", {}),
        ("P", "GIF", {}),
        ("RGB", "WEBP", {"lossless": True}),
        ("RGBA", "WEBP", {"quality": 30}),
    ):
        picture = Image.new("L", (20, 16), 255)
        ImageDraw.Draw(picture).line([(5, 3), (9, 12), (14, 8)], fill=0, width=2)
        file = io.BytesIO()
        picture.convert(mode).save(file, form, **options)
        files.append(file.getvalue())
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = 6  # orientation: a quarter of a turn
    picture.save(turned, "JPEG", exif=exif)
    return [*files, turned.getvalue()]


def model_files() -> list[bytes]:
    nets = [
        xpnn.MLP([2, 3, 2], hidden="elu:0.5", output="sigmoid", loss="squared-error"),
        xpnn.MLP(
            [2, 1],
            output="identity",
            loss="huber:0.5",
            bias=False,
            dtype="float64",
            standardization=([0.5, 1], [1, 2]),
            columns=["a", "b"],
        ),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for net in nets:
            xpnn.save(net, path := Path(folder, "model"))
            files.append(path.read_bytes())
    return files


def history_files() -> list[bytes]:
    line = b'{"epoch": 1, "loss": 0.5, "accuracy": 0.9, "learning_rate": 0.1, "seconds": 1.5, "step": "reference"}\n'
    return [line + line.replace(b": 1,", b": 2,"), b'{"epoch":1,"loss":2,"validation_loss":null}\n{"epoch":']


def zip_files() -> list[bytes]:
    def one(*names: str) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, _png(number))
        return file.getvalue()

    return [one("a/1.png", "b/1.png"), one("x/train/0/1.png", "x/train/1/2.png", "x/test/1/3.png")]


def _png(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 2), grey).save(file, "PNG")
    return file.getvalue()


def arrow_files() -> list[bytes]:
    """Parquet, Arrow's file and Arrow's stream: of columns, of lists, and of pictures."""
    columns = pa.table({"label": ["a", "b"], "x": [1.5, 2.0], "y": pa.array([1, 2], pa.int8())})
    rows = pa.table({"label": [0, 1], "image": [[1, 2, 3, 4], [5, 6, 7, 255]]})
    pictures = pa.table({"label": [0, 1], "image": [{"bytes": _png(1), "path": None}, {"bytes": _png(2), "path": "p"}]})
    files = []
    for table in (columns, rows, pictures):
        for writer in (pa.ipc.new_file, pa.ipc.new_stream):
            sink = pa.BufferOutputStream()
            with writer(sink, table.schema) as out:
                out.write_table(table)
            files.append(sink.getvalue().to_pybytes())
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="none" if table is rows else "snappy")
        files.append(sink.getvalue().to_pybytes())
    return files


def shard_files() -> list[bytes]:
    """Folders of Parquet files, one after the other: of one kind of rows in each."""
    parquets = [content for content in arrow_files() if content.startswith(b"PAR1")]
    return [*(join_shards([content] * 3) for content in parquets), join_shards(parquets[:2])]


def split_shards(content: bytes) -> list[bytes]:
    return content.split(BETWEEN)


def join_shards(parts: list[bytes]) -> bytes:
    return BETWEEN.join(parts)


def config_files() -> list[bytes]:
    made = b'\n[made]\nxpnn = "0.1.0"\ndata = { "digits" = "0" }\n'
    return [
        b'data = "digits"\nhidden = [30, 10]\nlr = 0.002\nepochs = 3\noptimizer = "adam"\n',
        b'data = "digits"\nrecipe = "dropout"\ncheckpoint-every = "10m"\nthreads = 1\n' + made,
        b"data = 'no such file'\nhidden = \"30,10\"\nseed = -1\n",
    ]


def result_files() -> list[bytes]:
    return [b'{"model": "model.safetensors", "epochs": 2, "test": {"accuracy": 0.97}}\n', b'{"epochs": 1}']


def state_files() -> list[bytes]:
    net = xpnn.MLP([2, 3, 2])
    data = (np.arange(12, dtype=np.uint8).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1]))
    with tempfile.TemporaryDirectory() as folder:
        epochs = xpnn.train(net, data, epochs=2, batch_size=2)
        next(epochs)
        save_state(net, epochs.state(), path := Path(folder, "state"), history=[{"epoch": 1}])
        return [path.read_bytes()]


def split_state(content: bytes) -> list[bytes]:
    """The header without its texts, the network's and the state's, and the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    texts = [metadata[name].encode() for name in ("network", "state")]
    metadata |= {"network": "@network", "state": "@state", "sha256": "0" * 64}
    return [json.dumps(header).encode(), *texts, content[8 + length :]]


def join_state(parts: list[bytes]) -> bytes:
    header, network, state, body = parts
    for name, text in ((b'"@network"', network), (b'"@state"', state)):
        header = header.replace(name, json.dumps(text.decode("utf-8", "replace")).encode(), 1)
    checksum = hashlib.sha256(header + body).hexdigest().encode()
    return len(header).to_bytes(8, "little") + header.replace(b"0" * 64, checksum, 1) + body


def split_text(content: bytes) -> list[bytes]:
    """Lines, out of a packing if there is one: its kind stands first."""
    for name, unpack in ((b"gzip", gzip.decompress), (b"bz2", bz2.decompress)):
        try:
            return [name, *unpack(content).splitlines(keepends=True)]
        except (OSError, EOFError, ValueError, zlib.error):
            pass
    return [b"plain", *content.splitlines(keepends=True)]


def join_text(parts: list[bytes]) -> bytes:
    packing, *lines = parts
    content = b"".join(lines)
    if packing == b"gzip":
        return gzip.compress(content, 1, mtime=0)
    return bz2.compress(content, 1) if packing == b"bz2" else content


def split_npz(content: bytes) -> list[bytes]:
    """Name and content of each member in turn."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [part for name in archive.namelist() for part in (name.encode(), archive.read(name))]


def join_npz(parts: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in zip(parts[::2], parts[1::2], strict=False):
            archive.writestr(name.decode("latin-1"), _with_length(content))
    return file.getvalue()


def _with_length(array: bytes) -> bytes:
    """An array's file whose header is as long as it says it is: up to its first line's end."""
    end = array.find(b"\n", 10) + 1
    return array[:8] + struct.pack("<H", (end - 10) % 65536) + array[10:] if array[6:7] == b"\1" and end else array


def split_picture(content: bytes) -> list[bytes]:
    """Of a PNG its chunks, each by type and content, pixels unpacked; of others what lies between bytes of 0xff."""
    if not content.startswith(PNG):
        head, *segments = content.split(b"\xff")
        return [head, *(b"\xff" + segment for segment in segments)]
    parts, place = [PNG], len(PNG)
    while place + 8 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        parts.append(kind + (zlib.decompress(body) if kind == b"IDAT" else body))
        place += 12 + length
    return parts


def join_picture(parts: list[bytes]) -> bytes:
    if parts[0] != PNG:
        return b"".join(parts)
    chunks = [part[:4] + zlib.compress(part[4:], 1) if part[:4] == b"IDAT" else part for part in parts[1:]]
    return PNG + b"".join(
        struct.pack(">I", max(len(chunk) - 4, 0)) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def split_model(content: bytes) -> list[bytes]:
    """The header without the network, the network's own text, and the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    network, header["__metadata__"]["network"] = header["__metadata__"]["network"], "@"
    return [json.dumps(header).encode(), network.encode(), content[8 + length :]]


def join_model(parts: list[bytes]) -> bytes:
    header, network, body = parts
    text = header.replace(b'"@"', json.dumps(network.decode("utf-8", "replace")).encode(), 1)
    return len(text).to_bytes(8, "little") + text + body
