"""Early stopping: leave off when what counts no longer gets better (Prechelt, Early stopping - but when?, 1998)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from xpnn.backend import Array
from xpnn.history import record_of
from xpnn.network import MLP
from xpnn.training import Epoch, put_back

RISING = ("accuracy", "r2", "exact_match", "hamming_accuracy")  # better when they are higher
METRICS = ("loss", "mean_absolute_error", "root_mean_squared_error", *RISING)


def early_stopping(
    epochs: Iterable[Epoch],
    net: MLP,
    *,
    metric: str = "validation_loss",
    patience: int = 5,
    minimum_change: float = 0.0,
    restore_best: bool = True,
) -> Iterator[Epoch]:
    """The epochs of `train` as they come, up to where `metric` hasn't become better for `patience` epochs in a row.

        for epoch in early_stopping(train(net, rows, validation=others, epochs=1000), net):

    metric:         loss, accuracy, or a score of the validation rows: validation_loss, validation_accuracy,
                    validation_r2, ... (see `xpnn.Evaluation`).
    patience:       1 or more.
    minimum_change: what a number must be better by, to count.
    restore_best:   in the end, also that of an error or Ctrl-C, give `net` the parameters that it had after its best
                    epoch.

    Raises ValueError for arguments that can't work and, at the first epoch, for a metric that its record doesn't have.
    """
    if patience < 1 or patience != int(patience):
        raise ValueError(f"patience must be a whole number of 1 or more, not {patience}")
    if not 0 <= minimum_change < math.inf:
        raise ValueError(f"minimum_change must be a number of 0 or more, not {minimum_change}")

    def run() -> Iterator[Epoch]:
        best, waited = math.inf, 0
        kept: Array | None = None
        try:
            for epoch in epochs:
                value = badness(epoch, metric)
                if value < best - minimum_change or kept is None:
                    best, waited = value, 0
                    with net.device.active():
                        kept = net.parameters.copy()
                else:
                    waited += 1
                yield epoch
                if waited >= patience:
                    break
        except (Exception, KeyboardInterrupt) as error:  # but not where nobody asks for more epochs
            if restore_best and kept is not None:
                put_back(net, kept, error)
            raise
        if restore_best and kept is not None:
            put_back(net, kept)

    return run()


def best_epoch(epochs: Sequence[Epoch], metric: str, minimum_change: float = 0.0) -> Epoch:
    """The epoch, of one or more, whose parameters `early_stopping` takes."""
    best = epochs[0]
    for epoch in epochs[1:]:
        if badness(epoch, metric) < badness(best, metric) - minimum_change:
            best = epoch
    return best


def badness(epoch: Epoch, metric: str) -> float:
    """The metric of an epoch, turned so that lower is better; infinite where it is no number.

    Raises ValueError for a metric that the epoch's record doesn't have.
    """
    record = record_of(epoch)
    metrics = [name for name in record if name.removeprefix("validation_") in METRICS]
    if metric not in metrics:
        raise ValueError(f"there is no {metric!r} to stop by; this run has {', '.join(metrics)}")
    value = record[metric]
    if value is None:
        return math.inf
    return -float(value) if metric.removeprefix("validation_") in RISING else float(value)
