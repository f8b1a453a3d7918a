"""A step on the CPU whose rows are brought into buffers of its own before it is called: from a file, or augmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import ArrayModule
from xpnn.fast.outer import OuterStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.steps import ReferenceStep
from xpnn.stored import StoredRows


class FedStep(OuterStep):
    """The step that `make` makes, which learns what `buffers` hold. It learns just what that one would.

    make:    called as ReferenceStep is, and gives a step of its kind.
    inputs:  (n, n_in), an array or StoredRows, as `MLP.checked_inputs` gives them.

    The rest is as for `ReferenceStep`. `sources` are the inputs, the targets and, where there are, the weights of all
    rows, as the step wants them.
    """

    rows_xp: ArrayModule = np
    feed: str  # for the name

    def __init__(
        self,
        make: Callable[..., ReferenceStep],
        net: MLP,
        optimizer: Optimizer,
        inputs: NDArray[Any] | StoredRows,
        targets: NDArray[Any],
        batch_size: int,
        **options: Any,
    ) -> None:
        # The step is made for all rows, of which it reads none until it is called, and then reads from the buffers.
        all_rows = np.broadcast_to(np.zeros(1, dtype=inputs.dtype), inputs.shape)
        self.step = step = make(net, optimizer, all_rows, targets, batch_size, **options)
        self.rows = step.rows
        self.sources: list[Any] = [inputs, step.targets, *([] if step.weights is None else [step.weights])]

    def reads_from(self, buffers: Sequence[NDArray[Any]]) -> None:
        """Have the step read its rows, and what belongs to them, from these, in the order of the sources."""
        self.step.inputs, self.step.targets, *weights = buffers
        self.step.weights = weights[0] if weights else None

    @property
    def name(self) -> str:
        """See Step."""
        return f"{self.step.name}, {self.feed}"
