"""Matrix products by cuBLAS itself, since CuPy's own can't be recorded into a CUDA graph.

CuPy refuses to call cuBLAS while a stream is captured (its issue 6290). The library, which CuPy has loaded already, is
called here through its C interface, on a handle and a workspace of our own. cuBLAS takes matrices by columns; a matrix
by rows is the transpose of one by columns, so out = a b is asked for as out^T = b^T a^T.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from xpnn.backend import Array, ArrayModule
from xpnn.errors import DeviceError
from xpnn.failures import CublasError

WORKSPACE = 32 << 20  # bytes, what NVIDIA advises for Hopper; without its own, a graph's replay would share CuPy's
N, T = 0, 1  # cublasOperation_t
DEFAULT_ALGORITHM = -1
# cudaDataType, cublasComputeType_t and the type of alpha and beta, by the arrays' dtype and the products' precision.
FLOAT, DOUBLE = 0, 1
COMPUTE_TYPES = {
    ("float32", "float32"): 68,  # CUBLAS_COMPUTE_32F
    ("float32", "tf32"): 77,  # CUBLAS_COMPUTE_32F_FAST_TF32
    ("float32", "bf16"): 75,  # CUBLAS_COMPUTE_32F_FAST_16BF: rounded on their way in, summed in float32
    ("float64", "float32"): 70,  # CUBLAS_COMPUTE_64F
}


class Cublas:
    """A handle for the current device: products of float32 or float64 matrices, on whatever stream is current.

    precision: "float32", or "tf32" or "bf16": how the factors' digits are cut on their way into the tensor cores (10 or
               7 bits of fraction instead of 23). Sums and results are float32 all the same.

    Raises CublasError where cuBLAS reports a failure, ValueError for a precision that the dtype can't have.
    """

    def __init__(self, xp: ArrayModule, dtype: str, precision: str = "float32") -> None:
        if (dtype, precision) not in COMPUTE_TYPES:
            raise ValueError(f"products of {dtype} can't be rounded to {precision}; choose dtype float32")
        self.xp, self.library = xp, library()
        self.compute_type, self.exact = COMPUTE_TYPES[dtype, precision], COMPUTE_TYPES[dtype, "float32"]
        self.data_type = FLOAT if dtype == "float32" else DOUBLE
        self.scalar: Any = ctypes.c_float if dtype == "float32" else ctypes.c_double
        self.workspace = xp.empty(WORKSPACE, dtype="uint8")
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))

    def matmul(
        self, a: Array, b: Array, out: Array, alpha: float = 1.0, beta: float = 0.0, rounds: bool = True
    ) -> None:
        """out = alpha a @ b + beta out. Shapes (n, k), (k, m), (n, m); a and b by rows or transposed, out by rows.

        rounds: whether the factors are cut to the handle's precision.
        """
        # Each time, for a stream that is new may have the address of one that is gone; it costs a graph nothing.
        stream = ctypes.c_void_p(self.xp.cuda.get_current_stream().ptr)
        self._call("cublasSetStream_v2", self.handle, stream)  # which takes the workspace away
        self._call("cublasSetWorkspace_v2", self.handle, _pointer(self.workspace), ctypes.c_size_t(WORKSPACE))
        (n, k), m = a.shape, b.shape[1]
        (kind_a, lead_a), (kind_b, lead_b), (kind_out, lead_out) = map(_layout, (a, b, out))
        if kind_out != N or b.shape[0] != k or out.shape != (n, m):
            raise ValueError(f"can't write the product of {a.shape} and {b.shape} into {out.shape}, by rows")
        typed = ctypes.c_int(self.data_type)
        self._call(
            "cublasGemmEx",
            *(self.handle, ctypes.c_int(kind_b), ctypes.c_int(kind_a)),
            *(ctypes.c_int(m), ctypes.c_int(n), ctypes.c_int(k), ctypes.byref(self.scalar(alpha))),
            *(_pointer(b), typed, ctypes.c_int(lead_b), _pointer(a), typed, ctypes.c_int(lead_a)),
            *(ctypes.byref(self.scalar(beta)), _pointer(out), typed, ctypes.c_int(lead_out)),
            *(ctypes.c_int(self.compute_type if rounds else self.exact), ctypes.c_int(DEFAULT_ALGORITHM)),
        )

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self.library, function)(*arguments)
        if status:
            raise CublasError(f"{function} failed: {_name_of(self.library, status)}")

    def __del__(self) -> None:
        if getattr(self, "handle", None) and not sys.is_finalizing():
            self.library.cublasDestroy_v2(self.handle)


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data.ptr)


def _layout(matrix: Array) -> tuple[int, int]:
    """Whether a matrix lies by rows (N) or is the transpose of one that does (T), and the numbers from row to row.

    Where there is one row alone, the stride says nothing, but cuBLAS wants it as long as a row.
    """
    (rows, columns), (across, along), size = matrix.shape, matrix.strides, matrix.itemsize
    if along == size or columns == 1:
        return N, across // size if rows > 1 else columns
    if across == size or rows == 1:
        return T, along // size
    raise ValueError(f"a matrix of shape {matrix.shape} and strides {matrix.strides} is neither by rows nor by columns")


def _name_of(library: Any, status: int) -> str:
    library.cublasGetStatusString.restype = ctypes.c_char_p
    name: bytes | None = library.cublasGetStatusString(status)
    return name.decode() if name else f"status {status}"


@cache
def library() -> Any:
    """The cuBLAS that CuPy uses. Raises DeviceError where it can't be loaded."""
    try:
        return ctypes.CDLL(_library_path())
    except Exception as error:
        raise DeviceError(f"cuBLAS can't be loaded ({error}); pip install 'cupy-cuda12x[ctk]', or cuda13x") from error


def _library_path() -> str:
    """CuPy 14 finds CUDA's libraries by NVIDIA's path finder, which names what is loaded; before that it has a name."""
    path = None
    with suppress(ModuleNotFoundError):
        from cuda.pathfinder import load_nvidia_dynamic_lib

        path = load_nvidia_dynamic_lib("cublas").abs_path
    major = sys.modules["cupy"].cuda.runtime.runtimeGetVersion() // 1000
    return path or (f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}")
