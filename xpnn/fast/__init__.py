"""Faster train steps. Each is optional: without its lines in `chosen_step` the reference in `xpnn.steps` does the work.

A step stays here only with a test that compares it with the reference and a recorded gain of 1.3x (docs/benchmarks.md);
those for CUDA wait for the measurement.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from xpnn.backend import Array, xp_of
from xpnn.failures import first_line, is_of_cards_state
from xpnn.fast import ahead, compiled, deferred
from xpnn.fast.batches import CompiledStep
from xpnn.fast.windows import WindowedStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE
from xpnn.steps import ReferenceStep, Step
from xpnn.stored import StoredRows

CUDA_NOTICE = "loading the CUDA kernels: the first run compiles them, which takes some seconds; CuPy keeps them"


def step_over(
    make: Callable[..., ReferenceStep],
    net: MLP,
    optimizer: Optimizer,
    inputs: Array,
    targets: Array,
    batch_size: int,
    **options: Any,
) -> Step:
    """What `make` makes of the rest; for rows that `placed` left on the host or in a file, a step that brings them.

    Rows that are augmented on the CPU are augmented ahead of their use, unless the reference itself is asked for.
    """
    if make is not ReferenceStep and ahead.pays(net, batch_size, options):
        return ahead.AheadStep(make, net, optimizer, inputs, targets, batch_size, **options)
    if isinstance(inputs, StoredRows) and net.device.kind == "cpu":
        return WindowedStep(make, net, optimizer, inputs, targets, batch_size, **options)
    if not isinstance(inputs, StoredRows) and xp_of(inputs) is net.xp:
        return make(net, optimizer, inputs, targets, batch_size, **options)
    from xpnn.fast.streamed import StreamedStep

    return StreamedStep(make, net, optimizer, inputs, targets, batch_size, **options)


def chosen_step(
    epochs: int,
    say: Callable[[str], None],
    net: MLP,
    optimizer: Optimizer,
    inputs: Array,
    targets: Array,
    batch_size: int,
    precision: str = "float32",
    **options: Any,
) -> ReferenceStep:
    """The quickest step that does what the reference does, in a run of so many epochs.

    say: told what takes a while; precision: of a CUDA device's matrix products, see `xpnn.fast.cublas`; the rest is as
    for `ReferenceStep`.
    """
    if net.device.kind == "cuda":
        say(CUDA_NOTICE)
        return captured_step(net, optimizer, inputs, targets, batch_size, precision, **options)
    regularization = options.get("regularization", NONE)
    updates = epochs * math.ceil(len(inputs) / batch_size)
    rest = (inputs, targets, batch_size)
    defers = deferred.applies(optimizer, batch_size, options)
    stays_deferred = defers and deferred.is_best(net, batch_size)
    step: ReferenceStep | None = None
    if not stays_deferred and compiled.batches_pay(net, optimizer, regularization, updates, defers):
        step = _with_loops(say, lambda: CompiledStep(net, optimizer, *rest, **options))
    elif stays_deferred and batch_size == 1 and compiled.rows_pay(net, updates):
        step = _with_loops(say, lambda: deferred.DeferredStep(net, optimizer, *rest, **options).compiled())
    elif not defers and compiled.updating_pays(optimizer, net, updates):
        step = _with_loops(say, lambda: compiled.with_compiled_update(net, optimizer, *rest, **options))
    if step is not None:
        return step
    return (deferred.DeferredStep if defers else ReferenceStep)(net, optimizer, *rest, **options)


def captured_step(
    net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, precision: str, **options: Any
) -> ReferenceStep:
    """The step for a CUDA device; the reference, and a warning that says why, where cuBLAS or the kernels can't be had.

    Raises what went wrong where the reference doesn't have the precision, or where the card itself reports an error.
    """
    from xpnn.fast import online
    from xpnn.fast.captured import CapturedStep

    rest = (inputs, targets, batch_size)
    is_online = online.applies(net, optimizer, batch_size, options)
    try:
        return (online.OnlineStep if is_online else CapturedStep)(net, optimizer, *rest, precision=precision, **options)
    except Exception as error:  # the loader, the compiler and CUDA each raise their own kinds
        if precision != "float32" or is_of_cards_state(error):
            raise
        warnings.warn(
            f"the fast train step can't be used ({first_line(error)}); plain array operations do the work, slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return ReferenceStep(net, optimizer, *rest, **options)


def _with_loops(say: Callable[[str], None], make: Callable[[], ReferenceStep]) -> ReferenceStep | None:
    """The step, which is told beforehand; None, and why, where Numba or SciPy is there but can't be used."""
    say(compiled.NOTICE)
    try:
        return make()
    except Exception as error:  # a broken installation raises whatever its loader meets
        say(f"compiled loops can't be used ({first_line(error)}); NumPy does the work")
        return None
