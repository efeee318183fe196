"""Neighbour lists of shares of all pairs, as workers of a cluster compute them, joined to those of all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_products import points

from gpuclust.core import preparation
from gpuclust.core.sizes import WIDE
from gpuclust.kernels.cpu.clusters.screen_pairs import Share, join_lists, lists_of
from gpuclust.kernels.cpu.points.index import Screened

N, K, SIDES = 1100, 7, 4


def joined(arranged: Screened, bounded: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """The lists of all rows from those of each share, and how many entries shares of two sides have found."""
    near, held = np.full((N, K), -1, np.int32), np.full((N, K), np.inf)
    found = 0
    for pair in (*((side, side) for side in range(SIDES)), *itertools.combinations(range(SIDES), 2)):
        share = Share(SIDES, *pair)
        rows = [share.rows(arranged.starts, side) for side in sorted(set(pair))]
        bounds = np.concatenate([held[own, -1] for own in rows]) if bounded and len(rows) == 2 else None
        answer = lists_of(*arranged.lists(K, share, bounds), share, arranged.starts)
        for at, own in enumerate(rows):
            join_lists(near[own], held[own], arranged.order, *answer[2 * at : 2 * at + 2])
            found += (answer[2 * at] >= 0).sum() if len(rows) == 2 else 0
    return near, held, int(found)


@pytest.mark.parametrize("m", [12, WIDE + 3])
@pytest.mark.parametrize("kind", ["normal", "lattice", "near-copies"])
def test_shares(kind, m):
    """With bounds, too, and where many are equally far; with bounds, shares of two sides find less."""
    arranged = Screened(preparation.prepare(points(kind, N, m), "sqeuclidean"))
    near, held = arranged.lists(K)
    found = {}
    for bounded in (False, True):
        *lists, found[bounded] = joined(arranged, bounded)
        assert np.array_equal(lists[0], near)
        assert np.array_equal(lists[1], held)
    assert found[True] < found[False]
