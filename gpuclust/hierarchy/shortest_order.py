"""Optimal leaf ordering: the order with the least sum of distances between neighbouring leaves.

Bar-Joseph, Gifford & Jaakkola, "Fast optimal leaf ordering for hierarchical clustering", Bioinformatics 17 (2001),
with the minimum over the two inner leaves taken in two steps, which makes it O(n^3) for every tree.

Leaves are named by their position in the order given. A symmetric table over pairs of leaves is stored as its
rows right of the diagonal, one after the other, so that row i over a run of later columns is contiguous.

best(u, w), for leaves u and w in different children L and R of a cluster, is the length of the shortest order of
that cluster that begins with u and ends with w:

    through(u, k) = min over m of  best(u, m) + d(m, k)        m in the child of L that does not hold u
    best(u, w)    = min over k of  through(u, k) + best(k, w)  k in the child of R that does not hold w

Each pair of leaves is parted at exactly one cluster, so best is one number per pair, and both lines are matrix
products with (+, *) replaced by (min, +).
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import compiled, ranges, run, uncounted

# Tiles of the (min, +) products: ROWS x DEPTH times DEPTH x COLS. A DEPTH x COLS tile stays in the L1 cache.
_ROWS, _DEPTH, _COLS = 64, 16, 128
_THREADED_WORK = 1_000_000  # additions in a cluster from which its rows are shared among threads
_WORK_PER_CALL = 1_000_000_000  # additions in one compiled call, so that Ctrl-C is seen within a second


@uncounted
def _row(n: int, i: int) -> int:
    """Where row ``i`` begins in a packed table, less ``i + 1``: entry (i, j) is at ``_row(n, i) + j``."""
    return i * (2 * n - i - 1) // 2 - i - 1


@compiled
def _pick_pairs(y: np.ndarray, leaves: np.ndarray, table: np.ndarray, first: int, last: int) -> None:
    """Rows ``first`` to ``last`` of the packed table over leaf positions, from condensed distances."""
    n = leaves.shape[0]
    for i in range(first, last):
        a = leaves[i]
        out = _row(n, i)
        for j in range(i + 1, n):
            b = leaves[j]
            table[out + j] = y[_row(n, a) + b] if a < b else y[_row(n, b) + a]


@uncounted
def _load_tile(table: np.ndarray, n: int, i0: int, i1: int, j0: int, j1: int, tile: np.ndarray) -> None:
    """Copy ``table[i0:i1, j0:j1]`` into a tile; below it, up to a multiple of four rows, infinity.

    The two ranges are disjoint, or the same single leaf (its best order has length 0).
    """
    rows, cols = i1 - i0, j1 - j0
    if i0 == j0:
        tile[0, 0] = 0.0
    elif i0 < j0:
        for i in range(rows):
            at = _row(n, i0 + i) + j0
            source = table[at : at + cols]
            target = tile[i, :cols]
            for j in range(cols):
                target[j] = source[j]
    else:
        for j in range(cols):
            at = _row(n, j0 + j) + i0
            for i in range(rows):
                tile[i, j] = table[at + i]
    _clear(tile, rows, (rows + 3) // 4 * 4, cols)


@uncounted
def _store_tile(table: np.ndarray, n: int, i0: int, i1: int, j0: int, j1: int, tile: np.ndarray) -> None:
    """Copy a tile to ``table[i0:i1, j0:j1]``; the two ranges are disjoint."""
    if i0 < j0:
        for i in range(i1 - i0):
            at = _row(n, i0 + i) + j0
            target = table[at : at + j1 - j0]
            source = tile[i, : j1 - j0]
            for j in range(j1 - j0):  # by hand: an assignment of arrays takes seconds to compile
                target[j] = source[j]
    else:
        for j in range(j1 - j0):
            at = _row(n, j0 + j) + i0
            for i in range(i1 - i0):
                table[at + i] = tile[i, j]


@uncounted
def _clear(tile: np.ndarray, first: int, last: int, cols: int) -> None:
    """Set the rows ``first`` to ``last`` of a tile to infinity."""
    for i in range(first, last):
        target = tile[i, :cols]
        for j in range(cols):
            target[j] = np.inf


@uncounted
def _min_plus(
    out: np.ndarray, out0: int, a: np.ndarray, a0: int, b: np.ndarray, rows: int, depth: int, cols: int
) -> None:
    """``out[i, out0 + j] = min(itself, min over k of a[i, a0 + k] + b[k, j])``, two rows and four ``k`` at a time.

    Rounded up to that; what is past ``depth`` in ``b`` is infinite, what is past ``rows`` is never read.
    """
    for i in range(0, rows, 2):
        x = out[i, out0 : out0 + cols]
        y = out[i + 1, out0 : out0 + cols]
        for k in range(0, depth, 4):
            p = a[i, a0 + k : a0 + k + 4]
            q = a[i + 1, a0 + k : a0 + k + 4]
            p0, p1, p2, p3 = p[0], p[1], p[2], p[3]
            q0, q1, q2, q3 = q[0], q[1], q[2], q[3]
            b0, b1, b2, b3 = b[k, :cols], b[k + 1, :cols], b[k + 2, :cols], b[k + 3, :cols]
            for j in range(cols):
                v = x[j]
                v = p0 + b0[j] if p0 + b0[j] < v else v
                v = p1 + b1[j] if p1 + b1[j] < v else v
                v = p2 + b2[j] if p2 + b2[j] < v else v
                v = p3 + b3[j] if p3 + b3[j] < v else v
                x[j] = v
                v = y[j]
                v = q0 + b0[j] if q0 + b0[j] < v else v
                v = q1 + b1[j] if q1 + b1[j] < v else v
                v = q2 + b2[j] if q2 + b2[j] < v else v
                v = q3 + b3[j] if q3 + b3[j] < v else v
                y[j] = v


@uncounted
def _solve_rows(
    dist: np.ndarray, best: np.ndarray, n: int, u0: int, u1: int, m0: int, m1: int, r0: int, rmid: int, r1: int,
    through: np.ndarray, left: np.ndarray, right: np.ndarray, found: np.ndarray,
) -> None:  # fmt: skip
    """Fill ``best`` for the pairs of [u0, u1), at most ``_ROWS`` leaves of a grandchild of a cluster, with [r0, r1).

    ``[m0, m1)`` is the sibling of that grandchild; ``[r0, r1)`` is the child on the other side, whose own children
    part at ``rmid`` (``rmid == r0`` for a single leaf). The last four are tiles to work in.
    """
    rows = u1 - u0
    room = (rows + 3) // 4 * 4
    _clear(through, 0, room, r1 - r0 + 4)
    for m in range(m0, m1, _DEPTH):
        m_end = min(m + _DEPTH, m1)
        _load_tile(best, n, u0, u1, m, m_end, left)
        for k in range(r0, r1, _COLS):
            k_end = min(k + _COLS, r1)
            _load_tile(dist, n, m, m_end, k, k_end, right)
            _min_plus(through, k - r0, left, 0, right, rows, m_end - m, k_end - k)
    for side in range(2 if rmid > r0 else 1):
        w0, w1, k0, k1 = (rmid, r1, r0, rmid) if side == 0 else (r0, rmid, rmid, r1)
        if rmid == r0:
            k1 = r1
        for w in range(w0, w1, _COLS):
            w_end = min(w + _COLS, w1)
            _clear(found, 0, room, w_end - w)
            for k in range(k0, k1, _DEPTH):
                k_end = min(k + _DEPTH, k1)
                _load_tile(best, n, k, k_end, w, w_end, right)
                _min_plus(found, 0, through, k - r0, right, rows, k_end - k, w_end - w)
            _store_tile(best, n, u0, u1, w, w_end, found)


@compiled
def _solve_nodes(
    dist: np.ndarray, best: np.ndarray, n: int, sides: np.ndarray, first: int, last: int, begin: int, end: int
) -> None:
    """Pairs of the merges ``first`` to ``last``, one merge after the other, whose first leaf is in [begin, end)."""
    widest = 0
    for v in range(first, last):
        widest = max(widest, sides[v, 5] - sides[v, 3])
    through = np.empty((_ROWS, widest + 4))
    left = np.zeros((_ROWS, _DEPTH))
    right = np.empty((_DEPTH, _COLS))
    found = np.empty((_ROWS, _COLS))
    for v in range(first, last):
        l0, lmid, l1, r0, rmid, r1 = sides[v, 0], sides[v, 1], sides[v, 2], sides[v, 3], sides[v, 4], sides[v, 5]
        for half in range(2):
            u0, u1, m0, m1 = (l0, lmid, lmid, l1) if half == 0 else (lmid, l1, l0, lmid if lmid > l0 else l1)
            u1 = min(u1, end)
            for u in range(max(u0, begin), u1, _ROWS):
                u_end = min(u + _ROWS, u1)
                _solve_rows(dist, best, n, u, u_end, m0, m1, r0, rmid, r1, through, left, right, found)


@uncounted
def _between(table: np.ndarray, n: int, i: int, j: int) -> float:
    """An entry of a packed table; 0 on the diagonal."""
    if i == j:
        return 0.0
    return table[_row(n, i) + j] if i < j else table[_row(n, j) + i]


@compiled
def _walk_back(
    dist: np.ndarray, best: np.ndarray, n: int, bounds: np.ndarray, ends: np.ndarray, swap: np.ndarray
) -> None:
    """Trace back the shortest order from the root: the end leaves of every cluster, and the rows to swap.

    ``bounds[v, 5:]`` are the children's rows (-1 for a leaf). Of equal lengths the first in leaf order is taken.
    """
    top = n - 2
    shortest = np.inf
    for u in range(bounds[top, 0], bounds[top, 2]):
        for w in range(bounds[top, 2], bounds[top, 4]):
            if best[_row(n, u) + w] < shortest:
                shortest = best[_row(n, u) + w]
                ends[top, 0], ends[top, 1] = u, w
    through = np.empty(n)
    for v in range(top, -1, -1):
        l0, lmid, r0, rmid, r1 = bounds[v, 0], bounds[v, 1], bounds[v, 2], bounds[v, 3], bounds[v, 4]
        swap[v] = ends[v, 0] >= r0
        u, w = min(ends[v, 0], ends[v, 1]), max(ends[v, 0], ends[v, 1])
        m0, m1 = (lmid, r0) if u < lmid or lmid == l0 else (l0, lmid)
        k0, k1 = (rmid, r1) if w < rmid or rmid == r0 else (r0, rmid)
        through[k0:k1] = np.inf
        for m in range(m0, m1):
            here = _between(best, n, u, m)
            at = _row(n, m)
            for k in range(k0, k1):
                through[k] = min(through[k], here + dist[at + k])
        inner, shortest = k0, np.inf
        for k in range(k0, k1):
            if through[k] + _between(best, n, k, w) < shortest:
                inner, shortest = k, through[k] + _between(best, n, k, w)
        outer = m0
        while _between(best, n, u, outer) + dist[_row(n, outer) + inner] != through[inner]:
            outer += 1
        if bounds[v, 5] >= 0:
            ends[bounds[v, 5], 0], ends[bounds[v, 5], 1] = (outer, u) if swap[v] else (u, outer)
        if bounds[v, 6] >= 0:
            ends[bounds[v, 6], 0], ends[bounds[v, 6], 1] = (w, inner) if swap[v] else (inner, w)


def in_leaf_order(y: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """Condensed distances (float64) of the observations taken in the order ``leaves`` (int64): 4 n^2 bytes."""
    n = len(leaves)
    ordered = np.empty(n * (n - 1) // 2)
    run(_pick_pairs, [(y, leaves, ordered, first, last) for first, last in ranges(n, _ROWS)])
    return ordered


def shortest_order(dist: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Which merges to turn for the shortest leaf order.

    Parameters
    ----------
    dist : ndarray
        Condensed distances between the leaves in their present order, float64, shape (n (n - 1) / 2,), finite.
    bounds : ndarray of shape (n - 1, 7), int64
        For each merge: the position where its left cluster begins, where the second child of
        that begins, the same two of its right cluster, and where that ends; then the rows that form the two (-1 for
        a leaf, whose "second child" is itself).

    Returns
    -------
    ndarray of shape (n - 1,), bool
        Rows whose two children change places. The last one never does.

    Notes
    -----
    O(n^3) time, 4 n^2 bytes beyond ``dist``. The result does not depend on the number of threads.
    """
    n = len(bounds) + 1
    best = np.empty_like(dist)
    _solve(dist, best, n, bounds)
    swap = np.zeros(n - 1, dtype=np.bool_)
    _walk_back(dist, best, n, bounds, np.zeros((n - 1, 2), dtype=np.int64), swap)
    return swap


