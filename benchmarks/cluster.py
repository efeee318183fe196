"""Counts of jobs on a Dask cluster, and a model of large ones made from them; ``python -m benchmarks.cluster``.

The work of a task is scaled with n², so that a job of some thousand points is divided as one of `LARGE` would be.
Rounds, tasks, rows that are searched and bytes are counted as they are submitted and received.
docs/scale.md describes the model, and what it omits.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from distributed import Client, LocalCluster
from rich.console import Console
from rich.table import Table

import gpuclust.dask
from gpuclust.core.memory import format_bytes
from gpuclust.core.text import format_seconds
from gpuclust.dask import backend, planning, searches
from gpuclust.dask.cluster import Cluster
from gpuclust.plan import plan_for

#: Points of the job that is modelled.
LARGE = 1_000_000
#: Points of the jobs that are counted.
SIZES = (2000, 4000, 8000, 16_000)
#: Instructions a second of an H200 in the model of docs/gpu-model.md, and of a pair of points in float32: a + b m.
RATE, PRICE = 33.5e12, (11, 2.61)


class Counts(NamedTuple):
    """Of one job: rounds of tasks, tasks, rows searched, and bytes."""

    rounds: int
    tasks: int
    rows: int
    sent: int
    received: int


def points(kind: str, n: int, m: int) -> np.ndarray:
    """Normally distributed points, or a thousand clusters of such."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, m))
    return X if kind == "normal" else X + 4 * rng.normal(size=(1000, m))[rng.integers(0, 1000, n)]


def count(client: Client, X: np.ndarray, method: str, metric: str, **options: Any) -> Counts:
    """Run a job, divided as one of `LARGE` points."""
    clusters: list[Cluster] = []
    rounds = rows = 0
    each, small = Cluster.each, (len(X) / LARGE) ** 2

    def counted(self: Cluster, what: str, function: Any, parts: Any, take: Any) -> None:
        nonlocal rounds
        clusters.append(self)
        rounds += 1

        def and_count(place: int, answer: tuple[np.ndarray, ...]) -> None:
            nonlocal rows
            rows += len(answer[0])
            take(place, answer)

        each(self, what, function, parts, and_count)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Cluster, "each", counted))
        for module, name in ((searches, "SCREENED"), (searches, "COMPUTED"), (backend, "COMPUTED")):
            stack.enter_context(patch.object(module, name, getattr(module, name) * small))
        for module in (searches, backend):
            stack.enter_context(patch.object(module, "ALONE", module.ALONE * small))
        gpuclust.dask.linkage(X, method, metric, client=client, dtype="float32", **options)
    cluster = clusters[-1]
    return Counts(rounds, cluster.tasks, rows, cluster.sent, cluster.received)


def count_all(console: Console, sizes: tuple[int, ...]) -> None:
    """Print the counts of jobs of several sizes, per point where they grow with n."""
    table = Table("linkage", "points", "n", "rounds", "tasks", "rows searched / n", "sent / n", "received / n")
    cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        for method, metric, device in (("single", "euclidean", "cuda"), ("ward", "euclidean", "cpu")):
            for kind in ("normal", "clusters"):
                for n in sizes:
                    X = points(kind, n, 64)
                    found = count(client, X, method, metric, device=device)
                    own = (found.rows, found.sent - X.size * 4, found.received)
                    per = [f"{value / n:.3g}" for value in own]
                    where = f"{method}, {'GPU' if device == 'cuda' else 'CPU'} workers"
                    table.add_row(where, kind, f"{n:,}", str(found.rounds), f"{found.tasks:,}", *per)
    console.print(table)


def on_gpus(gpus: int, n: int, m: int, searched: float, rounds: int, tasks: int) -> dict[str, float]:
    """Seconds of the parts of single linkage on a number of GPUs, a worker each, from counts: rows searched by n."""
    sent = 4 * n * m + 16 * n * rounds
    return {
        "searches": searched * n * n * (PRICE[0] + PRICE[1] * m) / (RATE * gpus),
        "points, through one scheduler": 4 * n * m * (gpus + 1) / planning.NETWORK,
        "components": (sent - 4 * n * m) * (gpus + 1) / planning.NETWORK,
        "answers": 12 * searched * n / planning.NETWORK,
        "tasks and rounds": tasks * planning.TASK + rounds * planning.ROUND,
    }


def model(console: Console) -> None:
    """Print what `gpuclust.dask.plan` estimates for large jobs on large machines."""
    table = Table("job", "workers x threads", "tasks", "traffic", "a worker", "client", "time", "one machine")
    for n, m, method, metric in (
        (10**6, 768, "single", "cosine"),
        (10**6, 768, "average", "cosine"),
        (10**6, 768, "ward", "euclidean"),
        (10**8, 2, "single", "euclidean"),
    ):
        local = plan_for(n, m, method, metric, "float32", "cpu", "2TB")
        for workers in (1, 8):
            job = planning.estimate(local, workers, 64 * workers, 64, 2**40)
            size = [format_bytes(value) for value in (job.traffic, job.worker_memory, local.memory)]
            time = [format_seconds(value) for value in (job.seconds, job.alone)]
            table.add_row(f"{n:,} x {m}, {method}", f"{workers} x 64", f"{job.tasks:,}", *size, *time)
    console.print(table)


def main() -> None:
    console = Console(width=120)
    count_all(console, tuple(map(int, sys.argv[1:])) or SIZES)
    model(console)
    for gpus in (1, 8):
        console.print(f"{gpus} GPUs, 1,000,000 x 768, single:", on_gpus(gpus, LARGE, 768, 2.5, 25, 5000))


if __name__ == "__main__":
    main()
