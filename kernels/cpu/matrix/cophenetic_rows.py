"""The inner loops of the cophenetic distances: rows of them in leaf order, one following from the one before.

In leaf order every cluster is an interval. Let the merge p join a left interval that ends with leaf q and a right one
that begins with leaf q+1. The cophenetic distance of q+1 to all of the left interval is the height of p; to the right
interval it is given by the heights along its left edge; to every leaf outside p it is that of q. So each row follows
from the one before by filling intervals, n log n numbers in all for a balanced tree, and what remains is to write
each row down in the order of the observations.

``tree`` is always (gap, left, right, start, size, height): the merge that joins the leaves at positions q and q+1;
children of each merge, int64; first position and number of leaves of each cluster, int64; height of each merge.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import compiled

Array = np.ndarray
Arrays = tuple[Array, Array, Array, Array, Array, Array]


@compiled
def products(y: Array, z: Array, shift: float, centre: float) -> tuple[float, float, float]:
    """Sums of y, y² and y z, of y less ``shift`` and z less ``centre``: in four lanes, so in a fixed order."""
    length = y.shape[0]
    a0, a1, a2, a3 = 0.0, 0.0, 0.0, 0.0
    b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0
    c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
    for k in range(length // 4):
        j = 4 * k
        y0, y1, y2, y3 = y[j] - shift, y[j + 1] - shift, y[j + 2] - shift, y[j + 3] - shift
        a0, a1, a2, a3 = a0 + y0, a1 + y1, a2 + y2, a3 + y3
        b0, b1, b2, b3 = b0 + y0 * y0, b1 + y1 * y1, b2 + y2 * y2, b3 + y3 * y3
        c0 += y0 * (z[j] - centre)
        c1 += y1 * (z[j + 1] - centre)
        c2 += y2 * (z[j + 2] - centre)
        c3 += y3 * (z[j + 3] - centre)
    for j in range(length // 4 * 4, length):
        y0 = y[j] - shift
        a0 += y0
        b0 += y0 * y0
        c0 += y0 * (z[j] - centre)
    return (a0 + a1) + (a2 + a3), (b0 + b1) + (b2 + b3), (c0 + c1) + (c2 + c3)


@compiled
def _look_right(q: int, top: int, first: int, last: int, tree: Arrays, row: Array) -> int:
    """``row[r - first]``: height at which the leaves at q < r come together, for ``first <= r < last``.

    The merge that joins two leaves is the latest of those in the gaps between them. ``top`` is the latest before
    ``first - 1`` (-1 for none); returns the latest before ``last - 1``.
    """
    gap, _, _, _, _, height = tree
    for r in range(max(first, q + 1), last):
        top = max(top, gap[r - 1])
        row[r - first] = height[top]
    return top


@compiled
def _step_right(q: int, first: int, last: int, tree: Arrays, row: Array) -> None:
    """Turn a row, of columns ``first`` to ``last - 1``, from the leaf at q to that at q + 1, right of the latter."""
    gap, left, right, start, size, height = tree
    n = gap.shape[0] + 1
    node = right[gap[q]]
    while node >= n and start[node] + size[node] > first:
        branch = right[node - n]
        begin = max(start[branch], first) - first
        end = min(start[branch] + size[branch], last) - first
        if begin < end:
            seen = row[begin:end]
            for r in range(end - begin):
                seen[r] = height[node - n]
        node = left[node - n]


@compiled
def _fill(row: Array, leaves: Array, begin: int, end: int, value: float) -> None:
    """Write a height for the leaves at positions ``begin`` to ``end - 1``."""
    among = leaves[begin:end]
    for r in range(end - begin):
        row[among[r]] = value


@compiled
def write_rows(
    first: int, last: int, leaves: Array, tree: Arrays, Y: Array, shift: float, centre: float, out: Array, sums: Array
) -> None:
    """Condensed rows of the leaves at positions ``first`` to ``last - 1``.

    ``leaves``: the observations in leaf order, unsigned, so that indices are not checked for being negative. With
    ``Y`` not empty also ``sums[i]`` for each such observation i: `products` over the pairs (i, j > i).
    """
    gap, left, right, start, size, height = tree
    n = leaves.shape[0]
    row = np.empty(n)  # in the order of the observations, so that writes are contiguous
    top = np.int64(-1)
    for r in range(first + 1, n):
        top = max(top, gap[r - 1])
        row[leaves[r]] = height[top]
    top = np.int64(-1)
    for r in range(first - 1, -1, -1):
        top = max(top, gap[r])
        row[leaves[r]] = height[top]
    for q in range(first, last):
        if q > first:
            p = gap[q - 1]
            _fill(row, leaves, start[left[p]], q, height[p])
            node = right[p]
            while node >= n:
                branch = right[node - n]
                _fill(row, leaves, start[branch], start[branch] + size[branch], height[node - n])
                node = left[node - n]
        i = np.int64(leaves[q])
        length = n - 1 - i
        begin = i * n - i * (i + 1) // 2
        z, later = out[begin : begin + length], row[i + 1 :]
        for j in range(length):
            z[j] = later[j]
        if Y.shape[0] > 0:
            sums[i, 0], sums[i, 1], sums[i, 2] = products(Y[begin : begin + length], later, shift, centre)


@compiled
def add_tile(
    tile: Array,
    q0: int,
    r0: int,
    top: int,
    tree: Arrays,
    shift: float,
    centre: float,
    row: Array,
    total: Array,
) -> int:
    """Add to ``total`` `products` over a tile of distances: from the leaves at q0 on, to those at r0 on."""
    last = r0 + tile.shape[1]
    top = _look_right(q0, top, r0, last, tree, row)
    for k in range(tile.shape[0]):
        q = q0 + k
        if k > 0:
            _step_right(q - 1, r0, last, tree, row)
        skip = max(q + 1 - r0, 0)
        if skip < tile.shape[1]:
            a, b, c = products(tile[k, skip:], row[skip : tile.shape[1]], shift, centre)
            total[0] += a
            total[1] += b
            total[2] += c
    return top
