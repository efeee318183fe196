"""The stored matrix in tiles, and the linkage matrix made of merges: what callers of each function rely on."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.core.clusters import Merges
from gpuclust.hierarchy.assemble import assemble
from gpuclust.kernels.cpu.matrix import fill, tiles
from gpuclust.kernels.cpu.matrix.tiles import TILE


@pytest.mark.parametrize("x", [0, TILE - 1, TILE, 3 * TILE - 2])
def test_a_row_that_is_written_is_read_back_with_an_infinite_diagonal(x):
    rows = 3
    matrix = np.random.default_rng(x).random(tiles.tiled_size(rows * TILE))
    values, found = np.arange(1.0, rows * TILE + 1), np.empty(rows * TILE)
    tiles.write_row(matrix, rows, x, values)
    tiles.read_row(matrix, rows, x, 0, found)
    values[x] = np.inf
    np.testing.assert_array_equal(found, values)
    tiles.read_row(matrix, rows, 1, 0, found)  # another row has the value of this column
    assert found[x] == 2 or x == 1


def test_the_nearest_of_equal_values_has_the_smallest_id():
    ids = np.random.default_rng(0).permutation(4 * TILE)
    values = np.full(4 * TILE, 0.5)
    assert tiles.nearest_in(values, ids, np.inf, -1, -1) == (0.5, 0, int(np.argmin(ids)))
    assert tiles.nearest_in(values, ids, 0.5, -1, -1) == (0.5, -1, -1)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_minima_of_threads_are_joined_by_the_smallest_index(order, monkeypatch):
    """Whichever of two threads started first."""

    def run(kernel, pieces, local, threads):
        for start in order:
            kernel(*local(), start)

    def kernel(distance, index, start):
        distance[:] = 0.25
        index[:] = 7 - start

    monkeypatch.setattr(fill, "run", run)
    index, distance = fill.shared_minima(kernel, [()], 3, np.float64)
    assert index.tolist() == [6, 6, 6]
    assert distance.tolist() == [0.25, 0.25, 0.25]


def test_no_height_of_a_reducible_linkage_is_below_those_of_its_parts():
    """Rounding may make it so; of a chain of such merges the highest counts."""
    pairs, low = np.array([[0, 1], [4, 2], [5, 3]]), np.nextafter(1.0, 0)
    Z = assemble(Merges(pairs, np.array([1.0, low, np.nextafter(low, 0)]), 0))
    np.testing.assert_array_equal(Z, [[0, 1, 1, 2], [2, 4, 1, 3], [3, 5, 1, 4]])
    Z = assemble(Merges(pairs, np.array([1.0, low, 2.0]), 0, monotone=False))
    np.testing.assert_array_equal(Z[:, 2], [1, low, 2])
