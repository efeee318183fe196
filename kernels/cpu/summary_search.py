"""Searches for the nearest clusters of a cluster, by boxes: a walk down a tree, or fused tiles.

Both find the first few by (dissimilarity, id) among all computed dissimilarities, to the last bit; a box is passed
over when what its corner says is farther than the last on the list. In few dimensions most boxes are, and a walk
looks at some dozens of clusters. In many few are, and what counts is the time a pair takes: then boxes of some
hundred clusters are screened in single precision, several rows at a time, relative to the middle of the box. What is
near enough for a proven bound of the error is then computed and compared as always.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from gpuclust import centroids, methods
from gpuclust.kernels.cpu import kdtree, lanes, launch, pairwise, summary_kernels
from gpuclust.kernels.cpu.kdtree import span
from gpuclust.kernels.cpu.lanes import LANES, lowest_bit, products_at_most, sums_at_most
from gpuclust.kernels.cpu.launch import compiled, named, ranges, run
from gpuclust.kernels.cpu.summary_kernels import factor, limits, list_functions, pair_functions
from gpuclust.kernels.cpu.summary_space import Boxes
from gpuclust.methods import Method

#: Clusters a leaf has at most when a search walks down the tree.
LEAF = 16
#: Clusters a box has at most when boxes are screened: their features in single precision fit the second-level cache.
BLOCK = 2048
#: Features a pass: the sums are loaded and stored once for so many.
STRIDE = 4
#: Coordinates not worth a second thread.
SMALL = 1 << 17


@cache
def box_functions(method: Method, dtype: np.dtype) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """For compiled code: ``apart``, a lower bound for all of a node; ``walk``, a search down the tree."""
    spread = method.scatter is not None
    geometric = factor(method)
    insert = list_functions(dtype)
    number = np.dtype(dtype).type
    shy = number(1 - 16 * np.finfo(dtype).eps)

    @register_jitable
    @named(method.name, dtype)
    def apart(center, size, scatter, node, low, high, least_size, least_scatter):
        """No computed dissimilarity to a cluster of the node is below this; where it has none, infinite.

        Each term is rounded as for a pair, and rounding is monotone; a factor of sizes is right to some bits.
        """
        total = number(0)
        for k in range(center.size):
            d = max(low[node, k] - center[k], center[k] - high[node, k])
            d = max(d, number(0))
            total += d * d
        if total == np.inf:
            return total
        if spread:
            return total + (scatter + least_scatter[node])
        return geometric(total, size, least_size[node]) * shy

    @register_jitable
    @named(method.name, dtype)
    def walk(x, center, size, scatter, ids, near, held, tree, stack, bounds):
        """Put what is nearest to cluster x on its list; returns how many clusters were looked at."""
        order, at, size_at, scatter_at, low, high, least_size, least_scatter, depth = tree
        n = order.size
        last = held.size - 1
        leaves = (1 << depth) - 1
        looked = 0
        stack[0], bounds[0] = 0, number(0)
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if bounds[top] > held[last]:
                continue
            while node < leaves:
                a, b = 2 * node + 1, 2 * node + 2
                da = apart(center, size, scatter, a, low, high, least_size, least_scatter)
                db = apart(center, size, scatter, b, low, high, least_size, least_scatter)
                if db < da:
                    a, b, da, db = b, a, db, da
                if db <= held[last]:
                    stack[top], bounds[top] = b, db
                    top += 1
                node = a
                if da > held[last]:
                    break
            if node < leaves:
                continue
            begin, end = span(node, n)
            looked += end - begin
            for place in range(begin, end):
                y = order[place]
                if y == x or ids[y] < 0:
                    continue
                total = number(0)
                for k in range(center.size):
                    d = center[k] - at[place, k]
                    total += d * d
                value = total + (scatter + scatter_at[place]) if spread else geometric(total, size, size_at[place])
                if value <= held[last]:
                    insert(near, held, ids, y, value)
        return looked

    return apart, walk


def _modules() -> tuple[Any, ...]:
    return centroids, methods, pairwise, kdtree, lanes, summary_kernels


@cache
def walk_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """Search the rows ``rows[begin:end]`` by walks down a tree; their lists and limits."""
    _, walk = box_functions(method, dtype)
    lowered = limits(method, dtype).lowered
    stamp = launch.stamp(*_modules())

    @compiled
    @named(method.name, dtype)
    def search_by_walks(centers, size, scatter, ids, near, held, limit, tree, largest, unit, rows, begin, end):
        stamp  # noqa: B018
        n, m = centers.shape
        stack = np.empty(64, np.int64)
        bounds = np.empty(64, centers.dtype)
        listed = held.shape[1]
        looked = 0
        for spot in range(begin, end):
            x = rows[spot]
            looked += walk(x, centers[x], size[x], scatter[x], ids, near[x], held[x], tree, stack, bounds)
            limit[x] = lowered(held[x, listed - 1], size[x], largest, unit, m, 1) if n - 1 > listed else np.inf
        return looked

    return search_by_walks


class Screen(NamedTuple):
    """Boxes of clusters made ready for screening: scaled, relative to the middle of the box, in single precision.

    Attributes
    ----------
    features : ndarray of float32, shape (boxes, m rounded up to STRIDE, clusters a box rounded up to LANES)
    other : ndarray of float32, shape (boxes, clusters a box rounded up)
        Sizes, or scatter; NaN where there is no cluster.
    least : ndarray of float32, shape (boxes,)
        The smallest of them.
    middle : ndarray, shape (boxes, m)
    extent : ndarray of float32, shape (boxes, m rounded up)
        The largest absolute feature.
    radius : ndarray of float64, shape (boxes,)
        How far the clusters are from the middle at most.
    scale : float
        A power of two that makes the largest coordinate about one.
    """

    features: np.ndarray
    other: np.ndarray
    least: np.ndarray
    middle: np.ndarray
    extent: np.ndarray
    radius: np.ndarray
    scale: Any


def screen(tree: Boxes, method: Method) -> Screen:
    """Make the leaves of a tree ready."""
    n, m = tree.centers.shape
    dtype = tree.centers.dtype
    count = 1 << tree.depth
    most = (n + count - 1) // count
    width, wide = (most + LANES - 1) // LANES * LANES, (m + STRIDE - 1) // STRIDE * STRIDE
    largest = max(float(np.abs(tree.low[0]).max()), float(np.abs(tree.high[0]).max()))
    exponent = -np.frexp(max(largest, np.finfo(np.float64).tiny))[1]
    ready = Screen(
        np.zeros((count, wide, width), np.float32),
        np.full((count, width), np.nan, np.float32),
        np.empty(count, np.float32),
        np.empty((count, m), dtype),
        np.zeros((count, wide), np.float32),
        np.empty(count),
        dtype.type(2.0 ** min(int(exponent), np.finfo(dtype).maxexp - 2)),
    )
    kernel = _ready_kernel(method, dtype)
    run(kernel, [(tree, ready, *piece) for piece in ranges(count, 8)], threads=n * m > SMALL)
    return ready


@cache
def _ready_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    spread = method.scatter is not None
    stamp = launch.stamp(*_modules())

    @compiled
    @named(method.name, dtype)
    def make_ready(tree, ready, first, end):
        stamp  # noqa: B018
        _, at, size, scatter, low, high, _, _, depth = tree
        features, other, least, middle, extent, radius, scale = ready
        n, m = at.shape
        half = at.dtype.type(0.5)
        for box in range(first, end):
            node = (1 << depth) - 1 + box
            left, right = span(node, n)
            middle[box] = low[node] * half + high[node] * half
            most = 0.0
            least[box] = np.inf
            for place in range(left, right):
                total = 0.0
                for k in range(m):
                    d = np.float32((at[place, k] - middle[box, k]) * scale)
                    features[box, k, place - left] = d
                    extent[box, k] = max(extent[box, k], abs(d))
                    total += float(d) * float(d)
                most = max(most, total)
                value = np.float32(scatter[place] * scale * scale if spread else size[place])
                other[box, place - left] = value
                least[box] = min(least[box], value)
            radius[box] = np.sqrt(most) * 1.001

    return make_ready


@cache
def screen_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """Search the rows ``rows[begin:end]`` by fused tiles; their lists and limits.

    Rows should be near each other. Boxes are taken in the order of how near they are in the tree to that of the
    first row, so that lists soon hold what is near.
    """
    spread = method.scatter is not None
    geometric = factor(method)
    pair, insert = pair_functions(method, dtype), list_functions(dtype)
    compared, reach = pair.compared, pair.reach
    lowered = limits(method, dtype).lowered
    one, nothing = np.float32(1), np.float32(0)
    eps, bit = float(np.finfo(np.float32).eps), float(np.finfo(dtype).eps)
    stamp = launch.stamp(*_modules())

    @register_jitable(fastmath={"contract", "nsz"})
    @named(method.name, dtype)
    def squares(features, ours, row, other_row, first, second):
        """Squared distances of two rows to all of a box; as exact as single precision, in whatever order."""
        for k in range(0, ours.shape[0], STRIDE):
            start = k == 0
            x0, x1, x2, x3 = ours[k, row], ours[k + 1, row], ours[k + 2, row], ours[k + 3, row]
            z0, z1, z2, z3 = (
                ours[k, other_row],
                ours[k + 1, other_row],
                ours[k + 2, other_row],
                ours[k + 3, other_row],
            )
            y0, y1, y2, y3 = features[k], features[k + 1], features[k + 2], features[k + 3]
            for j in range(first.size):
                a = nothing if start else first[j]
                b = nothing if start else second[j]
                d0, d1, d2, d3 = x0 - y0[j], x1 - y1[j], x2 - y2[j], x3 - y3[j]
                e0, e1, e2, e3 = z0 - y0[j], z1 - y1[j], z2 - y2[j], z3 - y3[j]
                first[j] = a + d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3
                second[j] = b + e0 * e0 + e1 * e1 + e2 * e2 + e3 * e3

    @register_jitable
    @named(method.name, dtype)
    def approach(group, middle, extent, scale, ours, gaps):
        """Rows relative to the middle of a box, and their squared distances to the box."""
        gaps[:] = 0
        for k in range(group.shape[0]):
            theirs, mine, zero, most = group[k], ours[k], middle[k], extent[k]
            for place in range(gaps.size):
                d = np.float32((theirs[place] - zero) * scale)
                mine[place] = d
                d = abs(d) - most
                d = d if d > nothing else nothing
                gaps[place] += d * d

    @register_jitable
    @named(method.name, dtype)
    def rank(values, others, lowest, few):
        """The value that is not below as many values of a box as ``few`` has room for; infinite if there are less.

        Of the smallest in each of 64 lanes, whose order is soon found.
        """
        lowest[:] = np.inf
        for start in range(0, values.size, LANES):
            part, other = values[start : start + LANES], others[start : start + LANES]
            for k in range(LANES):
                value = part[k] + other[k] if spread else part[k] * other[k]
                lowest[k] = value if value < lowest[k] else lowest[k]
        few[:] = np.inf
        last = few.size - 1
        for k in range(LANES):
            value = lowest[k]
            at = last
            if value < few[at]:
                while at > 0 and value < few[at - 1]:
                    few[at] = few[at - 1]
                    at -= 1
                few[at] = value
        return few[last]

    @register_jitable
    @named(method.name, dtype)
    def root_of(most, own_scatter, scale):
        """The root of what the square of a pair's distance, times the factor, is at most."""
        rest = float(most) * scale * scale * (1 + 8 * bit)
        if spread:
            rest = max(rest - own_scatter * scale * scale, 0.0)
        return np.sqrt(rest) * (1 + eps)

    @register_jitable
    @named(method.name, dtype)
    def threshold(root, error, m):
        """What a screened value is at most.

        Coordinates relative to the middle of a box are off by a relative eps / 2, those of the row by that of its
        distance and the radius: ``error`` for both.
        """
        return np.float32((root + error) * (root + error) * (1 + eps * (2 * m + 32)) + 1e-36)

    @compiled
    @named(method.name, dtype)
    def search_by_tiles(
        centers, size, scatter, ids, near, held, limit, tree, ready, largest, unit, rows, spot, begin, end
    ):
        stamp  # noqa: B018
        order = tree[0]
        features, other, least, middle, extent, radius, scale = ready
        n, m = centers.shape
        last = held.shape[1] - 1
        boxes, wide, width = features.shape
        group = np.empty((m, end - begin), centers.dtype)
        ours = np.zeros((wide, end - begin), np.float32)
        gaps = np.empty(end - begin, np.float32)
        values = np.empty((2, width), np.float32)
        factors = np.empty(width, np.float32)
        lowest, few = np.empty(LANES, np.float32), np.empty(min(last + 2, LANES), np.float32)
        todo = np.empty(end - begin + 1, np.int64)
        roots = np.empty(end - begin)
        spreading = np.empty(end - begin)
        precise_scale = float(scale)
        for place in range(end - begin):
            x = rows[begin + place]
            group[:, place] = centers[x]
            roots[place] = root_of(held[x, last], scatter[x], precise_scale)
            spreading[place] = 2 * eps * np.sqrt(float(reach(size[x], largest)))
        home = ((spot[begin] + 1) * boxes - 1) // n
        for step in range(boxes):
            box = home ^ step
            left, _ = span(boxes - 1 + box, n)
            approach(group, middle[box], extent[box], scale, ours, gaps)
            count = 0
            for place in range(end - begin):
                bound = gaps[place] * np.float32(1 - eps * (m + 16))
                if spread:
                    bound += least[box]
                else:
                    bound *= geometric(one, np.float32(size[rows[begin + place]]), least[box])
                if bound <= threshold(roots[place], spreading[place] * radius[box], m):
                    todo[count] = place
                    count += 1
            todo[count] = todo[max(count - 1, 0)]
            own_factors = other[box] if spread else factors
            own = nothing
            for couple in range(0, count, 2):
                squares(features[box], ours, todo[couple], todo[couple + 1], values[0], values[1])
                for side in range(min(2, count - couple)):
                    place = todo[couple + side]
                    x = rows[begin + place]
                    if not spread and own != np.float32(size[x]):  # rows of one size share the factors
                        own = np.float32(size[x])
                        sizes = other[box]
                        for k in range(width):
                            factors[k] = geometric(one, own, sizes[k])
                    error = spreading[place] * radius[box]
                    theirs, mine, known = values[side], near[x], held[x]
                    most = known[last]
                    if most == np.inf:
                        # The row itself may be among them, so that one more is counted.
                        root = np.sqrt(float(rank(theirs, own_factors, lowest, few))) * (1 + eps * (m + 16)) + error
                        rest = root * root + 16 * bit * float(scatter[x]) * precise_scale * precise_scale
                        roots[place] = min(roots[place], np.sqrt(rest))
                    near_enough = threshold(roots[place], error, m)
                    for start in range(0, width, LANES):
                        if spread:
                            bits = sums_at_most(theirs, own_factors, start, near_enough)
                        else:
                            bits = products_at_most(theirs, own_factors, start, near_enough)
                        if bits == np.uint64(0):
                            continue
                        while bits:
                            at = lowest_bit(bits)
                            bits &= bits - np.uint64(1)
                            y = order[left + start + at]
                            if y != x:
                                insert(mine, known, ids, y, compared(centers, size, scatter, x, y))
                        if known[last] < most:
                            most = known[last]
                            roots[place] = root_of(most, scatter[x], precise_scale)
                            near_enough = threshold(roots[place], error, m)
        for place in range(begin, end):
            x = rows[place]
            limit[x] = lowered(held[x, last], size[x], largest, unit, m, 1) if n - 1 > last + 1 else np.inf

    return search_by_tiles
