"""Compiled functions of a search by products (`gpuclust.kernels.cpu.clusters.product_search`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit, methods, sizes
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.sizes import room_for
from gpuclust.kernels.cpu.clusters import summary_kernels, summary_search
from gpuclust.kernels.cpu.clusters.summary_kernels import factor, limits, list_functions, pair_functions
from gpuclust.kernels.cpu.clusters.summary_search import horizon, root_function
from gpuclust.kernels.cpu.space import four_rows, pairwise, products
from gpuclust.kernels.cpu.space.boxes import leaf_of
from gpuclust.kernels.cpu.space.products import (
    MANY,
    SHARE,
    highest,
    lowest,
    multiply,
    set_bounds,
    set_columns,
    set_differences,
    set_exact,
    set_rows,
    square_of,
)
from gpuclust.kernels.cpu.space.simd import (
    LANES,
    TOGETHER,
    bit_count,
    lowest_bit,
    products_at_most,
    products_at_most_either,
    sums_at_most,
)
from gpuclust.kernels.cpu.space.strips import mean_of, round_strip


class Form(NamedTuple):
    """A dissimilarity of rows, for compiled code: a factor times a squared distance, or plus a scatter.

    Attributes
    ----------
    name : for the names of compiled functions.
    spread : whether scatter is added.
    geometric, reach, slack, loosened, lowered : as for `factor`, `summary_kernels.Pair` and `Limits`.
    compared_four : ``compared_four(centers, low, size, scatter, x, four, out)``: the dissimilarities of row x and
        four others; they determine the lists.
    root : as `summary_search.root_function`.
    """

    name: str
    spread: bool
    geometric: Callable[..., Any]
    reach: Callable[..., Any]
    slack: Callable[..., Any]
    loosened: Callable[..., Any]
    lowered: Callable[..., Any]
    compared_four: Callable[..., Any]
    root: Callable[..., Any]


@cache
def form_of(method: Method, dtype: np.dtype) -> Form:
    """The dissimilarity of a linkage that has a closed form; ``centroid``: the squared distance."""
    pair, limited = pair_functions(method, dtype), limits(method, dtype)
    return Form(
        method.name,
        method.scatter is not None,
        factor(method),
        pair.reach,
        limited.slack,
        limited.loosened,
        limited.lowered,
        pair.compared_four,
        root_function(method, dtype),
    )


class Kernels(NamedTuple):
    """Compiled functions; ``lists`` and ``found`` are tuples of the arrays of `Rows` and `Candidates`.

    ``buffers`` are those of `products.Buffers` and of `product_search.Own`.

    Attributes
    ----------
    search : ``search(lists, ready, largest, rows, begin, end, buffers, own, counts)``: the lists and limits of the
        rows ``rows[begin:end]``.
    begin : ``begin(lists, scale, largest, found, begin, end)``: a search of all rows begins.
    meet : ``meet(lists, ready, largest, found, rows, mine, box, buffers, own, counts)``: the rows of two boxes are
        compared, each pair once for both; or those of one box.
    finish : ``finish(lists, largest, found, begin, end, buffers, own, counts)``: the lists and limits of all rows.
    """

    search: Callable[..., Any]
    begin: Callable[..., Any]
    meet: Callable[..., Any]
    finish: Callable[..., Any]


@cache
def kernels(form: Form, dtype: np.dtype) -> Kernels:
    _, spread, geometric, reach, slack, loosened, lowered, compared_four, root = form
    insert = list_functions(dtype)
    room_of = jitable(room_for)
    own = sizes, centroids, methods, pairwise, four_rows, summary_kernels, summary_search
    stamp = jit.stamp(*own, *products.modules())

    @uncounted
    @named(form.name, dtype)
    def compute(lists, found, slot, x, four, values, counts):
        """Compute the candidates of a row that are near enough, put them on its list, and forget all."""
        centers, low, size, scatter, ids, near, held, _ = lists
        which, lower, _, filled, roots, _ = found
        kept = 0
        for entry in range(filled[slot]):
            if lower[slot, entry] <= roots[slot]:
                which[slot, kept] = which[slot, entry]
                kept += 1
        filled[slot] = 0
        counts[3] += kept
        for begin in range(0, kept, 4):
            for side in range(4):
                four[side] = which[slot, min(begin + side, kept - 1)]
            compared_four(centers, low, size, scatter, x, four, values)
            for side in range(min(4, kept - begin)):
                insert(near[x], held[x], ids, four[side], values[side])

    @uncounted
    @named(form.name, dtype)
    def make_room(lists, found, slot, x, largest, scale, four, values, counts):
        """Remove candidates that are too far by now; if too few are, compute the others."""
        which, lower, _, filled, roots, slacks = found
        kept = 0
        for entry in range(filled[slot]):
            if lower[slot, entry] <= roots[slot]:
                which[slot, kept], lower[slot, kept] = which[slot, entry], lower[slot, entry]
                kept += 1
        filled[slot] = kept
        if 4 * kept > 3 * which.shape[1]:
            centers, _, size, scatter, _, _, held, _ = lists
            compute(lists, found, slot, x, four, values, counts)
            most = held[x, held.shape[1] - 1]
            reached = root(most, slacks[slot], x, size, scatter, largest, centers.shape[1], scale)
            roots[slot] = min(roots[slot], reached)
            counts[2] += 1

    @uncounted
    @named(form.name, dtype)
    def offer(found, size, scatter, m, slot, x, y, value, spare, largest, scale):
        """Make y a candidate of row x, which has room.

        ``value`` is a lower bound of the square of the pair, and ``spare`` by how much that may be too small.
        """
        which, lower, upper, filled, roots, slacks = found
        at = filled[slot]
        which[slot, at] = y
        lower[slot, at] = lowest(value)
        filled[slot] = at + 1
        far = highest(value, spare) / scale
        more = slacks[slot]
        far = loosened(far * far + scatter[x] if spread else far * far, more, m)
        most = root(far, more, x, size, scatter, largest, m, scale)
        at = upper.shape[1] - 1
        if most < upper[slot, at]:
            while at > 0 and most < upper[slot, at - 1]:
                upper[slot, at] = upper[slot, at - 1]
                at -= 1
            upper[slot, at] = most
            roots[slot] = min(roots[slot], upper[slot, upper.shape[1] - 1])

    @uncounted
    @named(form.name, dtype)
    def choose(size, roots, rows, begin, end, least, far_there, buffers):
        """The rows that may be near enough to a box for their limits, or for those of its points; how many."""
        gaps, todo, count = buffers.gaps, buffers.todo, 0
        for place in range(end - begin):
            bound = gaps[place]
            if spread:
                bound += least
            else:
                bound *= geometric(1.0, float(size[rows[begin + place]]), least)
            if bound <= max(square_of(roots[begin + place]), far_there):
                todo[count] = place
                count += 1
        for more in range(TOGETHER - 1):
            todo[count + more] = todo[max(count - 1, 0)]
        return count

    @uncounted
    @named(form.name, dtype)
    def passed(both, adds, values, factors, near_enough, there):
        """Bits of the points of a strip that are near enough to a row, or the row to them."""
        if both:
            return products_at_most_either(values, factors, 0, near_enough, there)
        if adds:
            return sums_at_most(values, factors, 0, near_enough)
        return products_at_most(values, factors, 0, near_enough)

    @uncounted
    @named(form.name, dtype)
    def compare(lists, ready, largest, group, middles, one, found, rows, begin, end, box, both, buffers, own, counts):
        """Compare the rows ``rows[begin:end]``, the first of which has slot ``begin``, with a box.

        ``group`` is their strip, relative to ``middles[one]``. ``both``: for the points of the box, too; their slots
        are their rows.
        """
        size, roots = lists[2], found[4]
        left, right = ready.starts[box], ready.starts[box + 1]
        if left == right:
            return
        set_rows(group, middles, one, ready, box, buffers)
        far_there = -1.0
        if both:
            for y in range(left, right):
                far_there = max(far_there, square_of(roots[y]))
        count = choose(size, roots, rows, begin, end, ready.least[box], far_there, buffers)
        if count == 0:
            return
        strip = box * (ready.step.shape[0] // (ready.starts.size - 1))
        for start in range(left, right, LANES):
            set_columns(ready, strip, buffers)
            multiply(ready.pairs[strip], group[0], buffers.todo, count, buffers.sums)
            points = strip, start, min(start + LANES, right)
            sift(lists, ready, largest, group[1], found, rows, begin, count, points, both, buffers, own, counts)
            strip += 1

    @uncounted
    @named(form.name, dtype)
    def sift(lists, ready, largest, steps, found, rows, begin, count, points, both, buffers, own, counts):
        """Offer the points of a strip to ``count`` rows, whose products are in the buffers, and these to them."""
        centers, _, size, scatter, _, _, _, _ = lists
        four, exact, factors, there = own
        filled, roots, room = found[3], found[4], found[0].shape[1]
        strip, start, end = points
        m, scale, values = centers.shape[1], ready.scale, buffers.values
        adds = spread and not both  # `search_all` is for points, without scatter
        for k in range(LANES):
            there[k] = square_of(roots[start + k]) if both and start + k < end else -1.0
            factors[k] = ready.other[strip, k] if adds else 1.0
        shared, by_differences = -1.0, -1
        for row in range(count):
            place = buffers.todo[row]
            slot = begin + place
            x = rows[slot]
            if not adds and shared != float(size[x]):  # rows of equal size share the factors
                shared = float(size[x])
                for k in range(LANES):
                    factors[k] = geometric(1.0, shared, ready.other[strip, k])
            near_enough = square_of(roots[slot])
            spare, first = buffers.spare[place], row // TOGETHER * TOGETHER
            if by_differences != first:
                set_bounds(row, place, steps, strip, ready, buffers)
                bits = passed(both, adds, values, factors, near_enough, there)
                if bit_count(bits) > MANY and spare * float(reach(size[x], largest)) > SHARE * max(
                    near_enough, most_of(there)
                ):
                    filled_in = by_differences >= 0
                    set_differences(centers, scale, rows, begin, first, start, end, filled_in, buffers)
                    by_differences = first
                    counts[1] += 1
            if by_differences == first:
                spare = set_exact(row - first, m, buffers)
                bits = passed(both, adds, values, factors, near_enough, there)
            while bits:
                at = lowest_bit(bits)
                bits &= bits - np.uint64(1)
                y = start + at
                if y == x:
                    continue
                value = values[at] + factors[at] if adds else values[at] * factors[at]
                rest = spare if adds else spare * factors[at]
                if value <= near_enough:
                    if filled[slot] == room:
                        make_room(lists, found, slot, x, largest, scale, four, exact, counts)
                    offer(found, size, scatter, m, slot, x, y, value, rest, largest, scale)
                    near_enough = square_of(roots[slot])
                    counts[0] += 1
                if both and value <= there[at]:
                    if filled[y] == room:
                        make_room(lists, found, y, y, largest, scale, four, exact, counts)
                    offer(found, size, scatter, m, y, y, x, value, rest, largest, scale)
                    there[at] = square_of(roots[y])
                    counts[0] += 1

    @uncounted
    @named(form.name, dtype)
    def most_of(there):
        """The largest of the thresholds of a strip."""
        most = -1.0
        for k in range(LANES):
            most = max(most, there[k])
        return most

    @uncounted
    @named(form.name, dtype)
    def conclude(lists, largest, found, slot, x, far, own, counts):
        """The list and the limit of a row that all boxes have been compared with."""
        centers, _, size, _, _, _, held, limit = lists
        n, last = centers.shape[0], held.shape[1] - 1
        compute(lists, found, slot, x, own[0], own[1], counts)
        far = min(far, held[x, last])
        limit[x] = lowered(far, centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    @compiled
    @named(form.name, dtype)
    def search_by_products(lists, ready, largest, rows, begin, end, buffers, own, counts):
        stamp  # noqa: B018
        centers, _, size, scatter, _, _, held, _ = lists
        n, m = centers.shape
        listed, length = held.shape[1], end - begin
        room = room_of(listed)
        chosen = rows[begin:end]
        found = (
            np.empty((length, room), np.int32),
            np.empty((length, room), np.float64),
            np.full((length, listed), np.inf, np.float64),
            np.zeros(length, np.int64),
            np.empty(length, np.float64),
            np.empty(length, centers.dtype),
        )
        caps = np.empty(length, centers.dtype)
        for slot in range(length):
            x = chosen[slot]
            caps[slot] = horizon(held[x], n)
            found[5][slot] = slack(centers[x], size[x], largest)
            found[4][slot] = root(caps[slot], found[5][slot], x, size, scatter, largest, m, ready.scale)
        group = buffers.own.pairs[0], buffers.own.step[0], buffers.own.square[0], buffers.own.lost[0]
        middles = buffers.own_middle
        mean_of(centers, chosen, 0, length, ready.scale, middles[0])
        round_strip(centers, chosen, 0, length, middles[0], ready.scale, buffers.own_scratch, group)
        home = leaf_of(ready.starts, chosen[0])
        for step in range(ready.starts.size - 1):
            compare(
                lists, ready, largest, group, middles, 0, found, chosen, 0, length, home ^ step, False, buffers, own,
                counts,
            )  # fmt: skip
        for slot in range(length):
            conclude(lists, largest, found, slot, chosen[slot], caps[slot], own, counts)

    @compiled
    @named(form.name, dtype)
    def begin_all(lists, scale, largest, found, begin, end):
        stamp  # noqa: B018
        centers, _, size, scatter, _, _, held, _ = lists
        n, m = centers.shape
        for x in range(begin, end):
            found[5][x] = slack(centers[x], size[x], largest)
            found[4][x] = root(horizon(held[x], n), found[5][x], x, size, scatter, largest, m, scale)

    @compiled
    @named(form.name, dtype)
    def meet(lists, ready, largest, found, rows, mine, box, buffers, own, counts):
        stamp  # noqa: B018
        strip = mine * (ready.step.shape[0] // (ready.starts.size - 1))
        for begin in range(ready.starts[mine], ready.starts[mine + 1], LANES):
            end = min(begin + LANES, ready.starts[mine + 1])
            group = ready.pairs[strip], ready.step[strip], ready.square[strip], ready.lost[strip]
            compare(
                lists, ready, largest, group, ready.middle, mine, found, rows, begin, end, box, mine != box, buffers,
                own, counts,
            )  # fmt: skip
            strip += 1

    @compiled
    @named(form.name, dtype)
    def finish(lists, largest, found, begin, end, buffers, own, counts):
        stamp  # noqa: B018
        for x in range(begin, end):
            conclude(lists, largest, found, x, x, lists[0].dtype.type(np.inf), own, counts)

    return Kernels(search_by_products, begin_all, meet, finish)
