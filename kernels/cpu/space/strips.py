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
from gpuclust.kernels.cpu.space.boxes import Boxes
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


def empty(count: int, m: int, width: int = LANES) -> tuple[Strip, np.ndarray]:
    """Strips to be filled, and the features in their pairs: (count, pairs, width, 2), int16, the same memory."""
    features = np.zeros((count, (m + 1) // 2, width, 2), np.int16)
    shape = count, width
    strip = Strip(features.view(np.int32)[..., 0], np.zeros(shape), np.full(shape, np.nan), np.zeros(shape))
    return strip, features


def strips(tree: Boxes, spread: bool) -> Strips:
    """Prepare the leaves of a tree for products; ``other`` is the scatter if ``spread``, otherwise the size."""
    n, m = tree.centers.shape
    count = tree.starts.size - 1
    across = -(-int(np.diff(tree.starts).max()) // LANES)
    largest = max(float(np.abs(tree.low[0]).max()), float(np.abs(tree.high[0]).max()))
    scale = 2.0 ** min(-math.frexp(max(largest, float(np.finfo(np.float64).tiny)))[1], 1021)
    own, features = empty(count * across, m)
    ready = Strips(
        *own,
        np.zeros(own.step.shape),
        np.full(count, np.inf),
        np.zeros((count, m)),
        np.zeros(count),
        np.zeros(count),
        tree.starts,
        scale,
    )
    kernel = _strips_kernel(tree.centers.dtype)
    run(kernel, [(tree[:3], ready, features, np.arange(n), spread, box) for box in range(count)])
    return ready


@cache
def _strips_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(boxes)

    @compiled
    @named(dtype)
    def make_strips(points, ready, features, everyone, spread, box):
        stamp  # noqa: B018
        at, size, scatter = points
        _, step, square, lost, other, least, middle, radius, rest, starts, scale = ready
        left, right = starts[box], starts[box + 1]
        across = step.shape[0] // (starts.size - 1)
        mean_of(at, everyone, left, right, scale, middle[box])
        for start in range(left, right, LANES):
            strip, count = box * across + (start - left) // LANES, min(LANES, right - start)
            round_rows(
                at,
                everyone,
                start,
                count,
                middle[box],
                scale,
                features[strip],
                step[strip],
                square[strip],
                lost[strip],
            )
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
def round_rows(at, rows, begin, count, middle, scale, features, step, square, lost):
    """Round ``at[rows[begin : begin + count]]``, relative to ``middle``, to the columns of a strip; see `Strip`."""
    m = middle.size
    short = NORM - 1 - math.sqrt(m) / 2
    for place in range(count):
        x = rows[begin + place]
        total = most = 0.0
        for k in range(m):
            d = float(at[x, k]) * scale - middle[k]
            total += d * d
            most = max(most, abs(d))
        length = max(math.sqrt(total) / short, most / LARGEST)
        length = length if length > LEAST else LEAST
        rest, times = 0.0, 1.0 / length
        for k in range(m):
            d = float(at[x, k]) * scale - middle[k]
            whole = np.rint(d * times)
            features[k // 2, place, k % 2] = np.int16(whole)
            left = d - whole * length
            rest += left * left
        step[place], square[place] = length, total
        lost[place] = root_above(rest) + UNIT * math.sqrt(total) + LEAST


@uncounted
def root_above(square):
    """Upper bound of the root of a sum of squares that was computed in double precision."""
    return math.sqrt(square) * (1 + 2.0**-30) + LEAST


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use this one."""
    return sys.modules[__name__], simd, boxes
