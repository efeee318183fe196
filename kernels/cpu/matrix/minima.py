"""Searches of rows of a matrix for their minima, by strips of `STRIP` columns, or columns of tiles.

`nearest_of` reads a row. `nearest_by` reads what lower bounds leave, one for each row and strip. A row and its column
change by a union only, which lowers the bounds of the strip that it is in (`lower`); those of a cluster that merges
are too low from then on, no more. So a search begins with the strip of the lowest bound, and reads others only if
their bounds are as low as what it found: one or two of them. Rows of up to `WHOLE` columns are in cache, and have no
bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core.jit import named, uncounted
from gpuclust.core.sizes import STRIP, WHOLE
from gpuclust.kernels.cpu.space.simd import LEAST, least_sum


@uncounted
def least_of(row, gone, begin, end):
    """The least of ``row[k] + gone[k]``, begin <= k < end."""
    if end - begin >= LEAST:
        return least_sum(row, gone, begin, end)
    best = row.dtype.type(np.inf)
    for k in range(begin, end):
        value = row[k] + gone[k]
        best = value if value < best else best
    return best


@uncounted
def place_in(row, gone, ids, begin, end, best, place):
    """The place of ``best`` in a part of a row, if its id is smaller than that at ``place`` (-1: none); or that."""
    for start in range(begin, end, LEAST):
        values = row[start : min(start + LEAST, end)]
        away = gone[start : start + values.size]
        hits = 0
        for k in range(values.size):
            hits += values[k] + away[k] == best
        if hits > 0:
            for k in range(values.size):
                if values[k] + away[k] == best and (place < 0 or ids[start + k] < ids[place]):
                    place = start + k
    return place


@uncounted
def nearest_of(row, gone, ids, least):
    """The least dissimilarity of a row and its place: of equal ones that of the smallest id; -1 if all are infinite.

    ``gone`` is infinite where no cluster is, 0 elsewhere; ``least`` has room for the minima of all strips.
    """
    best = infinity = row.dtype.type(np.inf)
    count = (row.size + STRIP - 1) // STRIP
    for strip in range(count):
        least[strip] = least_of(row, gone, strip * STRIP, min((strip + 1) * STRIP, row.size))
        best = least[strip] if least[strip] < best else best
    place = -1
    if best < infinity:
        for strip in range(count):
            if least[strip] == best:
                place = place_in(row, gone, ids, strip * STRIP, min((strip + 1) * STRIP, row.size), best, place)
    return best, place


@uncounted
def lowest(bound, x, count):
    """The strip, of ``count``, of the lowest bound of row x."""
    strip, low = 0, bound[0, x]
    for k in range(1, count):
        strip = k if bound[k, x] < low else strip
        low = bound[k, x] if bound[k, x] < low else low
    return strip


@cache
def nearest_by(
    name: str, least_in: Callable[..., Any], found_in: Callable[..., Any]
) -> Callable[..., tuple[float, int]]:
    """The function ``search(source, gone, ids, bound, x, count)``, for compiled code.

    Returns what `nearest_of` does, for row x, which has ``count`` strips. Strips whose bounds are above the minimum
    are not read; the bounds of those that are read are raised to what they hold.

    Parameters
    ----------
    name : str
        A name of the compiled function.
    least_in : ``least_in(source, gone, x, strip)``: the least dissimilarity in a strip of row x.
    found_in : ``found_in(source, gone, ids, x, strip, best, place)``: as `place_in`, in a strip of row x.
    """

    @uncounted
    @named(name)
    def search(source, gone, ids, bound, x, count):
        first = lowest(bound, x, count)
        best = least_in(source, gone, x, first)
        bound[first, x] = best
        for strip in range(count):
            if strip != first and bound[strip, x] <= best:
                found = least_in(source, gone, x, strip)
                bound[strip, x] = found
                best = found if found < best else best
        place = -1
        if best < gone.dtype.type(np.inf):
            for strip in range(count):
                if bound[strip, x] == best:
                    place = found_in(source, gone, ids, x, strip, best, place)
        return best, place

    return search


@uncounted
def _least_in_row(row, gone, x, strip):
    return least_of(row, gone, strip * STRIP, min((strip + 1) * STRIP, row.size))


@uncounted
def _place_in_row(row, gone, ids, x, strip, best, place):
    return place_in(row, gone, ids, strip * STRIP, min((strip + 1) * STRIP, row.size), best, place)


#: `nearest_by` where ``source`` is the row itself.
nearest_in_row = nearest_by("row", _least_in_row, _place_in_row)


@uncounted
def lower(bound, strip, row, begin, end):
    """Lower the bounds of rows begin..end-1 for a strip by what a row of it says."""
    low, values = bound[strip, begin:end], row[begin:end]
    for k in range(values.size):
        low[k] = values[k] if values[k] < low[k] else low[k]


@uncounted
def take_row(row, none, i, bound):
    """Take the dissimilarities of row i to later ones into the bounds of both; ``none`` is zero."""
    n = bound.shape[1]
    if n <= WHOLE:
        return
    lower(bound, i // STRIP, row, i + 1, n)
    for strip in range((i + 1) // STRIP, (n + STRIP - 1) // STRIP):
        found = least_of(row, none, max(i + 1, strip * STRIP), min((strip + 1) * STRIP, n))
        bound[strip, i] = found if found < bound[strip, i] else bound[strip, i]


@uncounted
def bound_strips(row, gone, x, bound):
    """Set the bounds of row x to what it holds."""
    for strip in range((row.size + STRIP - 1) // STRIP):
        bound[strip, x] = least_of(row, gone, strip * STRIP, min((strip + 1) * STRIP, row.size))
