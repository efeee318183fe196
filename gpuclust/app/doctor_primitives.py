"""The primitives of a backend that `gpuclust doctor` checks, each computed on a small sample.

A primitive of the protocol (`gpuclust.core.backend`) has an entry in `PRIMITIVES`, or the doctor's test fails.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from gpuclust import distance
from gpuclust.algorithms.boruvka import boruvka
from gpuclust.algorithms.candidates import reciprocal_pairs
from gpuclust.core import devices, methods, preparation
from gpuclust.core.backend import Backend, Generic, Searched, Stored, select
from gpuclust.core.clusters import Clusters
from gpuclust.core.points import Points
from gpuclust.hierarchy.leaf_tree import LeafTree
from gpuclust.linkage import linkage

Arrays = tuple[Any, ...]


#: Tolerances of real numbers: relative to the value, and (where sums cancel) relative to the largest value.
RELATIVE, ABSOLUTE = 1e-11, 1e-12


def same(ours: Arrays, expected: Arrays) -> None:
    """Raise ``AssertionError`` unless integers are equal, and real numbers are equal up to rounding."""
    assert len(ours) == len(expected)
    for mine, other in zip(ours, expected, strict=True):
        mine, other = np.asarray(mine), np.asarray(other)
        assert mine.shape == other.shape, f"shape {mine.shape}, should be {other.shape}"
        if other.dtype.kind != "f":
            wrong = mine != other
        else:
            scale = np.abs(other).max(initial=0.0)
            wrong = ~(np.abs(mine - other) <= RELATIVE * np.abs(other) + ABSOLUTE * scale)
        assert not wrong.any(), f"{wrong.sum()} of {wrong.size} values are wrong"


class Sample:
    """Data of the checks: points, clusters of points, and a tree."""

    def __init__(self) -> None:
        self.n = 20 if devices.simulated() else 150
        random = np.random.default_rng(7)
        self.rows = random.normal(size=(self.n, 6))
        self.points = preparation.prepare(self.rows, "euclidean")
        self.squares = preparation.prepare(self.rows, "sqeuclidean")
        self.ones = np.ones(self.squares.n)
        self.condensed = distance.pdist(self.rows, device="reference")
        self.component = random.integers(0, 3, self.n)
        self.asked = np.arange(0, self.n, 3)

    @cached_property
    def clusters(self) -> Clusters:
        clusters = Clusters.of_points(self.n, np.dtype("float64"))
        for k in (self.n, self.n + self.n // 3):
            rows = np.arange(2 * (self.n // 6)) + k // 9
            clusters, _ = clusters.unite(rows[::2], rows[1::2], k, True)
        return clusters

    @cached_property
    def neighbours(self) -> np.ndarray:
        return select("reference").knn(self.points, 8)[0]

    @cached_property
    def tree(self) -> LeafTree:
        return LeafTree(linkage(self.rows, "average", device="reference"))


Primitive = Callable[[Backend, Sample], Arrays]


def _stored(matrix: Stored) -> Arrays:
    return matrix.nearest, matrix.distance


def _round(matrix: Stored, method: methods.Method) -> tuple[np.ndarray, np.ndarray]:
    """Merge all pairs of reciprocal nearest neighbours; return sizes and ids of the new rows."""
    n = matrix.n
    first, second = reciprocal_pairs(matrix.nearest)
    stays = np.setdiff1d(np.arange(n), second)
    partner, ids, size = np.full(n, -1), np.arange(n), np.ones(n)
    partner[first] = second
    ids[first] = n + np.arange(first.size)
    new_size = size.copy()
    new_size[first] = 2
    matrix.merge(method, stays, partner[stays], matrix.distance[stays], size, new_size[stays], ids[stays])
    return new_size[stays], ids[stays]


def _merged(matrix: Stored, method: str) -> Arrays:
    _round(matrix, methods.METHODS[method])
    return _stored(matrix)


def _chained(matrix: Stored, method: str) -> Arrays:
    n = matrix.n
    size, ids = _round(matrix, methods.METHODS[method])
    born = n - matrix.n
    return matrix.chain(methods.METHODS[method], size, ids, ids[matrix.nearest], n + born, matrix.n - 1)[:2]


def _by_age(clusters: Searched) -> Arrays:
    """Return ids and dissimilarities of nearest clusters by id: backends differ in the order of their rows."""
    order = np.argsort(clusters.ids)
    return clusters.ids[clusters.nearest[order]], clusters.distance[order]


class _ByRounds:
    """A backend whose spanning trees are made by rounds of `Backend.outgoing`."""

    def __init__(self, backend: Backend) -> None:
        self.outgoing = backend.outgoing

    def tree_of_points(self, points: Points, report: Callable[[int], None]) -> None:
        return None


def _spanning_tree(backend: Any, sample: Sample) -> Arrays:
    """Return the edges of the minimum spanning tree of the points, and their lengths."""
    merges = boruvka(backend, sample.points, lambda done: None)
    order = np.lexsort((*np.sort(merges.pairs).T[::-1], merges.heights))
    return np.sort(merges.pairs)[order], merges.heights[order]


def _greedy(engine: Generic, n: int) -> Arrays:
    """Return all merges, with a compaction after half of them."""
    half = n // 2
    early = engine.merge(n, half)[:2]
    engine.compact()
    late = engine.merge(n + half, n - 1 - half)[:2]
    return tuple(np.concatenate(parts) for parts in zip(early, late, strict=True))


_AVERAGE, _WARD = methods.METHODS["average"], methods.METHODS["ward"]


#: The computation of each check, on the backend and on the reference.
PRIMITIVES: dict[str, Primitive] = {
    "condensed": lambda b, s: (distance.pdist(s.rows, device=b.name),),
    "pairwise": lambda b, s: (distance.cdist(s.rows, s.rows[::2], device=b.name),),
    "outgoing": lambda b, s: _spanning_tree(_ByRounds(b), s),
    "tree_of_points": lambda b, s: _spanning_tree(b, s),
    "knn": lambda b, s: b.knn(s.points, 8),
    "nearest_among": lambda b, s: b.nearest_among(s.points, _AVERAGE, s.clusters, s.neighbours, s.asked // 2),
    "search_clusters": lambda b, s: _by_age(b.search_clusters(s.points, _AVERAGE, s.clusters)),
    "search_clusters, bounded": lambda b, s: _by_age(b.search_clusters(s.points, _AVERAGE, s.clusters, bounded=True)),
    "store_points": lambda b, s: _stored(b.store_points(s.points)),
    "store_clusters": lambda b, s: _stored(b.store_clusters(s.points, _AVERAGE, s.clusters)),
    "store_condensed": lambda b, s: _stored(b.store_condensed(s.condensed, s.n, False)),
    "merge": lambda b, s: _merged(b.store_points(s.points), "average"),
    "chain": lambda b, s: _chained(b.store_points(s.points), "average"),
    "summarise": lambda b, s: _stored(b.summarise(s.squares, _WARD, s.ones)),
    "merge of summaries": lambda b, s: _merged(b.summarise(s.squares, _WARD, s.ones), "ward"),
    "chain of summaries": lambda b, s: _chained(b.summarise(s.squares, _WARD, s.ones), "ward"),
    "spanning_tree": lambda b, s: b.spanning_tree(s.condensed, s.n, lambda done: None),
    "generic_points": lambda b, s: _greedy(b.generic_points(s.squares, methods.METHODS["centroid"]), s.n),
    "generic_stored": lambda b, s: _greedy(
        b.generic_stored(b.store_condensed(s.condensed, s.n, True), methods.METHODS["median"]), s.n
    ),
    "correlate": lambda b, s: (b.correlate(s.points.at(s.tree.leaves), s.tree, 3.0, s.tree.mean),),
}
