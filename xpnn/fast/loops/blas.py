"""Matrix products for compiled loops, by the BLAS that SciPy brings.

NumPy's own BLAS can't be called from a loop. The two have threads of their own, which get in each other's way: a loop
calls this one alone.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import get_cython_function_address, intrinsic

from xpnn.fast.loops import compiled

Blas: TypeAlias = Any  # of `blas_for`

NAMES = {"float32": "sgemm", "float64": "dgemm"}
POINTERS = 13
AS_IT_IS, TURNED = ord("N"), ord("T")


def blas_for(dtype: str) -> Blas:
    """What `add_product` needs for arrays of this dtype: the address of BLAS's gemm, and room for its arguments.

    Its whole numbers must be C's int: see `xpnn.fast.compiled.blas_is_known`.
    """
    address = get_cython_function_address("scipy.linalg.cython_blas", NAMES[dtype])
    return address, np.empty(8, dtype="int32"), np.empty(2, dtype=dtype)


@intrinsic
def call(typingctx: Any, address: Any, pointers: Any) -> Any:
    """Call the function at an address with so many pointers.

    The address is an argument, for Numba doesn't keep on disk what has one compiled in.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * POINTERS)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [builder.extract_value(arguments[1], i) for i in range(POINTERS)])
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, POINTERS)), code  # type: ignore[no-untyped-call]  # Numba's


@compiled
def add_product(blas: Blas, a: Any, a_turned: bool, b: Any, b_turned: bool, alpha: Any, c: Any, beta: Any) -> None:
    """c (m, n) = alpha A B + beta c, where A (m, k) is `a`, or a^T if it is turned, and B (k, n) likewise.

    BLAS reads arrays column after column, and so sees C^T = B^T A^T.
    """
    address, words, factors = blas
    (m, n), k = c.shape, a.shape[0] if a_turned else a.shape[1]
    words[0], words[1] = TURNED if b_turned else AS_IT_IS, TURNED if a_turned else AS_IT_IS
    words[2], words[3], words[4] = n, m, k
    words[5], words[6], words[7] = b.shape[1], a.shape[1], n
    factors[0], factors[1] = alpha, beta
    w, f, f1 = np.int64(words.ctypes.data), np.int64(factors.ctypes.data), np.int64(factors[1:].ctypes.data)
    at_a, at_b, at_c = np.int64(a.ctypes.data), np.int64(b.ctypes.data), np.int64(c.ctypes.data)
    call(address, (w, w + 4, w + 8, w + 12, w + 16, f, at_b, w + 20, at_a, w + 24, f1, at_c, w + 28))  # type: ignore[call-arg]  # Numba gives the context
