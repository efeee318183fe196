"""Plan of a linkage on a Dask cluster: memory of workers, tasks, traffic, and time against that of one machine.

The model counts what the searches of `gpuclust.dask.searches` do; docs/distributed.md compares it with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Any

from gpuclust.algorithms import costs
from gpuclust.algorithms.cluster_tree import ClusterTree
from gpuclust.algorithms.costs import ROUNDS, screened
from gpuclust.algorithms.stored import Hybrid, Stored, StoredAllPairs, clusters_left
from gpuclust.algorithms.table import ALGORITHMS, AUTO
from gpuclust.core.memory import format_bytes
from gpuclust.core.sizes import BY_TREE, FUSED, LISTED, LISTED_WIDE, NEIGHBOURS, WIDE
from gpuclust.core.text import format_seconds
from gpuclust.dask import searches
from gpuclust.dask.connection import usable, usable_memory, workers_of
from gpuclust.dask.matrix import shards_of
from gpuclust.errors import DoesNotFit
from gpuclust.plan import Plan, plan_for

#: Seconds of a task, and of a round of tasks, beside its work.
TASK, ROUND = 0.002, 0.03
#: Bytes a second between client, scheduler and workers.
NETWORK = 4e8
#: Rounds of Borůvka's algorithm whose searches are tasks.
BORUVKA = 5
#: Part of the work of a linkage that the client does alone: trees, bookkeeping, merges.
ALONE = 0.1
#: Rows searched after the first search of all, by a linkage on summaries.
SEARCHED = 2.0


@dataclass(frozen=True)
class ClusterPlan:
    """What a linkage on a cluster takes.

    Attributes
    ----------
    local : Plan
        The plan of the client, which makes the merges; with its memory.
    sharded : bool
        Whether workers hold the matrix of clusters, since the client has not the memory for it.
    workers, threads : int
        Workers, and their threads in all.
    worker_memory, worker_limit : int
        Bytes that a worker needs, and 60 % of the smallest memory limit of a worker.
    tasks, rounds, traffic : int
        Tasks, rounds in which the client waits for tasks, and bytes that are sent.
    seconds, alone : float
        Estimated time on the cluster, and on the client's machine without it, to about an order of magnitude.
    reason : str
        What is done where.

    Examples
    --------
    >>> from distributed import Client
    >>> from gpuclust.dask import plan
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     job = plan(2000, 2, "single", client=client)
    >>> job.tasks
    0
    """

    local: Plan
    workers: int
    threads: int
    worker_memory: int
    worker_limit: int
    tasks: int
    rounds: int
    traffic: int
    seconds: float
    alone: float
    reason: str
    sharded: bool = False

    @property
    def fits(self) -> bool:
        return self.local.fits and (not self.tasks or self.worker_memory <= self.worker_limit)

    @property
    def pays(self) -> bool:
        """Whether the cluster is estimated to be faster than the client's machine alone."""
        return self.seconds < self.alone

    def __str__(self) -> str:
        job, verdict = self.local, "" if self.pays else " One machine is faster."
        return (
            f"{job.method} linkage of {job.n:,} x {job.m:,} points ({job.metric}, {job.dtype}) on {self.workers} "
            f"workers ({self.threads} threads): {self.tasks:,} tasks in {self.rounds} rounds, "
            f"{format_bytes(self.traffic)} sent, {format_bytes(self.worker_memory)} of "
            f"{format_bytes(self.worker_limit)} a worker, {format_bytes(job.memory)} of {format_bytes(job.limit)} "
            f"for the client; about {format_seconds(self.seconds)}, on one machine {format_seconds(self.alone)}."
            f"{verdict} {self.reason}"
        )

    def check(self) -> None:
        """Raise `DoesNotFit` if the client or a worker needs more memory than it may use."""
        self.local.check()
        if not self.fits:
            raise DoesNotFit(
                f"A worker needs {format_bytes(self.worker_memory)} of memory, and {format_bytes(self.worker_limit)} "
                "may be used (60 % of its limit). What would fit: fewer workers on a machine, each with more memory"
                f"{', or dtype=float32' if self.local.dtype == 'float64' else ''}."
            )


