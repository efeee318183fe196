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
from gpuclust.kernels.cpu.space import pairwise, products
from gpuclust.kernels.cpu.space.boxes import leaf_of
from gpuclust.kernels.cpu.space.products import FAR, MANY, SHARE, highest, lowest, row_terms
from gpuclust.kernels.cpu.space.screen import approach, out_of_reach, threshold
from gpuclust.kernels.cpu.space.simd import (
    LANES,
    TOGETHER,
    bit_count,
    lowest_bit,
    products_at_most,
    products_at_most_either,
    products_of_strip,
    squares_of_strip,
    sums_at_most,
)

#: Rows compared with a box at a time.
ROWS = 64
#: Features of a group of rows that are transposed at a time: as many lines of the cache are written to.
TRANSPOSED = 16


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

    Attributes
    ----------
    search : ``search(lists, ready, norms, largest, rows, begin, end, buffers, counts)``: the lists and limits of the
        rows ``rows[begin:end]``.
    begin : ``begin(lists, scale, largest, found, begin, end)``: a search of all rows begins.
    meet : ``meet(lists, ready, norms, largest, found, rows, mine, box, buffers, counts)``: the rows of two boxes are
        compared, each pair once for both; or those of one box.
    finish : ``finish(lists, largest, found, begin, end, buffers, counts)``: the lists and limits of all rows.
    """

    search: Callable[..., Any]
    begin: Callable[..., Any]
    meet: Callable[..., Any]
    finish: Callable[..., Any]


@cache
def kernels(form: Form, dtype: np.dtype) -> Kernels:
    _, spread, geometric, reach, slack, loosened, lowered, compared_four, root = form
    insert = list_functions(dtype)
    one, nothing, infinity = np.float32(1), np.float32(0), np.float32(np.inf)
    eps = float(np.finfo(np.float32).eps)
    room_of = jitable(room_for)
    stamp = jit.stamp(sizes, centroids, methods, pairwise, summary_kernels, summary_search, *products.modules())

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
    def offer(found, size, scatter, m, slot, x, y, value, spare, error, largest, scale, zoom):
        """Make y a candidate of row x, which has room; returns how far the row has to look then.

        ``value`` is the screened square of the pair, and ``spare`` by how much that may be too small.
        """
        which, lower, upper, filled, roots, slacks = found
        at = filled[slot]
        which[slot, at] = y
        lower[slot, at] = lowest(value, error, m) / zoom
        filled[slot] = at + 1
        far = highest(value, spare, error, m) / (scale * zoom)
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
        return roots[slot]

    @uncounted
    @named(form.name, dtype)
    def compare(lists, ready, norms, largest, found, rows, begin, end, box, both, buffers, counts):
        """Compare the rows ``rows[begin:end]``, the first of which has slot ``begin``, with a box.

        ``both``: for the points of the box, too; their slots are their rows.
        """
        centers, _, size, scatter, _, _, _, _ = lists
        features, other, least, middle, extent, radius, starts, common_scale, scales, zooms = ready
        group, ours, gaps, squares, less, spare, values, factors, there, todo, four, exact = buffers
        filled, roots = found[3], found[4]
        m, room = centers.shape[1], found[0].shape[1]
        scale, zoom = float(common_scale), zooms[box]
        left, right = starts[box], starts[box + 1]
        if left == right:
            return
        adds = spread and not both  # `search_all` is for points, without scatter
        spreading = 2 * eps * radius[box]
        approach(group, middle[box], extent[box], scales[box], ours, gaps)
        far_there = -infinity
        if both:
            for y in range(left, right):
                error = spreading * np.sqrt(float(reach(size[y], largest)))
                far_there = max(far_there, threshold(roots[y] * zoom, error, m))
        count = 0
        for place in range(end - begin):
            slot = begin + place
            x = rows[slot]
            bound = gaps[place]
            if spread:
                bound += least[box]
            else:
                bound *= geometric(one, np.float32(size[x]), least[box])
            error = spreading * np.sqrt(float(reach(size[x], largest)))
            if bound <= max(threshold(roots[slot] * zoom, error, m), far_there):
                if bound == infinity and not both and roots[slot] < np.inf:
                    at_most = roots[slot]
                    if not spread:
                        at_most /= np.sqrt(geometric(1.0, float(size[x]), float(least[box])))
                    if out_of_reach(group, place, middle[box], extent[box], common_scale, zoom, at_most):
                        continue
                todo[count] = place
                count += 1
        if count == 0:
            return
        for more in range(TOGETHER - 1):
            todo[count + more] = todo[count - 1]
        row_terms(ours, radius[box], squares, less, spare)
        for start in range(0, right - left, LANES):
            for k in range(LANES):
                there[k] = -infinity
            if both:
                for k in range(min(LANES, right - left - start)):
                    y = left + start + k
                    error = spreading * np.sqrt(float(reach(size[y], largest)))
                    there[k] = threshold(roots[y] * zoom, error, m)
            own = nothing
            if adds:
                for k in range(LANES):
                    factors[k] = other[box, start + k]
            for first in range(0, count, TOGETHER):
                plain = False
                for side in range(TOGETHER):
                    plain |= not squares[todo[first + side]] < FAR
                if plain:
                    squares_of_strip(features[box], ours, todo, first, start, values)
                else:
                    products_of_strip(features[box], ours, todo, first, start, norms[box], less, values)
                for side in range(min(TOGETHER, count - first)):
                    place = todo[first + side]
                    slot = begin + place
                    x = rows[slot]
                    if not adds and own != np.float32(size[x]):  # rows of equal size share the factors
                        own = np.float32(size[x])
                        for k in range(LANES):
                            factors[k] = geometric(one, own, other[box, start + k])
                    reached = float(reach(size[x], largest))
                    error = spreading * np.sqrt(reached)
                    near_enough = threshold(roots[slot] * zoom, error, m)
                    for again in range(2):
                        if both:
                            bits = products_at_most_either(values[side], factors, 0, near_enough, there)
                        elif adds:
                            bits = sums_at_most(values[side], factors, 0, near_enough)
                        else:
                            bits = products_at_most(values[side], factors, 0, near_enough)
                        if again == 1 or plain or bits == np.uint64(0) or bit_count(bits) <= MANY:
                            break
                        if not spare[place] * reached > SHARE * max(near_enough, there_most(there)):
                            break
                        squares_of_strip(features[box], ours, todo, first, start, values)
                        plain = True
                        counts[1] += 1
                    while bits:
                        at = lowest_bit(bits)
                        bits &= bits - np.uint64(1)
                        y = left + start + at
                        if y == x:
                            continue
                        value = values[side, at] + factors[at] if adds else values[side, at] * factors[at]
                        rest = 0.0 if plain else spare[place] * (1.0 if adds else float(factors[at]))
                        if value <= near_enough:
                            if filled[slot] == room:
                                make_room(lists, found, slot, x, largest, scale, four, exact, counts)
                            far = offer(found, size, scatter, m, slot, x, y, value, rest, error, largest, scale, zoom)
                            near_enough = threshold(far * zoom, error, m)
                            counts[0] += 1
                        if both and value <= there[at]:
                            if filled[y] == room:
                                make_room(lists, found, y, y, largest, scale, four, exact, counts)
                            error_there = spreading * np.sqrt(float(reach(size[y], largest)))
                            far = offer(
                                found, size, scatter, m, y, y, x, value, rest, error_there, largest, scale, zoom
                            )
                            there[at] = threshold(far * zoom, error_there, m)
                            counts[0] += 1

    @uncounted
    @named(form.name, dtype)
    def there_most(there):
        """The largest of the thresholds of a strip."""
        most = -infinity
        for k in range(LANES):
            most = max(most, there[k])
        return most

    @uncounted
    @named(form.name, dtype)
    def gather(centers, rows, begin, end, group):
        """The rows ``rows[begin:end]``, feature by feature; the last one again in place of what is missing."""
        for start in range(0, centers.shape[1], TRANSPOSED):
            stop = min(start + TRANSPOSED, centers.shape[1])
            for place in range(group.shape[1]):
                x = rows[min(begin + place, end - 1)]
                for k in range(start, stop):
                    group[k, place] = centers[x, k]

    @uncounted
    @named(form.name, dtype)
    def conclude(lists, largest, found, slot, x, far, four, values, counts):
        """The list and the limit of a row that all boxes have been compared with."""
        centers, _, size, _, _, _, held, limit = lists
        n, last = centers.shape[0], held.shape[1] - 1
        compute(lists, found, slot, x, four, values, counts)
        far = min(far, held[x, last])
        limit[x] = lowered(far, centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    @compiled
    @named(form.name, dtype)
    def search_by_products(lists, ready, norms, largest, rows, begin, end, buffers, counts):
        stamp  # noqa: B018
        centers, _, size, scatter, _, _, held, _ = lists
        n, m = centers.shape
        listed, length = held.shape[1], end - begin
        room = room_of(listed)
        own = rows[begin:end]
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
            x = own[slot]
            caps[slot] = horizon(held[x], n)
            found[5][slot] = slack(centers[x], size[x], largest)
            found[4][slot] = root(caps[slot], found[5][slot], x, size, scatter, largest, m, float(ready[7]))
        gather(centers, own, 0, length, buffers[0])
        home = leaf_of(ready[6], own[0])
        for step in range(ready[0].shape[0]):
            compare(lists, ready, norms, largest, found, own, 0, length, home ^ step, False, buffers, counts)
        for slot in range(length):
            conclude(lists, largest, found, slot, own[slot], caps[slot], buffers[10], buffers[11], counts)

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
    def meet(lists, ready, norms, largest, found, rows, mine, box, buffers, counts):
        stamp  # noqa: B018
        starts = ready[6]
        for begin in range(starts[mine], starts[mine + 1], ROWS):
            end = min(begin + ROWS, starts[mine + 1])
            gather(lists[0], rows, begin, end, buffers[0])
            compare(lists, ready, norms, largest, found, rows, begin, end, box, mine != box, buffers, counts)

    @compiled
    @named(form.name, dtype)
    def finish(lists, largest, found, begin, end, buffers, counts):
        stamp  # noqa: B018
        for x in range(begin, end):
            conclude(lists, largest, found, x, x, lists[0].dtype.type(np.inf), buffers[10], buffers[11], counts)

    return Kernels(search_by_products, begin_all, meet, finish)
