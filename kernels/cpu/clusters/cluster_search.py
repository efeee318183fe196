"""Nearest clusters computed from the points: dissimilarities are reduced while they are in cache, and not stored.

The same sums in the same order as `gpuclust.kernels.cpu.matrix.fill` stores: of a pair of clusters the earlier one is
the outer sum. So a row that is searched here has the minimum that its row of the matrix would have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import compiled, named, ranges, run, thread_count, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cpu.space import pairwise

#: Fewest points in a block of columns: their distances to one point stay in the first-level cache.
BLOCK = 512
#: Points of the rows in a piece of work, unless a single cluster has more.
PIECE = 64
#: Number of pairs times features below which one thread does all the work.
SMALL = 1 << 19


@cache
def block_functions(metric: Metric, weighted: bool, largest: bool) -> tuple[Callable[..., None], Callable[..., None]]:
    """``gather(features, summary, members, left, right, there, summary_there)`` and ``compare(..., out)``.

    The first copies the points of a block of clusters, the second writes the dissimilarities of cluster i to those
    of the block; to itself any number.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)

    @uncounted
    @named(metric.name, weighted, largest)
    def gather(features, summary, members, left, right, there, summary_there):
        for k in range(features.shape[0]):
            for j in range(right - left):
                there[k, j] = features[k, members[left + j]]
        for j in range(right - left):
            summary_there[j] = summary[members[left + j]]

    @uncounted
    @named(metric.name, weighted, largest)
    def compare(
        features,
        summary,
        weights,
        p,
        members,
        starts,
        weight,
        total,
        i,
        first,
        last,
        there,
        summary_there,
        values,
        scratch,
        inner,
        out,
    ):
        left, right = starts[first], starts[last]
        zero = summary.dtype.type(0)
        d = values[: right - left]
        s = inner[: right - left]
        before = min(max(i, first), last)  # clusters first .. before - 1 come before i
        middle = starts[before] - left
        out[: last - first] = zero
        s[:middle] = zero
        for a in range(starts[i], starts[i + 1]):
            own_point = members[a]
            length = right - left
            row_of_distances(features, summary, own_point, there, summary_there, 0, length, weights, p, d, scratch)
            own = weight[a]
            if largest:
                for k in range(middle):
                    s[k] = d[k] if not d[k] <= s[k] else s[k]
            else:
                for k in range(middle):
                    s[k] += own * d[k]
            for q in range(before, last):
                if q == i:
                    continue
                part = zero
                for k in range(starts[q] - left, starts[q + 1] - left):
                    if largest:
                        part = d[k] if not d[k] <= part else part
                    else:
                        part += weight[left + k] * d[k]
                if largest:
                    out[q - first] = part if not part <= out[q - first] else out[q - first]
                else:
                    out[q - first] += own * part
        for q in range(first, before):
            whole = zero
            for k in range(starts[q] - left, starts[q + 1] - left):
                if largest:
                    whole = s[k] if not s[k] <= whole else whole
                else:
                    whole += weight[left + k] * s[k]
            out[q - first] = whole
        if not largest:
            for q in range(first, last):
                out[q - first] /= total[i] * total[q]

    return gather, compare


