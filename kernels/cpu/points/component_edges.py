"""Shortest edges between all pairs of components, by matrix products of integers (docs/products.md).

In a clustered data set of many features the late rounds of Borůvka's algorithm search most points of each component,
round after round. With few components one pass over all pairs of points, each compared once, finds the shortest edge
of each pair of components instead, and later rounds only read these.

An edge between every two components is taken first, and a spanning tree of these edges. Two components whose edges
are all longer than those of the path between them in this tree are not joined in the shortest spanning tree, so most
pairs are never computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit
from gpuclust.core.jit import compiled, named, run, uncounted
from gpuclust.core.points import Metric
from gpuclust.core.sizes import LISTED, candidate_bytes
from gpuclust.core.threads import thread_count
from gpuclust.kernels.cpu.points import angles, tree_boruvka
from gpuclust.kernels.cpu.points.tree_boruvka import comes_before
from gpuclust.kernels.cpu.space import products
from gpuclust.kernels.cpu.space.products import (
    MANY,
    multiply,
    set_bounds,
    set_columns,
    set_differences,
    set_exact,
    set_rows,
    square_of,
)
from gpuclust.kernels.cpu.space.screen import root_of
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, bit_count, lowest_bit, products_at_most_either
from gpuclust.kernels.cpu.space.strips import Strips

#: Largest number of components; each thread has a table of all pairs. Up to ``ALWAYS`` that is little memory, beyond
#: it has to fit where the candidates of the search for lists were.
MOST, ALWAYS = 1024, 256


def most_components(n: int, m: int, width: int) -> int:
    """Largest number of components, for n points of m features, and numbers of ``width`` bytes."""
    room = n * candidate_bytes(LISTED, m)
    return max(ALWAYS, min(MOST, int((2 * room / ((width + 8) * thread_count())) ** 0.5)))


class Table(NamedTuple):
    """The shortest edge known between components c < d: its length, and the rows of its ends.

    Or -1 as rows of its ends, and a length: longer edges are in no shortest spanning tree. All arrays have the shape
    (count (count - 1) / 2,), see `entry`.
    """

    length: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def copy(self) -> Table:
        return Table(*(array.copy() for array in self))


class ComponentEdges:
    """The step of Borůvka's algorithm on the shortest edges between components; O(count²) for each round.

    Parameters
    ----------
    table : Table
    ids : ndarray of shape (n,)
        The point in each row.
    order : ndarray of shape (n,)
        The number by which callers know each row.
    members : ndarray of shape (count,)
        A row in each of the components of the table.
    """

    def __init__(self, table: Table, ids: np.ndarray, order: np.ndarray, members: np.ndarray) -> None:
        self._table, self._ids, self._order, self._members = table, ids, order, members

    def shortest(self, component: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `gpuclust.core.backend.Outgoing.shortest`."""
        best, ends, others = np.full(count, np.inf, self._table.length.dtype), np.full(count, -1), np.full(count, -1)
        label = component[self._order[self._members]]
        _shortest(tuple(self._table), self._ids, label, best, ends, others)
        return self._order[ends], self._order[others], best


