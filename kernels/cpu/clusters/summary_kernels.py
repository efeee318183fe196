"""Kernels of matrix-free clusters (`gpuclust.kernels.cpu.clusters.summaries`): pairs, unions, and neighbour lists.

All comparisons are of dissimilarities computed from both parts of the centroids (`Pair.compared`), which are right to
a few units in the last place, however close two clusters are. Clusters are skipped by the first parts alone, with a
margin for the second (`Limits.loosened`).

The list of a cluster holds its nearest clusters by (dissimilarity, id), and comes with a limit: every cluster that is
not listed is at least that far, by the centroids in exact arithmetic. So a listed cluster below the limit comes
before all that are not listed, and that stays so when clusters merge. The dissimilarity of an unlisted cluster to a
union is bounded by the Lance-Williams update of the limits of its parts: it grows with both, and is monotone in the
size of the third cluster. The margins for rounding are derived in docs/summaries-exactness.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit, methods
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.space import four_rows, pairwise
from gpuclust.kernels.cpu.space.four_rows import squares_of_four


class Rows(NamedTuple):
    """Clusters by row, some of which may be no longer in use, and their lists (see `summaries.Summaries`).

    ``low`` may have no rows, as for `Pair`. All arrays are changed in place.
    """

    centers: np.ndarray
    low: np.ndarray
    size: np.ndarray
    scatter: np.ndarray
    ids: np.ndarray
    near: np.ndarray
    held: np.ndarray
    limit: np.ndarray


class Pair(NamedTuple):
    """Functions for compiled code; centroids are rows of ``centers``, (n, m), and of ``low``.

    As long as all second parts are zero, since nothing has merged, ``low`` may have no rows.

    Attributes
    ----------
    between : ``between(square, size, scatter, x, y)``: the dissimilarity, from the squared distance of two centroids.
    square : ``square(centers, low, x, y)``: that squared distance, from both parts of the centroids.
    compared : ``compared(centers, low, size, scatter, x, y)``: the dissimilarity, from both parts of the centroids;
        the same bits with x and y exchanged.
    compared_four : ``compared_four(centers, low, size, scatter, x, four, out)``: of x and four others, the same bits.
    join : ``join(centers, low, size, scatter, x, y)``: makes x the union in place, but for its size.
    reach : ``reach(size, largest)``: the most that a dissimilarity is of the square, for a cluster of this size.
    """

    between: Callable[..., Any]
    square: Callable[..., Any]
    compared: Callable[..., Any]
    compared_four: Callable[..., Any]
    join: Callable[..., Any]
    reach: Callable[..., Any]


def _square(square: Any, sa: Any, sb: Any) -> Any:
    """Substitute for the geometric form of a linkage that has none: the square itself."""
    return square


def _none(square: Any, va: Any, vb: Any, sa: Any, sb: Any) -> Any:
    """Substitute for the scatter of a linkage that has none; not called."""
    return va


def factor(method: Method) -> Callable[..., Any]:
    """The geometric form of a linkage, for compiled code; the square itself if it has none."""
    return jitable(method.geometric or _square)


def scatter_of(method: Method) -> Callable[..., Any]:
    """The scatter of a union, for compiled code; not called if a linkage has none."""
    return jitable(method.scatter or _none)


@cache
def pair_functions(method: Method, dtype: np.dtype) -> Pair:
    spread = method.scatter is not None
    geometric, scattered = factor(method), scatter_of(method)
    united, difference = jitable(centroids.united), jitable(centroids.difference)

    @uncounted
    @named(method.name, dtype)
    def between(square, size, scatter, x, y):
        return square + (scatter[x] + scatter[y]) if spread else geometric(square, size[x], size[y])

    @uncounted
    @named(method.name, dtype)
    def square(centers, low, x, y):
        total = centers.dtype.type(0)
        a, b = centers[x], centers[y]
        if low.shape[0] == 0:
            for k in range(a.size):
                d = a[k] - b[k]
                total += d * d
            return total
        rest_a, rest_b = low[x], low[y]
        for k in range(a.size):
            d = difference(a[k], rest_a[k], b[k], rest_b[k])
            total += d * d
        return total

    @uncounted
    @named(method.name, dtype)
    def compared(centers, low, size, scatter, x, y):
        return between(square(centers, low, x, y), size, scatter, x, y)

    @uncounted
    @named(method.name, dtype)
    def compared_four(centers, low, size, scatter, x, four, out):
        # A sum in the order of features waits for each addition: four at a time take less time than two.
        squares_of_four(centers, low, x, four, out)
        for side in range(4):
            out[side] = between(out[side], size, scatter, x, four[side])

    @uncounted
    @named(method.name, dtype)
    def join(centers, low, size, scatter, x, y):
        if spread:
            scatter[x] = scattered(square(centers, low, x, y), scatter[x], scatter[y], size[x], size[y])
        a, b = (x, y) if size[x] >= size[y] else (y, x)  # the larger one moves less, which rounds less
        sa, sb = size[a], size[b]
        for k in range(centers.shape[1]):
            centers[x, k], low[x, k] = united(centers[a, k], low[a, k], centers[b, k], low[b, k], sa, sb)

    @uncounted
    @named(method.name, dtype)
    def reach(size, largest):
        return geometric(centers_type(1), size, largest)

    centers_type = np.dtype(dtype).type
    return Pair(between, square, compared, compared_four, join, reach)


class Limits(NamedTuple):
    """Functions for compiled code. ``largest`` is what the size of no other cluster exceeds, now and in this step.

    Attributes
    ----------
    lowered : ``lowered(limit, center, size, largest, steps)``: the limit of a cluster less the error of that many
        roundings.
    slack : ``slack(center, size, largest)``: what `loosened` adds for a cluster.
    loosened : ``loosened(far, slack, m)``: if the dissimilarity of a pair is at most ``far``, this is at least the
        dissimilarity from the first parts of the two centroids alone, and the other way round.
    united : ``united(a, b, between, sa, sb, smallest, largest)``: the limit of a union, for all third clusters whose
        size lies between the smallest and the largest.
    """

    lowered: Callable[..., Any]
    slack: Callable[..., Any]
    loosened: Callable[..., Any]
    united: Callable[..., Any]


@cache
def limits(method: Method, dtype: np.dtype) -> Limits:
    reach, update = pair_functions(method, dtype).reach, jitable(method.update)
    number = np.dtype(dtype).type
    eps, denormal = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_subnormal)
    slack_of, growth = jitable(centroids.slack), jitable(centroids.growth)
    loosened_by = jitable(centroids.loosened)

    @uncounted
    @named(method.name, dtype)
    def length(center):
        total = 0.0
        for k in range(center.size):
            total += abs(center[k])
        return total

    @uncounted
    @named(method.name, dtype)
    def lowered(limit, center, size, largest, steps):
        m, factor = center.size, reach(size, largest)
        root = np.sqrt(float(limit)) * (1 - steps * eps * (64 + 2 * m))
        root -= 16 * steps * eps * eps * length(center) * np.sqrt(factor)
        if not root > 0:
            return number(0)
        rest = root * root - steps * denormal * (2 * m + 8) * (1 + factor)
        return number(max(rest * (1 - eps), 0.0))  # eps, in case that rounds up

    @uncounted
    @named(method.name, dtype)
    def slack(center, size, largest):
        return number(slack_of(length(center), float(reach(size, largest)), center.size, eps, denormal))

    @uncounted
    @named(method.name, dtype)
    def loosened(far, slack, m):
        return number(loosened_by(far, slack, growth(m, eps)))

    @uncounted
    @named(method.name, dtype)
    def united(a, b, between, sa, sb, smallest, largest):
        return min(update(a, b, between, sa, sb, smallest), update(a, b, between, sa, sb, largest))

    return Limits(lowered, slack, loosened, united)


@cache
def list_functions(dtype: np.dtype) -> Callable[..., Any]:
    """``insert(near, held, ids, y, value)``, for compiled code: y goes on a list unless it is there or too far."""

    @uncounted
    @named(dtype)
    def insert(near, held, ids, y, value):
        last = held.size - 1
        if not (value <= held[last] and value < np.inf):
            return
        at = last + 1
        while at > 0 and (
            near[at - 1] < 0 or value < held[at - 1] or (value == held[at - 1] and ids[y] < ids[near[at - 1]])
        ):
            at -= 1
        if at > last or (at > 0 and near[at - 1] == y):  # the same pair has the same dissimilarity
            return
        for entry in range(last, at, -1):
            held[entry] = held[entry - 1]
            near[entry] = near[entry - 1]
        held[at] = value
        near[at] = y

    return insert


class Kernels(NamedTuple):
    """The compiled functions of a round, for a linkage and a dtype."""

    unite: Callable[..., Any]
    carry: Callable[..., Any]


@cache
def kernels(method: Method, dtype: np.dtype) -> Kernels:
    pair = pair_functions(method, dtype)
    compared, compared_four, join = pair.compared, pair.compared_four, pair.join
    lowered, _, _, united = limits(method, dtype)
    stamp = jit.stamp(centroids, methods, pairwise, four_rows)

    @compiled
    @named(method.name, dtype)
    def unite(centers, low, size, scatter, first, second, begin, end):
        """Pairs of rows merge, in place, but for the sizes."""
        stamp  # noqa: B018
        for row in range(begin, end):
            if second[row] >= 0:
                join(centers, low, size, scatter, first[row], second[row])

    @compiled
    @named(method.name, dtype)
    def carry(
        centers,
        low,
        size,
        scatter,
        ids,
        first,
        second,
        place,
        between,
        old_size,
        smallest,
        largest,
        old_near,
        old_held,
        old_limit,
        near,
        held,
        limit,
        begin,
        end,
    ):
        """Lists and limits of the new rows ``begin`` to ``end - 1``, from those of their parts.

        ``place`` is the new row of each old one, and sizes lie between ``smallest`` and ``largest`` before and after.
        Entries that are not below the limit are removed, unless that would empty the list: its first entry then
        bounds how far the nearest cluster is.
        """
        stamp  # noqa: B018
        listed = near.shape[1]
        which = np.empty(2 * listed, near.dtype)
        values = np.empty(2 * listed, held.dtype)
        new_id = np.empty(2 * listed, np.int64)
        others, known_values = np.empty(2 * listed, near.dtype), np.empty(2 * listed, held.dtype)
        computed, four, exact = np.empty(2 * listed, np.int64), np.empty(4, np.int64), np.empty(4, held.dtype)
        for row in range(begin, end):
            a, b = first[row], second[row]
            most = old_limit[a]
            if b >= 0:
                most = united(most, old_limit[b], between[row], old_size[a], old_size[b], smallest, largest)
            most = lowered(most, centers[row], size[row], largest, 1)
            count = 0
            if b < 0:  # usually no entry of the list has merged
                while count < listed and old_near[a, count] >= 0 and second[place[old_near[a, count]]] < 0:
                    which[count], values[count] = place[old_near[a, count]], old_held[a, count]
                    count += 1
            begun = count
            for entry in range(begun):
                new_id[entry] = ids[which[entry]]
            more = apart = 0
            for side in range(2):
                x = a if side == 0 else b
                if x < 0:
                    continue
                for entry in range(begun, listed):
                    if old_near[x, entry] < 0:
                        break
                    y = place[old_near[x, entry]]
                    known = y == row
                    for at in range(begun):
                        known |= which[at] == y
                    for at in range(more):
                        known |= others[at] == y
                    if known:
                        continue
                    others[more], known_values[more] = y, old_held[x, entry]
                    if b >= 0 or second[y] >= 0:
                        computed[apart] = more
                        apart += 1
                    more += 1
            for start in range(0, apart, 4):  # four at a time take as long as one: see `compared_four`
                for side in range(4):
                    four[side] = others[computed[min(start + side, apart - 1)]]
                if apart - start == 1:
                    exact[0] = compared(centers, low, size, scatter, row, four[0])
                else:
                    compared_four(centers, low, size, scatter, row, four, exact)
                for side in range(min(4, apart - start)):
                    known_values[computed[start + side]] = exact[side]
            for entry in range(more):
                y, value = others[entry], known_values[entry]
                # One insertion for this loop and that of `summary_chain` cost 7 % (4,000 points, 24-D, ward).
                at = count
                while at > 0 and (value < values[at - 1] or (value == values[at - 1] and ids[y] < new_id[at - 1])):
                    values[at], which[at], new_id[at] = values[at - 1], which[at - 1], new_id[at - 1]
                    at -= 1
                values[at], which[at], new_id[at] = value, y, ids[y]
                count += 1
            if count > listed:  # what does not fit on the list is not listed
                most = min(most, lowered(values[listed], centers[row], size[row], largest, 1))
                count = listed
            if count > 0 and values[0] < most:
                while not values[count - 1] < most:
                    count -= 1
            limit[row] = most
            for entry in range(listed):  # slices that are assigned compile for 2 s
                here = entry < count
                near[row, entry], held[row, entry] = which[entry] if here else -1, values[entry] if here else np.inf

    return Kernels(unite, carry)
