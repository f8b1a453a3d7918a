"""Model files: a round trip loses nothing, others can read them, and damaged or hostile ones are refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xpnn import MLP, ModelFileError, XpnnError, load_model, save, to_host
from xpnn.checkpoint import FORMAT
from xpnn.safetensors import read_tensors

NETS: list[dict[str, Any]] = [
    {"sizes": [5, 4, 3]},
    {"sizes": [5, 3], "dtype": "float64"},
    {"sizes": [5, 4, 4, 2], "hidden": ["tanh", "sigmoid"], "output": "identity", "bias": False, "labels": ["é", "'\""]},
    {
        "sizes": [5, 4, 3],
        "output": "sigmoid",
        "loss": "squared-error",
        "target_range": (0.01, 0.99),
        "scaling": (0.1, 3),
    },
    {
        "sizes": [5, 2],
        "output": "identity",
        "standardization": ([0.1, 1e9, -3, 0, 1 / 3], [1e-9, 2.5, 1, 1e300, 0.7]),
        "columns": ["a", "b, c", "é", "'\"", "5"],
    },
    {"sizes": [5, 2], "columns": [*"abcde"], "label_column": "sort, and 'kind'"},
    {"sizes": [5, 2], "image_shape": (1, 5)},
]


@pytest.mark.parametrize("options", NETS)
def test_round_trip_is_bit_for_bit(tmp_path: Path, device: str, options: dict[str, Any]) -> None:
    net = MLP(**options, device=device, seed=4)
    save(net, tmp_path / "model")
    again = load_model(tmp_path / "model", device=device)
    assert again.settings() == net.settings()
    assert {name: getattr(again, name) for name in options} == {name: getattr(net, name) for name in options}
    assert again.device == net.device
    np.testing.assert_array_equal(to_host(again.parameters), to_host(net.parameters))
    for x in (np.arange(10, dtype="uint8").reshape(2, 5), np.linspace(-1, 1, 10).reshape(2, 5)):
        np.testing.assert_array_equal(to_host(again.query(x)), to_host(net.query(x)))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # no draft is left


def test_files_from_before_there_were_tables_are_read(tmp_path: Path) -> None:
    save(MLP([5, 3]), tmp_path / "model")
    later = {"standardization": None, "columns": None, "label_column": None, "image_shape": None}
    old = with_network(**later)((tmp_path / "model").read_bytes())
    assert b"column" not in old
    assert b"image_shape" not in old
    (tmp_path / "model").write_bytes(old)
    net = load_model(tmp_path / "model")
    assert (net.standardization, net.columns, net.label_column) == (None, None, None)


def test_a_hundred_thousand_columns_can_be_read_back(tmp_path: Path) -> None:
    n = 100_000
    numbers = (np.random.default_rng(1).normal(size=n), np.full(n, 1 / 3))
    net = MLP([n, 1], output="identity", standardization=numbers, columns=[f"a column's name {i}" for i in range(n)])
    save(net, tmp_path / "model")
    assert load_model(tmp_path / "model").settings() == net.settings()


def test_file_is_plain_safetensors(tmp_path: Path) -> None:
    net = MLP([5, 4, 3], seed=4)
    save(net, tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    assert [*tensors] == ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"]
    np.testing.assert_array_equal(tensors["layers.1.W"], net.layers[1].W)


def test_tensors_in_any_order_are_read(tmp_path: Path) -> None:
    """The safetensors library sorts as it likes; the header says where each tensor is."""
    net = MLP([5, 4, 3], seed=4)
    save(net, tmp_path / "a")
    metadata = {"format": "xpnn-mlp-1", "network": json.dumps(net.settings())}
    tensors = load_file(tmp_path / "a")
    save_file(
        {f"layers.{i}.{letter}": tensors[f"layers.{i}.{letter}"] for i in (1, 0) for letter in "bW"},
        tmp_path / "b",
        metadata,
    )
    np.testing.assert_array_equal(load_model(tmp_path / "b").parameters, net.parameters)


def parts_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def with_network(**changes: Any) -> Callable[[bytes], bytes]:
    """The file with another description of its network; a change to None takes the entry out."""

    def edit(content: bytes) -> bytes:
        header, body = parts_of(content)
        network = json.loads(header["__metadata__"]["network"]) | changes
        network = {key: value for key, value in network.items() if value is not None}
        header["__metadata__"]["network"] = json.dumps(network)
        return joined(header, body)

    return edit


def with_tensor(**changes: Any) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        header, body = parts_of(content)
        header["layers.0.W"] |= changes
        return joined(header, body)

    return edit


def with_metadata(metadata: Any) -> Callable[[bytes], bytes]:
    return lambda content: joined(parts_of(content)[0] | {"__metadata__": metadata}, parts_of(content)[1])


def not_finite(content: bytes) -> bytes:
    header, body = parts_of(content)
    return joined(header, np.float32("nan").tobytes() + body[4:])


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "no safetensors file"),
    "text": (lambda content: b"label,1x1,1x2\n5,0,0\n", "no safetensors file"),
    "pickle": (lambda content: b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os", "no safetensors file"),
    "huge header": (lambda content: (2**62).to_bytes(8, "little") + content[8:], "no safetensors file"),
    "header cut off": (lambda content: content[:50], "no safetensors file, or it is cut off"),
    "body cut off": (lambda content: content[:-1], "damaged"),
    "body too long": (lambda content: content + b"\0", "damaged"),
    "header no JSON": (lambda content: content[:8] + b"{" * (len(content) - 8), "no safetensors file"),
    "header a list": (lambda content: joined([], b""), "no safetensors file"),
    "header too deep": (
        lambda content: (b"[" * 100_000).join([(100_000).to_bytes(8, "little"), b""]),
        "no safetensors",
    ),
    "no metadata": (with_metadata(None), "not an xpnn model"),
    "another's metadata": (with_metadata({"format": "pt"}), "not an xpnn model (format 'pt'"),
    "network missing": (with_metadata({"format": "xpnn-mlp-1"}), "damaged"),
    "network no JSON": (with_metadata({"format": "xpnn-mlp-1", "network": "{"}), "damaged"),
    "network a list": (with_metadata({"format": "xpnn-mlp-1", "network": "[]"}), "damaged"),
    "sizes for a petabyte": (with_network(sizes=[10**8, 10**7]), "don't fit"),
    "sizes beyond all numbers": (with_network(sizes=[10**300, 10**300]), "don't fit"),
    "sizes negative": (with_network(sizes=[-5, -4, 3]), "damaged"),
    "sizes of text": (with_network(sizes="54"), "damaged"),
    "sizes missing": (with_network(sizes=None), "damaged"),
    "activation unknown": (with_network(hidden=["os.system"]), "unknown hidden activation"),
    "activation a list": (with_network(hidden=[["relu"]]), "damaged"),
    "dtype an object": (with_network(dtype="object"), "damaged"),
    "dtype unknown": (with_network(dtype="float33"), "damaged"),
    "standardization a number": (with_network(standardization=5), "damaged"),
    "standardization too short": (with_network(standardization=[[0], [1]]), "must be 5 numbers each, not 1 and 1"),
    "deviation of nothing": (with_network(standardization=[[0] * 5, [1, 1, 0, 1, 1]]), "the deviations above 0"),
    "mean beyond all numbers": (with_network(standardization=[[10**400] * 5, [1] * 5]), "damaged"),
    "columns too few": (with_network(columns=["a"]), "5 inputs but 1 columns"),
    "column that moves the cursor": (with_network(columns=[*"abcd", "\x1b[2J"]), "columns must be printable"),
    "columns a number": (with_network(columns=7), "damaged"),
    "label column of no table": (
        with_network(label_column="kind"),
        "label_column must be one more column of the net's",
    ),
    "dtype of nothing": (with_network(dtype=","), "damaged"),
    "dtype a list": (with_network(dtype=["float32"]), "damaged"),
    "scaling text": (with_network(scaling=["a", "b"]), "damaged"),
    "scaling empty": (with_network(scaling=[]), "damaged"),
    "scaling a number": (with_network(scaling=1), "damaged"),
    "target range empty": (with_network(target_range=[]), "damaged"),
    "target range of three": (with_network(target_range=[0, 1, 2]), "damaged"),
    "label of two lines": (with_network(labels=["a\nb", "c", "d"]), "must be printable"),
    "label that moves the cursor": (with_network(labels=["\x1b[2J", "c", "d"]), "must be printable"),
    "label that is no text": (with_network(labels=["\ud800", "c", "d"]), "must be printable"),
    "an argument too many": (with_network(evil=1), "damaged"),
    "device chosen by the file": (with_network(device="cuda"), "damaged"),
    "tensor of another dtype": (with_tensor(dtype="F64"), "layers.0.W is missing or not"),
    "tensor of another shape": (with_tensor(shape=[5, 4]), "layers.0.W is missing or not"),
    "tensor before the file": (with_tensor(data_offsets=[-80, 0]), "lies outside"),
    "tensor after the file": (with_tensor(data_offsets=[10**9, 10**9 + 80]), "lies outside"),
    "tensor of no offsets": (with_tensor(data_offsets="all"), "lies outside"),
    "tensor not finite": (not_finite, "not finite"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_and_hostile_files_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "model.safetensors"
    save(MLP([5, 4, 3]), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    """Random bytes changed in the header: a clear refusal, or a net that works; never another exception."""
    path = tmp_path / "model"
    save(MLP([5, 4, 3]), path)
    content, chance = path.read_bytes(), random.Random(1)  # noqa: S311 - damage, not secrets
    header = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(header)] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            load_model(path).query(np.zeros(5))
        except ModelFileError:
            refused += 1
    assert refused > 250


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, device: str) -> None:
    net = MLP([5, 4, 3], device=device)
    net.layers[1].W[...] = float("nan")
    with pytest.raises(ValueError, match="layers.1.W holds values that are not finite: the training diverged"):
        save(net, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere: can't be read \(No such file"):
        load_model(tmp_path / "nowhere")
    for path in (tmp_path, "a\0b", "/dev/zero"):
        with pytest.raises(ModelFileError, match="can't be read"):
            load_model(path)


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    save(MLP([5, 3], seed=1), path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(XpnnError, match=r"can't be written \(No space left on device\)"):
        save(MLP([5, 3], seed=2), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    with pytest.raises(XpnnError, match="can't be written"):
        save(MLP([5, 3]), tmp_path / "no" / "folder")


def test_metadata_are_kept_beside_the_net_and_never_hide_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(MLP([3, 2]), path, {"author": "née", "format": "another", "network": "{}"})
    found = read_tensors(path).metadata
    assert found["author"] == "née"
    assert found["format"] == FORMAT
    assert load_model(path).sizes == (3, 2)
