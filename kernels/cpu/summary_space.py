"""Where clusters are: their centroids in the order of a kd-tree, in boxes, so that searches pass over most of them.

The tree is the one of `gpuclust.kernels.cpu.kdtree`: complete, without pointers. When clusters merge, the union takes
the place of its first part, the places left are closed, and the boxes are computed anew; that is cheaper than a new
tree and nearly as good until half of the clusters are gone.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.kernels.cpu import kdtree, launch
from gpuclust.kernels.cpu.kdtree import span
from gpuclust.kernels.cpu.launch import compiled, named


class Boxes(NamedTuple):
    """A complete tree over clusters in order; node i has the children 2 i + 1 and 2 i + 2.

    Attributes
    ----------
    order : ndarray of int64, shape (n,)
        The row at each position.
    centers, size, scatter : ndarray, shapes (n, m), (n,) and (n,)
        Of the cluster at each position.
    low, high : ndarray, shape (nodes, m)
        Corners of each node's box.
    least_size, least_scatter : ndarray, shape (nodes,)
        The smallest in each node.
    depth : int
        Level of the leaves.
    """

    order: np.ndarray
    centers: np.ndarray
    size: np.ndarray
    scatter: np.ndarray
    low: np.ndarray
    high: np.ndarray
    least_size: np.ndarray
    least_scatter: np.ndarray
    depth: int


def boxes(order: np.ndarray, centers: np.ndarray, size: np.ndarray, scatter: np.ndarray, leaf: int) -> Boxes:
    """The tree over clusters in this order, with at most ``leaf`` of them in a leaf; O(n m) time."""
    n, m = centers.shape
    depth = kdtree.depth_for(n, leaf)
    nodes = (2 << depth) - 1
    dtype = centers.dtype
    at, corners, sizes, least = (
        np.empty((n, m), dtype),
        *(np.empty((2, *s), dtype) for s in ((nodes, m), (n,), (nodes,))),
    )
    tree = Boxes(order, at, sizes[0], sizes[1], corners[0], corners[1], least[0], least[1], depth)
    _fit_kernel(dtype)(centers, size, scatter, *tree)
    return tree


@cache
def _fit_kernel(dtype: np.dtype) -> Any:
    stamp = launch.stamp(kdtree)

    @compiled
    @named(dtype)
    def fit(centers, size, scatter, order, at, size_at, scatter_at, low, high, least_size, least_scatter, depth):
        stamp  # noqa: B018
        n, m = centers.shape
        leaves = (1 << depth) - 1
        for node in range(leaves, low.shape[0]):
            begin, end = span(node, n)
            for place in range(begin, end):
                row = order[place]
                at[place], size_at[place], scatter_at[place] = centers[row], size[row], scatter[row]
            low[node] = at[begin]
            high[node] = at[begin]
            for place in range(begin + 1, end):
                for k in range(m):
                    low[node, k] = min(low[node, k], at[place, k])
                    high[node, k] = max(high[node, k], at[place, k])
            least_size[node] = size_at[begin:end].min()
            least_scatter[node] = scatter_at[begin:end].min()
        for node in range(leaves - 1, -1, -1):
            a, b = 2 * node + 1, 2 * node + 2
            for k in range(m):
                low[node, k] = min(low[a, k], low[b, k])
                high[node, k] = max(high[a, k], high[b, k])
            least_size[node] = min(least_size[a], least_size[b])
            least_scatter[node] = min(least_scatter[a], least_scatter[b])

    return fit


class Space:
    """The order of clusters in space, through all rounds."""

    def __init__(self, centers: np.ndarray) -> None:
        self._build(centers)

    def _build(self, centers: np.ndarray) -> None:
        self.order = kdtree.build(np.ascontiguousarray(centers.T)).order
        self.built = self.order.size

    def follow(self, place: np.ndarray, centers: np.ndarray) -> None:
        """Clusters get new rows: ``place`` of each old one, -1 for the second parts of unions and what is gone."""
        if 2 * len(centers) <= self.built:
            self._build(centers)
            return
        order = place[self.order]
        self.order = order[order >= 0]
