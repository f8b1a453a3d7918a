"""Faster train steps. Each is optional: delete its file, and the reference in `xpnn.steps` does the work.

A step stays here only with a recorded gain of 1.3x (docs/benchmarks.md) and a test that compares it with the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.backend import Array
from xpnn.fast import compiled, deferred
from xpnn.fast.batches import CompiledStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE
from xpnn.steps import ReferenceStep


def chosen_step(
    epochs: int,
    say: Callable[[str], None],
    net: MLP,
    optimizer: Optimizer,
    inputs: Array,
    targets: Array,
    batch_size: int,
    **options: Any,
) -> ReferenceStep:
    """The quickest step that does what the reference does, in a run of so many epochs.

    say: told what takes a while; the rest is as for `ReferenceStep`.
    """
    regularization, average_decay = options.get("regularization", NONE), options.get("average_decay", 0.0)
    updates = epochs * math.ceil(len(inputs) / batch_size)
    rest = (inputs, targets, batch_size)
    defers = deferred.applies(net, optimizer, batch_size, regularization, average_decay)
    if not (defers and batch_size == 1) and compiled.batches_pay(
        net, optimizer, regularization, average_decay, updates, defers
    ):
        say(compiled.NOTICE)
        return CompiledStep(net, optimizer, *rest, **options)
    if defers:
        quick = deferred.DeferredStep(net, optimizer, *rest, **options)
        if batch_size == 1 and compiled.rows_pay(net, updates):
            say(compiled.NOTICE)
            quick.compile()
        return quick
    if not compiled.updating_pays(optimizer, net, updates):
        return ReferenceStep(net, optimizer, *rest, **options)
    say(compiled.NOTICE)
    step = ReferenceStep(net, compiled.with_compiled_update(optimizer, net), *rest, **options)
    step.name = "reference, compiled update"
    return step
