"""Searches for the nearest clusters of a cluster by bounding boxes: a descent of a kd-tree, or screened tiles.

Both find the first entries by (dissimilarity, id) among all computed dissimilarities, to the last bit; a box is
skipped if its lower bound exceeds the last entry of the list. Boxes bound the first parts of the centroids, so bounds
are loosened for the second parts (`gpuclust.kernels.cpu.clusters.summary_kernels`). In few dimensions most boxes are
skipped, and a descent compares some dozens of clusters. In many dimensions few are, and the time per pair decides:
then boxes of some hundred clusters are screened in single precision, several rows at a time, relative to the middle
of the box. Pairs that are near enough, given a proven bound of the error, are computed and compared in full.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import centroids, jit, methods
from gpuclust.core.jit import compiled, inlined, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters import summary_kernels
from gpuclust.kernels.cpu.clusters.summary_kernels import factor, limits, list_functions, pair_functions
from gpuclust.kernels.cpu.space import boxes, pairwise, screen
from gpuclust.kernels.cpu.space.boxes import leaf_of
from gpuclust.kernels.cpu.space.screen import approach, bounded, out_of_reach, root_of, smallest, threshold
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, lowest_bit, products_at_most, squares, sums_at_most


@cache
def walk_function(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """``walk``, for compiled code: a search by descent of a kd-tree."""
    spread = method.scatter is not None
    geometric = factor(method)
    insert, compared = list_functions(dtype), pair_functions(method, dtype).compared
    limited = limits(method, dtype)
    slack, loosened = limited.slack, limited.loosened
    number = np.dtype(dtype).type

    @inlined
    @named(method.name, dtype)
    def apart(center, size, scatter, node, lowest, highest, least_size, least_scatter):
        """Lower bound of the dissimilarities, from first parts, to the clusters of a node; infinite if it has none.

        Each term is rounded as for a pair, and rounding is monotone. A factor of sizes is right to some bits, of
        which ``loosened`` allows for many more.
        """
        total = number(0)
        for k in range(center.size):
            d = max(lowest[node, k] - center[k], center[k] - highest[node, k])
            d = max(d, number(0))
            total += d * d
        if total == np.inf:
            return total
        if spread:
            return total + (scatter + least_scatter[node])
        return geometric(total, size, least_size[node])

    @uncounted
    @named(method.name, dtype)
    def walk(x, low, ids, near, held, far, tree, largest, stack, bounds):
        """Put the clusters nearest to x, and not farther than ``far``, on its list."""
        centers, sizes, scatters, lowest, highest, least_size, least_scatter, starts = tree
        center, size, scatter = centers[x], sizes[x], scatters[x]
        m, last = center.size, held.size - 1
        more = slack(center, size, largest)
        reached = loosened(far, more, m)
        leaves = starts.size - 2
        stack[0], bounds[0] = 0, number(0)
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if bounds[top] > reached:
                continue
            while node < leaves:
                a, b = 2 * node + 1, 2 * node + 2
                da = apart(center, size, scatter, a, lowest, highest, least_size, least_scatter)
                db = apart(center, size, scatter, b, lowest, highest, least_size, least_scatter)
                if db < da:
                    a, b, da, db = b, a, db, da
                if db <= reached:
                    stack[top], bounds[top] = b, db
                    top += 1
                node = a
                if da > reached:
                    break
            if node < leaves:
                continue
            begin, end = starts[node - leaves], starts[node - leaves + 1]
            for y in range(begin, end):
                if y == x or ids[y] < 0:
                    continue
                total = number(0)
                for k in range(m):
                    d = center[k] - centers[y, k]
                    total += d * d
                value = total + (scatter + scatters[y]) if spread else geometric(total, size, sizes[y])
                if value <= reached:
                    if low.shape[0] > 0:
                        value = compared(centers, low, sizes, scatters, x, y)
                    if value <= far:
                        insert(near, held, ids, y, value)
                        far = min(far, held[last])
                        reached = loosened(far, more, m)

    return walk


@uncounted
def horizon(held, n):
    """Radius of the search for a list: the dissimilarity of its last entry, if it has any.

    That usually fills the list, since entries are clusters that were near in earlier rounds. The radius is infinite
    for an empty list, and if all other clusters fit on it.
    """
    far = held[held.size - 1]
    if n - 1 <= held.size:
        return far
    for entry in range(held.size - 1):
        if held[entry] < np.inf and held[entry + 1] == np.inf:
            far = held[entry]
    return far


def _modules() -> tuple[Any, ...]:
    return centroids, methods, pairwise, summary_kernels, boxes, *screen.modules()


@cache
def walk_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """Search the rows ``rows[begin:end]`` by descents of a tree; sets their lists and limits."""
    walk = walk_function(method, dtype)
    lowered = limits(method, dtype).lowered
    stamp = jit.stamp(*_modules())

    @compiled
    @named(method.name, dtype)
    def search_by_walks(centers, low, size, scatter, ids, near, held, limit, tree, largest, rows, begin, end):
        stamp  # noqa: B018
        n = centers.shape[0]
        stack = np.empty(64, np.int64)
        bounds = np.empty(64, centers.dtype)
        last = held.shape[1] - 1
        for spot in range(begin, end):
            x = rows[spot]
            far = horizon(held[x], n)
            walk(x, low, ids, near[x], held[x], far, tree, largest, stack, bounds)
            far = min(far, held[x, last])
            limit[x] = lowered(far, centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    return search_by_walks


@cache
def root_function(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """``root(most, more, x, size, scatter, largest, m, scale)``, for compiled code: how far row x has to look.

    The root of the upper bound of the squared distance of a pair times its factor, for a dissimilarity of ``most``.
    The distance is that of the first parts of their centroids; ``more`` is the row's slack.
    """
    spread = method.scatter is not None
    reach, loosened = pair_functions(method, dtype).reach, limits(method, dtype).loosened
    denormal = float(np.finfo(dtype).smallest_subnormal)

    @uncounted
    @named(method.name, dtype)
    def root(most, more, x, size, scatter, largest, m, scale):
        most = loosened(most, more, m)
        lost = denormal * (m + 2) * (1.0 + float(reach(size[x], largest)))
        return root_of(most, lost, float(scatter[x]) if spread else 0.0, scale)

    return root


@cache
def screen_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """Search the rows ``rows[begin:end]`` by screened tiles; sets their lists and limits.

    Rows should be near each other. Boxes are taken in order of their distance in the tree from that of the first
    row, so that lists soon hold near clusters; at most ``steps`` of them.
    """
    spread = method.scatter is not None
    geometric = factor(method)
    pair, insert = pair_functions(method, dtype), list_functions(dtype)
    compared, reach = pair.compared, pair.reach
    lowered, slack, loosened, _ = limits(method, dtype)
    root = root_function(method, dtype)
    one, nothing = np.float32(1), np.float32(0)
    eps = float(np.finfo(np.float32).eps)
    stamp = jit.stamp(*_modules())

    @uncounted
    @named(method.name, dtype)
    def rank(values, others, lowest, few):
        """An upper bound of the k-th smallest value of a box, k the length of ``few``; infinite if it has fewer.

        It is the k-th smallest of the minima of 64 lanes, which is cheaper to find.
        """
        for k in range(LANES):
            lowest[k] = np.inf
        for start in range(0, values.size, LANES):
            part, other = values[start : start + LANES], others[start : start + LANES]
            for k in range(LANES):
                value = part[k] + other[k] if spread else part[k] * other[k]
                lowest[k] = value if value < lowest[k] else lowest[k]
        smallest(lowest, few)
        return few[few.size - 1]

    @uncounted
    @named(method.name, dtype)
    def search(centers, low, size, scatter, ids, near, held, ready, largest, rows, begin, end, steps, buffers):
        features, other, least, middle, extent, radius, starts, scale, scales, zooms = ready
        n, m = centers.shape
        last = held.shape[1] - 1
        boxes, _, width = features.shape
        group, ours, gaps, values, factors, lowest, few, todo, roots, spreading, own_sizes, slacks, caps = buffers
        precise_scale = float(scale)
        for place in range(end - begin):
            x = rows[begin + place]
            for k in range(m):
                group[k, place] = centers[x, k]
            caps[place] = horizon(held[x], n)
            slacks[place] = slack(centers[x], size[x], largest)
            roots[place] = root(caps[place], slacks[place], x, size, scatter, largest, m, precise_scale)
            spreading[place] = 2 * eps * np.sqrt(float(reach(size[x], largest)))
            own_sizes[place] = size[x]
        home = leaf_of(starts, rows[begin])
        for step in range(min(steps, boxes)):
            box = home ^ step
            left = starts[box]
            if left == starts[box + 1]:
                continue
            zoom = zooms[box]
            approach(group, middle[box], extent[box], scales[box], ours, gaps)
            count = 0
            for place in range(end - begin):
                bound = gaps[place]
                if spread:
                    bound += least[box]
                else:
                    bound *= geometric(one, own_sizes[place], least[box])
                near_enough = threshold(roots[place] * zoom, spreading[place] * radius[box], m)
                if bound <= near_enough:
                    if bound == np.inf and roots[place] < np.inf:
                        at_most = roots[place]
                        if not spread:
                            at_most /= np.sqrt(geometric(1.0, float(own_sizes[place]), float(least[box])))
                        if out_of_reach(group, place, middle[box], extent[box], scale, zoom, at_most):
                            continue
                    todo[count] = place
                    count += 1
            for more in range(TOGETHER - 1):
                todo[count + more] = todo[max(count - 1, 0)]
            own_factors = other[box] if spread else factors
            own = nothing
            for four in range(0, count, TOGETHER):
                squares(features[box], ours, todo, four, values)
                for side in range(min(TOGETHER, count - four)):
                    place = todo[four + side]
                    x = rows[begin + place]
                    if not spread and own != own_sizes[place]:  # rows of equal size share the factors
                        own = own_sizes[place]
                        sizes = other[box]
                        for k in range(width):
                            factors[k] = geometric(one, own, sizes[k])
                    error = spreading[place] * radius[box]
                    theirs, mine, known = values[side], near[x], held[x]
                    most, more = known[last], slacks[place]
                    if roots[place] == np.inf and last + 2 <= LANES:
                        # One more is counted, since the row itself may be among them.
                        far = bounded(rank(theirs, own_factors, lowest, few), error, m) / (precise_scale * zoom)
                        far = loosened(far * far + scatter[x], more, m)
                        roots[place] = root(far, more, x, size, scatter, largest, m, precise_scale)
                    near_enough = threshold(roots[place] * zoom, error, m)
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
                            y = left + start + at
                            if y != x:
                                insert(mine, known, ids, y, compared(centers, low, size, scatter, x, y))
                        if known[last] < most:
                            most = known[last]
                            reached = root(most, more, x, size, scatter, largest, m, precise_scale)
                            roots[place] = min(roots[place], reached)
                            near_enough = threshold(roots[place] * zoom, error, m)

    @compiled
    @named(method.name, dtype)
    def search_by_tiles(centers, low, size, scatter, ids, near, held, limit, ready, largest, rows, begin, end, steps):
        stamp  # noqa: B018
        n, m = centers.shape
        last = held.shape[1] - 1
        width = ready[0].shape[2]
        count = end - begin
        buffers = (
            np.empty((m, count), centers.dtype),
            np.empty((m, count), np.float32),
            np.empty(count, np.float32),
            np.empty((TOGETHER, width), np.float32),
            np.empty(width, np.float32),
            np.empty(LANES, np.float32),
            np.empty(min(last + 2, LANES), np.float32),
            np.empty(count + TOGETHER, np.int64),
            np.empty(count),
            np.empty(count),
            np.empty(count, np.float32),
            np.empty(count, centers.dtype),
            np.empty(count, centers.dtype),
        )
        search(centers, low, size, scatter, ids, near, held, ready, largest, rows, begin, end, steps, buffers)
        for place in range(begin, end):
            x = rows[place]
            far = min(held[x, last], buffers[-1][place - begin])
            limit[x] = lowered(far, centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    return search_by_tiles
