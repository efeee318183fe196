"""The stages of a run on a GPU that are Python: ``python -m benchmarks.card.stages NAME``.

Results are lines of JSON in the folder GPUCLUST_CARD_OUT, each written when it is known.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.card.costs import terms
from benchmarks.data import gaussian
from gpuclust.compute import compute
from gpuclust.core import devices

#: Heights at this many ranks are kept of each case, to compare those of a GPU with.
RANKS = 1000
EXPECTED = Path(__file__).parents[1] / "results" / "card_expected.npz"
PACKAGES = ("numpy", "numba", "numba-cuda", "llvmlite", "cuda-bindings", "cuda-core", "gpuclust")
#: Points where CUDA is emulated.
EMULATED = 12
#: Kernels that one process compiles before another is given some.
SHARE = 7


class Case(NamedTuple):
    """A linkage of n Gaussian points of m features."""

    method: str
    metric: str
    n: int
    m: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self))


CASES = (
    *(Case(method, "euclidean", 20_000, 32) for method in ("ward", "complete", "average", "single", "centroid")),
    Case("ward", "euclidean", 100_000, 32),
    Case("single", "euclidean", 1_000_000, 2),
    Case("average", "cosine", 20_000, 768),
    Case("complete", "euclidean", 40_000, 64),
    Case("single", "euclidean", 200_000, 32),
)


def lines(name: str) -> Callable[..., None]:
    """A function that appends a line of JSON to a results file, and prints it."""
    path = Path(os.environ["GPUCLUST_CARD_OUT"]) / f"{name}.jsonl"

    def write(**row: Any) -> None:
        with path.open("a") as file:
            file.write(json.dumps(row, default=float) + "\n")
        print(row, flush=True)

    return write


def machine() -> None:
    """Versions, and what the driver says of the devices."""
    with suppress(OSError):
        subprocess.run(["nvidia-smi"], check=False)
    found: dict[str, Any] = {"python": platform.python_version(), "machine": platform.platform()}
    for name in (*PACKAGES, *sorted(d.name for d in metadata.distributions() if d.name.lower().startswith("cupy"))):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    found |= {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "driver": str(devices.driver_version())}
    found["devices"] = [card.__dict__ for card in devices.cards()]
    lines("machine")(**found)
    if not found["devices"]:
        raise SystemExit(f"No device: {devices.missing()}")


def _compiled(names: Iterable[str]) -> list[dict[str, Any]]:
    """Compile and load kernels: their registers, local memory, and blocks on a multiprocessor."""
    from gpuclust.kernels.cuda import catalogue, launch

    rows = []
    with launch.on_device(0):
        for name in names:
            kernel, began = catalogue.kernels()[name], time.perf_counter()
            row: dict[str, Any] = {"kernel": name, "ok": False}
            try:
                kernel.compiled.compile(kernel.signature)
                made = next(iter(kernel.compiled.overloads.values()))
                row |= {"registers": made.regs_per_thread, "local": made.local_mem_per_thread}
                row |= {"shared": made.shared_mem_per_block, "asked": kernel.resident}
                blocks = made.max_cooperative_grid_blocks(kernel.threads)
                row |= {"blocks": blocks / launch.current_device().multiprocessors, "ok": True}
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:500]
            rows.append({**row, "seconds": round(time.perf_counter() - began, 3)})
    return rows


def compile_all() -> None:
    """All kernels of the catalogue, on all cores; kernels of one metric share functions."""
    from gpuclust.kernels.cuda import catalogue

    write, names = lines("compile"), sorted(catalogue.kernels(), key=lambda name: catalogue.form(name)[::-1])
    if devices.emulated():
        raise SystemExit("Emulated kernels are not compiled.")
    failures = 0
    with ProcessPoolExecutor(min(14, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        parts = [names[k : k + SHARE] for k in range(0, len(names), SHARE)]
        for job in as_completed([pool.submit(_compiled, part) for part in parts]):
            for row in job.result():
                write(**row)
                failures += not row["ok"]
    raise SystemExit(f"{failures} kernels failed." if failures else 0)


def small() -> None:
    """Each kind of kernel once, on few points, for the sanitizer; with the CPU's bits."""
    X, different = gaussian(300, 5), []
    for method in ("ward", "average", "complete", "single", "centroid"):
        cpu, cuda = (compute(X, method, device=device).Z for device in ("cpu", "cuda"))
        if not np.array_equal(cpu, cuda):
            different.append(method)
    raise SystemExit(f"Other results than on the CPU: {', '.join(different)}." if different else 0)


