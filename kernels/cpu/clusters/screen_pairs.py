"""Nearest neighbours of all points by screened boxes: each pair of points is compared once, for both of them.

Boxes i and ``i ^ step`` are a pairing for every step, and near each other in the tree for the first steps. So with
every step each box is compared with another one, no two pieces of work write to the same lists, and lists soon hold
near points.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit, methods
from gpuclust.core.jit import compiled, named, ranges, run, thread_count, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters import summary_kernels, summary_search
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows, factor, limits, list_functions, pair_functions
from gpuclust.kernels.cpu.clusters.summary_search import screen_kernel
from gpuclust.kernels.cpu.space import pairwise, screen
from gpuclust.kernels.cpu.space.screen import PIECE, Screen, approach, root_of, threshold
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, lowest_bit, products_at_most_either, squares

#: Rows transformed for a box at a time.
ROWS = 64
#: Largest number of boxes whose comparisons with as many others are one piece of work.
TOUR = 4
#: Rows in a piece of the last pass.
LAST = 4096


class Share(NamedTuple):
    """A part of all pairs of boxes: those of a box of one side, and a box of another.

    The number of boxes is a power of two, and so is that of sides. A share also has the pairs within each box (and
    within each block of boxes that is one piece of work) of both sides.
    """

    sides: int = 1
    one: int = 0
    other: int = 0

    def boxes(self, boxes: int) -> list[int]:
        """The boxes of both sides."""
        length = boxes // self.sides
        return [box for side in sorted({self.one, self.other}) for box in range(side * length, (side + 1) * length)]

    def pairs(self, boxes: int, step: int) -> list[tuple[int, int]]:
        """The pairs of boxes that a step compares."""
        length = boxes // self.sides
        if step == 0:
            return [(box, box) for box in self.boxes(boxes)]
        first = range(self.one * length, (self.one + 1) * length)
        return [(box, box ^ step) for box in first if box < box ^ step and (box ^ step) // length == self.other]

    def rows(self, starts: np.ndarray, side: int) -> slice:
        """The rows of a side, which are contiguous."""
        length = (starts.size - 1) // self.sides
        return slice(int(starts[side * length]), int(starts[(side + 1) * length]))


#: All pairs.
ALL = Share()


def search_all(method: Method, lists: Rows, ready: Screen, share: Share = ALL) -> None:
    """Fill the lists and limits of all rows, in at least two boxes: of points, without scatter and with empty lists.

    Lists have no entries (see `empty_lists`). With a ``share`` only its pairs of boxes are compared, and only lists
    of its rows are filled.
    """
    starts = ready.starts
    largest = lists.size.max()
    everyone = np.arange(starts[-1])
    homes = [
        (starts[box] + i, starts[box] + j, 1)
        for box in share.boxes(starts.size - 1)
        for i, j in ranges(starts[box + 1] - starts[box], ROWS)
    ]
    within = screen_kernel(method, lists.centers.dtype)
    run(within, [(*lists, ready, largest, everyone, *piece) for piece in homes])
    compare_all(method, lists, ready, largest, share)
    if share == ALL:
        set_limits(method, lists)


def compare_all(method: Method, lists: Rows, ready: Screen, largest: np.floating, share: Share = ALL) -> None:
    """Compare each box with all others, after rows have been compared with those of their own box."""
    starts = ready.starts
    boxes = starts.size - 1
    meet, _ = _kernels(method, lists.centers.dtype)
    roots, worst = np.empty(starts[-1]), np.empty(boxes)
    tour, width = TOUR, int(np.diff(starts).max())
    most = boxes // share.sides
    while tour > 1 and (most // tour < 4 * thread_count() or (tour * width) ** 2 * lists.centers.shape[1] > PIECE):
        tour //= 2
    blocks = boxes // tour
    for step in range(blocks):
        pieces = share.pairs(blocks, step)
        run(meet, [(tuple(lists[:7]), ready, largest, roots, worst, tour, step == 0, *piece) for piece in pieces])


def set_limits(method: Method, lists: Rows) -> None:
    """The limits of all rows, from their lists."""
    _, finish = _kernels(method, lists.centers.dtype)
    run(finish, [(*lists, lists.size.max(), *piece) for piece in ranges(len(lists.centers), LAST)])


def empty_lists(near: np.ndarray, held: np.ndarray, share: Share, starts: np.ndarray, bounds: Any = None) -> None:
    """Empty the lists of the rows of a share.

    Parameters
    ----------
    near, held : ndarray of shape (n, k)
        Places and distances of the entries of lists.
    share : Share
    starts : ndarray of shape (boxes + 1,)
    bounds : ndarray of shape (rows of the share,), optional
        Distances of the rows: entries farther than these may be left out. By default there is no bound.
    """
    done = 0
    for side in sorted({share.one, share.other}):
        own = share.rows(starts, side)
        count = own.stop - own.start
        near[own], held[own] = -1, np.inf if bounds is None else bounds[done : done + count, None]
        done += count


def lists_of(near: np.ndarray, held: np.ndarray, share: Share, starts: np.ndarray) -> tuple[np.ndarray, ...]:
    """The lists ``near`` and ``held`` of each side of a share, as long as the longest of them."""
    parts: list[np.ndarray] = []
    for side in sorted({share.one, share.other}):
        own = share.rows(starts, side)
        length = max(1, int((near[own] >= 0).sum(axis=1).max(initial=0)))
        parts += [np.ascontiguousarray(array[own, :length]) for array in (near, held)]
    return tuple(parts)


def join_lists(near: np.ndarray, held: np.ndarray, ids: np.ndarray, more: np.ndarray, further: np.ndarray) -> None:
    """Enter the lists ``more``, with distances ``further``, into the lists ``near`` and ``held`` of the same rows.

    Both may have any lengths.
    """
    _join_kernel(held.dtype)(near, held, ids, more, further)


@cache
def _join_kernel(dtype: np.dtype) -> Callable[..., Any]:
    insert = list_functions(dtype)
    stamp = jit.stamp(summary_kernels)

    @compiled
    @named(dtype)
    def join(near, held, ids, more, further):
        stamp  # noqa: B018
        for row in range(near.shape[0]):
            for entry in range(more.shape[1]):
                if more[row, entry] < 0:
                    break
                insert(near[row], held[row], ids, more[row, entry], further[row, entry])

    return join


@cache
def _kernels(method: Method, dtype: np.dtype) -> tuple[Callable[..., Any], Callable[..., Any]]:
    geometric = factor(method)
    pair, insert = pair_functions(method, dtype), list_functions(dtype)
    compared, reach = pair.compared, pair.reach
    lowered = limits(method, dtype).lowered
    one, nothing = np.float32(1), np.float32(0)
    eps, denormal = float(np.finfo(np.float32).eps), float(np.finfo(dtype).smallest_subnormal)
    stamp = jit.stamp(centroids, methods, pairwise, summary_kernels, summary_search, *screen.modules())

    @uncounted
    @named(method.name, dtype)
    def root(most, reached, m, scale):
        """Root of the upper bound of a pair's squared distance times its factor; ``reached`` is the factor."""
        return root_of(most, denormal * (m + 2) * (1.0 + float(reached)), 0.0, scale)

    @uncounted
    @named(method.name, dtype)
    def look(size, held, ready, largest, roots, worst, box):
        """The largest distance on the lists of a box."""
        starts, scale, m = ready[6], float(ready[7]), ready[3].shape[1]
        far = 0.0
        for x in range(starts[box], starts[box + 1]):
            roots[x] = root(held[x, held.shape[1] - 1], reach(size[x], largest), m, scale)
            far = max(far, roots[x])
        worst[box] = far

    @uncounted
    @named(method.name, dtype)
    def apart(ready, one_box, other_box):
        """Lower bound of the distance between the points of two boxes, in the common scale."""
        middle, extent, scale, zoom = ready[3], ready[4], float(ready[7]), ready[9]
        total = 0.0
        for k in range(middle.shape[1]):
            gap = abs(float(middle[one_box, k]) - float(middle[other_box, k])) * scale
            gap -= (extent[one_box, k] / zoom[one_box] + extent[other_box, k] / zoom[other_box]) * (1 + 4 * eps)
            gap = max(gap, 0.0)
            total += gap * gap
        return np.sqrt(total) * (1 - eps * (middle.shape[1] + 16))  # a sum in float32 may be that much smaller

    @uncounted
    @named(method.name, dtype)
    def pass_by(centers, low, size, scatter, ids, near, held, ready, largest, roots, worst, mine, box, buffers):
        """The rows of box ``mine`` compared with another box."""
        features, other, least, middle, extent, radius, starts, scale, scales, zooms = ready
        group, ours, gaps, values, factors, limits_there, todo = buffers
        m, last, width = centers.shape[1], held.shape[1] - 1, features.shape[2]
        precise = float(scale)
        far = apart(ready, mine, box)
        if far * far * geometric(1.0, float(least[mine]), float(least[box])) > max(worst[mine], worst[box]) ** 2:
            return
        zoom = zooms[box]
        left, count_there = starts[box], starts[box + 1] - starts[box]
        for k in range(width):
            limits_there[k] = nothing
        for k in range(count_there):
            error = 2 * eps * np.sqrt(float(reach(size[left + k], largest))) * radius[box]
            limits_there[k] = threshold(roots[left + k] * zoom, error, m)
        reach_there = nothing
        for k in range(width):
            reach_there = max(reach_there, limits_there[k])
        own = nothing
        for begin in range(starts[mine], starts[mine + 1], ROWS):
            rows = min(ROWS, starts[mine + 1] - begin)
            for k in range(m):
                for place in range(ROWS):
                    group[k, place] = centers[begin + min(place, rows - 1), k]
            approach(group, middle[box], extent[box], scales[box], ours, gaps)
            count = 0
            for place in range(rows):
                x = begin + place
                error = 2 * eps * np.sqrt(float(reach(size[x], largest))) * radius[box]
                bound = gaps[place] * geometric(one, np.float32(size[x]), least[box])
                if bound <= max(reach_there, threshold(roots[x] * zoom, error, m)):
                    todo[count] = place
                    count += 1
            for more in range(TOGETHER - 1):
                todo[count + more] = todo[max(count - 1, 0)]
            for four in range(0, count, TOGETHER):
                squares(features[box], ours, todo, four, values)
                for side in range(min(TOGETHER, count - four)):
                    x = begin + todo[four + side]
                    if own != np.float32(size[x]):  # rows of equal size share the factors
                        own = np.float32(size[x])
                        for k in range(width):
                            factors[k] = geometric(one, own, other[box, k])
                    error = 2 * eps * np.sqrt(float(reach(size[x], largest))) * radius[box]
                    near_enough = threshold(roots[x] * zoom, error, m)
                    for start in range(0, width, LANES):
                        bits = products_at_most_either(values[side], factors, start, near_enough, limits_there)
                        while bits:
                            at = start + lowest_bit(bits)
                            bits &= bits - np.uint64(1)
                            y = left + at
                            value = compared(centers, low, size, scatter, x, y)
                            if value <= held[x, last]:
                                insert(near[x], held[x], ids, y, value)
                                roots[x] = root(held[x, last], reach(size[x], largest), m, precise)
                                near_enough = threshold(roots[x] * zoom, error, m)
                            if value <= held[y, last]:
                                insert(near[y], held[y], ids, x, value)
                                roots[y] = root(held[y, last], reach(size[y], largest), m, precise)
                                error_there = 2 * eps * np.sqrt(float(reach(size[y], largest))) * radius[box]
                                limits_there[at] = threshold(roots[y] * zoom, error_there, m)

    @compiled
    @named(method.name, dtype)
    def meet(points, ready, largest, roots, worst, tour, first, block, other_block):
        stamp  # noqa: B018
        centers, _, size, _, _, _, held = points
        m, width = centers.shape[1], ready[0].shape[2]
        buffers = (
            np.empty((m, ROWS), centers.dtype),
            np.empty((m, ROWS), np.float32),
            np.empty(ROWS, np.float32),
            np.empty((TOGETHER, width), np.float32),
            np.empty(width, np.float32),
            np.empty(width, np.float32),
            np.empty(ROWS + TOGETHER, np.int64),
        )
        for mine in range(block * tour, (block + 1) * tour):
            if first:
                look(size, held, ready, largest, roots, worst, mine)
        for step in range(tour):
            for mine in range(block * tour, (block + 1) * tour):
                box = mine - block * tour ^ step
                box += other_block * tour
                if mine < box or block < other_block:
                    pass_by(*points, ready, largest, roots, worst, mine, box, buffers)
        for place in range(tour):
            look(size, held, ready, largest, roots, worst, block * tour + place)
            look(size, held, ready, largest, roots, worst, other_block * tour + place)

    @compiled
    @named(method.name, dtype)
    def finish(centers, low, size, scatter, ids, near, held, limit, largest, begin, end):
        stamp  # noqa: B018
        n = centers.shape[0]
        last = held.shape[1] - 1
        for x in range(begin, end):
            limit[x] = lowered(held[x, last], centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    return meet, finish
