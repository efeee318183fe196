"""Cophenetic distances, and their products with distances in streamed tiles, on all cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gpuclust.core.jit import ranges, run
from gpuclust.core.memory import result_array
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.matrix.cophenetic_rows import add_tile, write_rows
from gpuclust.kernels.cpu.space.pairwise import pairwise

if TYPE_CHECKING:
    from gpuclust.core.backend import LeafTree

_PAIRS_PER_PIECE = 1 << 22  # some 10 ms of work
_STRIP = 128  # rows of distances that a thread streams at a time
_TILE = 2048  # columns of them that it holds at a time: 2 MiB


def condensed_rows(tree: LeafTree, Y: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Condensed cophenetic distances and, with ``Y``, the sums of `correlate` over all pairs."""
    n = tree.n
    out = result_array((n * (n - 1) // 2,), np.float64, None, "cophenet")
    sums = np.empty((n, 3) if len(Y) else (0, 3))
    fixed = (tree.leaves, tree.arrays, Y, shift, tree.centre, out, sums)
    run(lambda first, last: write_rows(first, last, *fixed), ranges(n, max(64, _PAIRS_PER_PIECE // n)))
    return out, sums.sum(axis=0)


def correlate(points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
    """Sums over pairs of y, y² and y z: y a distance of points (in leaf order) less shift, z a height less centre.

    O(n² m) time; 2 MiB a thread. The same for any number of threads.
    """

    return strip_sums(points, tree, shift, centre, range(strip_count(tree.n))).sum(axis=0)


def strip_count(n: int) -> int:
    """Strips of rows, each of which has its own sums."""
    return -(-n // _STRIP)


def strip_sums(points: Points, tree: LeafTree, shift: float, centre: float, strips: range) -> np.ndarray:
    """The sums of some strips of rows, (strips, 3)."""

    def distances(q0: int, q1: int, r0: int, r1: int) -> np.ndarray:
        return pairwise(points.at(slice(q0, q1)), points.at(slice(r0, r1))).astype(np.float64, copy=False)

    return _sums(distances, tree, shift, centre, strips)


def correlate_tiles(
    distances: Callable[[int, int, int, int], np.ndarray], tree: LeafTree, shift: float, centre: float
) -> np.ndarray:
    """The same of ``distances(q0, q1, r0, r1)``: those of two stretches of leaf order, as C-ordered float64."""
    return _sums(distances, tree, shift, centre, range(strip_count(tree.n))).sum(axis=0)


def _sums(
    distances: Callable[[int, int, int, int], np.ndarray], tree: LeafTree, shift: float, centre: float, strips: range
) -> np.ndarray:
    n = tree.n
    found = np.zeros((len(strips), 3))

    def stream(place: int) -> None:
        q0 = strips[place] * _STRIP
        q1 = min(q0 + _STRIP, n)
        row = np.empty(_TILE)
        top = -1
        for r0, r1 in ((r + q0, min(r + q0 + _TILE, n)) for r in range(0, n - q0, _TILE)):
            tile = distances(q0, q1, r0, r1)
            top = add_tile(tile, q0, r0, top, tree.arrays, shift, centre, row, found[place])

    run(stream, ((place,) for place in range(len(strips))))
    return found
