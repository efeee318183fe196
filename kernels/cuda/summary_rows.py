"""What a round of matrix-free clusters searches, found by the host in one pass over the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled


class Rows(NamedTuple):
    """Rows after a round.

    Attributes
    ----------
    near : array of shape (n,)
        The nearest cluster of each if that still exists, or -1.
    order : array of shape (n,)
        All by increasing id, the new clusters last.
    divided : array of shape (n,)
        First the ``searched`` ones, among all: those without a nearest, and the new ones. Then the others, which only
        the new ones may be nearer to.
    fresh : array
        The new clusters.
    searched : int
    """

    near: np.ndarray
    order: np.ndarray
    divided: np.ndarray
    fresh: np.ndarray
    searched: int


@compiled
def _follow(
    first: np.ndarray,
    second: np.ndarray,
    nearest: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    near: np.ndarray,
    new_order: np.ndarray,
    divided: np.ndarray,
    fresh: np.ndarray,
) -> int:
    """Fill the arrays of `Rows`; ``place`` (old rows) is overwritten. Returns how many rows are searched."""
    place[:] = -1
    made = 0
    for row in range(first.size):
        near[row] = -1
        if second[row] < 0:
            place[first[row]] = row
        else:
            fresh[made] = row
            made += 1
    kept = searched = 0
    last = first.size
    for old in order:
        row = place[old]
        if row >= 0:
            new_order[kept] = row
            kept += 1
            if nearest[old] >= 0:
                near[row] = place[nearest[old]]
            if near[row] < 0:
                divided[searched] = row
                searched += 1
            else:
                last -= 1
                divided[last] = row
    for row in fresh:
        new_order[kept] = row
        kept += 1
        divided[searched] = row
        searched += 1
    return searched


def after_round(first: np.ndarray, second: np.ndarray, nearest: np.ndarray, order: np.ndarray) -> Rows:
    """Rows ``first``, united with ``second`` unless that is -1, as rows that are left; ``order`` as in `Rows`."""
    n, made = first.size, int(np.count_nonzero(second >= 0))
    near, new_order, divided = (np.empty(n, np.int64) for _ in range(3))
    fresh, place = np.empty(made, np.int64), np.empty(nearest.size, np.int64)
    follow = brief(_follow, nearest.size)
    searched = follow(first, second, nearest, order, place, near, new_order, divided, fresh)
    return Rows(near, new_order, divided, fresh, int(searched))
