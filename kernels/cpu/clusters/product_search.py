"""Nearest clusters of rows of many features, by products of integers (`gpuclust.kernels.cpu.space.products`).

The same lists as by `gpuclust.kernels.cpu.clusters.summary_search` and `screen_pairs`, which compute a pair as soon
as it passes. With hundreds of features that takes most of the time, so here a row keeps the pairs that pass as
candidates, with a lower bound each, and the smallest upper bounds. The k-th of these is how far the row has to look,
and only candidates below it are computed, in the end, or when there is no more room for candidates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.jit import ranges, run
from gpuclust.core.sizes import room_for
from gpuclust.kernels.cpu.clusters.product_kernels import Form, kernels
from gpuclust.kernels.cpu.clusters.screen_pairs import ALL, Share
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows
from gpuclust.kernels.cpu.space import products
from gpuclust.kernels.cpu.space.screen import rows_a_piece
from gpuclust.kernels.cpu.space.simd import LANES
from gpuclust.kernels.cpu.space.strips import Strips

#: Rows in a piece of the last pass.
LAST = 1024


class Candidates(NamedTuple):
    """What rows have found; distances are roots of dissimilarities in the scale of all points.

    Attributes
    ----------
    which : ndarray of shape (rows, room), int32
    lower : ndarray of shape (rows, room), float64
        Lower bounds of the distances to these.
    upper : ndarray of shape (rows, listed), float64
        The smallest upper bounds, sorted.
    filled : ndarray of shape (rows,), int64
        Candidates that a row has.
    roots : ndarray of shape (rows,), float64
        How far the row has to look.
    slacks : ndarray of shape (rows,)
        See `summary_kernels.Limits`.
    """

    which: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    filled: np.ndarray
    roots: np.ndarray
    slacks: np.ndarray


def search_all(form: Form, lists: Rows, ready: Strips, share: Share = ALL) -> None:
    """As `screen_pairs.search_all`: the lists and limits of all rows, each pair compared once for both."""
    dtype, (n, listed) = lists.centers.dtype, lists.near.shape
    room, largest, rows = room_for(listed), lists.size.max(), np.arange(n)
    found = Candidates(
        np.empty((n, room), np.int32),
        np.empty((n, room)),
        np.full((n, listed), np.inf),
        np.zeros(n, np.int64),
        np.full(n, np.inf),
        np.empty(n, dtype),
    )
    kernel = kernels(form, dtype)
    own = _Own(lists)
    common = tuple(lists), ready, largest, found, rows
    spans = [share.rows(ready.starts, side) for side in sorted({share.one, share.other})]
    pieces = [(span.start + i, span.start + j) for span in spans for i, j in ranges(span.stop - span.start, LAST)]
    run(kernel.begin, [(tuple(lists), ready.scale, largest, found, *piece) for piece in pieces])
    boxes = ready.starts.size - 1
    for step in range(boxes):
        run(kernel.meet, [(*common, *pair) for pair in share.pairs(boxes, step)], own)
    run(kernel.finish, [(tuple(lists), largest, found, *piece) for piece in pieces], own)
    products.observe(n, own.counts)


def search_rows(form: Form, lists: Rows, ready: Strips, rows: np.ndarray) -> None:
    """As `summary_search.screen_kernel`: the lists and limits of some rows, searched among all."""
    n, m = lists.centers.shape
    length = rows_a_piece(n, m, LANES)
    rows = rows[np.lexsort((lists.size[rows], np.arange(rows.size) // length))]
    own = _Own(lists)
    common = tuple(lists), ready, lists.size.max(), rows
    kernel = kernels(form, lists.centers.dtype)
    run(kernel.search, [(*common, *piece) for piece in ranges(rows.size, length)], own)
    products.observe(rows.size, own.counts)


class _Own:
    """Makes the buffers and counts of a thread; `counts` is the sum of all."""

    def __init__(self, lists: Rows) -> None:
        self._m, self._dtype = lists.centers.shape[1], lists.centers.dtype
        self._counts: list[np.ndarray] = []

    def __call__(self) -> tuple[Any, ...]:
        self._counts.append(np.zeros(4, np.int64))
        own = (
            np.empty(4, np.int64),  # four candidates
            np.empty(4, self._dtype),  # and their dissimilarities
            np.empty(LANES),  # factors of sizes, or scatter
            np.empty(LANES),  # there: thresholds of the points of a strip
        )
        return products.buffers(self._m), own, self._counts[-1]

    @property
    def counts(self) -> np.ndarray:
        return np.sum(self._counts, axis=0)
