"""An implicit (pointer-free), complete, balanced kd-tree of points.

Nodes are numbered as in a heap: 0 is the root, 2 i + 1 and 2 i + 2 are the children of i, and node j of level d (its
number is 2**d - 1 + j) holds the positions n j >> d up to n (j + 1) >> d of ``order``. A node is split at its
children's border, along the longest side of its bounding box, by (coordinate, index): so the tree does not depend on
the number of threads, also where coordinates are equal.

Bentley 1975, Multidimensional binary search trees used for associative searching.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.core.jit import compiled, ranges, run, uncounted

#: Largest number of points in a leaf; the smallest is half of it. Two vectors of distances take as long to compute as
#: one step of a descent.
LEAF = 32
#: Points of a subtree that one call builds in a few milliseconds: its keys stay in the second-level cache.
SUBTREE = 1 << 15
#: Most numbers that one call gathers, over all levels: about 0.1 s.
PIECE = 1 << 23
#: Rows written at a time.
ROWS = 64
#: Features by which points are put in order, at most.
ORDERED = 32


class Tree(NamedTuple):
    """A kd-tree of n points with m features; see the module's text for how nodes are numbered.

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        The point at each position; increasing within a leaf.
    low, high : ndarray of shape (2 ** (depth + 1) - 1, m), the features' dtype
        Corners of the bounding box of each node.
    depth : int
        Level of the leaves.
    """

    order: np.ndarray
    low: np.ndarray
    high: np.ndarray
    depth: int


def order_of(features: np.ndarray, leaf: int) -> np.ndarray:
    """The order of points in a tree of their widest features: where there are many, all would take long to bound.

    For uses in which a point's place decides how long a search takes, and not what it finds.
    """
    if len(features) > ORDERED:
        with np.errstate(over="ignore", invalid="ignore"):
            width = np.array([float(values.max()) - float(values.min()) for values in features])
        features = features[np.sort(np.argpartition(-width, ORDERED)[:ORDERED])]
    return build(features, leaf).order


@uncounted
def span(node, n):
    """First position of a node, and the one after its last."""
    level = 0
    while (node + 1) >> (level + 1):
        level += 1
    j = node + 1 - (1 << level)
    return (n * j) >> level, (n * (j + 1)) >> level


@uncounted
def comes_first(key, index, other_key, other_index):
    return key < other_key or (key == other_key and index < other_index)


@uncounted
def select(keys, order, begin, end, place):
    """Partition positions begin..end-1 so that the entry at ``place`` is that of the sorted order.

    Quickselect (Hoare 1961, Algorithm 65: Find). The pivot is the median of three entries at places that a fixed
    generator draws, so that no common order of the points is a bad case.
    """
    seed = np.uint32(begin + 1)
    while end - begin > 1:
        length = np.uint32(end - begin)
        seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
        a = begin + np.int64((seed >> np.uint32(1)) % length)
        seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
        b = begin + np.int64((seed >> np.uint32(1)) % length)
        c = begin + (end - begin) // 2
        if comes_first(keys[b], order[b], keys[a], order[a]):
            a, b = b, a
        if comes_first(keys[c], order[c], keys[b], order[b]):
            b = a if comes_first(keys[c], order[c], keys[a], order[a]) else c
        key, index = keys[b], order[b]
        i, j = begin, end - 1
        while i <= j:
            while comes_first(keys[i], order[i], key, index):
                i += 1
            while comes_first(key, index, keys[j], order[j]):
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if place <= j:
            end = j + 1
        elif place >= i:
            begin = i
        else:
            return


@uncounted
def bound(features, order, begin, end, low, high, first, last):
    """The bounding box of positions begin..end-1, of the features first..last-1."""
    for k in range(first, last):
        values = features[k]
        least = most = values[order[begin]]
        for place in range(begin + 1, end):
            value = values[order[place]]
            least = min(least, value)
            most = max(most, value)
        low[k] = least
        high[k] = most


@uncounted
def longest_side(low, high):
    """Of a box; the first of equal ones."""
    side = 0
    longest = low.dtype.type(-1)
    for k in range(low.size):
        if high[k] - low[k] > longest:
            longest = high[k] - low[k]
            side = k
    return side


@uncounted
def sort(values):
    """Insertion sort: NumPy's sort, for the few points of a leaf, compiles for a second."""
    for place in range(1, values.size):
        value = values[place]
        at = place
        while at > 0 and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@uncounted
def split(features, order, keys, low, high, depth, node):
    """Split a node whose box is known, or sort it if it is a leaf."""
    begin, end = span(node, order.size)
    if node + 1 >= 1 << depth:
        sort(order[begin:end])
        return
    values = features[longest_side(low[node], high[node])]
    for place in range(begin, end):
        keys[place] = values[order[place]]
    _, middle = span(2 * node + 1, order.size)
    select(keys, order, begin, end, middle)


@compiled
def bound_node(features, order, keys, low, high, depth, node, first, last):
    begin, end = span(node, order.size)
    bound(features, order, begin, end, low[node], high[node], first, last)


@compiled
def split_node(features, order, keys, low, high, depth, node):
    split(features, order, keys, low, high, depth, node)


@compiled
def divide_subtree(features, order, keys, low, high, depth, node):
    """Divide a node and all below it, level by level."""
    first = last = node
    while first < low.shape[0]:
        for below in range(first, last + 1):
            begin, end = span(below, order.size)
            bound(features, order, begin, end, low[below], high[below], 0, features.shape[0])
            split(features, order, keys, low, high, depth, below)
        first, last = 2 * first + 1, 2 * last + 2


def depth_for(n: int, leaf: int = LEAF) -> int:
    """Level of the leaves of a tree of n points, so that no leaf has more than ``leaf`` points."""
    depth = 0
    while -(-n >> depth) > leaf:
        depth += 1
    return depth


def build(features: np.ndarray, leaf: int = LEAF) -> Tree:
    """The kd-tree of points without NaN, features (m, n) of any m and n >= 1. O(n (m + log n) log n) time.

    Beside the tree, n numbers are in use while it is built.
    """
    m, n = features.shape
    depth = depth_for(n, leaf)
    nodes = (2 << depth) - 1
    order = np.arange(n)
    low, high = np.empty((nodes, m), features.dtype), np.empty((nodes, m), features.dtype)
    common = (features, order, np.empty(n, features.dtype), low, high, depth)
    level = 0
    while level < depth and (n >> level) > min(SUBTREE, PIECE // (m * (depth - level + 1))):
        here = range((1 << level) - 1, (2 << level) - 1)
        some = ranges(m, max(1, PIECE // (n >> level)))
        run(bound_node, [(*common, node, *piece) for node in here for piece in some])
        run(split_node, [(*common, node) for node in here])
        level += 1
    run(divide_subtree, [(*common, node) for node in range((1 << level) - 1, (2 << level) - 1)], threads=n > SUBTREE)
    return Tree(order, low, high, depth)


@compiled
def take_rows(features, order, rows, begin, end):
    for start in range(begin, end, ROWS):
        stop = min(start + ROWS, end)
        for k in range(features.shape[0]):
            values = features[k]
            for place in range(start, stop):
                rows[place, k] = values[order[place]]


def rows_of(features: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Points by row, shape (n, m), in an order."""
    m = len(features)
    rows = np.empty((order.size, m), features.dtype)
    pieces = ranges(order.size, max(ROWS, PIECE // (4 * m)))
    run(take_rows, [(features, order, rows, *piece) for piece in pieces])
    return rows
