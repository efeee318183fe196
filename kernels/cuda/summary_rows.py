"""What a round of matrix-free clusters searches, found by the host in one pass over the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.kernels.cuda.launch import Together


class Rows(NamedTuple):
    """Rows after a round, on the host or on the device.

    Attributes
    ----------
    first, second
        As `gpuclust.core.backend.Stored.merge` takes them.
    near : array of shape (n,)
        The nearest cluster of each if that still exists, or -1.
    order : array of shape (n,)
        All by increasing id, the new clusters last.
    divided : array of shape (n,)
        First the ``searched`` ones, among all: those without a nearest, and the new ones. Then the others, which only
        the new ones may be nearer to.
    fresh : array
        The new clusters.
    zeros : array of shape (2,)
        Room for `gpuclust.kernels.cuda.halves.Halves.most`.
    size : array of shape (n,)
        Their sizes.
    """

    first: Any
    second: Any
    near: Any
    order: Any
    divided: Any
    fresh: Any
    zeros: Any
    size: Any


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
    """Fill the arrays of `Rows`, from its second and fourth one entry more. Returns how many rows are searched.

    ``first``, ``nearest`` and ``order`` are unsigned, so that no index is compared with zero; -1 is the largest
    number. Entries are written before it is known whether they stay, since branches would be taken at random.
    """
    place[:] = -1
    made = 0
    for row in range(first.size):
        fresh[made] = row
        alone = second[row] < 0
        place[first[row]] = row if alone else -1
        made += not alone
    for row in range(first.size):
        other = nearest[first[row]]
        there = place[other] if other < nearest.size else -1
        near[row] = there if second[row] < 0 else -1
    kept = searched = 0
    for old in order:
        new_order[kept] = place[old]
        kept += place[old] >= 0
    last = first.size - 1
    for row in new_order[:kept]:
        divided[searched] = divided[last] = row
        searched += near[row] < 0
        last -= near[row] >= 0
    new_order[kept : kept + made] = fresh[:made]
    divided[searched : searched + made] = fresh[:made]
    return searched + made


def after_round(
    first: np.ndarray, second: np.ndarray, size: np.ndarray, nearest: np.ndarray, order: np.ndarray
) -> tuple[Together, int]:
    """Rows ``first``, united with ``second`` unless that is -1, as rows that are left; ``order`` as in `Rows`.

    Returns the parts of `Rows`, of which ``order`` and ``fresh`` have one entry too many (see `rows_of`), and how
    many rows are searched.
    """
    n, made = first.size, int(np.count_nonzero(second >= 0))
    whole = Together((n, n, n, n + 1, n, made + 1, 2), n, size.dtype)
    rows = Rows(*whole.parts)
    rows.first[:], rows.second[:], rows.size[:], rows.zeros[:] = first, second, size, 0
    follow = brief(_follow, nearest.size)
    first, nearest, order = (array.view(np.uint64) for array in (first, nearest, order))
    place = np.empty(nearest.size, np.int32)
    searched = follow(first, second, nearest, order, place, rows.near, rows.order, rows.divided, rows.fresh)
    return whole, int(searched)


def rows_of(parts: list[Any]) -> Rows:
    """`Rows` from the parts that `after_round` makes, or from their copies on the device."""
    first, second, near, order, divided, fresh, zeros, size = parts
    return Rows(first, second, near, order[:-1], divided, fresh[:-1], zeros, size)
