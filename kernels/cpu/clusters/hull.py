"""Convex hulls of clusters in the plane: only their corners can be farthest from a point (complete linkage).

A distance from a fixed point is a convex function, so it is largest at a corner of the convex hull. Distances that
are computed are rounded, so a point is dropped only where a corner is farther by more than rounding, from anywhere.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import uncounted

#: Upper bound, in units of eps, of the relative error of a computed distance in the plane.
ROUNDINGS = 64


@uncounted
def swap(X, index, i, j):
    for k in range(X.shape[1]):
        X[i, k], X[j, k] = X[j, k], X[i, k]
    index[i], index[j] = index[j], index[i]


@uncounted
def turn(X, a, b, c):
    """Twice the signed area of a triangle: positive if c lies to the left of the line from a to b."""
    return (X[b, 0] - X[a, 0]) * (X[c, 1] - X[a, 1]) - (X[b, 1] - X[a, 1]) * (X[c, 0] - X[a, 0])


@uncounted
def keep_ends(X, index, begin, end):
    """Move the smallest and the largest of points on a line to the front; return how many are kept."""
    for i in range(begin, end):
        if X[i, 0] < X[begin, 0]:
            swap(X, index, begin, i)
    for i in range(begin + 1, end):
        if X[i, 0] > X[begin + 1, 0]:
            swap(X, index, begin + 1, i)
    return min(end - begin, 2)


@uncounted
def needless(X, p, corners, first, last, diameter, strict):
    """Whether from every place within the diameter some corner is farther than point p, by more than rounding.

    Either p lies deep inside the hull: then the hull goes on behind it. Or (``strict``: of the Euclidean distance) it
    lies at a side of the hull, far from both ends: of a point at a and b from them, the mean of the squares at the
    ends is larger by a b (Stewart's theorem).
    """
    rounding = ROUNDINGS * np.finfo(X.dtype).eps * diameter
    deep = True
    for k in range(first, last):
        u = corners[k]
        v = corners[k + 1] if k + 1 < last else corners[first]
        dx, dy = X[v, 0] - X[u, 0], X[v, 1] - X[u, 1]
        length = np.sqrt(dx * dx + dy * dy)
        depth = turn(X, u, v, p) / length
        if not depth > rounding:
            deep = False
            if strict:
                along = (dx * (X[p, 0] - X[u, 0]) + dy * (X[p, 1] - X[u, 1])) / length
                if along > 0 and along < length:
                    gain = along * (length - along) / (2 * diameter)
                    if gain > abs(depth) + rounding:
                        return True
    return deep


@uncounted
def keep_corners(X, index, begin, end, corners, diameter, strict):
    """Move the corners of the convex hull of points in the plane, and points too near to it, to the front.

    Returns how many are kept. ``corners`` is scratch for 2 (end - begin) + 2 numbers. Andrew 1979, Another efficient
    algorithm for convex hulls in two dimensions.
    """
    count = end - begin
    if count < 4:
        return count
    order = corners[count + 2 :]  # of points, from left to right
    for i in range(count):
        p = begin + i
        place = i
        while place > 0 and (
            X[order[place - 1], 0] > X[p, 0]
            or (X[order[place - 1], 0] == X[p, 0] and X[order[place - 1], 1] > X[p, 1])
        ):
            order[place] = order[place - 1]
            place -= 1
        order[place] = p
    top = 0
    for i in range(count):  # the lower side
        while top > 1 and turn(X, corners[top - 2], corners[top - 1], order[i]) <= 0:
            top -= 1
        corners[top] = order[i]
        top += 1
    lower = top
    for i in range(count - 2, -1, -1):  # the upper side
        while top > lower and turn(X, corners[top - 2], corners[top - 1], order[i]) <= 0:
            top -= 1
        corners[top] = order[i]
        top += 1
    top -= 1  # the first point again
    for i in range(count):
        p = begin + i
        order[i] = 1
        for k in range(top):
            if corners[k] == p:
                order[i] = 2
                break
    for i in range(count):
        if order[i] == 1 and needless(X, begin + i, corners, 0, top, diameter, strict):
            order[i] = 0
    kept = 0
    for i in range(count):
        if order[i] > 0:
            if i != kept:
                swap(X, index, begin + kept, begin + i)
            kept += 1
    return kept
