"""Shortest edge out of each component by a kd-tree: the step of Borůvka's algorithm.

Points are in the order of the tree, padded by `LEAF`. Between rounds each point keeps its nearest point outside its
component (``near``, a position) and its distance (``bound``); or -1 and a lower bound of that distance. The first of
these come from a list of nearest neighbours, made once. When a list is used up, the point is searched again only if
its bound is not above the shortest edge that its component has so far, and only up to that length. Subtrees that lie
wholly in the component are skipped.

March, Ram, Gray 2010, Fast Euclidean minimum spanning tree: algorithm, analysis, and applications.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, named, uncounted
from gpuclust.core.points import Metric
from gpuclust.kernels.cpu.points import tree_knn
from gpuclust.kernels.cpu.points.tree_knn import STACK, bounds
from gpuclust.kernels.cpu.space import kdtree, pairwise
from gpuclust.kernels.cpu.space.kdtree import LEAF


@uncounted
def comes_before(a, b, c, d):
    """Whether edge (a, b) comes before edge (c, d) of the same length: by smaller end, then by larger end."""
    low, other = min(a, b), min(c, d)
    return low < other or (low == other and max(a, b) < max(c, d))


@compiled
def advance(component, ids, listed, lengths, near, bound, begin, end, best, best_at):
    """Update points begin..end-1 after a change of the partition, and the minima of components by their edges.

    ``best[c]`` is the length of the shortest edge from component c that is known, ``best_at[c]`` where it starts.
    """
    k = listed.shape[1]
    for q in range(begin, end):
        own = component[q]
        x = near[q]
        if x < 0:
            continue
        if component[x] == own:
            x = -1
            bound[q] = max(bound[q], lengths[q, k - 1])
            for place in range(k):
                y = listed[q, place]
                if y >= 0 and component[y] != own:
                    x = y
                    bound[q] = lengths[q, place]
                    break
            near[q] = x
            if x < 0:
                continue
        take_edge(q, own, ids, near, bound, best, best_at)


@uncounted
def take_edge(q, own, ids, near, bound, best, best_at):
    value = bound[q]
    at = best_at[own]
    if value < best[own] or (
        value == best[own] and (at < 0 or comes_before(ids[q], ids[near[q]], ids[at], ids[near[at]]))
    ):
        best[own] = value
        best_at[own] = q


@compiled
def join_minima(ids, near, best, best_at, other, other_at):
    """Update ``best`` by the minima of another thread."""
    for c in range(best.size):
        at, mine = other_at[c], best_at[c]
        if at < 0:
            continue
        if other[c] < best[c] or (
            other[c] == best[c] and (mine < 0 or comes_before(ids[at], ids[near[at]], ids[mine], ids[near[mine]]))
        ):
            best[c] = other[c]
            best_at[c] = at


@compiled
def take_found(component, ids, near, bound, searched, best, best_at):
    """Update the minima by the edges of the points just searched; the bounds of the others are raised."""
    for q in searched:
        if near[q] >= 0:
            take_edge(q, component[q], ids, near, bound, best, best_at)
    for q in searched:
        if near[q] < 0:
            bound[q] = max(bound[q], best[component[q]])


@compiled
def to_search(component, near, bound, best):
    """Positions that, by their bound, may have the shortest edge of their component."""
    count = 0
    for q in range(near.size):
        count += near[q] < 0 and bound[q] <= best[component[q]]
    found = np.empty(count, np.int64)
    count = 0
    for q in range(near.size):
        if near[q] < 0 and bound[q] <= best[component[q]]:
            found[count] = q
            count += 1
    return found


@compiled
def component_of_nodes(component, depth, of_node):
    """The component that all points of a node are in, or -1."""
    n = component.size
    leaves = (1 << depth) - 1
    for leaf in range(1 << depth):
        begin, end = (n * leaf) >> depth, (n * (leaf + 1)) >> depth
        own = component[begin]
        for q in range(begin + 1, end):
            if component[q] != own:
                own = -1
                break
        of_node[leaves + leaf] = own
    for node in range(leaves - 1, -1, -1):
        left = of_node[2 * node + 1]
        of_node[node] = left if left == of_node[2 * node + 2] else -1


@cache
def search_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Nearest points of other components for ``searched[begin:end]``, up to what their components have already.

    ``best`` is lowered as shorter edges are found, also by other threads: that saves work and changes no result.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)
    between_boxes, from_points, push_children = bounds(metric, weighted, dtype)
    stamp = jit.stamp(metrics, pairwise, kdtree, tree_knn)
    infinity = dtype.type(np.inf)

    @uncounted
    @named(metric.name, weighted, dtype)
    def reach(active, component, best, found):
        """Largest search radius of the points of a leaf."""
        far = dtype.type(-1)
        for a in range(active.size):
            far = max(far, min(best[component[active[a]]], found[a]))
        return far

    @uncounted
    @named(metric.name, weighted, dtype)
    def search_leaves(points, component, of_node, best, near, bound, searched, begin, end, buffers):
        features, summary, weights, p, ids, low, high, depth = points
        out, scratch, gaps, found, found_at, nodes, nearest = buffers
        n = component.size
        leaves = (1 << depth) - 1
        while begin < end:
            leaf = ((searched[begin] + 1 << depth) - 1) // n  # the last with n leaf >> depth not above it
            left, right = (n * leaf) >> depth, (n * (leaf + 1)) >> depth
            last = begin
            while last < end and searched[last] < right:
                last += 1
            active = searched[begin:last]
            begin = last
            for place in range(LEAF):
                found[place], found_at[place] = infinity, -1
            common = component[active[0]]
            for a in range(active.size):
                if component[active[a]] != common:
                    common = -2
            far = reach(active, component, best, found)
            own = leaves + leaf
            climbing = own
            nodes[0] = own
            nearest[0] = 0
            top = 1
            while True:
                while top > 0:
                    top -= 1
                    node = nodes[top]
                    if nearest[top] > far or of_node[node] == common:
                        continue
                    if node < leaves:
                        top = push_children(node, top, own, nodes, nearest, low, high, weights, p)
                        continue
                    from_points(features, left, low[node], high[node], weights, p, gaps)
                    there = node - leaves
                    start, stop = (n * there) >> depth, (n * (there + 1)) >> depth
                    changed = False
                    for a in range(active.size):
                        q = active[a]
                        mine = component[q]
                        limit = min(best[mine], found[a])
                        if gaps[q - left] > limit or of_node[node] == mine:
                            continue
                        row_of_distances(
                            features, summary, q, features, summary, start, start + LEAF, weights, p, out, scratch
                        )
                        hits = 0
                        for j in range(LEAF):
                            hits += out[j] <= limit
                        if hits == 0:
                            continue
                        for j in range(stop - start):
                            value, other_end = out[j], start + j
                            if value > limit or component[other_end] == mine:
                                continue
                            if value < found[a] or (
                                value == found[a] and (found_at[a] < 0 or ids[other_end] < ids[found_at[a]])
                            ):
                                found[a] = value
                                found_at[a] = other_end
                                changed = True
                        if found[a] < best[mine]:
                            best[mine] = found[a]
                    if changed:
                        far = reach(active, component, best, found)
                if climbing == 0:
                    break
                nodes[0] = ((climbing - 1) ^ 1) + 1
                nearest[0] = between_boxes(low, high, own, nodes[0], weights, p)
                climbing = (climbing - 1) >> 1
                top = 1
            for a in range(active.size):
                if found_at[a] >= 0 and found[a] <= best[component[active[a]]]:
                    near[active[a]] = found_at[a]
                    bound[active[a]] = found[a]

    @compiled
    @named(metric.name, weighted, dtype)
    def search(
        features,
        summary,
        weights,
        p,
        ids,
        low,
        high,
        depth,
        component,
        of_node,
        best,
        near,
        bound,
        searched,
        begin,
        end,
    ):
        stamp  # noqa: B018
        buffers = (
            np.empty(LEAF, dtype),
            np.empty(LEAF, dtype),
            np.empty(LEAF, dtype),
            np.empty(LEAF, dtype),
            np.empty(LEAF, np.int64),
            np.empty(STACK, np.int64),
            np.empty(STACK, dtype),
        )
        points = features, summary, weights, p, ids, low, high, depth
        search_leaves(points, component, of_node, best, near, bound, searched, begin, end, buffers)

    return search
