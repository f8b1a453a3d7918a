"""Makes optimizer_trajectories.json with PyTorch: where its optimizers stand after 100 steps, in float64.

    python tests/reference/optimizer_trajectories.py

The function that is descended is sum of a_i (p_i - 1)^2 / 2 + sin(p_i) from p = -2 to 2; its gradient is written out,
so that the two programs differ in the optimizer alone.
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
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adam with other betas": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.99), eps=1e-3),
    "sgd with a falling rate": lambda p: torch.optim.SGD(p, lr=0.05),
}


def main() -> None:
    results = {}
    for name, make in OPTIMIZERS.items():
        p = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
        a = torch.linspace(0.1, 5, 9, dtype=torch.float64)
        optimizer = make([p])
        for step in range(100):
            if name == "sgd with a falling rate":
                optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 100)
            p.grad = (a * (p - 1) + torch.cos(p)).detach()
            optimizer.step()
        assert all(map(math.isfinite, p.tolist()))
        results[name] = p.tolist()
    file = Path(__file__).with_suffix(".json")
    file.write_text(
        json.dumps({"torch": torch.__version__.partition("+")[0], "after 100 steps": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
