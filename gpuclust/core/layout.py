"""Size of the stored dissimilarity matrix: tiles of the upper triangle. Light to import."""

from __future__ import annotations

import numpy as np

from gpuclust.core.device import CPU, Device
from gpuclust.core.devices import simulated
from gpuclust.core.sizes import TILE, TILE_SIMULATED


def tiles_on_gpu() -> int:
    """Side of a tile there; smaller where Numba's simulator runs the kernels."""
    return TILE_SIMULATED if simulated() else TILE


def stored_bytes(clusters: int, dtype: str, device: Device = CPU) -> int:
    """Bytes of a stored matrix of clusters, with what a round of merges needs beside it.

    On the host that is a band of one row of tiles; on a GPU a band of an eighth of the matrix, the minima of all
    tiles, and vectors.
    """
    width = np.dtype(dtype).itemsize
    if not device.on_gpu:
        rows = -(-clusters // TILE)
        return (rows * (rows + 1) // 2 * TILE + clusters) * TILE * width
    tile = tiles_on_gpu()
    rows = -(-clusters // tile)
    matrix = rows * (rows + 1) // 2 * tile * tile
    band = max(matrix // 8, rows * tile * tile)
    return (matrix + band) * width + (rows + 1) * rows * tile * (width + 4) + clusters * (9 * 8 + 3 * width)
