"""Clusters as summaries in NumPy for some ten thousand points: O(n) memory for a row, most of the work in BLAS.

For the first job of a kind, while no kernel is compiled. Pairs are screened by ``|x|² + |y|² - 2 x.y`` of the first
parts of the centroids, in float64, whose error is bounded relative to the norms; those that may be nearest are
computed as in `gpuclust.kernels.reference.summaries`, to the same bits. The nearest cluster of a row stays the
nearest through merges of others as long as it is below the row's limit, a lower bound of the dissimilarity to all
others (docs/summaries-exactness.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.jit import run
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference.summaries import Summaries

#: Pairs that are screened at a time: they fit the second-level cache.
PAIRS = 1 << 18
#: Multiplications of a product of matrices up to which OpenBLAS begins no threads: there are some already.
ALONE = 1 << 18
#: Squared norm of clusters that are no longer in use; all others have coordinates of one at most.
GONE = 1e200


class Screened(Summaries):
    """Summaries of a linkage with a geometric form (`Method.geometric`), without a matrix of all pairs.

    Attributes
    ----------
    right : ndarray of shape (m + 2, n), float64
        First parts of the centroids, multiplied by ``2.0**exponent``, their squared norms, and ones: the squared
        distance of two clusters is a product of two columns, one of which has -2 times the centroid, and the last two
        entries exchanged.
    far : float
        The largest squared norm of a centroid, in that scale.
    limit : ndarray of shape (n,), float64
        A lower bound of each cluster's dissimilarity to all but its nearest, in that scale.
    """

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        features = centroids.without_offset(points.features)
        self.dtype, self.exponent = features.dtype, -int(np.frexp(np.abs(features).max())[1])
        self.unit = float(np.finfo(features.dtype).eps)
        self.m = len(features)
        del features
        self.nearest = np.full(points.n, -1)
        self.distance = np.zeros(points.n, self.dtype)
        self.limit = np.zeros(points.n)
        super().__init__(points, method, size)

    def find_nearest(self, size: np.ndarray, ids: np.ndarray) -> None:
        self.right = np.empty((self.m + 2, self.n))
        self._place(slice(None))
        self.far = float(self.right[-2].max())
        rows = np.flatnonzero(~(np.ldexp(self.distance.astype(np.float64), 2 * self.exponent) < self.limit))
        self.scanned = rows.size
        if self.n > 1:
            self._search(rows, size, ids)

    def _place(self, rows: np.ndarray | slice) -> None:
        """Set the factors of products that some clusters have."""
        values = np.ldexp(self.high[:, rows].astype(np.float64), self.exponent)
        self.right[:-2, rows], self.right[-2, rows] = values, np.einsum("kj,kj->j", values, values)
        self.right[-1, rows] = 1

    def _search(self, rows: np.ndarray, size: np.ndarray, ids: np.ndarray) -> None:
        """Find the nearest clusters of some rows, and their limits."""
        rows = rows[np.argsort(size[rows], kind="stable")]  # rows of equal size share the factors
        length, sizes = max(1, PAIRS // self.n), size.astype(np.float64)
        pieces = []
        for group in np.split(rows, np.flatnonzero(np.diff(size[rows])) + 1):
            own = sizes[group[0]]
            factors = self._geometric(1.0, own, sizes), self._geometric(1.0, own, sizes.max())
            pieces += [(group[at : at + length], *factors, size, ids) for at in range(0, group.size, length)]
        room = max(PAIRS, self.n)
        run(self._screen, pieces, lambda: (np.empty(room),))
        self.distance[rows] = self._compared(rows, self.nearest[rows], size)

    def _screen(
        self, rows: np.ndarray, factor: np.ndarray, reach: float, size: np.ndarray, ids: np.ndarray, room: np.ndarray
    ) -> None:
        """Nearest clusters and limits of rows of equal size; ``factor`` is that of each pair, ``reach`` the largest.

        The array ``room`` has space for the products: a new one would cost as much time as they do.
        """
        place = np.arange(rows.size)
        product = room[: rows.size * self.n].reshape(rows.size, self.n)
        left = np.ascontiguousarray(self.right[:, rows].T)
        left[:, :-2] *= -2
        left[:, -2:] = left[:, :-3:-1]
        width = max(64, ALONE // left.size)
        for at in range(0, self.n, width):
            np.matmul(left, self.right[:, at : at + width], out=product[:, at : at + width])
        product *= factor
        product[place, rows] = np.inf
        nearest = product.argmin(axis=1)
        least = product[place, nearest]
        product[place, nearest] = np.inf
        second = product.min(axis=1)
        error = self._error(left[:, -1]) * reach
        self.nearest[rows], self.limit[rows] = nearest, second - error
        for at in map(int, np.flatnonzero(~(second > least + error))):
            others = np.append(np.flatnonzero(product[at] <= least[at] + error[at]), nearest[at])
            values = self._compared(np.full(others.size, rows[at]), others, size)
            self.nearest[rows[at]], self.limit[rows[at]] = others[np.lexsort((ids[others], values))[0]], 0

    def _geometric(self, square: Any, own: Any, size: Any) -> Any:
        assert self.method.geometric is not None
        return self.method.geometric(square, own, size)

    def _error(self, norm: np.ndarray) -> np.ndarray:
        """Twice the bound of what screened squares of clusters with these norms differ from computed ones.

        Each is a sum of m + 2 products, none of which exceeds the sum of both norms, and second parts are half a unit
        of the first at most: that makes less than half of this. The factor of a pair is right to some units.
        """
        return (16 * self.m + 128) * self.unit * (norm + self.far) + 1e-290

    def _compared(self, rows: np.ndarray, others: np.ndarray, size: np.ndarray) -> np.ndarray:
        """The dissimilarities of pairs, from both parts of their centroids."""
        square = np.zeros(rows.size, self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for high, low in zip(self.high, self.low, strict=True):
                d = centroids.difference(high[rows], low[rows], high[others], low[others])
                square += d * d
            return np.asarray(self._geometric(square, size[rows], size[others]))

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        pairs = np.flatnonzero(second >= 0)
        a, b = first[pairs], second[pairs]
        larger = size[a] >= size[b]  # moves less, which rounds less
        x, y = np.where(larger, a, b), np.where(larger, b, a)
        parts = self.high[:, x], self.low[:, x], self.high[:, y], self.low[:, y], size[x], size[y]
        self.high[:, a], self.low[:, a] = centroids.united(*parts)
        row = np.full(self.n, -1)  # the new row of each cluster that has not merged
        row[first] = np.arange(first.size)
        row[a] = row[b] = -1
        self.high, self.low, self.scatter = self.high[:, first], self.low[:, first], self.scatter[first]
        self.nearest = row[self.nearest[first]]
        self.distance = self.distance[first]
        self.limit = self._lowered(self.limit[first], new_size)
        self.limit[(self.nearest < 0) | (second >= 0)] = 0
        self.find_nearest(new_size, new_id)

    def _lowered(self, limit: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Limits after one more union in each of the other clusters, less its rounding error."""
        reach = np.sqrt(self._geometric(1.0, size.astype(np.float64), float(size.sum())))
        root = np.sqrt(np.maximum(limit, 0)) * (1 - (64 + 2 * self.m) * self.unit)
        root -= 32 * self.unit * self.unit * np.sqrt(self.m * self.far) * reach
        return np.asarray(np.maximum(root, 0) ** 2 * (1 - 4 * self.unit))

    def nearest_in_use(self, x: int, size: np.ndarray, ids: np.ndarray) -> tuple[int, Any]:
        self._search(np.array([x]), size, ids)
        return int(self.nearest[x]), self.distance[x]

    def unite(self, a: int, b: int, size: np.ndarray) -> None:
        super().unite(a, b, size)
        self._place(np.array([a]))
        self.right[-2, b] = GONE
