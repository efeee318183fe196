"""Reciprocal nearest neighbours of a round, and the rows that are left when they have merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpuclust.algorithms.candidates import reciprocal_pairs
from gpuclust.core.backend import Backend
from gpuclust.core.clusters import Merging
from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.errors import overflow


class Left(NamedTuple):
    """Rows after a round, in the order in which they were.

    Attributes
    ----------
    first, second, between
        What `gpuclust.core.backend.Stored.merge` takes: the old row of each, the old row that it merged with or -1,
        and the dissimilarity of the two (or of it to its nearest).
    size, ids
        Of the clusters.
    """

    first: np.ndarray
    second: np.ndarray
    between: np.ndarray
    size: np.ndarray
    ids: np.ndarray


#: Finds the reciprocal nearest neighbours of clusters with these nearest ones, dissimilarities to them, sizes (which
#: are added if ``counted``), and ids. Returns the rows that are left, and the number of pairs, which are written to
#: what comes next in the merges, but not yet counted there.
Uniting = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool, Merging], tuple[Left, int]]


def uniting(backend: Backend) -> Uniting:
    """A compiled loop for a GPU, whose kernels are compiled in any case: the CPU's first job compiles no more."""
    return in_one_pass if backend.name.on_gpu else by_arrays


def check_distances(distance: np.ndarray) -> None:
    """An error for dissimilarities that are not finite."""
    if not np.isfinite(distance).all():
        raise overflow(distance.dtype)


def by_arrays(
    nearest: np.ndarray, distance: np.ndarray, size: np.ndarray, ids: np.ndarray, counted: bool, merges: Merging
) -> tuple[Left, int]:
    """`Uniting` by operations on arrays, which need no compiler."""
    check_distances(distance)
    first, second = reciprocal_pairs(nearest)
    pairs, heights = merges.room(first.size)
    pairs[:, 0], pairs[:, 1], heights[:] = ids[first], ids[second], distance[first]
    return left_by(first, second, distance, size, ids, counted, merges.next_id), first.size


def left_by(
    first: np.ndarray,
    second: np.ndarray,
    distance: np.ndarray,
    size: np.ndarray,
    ids: np.ndarray,
    counted: bool,
    next_id: int,
) -> Left:
    """The rows that are left when rows ``first`` have merged with ``second``, and what is not in use is dropped."""
    stays = ids >= 0
    stays[second] = False
    rows = np.flatnonzero(stays)
    partner = np.full(ids.size, -1)
    partner[first] = second
    new_size, new_ids = size.copy(), ids.copy()
    if counted:
        new_size[first] += size[second]
    new_ids[first] = next_id + np.arange(first.size)
    return Left(rows, partner[rows], distance[rows], new_size[rows], new_ids[rows])


@compiled
def _unite(
    nearest: np.ndarray,
    distance: np.ndarray,
    size: np.ndarray,
    ids: np.ndarray,
    counted: bool,
    next_id: int,
    first: np.ndarray,
    second: np.ndarray,
    between: np.ndarray,
    new_size: np.ndarray,
    new_ids: np.ndarray,
    pairs: np.ndarray,
    heights: np.ndarray,
) -> tuple[int, int, bool]:
    """Fill the arrays of `Left` and those of the merges; returns rows left, pairs, and whether all is finite.

    ``nearest`` is unsigned, so that no index is compared with zero; -1 is the largest number. Rows are written before
    it is known whether they stay, since a branch would be taken at random.
    """
    kept = made = wrong = 0
    for row in range(nearest.size):
        wrong += not abs(distance[row]) < np.inf
    for row in range(nearest.size):
        other = np.int64(nearest[row])
        there = nearest[row] if other >= 0 else np.uint64(row)
        mutual = other >= 0 and np.int64(nearest[there]) == row
        first[kept] = row
        second[kept] = other if mutual else -1
        kept += not (mutual and other < row)
    for place in range(kept):
        row_there = np.uint64(first[place])
        between[place] = distance[row_there]
        new_size[place] = size[row_there]
        new_ids[place] = ids[row_there]
        if second[place] >= 0:
            other_there = np.uint64(second[place])
            if counted:
                new_size[place] += size[other_there]
            new_ids[place] = next_id + made
            pairs[made, 0] = ids[row_there]
            pairs[made, 1] = ids[other_there]
            heights[made] = distance[row_there]
            made += 1
    return kept, made, wrong == 0


def in_one_pass(
    nearest: np.ndarray, distance: np.ndarray, size: np.ndarray, ids: np.ndarray, counted: bool, merges: Merging
) -> tuple[Left, int]:
    """`Uniting` by a compiled loop, a third of the time; all rows are in use."""
    n = nearest.size
    first, second, new_ids = (np.empty(n, np.int64) for _ in range(3))
    between, new_size = np.empty_like(distance), np.empty_like(size)
    left = Left(first, second, between, new_size, new_ids)
    unite = brief(_unite, n)
    given = nearest.view(np.uint64), distance, size, ids, counted, merges.next_id
    kept, made, finite = unite(*given, *left, *merges.room(n // 2))
    if not finite:
        raise overflow(distance.dtype)
    return Left(*(array[:kept] for array in left)), int(made)
