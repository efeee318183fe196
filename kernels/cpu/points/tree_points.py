"""Points in the order of a kd-tree, for searches by tree; whether such a search pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from gpuclust.core.jit import compiled, ranges, run, uncounted
from gpuclust.core.points import Points, on_arrays
from gpuclust.core.sizes import TREE_FEATURES
from gpuclust.kernels.cpu.points.tree_boruvka import component_of_nodes, search_kernel
from gpuclust.kernels.cpu.points.tree_knn import knn_kernel
from gpuclust.kernels.cpu.space import kdtree
from gpuclust.kernels.cpu.space.kdtree import LEAF, Tree

#: Leaves in a piece of work, and points searched in one.
PIECE = 64
SEARCHED = 4096
#: Largest fraction of all pairs that lists may compare for nearest neighbours to be searched by tree. Measured: at an
#: eighth both take the same time. A pair costs four times as much by tree (short vectors, bounds), and a pass over
#: all pairs computes half of them.
SHARE = 1 / 8
#: Leaves searched to measure that fraction; and in a first attempt, which suffices where no box can be skipped.
SAMPLE, GLANCE = 16, 3


@dataclass(frozen=True)
class TreePoints:
    """Points and their kd-tree.

    Attributes
    ----------
    points : Points
        In the order they were given; features of weight zero are left out.
    tree : Tree
    features : array of shape (m, n + LEAF)
        In the order of the tree, with zeros behind the last.
    first : array of shape (nodes,), int64
        The smallest index in each node.
    search_dominates : bool
        See `gpuclust.kernels.cpu.points.boruvka.Arranged`.
    """

    points: Points
    tree: Tree
    features: np.ndarray
    first: np.ndarray
    search_dominates: ClassVar[bool] = False

    @property
    def n(self) -> int:
        return self.points.n

    @property
    def leaves(self) -> int:
        return 1 << self.tree.depth

    def arguments(self) -> tuple[Any, ...]:
        """The first arguments of kernels: features, summary, weights, p."""
        dtype = self.features.dtype
        weights = np.empty(0, dtype) if self.points.weights is None else self.points.weights
        return self.features, np.zeros(self.features.shape[1], dtype), weights, self.points.p

    def lists(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, k) and distances of the nearest others of each position, by (distance, index).

        -1 and infinite behind the last where there are fewer than k others. O(n k) memory.
        """
        position = np.empty((self.n, k), index_type(self.n))
        distance = np.empty((self.n, k), self.features.dtype)
        search = self._search()
        run(lambda begin, end: search(begin, end, 0, position, distance), ranges(self.leaves, PIECE))
        return position, distance

    def knn(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `lists`, by index of the point instead of its position. O(n k) memory."""
        order, search = self.tree.order, self._search()
        index = np.empty((self.n, k), np.int64)
        distance = np.empty((self.n, k), self.features.dtype)

        def put(begin: int, end: int) -> None:
            left, right = self._span(begin)[0], self._span(end - 1)[1]
            position = np.empty((right - left, k), index_type(self.n))
            found = np.empty((right - left, k), distance.dtype)
            search(begin, end, left, position, found)
            index[order[left:right]] = np.where(position >= 0, order[position], -1)
            distance[order[left:right]] = found

        run(put, ranges(self.leaves, PIECE))
        return index, distance

    def share_compared(self, k: int, leaves: int) -> float:
        """Fraction of all pairs that lists of k neighbours compare, measured on some leaves spread over the tree."""
        search = self._search()
        counts: list[tuple[int, int]] = []

        def count(leaf: int) -> None:
            left, right = self._span(leaf)
            position, distance = np.empty((LEAF, k), index_type(self.n)), np.empty((LEAF, k), self.features.dtype)
            counts.append((search(leaf, leaf + 1, left, position, distance), right - left))

        run(count, [(int(leaf),) for leaf in np.unique(np.linspace(0, self.leaves - 1, leaves).astype(np.int64))])
        compared, searched = np.sum(counts, axis=0)
        return float(compared / (searched * self.n))

    def _span(self, leaf: int) -> tuple[int, int]:
        return (self.n * leaf) >> self.tree.depth, (self.n * (leaf + 1)) >> self.tree.depth

    def _search(self) -> Callable[..., int]:
        """``search(first leaf, end, base, position, distance)``: see `knn_kernel`."""
        points, tree = self.points, self.tree
        kernel = knn_kernel(points.metric, points.weights is not None, self.features.dtype)
        return partial(kernel, *self.arguments(), tree.order, self.first, tree.low, tree.high, tree.depth)

    @property
    def order(self) -> np.ndarray:
        """The point at each position."""
        return self.tree.order

    def between(self, here: np.ndarray, count: int, bound: np.ndarray) -> None:
        """``None``: a tree finds single edges quickly."""

    def at(self, which: np.ndarray) -> TreePoints:
        """Some of the points."""
        arranged = arrange(self.points.at(which))
        assert arranged is not None
        return arranged

    def outside(
        self, here: np.ndarray, best: np.ndarray, near: np.ndarray, bound: np.ndarray, searched: np.ndarray
    ) -> None:
        """Search the positions ``searched`` for what is nearest of another component.

        ``here`` is the component of each position. ``near`` and ``bound`` are set where something is found that is
        not farther than ``best`` of the component, which is lowered on the way.
        """
        points, tree = self.points, self.tree
        of_node = np.empty(tree.low.shape[0], np.int64)
        component_of_nodes(here, tree.depth, of_node)
        kernel = search_kernel(points.metric, points.weights is not None, self.features.dtype)
        common = (*self.arguments(), tree.order, tree.low, tree.high, tree.depth, here, of_node, best)
        run(kernel, [(*common, near, bound, searched, *piece) for piece in ranges(searched.size, SEARCHED)])

    def originals(self) -> np.ndarray | None:
        """Smallest index of an equal point for each index; ``None`` if no two points are equal."""
        lowest = self.tree.order.copy()
        common = (self.features, self.tree.order, self.first, self.tree.low, self.tree.high, self.tree.depth)
        run(lambda begin, end: find_equals(*common, begin, end, lowest), ranges(self.leaves, PIECE))
        if np.array_equal(lowest, self.tree.order):
            return None
        result = np.empty_like(lowest)
        result[self.tree.order] = lowest
        return result


def index_type(n: int) -> type[np.signedinteger[Any]]:
    """The integer type of positions: 32 bits if they fit."""
    return np.int32 if n < 2**31 else np.int64


def arrange(points: Points) -> TreePoints | None:
    """Points with their tree; ``None`` where a box bounds no distance, or a distance may overflow. O(n m) memory."""
    if not points.metric.euclidean_like:
        return None
    if points.weights is not None and not points.weights.all():
        counted = points.weights > 0
        features = np.ascontiguousarray(points.features[counted])
        points = replace(points, features=features, weights=points.weights[counted])
    m, n = points.features.shape
    if m == 0:
        return None
    tree = kdtree.build(points.features)
    if not np.isfinite(_diagonal(points, tree)):
        return None
    features = np.zeros((m, n + LEAF), points.features.dtype)
    run(lambda k: np.take(points.features[k], tree.order, out=features[k, :n]), [(k,) for k in range(m)])
    return TreePoints(points, tree, features, _smallest_indices(tree.order, tree.depth))


def quicker(arranged: TreePoints, k: int, share: float) -> bool:
    """Whether lists of k neighbours of a sample compare no more than a fraction of all pairs."""
    return arranged.share_compared(k, GLANCE) <= 4 * share and arranged.share_compared(k, SAMPLE) <= share


def worth_a_tree(points: Points, k: int) -> bool:
    """Whether the tree is tried at all."""
    return len(points.features) <= TREE_FEATURES and points.n > 2 * k


def _diagonal(points: Points, tree: Tree) -> float:
    """Distance of the opposite corners of the bounding box: no computed distance of two points exceeds it."""
    step, finish = on_arrays(points.metric.step), on_arrays(points.metric.finish)
    zero, one = points.features.dtype.type(0), points.features.dtype.type(1)
    a = b = zero
    with np.errstate(over="ignore"):
        for k in range(len(points.features)):
            weight = one if points.weights is None else points.weights[k]
            a, b = step(a, b, tree.low[0, k], tree.high[0, k], weight, points.p)
        return float(finish(a, b, zero, zero, points.p))


def _smallest_indices(order: np.ndarray, depth: int) -> np.ndarray:
    """Smallest index in each node; the points of a leaf are in order."""
    leaves = (1 << depth) - 1
    first = np.empty(2 * leaves + 1, np.int64)
    first[leaves:] = order[order.size * np.arange(leaves + 1) >> depth]
    for level in range(depth - 1, -1, -1):
        begin, end = (1 << level) - 1, (2 << level) - 1
        first[begin:end] = np.minimum(first[2 * begin + 1 : 2 * end : 2], first[2 * begin + 2 : 2 * end + 1 : 2])
    return first


@uncounted
def touch(low, high, a, b):
    """Whether two boxes intersect."""
    k = 0
    while k < low.shape[1] and low[a, k] <= high[b, k] and low[b, k] <= high[a, k]:
        k += 1
    return k == low.shape[1]


@compiled
def find_equals(features, order, first, low, high, depth, begin, end, lowest):
    """Lower ``lowest`` to the smallest index of an equal point, for the points of leaves begin..end-1."""
    n = order.size
    leaves = (1 << depth) - 1
    nodes = np.empty(2 * depth + 2, np.int64)
    for leaf in range(begin, end):
        left, right = (n * leaf) >> depth, (n * (leaf + 1)) >> depth
        own = leaves + leaf
        nodes[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = nodes[top]
            largest = lowest[left]
            for q in range(left + 1, right):
                largest = max(largest, lowest[q])
            if first[node] >= largest or not touch(low, high, own, node):
                continue
            if node < leaves:
                nodes[top] = 2 * node + 2
                nodes[top + 1] = 2 * node + 1
                top += 2
                continue
            there = node - leaves
            start, stop = (n * there) >> depth, (n * (there + 1)) >> depth
            x = features[0, start : start + LEAF]
            for q in range(left, right):
                value = features[0, q]
                hits = 0
                for j in range(LEAF):
                    hits += x[j] == value
                if hits < 2 and node == own:
                    continue
                if hits == 0:
                    continue
                for j in range(start, stop):
                    if order[j] >= lowest[q]:
                        break  # a leaf's points come by index
                    k = 0
                    while k < features.shape[0] and features[k, j] == features[k, q]:
                        k += 1
                    if k == features.shape[0]:
                        lowest[q] = order[j]
                        break
