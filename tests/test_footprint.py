"""Predicted memory against the measured peak of a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MB = 10**6
CLEAR = Path("/proc/self/clear_refs")

#: What one process measures: for each job a compiled linkage, the resident memory before it, and the most during it.
#: A job during which kernels were compiled, for which the small call had no use, is measured again.
PROGRAM = """
import ctypes, gc, json, os, re, sys
import numpy as np
from numba.core import event
from gpuclust.compute import compute

def resident(name):
    with open("/proc/self/status") as status:
        return int(re.search(rf"^{name}:\\s*(\\d+) kB", status.read(), re.MULTILINE)[1]) * 1024

def data(n, m, dtype, star):
    rng = np.random.default_rng(0)
    if star:  # observation 0 is the nearest of all others: no round merges anything, so that all rows are stored
        i, j = np.triu_indices(n, 1)
        return ((i > 0) * (1 + i / n) + 1 + j / n).astype(dtype)
    if m is None:
        return rng.random(n * (n - 1) // 2, dtype) + dtype(0.1)
    return rng.standard_normal((n, m), dtype)

for n, m, options in json.loads(sys.argv[1]):
    dtype = np.dtype(options.get("dtype", "float64")).type
    star = options.pop("star", False)
    loads = options.pop("loads", {})  # what has the small call take the kernels of the large one
    small = {name: value for name, value in options.items() if name not in ("mapped", "memory_limit")} | loads
    compute(data(min(n, 20_000 if m in (2, 3) else 1100), m and min(m, 64), dtype, star), **small)
    y = data(n, m, dtype, star)
    if mapped := options.pop("mapped", None):
        np.save(sys.argv[2], y.astype(mapped["dtype"], order=mapped["order"]))
        y = np.load(sys.argv[2], mmap_mode="r")
    compiled = True
    while compiled:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts from here
        before = resident("VmRSS") - resident("RssFile")
        with event.install_recorder("numba:compile") as recorded:
            job = compute(y, **options).plan
        most, compiled = resident("VmHWM"), bool(recorded.buffer)
    print(json.dumps([job.algorithm, job.memory, most - resident("RssFile") - before]))
"""

#: Points or condensed dissimilarities (m is None), and options of linkage; large enough to measure, quickly done.
JOBS: list[tuple[int, int | None, dict[str, Any]]] = [
    (150_000, 2, {"method": "single", "algorithm": "spanning tree"}),
    (3000, 2, {"method": "single", "algorithm": "spanning tree, stored"}),
    (5000, 256, {"method": "average", "metric": "cosine", "algorithm": "summaries"}),
    (4500, None, {"method": "ward", "algorithm": "stored", "star": True}),
    (4000, 2, {"method": "average", "metric": "minkowski", "p": 3, "algorithm": "stored, all pairs"}),
    (6000, 16, {"method": "average", "algorithm": "hybrid"}),
    (60000, 2, {"method": "complete", "algorithm": "cluster tree"}),
    (260, 4000, {"method": "centroid", "algorithm": "generic"}),
    (3500, None, {"method": "centroid", "algorithm": "generic, stored"}),
    (20_000, 16, {"method": "ward", "algorithm": "summaries"}),
]
#: The same algorithms in the other type, in other shapes, of other metrics; for the sweep.
MORE_JOBS: list[tuple[int, int | None, dict[str, Any]]] = [
    (3500, None, {"method": "median", "algorithm": "generic, stored"}),
    (60_000, 16, {"method": "single", "algorithm": "spanning tree", "dtype": "float32"}),
    (1000, 4000, {"method": "single", "algorithm": "spanning tree", "dtype": "float32"}),
    (1000, 3000, {"method": "ward", "algorithm": "summaries"}),
    (8000, 64, {"method": "single", "metric": "cosine", "algorithm": "spanning tree"}),
    (6000, 16, {"method": "average", "algorithm": "stored", "dtype": "float32"}),
    (1000, 4000, {"method": "single", "algorithm": "spanning tree"}),
    (100_000, 3, {"method": "single", "algorithm": "spanning tree", "dtype": "float32"}),
    (1000, 3000, {"method": "ward", "algorithm": "summaries", "dtype": "float32"}),
    (4000, 2, {"method": "ward", "algorithm": "stored"}),
    (4500, None, {"method": "average", "algorithm": "stored", "dtype": "float32", "star": True}),
    (6000, 16, {"method": "complete", "algorithm": "stored"}),
    (60000, 4, {"method": "complete", "algorithm": "cluster tree", "dtype": "float32"}),
    (3500, 100, {"method": "centroid", "algorithm": "generic, stored", "dtype": "float32"}),
    (40_000, 16, {"method": "single", "algorithm": "spanning tree"}),
    (6000, 500, {"method": "single", "algorithm": "spanning tree"}),
    (6000, 500, {"method": "single", "metric": "cityblock", "algorithm": "spanning tree"}),
    (200_000, 2, {"method": "ward", "algorithm": "summaries"}),
    (5000, 400, {"method": "average", "algorithm": "stored"}),
    (150_000, 2, {"method": "centroid", "algorithm": "generic"}),
    (520, 4000, {"method": "centroid", "algorithm": "generic"}),
    (40_000, 16, {"method": "ward", "algorithm": "summaries"}),
]


def measure(jobs: list[Any], folder: Path) -> list[tuple[str, int, int]]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(jobs), str(folder / "points.npy")]
    # What is given back is given back: by default glibc keeps up to 64 MB of it, more or less as jobs before have it.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


pytestmark = pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux, which tells a process's peak memory")


@pytest.mark.timeout(1800)  # most of the time compiles
@pytest.mark.parametrize("jobs", [*(JOBS[k::3] for k in range(3)), pytest.param(MORE_JOBS, marks=pytest.mark.sweep)])
def test_predicted_memory_is_within_a_quarter(tmp_path, jobs):
    """Of what a process takes, or 3 MB, which is what threads and small objects take."""
    wrong = []
    for (n, m, options), (algorithm, predicted, measured) in zip(jobs, measure(jobs, tmp_path), strict=True):
        assert algorithm == options["algorithm"]
        assert predicted > 15 * MB, "too small to measure"
        if not 0.8 * (measured - 3 * MB) <= predicted <= 1.25 * measured:
            wrong.append(f"{n} x {m} {options}: predicted {predicted / MB:.1f} MB, measured {measured / MB:.1f} MB")
    assert not wrong, "\n".join(wrong)


def test_memory_beside_given_dissimilarities(tmp_path):
    """Where clusters merge in the first round only those that are left are stored, or hardly anything."""
    stored = {"method": "average", "algorithm": "stored"}
    jobs = [(6000, None, stored), (6000, None, {**stored, "overwrite": True}), (6000, None, {"method": "single"})]
    (_, predicted, usual), (_, at_most, over), (_, beside, tree) = measure(jobs, tmp_path)
    assert usual < 0.75 * predicted
    assert over < at_most + 3 * MB < 0.15 * predicted
    assert tree < beside + 3 * MB < 0.35 * predicted


def test_a_limit_is_obeyed(tmp_path):
    limit = 15 * MB
    kernels = {"algorithm": "hybrid"}
    jobs = [(5000, 8, {"method": name, "memory_limit": limit, "loads": kernels}) for name in ("average", "complete")]
    for algorithm, predicted, measured in measure(jobs, tmp_path):
        assert algorithm == "hybrid"
        assert predicted <= limit
        assert measured <= limit + 3 * MB


def test_mapped_points_are_read_in_blocks(tmp_path):
    """No copy of them is made but the one in the working type that the kernels read."""
    n, m = 400, 16_000
    kinds = [("<f8", "C", "float64"), ("<f4", "C", "float32"), (">f4", "F", "float32"), ("<i2", "C", "float32")]
    jobs = [
        (
            n,
            m,
            {"method": "ward", "algorithm": "stored", "dtype": working, "mapped": {"dtype": dtype, "order": order}},
        )
        for dtype, order, working in kinds
    ]
    for (_, _, working), (_, predicted, measured) in zip(kinds, measure(jobs, tmp_path), strict=True):
        features = n * m * (4 if working == "float32" else 8)
        assert features < predicted < 1.1 * features
        assert measured < features + 9 * MB  # a block for each thread that looks for NaN, and threads


@pytest.mark.parametrize("n", [250, pytest.param(500, marks=pytest.mark.sweep)])
def test_a_large_mapped_file_is_never_copied_whole(tmp_path, n):
    """100 MB of float64 or more from a file, half of that in memory as float32, and what the plan says beside."""
    options = {"method": "ward", "algorithm": "stored", "dtype": "float32"}
    job = (n, 51_000, {**options, "mapped": {"dtype": "<f8", "order": "C"}})
    ((algorithm, predicted, measured),) = measure([job], tmp_path)
    points = tmp_path / "points.npy"
    assert points.stat().st_size > n / 250 * 100 * MB
    points.unlink()  # pytest would keep it
    assert algorithm == "stored"
    assert 0.9 * (measured - 3 * MB) <= predicted <= 1.1 * measured
    assert predicted < n / 250 * 55 * MB
