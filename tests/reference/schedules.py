"""Makes schedules.json with PyTorch: the rates of its schedulers, and what it does on a plateau.

    python tests/reference/schedules.py

Rates are those before each step of a run of 20 steps, or of 21 where three cycles are to fill it, and of the step
after a run of 20.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim import lr_scheduler

RATE = 0.4
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "constant": lambda o: lr_scheduler.ConstantLR(o, factor=1.0),
    "step": lambda o: lr_scheduler.MultiStepLR(o, milestones=[5, 10, 15], gamma=0.1),
    "step, not a divisor": lambda o: lr_scheduler.MultiStepLR(o, milestones=[7, 14], gamma=0.3),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / 20)),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, total_iters=20, power=2.0),
    "polynomial of power 0.7": lambda o: lr_scheduler.PolynomialLR(o, total_iters=20, power=0.7),
    "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=20),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20),
    "cosine to a tenth": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20, eta_min=RATE / 10),
    "cosine-restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2),
    "cosine-restarts of equal lengths": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=7, eta_min=RATE / 5),
    "cyclical": lambda o: lr_scheduler.CyclicLR(
        o, base_lr=RATE / 4, max_lr=RATE, step_size_up=2.5, cycle_momentum=False
    ),
    "cyclical, from a tenth": lambda o: lr_scheduler.CyclicLR(
        o, base_lr=RATE / 10, max_lr=RATE, step_size_up=5, cycle_momentum=False
    ),
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=RATE, total_steps=21, cycle_momentum=False),
    "one-cycle with other shares": lambda o: lr_scheduler.OneCycleLR(
        o, max_lr=RATE, total_steps=21, pct_start=0.6, div_factor=10, final_div_factor=50, cycle_momentum=False
    ),
    "warm-up to cosine": lambda o: lr_scheduler.SequentialLR(
        o,
        [
            lr_scheduler.LinearLR(o, start_factor=1 / 6, total_iters=5),
            lr_scheduler.CosineAnnealingLR(o, T_max=15),
        ],
        milestones=[5],
    ),
}
PLATEAUS: dict[str, dict[str, Any]] = {
    "usual": {"factor": 0.1, "patience": 5},
    "impatient": {"factor": 0.5, "patience": 0},
    "with a least rate": {"factor": 0.3, "patience": 2, "min_lr": 0.05},
    "choosy": {"factor": 0.5, "patience": 3, "threshold": 0.05},
}
LOSSES = [1 / (1 + epoch) + 0.02 * math.cos(7 * epoch) for epoch in range(40)] + [0.02, *[0.019999] * 20, 0.01]


def optimizer(rate: float) -> Any:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)


def rates(make: Callable[[Any], Any]) -> list[float]:
    """The rates of steps 0 to 20."""
    chosen = optimizer(RATE)
    scheduler, found = make(chosen), []
    for step in range(21):
        found.append(float(chosen.param_groups[0]["lr"]))
        chosen.step()
        if step < 20:
            scheduler.step()
    return found


def factors(options: dict[str, Any]) -> list[float]:
    """What each epoch's loss leaves of a rate of 1."""
    chosen = optimizer(1.0)
    scheduler, found = lr_scheduler.ReduceLROnPlateau(chosen, eps=0, **options), []
    for loss in LOSSES:
        scheduler.step(loss)
        found.append(float(chosen.param_groups[0]["lr"]))
    return found


def main() -> None:
    warnings.filterwarnings("ignore", message="The epoch parameter in `scheduler.step", category=UserWarning)
    results = {
        "torch": torch.__version__.partition("+")[0],
        "rate": RATE,
        "rates of steps 0 to 20": {name: rates(make) for name, make in SCHEDULERS.items()},
        "plateau": {"losses": LOSSES, "factors": {name: factors(options) for name, options in PLATEAUS.items()}},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
