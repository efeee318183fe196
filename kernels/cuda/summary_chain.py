"""The nearest-neighbour chain over cluster summaries, in one cooperative launch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, reduce, scalar, summary_kernels
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.reduce import grid_minimum, parts_signature
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.summary_kernels import dissimilarities, nothing, squares


@cache
def chain_kernel(metric: Metric, method: Method, dtype: np.dtype) -> Kernel:
    """As in `gpuclust.kernels.cpu.clusters.summary_kernels`, by all threads: see `gpuclust.kernels.cuda.chain`.

    ``scans[0]`` becomes the number of rows searched, -1 if dissimilarities are infinite. A search costs two
    synchronisations of the grid, and a merge two and a search.
    """
    spread = method.scatter is not None
    scatter_of = translated(method.scatter or nothing, dtype)
    united = translated(centroids.united, dtype)
    square, between = squares(metric, dtype), dissimilarities(method, dtype)
    minimum = grid_minimum(dtype)
    counted = method.counted
    number = real(dtype)
    zero, infinity = dtype.type(0), dtype.type(np.inf)
    stamp = launch.stamp(centroids, methods, metrics, points, reduce, scalar, summary_kernels)

    @kernel(
        number[:, ::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        INT[::1],
        INT[::1],
        INT[::1],
        number[::1],
        INT[:, ::1],
        INT,
        INT,
        INT[:, ::1],
        number[::1],
        INT[::1],
        *parts_signature(dtype),
        cooperative=True,
    )
    @named(metric.name, method.name, dtype)
    def chain(
        features,
        low,
        union,
        size,
        scatter,
        ids,
        nearest,
        nearest_id,
        distance,
        link,
        next_id,
        wanted,
        pairs,
        heights_made,
        scans,
        parts,
        part_keys,
        part_places,
    ):
        stamp  # noqa: B018
        held = cuda.shared.array(THREADS, number)
        keys = cuda.shared.array(THREADS, INT)
        places = cuda.shared.array(THREADS, INT)
        me = np.int64(cuda.grid(1))
        threads = np.int64(cuda.gridsize(1))
        n = np.int64(features.shape[1])
        top = np.int64(-1)
        top_id = np.int64(-1)
        length = np.int64(0)
        start = np.int64(0)
        found = np.int64(0)
        done = np.int64(0)
        live = np.int64(0)
        total = zero
        turn = np.int64(0)
        for k in range(n):
            if ids[k] >= 0:
                live += 1
        joined = np.int64(-1)  # a union that has just been made, to be searched, and others to learn of it
        while done < wanted or joined >= 0:
            if joined >= 0:
                x = joined
            else:
                popped = False
                while length > 0 and ids[top] != top_id:
                    length -= 1
                    popped = True
                    if length > 0:
                        top = link[0, length - 1]
                        top_id = link[1, length - 1]
                if popped:  # before a new link overwrites a place that another thread still reads
                    cuda.cg.this_grid().sync()
                if length == 0 or length == n:
                    while ids[start] < 0:
                        start += 1
                    top = start
                    top_id = ids[start]
                    length = np.int64(1)
                    if me == 0:
                        link[0, 0] = top
                        link[1, 0] = top_id
                x = top
            y = nearest[x]
            if joined >= 0 or y < 0 or ids[y] != nearest_id[x]:
                best = infinity
                key = np.int64(-1)
                place = np.int64(-1)
                for k in range(me, n, threads):
                    if ids[k] >= 0 and k != x:
                        value = between(square(features, low, x, features, low, k), size, scatter, x, k)
                        if value < best or (value == best and ids[k] < key):
                            best = value
                            key = ids[k]
                            place = np.int64(k)
                        if joined >= 0 and value < distance[k]:
                            distance[k] = value
                            nearest[k] = x
                            nearest_id[k] = ids[x]
                d, key, y = minimum(best, key, place, held, keys, places, parts, part_keys, part_places, turn)
                turn = 1 - turn
                found += 1
                if y < 0:
                    found = np.int64(-1)  # every dissimilarity has overflowed
                    break
                if me == 0:
                    distance[x] = d
                    nearest_id[x] = key
                    nearest[x] = y
                cuda.cg.this_grid().sync()
                if joined >= 0:
                    joined = np.int64(-1)
                    continue
            if nearest[y] != x or nearest_id[y] != ids[x]:
                if me == 0:
                    link[0, length] = y
                    link[1, length] = ids[y]
                top = y
                top_id = ids[y]
                length += 1
                continue
            a = min(x, y)
            b = max(x, y)
            sa = size[a]
            sb = size[b]
            if me == 0:
                pairs[done, 0] = ids[a]
                pairs[done, 1] = ids[b]
                total = square(features, low, a, features, low, b)
                heights_made[done] = between(total, size, scatter, a, b)
            for f in range(me, features.shape[0], threads):
                if sa >= sb:  # the larger one moves less, which rounds less
                    union[0, f], union[1, f] = united(features[f, a], low[f, a], features[f, b], low[f, b], sa, sb)
                else:
                    union[0, f], union[1, f] = united(features[f, b], low[f, b], features[f, a], low[f, a], sb, sa)
            cuda.cg.this_grid().sync()
            for f in range(me, features.shape[0], threads):
                features[f, a] = union[0, f]
                low[f, a] = union[1, f]
            if me == 0:
                if spread:
                    scatter[a] = scatter_of(total, scatter[a], scatter[b], sa, sb)
                if counted:
                    size[a] = sa + sb
                ids[a] = next_id + done
                ids[b] = -1
            cuda.cg.this_grid().sync()
            done += 1
            live -= 1
            if live == 1:
                break
            joined = a
        if me == 0:
            scans[0] = found

    return chain


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    metric = metrics.METRICS["sqeuclidean"]
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        for method in methods.METHODS.values():
            if method.geometric is not None or method.scatter is not None:
                yield chain_kernel(metric, method, dtype)
