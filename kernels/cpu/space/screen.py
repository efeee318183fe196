"""Screening of squared distances in single precision: the points of a box that may be near enough to several rows.

In many dimensions few boxes can be skipped, and the time per pair decides. So a box of some hundred points is
compared in single precision, relative to its middle, with all sums in registers. Pairs that are near enough, given a
proven bound of the error, are then computed and compared in full: the result is the same to the last bit.

The bound. Coordinates are scaled so that those of the box, relative to its middle, are about one at most: each box
has its own scale, so that one very large number does not make all others underflow. Their relative error is eps / 2,
and that of a row's coordinates is relative to its distance and the box's radius: so distances, as roots, have an
error of eps times the radius and a relative error of eps, in both directions. A sum of m squares has a relative error
of (m + 2) eps. Twice all that is allowed for. A row that overflows in single precision is infinitely far; if its
limit is infinite as well, double precision decides.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit
from gpuclust.core.jit import compiled, named, ranges, run, uncounted
from gpuclust.core.sizes import WIDE
from gpuclust.kernels.cpu.space import boxes, simd
from gpuclust.kernels.cpu.space.boxes import Boxes
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER

#: Features of a box that fit the first-level cache, and how much longer a pair takes with more.
FEATURES, BEYOND = 10240, 1.25
#: With `WIDE` features or more: what is done for a row and a box takes as long as this many pairs (30 to 110 were
#: measured with 64 to 768 features), and the fewest boxes, half of which are pieces of work at the same time.
ROW, FEWEST = 48, 16
#: Largest number of points in a box.
MOST = 512
#: Number of pairs times features that are screened in one call, about 0.2 s.
PIECE = 1 << 30
#: Largest exponent of the scale of a box relative to that of all points.
ZOOM = 200
#: Number of coordinates below which one thread does all the work.
SMALL = 1 << 17
_EPS = float(np.finfo(np.float32).eps)


def box_size(n: int, m: int) -> int:
    """Largest number of points in a box such that few of `LANES` are idle and the work of a pair is least.

    Points of few features are compared by differences, and a box of them should fit the cache. Of `WIDE` features or
    more they are compared by products, of strips of a box, and what counts is what is done for a row and a box. With
    very many features boxes are smaller, since two boxes are compared in one piece of work.
    """

    def cost(count: int) -> float:
        width = -(-count // LANES) * LANES
        if m >= WIDE:
            return width / count * (1 + ROW / count)
        return width / count * (BEYOND if width * m > FEATURES else 1.0)

    shortest = max(0, (n - 1).bit_length() - 6)
    sizes = [-(-n >> depth) for depth in range(shortest + 1)]
    most = MOST if m < WIDE else min(MOST, max(LANES, -(-n // FEWEST)))
    return min([size for size in sizes if size <= most and size * size * m <= PIECE] or sizes[-1:], key=cost)


def rows_a_piece(n: int, m: int, most: int) -> int:
    """Rows compared with ``n`` points by one piece of work: ``most``, or fewer where that would take long."""
    return max(TOGETHER, min(most, PIECE // (n * m)))


class Screen(NamedTuple):
    """Boxes of points prepared for screening: scaled, relative to the middle of the box, in single precision.

    Attributes
    ----------
    features : ndarray of shape (boxes, m, points a box rounded up to LANES), float32
        In the scale of the box, like all arrays in single precision. The first feature is NaN where there is no
        point.
    other : ndarray of shape (boxes, points a box rounded up), float32
        The second quantity in a linkage's dissimilarity: sizes or scatter.
    least : ndarray of shape (boxes,), float32
        The smallest of them.
    middle : ndarray of shape (boxes, m)
    extent : ndarray of shape (boxes, m), float32
        The largest absolute feature.
    radius : ndarray of shape (boxes,), float64
        Largest distance of the points from the middle, in the scale of the box.
    starts : ndarray of shape (boxes + 1,), int64
        The first point of each box.
    scale : float
        A power of two that makes the largest coordinate of all about one.
    factor : ndarray of shape (boxes,)
        The scale of each box: a power of two that makes the largest of its features about one.
    zoom : ndarray of shape (boxes,), float64
        Ratio of `factor` to the scale of all points.
    """

    features: np.ndarray
    other: np.ndarray
    least: np.ndarray
    middle: np.ndarray
    extent: np.ndarray
    radius: np.ndarray
    starts: np.ndarray
    scale: Any
    factor: np.ndarray
    zoom: np.ndarray


def screen(tree: Boxes, spread: bool) -> Screen:
    """Prepare the leaves of a tree for screening; ``other`` is the scatter if ``spread``, otherwise the size."""
    n, m = tree.centers.shape
    dtype = tree.centers.dtype
    count = tree.starts.size - 1
    most = int(np.diff(tree.starts).max())
    width = (most + LANES - 1) // LANES * LANES
    largest = max(float(np.abs(tree.low[0]).max()), float(np.abs(tree.high[0]).max()))
    most_exponent = np.finfo(dtype).maxexp - 2
    exponent = min(-math.frexp(max(largest, float(np.finfo(np.float64).tiny)))[1], most_exponent)
    exponents = np.clip(-np.frexp(_widths(tree))[1], exponent, min(exponent + ZOOM, most_exponent))
    ready = Screen(
        np.zeros((count, m, width), np.float32),
        np.zeros((count, width), np.float32),
        np.empty(count, np.float32),
        np.empty((count, m), dtype),
        np.zeros((count, m), np.float32),
        np.empty(count),
        tree.starts,
        dtype.type(2.0**exponent),
        np.ldexp(dtype.type(1), exponents),
        np.ldexp(1.0, exponents - exponent),
    )
    run(_ready_kernel(dtype), [(tree, ready, spread, *piece) for piece in ranges(count, 8)], threads=n * m > SMALL)
    return ready


def _widths(tree: Boxes) -> np.ndarray:
    """The largest feature of each leaf, relative to its middle; at least the last bit of its coordinates."""
    leaves = tree.starts.size - 1
    low, high = tree.low[-leaves:], tree.high[-leaves:]
    empty = np.diff(tree.starts) == 0
    with np.errstate(invalid="ignore"):
        half = high / 2 - low / 2
    last = np.maximum(abs(low), abs(high)) * np.finfo(low.dtype).eps
    widest = np.maximum(half, last).max(axis=1, initial=0).astype(np.float64)
    return np.where(empty, 1.0, np.maximum(widest, np.finfo(np.float64).tiny))


@cache
def _ready_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(boxes)
    half = dtype.type(0.5)

    @compiled
    @named(dtype)
    def make_ready(tree, ready, spread, first, end):
        stamp  # noqa: B018
        at, size, scatter, low, high, _, _, starts = tree
        features, other, least, middle, extent, radius, _, _, factor, _ = ready
        m = at.shape[1]
        leaves = starts.size - 2
        for box in range(first, end):
            left, right, scale = starts[box], starts[box + 1], factor[box]
            for k in range(m):
                middle[box, k] = low[leaves + box, k] * half + high[leaves + box, k] * half if left < right else 0
            most = 0.0
            least[box] = np.inf
            for place in range(left, right):
                total = 0.0
                for k in range(m):
                    d = np.float32((at[place, k] - middle[box, k]) * scale)
                    features[box, k, place - left] = d
                    extent[box, k] = max(extent[box, k], abs(d))
                    total += float(d) * float(d)
                most = max(most, total)
                value = np.float32(scatter[place] * scale * scale if spread else size[place])
                other[box, place - left] = value
                least[box] = min(least[box], value)
            radius[box] = np.sqrt(most) * 1.001
            for place in range(right - left, features.shape[2]):
                features[box, 0, place] = np.nan

    return make_ready


@uncounted
def approach(group, middle, extent, scale, ours, gaps):
    """Rows (m, rows) relative to the middle of a box, and lower bounds of their squared distances to the box.

    In the scale of the box: ``scale``.
    """
    nothing = np.float32(0)
    for place in range(gaps.size):
        gaps[place] = nothing
    for k in range(group.shape[0]):
        theirs, mine, zero, most = group[k], ours[k], middle[k], extent[k]
        for place in range(gaps.size):
            d = np.float32((theirs[place] - zero) * scale)
            mine[place] = d
            d = abs(d) - most
            d = d if d > nothing else nothing
            gaps[place] += d * d
    lessened = np.float32(1 - _EPS * (group.shape[0] + 16))
    for place in range(gaps.size):
        gaps[place] *= lessened


@uncounted
def threshold(root, error, m):
    """Upper bound of a screened square, for a distance of at most ``root``; ``error`` is twice eps radii."""
    return np.float32((root + error) * (root + error) * (1 + _EPS * (2 * m + 32)) + 1e-36)


@uncounted
def root_of(most, lost, own, scale):
    """Scaled root of the upper bound of a square in exact arithmetic, for a computed dissimilarity of ``most``.

    ``lost`` bounds the loss by underflow, and ``own`` is the part of the dissimilarity that is not the square.
    """
    rest = (float(most) + lost) * (1 + 16 * _EPS)
    return np.sqrt(max(rest - own, 0.0)) * (scale * (1 + _EPS))


@uncounted
def out_of_reach(group, place, middle, extent, scale, zoom, root):
    """Whether column ``place`` of a group of rows is farther from a box than ``root``, in double precision.

    For rows that overflow in single precision in the scale of the box; ``scale`` is that of all points.
    """
    total = 0.0
    for k in range(group.shape[0]):
        gap = abs(float(group[k, place]) - float(middle[k])) * float(scale) - extent[k] * (1 + 4 * _EPS) / zoom
        gap = max(gap, 0.0)
        total += gap * gap
    return np.sqrt(total) * (1 - _EPS * (group.shape[0] + 16)) > root


@uncounted
def bounded(square, error, m):
    """Upper bound of the distance whose screened square is ``square``: the inverse of `threshold`."""
    return np.sqrt(float(square)) * (1 + _EPS * (m + 16)) + error


@uncounted
def smallest(lowest, few):
    """Keep the smallest values of ``lowest`` in ``few``, sorted; infinite where there are fewer."""
    for k in range(few.size):
        few[k] = np.inf
    last = few.size - 1
    for k in range(lowest.size):
        value = lowest[k]
        at = last
        if value < few[at]:
            while at > 0 and value < few[at - 1]:
                few[at] = few[at - 1]
                at -= 1
            few[at] = value


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use this one."""
    return sys.modules[__name__], simd, boxes
