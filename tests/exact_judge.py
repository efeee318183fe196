"""Verifier of a linkage matrix by its definition, in extended precision, relative to the distance of each merge.

The merges of Z are replayed on dissimilarities computed from the points in `numpy.longdouble`. Each must join a
closest pair of the clusters at that step, at that pair's dissimilarity. If several pairs are equally close any of
them is valid. The tolerance for equality is relative, so that merges far below the extent of the data are verified
like all others. O(n²) numbers and about O(n²) time.

On platforms where `numpy.longdouble` is double precision the judge is as precise as that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import squareform

from gpuclust.core import methods

Square = np.ndarray
LONG = np.longdouble
#: Metrics whose dissimilarities are computed here from differences of features, without cancellation.
BY_DIFFERENCE: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "euclidean": lambda d, s, p: np.sqrt((d * d).sum(axis=-1)),
    "sqeuclidean": lambda d, s, p: (d * d).sum(axis=-1),
    "cityblock": lambda d, s, p: abs(d).sum(axis=-1),
    "chebyshev": lambda d, s, p: abs(d).max(axis=-1),
    "minkowski": lambda d, s, p: (abs(d) ** LONG(p)).sum(axis=-1) ** (1 / LONG(p)),
    "braycurtis": lambda d, s, p: _quotient(abs(d).sum(axis=-1), abs(s).sum(axis=-1)),
}


class Wrong(AssertionError):
    """A linkage matrix that is not right."""


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b != 0)


def dissimilarities(X: np.ndarray, metric: str, p: float = 2.0) -> Square:
    """All of them, in extended precision, as a square."""
    X = np.asarray(X).astype(LONG)
    if metric in BY_DIFFERENCE:
        rows = [BY_DIFFERENCE[metric](X - x, X + x, p) for x in X]
        return np.array(rows, LONG)
    if metric == "correlation":
        X = X - X.mean(axis=1, keepdims=True)
    elif metric != "cosine":
        raise ValueError(f"the judge has no metric {metric!r}")
    unit = X / np.sqrt((X * X).sum(axis=1, keepdims=True))  # half a squared difference does not cancel
    return np.array([((unit - x) ** 2).sum(axis=1) / 2 for x in unit], LONG)


def judge(Z: np.ndarray, square: Square, method: str, rtol: float = 1e-10, atol: float = 0.0) -> None:
    """Raise `Wrong` at the first row of Z that is not a closest pair of that moment, or not at its dissimilarity.

    ``square`` holds dissimilarities; for ward, centroid and median Euclidean distances. ``rtol`` is relative to the
    pair's own dissimilarity, ``atol`` absolute (for metrics and types in which small ones are not known any better).
    """
    rule = methods.METHODS[method]
    n = len(square)
    if Z.shape != (n - 1, 4):
        raise Wrong(f"Z has shape {Z.shape}, for {n} observations")
    if rule.reducible and (np.diff(Z[:, 2]) < 0).any():
        raise Wrong(f"heights decrease at row {np.flatnonzero(np.diff(Z[:, 2]) < 0)[0] + 1}")
    state = _State(np.array(square, LONG), rule)
    for i, (first, second, height, count) in enumerate(Z):
        a, b = int(first), int(second)
        if (a, b) != (first, second) or not 0 <= a < b < n + i:
            raise Wrong(f"row {i}: ids {first}, {second}")
        for k in (a, b):
            if state.row[k] < 0:
                raise Wrong(f"row {i}: cluster {k} does not exist at this moment")
        x, y = state.row[a], state.row[b]
        d, least = state.distance(x, y), state.least()
        margin = rtol * least + atol
        if not d <= least + margin:
            raise Wrong(f"row {i}: pair {a}, {b} at {d:.20g}, but a pair at {least:.20g} exists")
        if not abs(LONG(height) - d) <= rtol * d + atol:
            raise Wrong(f"row {i}: height {height!r}, but pair {a}, {b} is at {d:.20g}")
        if count != state.members[x] + state.members[y]:
            raise Wrong(f"row {i}: count {count}, but the cluster has {state.members[x] + state.members[y]}")
        state.merge(a, b, n + i)


class _State:
    """Dissimilarities of the clusters there are (squared for a linkage on squares), and the smallest of each row."""

    def __init__(self, work: Square, rule: methods.Method) -> None:
        n = len(work)
        self.rule = rule
        self.work = work * work if rule.on_squares else work
        np.fill_diagonal(self.work, np.inf)
        self.smallest = self.work.min(axis=1)
        self.row = np.full(2 * n, -1)
        self.row[:n] = np.arange(n)
        self.members = np.ones(n)
        self.alive = np.ones(n, bool)

    def _out(self, value: np.floating) -> np.floating:
        return np.sqrt(value) if self.rule.on_squares else value

    def distance(self, x: int, y: int) -> np.floating:
        return self._out(self.work[x, y])

    def least(self) -> np.floating:
        return self._out(self.smallest.min())

    def merge(self, a: int, b: int, number: int) -> None:
        work, rule = self.work, self.rule
        x, y = self.row[a], self.row[b]
        gone = work[x].copy(), work[y].copy()
        sizes = self.members.astype(LONG) if rule.counted else np.ones(len(work), LONG)
        new = _updated(rule, gone[0], gone[1], work[x, y], sizes[x], sizes[y], sizes)
        self.alive[y] = False
        new[~self.alive] = np.inf
        new[x] = np.inf
        work[x], work[:, x] = new, new
        work[y] = work[:, y] = np.inf
        stale = ((self.smallest == gone[0]) | (self.smallest == gone[1])) & (self.smallest < new)
        self.smallest = np.minimum(self.smallest, new)
        stale[y], stale[x], self.smallest[y] = False, True, np.inf
        self.smallest[stale] = work[stale].min(axis=1)
        self.members[x] += self.members[y]
        self.row[[a, b, number]] = -1, -1, x
        if 2 * np.count_nonzero(self.alive) < len(work):
            self._compact()

    def _compact(self) -> None:
        """Keep only the rows and columns of clusters that there are."""
        place = np.cumsum(self.alive) - 1
        self.row[self.row >= 0] = place[self.row[self.row >= 0]]
        self.work = self.work[np.ix_(self.alive, self.alive)]
        self.smallest, self.members = self.smallest[self.alive], self.members[self.alive]
        self.alive = np.ones(len(self.work), bool)


def _updated(
    rule: methods.Method,
    dxa: np.ndarray,
    dxb: np.ndarray,
    dab: np.floating,
    sa: np.floating,
    sb: np.floating,
    sx: np.ndarray,
) -> np.ndarray:
    """The textbook update, not the library's, which is clamped. No term cancels where a and b are a closest pair."""
    size = sa + sb
    if rule.name == "single":
        return np.minimum(dxa, dxb)
    if rule.name == "complete":
        return np.maximum(dxa, dxb)
    if rule.name == "ward":
        return ((sa + sx) * dxa + (sb + sx) * dxb - sx * dab) / (size + sx)
    if rule.name in ("centroid", "median"):
        return np.maximum((sa * dxa + sb * dxb) / size - sa * sb * dab / (size * size), 0)
    return (sa * dxa + sb * dxb) / size