def _sides(bounds: np.ndarray) -> np.ndarray:
    """Begin, parting and end of the two children of each merge, the smaller child first: int64, shape (n - 1, 6).

    The first one gives the rows of tiles, the second one their columns, along which the processor works on several
    numbers at once.
    """
    left, right = bounds[:, :3], bounds[:, 2:5]
    smaller = left[:, 2] - left[:, 0] <= right[:, 2] - right[:, 0]
    return np.where(smaller[:, None], np.hstack((left, right)), np.hstack((right, left)))


def _solve(dist: np.ndarray, best: np.ndarray, n: int, bounds: np.ndarray) -> None:
    """Fill ``best``, children before parents: large clusters row by row on all threads, small ones many at once."""
    sides = _sides(bounds)
    l1, l2, _, r1, r2 = np.diff(sides, axis=1).T
    work = 2 * l1 * l2 * (r1 + r2) + 2 * r1 * r2 * (l1 + l2) + (l1 + l2) * (r1 + r2)
    total = np.cumsum(work)
    first = 0
    while first < n - 1:
        if work[first] < _THREADED_WORK:
            done = total[first] - work[first]
            last = int(np.searchsorted(total, done + _WORK_PER_CALL, side="right"))
            large = np.flatnonzero(work[first:last] >= _THREADED_WORK)
            last = first + int(large[0]) if len(large) else max(last, first + 1)
            _solve_nodes(dist, best, n, sides, first, last, 0, n)
            first = last
            continue
        l0, lmid, l_end = map(int, sides[first, :3])
        rows = [
            (begin + a, begin + b)
            for begin, end in ((l0, lmid), (lmid, l_end))
            for a, b in ranges(end - begin, _ROWS)
        ]
        run(_solve_nodes, [(dist, best, n, sides, first, first + 1, *some) for some in rows])
        first += 1
