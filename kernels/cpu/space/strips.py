"""Points of boxes rounded to 16-bit integers, in strips of `LANES` points, for matrix products of integers.

Each point is rounded, relative to the mean of its box, to integers times a step of its own. What is rounded away has
a known norm. All lengths are in a scale in which the largest coordinate is about one, in double precision.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit
from gpuclust.core.jit import compiled, named, run, uncounted
from gpuclust.kernels.cpu.space import boxes, simd
from gpuclust.kernels.cpu.space.simd import LANES

#: Largest integer, and largest norm of a row of integers: products of two rows, and any part of them, fit 32 bits.
LARGEST, NORM = 32766, 46340
#: Relative error of float64 operations, twice over, and a length of which squares do not underflow.
UNIT, LEAST = 2.0**-52, 2.0**-500


class Strip(NamedTuple):
    """`LANES` points as integers times a step, relative to a middle; or several strips, along the first axis.

    Attributes
    ----------
    pairs : ndarray of shape (pairs of features, LANES), int32
        Two features in 16 bits each. Zero for what is missing.
    step : ndarray of shape (LANES,), float64
    square : ndarray of shape (LANES,), float64
        Squared norms before rounding; NaN where there is no point.
    lost : ndarray of shape (LANES,), float64
        Upper bounds of the norms of what was rounded away.
    """

    pairs: np.ndarray
    step: np.ndarray
    square: np.ndarray
    lost: np.ndarray


class Strips(NamedTuple):
    """Boxes of points prepared for products, in strips of `LANES`; each box has as many.

    Attributes
    ----------
    pairs, step, square, lost : ndarray of shape (strips, ...)
        See `Strip`.
    other : ndarray of shape (strips, LANES), float64
        The second quantity in a linkage's dissimilarity: sizes or scatter; the latter in the scale of lengths.
    least : ndarray of shape (boxes,), float64
        The smallest of them.
    middle : ndarray of shape (boxes, m), float64
    radius, rest : ndarray of shape (boxes,), float64
        The largest norm of the points of a box, and of what was rounded away.
    starts : ndarray of shape (boxes + 1,), int64
        The first point of each box.
    scale : float
        A power of two: lengths are in units of its inverse.
    """

    pairs: np.ndarray
    step: np.ndarray
    square: np.ndarray
    lost: np.ndarray
    other: np.ndarray
    least: np.ndarray
    middle: np.ndarray
    radius: np.ndarray
    rest: np.ndarray
    starts: np.ndarray
    scale: float


class Scratch(NamedTuple):
    """Rounded rows before they are transposed to a strip: the same memory as (rows, 2 pairs), int16, and by pairs."""

    rounded: np.ndarray
    pairs: np.ndarray


def empty(count: int, m: int, width: int = LANES) -> Strip:
    """Strips to be filled."""
    shape = count, width
    pairs = np.zeros((count, (m + 1) // 2, width), np.int32)
    return Strip(pairs, np.zeros(shape), np.full(shape, np.nan), np.zeros(shape))


def scratch(m: int, rows: int = LANES) -> Scratch:
    """Scratch for rows of m features."""
    rounded = np.zeros((rows, m + m % 2), np.int16)
    return Scratch(rounded, rounded.view(np.int32))


def strips(points: tuple[np.ndarray, ...], starts: np.ndarray, largest: float, spread: bool) -> Strips:
    """Prepare points in boxes for products; ``other`` is the scatter if ``spread``, otherwise the size.

    ``points`` are their coordinates, (n, m), none of which is larger than ``largest``, their sizes and their scatter;
    boxes begin at the points ``starts``.
    """
    n, m = points[0].shape
    count = starts.size - 1
    across = -(-int(np.diff(starts).max()) // LANES)
    scale = 2.0 ** min(-math.frexp(max(largest, float(np.finfo(np.float64).tiny)))[1], 1021)
    own = empty(count * across, 0)._replace(pairs=np.empty((count * across, (m + 1) // 2, LANES), np.int32))
    ready = Strips(
        *own,
        np.zeros(own.step.shape),
        np.full(count, np.inf),
        np.zeros((count, m)),
        np.zeros(count),
        np.zeros(count),
        starts,
        scale,
    )
    kernel = _strips_kernel(points[0].dtype)
    pieces = [(points, ready, np.arange(n), spread, box) for box in range(count)]
    run(kernel, pieces, lambda: (scratch(m),))
    return ready


@cache
def _strips_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(boxes)

    @compiled
    @named(dtype)
    def make_strips(points, ready, everyone, spread, box, scratch):
        stamp  # noqa: B018
        at, size, scatter = points
        pairs, step, square, lost, other, least, middle, radius, rest, starts, scale = ready
        left, right = starts[box], starts[box + 1]
        across = step.shape[0] // (starts.size - 1)
        mean_of(at, everyone, left, right, scale, middle[box])
        for start in range(left, right, LANES):
            strip, count = box * across + (start - left) // LANES, min(LANES, right - start)
            own = pairs[strip], step[strip], square[strip], lost[strip]
            round_strip(at, everyone, start, count, middle[box], scale, scratch, own)
            for k in range(pairs.shape[1]):
                for place in range(count, LANES):
                    pairs[strip, k, place] = 0
            for place in range(count):
                radius[box] = max(radius[box], root_above(square[strip, place]))
                rest[box] = max(rest[box], lost[strip, place])
                value = float(scatter[start + place]) * scale * scale if spread else float(size[start + place])
                other[strip, place] = value
                least[box] = min(least[box], value)

    return make_strips


@uncounted
def mean_of(at, rows, begin, end, scale, middle):
    """The mean of the rows ``at[rows[begin:end]]``; zero of none."""
    for k in range(middle.size):
        middle[k] = 0.0
    for place in range(begin, end):
        x = rows[place]
        for k in range(middle.size):
            middle[k] += float(at[x, k]) * scale
    for k in range(middle.size):
        middle[k] /= max(end - begin, 1)


@uncounted
def round_strip(at, rows, begin, count, middle, scale, scratch, strip):
    """Round ``at[rows[begin : begin + count]]``, relative to ``middle``, to the columns of a strip."""
    pairs, step, square, lost = strip
    round_rows(at, rows, begin, count, middle, scale, scratch.rounded, step, square, lost)
    for k in range(pairs.shape[0]):
        for place in range(count):
            pairs[k, place] = scratch.pairs[place, k]


@uncounted
def round_rows(at, rows, begin, count, middle, scale, rounded, step, square, lost):
    """Round ``at[rows[begin : begin + count]]``, relative to ``middle``; see `Strip`."""
    m = middle.size
    even, short = m // 4 * 4, NORM - 1 - math.sqrt(m) / 2
    for place in range(count):
        own = at[rows[begin + place]]
        # Four sums and four maxima: each of these operations waits for the last one with the same result.
        a = b = c = d = f = g = h = most = 0.0
        for k in range(0, even, 4):
            p, q = float(own[k]) * scale - middle[k], float(own[k + 1]) * scale - middle[k + 1]
            r, s = float(own[k + 2]) * scale - middle[k + 2], float(own[k + 3]) * scale - middle[k + 3]
            a, b, c, d = a + p * p, b + q * q, c + r * r, d + s * s
            f, g, h, most = max(f, abs(p)), max(g, abs(q)), max(h, abs(r)), max(most, abs(s))
        for k in range(even, m):
            p = float(own[k]) * scale - middle[k]
            a, f = a + p * p, max(f, abs(p))
        total, most = (a + b) + (c + d), max(max(f, g), max(h, most))
        length = max(math.sqrt(total) / short, most / LARGEST, LEAST)
        times = 1.0 / length
        for k in range(m):
            rounded[place, k] = np.int16(np.rint((float(own[k]) * scale - middle[k]) * times))
        a = b = c = d = 0.0
        for k in range(0, even, 4):
            p, q = float(own[k]) * scale - middle[k], float(own[k + 1]) * scale - middle[k + 1]
            r, s = float(own[k + 2]) * scale - middle[k + 2], float(own[k + 3]) * scale - middle[k + 3]
            p, q = p - rounded[place, k] * length, q - rounded[place, k + 1] * length
            r, s = r - rounded[place, k + 2] * length, s - rounded[place, k + 3] * length
            a, b, c, d = a + p * p, b + q * q, c + r * r, d + s * s
        for k in range(even, m):
            p = float(own[k]) * scale - middle[k] - rounded[place, k] * length
            a += p * p
        step[place], square[place] = length, total
        lost[place] = root_above((a + b) + (c + d)) + UNIT * math.sqrt(total) + LEAST


@uncounted
def root_above(square):
    """Upper bound of the root of a sum of squares that was computed in double precision."""
    return math.sqrt(square) * (1 + 2.0**-30) + LEAST


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use this one."""
    return sys.modules[__name__], simd, boxes
