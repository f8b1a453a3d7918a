"""The state of a training run: all that its next update depends on beside the data and the settings.

It is vectors on the host and numbers, whatever the device. Everything random is a hash of the seed and of where it is
needed (`xpnn.noise`), so there is no generator's state in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray


class Sums(NamedTuple):
    """Of an epoch's rows so far, as a step keeps them: loss, weighted, in float64; hits; updates with a finite loss."""

    loss: float = 0.0
    hits: int = 0
    finite_updates: int = 0


NO_SUMS = Sums()


class PlateauState(NamedTuple):
    """What a `xpnn.ReduceOnPlateau` knows."""

    current: float
    best: float
    waited: int


class StoppingState(NamedTuple):
    """What `xpnn.early_stopping` knows: the least badness, the epochs since, and the parameters (P,) of its epoch."""

    best: float
    waited: int
    parameters: NDArray[Any]


@dataclass(frozen=True)
class TrainingState:
    """Where a run of `xpnn.train` is. Its `resume` goes on from here, to the same bits as if it had never stopped.

    epoch:      whole epochs so far.
    updates:    the updates that these made; schedules, Adam's corrections and dropout go on from here.
    parameters: (P,), those that the net had after these epochs.
    vectors:    (P,) each, by name: the optimizer's moments, such as "optimizer.first_moment"; and "learnt", what is
                being learnt, and "average", their moving average, where these are not `parameters`.
    rows:       learnt of the epoch after these; 0 between epochs.
    sums:       of these rows.
    plateau, stopping: where the run has them.

    To go on with new rows, a state between epochs will do: the new rows are its next epochs, whatever their number.
    """

    epoch: int
    updates: int
    parameters: NDArray[Any]
    vectors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    rows: int = 0
    sums: Sums = NO_SUMS
    plateau: PlateauState | None = None
    stopping: StoppingState | None = None

    def vector(self, name: str) -> NDArray[Any]:
        """The vector called `name`; what is not kept by a name of its own is `parameters`."""
        return self.vectors.get(name, self.parameters)