def plan(
    n: int,
    m: int,
    method: str = "single",
    metric: str = "euclidean",
    dtype: str = "float64",
    *,
    client: Any = None,
    memory_limit: int | str | None = None,
    algorithm: str = AUTO,
) -> ClusterPlan:
    """Plan a linkage on a Dask cluster without computing it.

    Parameters
    ----------
    n, m : int
        Observations and features.
    method, metric, dtype, algorithm : str
        As for `gpuclust.dask.linkage`.
    client : distributed.Client, optional
        By default the current client.
    memory_limit : int or str, optional
        Bytes that the client may use; by default what is available.

    Returns
    -------
    ClusterPlan

    Raises
    ------
    ValueError, TypeError
        As for `gpuclust.plan`, and if there is no client.
    ClusterFailed
        If the scheduler does not answer.
    """
    if m is None:
        raise ValueError("m must be a number of features: condensed dissimilarities are not distributed.")
    local = plan_for(n, m, method, metric, dtype, "cpu", memory_limit, algorithm=algorithm)
    found = workers_of(usable(client)).values()
    threads = sum(worker["nthreads"] for worker in found)
    limits = [usable_memory(worker, local.limit) for worker in found]
    each = max((worker["nthreads"] for worker in found), default=1)
    sharing = with_shards(local, algorithm, limits)
    return estimate(sharing or local, len(limits), threads, each, min(limits, default=0), sharing is not None)


def with_shards(job: Plan, asked: str, limits: list[int]) -> Plan | None:
    """The plan of the client if workers are to hold the matrix of clusters.

    That is so where "stored" was asked for and does not fit into the client's memory; or where nothing was asked for,
    the client would have to do without the whole matrix, and that fits into what the workers may use (``limits``, in
    bytes) beside the points.
    """
    algorithm, problem = ALGORITHMS[job.algorithm], job.problem
    if not isinstance(algorithm, Stored) or Stored().stores_all(problem):
        return None
    if asked == AUTO:
        capacity = sum(max(0, limit - _of_points(job)) for limit in limits)
        fits = clusters_left(problem) ** 2 * problem.width <= capacity
        return job if isinstance(algorithm, Hybrid) and fits else None
    if job.fits or isinstance(algorithm, (Hybrid, StoredAllPairs)):
        return None
    return plan_for(
        job.n, job.m, job.method, job.metric, job.dtype, "cpu", job.limit, algorithm=Hybrid.name, bits=job.bits
    )


def estimate(local: Plan, workers: int, threads: int, each: int, limit: int, sharded: bool = False) -> ClusterPlan:
    """The plan for a number of workers, of ``each`` threads at most."""
    problem, n = local.problem, local.n
    width = problem.width
    counts, reason = _counts(local, max(workers, 1))
    work = ALGORITHMS[Stored.name if sharded else local.algorithm].work(problem)
    single = costs.on_one_thread(work, n, problem.terms, local.dtype)
    alone = costs.on_cpu(work, n, problem.terms, local.dtype)
    if counts is None and not sharded:
        return ClusterPlan(local, workers, threads, 0, limit, 0, 0, 0, alone, alone, reason)
    tasks, rounds, traffic, listed = counts or (0, 0, problem.feature_bytes * (workers + 1), 0)
    rows = 0
    if sharded:
        reason = "Workers hold the matrix of clusters; the client decides on merges."
        rows, *more = _of_matrix(local, max(workers, 1))
        tasks, rounds, traffic = (sum(both) for both in zip((tasks, rounds, traffic), more, strict=True))
    seconds = single * (ALONE / max(1.0, costs.SCALING * costs.threads()) + (1 - ALONE) / max(1.0, 0.9 * threads))
    seconds += tasks * TASK + rounds * ROUND + traffic / NETWORK
    memory = rows + _of_points(local) + n * each * listed * (4 + width)
    counted = memory, limit, tasks, rounds, traffic, seconds, alone, reason
    return ClusterPlan(local, workers, threads, *counted, sharded)