def kernels() -> None:
    """The kernels whose counters are read, at sizes that fill a device."""
    for method, n, m in (("ward", 30_000, 32), ("complete", 20_000, 64), ("single", 100_000, 2)):
        compute(gaussian(n, m), method, dtype="float32", device="cuda")


def data(case: Case) -> np.ndarray:
    return gaussian(EMULATED if devices.emulated() else case.n, case.m)


def ranked(Z: np.ndarray) -> np.ndarray:
    """Heights at evenly spaced ranks."""
    heights = np.sort(Z[:, 2])
    return heights[np.linspace(0, heights.size - 1, min(RANKS, heights.size)).astype(int)]


def expect() -> None:
    """Heights of all cases on the CPU, in float64, each written when it is known; those there are kept."""
    found = dict(np.load(EXPECTED)) if EXPECTED.exists() else {}
    for case in CASES:
        if case.name not in found:
            began = time.perf_counter()
            found[case.name] = ranked(compute(data(case), case.method, case.metric, device="cpu").Z)
            np.savez_compressed(EXPECTED, **found)
            print(f"{case.name}: {time.perf_counter() - began:.1f} s", flush=True)


def bench() -> None:
    """Each case in both types: its heights compared with the CPU's, then the best of three runs."""
    launch = importlib.import_module("gpuclust.kernels.cuda.launch")
    expected = dict(np.load(EXPECTED)) if EXPECTED.exists() and not devices.emulated() else {}
    write, wrong = lines("bench"), []
    for case in CASES:
        for dtype in ("float32", "float64"):
            row: dict[str, Any] = {**case._asdict(), "dtype": dtype}
            try:
                row |= _timed(data(case), case, dtype, launch)
                heights = row.pop("heights")
                known = expected.get(case.name)
                if known is None and devices.emulated():
                    known = ranked(compute(data(case), case.method, case.metric, device="cpu").Z)
                if known is not None:
                    row["difference"] = float(np.abs(heights - known).max() / known.max())
                    row["right"] = row["difference"] <= (1e-12 if dtype == "float64" else 1e-5)
                    wrong += [] if row["right"] else [f"{case.name} {dtype}"]
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:500]
                wrong.append(f"{case.name} {dtype}")
            write(**row)
    raise SystemExit(f"Failed or wrong: {', '.join(wrong)}." if wrong else 0)


def _timed(X: np.ndarray, case: Case, dtype: str, launch: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for attempt in range(3):
        launch.counts.clear()
        began = time.perf_counter()
        found = compute(X, case.method, case.metric, dtype=dtype, device="cuda")
        seconds = time.perf_counter() - began
        if attempt == 0:
            row["first"] = seconds
        row["best"] = min(seconds, row.get("best", seconds))
        if seconds > 8 or devices.emulated():
            break
    plan = found.plan
    row |= {"algorithm": plan.algorithm, "device": str(plan.device), "planned": plan.memory, "phases": found.seconds}
    return {**row, **terms(plan), "counts": dict(launch.counts), "heights": ranked(found.Z)}


def ceilings() -> None:
    """What the device can do at best: copies, matrix products, transfers, launches, tiles of distances."""
    from benchmarks.card.ceilings import measurements

    write = lines("ceilings")
    for name, value in measurements():
        write(name=name, value=value)


STAGES: dict[str, Callable[[], None]] = {
    "machine": machine,
    "compile": compile_all,
    "small": small,
    "ceilings": ceilings,
    "bench": bench,
    "kernels": kernels,
    "expect": expect,
}


if __name__ == "__main__":
    STAGES[sys.argv[1]]()
