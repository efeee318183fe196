"""Functions that run on workers. Their results depend on their arguments only, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import one_thread
from gpuclust.core.methods import METHODS
from gpuclust.core.version import __version__
from gpuclust.dask.shared import Shared, unpacked


def call(version: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of this module with one thread of kernels: a worker runs as many tasks as it has threads."""
    if version != __version__:
        raise RuntimeError(
            f"A worker has gpuclust {__version__}, and the client {version}: all must have the same version."
        )
    with one_thread():
        return function(*arguments)


def given(*values: Any) -> Shared:
    """Values that are in the definition of the task, so that they can be made again anywhere."""
    return Shared(*values)


def piece(part: np.ndarray) -> np.ndarray:
    """A piece of an array, likewise."""
    return part


def assembled(
    template: tuple[Any, ...], shapes: dict[int, tuple[int, ...]], places: list[int], *pieces: Any
) -> Shared:
    """Values some of which are arrays in pieces; ``places`` are those of the pieces in ``template``."""
    values = list(template)
    for place, shape in shapes.items():
        own = [part for at, part in zip(places, pieces, strict=True) if at == place]
        values[place] = np.concatenate(own).reshape(shape)
    return Shared(*values)


def shard(number: int, shards: int, nbytes: int) -> Shared:
    """An object that keeps the rows of a shard of a matrix on the worker that holds it."""
    from gpuclust.dask.shards import Shard

    return Shard(number, shards, nbytes)


def has_gpu() -> tuple[np.ndarray]:
    """Whether this worker can use a GPU."""
    from gpuclust.core import devices

    return (np.array(devices.missing() is None),)


def lists(
    points: Shared, k: int, sides: int, one: int, other: int, bounds: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    """Neighbour lists among the pairs of two sides, of points in screened boxes: positions and distances of each.

    ``bounds`` are distances of the rows: entries farther than these may be left out.
    """
    from gpuclust.kernels.cpu.clusters.screen_pairs import Share, lists_of

    arranged = _boxes(points)
    share = Share(sides, one, other)
    near, held = arranged.lists(k, share, bounds)
    return lists_of(near, held, share, arranged.starts)


def _boxes(points: Shared) -> Any:
    """Points in screened boxes, in the order of the client."""
    from gpuclust.kernels.cpu.points.index import Screened

    return points.derived("boxes", lambda: Screened(unpacked(points), points.values[-1]))


def outside_boxes(points: Shared, components: Shared, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest of another component for some positions, in screened boxes: positions (-1: none) and distances."""
    here, best, searched = components.values
    searched = searched[begin:end]
    arranged = _boxes(points)
    near, bound = np.full(here.size, -1, np.int32), np.empty(here.size, best.dtype)
    arranged.outside(here, best.copy(), near, bound, searched)
    return near[searched], bound[searched]


def edges_between(points: Shared, components: Shared, place: int, parts: int) -> tuple[np.ndarray, ...]:
    """Shortest edges between components, of a part of all pairs of screened boxes."""
    from gpuclust.kernels.cpu.points import component_edges

    here, bound = components.values

    def make() -> Any:
        arranged = _boxes(points)
        points.saved.pop("boxes")  # whose points are moved
        return arranged.by_component(here.astype(np.int64))

    return component_edges.found(components.derived("boxes", make)(bound, (place, parts)))


def minima_of_rows(points: Shared, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbour of every point in the pairs of some rows with all later ones: indices and distances."""
    from gpuclust.kernels.cpu.points.nearest import minima_of_rows

    return minima_of_rows(unpacked(points), begin, end)


def outside_points(
    points: Shared, components: Shared, begin: int, end: int, on_gpu: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest point of another component for some points: indices and distances."""
    component, rows = components.values
    rows = rows[begin:end]
    if on_gpu and has_gpu()[0]:
        from gpuclust.core.backend import select
        from gpuclust.kernels.cuda.boxes import search_outside

        with select("cuda").active():
            return search_outside(unpacked(points), component, rows)
    from gpuclust.kernels.cpu.points.nearest import nearest_outside

    return nearest_outside(unpacked(points), component, rows)


def knn_of_rows(points: Shared, k: int, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbour lists of some points, by all distances: indices and distances."""
    from gpuclust.kernels.cpu.points.knn import knn_of_rows

    own = unpacked(points)
    index, distance = np.full((own.n, k), -1), np.full((own.n, k), np.inf, own.dtype)
    knn_of_rows(own, begin, end, index, distance)
    return index[begin:end], distance[begin:end]


def nearest_cluster(
    points: Shared, method: str, partition: Shared, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest of all clusters of points, for some of them: rows and dissimilarities."""
    from gpuclust.kernels.cpu.clusters.cluster_search import nearest_cluster

    return nearest_cluster(unpacked(points), METHODS[method], Clusters(*partition.values), rows)


def rows_of_shard(what: str, argument: Any, shard: Any, *state: Any) -> Any:
    """Call a method of the rows of a shard, brought up to date by the log of merges.

    To an answer that is a tuple the address of the worker is added, which keeps these rows.
    """
    from distributed import get_worker

    from gpuclust.dask import shards

    found = shards.call(what, argument, shard, *state)
    return (*found, np.array(get_worker().address)) if isinstance(found, tuple) else found


def summary_lists(
    base: Shared, k: int, sides: int, one: int, other: int, bounds: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    """As `lists`, of the summaries of points."""
    from gpuclust.dask.replicas import replica_at
    from gpuclust.kernels.cpu.clusters.screen_pairs import Share

    return replica_at(base, []).search_share(k, Share(sides, one, other), bounds)


def summary_rows(
    rows: np.ndarray, near: np.ndarray, held: np.ndarray, base: Shared, *log: Shared
) -> tuple[np.ndarray, ...]:
    """The lists of some clusters completed by a search of all: rows, dissimilarities, and limits."""
    from gpuclust.dask.replicas import replica_at

    return replica_at(base, list(log)).search_rows(rows, near, held)


def correlate(
    points: Shared, tree: Shared, shift: float, centre: float, begin: int, end: int
) -> tuple[np.ndarray, ...]:
    """Sums of `Backend.correlate` for some strips of rows."""
    from types import SimpleNamespace

    from gpuclust.kernels.cpu.matrix.cophenetic import strip_sums

    arrays = SimpleNamespace(n=tree.values[0].size + 1, arrays=tree.values)
    return (strip_sums(unpacked(points), arrays, shift, centre, range(begin, end)),)
