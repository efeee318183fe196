"""The k nearest neighbours of every point by a kd-tree.

Points are in the order of the tree, so that those of a leaf are adjacent in memory and distances are computed for a
vector of them at once. All points of a leaf are searched together: a subtree is entered if its box is nearer to the
leaf's box than the last entry of one of the leaf's lists, and a point is compared with the points of a leaf if their
box is nearer to the point than the last entry of its own list.

The bounds hold to the last bit: the gap between a point and a box is summed like a distance, feature by feature in
the same order, and every rounded operation is monotone. Powers need not be monotone when rounded: for those the bound
is lowered by the error of powers and of their root (`bounds`).

Friedman, Bentley, Finkel 1977, An algorithm for finding best matches in logarithmic expected time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, inlined, jitable, named, uncounted
from gpuclust.core.points import Metric
from gpuclust.kernels.cpu.space import kdtree, pairwise
from gpuclust.kernels.cpu.space.kdtree import LEAF

#: Capacity of the stack of a descent: one entry for each level, and there are fewer than 2**31 points.
STACK = 64


@cache
def bounds(metric: Metric, weighted: bool, dtype: np.dtype) -> tuple[Callable[..., Any], ...]:
    """Least distances of two boxes, and of a box from points of a leaf; and a step of the descent to nearer boxes.

    Powers with an error of 2 eps, and a sum of m of them, differ by a relative (m + 4) eps at most between a gap and
    a distance; after the p-th root that is (m + 4) / p eps, which is large for small p.
    """
    step, finish = jitable(metric.step), jitable(metric.finish)
    zero, one = dtype.type(0), dtype.type(1)
    inexact, eps = metric.heavy, float(np.finfo(dtype).eps)

    @uncounted
    @named(metric.name, weighted, dtype)
    def lessen(m, p):
        return dtype.type(max(1 - eps * (16 + (2 * m + 16) / p), 0.0)) if inexact else one

    @uncounted
    @named(metric.name, weighted, dtype)
    def between_boxes(low, high, one_box, other, weights, p):
        a = b = zero
        for k in range(low.shape[1]):
            gap = max(low[one_box, k] - high[other, k], low[other, k] - high[one_box, k], zero)
            a, b = step(a, b, gap, zero, weights[k] if weighted else one, p)
        return finish(a, b, zero, zero, p) * lessen(low.shape[1], p)

    @uncounted
    @named(metric.name, weighted, dtype)
    def from_points(features, begin, low, high, weights, p, out):
        """``out[j]`` bounds the distances of point begin + j; always of `LEAF` points."""
        for k in range(features.shape[0]):
            x = features[k, begin : begin + LEAF]
            least, most = low[k], high[k]
            w = weights[k] if weighted else one
            first = k == 0
            for j in range(LEAF):
                gap = max(least - x[j], x[j] - most, zero)
                out[j], _ = step(zero if first else out[j], zero, gap, zero, w, p)
        slack = lessen(features.shape[0], p)
        for j in range(LEAF):
            out[j] = finish(out[j], zero, zero, zero, p) * slack

    # Shared by lists and Borůvka's searches: 0.93 to 0.97 of the CPU time of two copies (12,000 points in 3-D, k =
    # 10; single linkage of 20,000 in 2-D). The rest of the descents differs: limits, components, lists.
    @inlined
    @named(metric.name, weighted, dtype)
    def push_children(node, top, own, nodes, nearest, low, high, weights, p):
        """Push the children of a node, the nearer one to the box ``own`` last; return the new top of the stack."""
        near, other = 2 * node + 1, 2 * node + 2
        near_gap = between_boxes(low, high, own, near, weights, p)
        other_gap = between_boxes(low, high, own, other, weights, p)
        if other_gap < near_gap:
            near, other = other, near
            near_gap, other_gap = other_gap, near_gap
        nodes[top], nearest[top] = other, other_gap
        nodes[top + 1], nearest[top + 1] = near, near_gap
        return top + 2

    return between_boxes, from_points, push_children


@cache
def knn_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Lists of the points of leaves ``begin .. end-1`` by (distance, index); distances as ``metric`` has them.

    ``features`` are in the order of the tree, with `LEAF` more points of any value behind the last. ``first`` holds
    the smallest index in each node. Lists hold positions; the point itself is left out. The list of position ``base``
    is the first of ``position`` and ``distance``. Returns the number of distances computed.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)
    between_boxes, from_points, push_children = bounds(metric, weighted, dtype)
    stamp = jit.stamp(metrics, pairwise, kdtree)
    infinity = dtype.type(np.inf)

    @uncounted
    @named(metric.name, weighted, dtype)
    def insert(values, left, right, own, order, best, which):
        """Put points left..right-1 into one sorted list."""
        last = best.size - 1
        for j in range(right - left):
            value = values[j]
            position = left + j
            if value > best[last] or position == own:
                continue
            index = order[position]
            if value == best[last] and which[last] >= 0 and index > order[which[last]]:
                continue
            place = last  # a shared insertion, inlined, cost 11 % more CPU time (12,000 points in 3-D, k = 10)
            while place > 0 and (
                value < best[place - 1] or (value == best[place - 1] and index < order[which[place - 1]])
            ):
                best[place] = best[place - 1]
                which[place] = which[place - 1]
                place -= 1
            best[place] = value
            which[place] = position

    @uncounted
    @named(metric.name, weighted, dtype)
    def worst(distance, position, order, left, right):
        """The last entry, by (distance, index), of the lists of a leaf."""
        k = distance.shape[1]
        far = dtype.type(0)
        index = -1
        for q in range(left, right):
            value = distance[q, k - 1]
            if value >= far:
                at = position[q, k - 1]
                label = order[at] if at >= 0 else order.size
                index = label if value > far else max(index, label)
                far = value
        return far, index

    @uncounted
    @named(metric.name, weighted, dtype)
    def search(
        features, summary, weights, p, order, first, low, high, depth, begin, end, base, position, distance, buffers
    ):
        out, scratch, gaps, nodes, nearest = buffers
        n = order.size
        k = position.shape[1]
        leaves = (1 << depth) - 1
        computed = 0
        for leaf in range(begin, end):
            left, right = (n * leaf) >> depth, (n * (leaf + 1)) >> depth
            for q in range(left, right):
                for place in range(k):
                    distance[q - base, place] = infinity
                    position[q - base, place] = -1
                row_of_distances(features, summary, q, features, summary, left, left + LEAF, weights, p, out, scratch)
                insert(out, left, right, q, order, distance[q - base], position[q - base])
            computed += (right - left) * (right - left)
            far, far_index = worst(distance, position, order, left - base, right - base)
            own = leaves + leaf
            climbing = own
            while climbing > 0:
                nodes[0] = ((climbing - 1) ^ 1) + 1
                nearest[0] = between_boxes(low, high, own, nodes[0], weights, p)
                climbing = (climbing - 1) >> 1
                top = 1
                while top > 0:
                    top -= 1
                    node = nodes[top]
                    if nearest[top] > far or (nearest[top] == far and first[node] > far_index):
                        continue
                    if node < leaves:
                        top = push_children(node, top, own, nodes, nearest, low, high, weights, p)
                        continue
                    from_points(features, left, low[node], high[node], weights, p, gaps)
                    there = node - leaves
                    start, stop = (n * there) >> depth, (n * (there + 1)) >> depth
                    changed = False
                    for q in range(left, right):
                        limit = distance[q - base, k - 1]
                        gap = gaps[q - left]
                        if gap > limit:
                            continue
                        if (
                            gap == limit
                            and position[q - base, k - 1] >= 0
                            and first[node] > order[position[q - base, k - 1]]
                        ):
                            continue
                        row_of_distances(
                            features, summary, q, features, summary, start, start + LEAF, weights, p, out, scratch
                        )
                        computed += stop - start
                        hits = 0
                        for j in range(LEAF):
                            hits += out[j] <= limit
                        if hits > 0:
                            insert(out, start, stop, q, order, distance[q - base], position[q - base])
                            changed = True
                    if changed:
                        far, far_index = worst(distance, position, order, left - base, right - base)
        return computed

    @compiled
    @named(metric.name, weighted, dtype)
    def knn(features, summary, weights, p, order, first, low, high, depth, begin, end, base, position, distance):
        stamp  # noqa: B018
        buffers = (
            np.empty(LEAF, dtype),
            np.empty(LEAF, dtype),
            np.empty(LEAF, dtype),
            np.empty(STACK, np.int64),
            np.empty(STACK, dtype),
        )
        lists = begin, end, base, position, distance
        return search(features, summary, weights, p, order, first, low, high, depth, *lists, buffers)

    return knn
