"""Linkages and distances on a CUDA device: check against the CPU, time, and compare with the model.

A case is checked against the CPU at no more than `CHECKED` points (single linkage of a million would take the CPU
hours), in the same type, then timed at its own size: the best of a few runs, input and result on the host. The
modelled time is that of `benchmarks.model`, for the GPU that is used. Where CUDA is emulated the same is done with
small data, and times are meaningless.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import model
from benchmarks.data import gaussian
from gpuclust.compute import Linkage, compute
from gpuclust.core import devices
from gpuclust.distance import pdist
from gpuclust.plan import format_bytes

#: Number of points of a comparison with the CPU, and of any case where CUDA is emulated.
CHECKED, EMULATED = 20_000, 40
REPEATS = 3
#: Tolerance of float32 heights, relative to the largest.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


class Case(NamedTuple):
    """A linkage of n points of m features."""

    method: str
    n: int
    m: int
    dtype: str


CASES = (
    *(Case(method, 20_000, 32, "float32") for method in ("ward", "complete", "average", "weighted", "single")),
    *(Case(method, 20_000, 32, "float64") for method in ("ward", "complete", "average", "single", "centroid")),
    Case("ward", 100_000, 32, "float32"),
    Case("complete", 100_000, 64, "float32"),
    Case("single", 1_000_000, 2, "float32"),
    Case("single", 1_000_000, 32, "float32"),
)


def check_linkage(case: Case, n: int) -> float:
    """Return the largest difference from the CPU's heights, relative to the largest; stop if it is too large."""
    X = gaussian(n, case.m)
    cpu, cuda = (compute(X, case.method, dtype=case.dtype, device=device).Z for device in ("cpu", "cuda"))
    difference = float(np.abs(cuda[:, 2] - cpu[:, 2]).max() / cpu[:, 2].max())
    if not difference <= TOLERANCE[case.dtype]:
        raise SystemExit(f"{case}: heights differ from the CPU's by {difference:.1e} of the largest.")
    if case.dtype == "float64" and not np.array_equal(cuda[:, [0, 1, 3]], cpu[:, [0, 1, 3]]):
        raise SystemExit(f"{case}: other merges than on the CPU.")
    return difference


def check_distances(n: int, m: int, dtype: str) -> None:
    """Return the largest relative difference of pairwise distances; stop if it is too large."""
    X = gaussian(n, m)
    cpu, cuda = (pdist(X, dtype=dtype, device=device) for device in ("cpu", "cuda"))
    if not np.allclose(cuda, cpu, rtol=TOLERANCE[dtype], atol=0):
        raise SystemExit(f"pdist {dtype}: other distances than on the CPU.")


def best_of(call: Any, repeats: int) -> tuple[float, Any]:
    """Return the seconds of the fastest run, and its result."""
    fastest, result = float("inf"), None
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, result


def held() -> int:
    """Return the bytes that CuPy's memory pool holds."""
    return 0 if devices.emulated() else int(importlib.import_module("cupy").get_default_memory_pool().total_bytes())


def release() -> None:
    """Release the memory of CuPy's pool."""
    if not devices.emulated():
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()


def modelled(case: Case, n: int) -> float:
    """Return the seconds that `benchmarks.model` predicts for this GPU."""
    card = devices.cards()[0]
    listed = {each.name: each.products for each in model.CARDS}
    products = next((found for name, found in listed.items() if name in card.name), 2 * card.rate("float32"))
    known = model.Card(card.name, card.rate("float32"), card.slowdown, card.bandwidth, products)
    double = case.dtype == "float64"
    return model.cost(model.calls_of(n, case.m, case.method, double), known, double).seconds


def gpu(console: Console, size: int | None = None) -> list[dict[str, Any]]:
    """Run all cases, and return rows for the results file (none if CUDA is emulated); SystemExit without a device."""
    lack = devices.missing()
    if lack is not None:
        raise SystemExit(f"The group gpu needs a CUDA device: {lack}")
    size = size or (EMULATED if devices.emulated() else None)
    repeats = 1 if devices.emulated() else REPEATS
    console.print(f"On {devices.cards()[0].name}.")
    table = Table("linkage", "dtype", "n", "m", "cuda", "cpu", "times", "modelled", "memory", "planned", "difference")
    rows = []
    for case in CASES:
        n = size or case.n
        checked = min(n, CHECKED)
        difference = check_linkage(case, checked)
        release()
        X = gaussian(n, case.m)

        def run(device: str, X: np.ndarray = X, case: Case = case) -> Linkage:
            return compute(X, case.method, dtype=case.dtype, device=device)

        seconds, result = best_of(lambda run=run: run("cuda"), repeats)  # type: ignore[misc]
        memory = held()
        host = best_of(lambda run=run: run("cpu"), 1)[0] if n == checked else None  # type: ignore[misc]
        row = {**case._asdict(), "n": n, "seconds": seconds, "cpu": host, "checked": checked}
        known = case.method in MODELLED and not devices.emulated()
        row |= {"modelled": modelled(case, n) if known else None, "memory": memory}
        row |= {"planned": result.plan.memory, "difference": difference}
        rows.append(row)
        table.add_row(case.method, case.dtype, f"{n:,}", str(case.m), *_cells(row))
    for dtype in ("float32", "float64"):
        n, m = size or 20_000, 64
        check_distances(min(n, 4000), m, dtype)
        X = gaussian(n, m)
        seconds, _ = best_of(lambda X=X, dtype=dtype: pdist(X, dtype=dtype, device="cuda"), repeats)  # type: ignore[misc]
        host, _ = best_of(lambda X=X, dtype=dtype: pdist(X, dtype=dtype, device="cpu"), 1)  # type: ignore[misc]
        row = {"method": "pdist", "dtype": dtype, "n": n, "m": m, "seconds": seconds, "cpu": host}
        rows.append(row)
        table.add_row("(pdist)", dtype, f"{n:,}", str(m), *_cells(row))
    console.print(table)
    return [] if devices.emulated() else rows


#: Methods that `benchmarks.model` covers.
MODELLED = ("single", "complete", "average", "weighted", "ward")


def _cells(row: dict[str, Any]) -> list[str]:
    def text(name: str) -> str:
        return f"{row[name]:.4g} s" if row.get(name) is not None else ""

    times = f"{row['cpu'] / row['seconds']:.1f}" if row.get("cpu") else ""
    memory = [format_bytes(row[name]) if row.get(name) else "" for name in ("memory", "planned")]
    difference = f"{row['difference']:.0e}" if "difference" in row else ""
    return [text("seconds"), text("cpu"), times, text("modelled"), *memory, difference]
