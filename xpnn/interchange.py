"""Weights from and to PyTorch, scikit-learn and Keras.

Only `to_torch` needs the peer to be installed: what comes from one says by itself what it is. Each layer of these peers
is an affine map and an activation, as here; a net is made of the layers in their order, and answers as the peer does to
the rounding of its dtype. What xpnn can't compute is refused, never left out.

Floats are used as they come, so give `query` the numbers that the peer was given, as floats. Whole numbers are pixels,
and the net's `scaling` says what becomes of them: by default pixel / 255. Give scaling=(1, 0) if the peer took them as
they are, and scaling=(1 / 127.5, -1) if it took them from -1 to 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import as_floats, to_host
from xpnn.errors import DataError, XpnnError
from xpnn.network import MLP


class _Affine(NamedTuple):
    """A layer of the peer's: W (n_out, n_in), b (n_out,) or None, and the name that it has there."""

    name: str
    W: NDArray[Any]
    b: NDArray[Any] | None


def from_torch(
    state_dict: Mapping[str, Any], *, hidden: str | Sequence[str] = "relu", output: str = "softmax", **settings: Any
) -> MLP:
    """A net with the weights of a PyTorch model whose layers are Linear, and the activations given here.

    state_dict: of `model.state_dict()`, or any mapping of names to tensors or NumPy arrays, layer after layer: a weight
                (n_out, n_in), after it its bias (n_out,) if it has one. Those of a Sequential, "0.weight", "0.bias",
                "2.weight", may be in any order, such as that of a safetensors file: their numbers count.
    hidden, output: as in `MLP`, since a state dict doesn't say. A model that was trained with CrossEntropyLoss ends in
                a Linear layer: with the output softmax, `query` gives its probabilities, with identity what it does.
                Likewise one trained with PoissonNLLLoss, unless log_input=False: with the output exp, its counts.
    settings:   of `MLP`: scaling, standardization, labels, device, dtype and so on. Without a dtype the net has the
                weights': float64, or else float32, which holds every bfloat16 and float16 exactly.

    Raises DataError for tensors that are no such layers, TypeError for what is no state dict, ValueError as `MLP` does.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"from_torch takes a state dict, not {type(state_dict).__name__}: give model.state_dict()")
    inner = [repr(name) for name, part in state_dict.items() if isinstance(part, Mapping)]
    if inner:
        names = ", ".join(inner)
        raise TypeError(f"from_torch takes a state dict, not one that holds others, {names}: give the model's")
    return _net(_paired(_in_order(state_dict)), hidden, output, settings)


def _in_order(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Sequential's tensors by the numbers in their names, each weight before its bias; others as they are."""
    places = {name: re.fullmatch(r"(.*\.)?([0-9]+)\.(weight|bias)", name) for name in tensors}
    found = {name: place.groups() for name, place in places.items() if place is not None}
    if len(found) < len(tensors) or len({prefix for prefix, _, _ in found.values()}) > 1:
        return tensors
    order = sorted(tensors, key=lambda name: (int(found[name][1]), found[name][2] == "bias"))
    return {name: tensors[name] for name in order}