@cache
def search_kernel(metric: Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Callable[..., Any]:
    gather, compare = block_functions(metric, weighted, largest)
    stamp = jit.stamp(metrics, pairwise)

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def nearest_cluster(
        features,
        summary,
        weights,
        p,
        members,
        starts,
        weight,
        total,
        borders,
        longest,
        rows,
        begin,
        end,
        block_from,
        block_to,
        index,
        distance,
    ):
        """Clusters ``rows[begin:end]`` against those of some blocks of columns; ``borders`` are where these begin."""
        stamp  # noqa: B018
        there = np.empty((features.shape[0], longest), features.dtype)
        summary_there = np.empty(longest, summary.dtype)
        values = np.empty(longest, summary.dtype)
        scratch = np.empty(longest, summary.dtype)
        inner = np.empty(longest, summary.dtype)
        out = np.empty(longest, summary.dtype)
        for place in range(begin, end):
            distance[place] = np.inf
        for block in range(block_from, block_to):
            first, last = borders[block], borders[block + 1]
            gather(features, summary, members, starts[first], starts[last], there, summary_there)
            for place in range(begin, end):
                i = rows[place]
                compare(
                    features,
                    summary,
                    weights,
                    p,
                    members,
                    starts,
                    weight,
                    total,
                    i,
                    first,
                    last,
                    there,
                    summary_there,
                    values,
                    scratch,
                    inner,
                    out,
                )
                for q in range(first, last):
                    if q == i:
                        continue
                    value = out[q - first]
                    if not value < np.inf:
                        distance[place] = -np.inf  # for the algorithm to see
                    if value < distance[place]:
                        distance[place] = value
                        index[place] = q

    return nearest_cluster


@cache
def rows_kernel(metric: Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Callable[..., Any]:
    gather, compare = block_functions(metric, weighted, largest)
    stamp = jit.stamp(metrics, pairwise)

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def rows_of_clusters(
        features, summary, weights, p, members, starts, weight, total, borders, longest, rows, begin, end, matrix
    ):
        """Rows ``rows[begin:end]`` of the square matrix, with infinity on its diagonal."""
        stamp  # noqa: B018
        there = np.empty((features.shape[0], longest), features.dtype)
        summary_there = np.empty(longest, summary.dtype)
        values = np.empty(longest, summary.dtype)
        scratch = np.empty(longest, summary.dtype)
        inner = np.empty(longest, summary.dtype)
        for block in range(borders.size - 1):
            first, last = borders[block], borders[block + 1]
            gather(features, summary, members, starts[first], starts[last], there, summary_there)
            for place in range(begin, end):
                compare(
                    features,
                    summary,
                    weights,
                    p,
                    members,
                    starts,
                    weight,
                    total,
                    rows[place],
                    first,
                    last,
                    there,
                    summary_there,
                    values,
                    scratch,
                    inner,
                    matrix[place, first:last],
                )
        for place in range(begin, end):
            matrix[place, rows[place]] = np.inf

    return rows_of_clusters


def rows_of_clusters(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray, matrix: np.ndarray
) -> None:
    """Write the dissimilarities of each of ``rows`` to all clusters into ``matrix``; O(n m) time for each point."""
    kernel = rows_kernel(points.metric, points.weights is not None, method.pairs == "largest", points.dtype)
    common = _arguments(points, clusters, rows)
    run(kernel, [(*common, *cut, matrix) for cut in _pieces(clusters.size[rows])])


def _arguments(points: Points, clusters: Clusters, rows: np.ndarray) -> tuple[Any, ...]:
    """The first arguments of both kernels."""
    weights = points.weights if points.weights is not None else points.summary[:0]
    borders = _borders(clusters.start)
    longest = int(np.diff(clusters.start[borders]).max())
    partition = clusters.members, clusters.start, clusters.weight, clusters.total, borders, longest
    return (points.features, points.summary, weights, points.p, *partition, rows)


def nearest_cluster(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and dissimilarity of the nearest cluster of each of ``rows``; O(n m) time for each of their points."""
    dtype = points.dtype
    kernel = search_kernel(points.metric, points.weights is not None, method.pairs == "largest", dtype)
    common = _arguments(points, clusters, rows)
    cuts = _pieces(clusters.size[rows])
    # Where there are few rows, threads share their columns.
    blocks = common[8].size - 1
    length = blocks if len(cuts) >= thread_count() else max(1, -(-blocks // thread_count()))
    parts = ranges(blocks, length)
    index, distance = np.full((len(parts), rows.size), -1), np.empty((len(parts), rows.size), dtype)
    threads = points.features.size * int(clusters.size[rows].sum()) > SMALL
    pieces = [(*common, *cut, *part, index[at], distance[at]) for cut in cuts for at, part in enumerate(parts)]
    run(kernel, pieces, threads=threads)
    nearest, one = distance.argmin(axis=0), np.arange(rows.size)
    return index[nearest, one], distance[nearest, one]


def _borders(start: np.ndarray) -> np.ndarray:
    """Clusters where blocks of columns begin: of at least BLOCK points each, but for the last."""
    marks = np.searchsorted(start, np.arange(0, start[-1], BLOCK))
    return np.unique(np.append(marks, start.size - 1))


def _pieces(sizes: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of rows with PIECE points or so each."""
    if sizes.size == 0:
        return []
    bins = (np.cumsum(sizes) - 1) // PIECE
    cuts = np.append(np.flatnonzero(np.diff(bins, prepend=-1)), sizes.size)
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
