"""What goes wrong on the fake device in the middle of work: it runs out of memory, or it fails, for good or once."""

from __future__ import annotations

import weakref
from typing import Any

from numpy.typing import NDArray


class OutOfMemoryError(MemoryError):
    """What CuPy's memory pool raises, in its words."""

    __module__ = "cupy.cuda.memory"

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        most = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{most}).")


class Trouble:
    """Of all cards together. `calls` counts the kernels and the copies to the host so far."""

    def __init__(self) -> None:
        self.calls = self.used = 0
        self.total: int | None = None  # bytes that can be used from when this is set; None: nobody counts
        self._error: Exception | None = None
        self._last, self._is_final, self._is_lost = 0, False, False

    def fail(self, error: Exception, after: int = 0, lost: bool = True) -> None:
        """Raise `error` in place of the next call, or so many calls later. lost: and of every other from then on."""
        self._error, self._last, self._is_final = error, self.calls + after, lost

    def check(self) -> None:
        """A lost card answers all that it is asked with the error that it was lost by."""
        if self._is_lost and self._error is not None:
            raise type(self._error)(*self._error.args)

    def kernel(self) -> None:
        """One more call, which may be the one that fails."""
        self.check()
        self.calls += 1
        if self._error is not None and self.calls > self._last:
            error, self._is_lost = self._error, self._is_final
            self._error = error if self._is_lost else None
            raise error

    def allocation(self, data: NDArray[Any]) -> None:
        """Room for an array, until nothing holds it any more."""
        if self.total is None:
            return
        while isinstance(data.base, type(data)):
            data = data.base
        if self.used + data.nbytes > self.total:
            raise OutOfMemoryError(data.nbytes, self.used)
        self.used += data.nbytes
        weakref.finalize(data, self._free, data.nbytes).atexit = False

    def _free(self, size: int) -> None:
        self.used -= size

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes (free, in all)."""
        total = 80 << 30 if self.total is None else self.total
        return total - self.used, total
