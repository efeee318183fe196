"""A linkage matrix in leaf order: the merges between neighbours, which give cophenetic distances."""

from __future__ import annotations

import numpy as np

from gpuclust.hierarchy.ordering import leaf_positions
from gpuclust.hierarchy.validity import children

Array = np.ndarray


class LeafTree:
    """A checked ``Z`` in leaf order.

    Two leaves are joined by the latest merge of those in the gaps between them, as children come before parents.

    Attributes
    ----------
    n : int
        Number of leaves.
    leaves : ndarray of shape (n,), uint32
        The observation at each position.
    gap : ndarray of shape (n - 1,), int64
        The merge that joins the leaves at positions q and q + 1.
    left, right : ndarray of shape (n - 1,), int64
        Children of each merge.
    start, size : ndarray of shape (2 n - 1,), int64
        First position and number of leaves of each cluster.
    height : ndarray of shape (n - 1,), float64
    mean, scatter : float
        Of the cophenetic distances of all pairs: their mean, and the sum of squared deviations from it.
    centre, offset : float
        The height that is nearest to the mean, and how far the mean lies above it: together the mean with all its
        digits where heights differ in their last bits only. Sums are taken about the centre, from which such heights
        differ by what subtraction gives exactly.
    """

    def __init__(self, Z: Array) -> None:
        n = Z.shape[0] + 1
        self.n = n
        self.left, self.right = children(Z)
        self.start, self.size = leaf_positions(Z)
        self.height = np.ascontiguousarray(Z[:, 2])
        self.gap = np.empty(n - 1, dtype=np.int64)
        self.gap[self.start[self.right] - 1] = np.arange(n - 1)  # the gap before its right branch
        self.leaves = np.empty(n, dtype=np.uint32)
        self.leaves[self.start[:n]] = np.arange(n)
        pairs = self.size[self.left].astype(np.float64) * self.size[self.right]
        with np.errstate(invalid="ignore"):  # an infinite height: the correlation is NaN
            mean = (pairs * self.height).sum() / pairs.sum()
            self.centre = float(self.height[np.abs(self.height - mean).argmin()])
            deviations = self.height - self.centre
            self.offset = float((pairs * deviations).sum() / pairs.sum())
            self.mean = self.centre + self.offset
            self.scatter = (pairs * (deviations - self.offset) ** 2).sum()

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """The arrays that are passed to compiled kernels."""
        return self.gap, self.left, self.right, self.start, self.size, self.height