def to_torch(net: MLP) -> dict[str, Any]:
    """The weights as a state dict, on the CPU, which a plain nn.Sequential loads: "0.weight", "0.bias", "2.weight", ...

    The model that loads it is nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10), nn.Softmax(dim=1)),
    say, with bias=False for a net that has none, and dtype=torch.float64 for a net of float64. What the net does to
    pixels or to a table's values before its first layer is not in it: see net.scaling and net.standardization.

    Raises XpnnError if PyTorch is missing.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise XpnnError("to_torch needs PyTorch; pip install torch, or as pytorch.org says for a GPU") from error
    arrays = {}
    for i, layer in enumerate(net.layers):
        for name, array in (("weight", layer.W), ("bias", layer.b)):
            if array is not None:
                arrays[f"{2 * i}.{name}"] = torch.from_numpy(to_host(array).copy())  # not the net's own memory
    return arrays


def from_sklearn(mlp: Any, **settings: Any) -> MLP:
    """A net with the weights, the activations and the classes of a fitted MLPClassifier or MLPRegressor.

    `query` gives what predict_proba does, or predict for a regressor, (n, n_out). Of two classes scikit-learn has one
    unit, the second's; the net has two, which softmax makes the same probabilities: the first one's weights are 0.

    settings: of `MLP`, as in `from_torch`; columns=mlp.feature_names_in_ names the inputs if it was fitted on a table.

    Raises ValueError for what is not fitted.
    """
    if not hasattr(mlp, "coefs_"):
        raise ValueError(
            f"{type(mlp).__name__} has no weights: give an MLPClassifier or MLPRegressor, and fit it first"
        )
    output = mlp.out_activation_
    if output not in _SKLEARN_ACTIVATIONS:
        raise ValueError(f"the output activation {output!r} is none of xpnn's: {', '.join(_SKLEARN_ACTIVATIONS)} are")
    pairs = zip(mlp.coefs_, mlp.intercepts_, strict=True)
    layers = [_Affine(f"coefs_[{i}]", W.T, b) for i, (W, b) in enumerate(pairs)]
    classes = getattr(mlp, "classes_", ())
    if output == "logistic" and len(classes) == 2 and len(mlp.intercepts_[-1]) == 1:
        name, W, b = layers[-1]
        layers[-1] = _Affine(name, *(np.concatenate([np.zeros_like(array), array]) for array in (W, b)))
        output = "softmax"
    if len(classes):
        settings = {"labels": tuple(map(str, classes))} | settings
    return _net(layers, _SKLEARN_ACTIVATIONS[mlp.activation], _SKLEARN_ACTIVATIONS[output], settings)


_SKLEARN_ACTIVATIONS = {
    "exp": "exp",
    "identity": "identity",
    "logistic": "sigmoid",
    "relu": "relu",
    "softmax": "softmax",
    "tanh": "tanh",
}


def from_keras(
    source: Any, *, hidden: str | Sequence[str] | None = None, output: str | None = None, **settings: Any
) -> MLP:
    """A net with the weights of a Keras 3 model, and its activations.

    source:   a Sequential model that has been built; its layers, or those of another model that follow one another, in
              a list; or its weights, the arrays of `model.get_weights()`, each kernel (n_in, n_out) before its bias.
              Layers may be Dense, the activations (Activation, ReLU, LeakyReLU, ELU, Softmax), Flatten, what does
              nothing in queries (Dropout and the like), and before the first Dense a Rescaling, which becomes the net's
              `scaling`: the net then takes the same uint8 pixels.
    hidden, output: as in `MLP`, instead of what the layers say; arrays say nothing, and are taken for relu and softmax.
    settings: of `MLP`, as in `from_torch`.

    Raises DataError for other layers and for activations that xpnn lacks, ValueError as `MLP` does, TypeError for what
    is neither a Sequential model nor a list.
    """
    layers = getattr(source, "layers", source) if type(source).__name__ == "Sequential" else source
    if not isinstance(layers, list | tuple):
        remedy = "give from_keras(model.layers) if its layers follow one another"
        raise TypeError(f"from_keras takes a Sequential model or a list, not {type(source).__name__}: {remedy}")
    if all(hasattr(layer, "get_config") for layer in layers):
        affine, activations, scaling = _keras_layers(layers)
        settings = scaling | settings
        return _net(affine, hidden or activations[:-1], output or activations[-1], settings)
    kernels = {f"weights[{i}]": array.T if np.ndim(array) == 2 else array for i, array in enumerate(layers)}
    return _net(_paired(kernels), hidden or "relu", output or "softmax", settings)


def _keras_layers(layers: Sequence[Any]) -> tuple[list[_Affine], list[str], dict[str, Any]]:
    """The affine maps, an activation for each, and the setting `scaling` where there is a Rescaling."""
    affine: list[_Affine] = []
    activations: list[str] = []
    scaling: dict[str, Any] = {}
    for layer in layers:
        kind, first = type(layer).__name__, not affine
        if kind == "Dense":
            affine.append(_dense(layer))
            activations.append(_keras_activation(layer.activation, layer.name))
        elif kind == "Rescaling" and first and not scaling:
            config = layer.get_config()
            scaling = {"scaling": (config["scale"], config["offset"])}
        elif kind in _KERAS_ACTIVATION_LAYERS and not first and activations[-1] == "identity":
            activations[-1] = _keras_activation(layer, layer.name)
        elif kind not in _NOTHING_IN_QUERIES and not _keeps_order(layer):
            raise DataError(f"{layer.name}: a {kind} in this place is nothing that a net of xpnn's can do")
    if not affine:
        raise DataError("there is no Dense among the layers")
    return affine, activations, scaling


_NOTHING_IN_QUERIES = {"InputLayer", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
_KERAS_ACTIVATION_LAYERS = {"Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"}
_KERAS_FUNCTIONS = {
    "elu": "elu",
    "exponential": "exp",
    "gelu": "gelu",
    "leaky_relu": "leaky-relu:0.2",  # Keras's own default
    "linear": "identity",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softmax": "softmax",
    "softplus": "softplus",
    "tanh": "tanh",
}


def _keeps_order(layer: Any) -> bool:
    """Whether it is a Flatten as NumPy's reshape is; with channels_first it moves the channels to the end first."""
    return type(layer).__name__ == "Flatten" and layer.get_config()["data_format"] == "channels_last"


