"""Squared distances of all centroids, for the nearest-neighbour chain of clusters with many features.

A row of dissimilarities is read here, where computing it takes m operations for each cluster, and the row of a union
follows from those of its parts (Lance-Williams). Values are in single precision, with a bound of their error
(docs/summaries-exactness.md): what may be near by them is computed as ever, so no result depends on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit
from gpuclust.core.jit import compiled, run, uncounted
from gpuclust.core.sizes import SQUARE, WIDE
from gpuclust.kernels.cpu.space import simd
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, products_of_strip

#: Relative error of a value for each union in its two clusters: eight units of single precision.
STEP = 2.0**-21
#: Largest power of two by which coordinates are multiplied, or divided: squares of these have to be normal numbers.
EXPONENT = 400


class Squares(NamedTuple):
    """Squared distances of clusters, in units in which no coordinate exceeds one.

    A value S and the distance D of clusters x and y, of l and k unions since the start of the chain, differ by
    ``away[x] + away[y] + (l + k + 1) * STEP * D`` at most.

    Attributes
    ----------
    values : ndarray of shape (n, n), float32
    away : ndarray of shape (n,), float64
    units : ndarray of shape (4,), float64
        The factor of squares, its inverse, what ``away`` grows by with each union at least, and the most it is.
    """

    values: np.ndarray
    away: np.ndarray
    units: np.ndarray


def none() -> Squares:
    """In place of squares where there are none."""
    return Squares(np.empty((0, 0), np.float32), np.empty(0), np.empty(4))


def fits(n: int, m: int, merged: int, width: int) -> bool:
    """Whether squares are stored for n clusters of m features: in what merged clusters have left of both parts."""
    return m >= WIDE and (n <= SQUARE or 4 * n * n <= 2 * merged * m * width)


def squares_of(centers: np.ndarray, low: np.ndarray) -> Squares | None:
    """The squared distances of centroids in two parts; None if they cannot be scaled.

    n² m / 2 operations, on all threads.
    """
    (n, m), eps = centers.shape, float(np.finfo(centers.dtype).eps)
    exponent = -int(np.frexp(max(centers.max(), -centers.min()))[1])
    if abs(exponent) > EXPONENT:
        return None
    boxes = -(-n // LANES)
    features = np.zeros((boxes, m, LANES))
    for start in range(0, n, LANES):
        rows = slice(start, min(start + LANES, n))
        box = features[start // LANES, :, : rows.stop - start]
        np.add(centers[rows].T, low[rows].T, out=box, dtype=np.float64)
        np.ldexp(box, exponent, out=box)
    norms = np.einsum("bkj,bkj->bj", features, features)
    values = np.empty((n, n), np.float32)
    places = np.arange(LANES)
    run(fill_kernel(), [(features, norms, values, mine, places) for mine in range(boxes)], _buffer)
    far, scale = float(norms.max()), 2.0 ** (2 * exponent)
    away = np.full(n, (4 * m + 64) * np.finfo(np.float64).eps * far)
    more = 64 * eps * eps * far + float(np.finfo(centers.dtype).smallest_subnormal) * (2 * m + 8) * scale
    return Squares(values, away, np.array([scale, 1 / scale, more, away[0]]))


def _buffer() -> tuple[np.ndarray]:
    return (np.empty((TOGETHER, LANES)),)


@cache
def fill_kernel() -> Callable[..., Any]:
    """Squared distances of the points of a box to those of this and all later boxes, for both."""
    stamp = jit.stamp(simd)

    @compiled
    def fill_squares(features, norms, values, mine, places, four):
        stamp  # noqa: B018
        n, x0 = values.shape[0], mine * LANES
        for box in range(mine, features.shape[0]):
            y0 = box * LANES
            for first in range(0, min(LANES, n - x0), TOGETHER):
                products_of_strip(features[box], features[mine], places, first, 0, norms[box], norms[mine], four)
                for side in range(min(TOGETHER, n - x0 - first)):
                    for k in range(min(LANES, n - y0)):
                        value = np.float32(max(four[side, k], 0.0))
                        values[x0 + first + side, y0 + k] = value
                        values[y0 + k, x0 + first + side] = value

    return fill_squares


@uncounted
def lower(squares, level, x, y):
    """A lower bound of the squared distance of two clusters, in the units of the centroids."""
    values, away, units = squares
    least = max(values[x, y] - away[x] - away[y], 0.0) * units[1]
    return least * (1 - (level[x] + level[y] + 2) * STEP)


@uncounted
def unite_squares(squares, level, most_level, a, b, sa, sb, square, relative):
    """Put the union of a and b, of these sizes and squared distance, into the row and the column of a.

    ``relative`` is the error of the squared distance; ``level`` is as before the union.
    """
    values, away, units = squares
    share = sa / (sa + sb)
    part = share * (1 - share) * (square * units[0])
    steps = max(level[a], level[b]) + most_level + 2
    away[a] = max(away[a], away[b]) + (steps * STEP + relative) * part + units[2] + STEP * units[3]
    units[3] = max(units[3], away[a])
    ours, theirs = values[a], values[b]
    mine, rest, less, zero = np.float32(share), np.float32(1 - share), np.float32(part), np.float32(0)
    for k in range(ours.size):
        ours[k] = max(mine * ours[k] + rest * theirs[k] - less, zero)
    for k in range(ours.size):
        values[k, a] = ours[k]
