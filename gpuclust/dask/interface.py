"""gpuclust.dask.linkage and other functions of the library whose searches run on a Dask cluster."""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.algorithms.stored import Stored
from gpuclust.algorithms.table import AUTO
from gpuclust.compute import compute
from gpuclust.core import metrics
from gpuclust.core.backend import Backend
from gpuclust.core.methods import resolve
from gpuclust.core.names import MethodName, MetricName
from gpuclust.core.preparation import table_arguments
from gpuclust.core.progress import Progress
from gpuclust.core.real_arrays import real_array, to_host
from gpuclust.core.sizes import FUSED
from gpuclust.dask import tasks
from gpuclust.dask.backend import DaskBackend
from gpuclust.dask.checkpoint import Checkpoint, digest
from gpuclust.dask.cluster import Cluster
from gpuclust.dask.connection import seconds, usable, usable_memory, workers_of
from gpuclust.dask.planning import with_shards
from gpuclust.dask.reading import read
from gpuclust.distance import neighbors
from gpuclust.hierarchy import cophenetic
from gpuclust.plan import Plan, plan_for, working_type

_log = logging.getLogger("gpuclust")

#: Memory for a plan that is not the client's.
UNLIMITED = 2**62


def linkage(
    X: Any,
    method: MethodName | str = "single",
    metric: MetricName | str = "euclidean",
    *,
    client: Any = None,
    checkpoint: Any = None,
    timeout: float = 600.0,
    device: str = "auto",
    dtype: str = "float64",
    progress: Progress = False,
    memory_limit: int | str | None = None,
    algorithm: str = AUTO,
    p: float | None = None,
    w: ArrayLike | None = None,
    V: ArrayLike | None = None,
    VI: ArrayLike | None = None,
) -> np.ndarray:
    """Agglomerative hierarchical clustering on a Dask cluster, with the result of `gpuclust.linkage`.

    The client makes the merges; workers search for nearest neighbours. The result has the bits of
    ``gpuclust.linkage(X, method, metric, device="cpu")`` on the client's machine, whatever the number of workers, and
    whichever of them join or die meanwhile. Where the client has not the memory for the matrix of complete, average
    or weighted linkage, workers hold it, if they can; the result has the bits of ``algorithm="stored"`` then.

    Parameters
    ----------
    X : array_like of shape (n, m), dask.array.Array, or path
        Points. They have to fit into the memory of the client and of every worker; see `gpuclust.dask.plan`. A path,
        or URL of fsspec, is that of a .npy file, of an array in a .zarr store (with zarr), or of a .parquet file or
        folder of them (with pyarrow), all of whose columns are numbers. The client reads it.
    method : {"single", "complete", "average", "weighted", "ward", "centroid", "median"}
        The linkage. The client computes centroid and median alone.
    metric : str
        Any metric of `gpuclust.distance.pdist` by name.
    client : distributed.Client, optional
        By default the current client.
    checkpoint : str or path, optional
        A folder, with fsspec also a remote one, in which answers of workers are kept while the job runs. After the
        death of the client or of the scheduler, the same call goes on from there. It is emptied in the end.
    timeout : float
        Seconds without a finished task after which `ClusterFailed` is raised.
    device : {"auto", "cpu", "cuda"}
        Where workers search for edges of a spanning tree (single linkage): "auto" asks one of them whether it has a
        GPU. With "cuda" workers without one use their CPU. All other searches use the CPU.
    dtype, progress, memory_limit, algorithm, p, w, V, VI
        As for `gpuclust.linkage`; the limit is that of the client.

    Returns
    -------
    Z : ndarray of shape (n - 1, 4), float64
        See `gpuclust.linkage`.

    Raises
    ------
    ClusterFailed
        If no task finishes within ``timeout``, the scheduler cannot be reached, or workers die of a task.
    ValueError
        As for `gpuclust.linkage`; also for X with unknown chunk sizes, if there is no client, or if ``checkpoint`` is
        that of another job.
    DoesNotFit
        If the client has not enough memory, or the workers for a matrix that they are to hold.
    TypeError
        If ``metric`` is not a name, or ``client`` is no client.

    See Also
    --------
    gpuclust.dask.plan : memory, tasks and traffic before the job is run.

    Notes
    -----
    Tasks are pure functions of arrays that are in the definitions of other tasks, so Dask can repeat any of them on
    any worker. Answers are joined by (dissimilarity, smaller id, larger id). Each task uses one thread.

    Examples
    --------
    >>> from distributed import Client
    >>> from gpuclust.dask import linkage
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     linkage([[0.0], [1.0], [5.0]], "single", client=client)
    array([[0., 1., 1., 2.],
           [2., 3., 4., 3.]])
    """
    _named(metric)
    arguments = metrics.given(p=p, w=w, V=V, VI=VI)
    client = usable(client)
    points = read(X, client, timeout)
    kept = Checkpoint(checkpoint)
    if checkpoint is not None:
        job = {
            "data": digest(points),
            "method": method,
            "metric": metric,
            "dtype": working_type(dtype),
            "device": device,
        }
        kept.open({**job, "algorithm": algorithm, "arguments": digest(*sorted_items(arguments))})
    cluster, backend = _backend(client, timeout, kept, device)
    local = _with_shards(points, method, metrics.resolve(metric, p), dtype, memory_limit, algorithm, client)
    if local is not None:
        local.check()
        backend.local, algorithm, memory_limit = local, Stored.name, UNLIMITED
    options: dict[str, Any] = {"dtype": dtype, "progress": progress, "memory_limit": memory_limit}
    try:
        found = compute(
            points,
            method,
            metric,
            device="cpu",
            algorithm=algorithm,
            backend=cast(Backend, backend),
            **options,
            **arguments,
        )
    finally:
        if checkpoint is not None:
            kept.flush(force=True)
    if checkpoint is not None:
        kept.remove()
    _log.info("%s tasks, %s bytes sent, %s received", cluster.tasks, cluster.sent, cluster.received)
    return found.Z


