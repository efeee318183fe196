"""Kernels of `gpuclust.kernels.cpu.clusters.cluster_tree`: bounds, dissimilarities, search, union, chain."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.points import Metric
from gpuclust.kernels.cpu.clusters import hull
from gpuclust.kernels.cpu.clusters.hull import keep_corners, keep_ends

#: Upper bounds, in units of eps, of the error of a centre for each union, and of a bound for each feature.
ROUNDINGS = 16


class Pool(NamedTuple):
    """Points, cluster after cluster, with gaps between; for complete linkage those that can be the farthest."""

    X: np.ndarray  # (capacity, m)
    which: np.ndarray  # indices of the points
    weight: np.ndarray


class Rows(NamedTuple):
    """Clusters by row: the range of their points in the pool, their centre and bounding box."""

    ids: np.ndarray  # -1: not in use
    begin: np.ndarray
    length: np.ndarray
    total: np.ndarray
    centre: np.ndarray  # (rows, m): weighted mean of the points
    low: np.ndarray  # (rows, m): bounding box
    high: np.ndarray
    error: np.ndarray  # that a coordinate of the centre may have


class Tree(NamedTuple):
    """A kd-tree of centres, as in `gpuclust.kernels.cpu.space.kdtree`, that follows unions.

    Errors of centres are bounded for each cluster by its own coordinates, so that an outlier does not loosen the
    bounds of all others.
    """

    order: np.ndarray
    low: np.ndarray
    high: np.ndarray
    live: np.ndarray  # clusters in use below each node
    leaf: np.ndarray  # node of each row
    error: np.ndarray  # the largest `Rows.error` below each node


class Kernels(NamedTuple):
    describe: Callable[..., Any]
    search: Callable[..., Any]
    carry: Callable[..., Any]
    chain: Callable[..., Any]


@cache
def kernels(metric: Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Kernels:
    """Compile the kernels for a metric and a linkage; dissimilarities are compared by `metrics.ordering`."""
    compared = metrics.ordering(metric) if largest else metric
    step, finish = jitable(compared.step), jitable(compared.finish)
    last_step = jitable(metric.finish)
    roots = compared is not metric
    strict = metric.step is metrics.METRICS["euclidean"].step and not weighted
    stamp = jit.stamp(metrics, hull)
    eps = dtype.type(np.finfo(dtype).eps)
    zero = dtype.type(0)
    one = dtype.type(1)
    two = dtype.type(2)
    infinity = dtype.type(np.inf)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def centres_apart(rows, weights, p, x, y, slack):
        """Lower bound of the dissimilarity of two clusters: the distance of their centres (distances are convex)."""
        a = b = zero
        off = rows.error[x] + rows.error[y]
        for k in range(rows.centre.shape[1]):
            gap = max(abs(rows.centre[x, k] - rows.centre[y, k]) - off, zero)
            a, b = step(a, b, gap, zero, weights[k] if weighted else one, p)
        return finish(a, b, zero, zero, p) * slack

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def faces_apart(rows, weights, p, x, y, slack):
        """Lower bound of the largest distance between two clusters: between opposite faces of their boxes."""
        largest_sum = zero
        for k in range(rows.low.shape[1]):
            gap = max(rows.high[x, k] - rows.low[y, k], rows.high[y, k] - rows.low[x, k])
            a, _ = step(zero, zero, gap, zero, weights[k] if weighted else one, p)
            largest_sum = max(largest_sum, a)
        return finish(largest_sum, zero, zero, zero, p) * slack

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def node_apart(tree, rows, weights, p, x, node, slack):
        """Lower bound of the dissimilarity of a cluster to every cluster below a node."""
        a = b = zero
        off = rows.error[x] + tree.error[node]
        for k in range(rows.centre.shape[1]):
            c = rows.centre[x, k]
            gap = max(max(tree.low[node, k] - c, c - tree.high[node, k]) - off, zero)
            a, b = step(a, b, gap, zero, weights[k] if weighted else one, p)
        return finish(a, b, zero, zero, p) * slack

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def between(pool, rows, weights, p, x, y, enough):
        """The dissimilarity of two clusters; any number above ``enough``, or infinity, if it exceeds ``enough``."""
        if rows.ids[y] < rows.ids[x]:
            x, y = y, x
        X = pool.X
        m = X.shape[1]
        value = zero
        scale = rows.total[x] * rows.total[y]
        limit = enough * scale * (one + two * dtype.type(1e-3))
        for i in range(rows.begin[x], rows.begin[x] + rows.length[x]):
            inner = zero
            for j in range(rows.begin[y], rows.begin[y] + rows.length[y]):
                a = b = zero
                for k in range(m):
                    a, b = step(a, b, X[i, k], X[j, k], weights[k] if weighted else one, p)
                d = finish(a, b, zero, zero, p)
                if largest:
                    inner = max(inner, d)
                else:
                    inner += pool.weight[j] * d
            if largest:
                value = max(value, inner)
                if value > enough:
                    return value
            else:
                value += pool.weight[i] * inner
                if value > limit:
                    return infinity
        return value if largest else value / scale

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def nearest_to(pool, rows, tree, depth, weights, p, x, slack, stack, bound):
        """Row and dissimilarity of the cluster nearest to x, by (dissimilarity, id); -1 if all are infinite."""
        best = infinity
        nearest = -1
        nearest_id = np.int64(-1)
        count = tree.order.size
        top = 1
        stack[0] = 0
        bound[0] = zero
        while top > 0:
            top -= 1
            node = stack[top]
            if bound[top] > best:
                continue
            if node + 1 < 1 << depth:
                left, right = 2 * node + 1, 2 * node + 2
                at_left = node_apart(tree, rows, weights, p, x, left, slack)
                at_right = node_apart(tree, rows, weights, p, x, right, slack)
                if at_left < at_right:  # the nearer child is visited first
                    left, right = right, left
                    at_left, at_right = at_right, at_left
                if tree.live[left] > 0 and at_left <= best:
                    stack[top] = left
                    bound[top] = at_left
                    top += 1
                if tree.live[right] > 0 and at_right <= best:
                    stack[top] = right
                    bound[top] = at_right
                    top += 1
                continue
            j = node + 1 - (1 << depth)
            for place in range((count * j) >> depth, (count * (j + 1)) >> depth):
                y = tree.order[place]
                if y == x or rows.ids[y] < 0:
                    continue
                if centres_apart(rows, weights, p, x, y, slack) > best:
                    continue
                if largest and faces_apart(rows, weights, p, x, y, slack) > best:
                    continue
                value = between(pool, rows, weights, p, x, y, best)
                if value < best or (value == best and rows.ids[y] < nearest_id):
                    best = value
                    nearest = y
                    nearest_id = rows.ids[y]
        return nearest, best

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def final(value, p):
        return last_step(value, zero, zero, zero, p) if roots else value

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def farthest(rows, x):
        """The largest absolute coordinate of a cluster's points."""
        most = zero
        for k in range(rows.low.shape[1]):
            most = max(most, abs(rows.low[x, k]), abs(rows.high[x, k]))
        return most

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def measure(pool, rows, x):
        """Centre and box of a row from its points."""
        m = pool.X.shape[1]
        begin, end = rows.begin[x], rows.begin[x] + rows.length[x]
        for k in range(m):
            low = high = pool.X[begin, k]
            total = weight = zero
            for i in range(begin, end):
                value = pool.X[i, k]
                low = min(low, value)
                high = max(high, value)
                total += pool.weight[i] * value
                weight += pool.weight[i]
            rows.low[x, k] = low
            rows.high[x, k] = high
            rows.centre[x, k] = total / weight if end - begin > 1 else low
        rows.error[x] = dtype.type(end - begin - 1) * 4 * eps * farthest(rows, x)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def reduce(pool, begin, count, corners, diameter):
        """Drop points that cannot be the farthest; return how many are left."""
        if largest and pool.X.shape[1] == 1:
            return keep_ends(pool.X, pool.which, begin, begin + count)
        if largest and pool.X.shape[1] == 2:
            return keep_corners(pool.X, pool.which, begin, begin + count, corners, diameter, strict)
        return count

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def join(old, rows, a, b, pool, end, into, x, counted, diameter, corners):
        """Put the union of rows a and b to place ``end`` of a pool, and describe it as row x of ``into``."""
        place = end
        for part in range(2):
            y = a if part == 0 else b
            for i in range(rows.begin[y], rows.begin[y] + rows.length[y]):
                for k in range(old.X.shape[1]):
                    pool.X[place, k] = old.X[i, k]
                pool.which[place] = old.which[i]
                pool.weight[place] = old.weight[i] if counted else old.weight[i] / two
                place += 1
        total = rows.total[a] + rows.total[b]
        fa, fb = rows.total[a] / total, rows.total[b] / total
        for k in range(old.X.shape[1]):
            into.centre[x, k] = fa * rows.centre[a, k] + fb * rows.centre[b, k]
            into.low[x, k] = min(rows.low[a, k], rows.low[b, k])
            into.high[x, k] = max(rows.high[a, k], rows.high[b, k])
        into.error[x] = max(rows.error[a], rows.error[b]) + ROUNDINGS * eps * farthest(into, x)
        into.total[x] = total if counted else one
        into.begin[x] = end
        into.length[x] = reduce(pool, end, place - end, corners, diameter)
        return end + into.length[x]

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def describe(pool, rows, diameter, begin, end):
        """Centres and boxes of rows begin..end-1; points that cannot be the farthest are dropped."""
        stamp  # noqa: B018
        for x in range(begin, end):
            measure(pool, rows, x)
            if rows.length[x] > 3:
                corners = np.empty(2 * rows.length[x] + 2, np.int64)
                rows.length[x] = reduce(pool, rows.begin[x], rows.length[x], corners, diameter)

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def search(pool, rows, tree, depth, weights, p, todo, nearest, distance, begin, end):
        """The nearest of rows todo[begin:end]."""
        stamp  # noqa: B018
        stack = np.empty(depth + 2, np.int64)
        bound = np.empty(depth + 2, dtype)
        slack = one - dtype.type(ROUNDINGS + 4 * rows.centre.shape[1]) * eps
        for at in range(begin, end):
            x = todo[at]
            y, value = nearest_to(pool, rows, tree, depth, weights, p, x, slack, stack, bound)
            nearest[x] = y
            distance[x] = final(value, p) if y >= 0 else -infinity

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def carry(old, rows, first, second, pool, places, into, counted, diameter, begin, end):
        """New rows begin..end-1, in a new pool: old row first[x], united with second[x] unless that is -1."""
        stamp  # noqa: B018
        corners = np.empty(16, np.int64)
        for x in range(begin, end):
            a, b = first[x], second[x]
            if b >= 0:
                if largest and corners.size < 2 * (rows.length[a] + rows.length[b]) + 2:
                    corners = np.empty(4 * (rows.length[a] + rows.length[b]), np.int64)
                join(old, rows, a, b, pool, places[x], into, x, counted, diameter, corners)
                continue
            for i in range(rows.length[a]):
                for k in range(old.X.shape[1]):
                    pool.X[places[x] + i, k] = old.X[rows.begin[a] + i, k]
                pool.which[places[x] + i] = old.which[rows.begin[a] + i]
                pool.weight[places[x] + i] = old.weight[rows.begin[a] + i]
            for k in range(old.X.shape[1]):
                into.centre[x, k] = rows.centre[a, k]
                into.low[x, k] = rows.low[a, k]
                into.high[x, k] = rows.high[a, k]
            into.error[x] = rows.error[a]
            into.total[x] = rows.total[a]
            into.begin[x] = places[x]
            into.length[x] = rows.length[a]

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def chain(
        pool, used, rows, tree, depth, weights, p, counted, diameter, nearest, nearest_id, distance,
        link, linked, length, next_id, wanted, pairs, heights, counts,
    ):  # fmt: skip
        """Merges until ``wanted`` are made or the pool is full; counts: merges, scans, length, end of the pool.

        ``link[:length]`` is the chain so far, ``linked`` its rows. Scans of -1: distances are infinite.
        """
        stamp  # noqa: B018
        stack = np.empty(depth + 2, np.int64)
        bound = np.empty(depth + 2, dtype)
        corners = np.empty(16, np.int64)
        slack = one - dtype.type(ROUNDINGS + 4 * rows.centre.shape[1]) * eps
        done = scans = start = 0
        while done < wanted:
            if length == 0:
                while rows.ids[start] < 0:
                    start += 1
                link[0] = start
                linked[start] = True
                length = 1
            x = link[length - 1]
            if nearest[x] < 0 or rows.ids[nearest[x]] != nearest_id[x]:
                y, value = nearest_to(pool, rows, tree, depth, weights, p, x, slack, stack, bound)
                scans += 1
                if y < 0:
                    scans = -1
                    break
                nearest[x] = y
                nearest_id[x] = rows.ids[y]
                distance[x] = final(value, p)
            y = nearest[x]
            before = link[length - 2] if length > 1 else -1
            if not linked[y] and (before < 0 or distance[x] < distance[before]):
                link[length] = y
                linked[y] = True
                length += 1
                continue
            # Either y is the one before, or rounding says that something earlier in the chain is as near.
            y = before
            a, b = min(x, y), max(x, y)
            if used + rows.length[a] + rows.length[b] > pool.which.size:
                break
            if largest and corners.size < 2 * (rows.length[a] + rows.length[b]) + 2:
                corners = np.empty(4 * (rows.length[a] + rows.length[b]), np.int64)
            length -= 2
            linked[x] = linked[y] = False
            pairs[done, 0] = rows.ids[a]
            pairs[done, 1] = rows.ids[b]
            heights[done] = distance[y]
            used = join(pool, rows, a, b, pool, used, rows, a, counted, diameter, corners)
            rows.ids[a] = next_id + done
            rows.ids[b] = -1
            nearest[a] = -1
            node = tree.leaf[b]
            tree.live[node] -= 1
            while node > 0:
                node = (node - 1) // 2
                tree.live[node] -= 1
            node = tree.leaf[a]
            while True:
                tree.error[node] = max(tree.error[node], rows.error[a])
                for k in range(pool.X.shape[1]):
                    tree.low[node, k] = min(tree.low[node, k], rows.centre[a, k])
                    tree.high[node, k] = max(tree.high[node, k], rows.centre[a, k])
                if node == 0:
                    break
                node = (node - 1) // 2
            done += 1
        counts[0], counts[1], counts[2], counts[3] = done, scans, length, used

    return Kernels(describe, search, carry, chain)
