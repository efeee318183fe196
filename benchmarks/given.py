"""Linkage of condensed dissimilarities: seconds, CPU seconds and memory beside the input, against fastcluster.

Both take turns on the same array in the same process. Heights are compared before anything is printed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import gpuclust
from gpuclust.core.memory import forget_peak, peak_memory
from gpuclust.distance import pdist

METHODS = ("average", "complete", "weighted", "ward", "single")


class Cost(NamedTuple):
    """Wall time, CPU time of all threads, and the most memory beside the input in units of its size."""

    seconds: float
    cpu: float
    memory: float


def measured(function: Callable[..., Any], y: np.ndarray, *arguments: Any, **options: Any) -> tuple[Cost, Any]:
    np.ones(y.size + y.size // 4)  # a virtual machine gets its memory from the host before, not while, it is timed
    forget_peak()
    before = peak_memory() or 0
    begin, used = time.perf_counter(), time.process_time()
    result = function(y, *arguments, **options)
    spent = time.perf_counter() - begin, time.process_time() - used
    return Cost(*spent, ((peak_memory() or 0) - before) / y.nbytes), result


def compare(method: str, y: np.ndarray, repeats: int) -> dict[str, Cost]:
    """The least costs of both; of gpuclust also with ``overwrite=True``, on a copy."""
    import fastcluster

    gpuclust.linkage(y[: 3000 * 2999 // 2], method, device="cpu")
    costs: dict[str, list[Cost]] = {"gpuclust": [], "fastcluster": [], "gpuclust, overwrite": []}
    for _ in range(repeats):
        cost, ours = measured(gpuclust.linkage, y, method, device="cpu")
        costs["gpuclust"].append(cost)
        cost, theirs = measured(fastcluster.linkage, y, method)
        costs["fastcluster"].append(cost)
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-12)
        if method != "single":
            cost, over = measured(gpuclust.linkage, y.copy(), method, device="cpu", overwrite=True)
            costs["gpuclust, overwrite"].append(cost)
            np.testing.assert_array_equal(over, ours)
    return {name: Cost(*np.min(found, axis=0).tolist()) for name, found in costs.items() if found}


def given(console: Console, n: int, m: int, repeats: int, methods: list[str], out: Path | None = None) -> None:
    """Print a table, and write the figures to a file."""
    y = pdist(np.random.default_rng(0).normal(size=(n, m)), device="cpu")
    table = Table("linkage", "program", "seconds", "CPU seconds", "memory / input", "fastcluster / this")
    rows = []
    for method in methods:
        costs = compare(method, y, repeats)
        for name, cost in costs.items():
            ratio = costs["fastcluster"].seconds / cost.seconds
            table.add_row(method, name, *(f"{value:.2f}" for value in (*cost, ratio)))
            rows.append({"method": method, "n": n, "m": m, "program": name, **cost._asdict(), "ratio": ratio})
        if out is not None:
            out.write_text(json.dumps(rows, indent=1) + "\n")
    console.print(table)


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--m", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    given(Console(width=120), asked.n, asked.m, asked.repeats, asked.methods, asked.out)
