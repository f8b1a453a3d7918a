"""The three standard streams where they are closed or full, or nobody is at the other end."""

from __future__ import annotations

import io
import os
import sys


class _Heedless(io.FileIO):
    """Takes what can't be written as written."""

    def write(self, content: object) -> int:
        try:
            written = super().write(content)  # type: ignore[arg-type]  # bytes, or what is like them
        except OSError:
            written = None
        return memoryview(content).nbytes if written is None else written  # type: ignore[arg-type]


def prepare_streams() -> None:
    """See to it that no work is lost for what is said about it: stderr may be full, or its reader gone.

    A stream that is closed is opened to nowhere: else the next file that is opened has its number, and gets its texts.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it has the lowest number that is free
    stream = sys.stderr
    binary = getattr(stream, "buffer", None)
    if not isinstance(stream, io.TextIOWrapper) or type(getattr(binary, "raw", binary)) is not io.FileIO:
        return  # a test's, or the console of Windows
    stream.flush()
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Heedless(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
