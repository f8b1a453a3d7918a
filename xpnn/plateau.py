"""A factor for the learning rate that falls when training stands still, at the ends of epochs."""

from __future__ import annotations


class ReduceOnPlateau:
    """A factor for all of a schedule's rates, made smaller when the loss has stopped falling.

        plateau = ReduceOnPlateau(factor=0.5)
        factor = plateau.after_epoch(loss)  # for the rates of the next epoch

    factor:         what the rates are multiplied by after more than `patience` epochs in a row without a new best loss,
                    in (0, 1).
    patience:       0 or more.
    minimum_change: a loss is a new best if it lies below the best one by more than this share of it, in [0, 1).
    least_rate:     the smallest that the factor becomes, as a share of the schedule's rate, in [0, 1].

    The semantics are those of PyTorch's ReduceLROnPlateau with threshold_mode="rel" and eps=0. A loss that is not a
    number is no new best. What it knows is in the attributes `current`, `best` and `waited`, to be saved and restored.

    Raises ValueError for arguments outside these ranges.
    """

    def __init__(
        self, factor: float = 0.1, patience: int = 5, minimum_change: float = 1e-4, least_rate: float = 0.0
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"factor must lie in (0, 1), not {factor}")
        if not 0 <= patience < float("inf") or patience != int(patience):
            raise ValueError(f"patience must be a whole number of 0 or more, not {patience}")
        if not 0 <= minimum_change < 1:
            raise ValueError(f"minimum_change must lie in [0, 1), not {minimum_change}")
        if not 0 <= least_rate <= 1:
            raise ValueError(f"least_rate must lie in [0, 1], a share of the schedule's rate, not {least_rate}")
        self.factor, self.patience, self.minimum_change, self.least_rate = factor, patience, minimum_change, least_rate
        self.current, self.best, self.waited = 1.0, float("inf"), 0

    def after_epoch(self, loss: float) -> float:
        """Take note of an epoch's loss; gives the factor for the rates from now on."""
        if loss < self.best * (1 - self.minimum_change):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.current, self.waited = max(self.current * self.factor, self.least_rate), 0
        return self.current
