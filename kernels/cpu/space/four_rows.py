"""Squared distances of one point to four others, as LLVM vectors of four numbers.

Each sum is made in the order of features, so that its bits are those of any other loop in that order. An addition of
such a sum waits for the one before, and four sums in a vector take as long as one. Rows are transposed to vectors
four features at a time; of a loop over four rows LLVM makes scalar code.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.core.jit import uncounted
from gpuclust.kernels.cpu.space.simd import spread

#: Number of rows, and of features that are transposed at a time.
FOUR = 4


def _chosen(builder: Any, first: Any, second: Any, places: list[int]) -> Any:
    """The vector of the numbers at these places of two vectors, one after the other."""
    which = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return builder.shuffle_vector(first, second, which)


def _transposed(builder: Any, rows: list[Any], k: Any) -> list[Any]:
    """The vectors of the features ``k`` to ``k + 3`` of four rows, given by pointers."""
    number = rows[0].type.pointee
    pair = ir.VectorType(number, 2)
    found = []
    for half in range(2):
        at = builder.add(k, ir.IntType(64)(2 * half))
        a, b, c, d = (
            builder.load(builder.bitcast(builder.gep(row, [at]), pair.as_pointer()), align=4) for row in rows
        )
        ac, bd = _chosen(builder, a, c, [0, 1, 2, 3]), _chosen(builder, b, d, [0, 1, 2, 3])
        found += [_chosen(builder, ac, bd, [0, 4, 2, 6]), _chosen(builder, ac, bd, [1, 5, 3, 7])]
    return found


def _gathered(builder: Any, rows: list[Any], k: Any) -> list[Any]:
    """The vector of feature ``k`` of four rows."""
    vector = ir.Constant(ir.VectorType(rows[0].type.pointee, FOUR), ir.Undefined)
    for side, row in enumerate(rows):
        vector = builder.insert_element(vector, builder.load(builder.gep(row, [k])), ir.IntType(32)(side))
    return [vector]


@intrinsic  # type: ignore[untyped-decorator]
def _squares_of_four(typing: Any, centers: Any, low: Any, x: Any, four: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(64)
        parts = [context.make_array(signature.args[at])(context, builder, arguments[at]) for at in range(2)]
        chosen, results = (context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (3, 4))
        m = cgutils.unpack_tuple(builder, parts[0].shape)[1]
        number = context.get_value_type(signature.args[0].dtype)
        vector = ir.VectorType(number, FOUR)
        total = cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * FOUR))
        others = [builder.load(builder.gep(chosen.data, [integer(side)])) for side in range(FOUR)]

        def add(count: int) -> None:
            """Add the squares of differences of the first ``count`` parts of the centroids."""
            mine = [builder.gep(part.data, [builder.mul(arguments[2], m)]) for part in parts[:count]]
            theirs = [[builder.gep(part.data, [builder.mul(y, m)]) for y in others] for part in parts[:count]]
            whole = builder.and_(m, integer(-FOUR))
            for begin, end, step, load in ((integer(0), whole, FOUR, _transposed), (whole, m, 1, _gathered)):
                with cgutils.for_range_slice(builder, begin, end, integer(step), integer) as (k, _):
                    blocks = [load(builder, rows, k) for rows in theirs]
                    sums = builder.load(total)
                    for feature in range(step):
                        at = builder.add(k, integer(feature))
                        # `gpuclust.core.centroids.difference`, for which there are tests
                        apart = [
                            builder.fsub(spread(builder, builder.load(builder.gep(own, [at])), FOUR), block[feature])
                            for own, block in zip(mine, blocks, strict=True)
                        ]
                        d = apart[0] if count == 1 else builder.fadd(*apart)
                        sums = builder.fadd(sums, builder.fmul(d, d))
                    builder.store(sums, total)

        rows_of_low = cgutils.unpack_tuple(builder, parts[1].shape)[0]
        with builder.if_else(builder.icmp_signed(">", rows_of_low, integer(0))) as (both, first):
            with both:
                add(2)
            with first:
                add(1)
        place = builder.bitcast(results.data, vector.as_pointer())
        builder.store(builder.load(total), place, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(centers, low, types.int64, four, out), generate


@uncounted
def squares_of_four(centers, low, x, four, out):
    """``out[j]``: the squared distance of the centroids of rows x and ``four[j]``, in two parts, for four j.

    Sums in the order of features, of `gpuclust.core.centroids.difference`; without rows of ``low`` that part is zero.
    All arrays are contiguous, and all but ``four`` of one type.
    """
    _squares_of_four(centers, low, x, four, out)
