"""What the fake device has of CUDA itself: streams, events, graphs that record and replay, kernels, and cuBLAS."""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from cuda_emulator import Module
from numpy.typing import NDArray

Work = Callable[[], None]


class CUDARuntimeError(RuntimeError):
    """What CuPy raises when the driver or the card does not do as asked."""

    __module__ = "cupy_backends.cuda.api.runtime"


@cache
def emulated(code: str, options: tuple[str, ...]) -> Module:
    """The kernels of a CUDA source, compiled once for all tests."""
    return Module(code, options)


class FakeGraph:
    """What was recorded."""

    def __init__(self, streams: Streams, works: list[Work]) -> None:
        self.streams, self.works = streams, works

    def launch(self, stream: Any = None) -> None:
        """Do it all, in order."""
        self.streams.refuse("the launch of a graph")
        self.streams.launched()
        for work in self.works:
            self.streams.do(work)


class FakeEvent:
    """A place in a stream's work; one that was never recorded waits for nothing, as CUDA's."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.stream, self.place = streams.current, 0

    def synchronize(self) -> None:
        """Make the host wait."""
        self.streams.refuse("a wait for an event")
        self.streams.waited()
        self.stream.work_to(self.place)


class FakeStream:
    """A stream, which becomes the current one inside `with`."""

    numbers = itertools.count(1)

    def __init__(self, streams: Streams, null: bool = False, non_blocking: bool = False) -> None:
        self.streams, self.non_blocking = streams, non_blocking
        self.ptr = 0 if null else next(self.numbers)
        self.before: list[FakeStream] = []
        self.works: deque[Work] = deque()  # that were put off
        self.done = 0  # how many are no longer in it

    def add(self, work: Work) -> None:
        """Put the work off."""
        self.works.append(work)

    def work_to(self, place: int) -> None:
        """Do what was put off, up to a place that `record` gave to an event."""
        while self.works and self.done < place:
            self.done += 1
            self.works.popleft()()

    def work_off(self) -> None:
        """Do all that was put off."""
        self.work_to(self.done + len(self.works))

    def record(self, event: FakeEvent) -> None:
        """Let the event stand for all work so far."""
        self.streams.refuse("an event")
        event.stream, event.place = self, self.done + len(self.works)

    def wait_event(self, event: FakeEvent) -> None:
        """Do nothing further before the work that the event stands for now."""
        self.streams.refuse("a wait for an event")
        stream, place = event.stream, event.place
        if self.streams.puts_off:
            self.add(lambda: stream.work_to(place))

    def __enter__(self) -> FakeStream:
        self.before.append(self.streams.current)
        self.streams.current = self
        return self

    def __exit__(self, *error: object) -> None:
        self.streams.current = self.before.pop()

    def begin_capture(self) -> None:
        """Record from here on what is started on this stream, instead of doing it."""
        if not self.non_blocking:
            raise CUDARuntimeError("cudaErrorStreamCaptureImplicit: the default stream would join the capture")
        self.streams.refuse("a capture")
        self.streams.recorded = []

    def end_capture(self) -> FakeGraph:
        """The graph of it."""
        works, self.streams.recorded = self.streams.recorded, None
        if works is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not captured")
        return FakeGraph(self.streams, works)


class Streams:
    """The current stream, and what is recorded, if anything is.

    Once there is pinned memory, work is put off until something waits for it: the host for an event or a number, or a
    stream that does its own work for an event of another's. A wait that is missing then shows in the results, and so
    does memory that is written to too early. Copies from the host may also be `early`: at once, all other work late.
    """

    def __init__(self, refuse: Callable[[str], None], launched: Callable[[], None], waited: Callable[[], None]) -> None:
        self.refuse, self.launched, self.waited = refuse, launched, waited
        self.current = FakeStream(self, null=True)
        self.recorded: list[Work] | None = None
        self.puts_off = self.early = False
        self.pinned: list[NDArray[Any]] = []

    def names(self) -> dict[str, Any]:
        """What `cupy.cuda` has of this."""
        return {
            "Stream": lambda non_blocking=False: FakeStream(self, non_blocking=non_blocking),
            "Event": lambda disable_timing=False: FakeEvent(self),
            "get_current_stream": lambda: self.current,
            "MemoryPool": FakeMemoryPool,
            "using_allocator": using_allocator,
        }

    def do(self, work: Work) -> None:
        """Do the work in its turn on the current stream."""
        if self.puts_off:
            self.current.add(work)
        else:
            work()

    def release(self, data: NDArray[Any]) -> None:
        """Let go of an array's memory in its turn: work that was put off may know it by its address alone."""
        if self.puts_off:
            held = [data]
            self.current.add(held.clear)

    def copy(self, to: NDArray[Any], host: NDArray[Any], stream: FakeStream) -> None:
        """Copy from the host on a stream, reading the host's memory only then."""
        if not any(np.may_share_memory(host, pinned) for pinned in self.pinned):
            raise AssertionError("a copy from memory that isn't pinned makes the host wait")
        if not stream.non_blocking:
            raise AssertionError("a blocking stream and the default one wait for each other: nothing is done at once")
        stream.add(lambda: np.copyto(to, host))
        if self.early:
            stream.work_off()

    def empty_pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array of the host's that the device can read by itself, with NaN's bytes in it."""
        self.puts_off = True
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.pinned.append(np.full(size, 255, dtype="uint8").view(dtype).reshape(shape))
        return self.pinned[-1]

    def is_capturing(self) -> bool:
        """Whether a stream, any one, is captured."""
        return self.recorded is not None

    def record(self, work: Work) -> bool:
        """Record the work if the current stream is captured."""
        if self.recorded is None:
            return False
        if not self.current.non_blocking:
            raise CUDARuntimeError("cudaErrorStreamCaptureImplicit: work on the default stream during a capture")
        self.recorded.append(work)
        return True


class FakeMemoryPool:
    """A pool's name: the fake takes its memory from NumPy."""

    def malloc(self, size: int) -> None:
        raise NotImplementedError


