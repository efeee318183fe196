"""Prefetching: rows of a matrix that is larger than the caches of a core are asked for before they are searched."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.core.jit import uncounted

#: Bytes of a cache line.
LINE = 64


@intrinsic  # type: ignore[untyped-decorator]
def _ask(typing: Any, row: Any, begin: Any, end: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, first, last = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        integer, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        ask = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        )
        step = ir.IntType(64)(LINE * 8 // signature.args[0].dtype.bitwidth)
        with cgutils.for_range_slice(builder, first, last, step, step.type) as (at, _):
            place = builder.bitcast(builder.gep(data, [at]), pointer)
            builder.call(ask, [place, integer(0), integer(3), integer(1)])  # to read, into the first level, data
        return context.get_dummy_value()

    return types.void(row, types.int64, types.int64), generate


@uncounted
def ask(row, begin, end):
    """Begin to load ``row[begin:end]`` of a contiguous array into the cache."""
    _ask(row, begin, end)
