"""The one place that knows where arrays live: NumPy on the CPU, CuPy on a CUDA GPU.

`get_xp` is the switch. It is asked once, when a network is made or moved; all code below asks the arrays
that it was given (`xp_of`), so that the same lines run on both. There is no current device and no global
state. The operations at the end are those in which NumPy and CuPy need different calls or care.
"""

from __future__ import annotations

import math
import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy

from xpnn.errors import DeviceError
from xpnn.failures import device_error, first_line, is_cuda_error, is_out_of_memory, shortage

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray
ArrayModule: TypeAlias = Any  # the module numpy, or the module cupy

INSTALL_CUPY = "pip install 'xpnn[cuda12x]' (CUDA 12) or 'xpnn[cuda13x]' (CUDA 13)"
NO_CUPY = f"CuPy is not installed; {INSTALL_CUPY}"


@dataclass(frozen=True)
class Device:
    """A place for arrays: `Device("cpu")` or `Device("cuda", 1)`. `Device.named` also checks that it is there."""

    kind: str
    index: int = 0

    @staticmethod
    def named(name: str | Device) -> Device:
        """The usable device called "cpu", "cuda", "cuda:N" or "auto" (the first GPU, else the CPU).

        Raises ValueError for any other name, and DeviceError, with the remedy, if the device can't be used.
        """
        name = str(name)
        if not Device.is_name(name):
            raise ValueError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N (such as cuda:1)")
        kind, _, number = name.partition(":")
        if kind == "auto":
            return Device("cpu") if why_no_cuda() else Device("cuda")
        if kind == "cuda":
            problem = why_no_cuda(int(number or 0))
            if problem:
                raise DeviceError(f"device {name} can't be used: {problem}")
        return Device(kind, int(number or 0))

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether this is how a device is called, be it there or not."""
        return re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", name) is not None

    @property
    def xp(self) -> ArrayModule:
        """NumPy or CuPy."""
        if self.kind == "cpu":
            return numpy
        import cupy

        return cupy

    def active(self) -> AbstractContextManager[Any]:
        """Inside `with device.active():` new CUDA arrays are made on this device; on the CPU it does nothing.

        Do all device work inside it: CUDA errors raised there, such as a lack of memory, become DeviceError.
        """
        return _NOTHING if self.kind == "cpu" else _OnCard(self.xp.cuda.Device(self.index))

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


_NOTHING: AbstractContextManager[Any] = nullcontext()


class _OnCard:
    """The context of `Device.active` on CUDA. Nested ones say nothing twice: DeviceErrors pass through."""

    def __init__(self, card: Any) -> None:
        self.card = card

    def __enter__(self) -> None:
        try:
            self.card.__enter__()
        except Exception as error:
            if not is_cuda_error(error):
                raise
            raise device_error(error, self.card) from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.card.__exit__(kind, error, trace)
        except Exception as at_leaving:  # leaving a lost device fails, too; the first error says more
            if not (is_cuda_error(error) or isinstance(error, DeviceError)):
                error = at_leaving
                if not is_cuda_error(error):
                    raise
        if error is not None and is_cuda_error(error):
            raise device_error(error, self.card) from error


def get_xp(device: str | Device = "auto") -> ArrayModule:
    """The array module of a device: numpy for "cpu", cupy for "cuda" and "cuda:N"; "auto" prefers a usable GPU.

    Raises ValueError for an unknown name, DeviceError (with the remedy) for a device that can't be used.
    """
    return Device.named(device).xp


def why_no_cuda(index: int = 0) -> str:
    """Why CUDA device `index` can't be used, with the remedy; an empty string if it can."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            return f"CuPy is installed but incomplete ({error}); reinstall it: {INSTALL_CUPY}"
        return NO_CUPY
    except Exception as error:  # a broken CuPy raises whatever its loader meets
        return f"CuPy is installed but can't be imported ({first_line(error)}); reinstall it: {INSTALL_CUPY}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = first_line(error)
        if "NoDevice" in reason:
            return "the NVIDIA driver finds no CUDA card; check that nvidia-smi lists one, or use --device cpu"
        if "InsufficientDriver" in reason:
            return (
                "there is no NVIDIA driver, or it is older than this CuPy needs; install or update the driver "
                f"(nvidia-smi shows its CUDA version), then the matching CuPy: {INSTALL_CUPY}"
            )
        return f"the CUDA runtime reports {reason}; check nvidia-smi, or use --device cpu"
    if index >= count:
        there = ", ".join(f"cuda:{number}" for number in range(count)) or "none"
        return f"there is no cuda:{index}; the devices here are: {there}"
    return _why_no_kernel(cupy, index)


def _why_no_kernel(cupy: ArrayModule, index: int) -> str:
    """Multiply two small matrices: it shows whether memory, cuBLAS and the CUDA compiler can be had."""
    try:
        with cupy.cuda.Device(index):
            zeros = cupy.zeros((2, 2), dtype="float32")  # 1 x 1 would not go through cuBLAS
            float(cupy.sum(cupy.add(cupy.matmul(zeros, zeros), 1)))
    except Exception as error:  # driver, compiler and loader each raise their own kinds
        if is_out_of_memory(error):
            facts = shortage(error, cupy.cuda.Device(index))
            return f"it is out of memory: {facts}; end what else is on it (nvidia-smi lists it), or use --device cpu"
        return (
            f"CuPy can't run on cuda:{index} ({first_line(error)}); if a CUDA library is missing, "
            "pip install 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]'"
        )
    return ""


