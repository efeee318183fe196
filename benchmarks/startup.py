"""Startup and small jobs: the import, the first call ever and of a later process, and warm calls against SciPy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

IMPORT = "import time; t = time.perf_counter(); import gpuclust; print(time.perf_counter() - t)"
CALL = """
import time
t = time.perf_counter()
import gpuclust, numpy as np
Z = gpuclust.linkage(np.random.default_rng(0).normal(size=({n}, 16)), "{method}")
seconds = time.perf_counter() - t
assert Z.shape == ({n} - 1, 4)
print(seconds)
"""
#: What Numba needs to compile one function with two nested loops, as a measure of the machine.
ONE_FUNCTION = """
import time
t = time.perf_counter()
import numba, numpy as np
@numba.njit
def add(X, y):
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            y[i] += X[i, j]
add(np.ones((2, 2)), np.zeros(2))
print(time.perf_counter() - t)
"""
#: Warm calls in alternation with SciPy's; prints the median of the ratios.
WARM = '''
import json, statistics, sys, time
import gpuclust, numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

def seconds(function, *given):
    started = time.perf_counter()
    function(*given)
    return time.perf_counter() - started

def calls(data, method):
    """Calls of Python functions that one linkage takes."""
    count = 0
    def each(frame, event, argument):
        nonlocal count
        count += event == "call"
    sys.setprofile(each)
    gpuclust.linkage(data, method)
    sys.setprofile(None)
    return count

ratios = []
for n, repeats in ((20, 201), (150, 101), (500, 31), (1000, 11), (2000, 7)):
    X = np.random.default_rng(n).normal(size=(n, 64))
    points = {f"{m} features": X[:, :m].copy() for m in (2, 8, 16, 64)}
    for form, data in (*points.items(), ("condensed", pdist(X[:, :16]))):
        for method in ("single", "complete", "average", "weighted", "ward", "centroid", "median"):
            gpuclust.linkage(data, method)
            pairs = [
                (seconds(gpuclust.linkage, data, method), seconds(hierarchy.linkage, data, method))
                for _ in range(repeats)
            ]
            ours, ratio = statistics.median(pair[0] for pair in pairs), statistics.median(a / b for a, b in pairs)
            ratios.append((n, form, method, ours, ratio, calls(data, method)))
print(json.dumps(ratios))
'''
#: Time allowed of a warm call, as a multiple of SciPy's, by number of observations.
ALLOWED = {20: 1.5, 150: 1.5, 500: 1 / 1.2, 1000: 1 / 2, 2000: 1 / 3}


def output(code: str, cache: str | None, compiling: str = "auto") -> str:
    environment = {
        **os.environ,
        "GPUCLUST_COMPILE": compiling,
        **({} if cache is None else {"NUMBA_CACHE_DIR": cache}),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def seconds(code: str, cache: str, compiling: str = "auto") -> float:
    return float(output(code, cache, compiling))


def _folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder of kernels; a process that still writes there at its end does not matter."""
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


def _wait(cache: str) -> None:
    """Wait until the process that the last call has begun has compiled, two minutes at most.

    Then there is an empty file; others of that name have the size of what calls have taken.
    """
    until = time.monotonic() + 120
    while time.monotonic() < until and all(file.stat().st_size for file in Path(cache).rglob("compiled-*")):
        time.sleep(0.5)
    time.sleep(2)


def startup(console: Console) -> list[dict[str, Any]]:
    table = Table("what", "seconds", "allowed", title="startup")
    rows: list[dict[str, Any]] = []

    def add(what: str, took: float, allowed: float) -> None:
        table.add_row(what, f"{took:.3f}", f"{allowed:.3g} {'met' if took <= allowed else 'MISSED'}")
        rows.append({"case": what, "seconds": took, "allowed": allowed})

    with tempfile.TemporaryDirectory() as cache:
        add("import gpuclust", min(seconds(IMPORT, cache) for _ in range(3)), 0.3)
        first = max(2.0, 3 * min(seconds(ONE_FUNCTION, cache) for _ in range(3)))
    for method, n in (("average", 150), ("average", 2000), ("ward", 2000), ("single", 2000)):
        with _folder() as cache:
            code = CALL.format(method=method, n=n)
            add(f"{method} n={n}, first call ever", seconds(code, cache), first)
            if n > 1000:
                _wait(cache)
            add(f"{method} n={n}, first of a later process", min(seconds(code, cache) for _ in range(3)), first)
    code = CALL.format(method="ward", n=20_000)
    with _folder() as cache:
        add("ward n=20000, first call ever", seconds(code, cache), 6)
        add("ward n=20000, second, while another process compiles", seconds(code, cache), 6)
        _wait(cache)
        add("ward n=20000, once that has ended", seconds(code, cache), 6)
    with _folder() as cache:
        add("ward n=20000, where no other process compiles", seconds(code, cache, "always"), 6)
    console.print(table)
    return rows


def warm(console: Console) -> list[dict[str, Any]]:
    """Warm calls of small jobs, as multiples of SciPy's time."""
    columns = "n", "input", "method", "seconds", "times SciPy's", "allowed", "Python calls"
    table = Table(*columns, title="small jobs, warm")
    rows: list[dict[str, Any]] = []
    for n, form, method, took, ratio, calls in json.loads(output(WARM, None, "always")):
        allowed = ALLOWED[n]
        said = f"{allowed:.2f} {'met' if ratio <= allowed else 'MISSED'}"
        table.add_row(str(n), form, method, f"{took:.6f}", f"{ratio:.2f}", said, str(calls))
        case = f"{method} {form} n={n}, warm"
        rows.append({"case": case, "seconds": took, "ratio": ratio, "allowed ratio": allowed, "calls": calls})
    console.print(table)
    return rows