def nearest_neighbors(
    X: Any,
    k: int,
    metric: str = "euclidean",
    *,
    client: Any = None,
    timeout: float = 600.0,
    dtype: str = "float64",
    **kwargs: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbours of every point, as `gpuclust.distance.nearest_neighbors`, on a Dask cluster.

    Parameters
    ----------
    X : array_like of shape (n, m), dask.array.Array, or path
    k : int
        Number of neighbours, from 1 to n - 1.
    metric : str
        Any metric of `gpuclust.distance.pdist` by name.
    client, timeout
        As for `gpuclust.dask.linkage`.
    dtype : {"float64", "float32"}
    **kwargs
        Arguments of the metric: p, w, V, VI.

    Returns
    -------
    distances : ndarray of shape (n, k)
    indices : ndarray of shape (n, k), int64
        See `gpuclust.distance.nearest_neighbors`.

    Examples
    --------
    >>> from distributed import Client
    >>> from gpuclust.dask import nearest_neighbors
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     distances, indices = nearest_neighbors([[0.0], [1.0], [5.0]], 1, client=client)
    >>> indices.ravel()
    array([1, 0, 1])
    """
    _named(metric)
    client = usable(client)
    points = to_host(real_array(read(X, client, timeout), "X"))
    _, backend = _backend(client, timeout, Checkpoint(None), "cpu")
    return neighbors.by_backend(
        cast(Backend, backend), points, k, metric, working_type(dtype), table_arguments(kwargs)
    )


def cophenetic_correlation(
    Z: ArrayLike, X: Any, metric: str = "euclidean", *, client: Any = None, timeout: float = 600.0, **kwargs: Any
) -> float:
    """Cophenetic correlation from points, as `gpuclust.hierarchy.cophenetic_correlation`, on a Dask cluster.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    X : array_like of shape (n, m), dask.array.Array, or path
        The points that it was made from.
    metric : str
        Any metric of `gpuclust.distance.pdist` by name.
    client, timeout
        As for `gpuclust.dask.linkage`.
    **kwargs
        Arguments of the metric: p, w, V, VI.

    Returns
    -------
    float
        From -1 to 1; NaN where one of the two is constant.

    Examples
    --------
    >>> from distributed import Client
    >>> from gpuclust.dask import cophenetic_correlation, linkage
    >>> X = [[0.0], [1.0], [5.0], [7.0]]
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     Z = linkage(X, "average", client=client)
    ...     round(cophenetic_correlation(Z, X, client=client), 4)
    0.902
    """
    _named(metric)
    client = usable(client)
    tree, rows = cophenetic.in_leaf_order(Z, read(X, client, timeout), metric)
    _, backend = _backend(client, timeout, Checkpoint(None), "cpu")
    return cophenetic.by_backend(cast(Backend, backend), tree, rows, metric, **kwargs)


def sorted_items(arguments: dict[str, Any]) -> list[Any]:
    """Names and values of arguments, arrays as arrays, for `digest`."""
    return [item for name in sorted(arguments) for item in (name, np.asarray(arguments[name]))]


def _with_shards(
    points: Any, method: str, metric: Any, dtype: str, memory_limit: int | str | None, algorithm: str, client: Any
) -> Plan | None:
    """The plan of the client if workers are to hold the matrix of clusters."""
    shape: tuple[int, ...] = getattr(points, "shape", ())
    if len(shape) != 2 or shape[0] <= FUSED or shape[1] < 1 or resolve(method).pairs is None:
        return None
    job = plan_for(shape[0], shape[1], method, metric, dtype, "cpu", memory_limit, algorithm=algorithm)
    return with_shards(job, algorithm, [usable_memory(each, job.limit) for each in workers_of(client).values()])


def _named(metric: Any) -> None:
    if not isinstance(metric, str):
        raise TypeError(f"metric must be the name of a metric, got {metric!r}: workers have no Python functions.")


def _backend(client: Any, timeout: Any, kept: Checkpoint, device: str) -> tuple[Cluster, DaskBackend]:
    timeout = seconds(timeout)
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}.")
    cluster = Cluster(client, timeout, kept)
    found = [device == "cuda"]
    if device == "auto":
        cluster.each("has-gpu", tasks.has_gpu, [()], lambda place, answer: found.append(bool(answer[0])))
    return cluster, DaskBackend(cluster, found[-1])
