"""Makes optimizer_trajectories.json with PyTorch: where its optimizers stand after 100 steps, in float64.

    python tests/reference/optimizer_trajectories.py

The function that is descended is sum of a_i (p_i - 1)^2 / 2 + sin(p_i) from p = -2 to 2; its gradient is written out,
so that the two programs differ in the optimizer alone. Each descends twice, at a constant rate and at one that falls
in a straight line to 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "sgd with momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "nesterov with less momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.5, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.3),
    "adagrad with a large epsilon": lambda p: torch.optim.Adagrad(p, lr=0.3, eps=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02),
    "rmsprop with momentum": lambda p: torch.optim.RMSprop(p, lr=0.005, alpha=0.9, eps=1e-3, momentum=0.8),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adam with other betas": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.99), eps=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02),
    "adamw with more decay": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.5),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.02),
    "nadam with other settings": lambda p: torch.optim.NAdam(
        p, lr=0.05, betas=(0.5, 0.99), eps=1e-3, momentum_decay=0.1
    ),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.02),
    "radam with other betas": lambda p: torch.optim.RAdam(p, lr=0.02, betas=(0.5, 0.95), eps=0.1),
    "radam that hardly rectifies": lambda p: torch.optim.RAdam(p, lr=0.02, betas=(0.9, 0.7)),
    "radam that never rectifies": lambda p: torch.optim.RAdam(p, lr=0.02, betas=(0.9, 0.6)),
}


def descend(make: Callable[[Any], Any], falling: bool) -> list[float]:
    """Where the optimizer stands after 100 steps."""
    p = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    a = torch.linspace(0.1, 5, 9, dtype=torch.float64)
    optimizer = make([p])
    rate = optimizer.param_groups[0]["lr"]
    for step in range(100):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / 100) if falling else rate
        p.grad = (a * (p - 1) + torch.cos(p)).detach()
        optimizer.step()
    found: list[float] = p.tolist()
    assert all(map(math.isfinite, found))
    return found


def main() -> None:
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
    results = {
        "at a constant rate": {name: descend(make, falling=False) for name, make in OPTIMIZERS.items()},
        "at a falling rate": {name: descend(make, falling=True) for name, make in OPTIMIZERS.items()},
    }
    file = Path(__file__).with_suffix(".json")
    version = torch.__version__.partition("+")[0]
    file.write_text(json.dumps({"torch": version, "after 100 steps": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
