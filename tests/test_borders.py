"""Index arithmetic where 32 bits end: 46,341² > 2^31, 65,536² = 2^32, and observations up to 2^31 - 1."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from gpuclust import distance, hierarchy
from gpuclust.hierarchy.assemble import Merges, assemble
from gpuclust.kernels.cpu.tiles import TILE, tile_rows, tile_start, tiled_size
from gpuclust.linkage import compute
from gpuclust.observations import count, observations_of
from gpuclust.plan import plan

BORDERS = (46_340, 46_341, 46_342, 65_535, 65_536, 65_537)
LARGEST = 2**31 - 1


def virtual(size: int) -> np.ndarray:
    """An array of so many zeros that takes no memory."""
    return np.broadcast_to(np.int8(0), (size,))


@pytest.mark.parametrize("n", [*BORDERS, 100_000, LARGEST])
def test_observations_of_a_condensed_size(n):
    size = n * (n - 1) // 2
    assert observations_of(size) == count(virtual(size)) == distance.num_obs_y(virtual(size)) == n
    for wrong in (size - 1, size + 1):
        with pytest.raises(ValueError, match=rf"got {wrong}\. The nearest that would do: {size} for n = {n}"):
            observations_of(wrong)


def test_no_more_observations_than_32_bits_count():
    assert plan(LARGEST, 1, memory_limit="1000TB").fits
    with pytest.raises(ValueError, match="n must be at most 2,147,483,647, got 2,147,483,648"):
        plan(LARGEST + 1, 1)


@njit
def starts(row, column, rows):
    return tile_start(row, column, rows)


@pytest.mark.parametrize("n", [*BORDERS, LARGEST])
def test_tiles_of_half_a_matrix_follow_each_other(n):
    """Compiled and plain arithmetic agree with Python's, which has no borders; the last tile ends where all do."""
    rows = tile_rows(n)
    last = rows - 1
    for row, column in ((0, 0), (0, last), (1, 1), (rows // 2, rows // 2), (rows // 2, last), (last, last)):
        before = sum(range(rows, rows - row, -1)) if rows < 10**6 else (2 * rows - row + 1) * row // 2
        place = (before + column - row) * TILE * TILE
        assert starts(row, column, rows) == tile_start(row, column, rows) == place
    assert starts(last, last, rows) + TILE * TILE == tiled_size(n)


@pytest.mark.parametrize("n", [65_535, 65_536, 65_537])
def test_linkage_of_a_line(n):
    """Neighbours on a line of growing gaps join one after the other, and so the whole tree is known."""
    x = np.cumsum(1 + np.arange(n) / n)
    Z = compute(x[:, None], "single").Z
    np.testing.assert_array_equal(Z[:, 2], np.sort(np.diff(x)))
    assert hierarchy.is_valid_linkage(Z)
    assert Z[-1, 3] == n


def test_assembling_more_merges_than_a_piece_has():
    n = 600_000
    ends = np.stack((np.arange(n - 1), np.arange(1, n)), axis=1)
    Z = assemble(Merges(ends, np.arange(n - 1, dtype=float), edges=True))
    np.testing.assert_array_equal(Z[:, 3], np.arange(2, n + 1))
    np.testing.assert_array_equal(Z[1:, 1], np.arange(n, 2 * n - 2))