def _dense(layer: Any) -> _Affine:
    match layer.get_weights():
        case [kernel]:
            return _Affine(layer.name, kernel.T, None)
        case [kernel, bias]:
            return _Affine(layer.name, kernel.T, bias)
        case weights:
            problem = f"it has {len(weights)} arrays of weights, not a kernel and a bias"
            raise DataError(f"{layer.name}: {problem}; build the model, and quantise it after this, not before")


def _keras_activation(activation: Any, name: str) -> str:
    """What an activation is called here: a function of Keras, or a layer that is an activation."""
    kind, found = type(activation).__name__, None
    if kind == "Activation":
        return _keras_activation(activation.activation, name)
    if kind in _KERAS_ACTIVATION_LAYERS:
        found = _keras_activation_layer(kind, activation.get_config())
    elif getattr(activation, "__module__", "").startswith("keras."):  # another's function may be called the same
        found = _KERAS_FUNCTIONS.get(getattr(activation, "__name__", ""))
    if found is None:
        called = getattr(activation, "__name__", kind)
        remedy = "give model.get_weights() with hidden= and output= if one of these is the same"
        raise DataError(f"{name}: the activation {called} as it is set there is none of xpnn's; {remedy}")
    return found


def _keras_activation_layer(kind: str, config: dict[str, Any]) -> str | None:
    match kind:
        case "ReLU" if config["max_value"] is None and not config["threshold"]:
            return f"leaky-relu:{config['negative_slope']}" if config["negative_slope"] else "relu"
        case "LeakyReLU":
            return f"leaky-relu:{config['negative_slope']}"
        case "ELU":
            return f"elu:{config['alpha']}"
        case "Softmax" if config["axis"] == -1:
            return "softmax"
    return None


def _paired(tensors: Mapping[str, Any]) -> list[_Affine]:
    """The layers of named arrays in order: each a weight (n_out, n_in) and the bias (n_out,) after it, if any."""
    layers: list[_Affine] = []
    for name, tensor in tensors.items():
        array = _on_host(tensor)
        if array.ndim == 2:
            layers.append(_Affine(name, array, None))
        elif layers and _is_bias(layers[-1], name, array):
            layers[-1] = layers[-1]._replace(b=array)
        else:
            problem = "it is neither a weight (n_out, n_in) nor the bias (n_out,) of the weight before it"
            raise DataError(f"{name} has shape {array.shape}: {problem}; only nets of dense layers can be taken over")
    if not layers:
        raise DataError("there are no weights in it")
    return layers


def _is_bias(layer: _Affine, name: str, array: NDArray[Any]) -> bool:
    """By its shape, and by the part of its name before the last dot: 1.weight is of another kind of layer than 0."""
    same = layer.name.rpartition(".")[0] == name.rpartition(".")[0]
    return same and layer.b is None and array.shape == layer.W.shape[:1]


def _on_host(tensor: Any) -> NDArray[Any]:
    """A tensor of PyTorch's, or what is an array already, as a NumPy array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    return np.asarray(tensor)


def _net(layers: Sequence[_Affine], hidden: str | Sequence[str], output: str, settings: dict[str, Any]) -> MLP:
    """The layers as a net. Raises DataError unless each takes what the one before it gives, in finite floats."""
    for before, after in pairwise(layers):
        if after.W.shape[1] != before.W.shape[0]:
            problem = f"{after.name} takes {after.W.shape[1]} inputs, but {before.name} before it has"
            raise DataError(f"{problem} {before.W.shape[0]} outputs: these layers don't follow one another")
    arrays = [array for layer in layers for array in layer[1:] if array is not None]
    if any(array.dtype.kind != "f" for array in arrays):
        raise DataError(f"weights must be floats, not {', '.join(sorted({str(array.dtype) for array in arrays}))}")
    single = max(array.itemsize for array in arrays) <= 4
    net = MLP(
        [layers[0].W.shape[1], *(len(layer.W) for layer in layers)],
        hidden=hidden,
        output=output,
        bias=any(layer.b is not None for layer in layers),
        **{"dtype": "float32" if single else "float64"} | settings,
    )
    with net.device.active():
        for (name, W, b), own in zip(layers, net.layers, strict=True):
            for array, place in zip((W, b), own, strict=True):
                if array is not None and place is not None:  # a bias that is missing stays 0, as new ones are
                    place[...] = net.xp.asarray(_finite(as_floats(array, net.dtype), name))
    return net


def _finite(array: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds weights that are not finite, or too large for {array.dtype}")
    return array
