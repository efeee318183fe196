"""The disk cache of compiled kernels.

Hit by later processes, never with another kernel's code, wherever it may be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CALLS = """
import json, sys, numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
import gpuclust
from gpuclust.linkage import compute
X = np.random.default_rng(0).random((60, 5))
wrong = []
for call in sys.argv[1:]:
    metric, method = call.split("/")
    if not np.allclose(compute(X, method, metric).Z, linkage(pdist(X, metric), method), rtol=1e-12, atol=0):
        wrong.append(call)
    if not np.allclose(gpuclust.pdist(X, metric), pdist(X, metric), rtol=1e-12, atol=0):
        wrong.append(metric)
print(json.dumps(wrong))
"""


def run(cache: Path, *arguments: str, code: str = CALLS, **environment: str) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kernels_from_disk_and_new_ones_do_not_mix(tmp_path):
    """Processes that compile the same kernels in another order, and find some of them on disk.

    Numba's symbols are numbered by process: without names of their own, two closures of one builder collide.
    """
    calls = ["cityblock/average", "euclidean/complete", "chebyshev/average"]
    for order in (calls[:1], calls[1:2], calls[::-1], calls):
        assert run(tmp_path, *order).strip() == "[]"


def test_every_compiled_closure_is_named():
    """A compiled closure must say what it was made for."""
    missing = []
    for path in sorted((ROOT / "kernels").rglob("*.py")) + sorted((ROOT / "gpuclust" / "hierarchy").rglob("*.py")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            closure = line.startswith("    ") and line.strip() in ("@compiled", "@register_jitable", "@uncounted")
            if closure and not lines[number + 1].strip().startswith("@named("):
                missing.append(f"{path.name}:{number + 1}")
    assert not missing


def test_a_later_process_compiles_nothing(tmp_path):
    """What a first process has compiled a second one finds, whatever of the library it uses."""
    code = """
import numpy as np, gpuclust
rng = np.random.default_rng(0)
for m in (2, 16):
    X = rng.normal(size=(1500, m))
    for method in ("single", "complete", "average", "weighted", "centroid", "median", "ward"):
        gpuclust.linkage(X, method)
    gpuclust.linkage(X, "single", "cityblock")
    gpuclust.linkage(X, "average", "sqeuclidean")
"""

    def kept():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}

    run(tmp_path, code=code)
    first = kept()
    run(tmp_path, code=code)
    assert len(first) > 50
    assert kept() == first


def test_a_read_only_install(tmp_path):
    """Kernels go to the user's cache folder when the install folder can't be written, and are found there again."""
    site, home = tmp_path / "site", tmp_path / "home"
    for name in ("gpuclust", "kernels"):
        shutil.copytree(ROOT / name, site / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [p for p in site.rglob("*") if p.is_dir()]:
        if not (folder / "__pycache__").exists():
            (folder / "__pycache__").write_text("in the way: this folder takes no cache, not even from root")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import gpuclust, numpy as np
assert gpuclust.__file__.startswith(sys.argv[1]), gpuclust.__file__
gpuclust.linkage(np.random.default_rng(0).normal(size=(50, 3)), "single")
from gpuclust.kernels.cpu.spanning import tree_kernel
print(sum(tree_kernel(np.dtype("float64")).stats.cache_hits.values()))
"""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env.update(HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"))
    hits = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(site)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        hits.append(done.stdout.strip())
    assert hits == ["0", "1"]
    # With no folder at all to keep kernels in, they are compiled each time.
    (tmp_path / "file").write_text("not a folder")
    env.update(HOME=str(tmp_path / "file" / "home"), XDG_CACHE_HOME=str(tmp_path / "file" / "cache"))
    code = code.replace("cache_hits", "cache_misses")
    done = subprocess.run([sys.executable, "-c", code, str(site)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert not list(site.rglob("*.nbi"))
    assert list(home.rglob("*.nbi"))
