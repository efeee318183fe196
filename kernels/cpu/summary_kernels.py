"""What is compiled for clusters as summaries (`gpuclust.kernels.cpu.summaries`): searches and the chain."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from gpuclust import centroids, methods, metrics
from gpuclust.kernels.cpu import launch, pairwise, tiles
from gpuclust.kernels.cpu.launch import compiled, named
from gpuclust.kernels.cpu.tiles import nearest_in
from gpuclust.methods import Method
from gpuclust.metrics import Metric

#: Clusters a block: dissimilarities and the slices of four features stay in the first-level cache.
BLOCK = 512
#: Dissimilarities that are looked at one by one when one of them is near enough.
PROBE = 64


class Kernels(NamedTuple):
    """The compiled functions for a linkage and a dtype."""

    search: Callable[..., Any]
    carry: Callable[..., Any]
    refine: Callable[..., Any]
    unite: Callable[..., Any]
    chain: Callable[..., Any]


def _square(square: Any, sa: Any, sb: Any) -> Any:
    """In place of a linkage's geometric form where it has none; not called."""
    return square


def _none(square: Any, va: Any, vb: Any, sa: Any, sb: Any) -> Any:
    """In place of a linkage's scatter where it has none; not called."""
    return va


@cache
def kernels(metric: Metric, method: Method, dtype: np.dtype) -> Kernels:
    row_of_distances = pairwise.row_kernel(metric, False)
    spread = method.scatter is not None
    geometric = pairwise.jitable(method.geometric or _square)
    scatter_of = pairwise.jitable(method.scatter or _none)
    united, difference = pairwise.jitable(centroids.united), pairwise.jitable(centroids.difference)
    counted = method.counted
    stamp = launch.stamp(centroids, metrics, methods, pairwise, tiles)

    @register_jitable
    @named(dtype)
    def take(values, labels, ids, which, best, last):
        """Take values of rows ``labels`` that come before entry ``last`` into a list; returns its last entry."""
        for k in range(values.size):
            value = values[k]
            y = labels[k]
            if not (value <= best[last] and value < np.inf):
                continue
            if value == best[last] and ids[y] > ids[which[last]]:
                continue
            at = last
            if last + 1 < best.size:  # the list is not full: its last entry stays, one further on
                best[last + 1] = best[last]
                which[last + 1] = which[last]
                last += 1
            while at > 0 and (value < best[at - 1] or (value == best[at - 1] and ids[y] < ids[which[at - 1]])):
                best[at] = best[at - 1]
                which[at] = which[at - 1]
                at -= 1
            best[at] = value
            which[at] = y
        return last

    @compiled
    @named(metric.name, method.name, dtype)
    def search(
        features,
        size,
        scatter,
        ids,
        p,
        near,
        held,
        others,
        other_size,
        other_scatter,
        label,
        rows,
        spot,
        begin,
        end,
        note,
        least,
    ):
        """Take clusters ``others``, which are rows ``label``, into the lists of the clusters ``rows[begin:end]``.

        An empty list is filled. One that is not stays complete up to its last entry: only what is nearer than that
        comes in. With ``note`` the smallest dissimilarity to each of the others goes to ``least``.
        """
        stamp  # noqa: B018
        n = others.shape[1]
        listed = held.shape[1]
        infinity = features.dtype.type(np.inf)
        one = features.dtype.type(1)
        out = np.empty(BLOCK, features.dtype)
        scratch = np.empty(BLOCK, features.dtype)
        factor = np.empty(BLOCK, features.dtype)
        last = np.empty(end - begin, np.int64)  # the entry to be nearer than
        for place in range(begin, end):
            known = near[rows[place]]
            count = 0
            while count < listed and known[count] >= 0:
                count += 1
            last[place - begin] = count - 1 if count > 0 else listed - 1
        for left in range(0, n, BLOCK):
            right = min(left + BLOCK, n)
            values = out[: right - left]
            lowest = least[left:right]
            labels = label[left:right]
            sizes = other_size[left:right]
            scatters = other_scatter[left:right]
            own = one - one
            for place in range(begin, end):
                x = rows[place]
                row_of_distances(features, size, x, others, other_size, left, right, size, p, out, scratch)
                if spread:
                    own = scatter[x]
                    for k in range(values.size):
                        values[k] += own + scatters[k]
                else:
                    if size[x] != own:  # rows of one size share their factors: divisions are slow
                        own = size[x]
                        for k in range(values.size):
                            factor[k] = geometric(one, own, sizes[k])
                    for k in range(values.size):
                        values[k] = factor[k] * values[k]
                itself = spot[place] - left
                if 0 <= itself < values.size and labels[itself] == x:
                    values[itself] = infinity
                if note:
                    for k in range(values.size):
                        lowest[k] = min(lowest[k], values[k])
                for start in range(0, values.size, PROBE):
                    probe = values[start : start + PROBE]
                    limit = held[x, last[place - begin]]
                    hits = 0
                    for k in range(probe.size):
                        hits += probe[k] <= limit
                    if hits > 0:
                        last[place - begin] = take(
                            probe, labels[start : start + PROBE], ids, near[x], held[x], last[place - begin]
                        )

    @compiled
    @named(dtype)
    def carry(first, place, near, held, new_near, new_held):
        """Lists of the new rows: what is left of the old ones when clusters without a new ``place`` go."""
        stamp  # noqa: B018
        for row in range(first.size):
            x = first[row]
            count = 0
            if place[x] >= 0:
                for entry in range(near.shape[1]):
                    y = near[x, entry]
                    if y >= 0 and place[y] >= 0:
                        new_near[row, count] = place[y]
                        new_held[row, count] = held[x, entry]
                        count += 1
            new_near[row, count:] = -1
            new_held[row, count:] = np.inf

    @register_jitable
    @named(method.name, dtype)
    def square(features, low, x, y):
        """The squared distance of two centroids from both parts of them."""
        total = features.dtype.type(0)
        for k in range(features.shape[0]):
            d = difference(features[k, x], low[k, x], features[k, y], low[k, y])
            total += d * d
        return total

    @register_jitable
    @named(method.name, dtype)
    def between(total, size, scatter, x, y):
        """The dissimilarity of two clusters from the squared distance of their centroids."""
        return total + (scatter[x] + scatter[y]) if spread else geometric(total, size[x], size[y])

    @compiled
    @named(method.name, dtype)
    def refine(features, low, size, scatter, near, distance):
        stamp  # noqa: B018
        for x in range(near.shape[0]):
            y = near[x, 0]
            distance[x] = between(square(features, low, x, y), size, scatter, x, y) if y >= 0 else np.inf

    @compiled
    @named(method.name, dtype)
    def unite(features, low, size, scatter, first, second, new_features, new_low, new_scatter):
        """Centroids and scatter of the new rows: those of ``first``, united with ``second`` unless that is -1."""
        stamp  # noqa: B018
        for row in range(first.size):
            a = first[row]
            b = second[row]
            new_scatter[row] = scatter[a]
            if spread and b >= 0:
                total = square(features, low, a, b)
                new_scatter[row] = scatter_of(total, scatter[a], scatter[b], size[a], size[b])
        for k in range(features.shape[0]):
            high, rest = features[k], low[k]
            for row in range(first.size):
                a = first[row]
                b = second[row]
                x, y = high[a], rest[a]
                if b >= 0:
                    x, y = united(x, y, high[b], rest[b], size[a], size[b])
                new_features[k, row] = x
                new_low[k, row] = y

    @register_jitable
    @named(metric.name, method.name, dtype)
    def search_row(features, size, scatter, p, ids, gone, x, nearest, nearest_id, distance, out, scratch):
        """The nearest of cluster x; its dissimilarities to all stand in ``out``."""
        n = features.shape[1]
        for begin in range(0, n, BLOCK):
            end = min(begin + BLOCK, n)
            row_of_distances(features, size, x, features, size, begin, end, size, p, out[begin:end], scratch)
        for k in range(n):
            out[k] = between(out[k], size, scatter, x, k) + gone[k]
        out[x] = np.inf
        distance[x], nearest_id[x], nearest[x] = nearest_in(out, ids, gone.dtype.type(np.inf), -1, -1)

    @compiled
    @named(metric.name, method.name, dtype)
    def chain(features, low, p, size, scatter, ids, nearest, nearest_id, distance, next_id, wanted, pairs, heights):
        """As in `gpuclust.kernels.cpu.chain`, but a new cluster is searched at once, and others learn of it.

        So every nearest cluster is the true one, and a pair merges when each is the other's, whatever way the chain
        came: rounding can bring a new cluster nearer than its parts. Returns the number of rows searched, -1 if
        dissimilarities are infinite. In the end ``nearest`` is -1 where it is not known any more.
        """
        stamp  # noqa: B018
        n = features.shape[1]
        out = np.empty(n, features.dtype)
        scratch = np.empty(BLOCK, features.dtype)
        gone = np.zeros(n, features.dtype)  # infinite where there is no cluster any more
        live = 0
        for x in range(n):
            if ids[x] < 0:
                gone[x] = np.inf
                distance[x] = -np.inf  # so that nothing is nearer
            else:
                live += 1
        link = np.empty(n, np.int64)  # the chain, and the ids it had
        link_id = np.empty(n, np.int64)
        length = 0
        start = 0
        scans = 0
        done = 0
        while done < wanted:
            while length > 0 and ids[link[length - 1]] != link_id[length - 1]:
                length -= 1
            if length == 0 or length == n:
                while ids[start] < 0:
                    start += 1
                link[0] = start
                link_id[0] = ids[start]
                length = 1
            x = link[length - 1]
            if nearest[x] < 0 or ids[nearest[x]] != nearest_id[x]:
                search_row(features, size, scatter, p, ids, gone, x, nearest, nearest_id, distance, out, scratch)
                scans += 1
                if nearest[x] < 0:
                    return -1  # every dissimilarity has overflowed
            y = nearest[x]
            if nearest[y] != x or nearest_id[y] != ids[x]:
                link[length] = y
                link_id[length] = ids[y]
                length += 1
                continue
            a = min(x, y)
            b = max(x, y)
            pairs[done, 0] = ids[a]
            pairs[done, 1] = ids[b]
            total = square(features, low, a, b)
            heights[done] = between(total, size, scatter, a, b)
            sa = size[a]
            sb = size[b]
            if spread:
                scatter[a] = scatter_of(total, scatter[a], scatter[b], sa, sb)
            for k in range(features.shape[0]):
                features[k, a], low[k, a] = united(features[k, a], low[k, a], features[k, b], low[k, b], sa, sb)
            if counted:
                size[a] = sa + sb
            ids[a] = next_id + done
            ids[b] = -1
            gone[b] = np.inf
            distance[b] = -np.inf
            done += 1
            live -= 1
            if live == 1:
                break
            search_row(features, size, scatter, p, ids, gone, a, nearest, nearest_id, distance, out, scratch)
            scans += 1
            if nearest[a] < 0:
                return -1
            hits = 0
            for k in range(n):
                hits += out[k] < distance[k]
            if hits > 0:
                for k in range(n):
                    if out[k] < distance[k]:
                        distance[k] = out[k]
                        nearest[k] = a
                        nearest_id[k] = ids[a]
        for x in range(n):
            if ids[x] >= 0 and (nearest[x] < 0 or ids[nearest[x]] != nearest_id[x]):
                nearest[x] = -1
        return scans

    return Kernels(search, carry, refine, unite, chain)
