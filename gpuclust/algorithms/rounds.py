"""Reducible linkages on a stored matrix: rounds of reciprocal nearest neighbours, and a nearest-neighbour chain.
Two clusters that are each other's nearest neighbours stay so until greedy clustering merges them, whatever else
merges first, because no merge of a reducible linkage brings clusters nearer. So all such pairs merge at once, and the
tree is the one greedy clustering finds; only the order of merges differs, and sorting by height restores it.

A round costs one pass over the matrix and rescans every row, which pays if enough clusters merge. Otherwise (a
cluster that is the nearest neighbour of most others, growing gaps) a nearest-neighbour chain merges half of the
clusters, with at most three scans for each merge. Fewer than 12 n rows are scanned in all, on any input: rounds are
bounded by a budget of scans, and chains by their theorem.

Ties go to smaller ids, and clusters formed later have larger ids, as in SciPy's numbering.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.algorithms.candidates import candidate_rounds, merge_equal
from gpuclust.algorithms.unions import Left, Uniting, by_arrays, check_distances, left_by, uniting
from gpuclust.core.backend import Backend, Searched, Square, Stored
from gpuclust.core.clusters import Clusters, Merges, Merging
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import FUSED, WIDE, fused
from gpuclust.errors import overflow

#: A round pays if at least one pair in this many clusters merges: a merge by chain costs as much as this many rows
#: of a round (measured on a CPU; on a GPU rounds are cheaper).
SHARE = 24
#: The same where dissimilarities are computed from `WIDE` features or more: a chain scans with one thread. Measured
#: with 20,000 points of 768 features on two threads: the same time, or half of it if no squared distances are
#: stored.
SHARE_WIDE = 64
#: Budget of rows scanned by rounds, per cluster, that merges need not pay for. With at most four scans for each merge
#: by chain and the moves that follow it, the sum stays below ROUND_SCANS + 4 = 11 n on any input.
ROUND_SCANS = 7
#: Number of clusters from which on the chain alone makes the remaining merges.
TAIL = 384
#: Rows read in one call of the chain, which bounds the time between two reports, so that Ctrl-C takes effect.
CHAIN_ENTRIES = 400_000_000
#: Most calls of the chain for half of the merges: each begins a new chain, and where scans are short, many calls
#: would cost more than the scans.
CHAIN_CALLS = 16


def from_points(
    backend: Backend,
    points: Points,
    method: Method,
    report: Callable[[int], None],
    most: int,
    tree: bool = False,
    square: bool = False,
) -> Merges:
    """All merges of a reducible linkage of points.

    Duplicate points merge first, then pairs that neighbour lists prove (`gpuclust.algorithms.candidates`). The matrix
    is filled with the dissimilarities of the clusters that are left: about half as many, so a third of the memory. If
    there are more than ``most``, rounds and chains continue without a matrix until there are not
    (`gpuclust.core.matrix_free`). With ``tree`` that is done from the start, by bounds of the clusters' positions
    (`gpuclust.core.backend.Backend.search_clusters`): for norms of few features. With ``square`` a matrix of all
    points may be a square array.

    O(n² m) time on any input for the first rounds and the matrix, and for every round between them.
    """
    if method.pairs is None or points.n <= min(fused(method.pairs), most):
        found = backend.square_of_points(points) if square else None
        if found is not None:
            return from_square(found, method)
        return from_matrix(backend.store_points(points), method, report, uniting(backend))
    merges = Merging(points.n, points.dtype)
    points, clusters = merge_equal(points, method, merges)
    if tree and points.n > most:
        searched = backend.search_clusters(points, method, clusters, bounded=True)
        clusters = _without_matrix(searched, method, merges, report, most)
    elif points.n > FUSED:
        clusters = candidate_rounds(backend, points, method, clusters, merges, report)
    if clusters.ids.size > most:
        searched = backend.search_clusters(points, method, clusters, lambda: report(merges.done))
        clusters = _without_matrix(searched, method, merges, report, most)
    if clusters.ids.size > 1:
        matrix = backend.store_clusters(points, method, clusters)
        _finish(matrix, method, merges, clusters.total.copy(), clusters.ids.copy(), report, uniting(backend))
    return Merges(merges.pairs, merges.heights, merges.scans)


def from_summaries(
    backend: Backend, points: Points, method: Method, report: Callable[[int], None], square: bool = False
) -> Merges:
    """All merges of a reducible linkage with a closed form, without a matrix; points as for `Backend.summarise`.

    Duplicate points merge first. O(n m) memory; with ``square`` all dissimilarities may be stored if there are no
    duplicates.
    """
    share = SHARE if len(points.features) < WIDE else SHARE_WIDE
    found = backend.square_of_summaries(points, method) if square else None
    if found is not None:
        return from_square(found, method, share)
    merges = Merging(points.n, points.dtype)
    points, clusters = merge_equal(points, method, merges)
    if points.n > 1:
        matrix, unite = backend.summarise(points, method, clusters.total), uniting(backend)
        size, ids = clusters.total.copy(), clusters.ids.copy()
        _finish(matrix, method, merges, size, ids, report, unite, calls=CHAIN_CALLS, share=share)
    return Merges(merges.pairs, merges.heights, merges.scans)


def from_square(square: Square, method: Method, share: int | None = None) -> Merges:
    """The merges that `from_matrix` makes, in one call; the square is used up. ``share``: see `SHARE`."""
    share = SHARE if share is None else share
    pairs, heights, scans = square.merge_all(method, (share, ROUND_SCANS, TAIL, CHAIN_ENTRIES, CHAIN_CALLS))
    if scans < 0:
        raise overflow(heights.dtype)
    return Merges(pairs, heights, scans)


def from_matrix(matrix: Stored, method: Method, report: Callable[[int], None], unite: Uniting = by_arrays) -> Merges:
    """All merges of a reducible linkage; the matrix is used up.

    Parameters
    ----------
    matrix : Stored
        Dissimilarities (squared for a linkage on squares) with the nearest neighbour of each row.
    method : Method
        A reducible linkage.
    report : callable
        Called with the number of merges made so far, after each round.
    unite : callable
        How the pairs of a round are found.

    Notes
    -----
    O(n²) time on any input: rounds shrink the matrix geometrically, a chain costs O(n) a merge. Memory: the matrix.
    """
    n = matrix.n
    dtype = matrix.distance.dtype
    merges = Merging(n, dtype)
    _finish(matrix, method, merges, np.ones(n, dtype), np.arange(n), report, unite)
    return Merges(merges.pairs, merges.heights, merges.scans)


def _without_matrix(
    searched: Searched, method: Method, merges: Merging, report: Callable[[int], None], most: int
) -> Clusters:
    """Merge until at most this many clusters are left; return those."""
    size, ids = searched.size.copy(), searched.ids.copy()
    _finish(searched, method, merges, size, ids, report, until=max(most, 1))
    return searched.clusters


def _finish(
    matrix: Stored,
    method: Method,
    merges: Merging,
    size: np.ndarray,
    ids: np.ndarray,
    report: Callable[[int], None],
    unite: Uniting = by_arrays,
    until: int = 1,
    calls: int | None = None,
    share: int | None = None,
) -> None:
    """Merge the clusters of the matrix until at most a given number of them is left.

    A chain merges half of the clusters in at most ``calls`` calls. ``share``: see `SHARE`.
    """
    share = SHARE if share is None else share
    n = merges.heights.size + 1
    merges.scans += matrix.scanned
    while (live := n - merges.done) > until:
        if live > TAIL and merges.scans + live <= ROUND_SCANS * n + 4 * merges.done:
            left, made = unite(matrix.nearest, matrix.distance, size, ids, method.counted, merges)
            if made * share >= live:
                size, ids = _merged(matrix, method, left, size)
                merges.done += made
                merges.scans += matrix.scanned
                report(merges.done)
                continue
        check_distances(matrix.distance)
        # By chain: half of the clusters, then the remaining rows are compacted.
        target = merges.done + min(live // 2 if live > TAIL else live - 1, live - until)
        nearest_id = ids[matrix.nearest]
        while merges.done < target:
            wanted = max(1, CHAIN_ENTRIES // (8 * live * max(1, matrix.width // 4)))
            if calls is not None:
                wanted = max(wanted, live // (2 * calls))
            wanted = min(wanted, target - merges.done)
            pairs, heights, scans = matrix.chain(method, size, ids, nearest_id, merges.next_id, wanted)
            if scans < 0:
                raise overflow(heights.dtype)
            merges.add(pairs, heights, scans)
            report(merges.done)
        if n - merges.done > until:
            none = np.empty(0, np.int64)
            left = left_by(none, none, matrix.distance, size, ids, method.counted, merges.next_id)
            size, ids = _merged(matrix, method, left, size)
            merges.scans += matrix.scanned


def _merged(matrix: Stored, method: Method, left: Left, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge the pairs of a round in the matrix; sizes and ids of the rows that are left."""
    matrix.merge(method, left.first, left.second, left.between, size, left.size, left.ids)
    return left.size, left.ids
