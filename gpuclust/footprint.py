"""How much memory each algorithm takes at its peak, beside the input. Measured against in tests/test_footprint.py.

An allocator may keep some of what is given back: glibc up to 64 MB, by default.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust import methods, metrics
from gpuclust.backends import parse_device
from gpuclust.sizes import BY_TREE, FEWEST, FUSED, LAST, LISTED, NEIGHBOURS, TILE

#: Share of the points that is left as clusters when the first rounds, made from neighbour lists, are over. Measured
#: on normally distributed points of so many features, by what the dissimilarity of clusters is of those of points.
#: It hardly depends on n, and is less where data have structure. The true number is known before the matrix is made.
FEATURES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
LEFT = {
    "largest": (0.08, 0.14, 0.205, 0.26, 0.34, 0.40, 0.47, 0.52, 0.57, 0.60, 0.66, 0.69, 0.71),
    "mean": (0.05, 0.08, 0.13, 0.175, 0.27, 0.34, 0.43, 0.49, 0.55, 0.59, 0.64, 0.68, 0.73),
}

#: Bytes of distances, or of minima of them, that a pass over points on a card holds at a time, at most.
SLAB_ON_CARD = 2**28
#: A card sorts what neighbours are listed: so many times the lists.
LISTS_ON_CARD = 4


def slab_on_card(n: int, width: int) -> int:
    """Bytes of a slab of distances to ``n`` points, of which neighbours are selected: one row of tiles at least."""
    return n * width * min(n, max(TILE, SLAB_ON_CARD // (n * width)))


class Footprint(NamedTuple):
    """Bytes that an algorithm takes.

    Attributes
    ----------
    fixed : what it takes from beginning to end.
    matrix : a stored matrix, beside that.
    least : with how small a matrix it would do too.
    early : what it takes beside ``fixed`` before there is a matrix, and gives back.
    """

    fixed: int
    matrix: int = 0
    least: int = 0
    early: int = 0

    @property
    def total(self) -> int:
        return self.fixed + max(self.matrix, self.early)

    def within(self, limit: int) -> Footprint:
        """The same with a matrix that fits the limit, where the algorithm would do with less."""
        return self._replace(matrix=max(self.least, min(self.matrix, limit - self.fixed)))


def estimate(
    algorithm: str,
    n: int,
    m: int | None,
    method: methods.Method,
    metric: str,
    dtype: str,
    device: str,
    on_device: bool = False,
) -> Footprint:
    """What an algorithm takes for ``n`` points of ``m`` features (None: condensed dissimilarities).

    ``on_device``: they lie on the card already.
    """
    width = np.dtype(dtype).itemsize
    card = parse_device(device)[0] == "cuda"
    features = 0 if m is None else n * m * width
    copies: float
    copies, row = (_ON_CARD if card else _ON_HOST)[algorithm]
    boxes = 0 if card or m is None else in_boxes(n, m, metric, width)
    if algorithm == "spanning tree" and not card and m is not None:
        if metrics.bounded_by_boxes(metric) and m <= BY_TREE:
            copies, row = 2.3, 105 + 10 * width  # once more in the order of a tree, its boxes, lists of neighbours
        elif boxes:
            copies, row = 1 + boxes / features, 120 + 10 * width
    if algorithm == "generic" and not card:
        row += 8 * width  # sizes, bounds, errors, and boxes
    fixed = int(copies * features) + row * n
    if algorithm == "summaries" and m is not None and not card:
        # Lists before and after a round, and a float32 copy for screening.
        fixed += n * (2 * LISTED * (4 + width) + 4 * m)
    if card and m is not None:
        fixed += min(SLAB_ON_CARD, n * n * width)
    elif card and not on_device:  # the input, beside what is made of it
        fixed += n * (n - 1) // 2 * width
    if algorithm == "spanning tree, stored":
        matrix = n * (n - 1) // 2 * width
        return Footprint(fixed, matrix, matrix)
    if algorithm == "cluster tree":  # points in two pools, rows in two copies, and a tree, before there is a matrix
        matrix = stored_bytes(min(LAST, max(2, n // 2)), dtype, device)
        return Footprint(fixed, matrix, matrix, 8 * features + (50 + 14 * width) * n)
    if algorithm not in ("stored", "stored, all pairs", "hybrid", "generic, stored"):
        return Footprint(fixed)
    small = n <= FUSED and algorithm != "hybrid"
    if m is None or method.pairs is None or algorithm == "stored, all pairs" or small:
        matrix = stored_bytes(n, dtype, device)
        return Footprint(fixed, matrix, matrix)
    clusters = int(1.03 * n * float(np.interp(np.log(m), np.log(FEATURES), LEFT[method.pairs])))
    lists = NEIGHBOURS * n * (8 + width) * (LISTS_ON_CARD if card else 1)
    matrix = stored_bytes(clusters, dtype, device)
    least = stored_bytes(min(FUSED, max(2, clusters // 2)), dtype, device) if algorithm == "hybrid" else matrix
    in_order = 0 if card else features  # a copy of the features in the order of clusters
    return Footprint(fixed + in_order, matrix, least, lists + boxes)


#: Copies of the features that an algorithm holds, and bytes of each observation: ids, sizes, neighbours, merges, Z,
#: and what sorts them.
_ON_HOST = {
    "spanning tree": (1, 180),
    "spanning tree, stored": (1, 110),
    "summaries": (4.2, 150),  # the points, centroids in two parts, and one part once more after a round
    "stored": (1, 150),
    "stored, all pairs": (1, 150),
    "cluster tree": (1, 150),
    "hybrid": (1, 150),
    "generic": (3.5, 46),  # the points, centroids in two parts, and one part of half of them once more
    "generic, stored": (1, 140),
}
#: Searches of all points hold them once more, in an order of space, and the keys and places that sorting takes.
_ON_CARD = dict.fromkeys(_ON_HOST, (2, 100)) | {
    "spanning tree": (3, 164),
    "summaries": (7, 264),
    "generic": (4, 100),
}


def in_boxes(n: int, m: int, metric: str, width: int) -> int:
    """Bytes of screened boxes on the host: the points in their order, and in float32 with some idle places."""
    return int(n * m * (width + 4.8)) if n >= FEWEST and metrics.screened(metric) else 0


def stored_bytes(clusters: int, dtype: str, device: str = "cpu") -> int:
    """Bytes of a stored matrix with what a round needs beside it: on the host a band of one row of tiles."""
    if parse_device(device)[0] == "cuda":
        from gpuclust.kernels.cuda import tiles

        return tiles.stored_bytes(clusters, dtype)
    rows = -(-clusters // TILE)
    return (rows * (rows + 1) // 2 * TILE + clusters) * TILE * np.dtype(dtype).itemsize
