"""What Numba has no word for, said to its compiler, LLVM."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

POINTERS = 13


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


@intrinsic
def power_of_two(typingctx: Any, k: Any) -> Any:
    """2^k for a whole k that the dtype has the power of: k becomes the exponent's bits (IEEE 754)."""
    size, fraction, bias = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}[k]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(size)
        exponent = builder.add(builder.fptosi(arguments[0], whole), whole(bias))
        return builder.bitcast(builder.shl(exponent, whole(fraction)), arguments[0].type)

    return k(k), code
