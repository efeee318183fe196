"""Points that are equal to each other merge first: at height zero, and without being searched.

A list of nearest neighbours that holds copies of a point only proves nothing, and of many equal dissimilarities few
are reciprocal. What is left has one point for all its copies, with their number as its weight.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.duplicates import groups
from gpuclust.core.merges import Merging
from gpuclust.core.methods import Method
from gpuclust.core.points import Points


def merge_equal(points: Points, method: Method, merges: Merging) -> tuple[Points, Clusters]:
    """Merge points that are the same number by number, and whose dissimilarity is therefore zero.

    Returns one point of each group, and clusters of one point each, in the order of their ids. Groups merge in pairs
    of pairs, so that ids, and the weights of weighted linkage, don't depend on how many there are. O(n m) time and a
    sort of n numbers.
    """
    n = points.n
    dtype = points.features.dtype
    group = groups(points)
    count = int(group.max()) + 1
    if count == n:
        return points, Clusters.of_points(n, dtype)
    order = np.argsort(group, kind="stable")
    group = group[order]
    first = order[np.flatnonzero(np.diff(group, prepend=-1))]
    sizes = np.bincount(group, minlength=count)
    ids = order.copy()  # of what is left of each group, group by group
    while ids.size > count:
        start = np.flatnonzero(np.diff(group, prepend=-1))
        place = np.arange(ids.size) - np.repeat(start, np.diff(np.append(start, ids.size)))
        left = np.flatnonzero((place[:-1] % 2 == 0) & (group[:-1] == group[1:]))
        pairs = np.stack((ids[left], ids[left + 1]), axis=1)
        ids[left] = n + merges.done + np.arange(left.size)
        merges.add(pairs, np.zeros(left.size, dtype), 0)
        stays = np.ones(ids.size, bool)
        stays[left + 1] = False
        ids, group = ids[stays], group[stays]
    by_id = np.argsort(ids)
    weight = sizes[by_id].astype(dtype) if method.counted else np.ones(count, dtype)
    clusters = Clusters(ids[by_id], np.arange(count), np.arange(count + 1), weight, weight.copy())
    return points.at(first[by_id]), clusters
