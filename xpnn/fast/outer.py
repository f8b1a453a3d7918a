"""A step around another one: it brings the rows, and the other learns them."""

from __future__ import annotations

from xpnn.backend import Array
from xpnn.state import Sums
from xpnn.steps import ReferenceStep


class OuterStep:
    """What a step that brings rows to `step` has from it."""

    step: ReferenceStep

    def begin_epoch(self, first: int, table: Array) -> None:
        """See Step."""
        self.step.begin_epoch(first, table)

    def totals(self) -> tuple[float, int | None]:
        """See Step."""
        return self.step.totals()

    def finite_updates(self) -> int:
        """See Step."""
        return self.step.finite_updates()

    def end_epoch(self) -> None:
        """See Step."""
        self.step.end_epoch()

    def vectors(self) -> dict[str, Array]:
        """See Step."""
        return self.step.vectors()

    def sums(self) -> Sums:
        """See Step."""
        return self.step.sums()

    def go_on(self, updates: int, sums: Sums) -> None:
        """See Step."""
        self.step.go_on(updates, sums)
