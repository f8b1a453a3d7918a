"""Model files: safetensors with named layers, and in the metadata all that is needed to use the model again.

A safetensors file is a length (8 bytes, little-endian), a JSON header of that length (for each tensor its
dtype, shape and place, and a `__metadata__` of strings), and the tensors' bytes. Reading one runs no code.
The reader trusts nothing: every number is checked against the file's true size before memory is asked for.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Device, to_host
from xpnn.errors import ModelFileError
from xpnn.errors import Path as PathLike
from xpnn.files import write_atomically
from xpnn.layers import Layer, layers_of, parameter_count
from xpnn.network import MLP

FORMAT = "xpnn-mlp-1"
_DTYPES = {"float32": "F32", "float64": "F64"}
_MAX_HEADER = 1 << 26  # 100,000 columns with their names, means and deviations need a tenth of it


def save(net: MLP, path: PathLike) -> None:
    """Write the net to a safetensors file, whole or not at all.

    Raises XpnnError if the file can't be written, DeviceError if the net's device fails, ValueError if a weight is not
    finite; a file that was there before is then untouched.
    """
    tensors = _named_tensors(net.layers)
    broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"{broken[0]} holds values that are not finite: the training diverged, nothing was saved")
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "network": json.dumps(net.settings())}}
    start = 0
    for name, tensor in tensors.items():
        place = [start, start + tensor.nbytes]
        header[name] = {"dtype": _DTYPES[net.dtype], "shape": tensor.shape, "data_offsets": place}
        start = place[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    write_atomically(path, b"".join([len(text).to_bytes(8, "little"), text, *(t.tobytes() for t in tensors.values())]))


def _named_tensors(layers: Sequence[Layer]) -> dict[str, NDArray[Any]]:
    """The layers on the host, little-endian, as layers.0.W, layers.0.b, layers.1.W, ..."""
    tensors = {}
    for i, layer in enumerate(layers):
        for letter, array in layer._asdict().items():
            if array is not None:
                tensors[f"layers.{i}.{letter}"] = to_host(array).astype(f"<f{array.itemsize}", copy=False)
    return tensors


def load_model(path: PathLike, device: str | Device = "cpu") -> MLP:
    """Read a net that `save` wrote, onto a device.

    Raises ModelFileError if the file is missing, damaged or not such a model, DeviceError as `MLP` does.
    """
    place = Device.named(device)
    header, body = _read_safetensors(Path(path))
    settings = _read_settings(header, path)
    try:
        sizes, bias = settings["sizes"], settings["bias"]
        if settings["dtype"] not in _DTYPES:
            raise ValueError(f"unknown dtype {settings['dtype']}")
        itemsize = np.dtype(settings["dtype"]).itemsize
        # Before the net is made: a header may claim layers that no memory could hold.
        if parameter_count(sizes, bias) * itemsize != len(body):
            raise _damaged(path, f"its {len(body)} bytes of weights don't fit the network {sizes}")
        net = MLP(**settings, device=place)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise _damaged(path, f"its description of the network is wrong: {error!r}") from error
    flat = np.empty(len(body) // itemsize, dtype=f"<f{itemsize}")
    for name, tensor in _named_tensors(layers_of(flat, net.sizes, net.bias)).items():
        tensor[...] = _tensor(header, body, name, tensor, path)
    with net.device.active():
        net.parameters[...] = net.xp.asarray(flat)
    return net


def _damaged(path: PathLike, problem: str) -> ModelFileError:
    return ModelFileError(f"{path}: the file is damaged ({problem[:200]}); copy it again, or train anew")


def _read_safetensors(path: Path) -> tuple[dict[str, Any], bytes]:
    """The parsed header and the bytes after it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")  # some devices never end
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text, body = (file.read(length), file.read()) if length <= _MAX_HEADER else (b"", b"")
    except (OSError, ValueError) as error:  # a NUL byte inside the name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path}: can't be read ({reason}); check the name") from error
    try:
        header = json.loads(text)
        if not isinstance(header, dict):
            raise TypeError("the header is no object")
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: this is no safetensors file, or it is cut off; give one of xpnn train"
        ) from error
    return header, body


def _read_settings(header: dict[str, Any], path: PathLike) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        found = metadata.get("format") if isinstance(metadata, dict) else None
        raise ModelFileError(
            f"{path}: this is a safetensors file, but not an xpnn model (format {str(found)[:40]!r}, not {FORMAT!r})"
        )
    try:
        settings = json.loads(metadata["network"])
        if not isinstance(settings, dict):
            raise TypeError("not an object")
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its description of the network is wrong: {error!r}") from error
    return settings


def _tensor(header: dict[str, Any], body: bytes, name: str, like: NDArray[Any], path: PathLike) -> NDArray[Any]:
    """The tensor `name`, checked against the size and dtype that the net needs."""
    entry = header.get(name)
    expected = {"dtype": _DTYPES[like.dtype.name], "shape": list(like.shape)}
    if not isinstance(entry, dict) or {key: entry.get(key) for key in expected} != expected:
        raise _damaged(path, f"the tensor {name} is missing or not {expected}")
    match entry.get("data_offsets"):
        case [int(start), int(stop)] if 0 <= start and stop - start == like.nbytes and stop <= len(body):
            values = np.frombuffer(body, dtype=like.dtype, count=math.prod(like.shape), offset=start)
        case _:
            raise _damaged(path, f"the tensor {name} lies outside the file")
    if not np.isfinite(values).all():
        raise _damaged(path, f"the tensor {name} holds values that are not finite")
    return values.reshape(like.shape)
