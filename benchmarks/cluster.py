"""Counts of jobs on a Dask cluster, and a model of large ones made from them; ``python -m benchmarks.cluster``.

Counted are rounds, the rows that are searched in each, and the bytes that are submitted and received. The client does
what is too little for a task: the limit is scaled with n², as if the job were one of `LARGE` points. docs/scale.md
describes the model, and what it omits.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from distributed import Client, LocalCluster
from rich.console import Console

import gpuclust.dask
from gpuclust.core.memory import format_bytes
from gpuclust.core.text import format_seconds
from gpuclust.dask import planning, searches
from gpuclust.dask.cluster import Cluster
from gpuclust.plan import plan_for

#: Points of the job that is modelled.
LARGE = 1_000_000
#: Points of the jobs that are counted; fewer are made from a square array.
SIZES = (4000, 8000, 16_000)
#: Instructions a second of an H200 in the model of docs/gpu-model.md, and of a pair of points in float32: a + b m.
RATE, PRICE = 33.5e12, (11, 2.61)


class Counts(NamedTuple):
    """Of one job: rows searched in each round of tasks, and bytes."""

    rows: list[int]
    sent: int
    received: int

    def tasks(self, n: int, m: int, unit: float) -> int:
        """Tasks of a job of `LARGE` points and m features with the same rounds, each of ``unit`` work at most."""
        larger = LARGE / n
        return sum(
            len(searches.parts_of(int(rows * larger), rows * larger * LARGE * (m + 6.0), unit)) for rows in self.rows
        )


def points(kind: str, n: int, m: int) -> np.ndarray:
    """Normally distributed points, or a thousand clusters of such."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, m))
    return X if kind == "normal" else X + 4 * rng.normal(size=(1000, m))[rng.integers(0, 1000, n)]


def count(client: Client, X: np.ndarray, method: str, metric: str, **options: Any) -> Counts:
    """Run a job."""
    clusters: list[Cluster] = []
    rows: list[int] = []
    each, (n, m) = Cluster.each, X.shape

    def counted(self: Cluster, what: str, function: Any, parts: Any, take: Any, **options: Any) -> None:
        clusters.append(self)
        rows.append(0)

        def and_count(place: int, answer: tuple[np.ndarray, ...]) -> None:
            rows[-1] += len(answer[0])
            take(place, answer)

        each(self, what, function, parts, and_count, **options)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Cluster, "each", counted))
        for name in ("SCREENED", "COMPUTED", "LEAST"):
            stack.enter_context(patch.object(searches, name, n * n * (m + 6) / 8))
        for name in ("ALONE", "SCREENED_ALONE"):
            stack.enter_context(patch.object(searches, name, getattr(searches, name) * (n / LARGE) ** 2))
        gpuclust.dask.linkage(X, method, metric, client=client, dtype="float32", **options)
    return Counts([found for found in rows if found > 1], clusters[-1].sent, clusters[-1].received)


def count_all(console: Console, sizes: tuple[int, ...], m: int = 64) -> None:
    """Print the counts of jobs of several sizes, per point where they grow with n."""
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        for method, device in (("single", "cuda"), ("ward", "cpu")):
            unit = searches.COMPUTED if device == "cuda" else searches.SCREENED
            for kind in ("normal", "clusters"):
                for n in sizes:
                    X = points(kind, n, m)
                    found = count(client, X, method, "euclidean", device=device)
                    rows, sent, received = sum(found.rows), found.sent - 4 * X.size, found.received
                    console.print(
                        f"| {method} | {kind} | {n:,} | {len(found.rows)} | {found.tasks(n, m, unit):,} "
                        f"| {rows / n:.2f} | {sent / n:.0f} | {received / n:.0f} |"
                    )


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
    """Print what `gpuclust.dask.plan` estimates for large jobs on large machines, of which the client is one."""
    os.environ["GPUCLUST_NUM_THREADS"] = "64"
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
            cells = f"{n:,} x {m}, {method}", str(workers), f"{job.tasks:,}", str(job.rounds), *size, *time
            console.print(f"| {' | '.join(cells)} |")


def main() -> None:
    console = Console(width=120)
    count_all(console, tuple(map(int, sys.argv[1:])) or SIZES)
    model(console)
    one, eight = (on_gpus(gpus, LARGE, 768, 2.7, 5, 2500) for gpus in (1, 8))
    for part in one:
        console.print(f"| {part} | {one[part]:.1f} s | {eight[part]:.1f} s |")


if __name__ == "__main__":
    main()
