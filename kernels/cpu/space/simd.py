"""Explicit SIMD, as LLVM vectors, for loops that LLVM does not vectorise well.

Comparisons of 64 numbers at a time, whose results are the bits of one integer: a search for the few small numbers in
a block otherwise spends most of its time on comparisons. And squared distances of several points to a block of others
with all sums in registers: a loop over points loads and stores the sums for every few features.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuclust.core.bits import popcount
from gpuclust.core.jit import uncounted

#: Numbers compared at a time.
LANES = 64
#: Rows whose squared distances are computed together, and to how many others: sums for all of these have to fit the
#: registers, 32 of 16 numbers with AVX-512 and 16 of 8 or 32 of 4 without.
TOGETHER = 4
#: `ACROSS` is for float32; half as many in float64.
ACROSS = 64 if binding.get_host_cpu_features().get("avx512f") else 16
#: Of these, how many numbers of 32 bits are one vector: LLVM finds the instruction for sums of products of 16 bits in
#: vectors of the width of a register.
PIECE = min(ACROSS, 16)
#: Numbers of which the least is kept in registers: four of 8 numbers with AVX-512.
LEAST = 32
#: Fast-math flags of sums whose error is bounded separately: fused operations are allowed.
LOOSE = ("contract", "nsz")


def _lanes(context: Any, builder: Any, kind: Any, array: Any, start: Any, lanes: int = LANES) -> Any:
    """The vector ``array[start : start + lanes]`` of a contiguous array."""
    data = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(kind.dtype), lanes)
    place = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
    return builder.load(place, align=kind.dtype.bitwidth // 8)


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of one number."""
    vector = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def _compare(context: Any, builder: Any, values: Any, limit: Any, others: Any = None) -> Any:
    every = spread(builder, limit, LANES)
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
def _least_sum(typing: Any, values: Any, terms: Any, start: Any, end: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, begin, stop = arguments
        integer, kinds = begin.type, signature.args
        number = context.get_value_type(values.dtype)
        vector = ir.VectorType(number, LEAST)
        least = cgutils.alloca_once_value(builder, ir.Constant(vector, [float("inf")] * LEAST))

        def take(at: Any) -> None:
            each, other = (
                _lanes(context, builder, kind, array, at, LEAST)
                for kind, array in zip(kinds[:2], (a, b), strict=True)
            )
            found, known = builder.fadd(each, other), builder.load(least)
            builder.store(builder.select(builder.fcmp_ordered("<", found, known), found, known), least)

        last = builder.sub(stop, integer(LEAST))
        with cgutils.for_range_slice(builder, begin, last, integer(LEAST), integer) as (at, _):
            take(at)
        take(last)
        found, lanes = builder.load(least), LEAST
        while lanes > 1:
            lanes //= 2
            halves = [
                builder.shuffle_vector(
                    found,
                    ir.Constant(found.type, ir.Undefined),
                    ir.Constant(ir.VectorType(ir.IntType(32), lanes), [half * lanes + k for k in range(lanes)]),
                )
                for half in range(2)
            ]
            found = builder.select(builder.fcmp_ordered("<", *halves), *halves)
        return builder.extract_element(found, ir.IntType(32)(0))

    return values.dtype(values, terms, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _others(typing: Any, numbers: Any, start: Any, own: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        found = _lanes(context, builder, signature.args[0], array, at)
        return builder.bitcast(builder.icmp_unsigned("!=", found, spread(builder, value, LANES)), ir.IntType(64))

    return types.uint64(numbers, types.int64, numbers.dtype), generate


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), generate


def _four_sums(
    context: Any, builder: Any, signature: Any, arguments: Any, term: Any, finish: Any, begin: Any, end: Any
) -> Any:
    """For `TOGETHER` rows and the columns ``begin`` to ``end`` of a block: the sums of ``term`` over the features.

    The first arguments are those of `squares_of_strip`. ``term(builder, sum, theirs, mine)`` adds a feature to the
    sums, ``finish(pointer, sums, rows, column)`` makes the results of them; ``pointer(array, row, column)`` is a
    place in an argument.
    """
    features = signature.args[0]
    number = context.get_value_type(features.dtype)
    lanes = ACROSS * 32 // features.dtype.bitwidth
    vector, integer = ir.VectorType(number, lanes), ir.IntType(64)
    arrays = {
        at: context.make_array(kind)(context, builder, arguments[at])
        for at, kind in enumerate(signature.args)
        if isinstance(kind, types.Array)
    }
    width = {at: cgutils.unpack_tuple(builder, array.shape)[-1] for at, array in arrays.items()}
    count = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
    out = len(signature.args) - 1
    size = features.dtype.bitwidth // 8

    def pointer(array: int, row: Any, column: Any) -> Any:
        return builder.gep(arrays[array].data, [builder.add(builder.mul(row, width[array]), column)])

    def across(place: Any) -> Any:
        return builder.bitcast(place, vector.as_pointer())

    rows = [
        builder.load(builder.gep(arrays[2].data, [builder.add(arguments[3], integer(r))])) for r in range(TOGETHER)
    ]
    with cgutils.for_range_slice(builder, begin, end, integer(lanes), integer) as (column, _):
        before, inside, after = builder.block, *(builder.append_basic_block(name) for name in ("sum", "summed"))
        builder.branch(inside)
        builder.position_at_end(inside)
        k = builder.phi(integer)
        sums = [builder.phi(vector) for _ in range(TOGETHER)]
        theirs = builder.load(across(pointer(0, k, column)), align=size)
        new = [
            term(builder, sums[r], theirs, spread(builder, builder.load(pointer(1, k, rows[r])), lanes))
            for r in range(TOGETHER)
        ]
        following = builder.add(k, integer(1))
        for phi, begun, later in (
            (k, integer(0), following),
            *((s, vector([0.0] * lanes), t) for s, t in zip(sums, new, strict=True)),
        ):
            phi.add_incoming(begun, before)
            phi.add_incoming(later, inside)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)
        for r, result in enumerate(finish(pointer, across, new, rows, column)):
            place = across(pointer(out, integer(r), builder.sub(column, begin)))
            builder.store(result, place, align=size)
    return context.get_dummy_value()


def _add_square(builder: Any, total: Any, theirs: Any, mine: Any, flags: tuple[str, ...] = LOOSE) -> Any:
    d = builder.fsub(theirs, mine, flags=flags)
    return builder.fadd(total, builder.fmul(d, d, flags=flags), flags=flags)


def _add_product(builder: Any, total: Any, theirs: Any, mine: Any, flags: tuple[str, ...] = LOOSE) -> Any:
    return builder.fadd(total, builder.fmul(theirs, mine, flags=flags), flags=flags)


def _as_they_are(pointer: Any, across: Any, sums: Any, rows: Any, column: Any) -> Any:
    return sums


def _exact_sums(term: Any) -> Any:
    """An intrinsic of sums in the order of features, each operation rounded: the bits of any other loop in order."""

    def exact_sums(typing: Any, features: Any, ours: Any, places: Any, first: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            integer = ir.IntType(64)
            strictly = partial(term, flags=())
            return _four_sums(
                context, builder, signature, arguments, strictly, _as_they_are, integer(0), integer(LANES)
            )

        return types.void(features, ours, places, types.int64, out), generate

    return intrinsic(exact_sums)


_exact_squares, _exact_products = _exact_sums(_add_square), _exact_sums(_add_product)


@intrinsic  # type: ignore[untyped-decorator]
def _squares(typing: Any, features: Any, ours: Any, places: Any, first: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(64)
        width = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        )[-1]
        span = integer(0), width
        return _four_sums(context, builder, signature, arguments, _add_square, _as_they_are, *span)

    return types.void(features, ours, places, types.int64, out), generate


@intrinsic  # type: ignore[untyped-decorator]
def _squares_of_strip(typing: Any, features: Any, ours: Any, places: Any, first: Any, start: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        span = arguments[4], builder.add(arguments[4], ir.IntType(64)(LANES))
        return _four_sums(context, builder, signature, arguments, _add_square, _as_they_are, *span)

    return types.void(features, ours, places, types.int64, types.int64, out), generate


@intrinsic  # type: ignore[untyped-decorator]
def _products_of_strip(
    typing: Any, features: Any, ours: Any, places: Any, first: Any, start: Any, norms: Any, less: Any, out: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = features.dtype.bitwidth // 8

        def finish(pointer: Any, across: Any, sums: Any, rows: Any, column: Any) -> Any:
            theirs = builder.load(across(pointer(5, ir.IntType(64)(0), column)), align=size)
            for total, row in zip(sums, rows, strict=True):
                mine = spread(builder, builder.load(pointer(6, ir.IntType(64)(0), row)), theirs.type.count)
                twice = builder.fadd(total, total, flags=LOOSE)
                yield builder.fsub(builder.fadd(mine, theirs, flags=LOOSE), twice, flags=LOOSE)

        span = arguments[4], builder.add(arguments[4], ir.IntType(64)(LANES))
        return _four_sums(context, builder, signature, arguments, _add_product, finish, *span)

    return types.void(features, ours, places, types.int64, types.int64, norms, less, out), generate


def _dots(builder: Any, theirs: Any, mine: Any) -> Any:
    """Products of pairs of 16-bit integers, added in 32 bits: on x86 one instruction, with VNNI also the next sum."""
    whole, lanes = ir.IntType(32), theirs.type.count // 2
    wide = ir.VectorType(whole, 2 * lanes)
    products = builder.mul(builder.sext(theirs, wide), builder.sext(mine, wide))
    even, odd = (
        builder.shuffle_vector(
            products,
            ir.Constant(wide, ir.Undefined),
            ir.Constant(ir.VectorType(whole, lanes), list(range(side, 2 * lanes, 2))),
        )
        for side in range(2)
    )
    return builder.add(even, odd)


@intrinsic  # type: ignore[untyped-decorator]
def _add_dots(typing: Any, theirs: Any, ours: Any, places: Any, first: Any, begin: Any, end: Any, sums: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, whole = ir.IntType(64), ir.IntType(32)
        vector, halves = ir.VectorType(whole, PIECE), ir.VectorType(ir.IntType(16), 2 * PIECE)
        strip, rows, chosen, out = (
            context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (0, 1, 2, 6)
        )
        width = cgutils.unpack_tuple(builder, rows.shape)[-1]
        start, begun, stop = arguments[3:6]
        mine = [builder.load(builder.gep(chosen.data, [builder.add(start, integer(r))])) for r in range(TOGETHER)]

        def across(data: Any, row: Any, column: Any, kind: Any) -> Any:
            place = builder.add(builder.mul(row, integer(LANES)), column)
            return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())

        with cgutils.for_range_slice(builder, integer(0), integer(LANES), integer(ACROSS), integer) as (column, _):
            pieces = [builder.add(column, integer(at)) for at in range(0, ACROSS, PIECE)]
            targets = [
                across(out.data, builder.add(start, integer(r)), at, vector) for r in range(TOGETHER) for at in pieces
            ]
            known = [builder.load(target, align=4) for target in targets]
            before, inside, after = builder.block, *(builder.append_basic_block(name) for name in ("dot", "dotted"))
            builder.branch(inside)
            builder.position_at_end(inside)
            k = builder.phi(integer)
            totals = [builder.phi(vector) for _ in targets]
            theirs = [builder.load(across(strip.data, k, at, halves), align=4) for at in pieces]
            new = []
            for r in range(TOGETHER):
                pair = builder.load(builder.gep(rows.data, [builder.add(builder.mul(k, width), mine[r])]))
                both = builder.bitcast(spread(builder, pair, PIECE), halves)
                new += [
                    builder.add(totals[r * len(pieces) + at], _dots(builder, each, both))
                    for at, each in enumerate(theirs)
                ]
            following = builder.add(k, integer(1))
            for phi, value, later in ((k, begun, following), *zip(totals, known, new, strict=True)):
                phi.add_incoming(value, before)
                phi.add_incoming(later, inside)
            builder.cbranch(builder.icmp_signed("<", following, stop), inside, after)
            builder.position_at_end(after)
            for target, total in zip(targets, new, strict=True):
                builder.store(total, target, align=4)
        return context.get_dummy_value()

    return types.void(theirs, ours, places, types.int64, types.int64, types.int64, sums), generate


@intrinsic  # type: ignore[untyped-decorator]
def _bit_count(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


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
def least_sum(values, terms, start, end):
    """The least of ``values[k] + terms[k]``, start <= k < end, which are at least `LEAST`; NaN is never the least."""
    return _least_sum(values, terms, start, end)


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


@uncounted
def squares_of_strip(features, ours, places, first, start, out):
    """`squares` for the `LANES` columns from ``start`` on only: ``out`` has as many."""
    return _squares_of_strip(features, ours, places, first, start, out)


@uncounted
def products_of_strip(features, ours, places, first, start, norms, less, out):
    """``out[r, j]``: ``less[x] + norms[start + j]`` less twice the product of row x and of column ``start + j``.

    Row x is ``places[first + r]``, and its product the sum over k of ``features[k, start + j] * ours[k, x]``; as for
    `squares`, for the `LANES` columns from ``start`` on.
    """
    return _products_of_strip(features, ours, places, first, start, norms, less, out)


@uncounted
def add_dots(theirs, ours, places, first, begin, end, sums):
    """Add dot products of 16-bit integers to ``sums``, (rows, `LANES`), int32, of the pairs of features begin to end.

    To ``sums[first + r, j]``, for `TOGETHER` rows r, the product of column j of ``theirs``, (pairs, `LANES`), and of
    column ``places[first + r]`` of ``ours``, (pairs, rows). Each number of these, of type int32, holds two features
    of 16 bits. Sums have to fit 32 bits; ``begin < end``.
    """
    _add_dots(theirs, ours, places, first, begin, end, sums)


@uncounted
def exact_squares(features, ours, places, first, out):
    """`squares` of a block of `LANES` columns, with the bits of sums in the order of features."""
    _exact_squares(features, ours, places, first, out)


@uncounted
def exact_products(features, ours, places, first, out):
    """The same for ``features[k, j] * ours[k, places[first + r]]``."""
    _exact_products(features, ours, places, first, out)


@uncounted
def bit_count(bits):
    """Number of set bits."""
    return _bit_count(bits)


@intrinsic  # type: ignore[untyped-decorator]
def _ones(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.trunc(builder.ctpop(arguments[0]), ir.IntType(8))

    return types.int8(types.uint64), generate


@overload(popcount)
def _popcount(words):
    """Of a type that float32 holds exactly: the sum of a float32 and of such a number is one."""
    return lambda words: _ones(words)