def find(
    points: tuple[np.ndarray, ...],
    angular: Metric | None,
    ready: Strips,
    ids: np.ndarray,
    here: np.ndarray,
    bound: Any,
    part: tuple[int, int] = (0, 1),
) -> Table:
    """The shortest edge between every two components, where it may be in a shortest spanning tree.

    ``points`` are the rows on which ``ready`` is made, and the rows and summaries that distances are computed from;
    rows come in the order of their component, ``here``. ``bound`` is a lower bound of a row's distance to all points
    outside its component. Of ``part``, the first is the number and the second the count of parts into which the pairs
    of boxes are divided.
    """
    rows = points[0]
    kernels = _kernels(angular, rows.dtype)
    count, m = int(here[-1]) + 1, rows.shape[1]
    more = angles.margin(m, rows.dtype) if angular else 0.0
    pairs = count * (count - 1) // 2
    table = Table(np.empty(pairs, rows.dtype), np.empty(pairs, np.int32), np.empty(pairs, np.int32))
    kernels[0](points, np.searchsorted(here, np.arange(count)), tuple(table))
    _limit(*table, count)
    tables = [table.copy() for _ in range(thread_count() - 1)]
    unused, everyone = [table, *tables], np.arange(len(rows))

    def own() -> tuple[Any, ...]:
        return tuple(unused.pop()), products.buffers(m), (np.ones(LANES), np.empty(LANES), everyone)

    common = points, more, ids, here, bound, ready
    boxes = list(itertools.combinations_with_replacement(range(ready.starts.size - 1), 2))
    begin, end = (len(boxes) * place // part[1] for place in (part[0], part[0] + 1))
    run(kernels[1], [(*common, *pair) for pair in boxes[begin:end]], own)
    for other in tables:
        _join(ids, tuple(table), tuple(other))
    return table


def edges(table: Table, here: np.ndarray, order: np.ndarray) -> ComponentEdges:
    """The step on the table of positions whose components are ``here``, and whose points are ``order``."""
    by_component = np.argsort(here, kind="stable")
    here = here[by_component]
    return ComponentEdges(table, order[by_component], by_component, np.searchsorted(here, np.arange(here[-1] + 1)))


def found(table: Table) -> tuple[np.ndarray, ...]:
    """The places of a table that have an edge, and these."""
    at = np.flatnonzero(table.first >= 0).astype(np.int32)
    return at, *(array[at] for array in table)


def joined(
    parts: Iterable[tuple[np.ndarray, ...]], dtype: np.dtype, here: np.ndarray, order: np.ndarray
) -> ComponentEdges:
    """`edges` of the table of which several processes have `found` parts."""
    count = int(here.max()) + 1
    pairs = count * (count - 1) // 2
    ids = order[np.argsort(here, kind="stable")]
    table = Table(np.full(pairs, np.inf, dtype), np.full(pairs, -1, np.int32), np.full(pairs, -1, np.int32))
    for at, *own in parts:
        part = Table(np.full(pairs, np.inf, dtype), np.full(pairs, -1, np.int32), np.full(pairs, -1, np.int32))
        for array, values in zip(part, own, strict=True):
            array[at] = values
        _join(ids, tuple(table), tuple(part))
    return edges(table, here, order)


@uncounted
def entry(one, other):
    """The place in a table of a pair of components."""
    low, high = min(one, other), max(one, other)
    return high * (high - 1) // 2 + low


@uncounted
def _take(table, ids, pair, x, y, value):
    """Enter the edge from x to y, between the components of a pair, if it comes first."""
    length, first, second = table
    best = length[pair]
    if value < best or (
        value == best and (first[pair] < 0 or comes_before(ids[x], ids[y], ids[first[pair]], ids[second[pair]]))
    ):
        length[pair], first[pair], second[pair] = value, x, y


@compiled
def _limit(length, first, second, count):
    """Replace each edge by the longest of the path between its ends in a spanning tree of all edges, by Prim."""
    added = np.zeros(count, np.int64)
    nearest, parent = np.full(count, np.inf, length.dtype), np.zeros(count, np.int64)
    longest = np.zeros((count, count), length.dtype)
    left = np.ones(count, np.bool_)
    last = 0
    for size in range(1, count):
        left[last], added[size - 1] = False, last
        following = -1
        for one in range(count):
            if left[one]:
                value = length[entry(one, last)]
                if value < nearest[one] or size == 1:
                    nearest[one], parent[one] = value, last
                if following < 0 or nearest[one] < nearest[following]:
                    following = one
        last, joint = following, parent[following]
        for other in added[:size]:
            longest[last, other] = longest[other, last] = max(longest[joint, other], nearest[last])
    for other in range(1, count):
        for one in range(other):
            pair = entry(one, other)
            if longest[one, other] < length[pair]:
                length[pair] = longest[one, other]
                first[pair] = second[pair] = -1


@compiled
def _join(ids, table, part):
    """Enter the edges of another thread."""
    length, first, second = part
    for pair in range(length.size):
        if first[pair] >= 0:
            _take(table, ids, pair, first[pair], second[pair], length[pair])


@compiled
def _shortest(table, ids, label, best, ends, others):
    """The first edge out of each union of components; ``label`` is the union of each."""
    length, first, second = table
    for other in range(label.size):
        for one in range(other):
            pair = entry(one, other)
            if label[one] == label[other] or first[pair] < 0:
                continue
            value, x, y = length[pair], first[pair], second[pair]
            for side in range(2):
                own = label[one] if side == 0 else label[other]
                if value < best[own] or (
                    value == best[own]
                    and (ends[own] < 0 or comes_before(ids[x], ids[y], ids[ends[own]], ids[others[own]]))
                ):
                    best[own] = value
                    ends[own], others[own] = (x, y) if side == 0 else (y, x)


@cache
def _kernels(angular: Metric | None, dtype: np.dtype) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The table of one edge for each pair of components; and the function that compares two boxes."""
    denormal = float(np.finfo(dtype).smallest_subnormal)
    stamp = jit.stamp(tree_boruvka, *angles.modules(), *products.modules())
    distance = angles.distance_function(angular, dtype)
    kind = "square" if angular is None else angular.name

    @compiled
    @named(kind, dtype)
    def begin_table(points, members, table):
        stamp  # noqa: B018
        _, given, summary = points
        for other in range(members.size):
            for one in range(other):
                x, y = members[one], members[other]
                pair = entry(one, other)
                table[0][pair], table[1][pair], table[2][pair] = distance(given, summary, x, y), x, y

    @uncounted
    @named(kind, dtype)
    def longest(length, own, low, high):
        """The longest of the edges from a component to others from ``low`` to ``high``; -1 if there are none."""
        most = dtype.type(-1)
        for other in range(low, high + 1):
            if other != own:
                most = max(most, length[entry(own, other)])
        return most

    @uncounted
    @named(kind, dtype)
    def square_for(most, more, m, scale):
        """What a lower bound of the square of an edge is at most, for an edge of at most ``most``."""
        return square_of(root_of(most + more, 2 * denormal * (m + 2), 0.0, scale))

    @uncounted
    @named(kind, dtype)
    def set_thresholds(length, own, here, left, count, more, scale, m, there):
        """The largest squares of the points of a strip that a row of component ``own`` may need."""
        last = -1
        far = -1.0
        for k in range(LANES):
            if k < count and here[left + k] != last:
                last = here[left + k]
                far = -1.0
                if last != own:
                    far = square_for(length[entry(own, last)], more, m, scale)
            there[k] = far if k < count else -1.0

    @uncounted
    @named(kind, dtype)
    def choose(length, more, here, bound, begin, end, low, high, scale, m, buffers):
        """The rows that may have an edge to a strip whose components are ``low`` to ``high``; how many."""
        count, own, far, near_enough = 0, -1, dtype.type(-1), -1.0
        for place in range(end - begin):
            x = begin + place
            if here[x] != own:
                own = here[x]
                far = longest(length, own, low, high)
                near_enough = square_for(far, more, m, scale) if far >= 0 else -1.0
            if far >= 0 and bound[x] <= far and buffers.gaps[place] <= near_enough:
                buffers.todo[count] = place
                count += 1
        for again in range(TOGETHER - 1):
            buffers.todo[count + again] = buffers.todo[max(count - 1, 0)]
        return count

    @uncounted
    @named(kind, dtype)
    def compare(points, more, ids, here, bound, ready, group, begin, end, others, table, buffers, space):
        """The rows ``begin`` to ``end``, whose strip is ``group``, and the points of another strip."""
        rows, given, summary = points
        factors, there, everyone = space
        strip, left, right = others
        length, scale, m = table[0], ready.scale, rows.shape[1]
        count = choose(length, more, here, bound, begin, end, here[left], here[right - 1], scale, m, buffers)
        if count == 0:
            return
        set_columns(ready, strip, buffers)
        multiply(ready.pairs[strip], group[0], buffers.todo, count, buffers.sums)
        own, by_differences = -1, -1
        for row in range(count):
            place = buffers.todo[row]
            x, first = begin + place, row // TOGETHER * TOGETHER
            if here[x] != own:
                own = here[x]
                set_thresholds(length, own, here, left, right - left, more, scale, m, there)
            if by_differences != first:
                set_bounds(row, place, group[1], strip, ready, buffers)
                bits = products_at_most_either(buffers.values, factors, 0, -1.0, there)
                if bit_count(bits) > MANY:
                    set_differences(rows, scale, everyone, begin, first, left, right, by_differences >= 0, buffers)
                    by_differences = first
            if by_differences == first:
                set_exact(row - first, m, buffers)
                bits = products_at_most_either(buffers.values, factors, 0, -1.0, there)
            while bits:
                at = lowest_bit(bits)
                bits &= bits - np.uint64(1)
                if buffers.values[at] <= there[at]:
                    y = left + at
                    pair = entry(own, here[y])
                    before = length[pair]
                    value = distance(given, summary, x, y)
                    if value <= before:
                        one, two = (x, y) if own < here[y] else (y, x)
                        _take(table, ids, pair, one, two, value)
                        if value < before:
                            set_thresholds(length, own, here, left, right - left, more, scale, m, there)

    @compiled
    @named(kind, dtype)
    def meet(points, more, ids, here, bound, ready, mine, box, table, buffers, space):
        stamp  # noqa: B018
        starts = ready.starts
        across = ready.step.shape[0] // (starts.size - 1)
        left, right = starts[box], starts[box + 1]
        for begin in range(starts[mine], starts[mine + 1], LANES):
            end = min(begin + LANES, starts[mine + 1])
            if left == right or (here[begin] == here[end - 1] == here[left] == here[right - 1]):
                continue  # one component
            own = mine * across + (begin - starts[mine]) // LANES
            group = ready.pairs[own], ready.step[own], ready.square[own], ready.lost[own]
            set_rows(group, ready.middle, mine, ready, box, buffers)
            first = begin - left if mine == box else 0
            for start in range(left + first, right, LANES):
                there = box * across + (start - left) // LANES, start, min(start + LANES, right)
                compare(points, more, ids, here, bound, ready, group, begin, end, there, table, buffers, space)

    return begin_table, meet