def _of_points(local: Plan) -> int:
    """Bytes of a worker for the points, without lists of neighbours."""
    n, m = local.n, local.problem.features
    # The pieces, the points, their rows in the order of boxes in two parts, the same in single precision.
    return 4 * n * m * local.problem.width + int(4.8 * n * m) + 100 * n


def _of_matrix(local: Plan, workers: int) -> tuple[int, int, int, int]:
    """Bytes of a worker for the matrix of clusters, tasks, rounds, and bytes sent until the client takes it over."""
    width, left = local.problem.width, clusters_left(local.problem)
    most, shards = min(left, local.most_clusters), shards_of(left, width)
    rounds = 1 + ceil(log(left / max(2, most)) / log(1.1))  # the first rounds merge one cluster in ten or so
    partners = (left * left - most * most) / 2 * width * (1 - 1 / shards)
    log_bytes = 48 * 3 * left * (workers + 1)
    rows = left * left * width * -(-shards // workers) // shards
    return rows, rounds * shards * shards, rounds, int(partners + most * most / 2 * width + log_bytes)


def _counts(local: Plan, workers: int) -> tuple[tuple[int, int, int, int] | None, str]:
    """Tasks, rounds, bytes sent, and the length of lists; and what is done where. None: nothing is distributed."""
    problem, n = local.problem, local.n
    m, width = problem.features, problem.width
    by_boxes = screened(problem.metric, m)
    pairs = n * n / 2 * (m + 6)
    few = m <= BY_TREE and problem.facts.euclidean_like
    if not problem.method.reducible or isinstance(ALGORITHMS[local.algorithm], ClusterTree):
        return None, "The client does this alone: merges follow from each other, or are found by a tree."
    if few:
        return None, f"The client does this alone: with {m} features a tree takes less time than sending the points."
    unit = (
        searches.SCREENED if by_boxes or problem.method.pairs is None or problem.facts.squared else searches.COMPUTED
    )
    if n <= FUSED or pairs < (searches.SCREENED_ALONE if unit == searches.SCREENED else searches.ALONE):
        return None, "The client does this alone: it takes less time than to ask workers."
    if problem.method.name == "single":
        listed, later, what = LISTED, BORUVKA, "edges out of components"
        rows = float(n)
    elif problem.method.pairs is None or problem.facts.squared:
        listed, later, what = (LISTED_WIDE if m >= WIDE else LISTED), ROUNDS // 2, "nearest clusters"
        rows = SEARCHED * n
    else:
        listed, later, what = NEIGHBOURS, 0, "neighbour lists; the matrix of clusters is the client's"
        rows = 0.0
    sides = searches.sides_of(1 << 20, pairs)
    first = sides * (sides + 1) // 2 if unit == searches.SCREENED else len(searches.parts_of(n, 2 * pairs, unit))
    work = rows * n * (m + 6) / max(1, later)
    part = searches.part_of_round(work) if unit == searches.SCREENED else unit
    tasks = first + int(later * min(max(1.0, work / part), searches.MOST))
    entry = 4 + width
    points = problem.feature_bytes * (workers + 1)  # to the scheduler, and to each worker
    lists = int(n * listed * entry * (sides if unit == searches.SCREENED else 1) + 2 * rows * listed * entry)
    log = (48 * 3 * n if what == "nearest clusters" else 8 * n * later) * (workers + 1)
    rounds = later + (2 if unit == searches.SCREENED else 1)  # lists within blocks, then of pairs of blocks
    return (tasks, rounds, points + lists + log, listed), f"Workers search for {what}; the client merges."
