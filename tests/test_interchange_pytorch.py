"""Weights from and to PyTorch, whose own forward pass the answers are compared with."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES
from numpy.typing import NDArray
from pages import run_python

from xpnn import MLP, DataError, from_torch, load, to_host, to_torch

torch = pytest.importorskip("torch", reason="PyTorch is not installed; nox -s interchange installs it")
nn = torch.nn

TOLERANCE = {"float32": 2e-6, "float64": 1e-13}  # of sums of size 1 to 10, in another order


class Exp(nn.Module):  # type: ignore[misc, name-defined]
    """PyTorch has no such module."""

    def forward(self, z: Any) -> Any:
        return z.exp()


MODULES = {
    "elu": nn.ELU,
    "elu:0.5": lambda: nn.ELU(0.5),
    "exp": Exp,
    "gelu": nn.GELU,
    "gelu-tanh": lambda: nn.GELU(approximate="tanh"),
    "identity": nn.Identity,
    "leaky-relu": nn.LeakyReLU,
    "leaky-relu:0.2": lambda: nn.LeakyReLU(0.2),
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(dim=1),
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def sequential(net: MLP) -> Any:
    """A plain model of the net's shape, with weights of its own."""
    torch.manual_seed(0)
    modules = []
    for (n_in, n_out), name in zip(pairwise(net.sizes), (*net.hidden, net.output), strict=True):
        modules += [nn.Linear(n_in, n_out, bias=net.bias, dtype=getattr(torch, net.dtype)), MODULES[name]()]
    return nn.Sequential(*modules)


def forward(model: Any, x: NDArray[Any]) -> NDArray[Any]:
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(x)).numpy())


def inputs(n_in: int, dtype: str) -> NDArray[Any]:
    return np.random.default_rng(2).normal(size=(100, n_in)).astype(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_every_activation_from_and_to_pytorch(name: str, dtype: str) -> None:
    hidden = name if name in HIDDEN_NAMES else "relu"
    shape = MLP([20, 30, 15, 4], hidden=hidden, output=name, dtype=dtype)
    model, x = sequential(shape), inputs(20, dtype)

    net = from_torch(model.state_dict(), hidden=hidden, output=name)
    copy = sequential(shape)
    nn.init.zeros_(copy[0].weight)
    copy.load_state_dict(to_torch(net), strict=True)

    assert (net.dtype, net.sizes) == (dtype, shape.sizes)
    share = TOLERANCE[dtype] if name == "exp" else 0  # which makes a share of what is added to its sums
    np.testing.assert_allclose(net.query(x), forward(model, x), rtol=share, atol=TOLERANCE[dtype])
    assert (forward(copy, x) == forward(model, x)).all()


@pytest.mark.parametrize("bias", [True, False])
def test_a_net_goes_there_and_back(device: str, bias: bool) -> None:
    net = MLP([784, 30, 10], bias=bias, device=device, seed=4)
    pixels = np.random.default_rng(1).integers(0, 256, (50, 784), dtype=np.uint8)
    model = sequential(net)

    model.load_state_dict(to_torch(net), strict=True)

    expected = forward(model, (pixels / 255).astype("float32"))
    np.testing.assert_allclose(to_host(net.query(pixels)), expected, rtol=0, atol=TOLERANCE["float32"])
    assert (from_torch(to_torch(net)).parameters == to_host(net.parameters)).all()


def test_training_there_leaves_the_net_as_it_was() -> None:
    net = MLP([6, 5, 3])
    before = net.parameters.copy()
    state = to_torch(net)

    for tensor in state.values():
        tensor.zero_()

    assert (net.parameters == before).all()
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in state.values())


class Named(nn.Module):  # type: ignore[misc, name-defined]
    """A model whose layers have names of its own, as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(torch.tanh(self.first(x))))


def test_a_model_with_names_of_its_own_that_gives_logits() -> None:
    model, x = Named().eval(), inputs(6, "float32")

    logits, probabilities = (from_torch(model.state_dict(), hidden="tanh", output=o) for o in ("identity", "softmax"))

    np.testing.assert_allclose(logits.query(x), forward(model, x), rtol=0, atol=1e-6)
    softmax = forward(nn.Sequential(model, nn.Softmax(dim=1)), x)
    np.testing.assert_allclose(probabilities.query(x), softmax, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_held_exactly(dtype: str) -> None:
    state = {name: tensor.to(getattr(torch, dtype)) for name, tensor in Named().state_dict().items()}

    net = from_torch(state)

    assert net.dtype == "float32"
    assert (net.layers[0].W == state["first.weight"].float().numpy()).all()


def test_parameters_that_need_gradients_are_taken() -> None:
    model = Named()

    net = from_torch(OrderedDict(model.named_parameters()))

    assert (net.layers[1].W == model.last.weight.detach().numpy()).all()


@pytest.mark.parametrize("other", [nn.BatchNorm1d(5), nn.LayerNorm(5), nn.PReLU(), nn.Conv1d(5, 3, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_model_with_other_layers_is_refused(other: Any, bias: bool) -> None:
    model = nn.Sequential(nn.Linear(6, 5, bias=bias), other, nn.Linear(5, 3))

    with pytest.raises(DataError, match=r"^1\.weight has shape .*; only nets of dense layers can be taken over$"):
        from_torch(model.state_dict())


def test_the_page(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    names = run_python("from-and-to-pytorch.md")

    x = load("digits").test.inputs  # type: ignore[union-attr]
    assert np.abs(names["net"].query(x) - names["probabilities"].numpy()).max() < 1e-5
    assert names["accuracy"] > 0.9
