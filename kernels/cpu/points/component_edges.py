"""Shortest edges between all pairs of components, by matrix products in single precision (docs/products.md).

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
from gpuclust.kernels.cpu.space.products import FAR, MANY, row_terms
from gpuclust.kernels.cpu.space.screen import Screen, approach, root_of, threshold
from gpuclust.kernels.cpu.space.simd import (
    LANES,
    TOGETHER,
    bit_count,
    lowest_bit,
    products_at_most_either,
    products_of_strip,
    squares_of_strip,
)

#: Largest number of components; each thread has a table of all pairs. Up to ``ALWAYS`` that is little memory, beyond
#: it has to fit where the candidates of the search for lists were.
MOST, ALWAYS = 1024, 256
#: Rows compared with a box at a time.
ROWS = 64


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
    ready: Screen,
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
    unused = [table, *tables]

    def own() -> tuple[Any, ...]:
        return tuple(unused.pop()), _buffers(m, rows.dtype)

    common = points, more, ids, here, bound, ready, products.squared_norms(ready)
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


def _buffers(m: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    return (
        np.empty((m, ROWS), dtype),  # group: rows, feature by feature
        np.empty((m, ROWS), np.float32),  # ours: the same relative to the middle of a box
        np.empty(ROWS, np.float32),  # gaps
        np.empty(ROWS),  # squares: norms of ours
        np.empty(ROWS, np.float32),  # less
        np.empty(ROWS),  # spare
        np.empty((TOGETHER, LANES), np.float32),  # values
        np.ones(LANES, np.float32),  # factors
        np.empty(LANES, np.float32),  # there: thresholds of the points of a strip
        np.empty(ROWS + TOGETHER, np.int64),  # todo
    )


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
    eps, denormal = float(np.finfo(np.float32).eps), float(np.finfo(dtype).smallest_subnormal)
    infinity = np.float32(np.inf)
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
    def set_thresholds(length, own, here, left, count, lost, more, scale, zoom, error, m, there):
        """The largest squares of the points of a strip that a row of component ``own`` may need."""
        last = -1
        far = -infinity
        for k in range(LANES):
            if k < count and here[left + k] != last:
                last = here[left + k]
                far = -infinity
                if last != own:
                    most = length[entry(own, last)]
                    far = threshold(root_of(most + more, lost, 0.0, scale) * zoom, error, m)
            there[k] = far if k < count else -infinity

    @uncounted
    @named(kind, dtype)
    def compare(points, more, ids, here, bound, ready, norms, begin, end, box, start, table, buffers):
        """The rows ``begin`` to ``end``, of the group in the buffers, and the points of a strip of a box."""
        _, given, summary = points
        _, ours, gaps, squares, less, _, values, factors, there, todo = buffers
        m, scale, zoom = ours.shape[0], float(ready[7]), ready[9][box]
        left = ready[6][box] + start
        width = min(LANES, ready[6][box + 1] - left)
        low, high = here[left], here[left + width - 1]
        error, lost = 2 * eps * ready[5][box], 2 * denormal * (m + 2)
        count = 0
        own, far = -1, dtype.type(-1)
        for place in range(end - begin):
            x = begin + place
            if here[x] != own:
                own = here[x]
                far = longest(table[0], own, low, high)
            if far < 0 or bound[x] > far:
                continue
            if gaps[place] <= threshold(root_of(far + more, lost, 0.0, scale) * zoom, error, m):
                todo[count] = place
                count += 1
        for again in range(TOGETHER - 1):
            todo[count + again] = todo[max(count - 1, 0)]
        own = -1
        for first in range(0, count, TOGETHER):
            plain = False
            for side in range(TOGETHER):
                plain |= not squares[todo[first + side]] < FAR
            if plain:
                squares_of_strip(ready[0][box], ours, todo, first, start, values)
            else:
                products_of_strip(ready[0][box], ours, todo, first, start, norms[box], less, values)
            for side in range(min(TOGETHER, count - first)):
                x = begin + todo[first + side]
                if here[x] != own:
                    own = here[x]
                    set_thresholds(table[0], own, here, left, width, lost, more, scale, zoom, error, m, there)
                bits = products_at_most_either(values[side], factors, 0, -infinity, there)
                if bit_count(bits) > MANY and not plain:
                    squares_of_strip(ready[0][box], ours, todo, first, start, values)
                    plain = True
                    bits = products_at_most_either(values[side], factors, 0, -infinity, there)
                while bits:
                    at = lowest_bit(bits)
                    bits &= bits - np.uint64(1)
                    if values[side, at] <= there[at]:
                        y = left + at
                        pair = entry(own, here[y])
                        before = table[0][pair]
                        value = distance(given, summary, x, y)
                        if value <= before:
                            one, two = (x, y) if own < here[y] else (y, x)
                            _take(table, ids, pair, one, two, value)
                            if value < before:
                                set_thresholds(
                                    table[0], own, here, left, width, lost, more, scale, zoom, error, m, there
                                )

    @compiled
    @named(kind, dtype)
    def meet(points, more, ids, here, bound, ready, norms, mine, box, table, buffers):
        stamp  # noqa: B018
        rows = points[0]
        group, ours, gaps, squares, less, spare = buffers[:6]
        starts = ready[6]
        for begin in range(starts[mine], starts[mine + 1], ROWS):
            end = min(begin + ROWS, starts[mine + 1])
            if here[begin] == here[max(starts[box + 1] - 1, begin)] and here[begin] == here[starts[box]]:
                continue  # one component
            for place in range(ROWS):
                for k in range(rows.shape[1]):
                    group[k, place] = rows[min(begin + place, end - 1), k]
            approach(group, ready[3][box], ready[4][box], ready[8][box], ours, gaps)
            row_terms(ours, ready[5][box], squares, less, spare)
            first = (begin - starts[box]) // LANES * LANES if mine == box else 0
            for start in range(first, starts[box + 1] - starts[box], LANES):
                compare(points, more, ids, here, bound, ready, norms, begin, end, box, start, table, buffers)

    return begin_table, meet
