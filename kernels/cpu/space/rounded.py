"""Bounds of squared distances of centroids in two parts (`gpuclust.core.centroids`) from those of rounded ones.

The error of a cluster is the sum of the absolute values of its ``low`` parts, an upper bound of the distance of its
rounded centroid from the true one. For two clusters whose errors add up to e, the distances r of the rounded and p
of the true centroids differ by e at most, so that ``r² <= (p + e)² <= p² (1 + t) + e² (1 + 1 / t)`` for every t > 0,
and the same with r and p exchanged. Both are computed with a relative error of about (m + 4) eps, which t includes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.jit import named, uncounted


class Bounds(NamedTuple):
    """Functions for compiled code.

    Attributes
    ----------
    factors : ``factors(m)``: three numbers for ``farther``, for m features.
    farther : ``farther(square, error, factors)``: what the squared distance of two clusters with errors of this sum
        is at most, rounded if ``square`` is the one of both parts, or the other way round. No error: ``square``.
    """

    factors: Callable[..., Any]
    farther: Callable[..., Any]


@cache
def bounds(dtype: np.dtype) -> Bounds:
    number = np.dtype(dtype).type
    zero, one, four, least = number(0), number(1), number(4), np.finfo(dtype).tiny
    share, rounding = number(2.0**-20), number(8 * np.finfo(dtype).eps)

    @uncounted
    @named(dtype)
    def factors(m):
        t = share + rounding * number(m + 16)  # a quarter of it for rounding, half for the inequality
        return one + t, four / t, least * number(m)  # the last for squares that underflow

    @uncounted
    @named(dtype)
    def farther(square, error, factors):
        if error == zero:
            return square
        return square * factors[0] + (error * error * factors[1] + factors[2])

    return Bounds(factors, farther)
