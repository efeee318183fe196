"""Explicit SIMD, as LLVM vectors, for loops that LLVM does not vectorise well.

Comparisons of 64 numbers at a time, whose results are the bits of one integer: a search for the few small numbers in
a block otherwise spends most of its time on comparisons. And squared distances of several points to a block of others
with all sums in registers: a loop over points loads and stores the sums for every few features.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.core.jit import uncounted

#: Numbers compared at a time.
LANES = 64
#: Rows whose squared distances are computed together, and to how many others: sums for all of these have to fit the
#: registers, 32 of 16 numbers with AVX-512 and 16 of 8 or 32 of 4 without.
TOGETHER = 4
ACROSS = 64 if binding.get_host_cpu_features().get("avx512f") else 16
#: Fast-math flags of sums whose error is bounded separately: fused operations are allowed.
LOOSE = ("contract", "nsz")


def _lanes(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """The vector ``array[start : start + LANES]`` of a contiguous array."""
    data = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
    place = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
    return builder.load(place, align=kind.dtype.bitwidth // 8)


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of one number."""
    vector = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def _compare(context: Any, builder: Any, values: Any, limit: Any, others: Any = None) -> Any:
    every = _spread(builder, limit, LANES)
    if others is not None:
        every = builder.select(builder.fcmp_ordered("<", every, others), others, every)
    return builder.bitcast(builder.fcmp_ordered("<=", values, every), ir.IntType(64))


def _signature(values: Any, limit: Any) -> Any:
    return types.uint64(values, values, types.int64, limit)


@intrinsic  # type: ignore[untyped-decorator]
def _products_at_most(typing: Any, values: Any, factors: Any, start: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at, most = arguments
        first, second = (_lanes(context, builder, signature.args[0], array, at) for array in (a, b))
        return _compare(context, builder, builder.fmul(first, second), most)

    return _signature(values, limit), generate


@intrinsic  # type: ignore[untyped-decorator]
def _products_at_most_either(typing: Any, values: Any, factors: Any, start: Any, limit: Any, limits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at, most, each = arguments
        first, second, others = (_lanes(context, builder, signature.args[0], array, at) for array in (a, b, each))
        return _compare(context, builder, builder.fmul(first, second), most, others)

    return types.uint64(values, values, types.int64, limit, values), generate


@intrinsic  # type: ignore[untyped-decorator]
def _sums_at_most(typing: Any, values: Any, terms: Any, start: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at, most = arguments
        first, second = (_lanes(context, builder, signature.args[0], array, at) for array in (a, b))
        return _compare(context, builder, builder.fadd(first, second), most)

    return _signature(values, limit), generate


@intrinsic  # type: ignore[untyped-decorator]
def _others(typing: Any, numbers: Any, start: Any, own: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        found = _lanes(context, builder, signature.args[0], array, at)
        return builder.bitcast(builder.icmp_unsigned("!=", found, _spread(builder, value, LANES)), ir.IntType(64))

    return types.uint64(numbers, types.int64, numbers.dtype), generate


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _squares(typing: Any, features: Any, ours: Any, places: Any, first: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_value_type(features.dtype)
        vector, integer = ir.VectorType(number, ACROSS), ir.IntType(64)
        arrays = {at: context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (0, 1, 2, 4)}
        width = {at: cgutils.unpack_tuple(builder, arrays[at].shape)[-1] for at in (0, 1, 4)}
        count = cgutils.unpack_tuple(builder, arrays[0].shape)[0]

        def pointer(array: int, row: Any, column: Any) -> Any:
            return builder.gep(arrays[array].data, [builder.add(builder.mul(row, width[array]), column)])

        rows = [
            builder.load(builder.gep(arrays[2].data, [builder.add(arguments[3], integer(r))]))
            for r in range(TOGETHER)
        ]
        with cgutils.for_range_slice(builder, integer(0), width[0], integer(ACROSS), integer) as (column, _):
            before, inside, after = builder.block, *(builder.append_basic_block(name) for name in ("sum", "summed"))
            builder.branch(inside)
            builder.position_at_end(inside)
            k = builder.phi(integer)
            sums = [builder.phi(vector) for _ in range(TOGETHER)]
            theirs = builder.load(
                builder.bitcast(pointer(0, k, column), vector.as_pointer()), align=features.dtype.bitwidth // 8
            )
            new = []
            for r in range(TOGETHER):
                mine = _spread(builder, builder.load(pointer(1, k, rows[r])), ACROSS)
                d = builder.fsub(theirs, mine, flags=LOOSE)
                new.append(builder.fadd(sums[r], builder.fmul(d, d, flags=LOOSE), flags=LOOSE))
            following = builder.add(k, integer(1))
            for phi, begun, later in (
                (k, integer(0), following),
                *((s, vector([0.0] * ACROSS), t) for s, t in zip(sums, new, strict=True)),
            ):
                phi.add_incoming(begun, before)
                phi.add_incoming(later, inside)
            builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
            builder.position_at_end(after)
            for r in range(TOGETHER):
                place = builder.bitcast(pointer(4, integer(r), column), vector.as_pointer())
                builder.store(new[r], place, align=features.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(features, ours, places, types.int64, out), generate


# Plain functions around them: kernels are kept on disk under a hash of the functions they capture, and an intrinsic
# among the globals of such a function is pickled under another name in each process.


@uncounted
def products_at_most(values, factors, start, limit):
    """Bit k: ``values[start + k] * factors[start + k] <= limit``; contiguous arrays of one type, 64 numbers there."""
    return _products_at_most(values, factors, start, limit)


@uncounted
def products_at_most_either(values, factors, start, limit, limits):
    """The same for ``limit`` or ``limits[start + k]``, whichever is larger."""
    return _products_at_most_either(values, factors, start, limit, limits)


@uncounted
def sums_at_most(values, terms, start, limit):
    """Bit k: ``values[start + k] + terms[start + k] <= limit``; see `products_at_most`."""
    return _sums_at_most(values, terms, start, limit)


@uncounted
def others(numbers, start, own):
    """Bit k: ``numbers[start + k] != own``; whole numbers in a contiguous array, 64 of them there."""
    return _others(numbers, start, own)


@uncounted
def lowest_bit(bits):
    """Index of the lowest set bit; 64 if none is set."""
    return _lowest_bit(bits)


@uncounted
def squares(features, ours, places, first, out):
    """``out[r, j]``: the sum over k of ``(features[k, j] - ours[k, places[first + r]])**2``, for `TOGETHER` rows r.

    In any order and with fused operations: only for uses that bound the error. All arrays are contiguous,
    ``features`` and ``out`` with a multiple of `LANES` columns, of one type; there is at least one feature.
    """
    return _squares(features, ours, places, first, out)
