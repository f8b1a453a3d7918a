"""Faster train steps. Each is optional: delete its file, and the reference in `xpnn.steps` does the work.

A step stays here only with a recorded gain of 1.3x (docs/benchmarks.md) and a test that compares it with the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.backend import Array
from xpnn.fast import compiled, deferred
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
    n = len(inputs)
    if deferred.applies(net, optimizer, batch_size, regularization, average_decay):
        quick = deferred.DeferredStep(net, optimizer, inputs, targets, batch_size, **options)
        if compiled.learning_pays(net, batch_size, n * epochs):
            say(compiled.NOTICE)
            quick.compile()
        return quick
    if not compiled.updating_pays(optimizer, net, epochs * math.ceil(n / batch_size)):
        return ReferenceStep(net, optimizer, inputs, targets, batch_size, **options)
    say(compiled.NOTICE)
    step = ReferenceStep(net, compiled.with_compiled_update(optimizer, net), inputs, targets, batch_size, **options)
    step.name = "reference, compiled update"
    return step
