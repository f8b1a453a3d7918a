"""Makes activations_and_losses.json with PyTorch, in float64: values and derivatives of activations, and what a layer
learns from a loss, with weights of the rows and with smoothed labels.

    python tests/reference/activations_and_losses.py

The losses are measured behind one layer z = x W^T + b without a hidden one, and y = f(z). Their gradient is that of
sum_i w_i L_i / n. PyTorch has no focal loss: that one is its formula under PyTorch's automatic differentiation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "elu": functional.elu,
    "elu:0.5": lambda z: functional.elu(z, 0.5),
    "exp": torch.exp,
    "gelu": functional.gelu,
    "gelu-tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "identity": lambda z: z * 1,
    "leaky-relu": functional.leaky_relu,
    "leaky-relu:0.2": lambda z: functional.leaky_relu(z, 0.2),
    "mish": functional.mish,
    "relu": functional.relu,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softmax": lambda z: functional.softmax(z, dim=1),
    "softplus": functional.softplus,
    "tanh": torch.tanh,
}


def focal(z: Any, t: Any, gamma: float) -> Any:
    log = functional.log_softmax(z, dim=1)
    return -(t * (1 - log.exp()) ** gamma * log)


def binary_focal(z: Any, t: Any, gamma: float) -> Any:
    p = torch.sigmoid(z)
    return -(t * (1 - p) ** gamma * functional.logsigmoid(z) + (1 - t) * p**gamma * functional.logsigmoid(-z))


def cross_entropy(z: Any, t: Any) -> Any:
    return functional.cross_entropy(z, t, reduction="none")[:, None]


def poisson(z: Any, t: Any) -> Any:
    """PyTorch leaves out t log t - t, which no weight has a part in."""
    return functional.poisson_nll_loss(z, t, log_input=True, reduction="none") + torch.xlogy(t, t) - t


LOSSES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {  # name: output, and losses from z and t
    "absolute-error": ("identity", lambda z, t: functional.l1_loss(z, t, reduction="none")),
    "binary-cross-entropy": (
        "sigmoid",
        lambda z, t: functional.binary_cross_entropy_with_logits(z, t, reduction="none"),
    ),
    "binary-focal": ("sigmoid", lambda z, t: binary_focal(z, t, 2.0)),
    "binary-focal:0.5": ("sigmoid", lambda z, t: binary_focal(z, t, 0.5)),
    "cross-entropy": ("softmax", cross_entropy),
    "focal": ("softmax", lambda z, t: focal(z, t, 2.0)),
    "focal:0.5": ("softmax", lambda z, t: focal(z, t, 0.5)),
    "huber": ("tanh", lambda z, t: functional.huber_loss(torch.tanh(z), t, reduction="none")),
    "huber:0.3": ("identity", lambda z, t: functional.huber_loss(z, t, reduction="none", delta=0.3)),
    "poisson": ("exp", poisson),
    "squared-error": ("gelu", lambda z, t: functional.mse_loss(functional.gelu(z), t, reduction="none") / 2),
}


def activation_figures() -> dict[str, Any]:
    """f on rows of three, and the derivative of the sum of error * f."""
    z = torch.cat([torch.linspace(-8, 8, 33, dtype=torch.float64), torch.tensor([-30.0, 30.0, 0.1])]).reshape(12, 3)
    error = torch.linspace(-1, 2, 36, dtype=torch.float64).reshape(12, 3)
    results = {}
    for name, function in ACTIVATIONS.items():
        leaf = z.clone().requires_grad_()
        y = function(leaf)
        (gradient,) = torch.autograd.grad((error * y).sum(), leaf)
        results[name] = {"y": y.tolist(), "delta": gradient.tolist()}
    return {"z": z.tolist(), "error": error.tolist(), "results": results}


def smoothed(t: Any, output: str, smoothing: float) -> Any:
    return t * (1 - smoothing) + smoothing / (t.shape[1] if output == "softmax" else 2)


def loss_figures() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    n, n_in, n_out = 9, 4, 3

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, W, b = normal(n, n_in), normal(n_out, n_in), normal(n_out)
    labels = torch.randint(n_out, (n,), generator=generator)
    weights = torch.rand(n, generator=generator, dtype=torch.float64) * 3
    weights[2] = 0.0
    results = []
    for name, (output, losses) in LOSSES.items():
        for w in (None, weights):
            for smoothing in (0.0, 0.2) if output in ("softmax", "sigmoid") else (0.0,):
                counts = torch.ones(n, dtype=torch.float64) if w is None else w
                leaves = W.clone().requires_grad_(), b.clone().requires_grad_()
                t = smoothed(functional.one_hot(labels, n_out).double(), output, smoothing)
                rows = losses(x @ leaves[0].T + leaves[1], t).sum(dim=1)
                gradients = torch.autograd.grad((counts * rows).sum() / n, leaves)
                results.append(
                    {
                        "loss": name,
                        "output": output,
                        "weighted": w is not None,
                        "label_smoothing": smoothing,
                        "mean_loss": float((counts * rows).sum().detach() / counts.sum()),
                        "grad_W": gradients[0].tolist(),
                        "grad_b": gradients[1].tolist(),
                    }
                )
    # PyTorch's own label smoothing agrees with the targets made above
    z = x @ W.T + b
    own = functional.cross_entropy(z, labels, label_smoothing=0.2)
    ours = cross_entropy(z, smoothed(functional.one_hot(labels, n_out).double(), "softmax", 0.2)).mean()
    assert abs(float(own - ours)) < 1e-14
    given = {"x": x, "W": W, "b": b, "labels": labels, "weights": weights}
    return {**{key: value.tolist() for key, value in given.items()}, "results": results}


def main() -> None:
    figures = {
        "torch": torch.__version__.partition("+")[0],
        "activations": activation_figures(),
        "losses": loss_figures(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
