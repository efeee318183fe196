"""Nearest cluster among a few candidates: the clusters that hold a listed neighbour of one of its points.

Dissimilarities are computed from the points, as the largest or the weighted mean over pairs, in the orientation and
the order of `gpuclust.kernels.cpu.matrix.fill`: the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import compiled, jitable, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.core.sizes import WIDE

#: Clusters a piece of work.
PIECE = 512
#: Pairs of points whose distances are computed before they are used.
ROOM = 128


@cache
def candidates_kernel(
    metric: Metric, weighted: bool, largest: bool, dtype: np.dtype, parallel: bool
) -> Callable[..., Any]:
    """Nearest candidates of the clusters ``todo[begin:end]``.

    With ``parallel`` distances of four pairs at a time are computed first: with many features a sum takes long, each
    addition of which waits for the one before. With few features the lists of pairs would take longer.
    """
    step, finish = jitable(metric.step), jitable(metric.finish)
    none = 0 if metric.words else dtype.type(0)  # integer sums of counts vectorise
    stamp = jit.stamp(metrics)

    @uncounted
    @named(metric.name, weighted, dtype)
    def pair(rows, summary, weights, p, i, j):
        """The distance of two points; features are added in order, as everywhere."""
        x, y = rows[i], rows[j]
        one = summary.dtype.type(1)
        a = b = none
        for k in range(x.size):
            w = weights[k] if weighted else one
            a, b = step(a, b, x[k], y[k], w, p)
        return finish(summary.dtype.type(a), summary.dtype.type(b), summary[i], summary[j], p)

    @uncounted
    @named(metric.name, weighted, dtype)
    def four_pairs(rows, summary, weights, p, left, right, place, out):
        """The distances of four pairs of points; features are added in order."""
        one = summary.dtype.type(1)
        i0, i1, i2, i3 = left[place], left[place + 1], left[place + 2], left[place + 3]
        j0, j1, j2, j3 = right[place], right[place + 1], right[place + 2], right[place + 3]
        x0, x1, x2, x3 = rows[i0], rows[i1], rows[i2], rows[i3]
        y0, y1, y2, y3 = rows[j0], rows[j1], rows[j2], rows[j3]
        a0 = b0 = a1 = b1 = a2 = b2 = a3 = b3 = none
        for k in range(x0.size):
            w = weights[k] if weighted else one
            a0, b0 = step(a0, b0, x0[k], y0[k], w, p)
            a1, b1 = step(a1, b1, x1[k], y1[k], w, p)
            a2, b2 = step(a2, b2, x2[k], y2[k], w, p)
            a3, b3 = step(a3, b3, x3[k], y3[k], w, p)
        of = summary.dtype.type
        out[place] = finish(of(a0), of(b0), summary[i0], summary[j0], p)
        out[place + 1] = finish(of(a1), of(b1), summary[i1], summary[j1], p)
        out[place + 2] = finish(of(a2), of(b2), summary[i2], summary[j2], p)
        out[place + 3] = finish(of(a3), of(b3), summary[i3], summary[j3], p)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def compute(rows, summary, weights, p, left, right, count, out):
        """The distances of the first ``count`` pairs; the last one fills up a group of four."""
        for more in range(count, count + 3):
            left[more], right[more] = left[count - 1], right[count - 1]
        for place in range(0, count, 4):
            four_pairs(rows, summary, weights, p, left, right, place, out)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def list_pairs(members, start, c, q, left, right, at):
        """The pairs of points of clusters c < q, from place ``at`` on."""
        for a in range(start[c], start[c + 1]):
            x = members[a]
            for b in range(start[q], start[q + 1]):
                left[at], right[at] = x, members[b]
                at += 1

    @uncounted
    @named(metric.name, weighted, largest, dtype, parallel)
    def between(rows, summary, weights, p, members, start, weight, total, c, q, found, at):
        """Dissimilarity of clusters c < q; the distances ``found`` from place ``at`` on are used if ``parallel``."""
        # The order of the sums is that of `matrix.fill` and `cluster_search`, which compute a row of distances for
        # each point of c, and of `cluster_tree_kernels`, which stops at a limit: here single pairs are few and
        # scattered.
        result = summary.dtype.type(0)
        for a in range(start[c], start[c + 1]):
            inner = summary.dtype.type(0)
            for b in range(start[q], start[q + 1]):
                if parallel:
                    value = found[at]
                    at += 1
                else:
                    value = pair(rows, summary, weights, p, members[a], members[b])
                if largest:
                    inner = max(inner, value)
                else:
                    inner += weight[b] * value
            result = max(result, inner) if largest else result + weight[a] * inner
        return result if largest else result / (total[c] * total[q])

    @compiled
    @named(metric.name, weighted, largest, dtype, parallel)
    def nearest_among(
        rows,
        summary,
        weights,
        p,
        neighbours,
        row_of,
        members,
        start,
        weight,
        total,
        todo,
        begin,
        end,
        index,
        distance,
    ):
        stamp  # noqa: B018
        seen = np.full(total.size, -1)
        others = np.empty(total.size if parallel else 0, np.int64)
        left, right = np.empty(ROOM + 3, np.int64), np.empty(ROOM + 3, np.int64)
        found = np.empty(ROOM + 3, distance.dtype)
        for place in range(begin, end):
            c = todo[place]
            count = 0
            best = summary.dtype.type(np.inf)
            nearest = -1
            for a in range(start[c], start[c + 1]):
                listed = neighbours[members[a]]
                for t in range(listed.size):
                    q = row_of[listed[t]]
                    if q == c or seen[q] == place:
                        continue
                    seen[q] = place
                    if parallel:
                        others[count] = q
                        count += 1
                        continue
                    low, high = min(c, q), max(c, q)
                    value = between(rows, summary, weights, p, members, start, weight, total, low, high, found, 0)
                    if value < best or (value == best and q < nearest):
                        best = value
                        nearest = q
            first = filled = 0
            mine = start[c + 1] - start[c]
            for last in range(count):
                q = others[last]
                size = mine * (start[q + 1] - start[q])
                if size > found.size - 3:
                    left, right = np.empty(size + 3, np.int64), np.empty(size + 3, np.int64)
                    found = np.empty(size + 3, distance.dtype)
                list_pairs(members, start, min(c, q), max(c, q), left, right, filled)
                filled += size
                following = others[min(last + 1, count - 1)]
                size = mine * (start[following + 1] - start[following])
                if last + 1 < count and filled + size <= ROOM:
                    continue
                compute(rows, summary, weights, p, left, right, filled, found)
                filled = 0
                for entry in range(first, last + 1):
                    q = others[entry]
                    low, high = min(c, q), max(c, q)
                    value = between(
                        rows, summary, weights, p, members, start, weight, total, low, high, found, filled
                    )
                    filled += mine * (start[q + 1] - start[q])
                    if value < best or (value == best and q < nearest):
                        best = value
                        nearest = q
                first, filled = last + 1, 0
            index[place] = nearest
            distance[place] = best

    return nearest_among


def nearest_among(
    points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, todo: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For the clusters ``todo``: row and dissimilarity of the nearest candidate (-1: there is none)."""
    dtype = points.dtype
    parallel = len(points.features) >= WIDE
    kernel = candidates_kernel(points.metric, points.weights is not None, method.pairs == "largest", dtype, parallel)
    weights = points.weights if points.weights is not None else points.summary[:0]
    index = np.empty(todo.size, np.int64)
    distance = np.empty(todo.size, dtype)
    rows = np.ascontiguousarray(points.features.T)  # a point in one place: pairs are taken one by one
    partition = (clusters.row_of_point, clusters.members, clusters.start, clusters.weight, clusters.total)
    common = (rows, points.summary, weights, points.p, neighbours, *partition, todo)
    pieces = ranges(todo.size, PIECE)
    run(lambda begin, end: kernel(*common, begin, end, index, distance), pieces)
    return index, distance
