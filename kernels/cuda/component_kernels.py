"""Kernels of Borůvka's algorithm on the device (`gpuclust.kernels.cuda.components`): edges out of components.

Distances are compared by their bits, which as integers have the same order, so that minima are atomic ones of
integers, the same in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuclust.kernels.cuda.launch import INT, Kernel, cuda, kernel, types

INT32 = types.int32
#: More than the bits of any distance, and than any edge: there is none yet.
NONE = np.iinfo(np.int64).max
#: Bits of the number of a point.
POINT = 32


@kernel(INT32[::1], INT32[::1], INT[::1], INT[::1])
def limits(component, index, distance, limit):
    """The least distance ``limit[c]`` of a point of component c to its neighbour ``index``, if that is outside."""
    x = np.int64(cuda.grid(1))
    if x < index.size and index[x] >= 0 and component[index[x]] != component[x]:
        cuda.atomic.min(limit, component[x], distance[x])


@kernel(INT32[::1], INT32[::1], INT[::1], INT[::1], types.boolean[::1])
def inside(component, index, distance, limit, again):
    """Which points have to be searched again: the neighbour is inside, and their edge may be the shortest yet."""
    x = np.int64(cuda.grid(1))
    if x < index.size:
        joined = index[x] < 0 or component[index[x]] == component[x]
        again[x] = joined and distance[x] <= limit[component[x]]


@kernel(INT32[::1], INT32[::1], INT[::1], INT[::1], INT[::1])
def edges(component, index, distance, limit, edge):
    """The first ``edge[c]``, (smaller end, larger end) in one number, of those with the least distance."""
    x = np.int64(cuda.grid(1))
    if x >= index.size or index[x] < 0:
        return
    own, y = component[x], np.int64(index[x])
    if component[y] != own and distance[x] == limit[own]:
        cuda.atomic.min(edge, own, (min(x, y) << POINT) | max(x, y))


@kernel(INT32[::1], INT32[::1], INT[::1], INT, INT32[::1], INT32[::1])
def ends(component, index, edge, count, end, parent):
    """The end in component c of its edge, and the component ``parent[c]`` that this leads to; c if there is none."""
    c = np.int64(cuda.grid(1))
    if c >= count:
        return
    end[c] = 0
    parent[c] = c
    if edge[c] != NONE:
        low = edge[c] >> POINT
        x = low if component[low] == c else edge[c] - (low << POINT)
        end[c] = x
        parent[c] = component[index[x]]


@kernel(INT32[::1], INT, INT32[::1], types.boolean[::1])
def roots(parent, count, root, kept):
    """Of two components with the same edge the first one becomes a root, and keeps the edge."""
    c = np.int64(cuda.grid(1))
    if c >= count:
        return
    other = np.int64(parent[c])
    mutual = np.int64(parent[other]) == c
    root[c] = c if mutual and c <= other else other
    kept[c] = not mutual or c < other


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    yield from (limits, inside, edges, ends, roots)