def xp_of(*arrays: Array) -> ArrayModule:
    """The array module that all `arrays` belong to.

    Raises TypeError on a mix of host and device arrays, or on what is neither. CuPy is never imported to find out.
    """
    for array in arrays:
        if type(array) is not numpy.ndarray:
            break
    else:  # by far the most often, and asked in every operation: ten times quicker than what follows
        if arrays:
            return numpy
    modules = {type(array).__module__.partition(".")[0] for array in arrays}
    if modules == {"numpy"}:
        return numpy
    if modules == {"cupy"}:
        return sys.modules["cupy"]
    if modules == {"numpy", "cupy"}:
        raise TypeError("host (NumPy) and device (CuPy) arrays are mixed; move one with to_device or to_host")
    kinds = ", ".join(sorted({type(array).__name__ for array in arrays})) or "nothing"
    raise TypeError(f"expected NumPy or CuPy arrays, not {kinds}")


def to_device(array: Array, device: Device) -> Array:
    """`array` on `device`: the same object if it is there already, else a copy.

    Raises TypeError for a CUDA array when the device is the CPU: such a copy must be asked for with `to_host`.
    """
    if device.kind == "cpu":
        if xp_of(array) is not numpy:
            raise TypeError(
                "a CUDA array was given to a network on the CPU; copy it to the host (xpnn.to_host(array), or "
                "PyTorch's tensor.cpu()), or move the net to the card (net.to('cuda'))"
            )
        return array
    with device.active():
        return device.xp.asarray(array)


def is_on_host(array: Array) -> bool:
    """Whether it is a NumPy array. Raises TypeError for what is no array."""
    return xp_of(array) is numpy


def usable_cores() -> int:
    """How many of the CPU's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: Device) -> float:
    """Bytes that new arrays may take on the device; of the CPU's no limit is known.

    CuPy keeps what arrays have given back: the driver calls that used, and new arrays can have it.
    """
    if device.kind == "cpu":
        return math.inf
    with device.active():
        free, _ = device.xp.cuda.Device(device.index).mem_info
        pool = device.xp.get_default_memory_pool()
        limit = pool.get_limit() or math.inf  # CUPY_GPU_MEMORY_LIMIT
        return float(min(free + pool.free_bytes(), limit - pool.used_bytes()))


def to_host(array: Array) -> Array:
    """`array` as a NumPy array: itself if it is one, else a copy, for which the device finishes its work first.

    Raises DeviceError where that work has failed.
    """
    if is_on_host(array):
        return array
    with Device("cuda", array.device.id).active():
        return array.get()


def as_floats(array: Array, dtype: str) -> Array:
    """`array` as floats of `dtype`, row after row in memory: itself if it is that already.

    What is too large becomes infinite, in silence.
    """
    with numpy.errstate(over="ignore", invalid="ignore"):  # CuPy never warns
        return array.astype(dtype, order="C", copy=False)


def all_finite(rows: Array) -> bool:
    """Whether all numbers of rows (n, k) are finite. Waits for the device.

    Sums of rows that are finite come of finite numbers, and on the CPU a product with ones, which goes through memory
    once and by all of BLAS's threads, gives them quicker than `isfinite` looks at each. Others are looked at.
    """
    xp = xp_of(rows)
    if xp is numpy and len(rows) > 1:
        with numpy.errstate(over="ignore", invalid="ignore"):
            sums = numpy.dot(rows, numpy.ones(rows.shape[1], dtype=rows.dtype))
        if numpy.isfinite(sums).all():
            return True
    return bool(xp.isfinite(rows).all())


def exponential(z: Array) -> None:
    """z becomes e^z, in place. What is too large becomes infinite, in silence."""
    with numpy.errstate(over="ignore"):  # CuPy never warns
        xp_of(z).exp(z, out=z)


def matmul(a: Array, b: Array, out: Array) -> None:
    """out = a @ b, for 2-D arrays. Shapes (n, k), (k, m), (n, m)."""
    xp = xp_of(a, b, out)
    if a.shape[1] == 1:  # an outer product: NumPy's matmul is four times slower than broadcasting here
        xp.multiply(a, b, out=out)
    else:
        xp.matmul(a, b, out=out)


def matmul_narrow(a: Array, b: Array, out: Array) -> None:
    """`matmul` on the CPU for many rows, where b may be a transposed view of few columns.

    For products of up to 10^6 multiplications OpenBLAS has a kernel of its own on CPUs with AVX-512, which takes such a
    view only where it is much smaller, and its copy in order two to three times as quickly as the others do. With ten
    columns or more several threads are quicker than it; below 10^5, and on other CPUs, it makes little difference.
    """
    if len(a) >= 512 and 1 < b.shape[1] < 10 and 10**5 <= a.size * b.shape[1] <= 10**6:
        b = numpy.ascontiguousarray(b)
    matmul(a, b, out)


def take(array: Array, rows: Array, out: Array) -> None:
    """out = array[rows] along the first axis. The rows must exist: no device checks it."""
    xp = xp_of(array, rows, out)
    if xp is numpy:
        numpy.take(array, rows, axis=0, out=out, mode="clip")  # any other mode makes NumPy buffer the output
    else:
        xp.take(array, rows, axis=0, out=out)
