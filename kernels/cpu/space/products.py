"""Bounds of squared distances from matrix products of 16-bit integers; docs/products.md has the proof.

With many features, rows and the points of a box (`gpuclust.kernels.cpu.space.strips`) are compared by
``|x|² + |y|² - 2 x.y``. Products of integers are exact, and take half of the time of those of float32 numbers.
Subtracting the bound of what was rounded away from ``|x|²`` makes the result a lower bound of the squared distance.
The error is relative to the radius of the boxes, not to the distance, so a row that keeps many points of a strip is
compared by differences there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.jit import uncounted
from gpuclust.kernels.cpu.space import strips
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, add_dots, squares_of_strip
from gpuclust.kernels.cpu.space.strips import LEAST, UNIT, Scratch, Strip, empty, root_above, round_rows, scratch

#: Points of a strip that a row keeps by products before it is compared by differences, and the fraction of the
#: threshold that the error must be for that to remove any.
MANY, SHARE = 16, 2.0**-4
#: Pairs of features that are multiplied at a time: of 64 rows and of a strip they fit the first-level cache.
BLOCK = 32


class Counts(NamedTuple):
    """Work of a search by products.

    Attributes
    ----------
    rows : rows searched.
    candidates : pairs that their lower bound did not exclude when it was found.
    differences : groups of rows compared with a strip by differences after products had left too many points.
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


class Buffers(NamedTuple):
    """What a thread needs to compare `LANES` rows with a box; see `buffers`.

    Attributes
    ----------
    own, own_scratch : a strip, and what it is made with
        The rows, where they are not those of a strip of a box.
    own_middle : ndarray of shape (1, m), float64
    apart, apart_scratch : a strip of width one, which has the memory of its scratch
        From the middle of the box to that of the rows.
    none : ndarray of shape (TOGETHER,), int64
        Zeros: the rows of that strip.
    sums : ndarray of shape (LANES, LANES), int32
        Products of rows and the points of a strip.
    less, spare, gaps : ndarray of shape (LANES,), float64
        See `set_rows`.
    terms : ndarray of shape (LANES,), float64
        See `set_columns`.
    todo : ndarray of shape (LANES + TOGETHER,), int64
        The rows to compare, by place among `LANES`.
    values : ndarray of shape (LANES,), float64
        Lower bounds of the squared distances of a row and the points of a strip.
    columns, mine, exact : ndarray of shape (m, LANES), (m, TOGETHER) and (TOGETHER, LANES), float64
        Points of a strip and some rows, feature by feature, and their squared distances.
    sides : ndarray of shape (TOGETHER,), int64
        0, 1, ...
    """

    own: Strip
    own_scratch: Scratch
    own_middle: np.ndarray
    apart: Strip
    apart_scratch: Scratch
    none: np.ndarray
    sums: np.ndarray
    less: np.ndarray
    spare: np.ndarray
    gaps: np.ndarray
    terms: np.ndarray
    todo: np.ndarray
    values: np.ndarray
    columns: np.ndarray
    mine: np.ndarray
    exact: np.ndarray
    sides: np.ndarray


def buffers(m: int) -> Buffers:
    """Buffers for m features, without contents."""
    one = scratch(m, 1)
    return Buffers(
        empty(1, m),
        scratch(m),
        np.empty((1, m)),
        empty(1, m, 1)._replace(pairs=one.pairs.reshape(1, -1, 1)),
        one,
        np.zeros(TOGETHER, np.int64),
        np.zeros((LANES, LANES), np.int32),
        np.empty(LANES),
        np.empty(LANES),
        np.empty(LANES),
        np.empty(LANES),
        np.zeros(LANES + TOGETHER, np.int64),
        np.empty(LANES),
        np.empty((m, LANES)),
        np.empty((m, TOGETHER)),
        np.empty((TOGETHER, LANES)),
        np.arange(TOGETHER),
    )


