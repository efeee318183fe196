"""Sizes that both the algorithms and the plan use, and the bytes of a stored matrix. Light to import."""

from __future__ import annotations

from gpuclust.core.device import CPU, Device
from gpuclust.core.devices import simulated

#: Observations, at most: their numbers, and the merges of a tree, have 32 bits where many are kept.
MOST = 2**31 - 1
#: Side of a tile of the stored layout: 128 KiB in float64, so that two fit the second-level cache.
TILE = 128
#: Numbers from a row of a tile to the next one on the CPU. With rows a power of two apart, a column of tiles shares a
#: sixteenth of the sets of a cache: reading it, and writing it, took twice as long.
PITCH = TILE + 8
#: `TILE` in Numba's simulator of a GPU, which takes a millisecond for each thread.
TILE_SIMULATED = 16
#: Up to here a matrix of all points is small, and the first round is made on it like the others.
FUSED = 1024
#: Up to here the matrix of all observations is one square array on the CPU, where memory suffices: rows are
#: contiguous, and all merges are made in one call.
SQUARE = 2048
#: Columns of a square array of which each row keeps a lower bound, so that a search reads few of them.
STRIP = 128
#: Up to this number of columns a row has no such bounds: it is in cache, and is read as a whole.
WHOLE = 4 * STRIP
#: From here on the CPU finds the spanning tree of condensed dissimilarities in two passes. Up to here Prim's
#: algorithm takes three quarters of the time on one thread, which is all that so few pairs occupy.
CONTRACTED = 1024
#: Neighbours on a list. More prove more merges, and cost more to find.
NEIGHBOURS = 32
#: Largest number of features at which a kd-tree is tried: one of a million points is 15 levels deep.
TREE_FEATURES = 64
#: Clusters that searches through a tree leave to a matrix: few, but enough to be hard to tell apart by bounds.
LAST = 2048
#: Largest number of features at which a kd-tree of Gaussian points beats float32 screening; the choice is sampled at
#: run time, and the plan assumes this.
BY_TREE = 4
#: Below this number of points screening by boxes does not pay.
FEWEST = 1024
#: Number of features from which on few points, and up to `SQUARE` points, are merged by updates of a matrix, like
#: condensed dissimilarities: computing those of unions from centroids takes longer. Measured on the CPU.
UPDATED = 12, 32
#: Bytes of a number.
_WIDTHS = {"float64": 8, "float32": 4}
#: Nearest clusters that each cluster keeps on the CPU where there is no matrix: fewer are used up sooner.
LISTED = 6
#: Number of features from which on the CPU compares points by matrix products of integers: below, differences
#: take as long. Measured: docs/products.md.
WIDE = 48
#: The same for tensor cores of a GPU, which multiply 16 features at a time: half of them may be zeros, and take less
#: time than differences. Modelled: docs/gpu-model.md.
WIDE_ON_GPU = 8
#: Up to here, with that many features, a matrix of all points takes less time than lists of neighbours and a matrix
#: of the clusters that they leave. Measured on the CPU: 1.3 to 2 times as fast. On a GPU too, for the same bits.
FILLED = 4096
#: `LISTED` with that many features: a search costs more, and updating a list hardly more.
LISTED_WIDE = 24
#: For that many columns of stored squared distances one more is kept for a union.
SPARE = 4


def fused(pairs: str | None) -> int:
    """`FUSED` for a linkage: for the largest of pairs (`Method.pairs`) `SQUARE`, which takes half the time there.

    Means of pairs would have other last digits by updates of a matrix than by neighbour lists.
    """
    return SQUARE if pairs == "largest" else FUSED


def square_shape(n: int) -> tuple[int, int]:
    """The shape of a square matrix of ``n`` observations, with padding: columns must not share their cache lines."""
    width = -(-n // 8) * 8
    return n, width + 8 if width % 256 == 0 else width


def squares_bytes(n: int) -> int:
    """Bytes of the squared distances of ``n`` clusters (`gpuclust.kernels.cpu.clusters.stored_squares`)."""
    return 4 * n * (n + n // SPARE)


def strip_count(n: int) -> int:
    """Strips of `STRIP` columns, the last of which may have fewer."""
    return -(-n // STRIP)


def square_bytes(n: int, dtype: str) -> int:
    """Bytes of a square matrix of ``n`` observations, and of its bounds."""
    rows, width = square_shape(n)
    return rows * (width + strip_count(n)) * _WIDTHS[dtype]


def tiles_on_gpu() -> int:
    """Side of a tile there; smaller where Numba's simulator runs the kernels."""
    return TILE_SIMULATED if simulated() else TILE


def stored_bytes(clusters: int, dtype: str, device: Device = CPU) -> int:
    """Bytes of a stored matrix of clusters, with what a round of merges needs beside it.

    On the host that is a band of one row of tiles, and a bound for each row of a tile; on a GPU it is a band of an
    eighth of the matrix, the minima of all tiles, and vectors.
    """
    width = _WIDTHS[dtype]
    if not device.on_gpu:
        rows = -(-clusters // TILE)
        bounds = rows * rows * TILE
        return (rows * (rows + 1) // 2 * TILE * PITCH + clusters * TILE + bounds) * width
    tile = tiles_on_gpu()
    rows = -(-clusters // tile)
    matrix = rows * (rows + 1) // 2 * tile * tile
    band = max(matrix // 8, rows * tile * tile)
    return (matrix + band) * width + (rows + 1) * rows * tile * (width + 4) + clusters * (9 * 8 + 3 * width)


def room_for(listed: int) -> int:
    """Candidates for which a row has room in a search by matrix products, for a list of this length."""
    return 2 * listed + 16


def prepared_bytes(features: int) -> int:
    """Bytes a point in boxes prepared for comparisons: float32 features, or 16-bit integers and four numbers."""
    return 4 * features if features < WIDE else 2 * features + 4 * 8


def candidate_bytes(listed: int, features: int) -> int:
    """Bytes for each row of a search by matrix products, for lists of this length; none with few features."""
    return 12 * room_for(listed) + 8 * listed + 24 if features >= WIDE else 0
