"""Comparisons of 64 numbers at a time, whose results are the bits of one integer.

A loop that looks for the few small numbers in a block spends most of its time on asking. Compilers make fast loops of
sums, but not of "where": here it is said in LLVM's vectors, which every processor has instructions for.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Numbers compared at a time.
LANES = 64


def _lanes(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """The vector ``array[start : start + LANES]`` of a contiguous array."""
    data = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
    place = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
    return builder.load(place, align=kind.dtype.bitwidth // 8)


def _compare(context: Any, builder: Any, values: Any, limit: Any) -> Any:
    vector = values.type
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), limit, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    every = builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)
    return builder.bitcast(builder.fcmp_ordered("<=", values, every), ir.IntType(64))


def _signature(values: Any, limit: Any) -> Any:
    return types.uint64(values, values, types.int64, limit)


@intrinsic  # type: ignore[untyped-decorator]
def products_at_most(typing: Any, values: Any, factors: Any, start: Any, limit: Any) -> Any:
    """Bit k: ``values[start + k] * factors[start + k] <= limit``; contiguous arrays of one type, 64 numbers there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at, most = arguments
        first, second = (_lanes(context, builder, signature.args[0], array, at) for array in (a, b))
        return _compare(context, builder, builder.fmul(first, second), most)

    return _signature(values, limit), generate


@intrinsic  # type: ignore[untyped-decorator]
def sums_at_most(typing: Any, values: Any, terms: Any, start: Any, limit: Any) -> Any:
    """Bit k: ``values[start + k] + terms[start + k] <= limit``; see `products_at_most`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at, most = arguments
        first, second = (_lanes(context, builder, signature.args[0], array, at) for array in (a, b))
        return _compare(context, builder, builder.fadd(first, second), most)

    return _signature(values, limit), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; of no bits, 64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), generate
