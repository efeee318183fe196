"""Bounds of squared distances from matrix products in single precision; docs/products.md has the proof.

With many features, rows and the points of a box (`gpuclust.kernels.cpu.space.screen`) are compared by
``|x|² + |y|² - 2 x.y``, relative to the middle of the box: one multiply-add for a feature of a pair, where a
difference and its square take two operations. Subtracting the error bound from ``|x|²`` makes the result a lower
bound of the squared distance, for every order of the sums, with or without fused operations. It is used like a
screened square; its error is relative to the radius of the box, not to the distance, so a row that keeps many points
of a strip is compared by differences there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.jit import uncounted
from gpuclust.kernels.cpu.space import screen
from gpuclust.kernels.cpu.space.screen import Screen, bounded

#: Largest squared norm of a row, in the scale of a box, whose products cannot overflow.
FAR = 2.0**100
#: Points of a strip that a row keeps by products before it is compared by differences, and the fraction of the
#: threshold that the error must be for that to remove any.
MANY, SHARE = 8, 2.0**-8
#: Relative rounding error in float32, what underflow of a product can lose (it may be flushed to zero), and the
#: spacing of float32 numbers next to one.
UNIT, LOST, _EPS = 2.0**-24, 2.0**-126, 2.0**-23


class Counts(NamedTuple):
    """Work of a search by products.

    Attributes
    ----------
    rows : rows searched.
    candidates : pairs that their lower bound did not exclude when it was found.
    differences : rows of a strip compared by differences after products had left too many points.
    early : rows whose candidates were computed before all boxes were compared, to make room.
    computed : pairs computed in full.
    """

    rows: int
    candidates: int
    differences: int
    early: int
    computed: int


#: Functions that are called with the counts of each search: benchmarks and tests add theirs.
OBSERVERS: list[Callable[[Counts], None]] = []


def observe(rows: int, counts: np.ndarray) -> None:
    """Report the work of a search to the observers; ``counts`` are the other fields of `Counts`."""
    for observer in OBSERVERS:
        observer(Counts(rows, *(int(count) for count in counts)))


def squared_norms(ready: Screen) -> np.ndarray:
    """Squared norms of the points of each box, (boxes, points a box rounded up), float32; zero for padding."""
    norms = np.zeros_like(ready.features[:, 0])
    for box, features in enumerate(ready.features):
        count = ready.starts[box + 1] - ready.starts[box]
        there = features[:, :count]
        norms[box, :count] = np.einsum("kj,kj->j", there, there, dtype=np.float64)
    return norms


@uncounted
def sum_error(m):
    """Bound of the error of a float32 sum of m products, relative to the product of the two norms.

    In any order, with or without fused operations (Higham 2002, Accuracy and stability of numerical algorithms,
    section 3.1); at least m rounding errors of half a unit each can add up to nearly that.
    """
    return m * UNIT / (1 - m * UNIT)


@uncounted
def error_of(norm, radius, m):
    """Bound of the error of ``|x|² + |y|² - 2 x.y`` in float32, for ``|x|² = norm`` and ``|y|`` at most ``radius``.

    Coordinates are those in single precision.
    """
    return 2 * sum_error(m) * np.sqrt(norm) * radius * (1 + UNIT) + (
        5 * UNIT * (norm + radius * radius) + (4 * m + 16) * LOST
    )


@uncounted
def row_terms(ours, radius, norms, less, spare):
    """Terms of the rows ``ours`` (m, rows), relative to the middle of a box, for bounds of squares.

    Sets ``norms``, their squared norms; ``less``, those less the error; ``spare``, by how much the squared distance
    may exceed its lower bound.
    """
    m = ours.shape[0]
    for place in range(norms.size):
        norms[place] = 0.0
    for k in range(m):
        mine = ours[k]
        for place in range(norms.size):
            norms[place] += float(mine[place]) * float(mine[place])
    for place in range(norms.size):
        error = error_of(norms[place], radius, m)
        less[place] = np.float32(norms[place] - error)
        spare[place] = 2 * error


@uncounted
def lowest(square, error, m):
    """Lower bound of the distance whose screened square is at least ``square``: see `screen.threshold`."""
    rest = min(float(square), 3e38) * (1 - _EPS) - 1.1e-36  # what overflows is at least that
    if not rest > 0:
        return 0.0
    return max((np.sqrt(rest / (1 + _EPS * (2 * m + 32))) - error) * (1 - 4 * _EPS), 0.0)


@uncounted
def highest(square, spare, error, m):
    """Upper bound of the distance whose screened square is at most ``square + spare``."""
    return bounded(max(float(square) + spare, 0.0) + 2e-36, error, m)


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use this one."""
    return sys.modules[__name__], *screen.modules()
