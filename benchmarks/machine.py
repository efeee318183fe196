"""What a run of the benchmarks was made on: versions, threads, and the measured rates of copies and products."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from gpuclust.core.version import __version__, package_version

ROOT = Path(__file__).resolve().parents[1]
#: Distributions whose versions are recorded; None of those that are not installed.
PROGRAMS = ("numpy", "numba", "scipy", "fastcluster", "scikit-learn", "quitefastmst", "genieclust", "fast_hdbscan")
#: Variables that limit the threads of everything that is measured.
THREADS = (
    "GPUCLUST_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
#: Bytes of the array that is copied, and the side of the matrices that are multiplied.
COPIED, SIDE, REPEATS = 2**28, 2000, 3


def facts(threads: int) -> dict[str, Any]:
    """Machine, versions, date, commit, load, and rates (measured in a process of its own, with these threads)."""
    model = re.search(r"^model name\s*: (.*)", _text("/proc/cpuinfo"), re.MULTILINE)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD")
        + ("-changed" if _git("status", "--porcelain", "-uno") else ""),
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "programs": {"gpuclust": __version__} | {name: package_version(name) for name in PROGRAMS},
        "rates": apart(threads),
    }


def apart(threads: int) -> dict[str, float]:
    """`rates`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine", str(threads)]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def rates(threads: int) -> dict[str, float]:
    """Bytes a second, read and written, of a copy on all threads; operations a second of products by type."""
    source, target = np.ones(COPIED // 8), np.zeros(COPIED // 8)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        seconds = _least(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))
    found = {"bytes": 2 * COPIED / seconds}
    for name in ("float32", "float64"):
        square = np.ones((SIDE, SIDE), dtype=name)
        found[name] = 2 * SIDE**3 / _least(lambda square=square: square @ square)  # type: ignore[misc]
    return found


def bound(work: dict[str, float], measured: dict[str, float]) -> float:
    """Seconds that work (bytes moved, operations of float32 and float64 products) takes at the measured rates."""
    return max((amount / measured[what] for what, amount in work.items()), default=0.0)


def _least(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _text(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    print(json.dumps(rates(int(sys.argv[1]))))
