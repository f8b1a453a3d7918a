"""Model files: safetensors with named layers, and in the metadata all that is needed to use the model again.

A checkpoint of a run is one, too: beside the model it has the run's state (`xpnn.state_file`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Device, to_host
from xpnn.errors import ModelFileError
from xpnn.errors import Path as PathLike
from xpnn.layers import Layer, layers_of, parameter_count
from xpnn.network import MLP
from xpnn.safetensors import CHECKSUM, DTYPES, Tensors, damaged, read_tensors, write_tensors
from xpnn.scaling import fold_target_scaling

FORMAT = "xpnn-mlp-1"
_MAX_LAYERS = 1 << 12  # each of which takes some hundred bytes more than its weights


def save(net: MLP, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write the net to a safetensors file, whole or not at all.

    metadata: what else is to be kept in the file, by names that the file hasn't got yet.

    Raises XpnnError if the file can't be written, DeviceError if the net's device fails, ValueError if a weight is not
    finite; a file that was there before is then untouched.
    """
    tensors = named_tensors(net.layers)
    broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"{broken[0]} holds values that are not finite: the training diverged, nothing was saved")
    write_tensors(path, {**(metadata or {}), **description_of(net)}, tensors)


def description_of(net: MLP) -> dict[str, str]:
    """The metadata of a model file."""
    return {"format": FORMAT, "network": json.dumps(net.settings())}


def named_tensors(layers: Sequence[Layer]) -> dict[str, NDArray[Any]]:
    """The layers on the host, as layers.0.W, layers.0.b, layers.1.W, ..."""
    return {
        f"layers.{i}.{letter}": to_host(array)
        for i, layer in enumerate(layers)
        for letter, array in layer._asdict().items()
        if array is not None
    }


def load_model(path: PathLike, device: str | Device = "cpu") -> MLP:
    """Read a net that `save` wrote, or the one in a run's checkpoint, onto a device.

    Raises ModelFileError if the file is missing, damaged or not such a model, DeviceError as `MLP` does.
    """
    place = Device.named(device)
    found = read_tensors(path)
    net = model_in(found, place)
    if "target_scaling" in found.metadata:
        scaling = found.text("target_scaling")
        try:
            fold_target_scaling(net, scaling["means"], scaling["deviations"])
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise damaged(path, f"its target_scaling is wrong: {error!r}") from error
    return net


def model_in(found: Tensors, place: Device) -> MLP:
    """The net in a file, on a device. Raises what `load_model` raises."""
    path, body = found.path, found.body
    if found.metadata.get("format") != FORMAT:
        form = str(found.metadata.get("format"))[:40]
        raise ModelFileError(
            f"{path}: this is a safetensors file, but not an xpnn model (format {form!r}, not {FORMAT!r})"
        )
    settings, vectors = found.text("network"), vectors_in(found)
    if vectors and CHECKSUM not in found.metadata:
        raise damaged(path, "a checkpoint's checksum is missing")
    try:
        sizes, bias = settings["sizes"], settings["bias"]
        # A text or a list, times a size, would fill the memory; so would the names of outputs that have none.
        if not isinstance(bias, bool) or not all(type(size) is int for size in sizes):
            raise TypeError("sizes must be whole numbers, and bias true or false")
        if settings["dtype"] not in DTYPES:
            raise ValueError(f"unknown dtype {settings['dtype']}")
        itemsize = np.dtype(settings["dtype"]).itemsize
        count = parameter_count(sizes, bias)
        # Before the net is made: a header may claim layers that no memory could hold.
        if count * itemsize * (1 + len(vectors)) != len(body):
            raise damaged(path, f"its {len(body)} bytes of weights don't fit the network {sizes}")
        if len(sizes) > _MAX_LAYERS or len(settings["labels"]) != sizes[-1]:
            raise ValueError("too many layers, or not a label for each output")
        net = MLP(**settings, device=place)
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise damaged(path, f"its description of the network is wrong: {error!r}") from error
    flat = np.empty(count, dtype=net.dtype)
    for name, tensor in named_tensors(layers_of(flat, net.sizes, net.bias)).items():
        tensor[...] = found.tensor(name, tensor)
    with net.device.active():
        net.parameters[...] = net.xp.asarray(flat)
    return net


def vectors_in(found: Tensors) -> list[str]:
    """The names of the vectors of a run's state; a model alone has none."""
    return [name for name in found.entries if not name.startswith("layers.")]
