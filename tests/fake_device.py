"""A device without a device: stands in for the module `cupy` where there is no GPU, and is stricter than it.

`make_fake_cupy()` gives a module; a test puts it into sys.modules["cupy"], and `import cupy` in the product gets it.
It computes with NumPy, so that results are equal bit for bit, and shows what code written for the CPU alone would
do wrong on a GPU:

- its arrays refuse host arrays in every operation, and refuse to be turned into host arrays unless `get` is called;
- it has the functions, methods and keywords of the tables below and no more: those that the product uses, which
  test_cupy_names.py compares with the real CuPy;
- reductions and indexing give 0-d arrays, never NumPy's scalars; `out` must have exactly the result's shape;
- an index beyond the end wraps round in silence, as on a GPU;
- it counts what costs time on a GPU: waits for the device, allocations on it, copies to it, and launches;
- work on a stream that is captured is recorded, and done when its graph is launched; what CUDA or CuPy can't capture
  is an error, and so is an allocation (tests/fake_cuda.py);
- with events, what streams do is put off until it is waited for, so that a missing wait shows; asynchronous copies take
  pinned memory alone (tests/fake_cuda.py);
- CUDA kernels run on the CPU, emulated (tests/cuda_emulator.py), and a fake cuBLAS reads matrices by their addresses;
- it can have several devices, whose arrays don't mix, or none, or no driver, or no compiler;
- its `trouble` makes it run out of memory or fail in the middle of work (see `fake_trouble`).

Its array is no subclass of NumPy's: NumPy would convert one of those without asking. It says nothing of
rounding, speed, CuPy's own bugs, or the scratch memory that CuPy's reductions take from its pool: that takes the real
CuPy and a GPU.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from fake_cuda import CUDARuntimeError, FakeCublas, Streams, emulated
from fake_trouble import Trouble
from numpy.typing import NDArray

# name: (positional arguments that it takes, keywords)
FUNCTIONS = {
    "amax": (1, ("axis", "keepdims", "out")),
    "arange": (1, ("dtype",)),
    "argmax": (1, ("axis", "out")),
    "asarray": (1, ("dtype",)),
    "clip": (3, ("out",)),
    "copyto": (2, ()),
    "cumprod": (1, ()),
    "empty": (1, ("dtype",)),
    "empty_like": (1, ()),
    "eye": (1, ("dtype",)),
    "flatnonzero": (1, ()),
    "isfinite": (1, ("out",)),
    "sum": (1, ("axis", "keepdims", "out")),
    "take": (2, ("axis", "out")),
    "zeros": (1, ("dtype",)),
    "zeros_like": (1, ()),
    **dict.fromkeys(("absolute", "cos", "exp", "expm1", "floor", "log", "log1p", "negative"), (1, ("out",))),
    **dict.fromkeys(("reciprocal", "sign", "sin", "sqrt", "tanh"), (1, ("out",))),
    **dict.fromkeys(("add", "bitwise_and", "bitwise_xor", "divide", "equal"), (2, ("out",))),
    **dict.fromkeys(("greater", "less", "matmul", "maximum", "minimum", "multiply"), (2, ("out",))),
    **dict.fromkeys(("power", "right_shift", "subtract"), (2, ("out",))),
}
METHODS = {
    **dict.fromkeys(("all", "copy", "fill", "get", "item", "reshape", "tolist"), ()),
    **dict.fromkeys(("argmax", "max", "min", "sum"), ("axis",)),
    "astype": ("order", "copy"),
    "view": (),
}
ATTRIBUTES = ("dtype", "itemsize", "nbytes", "ndim", "shape", "size", "strides")
OPERATORS = ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne")  # CuPy has them all
WAITING = ("get", "item", "tolist")


@dataclass
class Counts:
    """What the fake device did."""

    synchronisations: int = 0
    allocations: int = 0
    copies: int = 0  # from the host to the device
    launches: int = 0  # of kernels, outside graphs
    graphs: int = 0  # launched


class FakeArray:
    """A device array: NumPy's data, out of NumPy's reach."""

    __array_ufunc__ = None  # NumPy's own functions then refuse it, and its scalars leave an operator to it
    __hash__ = None  # type: ignore[assignment]  # as NumPy's arrays

    def __init__(self, cupy: FakeCupy, data: NDArray[Any], device: int) -> None:
        self._cupy, self._data, self._device = cupy, data, device

    def __del__(self) -> None:
        self._cupy._streams.release(self._data)

    def __array__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return getattr(self._data, name)
        if name in METHODS:
            return lambda *arguments, **keywords: self._cupy._method(self, name, *arguments, **keywords)
        raise AttributeError(f"cupy.ndarray has no {name} (not in the fake's table)")

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._data.ctypes.data)

    @property
    def device(self) -> FakeDevice:
        return FakeDevice(self._cupy, self._device)

    @property
    def T(self) -> FakeArray:
        return FakeArray(self._cupy, self._data.T, self._device)

    def __len__(self) -> int:
        return len(self._data)

    def set(self, host: NDArray[Any], stream: Any) -> None:
        self._cupy._set(self, host, stream)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, FakeArray):
            return self._cupy._compute(lambda data, rows: np.take(data, rows, axis=0, mode="wrap"), self, key)
        return self._cupy._made(np.asarray(self._data[_plain(key)]), self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._cupy._write(lambda data, new: np.copyto(data[_plain(key)], new, casting="unsafe"), self, value)

    def __abs__(self) -> Any:
        return self._cupy._compute(np.absolute, self)

    def __repr__(self) -> str:
        return f"fake {self._cupy._read(self)!r}"


def _plain(key: Any) -> Any:
    """`key` if its parts are numbers, slices, None or an ellipsis, so that it gives a view; the rest is not faked."""
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if not (part is None or part is Ellipsis or isinstance(part, int | slice)):
            raise TypeError(f"an index of type {type(part).__name__} is not in the fake")
    return parts if Ellipsis in parts else (*parts, Ellipsis)  # with an ellipsis a full index gives a view too


def _add_special_methods() -> None:
    """Give FakeArray the operators, which compute, and the conversions, which wait."""

    def computing(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self._cupy._compute(function, self, other)

    def in_place(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self._cupy._compute(function, self, other, out=self)

    def waiting(convert: type) -> Callable[..., Any]:
        return lambda self: convert(self._cupy._read(self))

    def reflected(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, b: function(b, a)

    for name in OPERATORS:
        function = getattr(operator, name)
        setattr(FakeArray, f"__{name}__", computing(function))
        setattr(FakeArray, f"__r{name}__", computing(reflected(function)))
        setattr(FakeArray, f"__i{name}__", in_place(function))  # Python asks only for the four that exist
    for convert in (bool, float, int):  # but no __index__: CuPy has none
        setattr(FakeArray, f"__{convert.__name__}__", waiting(convert))


_add_special_methods()
FakeArray.__module__ = "cupy"  # where xpnn.backend.xp_of looks


class FakeDevice:
    """What cupy.cuda.Device(index) gives: a context, and what a card says of itself."""

    def __init__(self, cupy: FakeCupy, index: int) -> None:
        self.id, self._cupy = index, cupy

    def __enter__(self) -> None:
        self._context = self._cupy._on_device(self.id)
        self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)
        self._cupy.trouble.check()

    def synchronize(self) -> None:
        self._cupy.trouble.check()

    @property
    def mem_info(self) -> tuple[int, int]:
        self._cupy.trouble.check()
        free, total = self._cupy.trouble.memory
        return (free if self._cupy._free is None else self._cupy._free), total


class FakeCupy(ModuleType):
    """The module. `devices` many cards; `failure`: a CUDA error's name, or what is raised where a kernel starts."""

    ndarray = FakeArray
    finfo = np.finfo

    def __init__(self, devices: int, failure: str | Exception | None) -> None:
        super().__init__("cupy")
        self._devices, self._failure, self._current = devices, failure, 0
        self._counts = Counts()
        self.trouble = Trouble()  # what a test makes go wrong in the middle of work
        runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=self._device_count)
        self._streams = Streams(self._refuse_in_capture, self._count_graph, self._count_wait)
        self.cuda = SimpleNamespace(Device=partial(FakeDevice, self), runtime=runtime, **self._streams.names())
        self._free: int | None = None  # bytes that a card says are free, where a test sets it
        self._limit = 0  # bytes that the pool may use; 0: all
        self.cupyx = ModuleType("cupyx")
        vars(self.cupyx)["empty_pinned"] = self._streams.empty_pinned
        self.cublas = FakeCublas(self._streams, self._start)

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count what happens inside the `with`."""
        before, self._counts = self._counts, Counts()
        try:
            yield self._counts
        finally:
            self._counts = before

    def __getattr__(self, name: str) -> Any:
        if name not in FUNCTIONS:
            raise AttributeError(f"cupy has no {name} (not in the fake's table)")
        count, allowed = FUNCTIONS[name]

        def function(*arguments: Any, **keywords: Any) -> Any:
            if len(arguments) != count or not keywords.keys() <= set(allowed):
                takes = f"{count} arguments and the keywords {allowed}"
                raise TypeError(f"cupy.{name} takes {takes} (the fake's table), not {len(arguments)} and {[*keywords]}")
            own = getattr(self, f"_{name}", None)
            return own(*arguments, **keywords) if own else self._compute(getattr(np, name), *arguments, **keywords)

        return function

    def _device_count(self) -> int:
        self.trouble.check()
        if isinstance(self._failure, str):
            raise CUDARuntimeError(self._failure)
        return self._devices

    @contextmanager
    def _on_device(self, index: int) -> Iterator[None]:
        if not 0 <= index < self._device_count():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        before, self._current = self._current, index
        try:
            yield
        finally:
            self._current = before

    def _on_host(self, values: Iterable[Any]) -> list[Any]:
        """What a kernel works on: every array must be here, on the current device."""
        self._device_count()
        if not self._streams.is_capturing():
            self.trouble.kernel()
        if isinstance(self._failure, Exception):
            raise self._failure
        host = []
        for value in values:
            if isinstance(value, FakeArray) and (value._cupy is not self or value._device != self._current):
                raise ValueError(f"Array device must be same as the current device: {value._device} != {self._current}")
            if isinstance(value, np.ndarray | list):
                raise TypeError(f"Unsupported type {type(value)}")
            host.append(value._data if isinstance(value, FakeArray) else value)
        return host

    def _compute(self, function: Callable[..., Any], *arguments: Any, out: Any = None, **keywords: Any) -> Any:
        """Start a kernel that writes into `out`, or into a new array."""
        if out is not None and not isinstance(out, FakeArray):
            raise TypeError("return arrays must be of CuPy's type")
        host = self._on_host([*arguments, *keywords.values(), *([] if out is None else [out])])[: len(arguments)]
        if out is not None:
            self._start(lambda: _compute_into(out._data, function, host, keywords))
            return out
        self._streams.current.work_off()
        with np.errstate(all="ignore"):  # a GPU doesn't warn
            result = function(*host, **keywords)
        return None if result is None else self._made(np.asarray(result), *arguments)

    def _write(self, function: Callable[..., None], *arguments: Any) -> None:
        """Start a kernel that writes into its first argument."""
        host = self._on_host(arguments)
        self._start(lambda: function(*host))

    def _start(self, work: Callable[[], None]) -> None:
        """Do the work now, or record it."""
        if not self._streams.record(work):
            self._counts.launches += 1
            self._streams.do(work)

    def _count_graph(self) -> None:
        self.trouble.kernel()
        self._counts.graphs += 1

    def _count_wait(self) -> None:
        self._counts.synchronisations += 1

    def _refuse_in_capture(self, what: str) -> None:
        if self._streams.is_capturing():
            raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is captured")

    def _zeros(self, shape: Any, dtype: Any = "float64") -> FakeArray:
        array: FakeArray = self._compute(lambda: np.full(shape, 7, dtype=dtype))
        self._write(lambda data: data.fill(0), array)  # in its turn, as on a GPU
        return array

    def _matmul(self, a: FakeArray, b: FakeArray, out: FakeArray | None = None) -> Any:
        if self._streams.is_capturing():
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        return self._compute(np.matmul, a, b, out=out)

    def RawModule(self, code: str, options: tuple[str, ...] = ()) -> Any:  # noqa: N802  # CuPy's name
        """The kernels of a CUDA source."""

        def function(name: str) -> Callable[..., None]:  # compiled now, unless `compile` was called
            return partial(self._launch, emulated(code, options).get_function(name))

        return SimpleNamespace(compile=lambda: emulated(code, options), get_function=function)

    def _launch(self, kernel: Any, grid: Any, block: Any, arguments: Any, shared_mem: int = 0) -> None:
        host = self._on_host(arguments)
        self._start(lambda: kernel(grid, block, host, shared_mem))

    def _made(self, data: NDArray[Any], *arguments: Any) -> FakeArray:
        """A new array around `data`, counted unless it is a view of an argument's."""
        parents = [value for value in arguments if isinstance(value, FakeArray)]
        if not any(np.may_share_memory(data, parent._data) for parent in parents):
            self._refuse_in_capture("an allocation")
            self._counts.allocations += 1
            self.trouble.allocation(data)
        return FakeArray(self, data, parents[0]._device if parents else self._current)

    def _read(self, array: FakeArray) -> NDArray[Any]:
        """The host's copy."""
        self._refuse_in_capture("a copy to the host")
        self.trouble.kernel()
        self._count_wait()
        self._streams.current.work_off()
        return array._data.copy()

    def _set(self, array: FakeArray, host: NDArray[Any], stream: Any) -> None:
        self._refuse_in_capture("a copy from the host")
        if (array.dtype, array.shape) != (host.dtype, host.shape):
            raise ValueError(f"Shape mismatch: {array.dtype} {array.shape}, not {host.dtype} {host.shape}")
        if not (array._data.flags.c_contiguous and host.flags.c_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        self._counts.copies += 1
        self._streams.copy(array._data, host, stream)

    def get_default_memory_pool(self) -> Any:
        """The pool, which keeps nothing."""
        return SimpleNamespace(
            free_bytes=lambda: 0, used_bytes=lambda: self.trouble.used, get_limit=lambda: self._limit
        )

    def _method(self, array: FakeArray, name: str, *arguments: Any, **keywords: Any) -> Any:
        if not keywords.keys() <= set(METHODS[name]):
            raise TypeError(f"cupy.ndarray.{name} takes the keywords {METHODS[name]} (the fake's table)")
        if name in WAITING:
            data = self._read(array)
            return data if name == "get" else getattr(data, name)()
        if name == "fill":
            self._write(lambda data, value: data.fill(value), array, *arguments)
            return None
        return self._compute(lambda data, *more: getattr(data, name)(*more, **keywords), array, *arguments)

    def _asarray(self, values: Any, dtype: Any = None) -> Any:
        if isinstance(values, FakeArray):
            if values._device != self._current:
                values = self._compute(values._data.copy)  # from card to card
            return values if dtype in (None, values.dtype) else values.astype(dtype)
        if hasattr(values, "__cuda_array_interface__"):  # memory of another library's
            memory = SimpleNamespace(__array_interface__=values.__cuda_array_interface__)
            return FakeArray(self, np.asarray(memory), self._current)
        data = np.array(values, dtype=dtype)  # a copy: the device has its own memory
        if data.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {data.dtype}")
        self._refuse_in_capture("a copy from the host")
        self._counts.copies += 1
        return self._compute(lambda: data)

    def from_dlpack(self, producer: Any) -> FakeArray:
        """An array over the producer's memory. A fake producer's capsule is NumPy's array."""
        kind, index = producer.__dlpack_device__()
        if kind not in (2, 13):
            raise RuntimeError("CuPy is built against CUDA, different from the backend that backs the incoming tensor")
        return FakeArray(self, producer.__dlpack__(stream=1), index)

    def _flatnonzero(self, array: FakeArray) -> Any:
        self._counts.synchronisations += 1  # the size of the result is on the device
        return self._compute(np.flatnonzero, array)

    def _copyto(self, to: FakeArray, values: Any) -> None:
        if np.broadcast_shapes(to.shape, np.shape(getattr(values, "_data", values))) != to.shape:
            raise ValueError("operands could not be broadcast")
        self._write(np.copyto, to, values)

    def _take(self, array: FakeArray, rows: FakeArray, axis: int | None = None, out: FakeArray | None = None) -> Any:
        if out is not None and out.dtype != array.dtype:
            raise TypeError(f"Output dtype mismatch: {out.dtype}, not {array.dtype}")
        return self._compute(lambda data, indices: np.take(data, indices, axis=axis, mode="wrap"), array, rows, out=out)


def _compute_into(out: NDArray[Any], function: Callable[..., Any], host: list[Any], keywords: Any) -> None:
    elementwise = isinstance(function, np.ufunc) and function.signature is None
    with np.errstate(all="ignore"):  # a GPU doesn't warn
        if elementwise and out.shape == np.broadcast_shapes(*map(np.shape, host)):
            function(*host, out=out)  # in place, since some loops of older NumPys round by where they write
            return
        result = function(*host, **keywords)
    if out.shape != np.shape(result):
        raise ValueError(f"Out shape is mismatched: {out.shape}, not {np.shape(result)}")
    np.copyto(out, result, casting="same_kind")


def make_fake_cupy(devices: int = 1, failure: str | Exception | None = None) -> FakeCupy:
    """A new fake of the module `cupy`, see the module's docstring.

    failure: a text, and the CUDA runtime raises it (such as "cudaErrorNoDevice: ..."); an exception, and whatever
             starts a kernel raises that one.
    """
    return FakeCupy(devices, failure)
