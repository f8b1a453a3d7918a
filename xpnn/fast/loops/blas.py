"""Matrix products for compiled loops, by the BLAS that SciPy brings.

NumPy's own BLAS can't be called from a loop. The two have threads of their own, which get in each other's way: a loop
calls this one alone.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba.extending import get_cython_function_address

from xpnn.fast.loops import compiled
from xpnn.fast.loops.intrinsics import call

Blas: TypeAlias = Any  # of `blas_for`

NAMES = {"float32": "sgemm", "float64": "dgemm"}
AS_IT_IS, TURNED = ord("N"), ord("T")


def blas_for(dtype: str) -> Blas:
    """What `add_product` needs for arrays of this dtype: the address of BLAS's gemm, and room for its arguments.

    Its whole numbers must be C's int: see `xpnn.fast.compiled.blas_is_known`.
    """
    address = get_cython_function_address("scipy.linalg.cython_blas", NAMES[dtype])
    return address, np.empty(8, dtype="int32"), np.empty(2, dtype=dtype)


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