def judge_neighbours(
    distances: np.ndarray, indices: np.ndarray, expected: np.ndarray, compared: np.ndarray, k: int
) -> None:
    """Raise `Wrong` unless these are, bit for bit, the k smallest distances to others, ties by index.

    Both ``expected`` and the numbers that are ``compared`` in their place are condensed.
    """
    order = squareform(compared)
    np.fill_diagonal(order, np.inf)
    nearest = np.argsort(order, axis=1, kind="stable")[:, :k]
    if not np.array_equal(indices, nearest):
        row = np.flatnonzero((indices != nearest).any(axis=1))[0]
        raise Wrong(f"neighbours of {row}: {indices[row]}, but the nearest are {nearest[row]}")
    if not np.array_equal(distances, np.take_along_axis(squareform(expected), nearest, axis=1)):
        raise Wrong("distances of neighbours are not those of pdist")


def minimum_spanning_tree(lengths: np.ndarray, compared: np.ndarray, n: int) -> np.ndarray:
    """The one Z of single linkage whose edges are the first in (length, smaller end, larger end).

    Both ``lengths`` and the numbers that are ``compared`` in their place are condensed: edges of the tree are chosen
    by the latter, and merge by the former.
    """
    ends = np.stack(np.triu_indices(n, 1), axis=1)  # in the order of ends, as stable sorts leave ties
    chosen = [edge for edge, _ in _joining(np.argsort(compared, kind="stable"), ends, n)]
    chosen = np.sort(np.array(chosen))
    Z, number, size = [], {k: k for k in range(n)}, dict.fromkeys(range(n), 1)
    for edge, (a, b) in _joining(chosen[np.argsort(lengths[chosen], kind="stable")], ends, n):
        one, other = sorted((number[a], number[b]))
        root = min(a, b)
        size[root], number[root] = size[a] + size[b], n + len(Z)
        Z.append((one, other, lengths[edge], size[root]))
    return np.array(Z, float)


def _joining(edges: np.ndarray, ends: np.ndarray, n: int) -> list[tuple[int, tuple[int, int]]]:
    """Of edges in an order those that join two components, each with these (known by their smallest points)."""
    parent = list(range(n))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    found = []
    for edge in edges.tolist():
        a, b = (root(int(end)) for end in ends[edge])
        if a != b:
            found.append((edge, (a, b)))
            parent[max(a, b)] = min(a, b)
            if len(found) == n - 1:
                break
    return found
