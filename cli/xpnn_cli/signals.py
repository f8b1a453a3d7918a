"""Ctrl-C, SIGTERM and SIGHUP as requests to stop, which the work looks at where it can stop well."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NOTICE = b"\nfinishing this step, then saving (Ctrl-C once more stops at once)\n"
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # Windows has none


class StopRequest:
    """signal: the one that asked to stop; None as long as none has."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def note(self, number: int, _: FrameType | None) -> None:
        """Take note of the first signal. Raises KeyboardInterrupt for Ctrl-C after it.

        Others say no more the second time: a terminal that is closed and its shell may both send SIGHUP.
        """
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal = number
        with suppress(OSError):
            os.write(2, NOTICE)  # a stream may be in the middle of its own writing


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within it signals are noted, but those that were ignored, as `nohup` has it, and those of other threads."""
    request, before = StopRequest(), {}
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_IGN, None):
            continue
        with suppress(ValueError):  # this is not the main thread
            before[number] = signal.signal(number, request.note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
