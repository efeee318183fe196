"""How much memory each algorithm takes at its peak, beside the input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust import methods
from gpuclust.backends import parse_device
from gpuclust.sizes import FUSED, NEIGHBOURS, TILE

#: Features, and the share of the points that is left as clusters when the first rounds, made from neighbour lists,
#: are over: random data, some 15 % added. When the true number is known it is checked before the matrix is made.
LEFT = ((2, 0.15), (4, 0.25), (8, 0.42), (16, 0.58), (64, 0.75), (256, 0.85))

#: Bytes of distances, or of minima of them, that a pass over points on a card holds at a time, at most.
SLAB_ON_CARD = 2**28
#: A card sorts what neighbours are listed: so many times the lists.
LISTS_ON_CARD = 4


class Footprint(NamedTuple):
    """Bytes that an algorithm takes.

    Attributes
    ----------
    fixed : what it takes beside a stored matrix.
    matrix : a stored matrix.
    least : with how small a matrix it would do too.
    """

    fixed: int
    matrix: int
    least: int

    @property
    def total(self) -> int:
        return self.fixed + self.matrix

    def within(self, limit: int) -> Footprint:
        """The same with a matrix that fits the limit, where the algorithm would do with less."""
        return self._replace(matrix=max(self.least, min(self.matrix, limit - self.fixed)))


def estimate(
    algorithm: str, n: int, m: int | None, method: methods.Method, dtype: str, device: str, on_device: bool = False
) -> Footprint:
    """What an algorithm takes for ``n`` points of ``m`` features (None: condensed dissimilarities).

    ``on_device``: they lie on the card already.
    """
    width = np.dtype(dtype).itemsize
    card = parse_device(device)[0] == "cuda"
    features = 0 if m is None else 2 * n * m * width
    rows = 100 * n  # ids, sizes, neighbours, merges and Z
    matrix = least = 0
    fixed = features + rows
    if algorithm == "generic":
        fixed += features // 2
    elif algorithm == "summaries":  # centroids in two parts, and the copies that a round makes of them
        fixed = 3 * features + 2 * rows
    elif algorithm == "spanning tree, stored":
        matrix = least = n * (n - 1) // 2 * width
    elif algorithm != "spanning tree":
        clusters = n
        if m is not None and method.pairs is not None and (n > FUSED or algorithm == "hybrid"):
            clusters = int(n * next((share for most, share in LEFT if m <= most), 0.9))
            fixed += NEIGHBOURS * n * (8 + width) * (LISTS_ON_CARD if card else 1)
        matrix = least = stored_bytes(clusters, dtype, device)
        if algorithm == "hybrid":
            least = stored_bytes(min(FUSED, max(2, clusters // 2)), dtype, device)
    if card and m is not None:
        fixed += min(SLAB_ON_CARD, n * n * width)
    elif card and not on_device:  # the input, beside what is made of it
        fixed += n * (n - 1) // 2 * width
    return Footprint(fixed, matrix, least)


def stored_bytes(clusters: int, dtype: str, device: str = "cpu") -> int:
    """Bytes of a stored matrix with what a round needs beside it: on the host a band of two rows of tiles."""
    if parse_device(device)[0] == "cuda":
        from gpuclust.kernels.cuda import tiles

        return tiles.stored_bytes(clusters, dtype)
    rows = -(-clusters // TILE)
    return (rows * (rows + 1) // 2 * TILE + 2 * clusters) * TILE * np.dtype(dtype).itemsize
