"""Startup times: the import, the first call ever (everything is compiled), and the first call of a later process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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


def seconds(code: str, cache: str) -> float:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "GPUCLUST_COMPILE": "auto"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def startup(console: Console) -> list[dict[str, Any]]:
    table = Table("what", "seconds", "allowed", title="startup")
    rows: list[dict[str, Any]] = []

    def add(what: str, took: float, allowed: float) -> None:
        table.add_row(what, f"{took:.3f}", f"{allowed:g} {'met' if took <= allowed else 'MISSED'}")
        rows.append({"case": what, "seconds": took, "allowed": allowed})

    with tempfile.TemporaryDirectory() as cache:
        add("import gpuclust", min(seconds(IMPORT, cache) for _ in range(3)), 0.3)
    for method, n in (("average", 150), ("average", 2000), ("ward", 2000), ("single", 2000), ("centroid", 2000)):
        with tempfile.TemporaryDirectory() as cache:
            code = CALL.format(method=method, n=n)
            add(f"{method} n={n}, first call ever", seconds(code, cache), 15)
            add(f"{method} n={n}, first of a later process", min(seconds(code, cache) for _ in range(3)), 1)
    console.print(table)
    return rows
