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
from gpuclust.core.jit import compiled, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cpu.space import pairwise

#: Clusters a piece of work.
PIECE = 512


@cache
def candidates_kernel(metric: Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Callable[..., Any]:
    step, finish = pairwise.jitable(metric.step), pairwise.jitable(metric.finish)
    none = 0 if metric.words else dtype.type(0)  # integer sums of counts vectorise
    stamp = jit.stamp(metrics)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
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
    @named(metric.name, weighted, largest, dtype)
    def between(rows, summary, weights, p, members, start, weight, total, c, q):
        """Dissimilarity of clusters c < q."""
        # The order of the sums is that of `matrix.fill` and `cluster_search`, which compute a row of distances for
        # each point of c, and of `cluster_tree_kernels`, which stops at a limit: here single pairs are few and
        # scattered.
        result = summary.dtype.type(0)
        for a in range(start[c], start[c + 1]):
            inner = summary.dtype.type(0)
            for b in range(start[q], start[q + 1]):
                value = pair(rows, summary, weights, p, members[a], members[b])
                if largest:
                    inner = max(inner, value)
                else:
                    inner += weight[b] * value
            result = max(result, inner) if largest else result + weight[a] * inner
        return result if largest else result / (total[c] * total[q])

    @compiled
    @named(metric.name, weighted, largest, dtype)
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
        for place in range(begin, end):
            c = todo[place]
            best = summary.dtype.type(np.inf)
            nearest = -1
            for a in range(start[c], start[c + 1]):
                listed = neighbours[members[a]]
                for t in range(listed.size):
                    q = row_of[listed[t]]
                    if q == c or seen[q] == place:
                        continue
                    seen[q] = place
                    value = between(rows, summary, weights, p, members, start, weight, total, min(c, q), max(c, q))
                    if value < best or (value == best and q < nearest):
                        best = value
                        nearest = q
            index[place] = nearest
            distance[place] = best

    return nearest_among


def nearest_among(
    points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, todo: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For the clusters ``todo``: row and dissimilarity of the nearest candidate (-1: there is none)."""
    dtype = points.dtype
    kernel = candidates_kernel(points.metric, points.weights is not None, method.pairs == "largest", dtype)
    weights = points.weights if points.weights is not None else points.summary[:0]
    index = np.empty(todo.size, np.int64)
    distance = np.empty(todo.size, dtype)
    rows = np.ascontiguousarray(points.features.T)  # a point in one place: pairs are taken one by one
    partition = (clusters.row_of_point, clusters.members, clusters.start, clusters.weight, clusters.total)
    common = (rows, points.summary, weights, points.p, neighbours, *partition, todo)
    pieces = ranges(todo.size, PIECE)
    run(lambda begin, end: kernel(*common, begin, end, index, distance), pieces)
    return index, distance