@contextmanager
def using_allocator(allocator: Callable[[int], Any]) -> Iterator[None]:
    """Nothing changes."""
    yield


class FakeCublas:
    """The functions of cuBLAS that are called, on matrices by columns at addresses, with cuBLAS's own checks.

    Products are NumPy's, of the same arrays as its matmul would get, so that results are equal bit for bit.
    """

    def __init__(self, streams: Streams, start: Callable[[Work], None]) -> None:
        self.streams, self.start = streams, start
        self.settings: dict[int, dict[str, int]] = {}
        self.numbers = itertools.count(1)
        self.failure = 0  # the status of all calls
        self.workspace_size = 0  # that a handle was given last
        self.cublasGetStatusString = _Named(lambda status: f"status {status} of the fake".encode())

    def cublasCreate_v2(self, handle: Any) -> int:  # noqa: N802  # cuBLAS's names
        handle._obj.value = next(self.numbers)
        self.settings[handle._obj.value] = {}
        return self.failure

    def cublasDestroy_v2(self, handle: Any) -> int:  # noqa: N802
        self.streams.refuse("cublasDestroy, which waits,")
        del self.settings[handle.value]
        return self.failure

    def cublasSetStream_v2(self, handle: Any, stream: Any) -> int:  # noqa: N802
        self.settings[handle.value] = {"stream": stream.value or 0}  # its workspace is taken away
        return self.failure

    def cublasSetWorkspace_v2(self, handle: Any, workspace: Any, size: Any) -> int:  # noqa: N802
        self.settings[handle.value]["workspace"] = workspace.value
        self.workspace_size = size.value
        return self.failure

    def cublasGemmEx(self, handle: Any, kind_a: Any, kind_b: Any, *arguments: Any) -> int:  # noqa: N802
        m, n, k, alpha, a, type_a, lead_a, b, type_b, lead_b, beta, c, type_c, lead_c, compute, algorithm = arguments
        settings, (m, n, k) = self.settings[handle.value], (size.value for size in (m, n, k))
        if settings.get("stream") != self.streams.current.ptr or "workspace" not in settings:
            raise AssertionError("the handle's stream isn't the current one, or it has no workspace")
        rows_a, columns_a = (k, m) if kind_a.value else (m, k)
        rows_b, columns_b = (n, k) if kind_b.value else (k, n)
        leads = ((lead_a, rows_a), (lead_b, rows_b), (lead_c, m))
        if min(m, n, k) < 1 or any(lead.value < max(1, rows) for lead, rows in leads) or algorithm.value != -1:
            return 7  # CUBLAS_STATUS_INVALID_VALUE
        dtype = {(0, 68): "f4", (0, 75): "f4", (0, 77): "f4", (1, 70): "f8"}[type_a.value, compute.value]
        if not type_a.value == type_b.value == type_c.value:
            return 15  # CUBLAS_STATUS_NOT_SUPPORTED
        # The transpose of a matrix by columns is one by rows, and it is those that the caller multiplied.
        right = _by_rows(a, columns_a, rows_a, lead_a.value, dtype)
        left = _by_rows(b, columns_b, rows_b, lead_b.value, dtype)
        right, left = right.T if kind_a.value else right, left.T if kind_b.value else left
        out, (alpha, beta) = _by_rows(c, n, m, lead_c.value, dtype), (x._obj.value for x in (alpha, beta))
        bits = {75: 16, 77: 13}.get(compute.value, 0)  # of float32's fraction that the tensor cores don't take
        self.start(lambda: _multiply(_cut(left, bits), _cut(right, bits), out, alpha, beta))
        return self.failure


class _Named:
    """A C function that returns a text, as ctypes has it: half an address where it isn't told so."""

    restype: Any = None

    def __init__(self, function: Callable[[int], bytes]) -> None:
        self.function = function

    def __call__(self, status: int) -> bytes | int:
        return self.function(status) if self.restype is ctypes.c_char_p else 1 << 30


def _by_rows(pointer: Any, rows: int, columns: int, lead: int, dtype: str) -> NDArray[Any]:
    """The memory at an address as a matrix by rows, `lead` numbers from row to row."""
    size = (rows - 1) * lead + columns
    memory = (ctypes.c_byte * (size * int(dtype[1]))).from_address(pointer.value)
    flat: NDArray[Any] = np.frombuffer(memory, dtype=dtype)  # type: ignore[call-overload]  # any buffer will do
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (lead * flat.itemsize, flat.itemsize))


def _cut(matrix: NDArray[Any], bits: int) -> NDArray[Any]:
    """The numbers rounded to so many bits of fraction fewer, at the time of the product."""
    if not bits:
        return matrix
    words = np.ascontiguousarray(matrix).view(np.uint32)
    return ((words + np.uint32(1 << (bits - 1))) & np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)).view(np.float32)


def _multiply(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any], alpha: float, beta: float) -> None:
    with np.errstate(all="ignore"):
        if (alpha, beta) == (1, 0) and a.shape[1] == 1:
            np.multiply(a, b, out=out)  # as xpnn.backend.matmul does
        elif (alpha, beta) == (1, 0):
            np.matmul(a, b, out=out)
        else:
            out[...] = out.dtype.type(alpha) * np.matmul(a, b) + (out.dtype.type(beta) * out if beta else 0)