@uncounted
def multiply(theirs, ours, rows, count, sums):
    """Products of ``count`` of the columns of a strip, ``ours[:, rows]``, and all of ``theirs``."""
    for row in range(-(-count // TOGETHER) * TOGETHER):
        for k in range(LANES):
            sums[row, k] = 0
    for begin in range(0, theirs.shape[0], BLOCK):
        end = min(begin + BLOCK, theirs.shape[0])
        for first in range(0, count, TOGETHER):
            add_dots(theirs, ours, rows, first, begin, end, sums)


@uncounted
def set_rows(group, middles, one, ready, box, buffers):
    """Prepare the comparison of a strip of rows, relative to ``middles[one]``, with a box.

    Sets ``less``: with `set_columns`, lower bounds of squared distances; ``spare``, by how much the squared distance
    may exceed them; and ``gaps``, lower bounds of the squared distance from a row to the points of the box.
    """
    pairs, step, square, lost = group
    radius, rest, m = ready.radius[box], ready.rest[box], middles.shape[1]
    apart = buffers.apart
    round_rows(
        middles[one : one + 1], buffers.none, 0, 1, ready.middle[box], 1.0, buffers.apart_scratch.rounded,
        apart.step[0], apart.square[0], apart.lost[0],
    )  # fmt: skip
    between, unit, missing = apart.square[0, 0], apart.step[0, 0], apart.lost[0, 0]
    multiply(pairs, apart.pairs[0], buffers.none, 1, buffers.sums)
    far = root_above(between)
    fixed = missing * radius + (far + missing) * rest
    for place in range(LANES):
        own, loss = root_above(square[place]), lost[place]
        norm = square[place] + between + 2 * step[place] * unit * buffers.sums[0, place]
        turned = loss * far + (own + loss) * missing
        error = fixed + turned + loss * radius + (own + loss) * rest
        length = own + far + radius
        rounding = (m + 64) * UNIT * length * length
        error = 2 * error * (1 + 2.0**-30) + rounding
        buffers.less[place], buffers.spare[place] = norm - error, 2 * error
        gap = math.sqrt(max(norm - 2 * turned * (1 + 2.0**-30) - rounding, 0.0)) * (1 - 2.0**-30) - radius
        buffers.gaps[place] = gap * gap * (1 - 2.0**-30) if gap > 0 else 0.0


@uncounted
def set_columns(ready, strip, buffers):
    """Set ``terms``, what the points of a strip add to the bounds, after `set_rows`."""
    apart = buffers.apart
    multiply(ready.pairs[strip], apart.pairs[0], buffers.none, 1, buffers.sums)
    twice = 2 * apart.step[0, 0]
    for k in range(LANES):
        buffers.terms[k] = ready.square[strip, k] - twice * ready.step[strip, k] * buffers.sums[0, k]


@uncounted
def set_bounds(row, place, steps, strip, ready, buffers):
    """Set ``values`` for the row at ``place``, whose products are the ``row``-th."""
    less, twice = buffers.less[place], 2 * steps[place]
    for k in range(LANES):
        buffers.values[k] = less + buffers.terms[k] - twice * ready.step[strip, k] * buffers.sums[row, k]


@uncounted
def set_differences(at, scale, rows, begin, first, start, end, filled, buffers):
    """Set ``exact`` for `TOGETHER` rows, ``rows[begin + todo[first + r]]``, and the points ``start`` to ``end``.

    By differences. Unless ``filled``, the points are first transposed.
    """
    columns, mine, m = buffers.columns, buffers.mine, at.shape[1]
    if not filled:
        for place in range(LANES):
            columns[0, place] = np.nan
        for place in range(end - start):
            for k in range(m):
                columns[k, place] = float(at[start + place, k]) * scale
    for side in range(TOGETHER):
        x = rows[begin + buffers.todo[first + side]]
        for k in range(m):
            mine[k, side] = float(at[x, k]) * scale
    squares_of_strip(columns, mine, buffers.sides, 0, 0, buffers.exact)


@uncounted
def set_exact(side, m, buffers):
    """Set ``values`` to lower bounds of the squares in ``exact`` of a row; returns what these may be too small by."""
    error, most = (m + 16) * UNIT, 0.0
    for k in range(LANES):
        square = buffers.exact[side, k]
        most = max(most, square)
        buffers.values[k] = square * (1 - error)
    return 2 * error * most


@uncounted
def square_of(root):
    """What a lower bound of a square is at most, for a distance of at most ``root``."""
    return (root + LEAST) * (root + LEAST) * (1 + 2.0**-40)


@uncounted
def lowest(square):
    """Lower bound of the distance whose square is at least ``square``."""
    return max(math.sqrt(max(square, 0.0)) * (1 - 2.0**-40) - LEAST, 0.0)


@uncounted
def highest(square, spare):
    """Upper bound of the distance whose square is at most ``square + spare``."""
    return math.sqrt(max(square + spare, 0.0)) * (1 + 2.0**-40) + LEAST


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use this one."""
    return sys.modules[__name__], *strips.modules()
