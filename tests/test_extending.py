"""Adding a linkage or a metric as ARCHITECTURE.md says: one entry in one table, tried in a copy of the source."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]

#: By file: what is put before an anchor, and the entry behind it.
ADDED = {
    "methods": (
        """def quadratic(dxa, dxb, dab, sa, sb, sx):
    low = dxa if dxa < dxb else dxb
    value = ((dxa * dxa + dxb * dxb) / 2) ** 0.5
    return value if value > low else low


""",
        "METHODS: dict[str, Method] = {\n    method.name: method\n    for method in (\n",
        '        Method("quadratic", quadratic),\n',
    ),
    "metrics": (
        """def _clark(a, b, x, y, w, p):
    d = (x - y) / (x + y)
    return a + w * (d * d), b


def _ochiai(a, b, sx, sy, p):
    return p / p - a / sqrt(sx * sy)


""",
        "_ALL = (\n",
        '    Metric("clark", _clark, _root),\n    _counted("ochiai", "", _product, _ochiai),\n',
    ),
}

PROGRAM = """
import json, sys
import numpy as np
import gpuclust
from gpuclust.distance import pdist
from gpuclust.compute import compute

X = np.random.default_rng(3).random((60, 3)) + 0.1
large = gpuclust.plan(20_000, 2, "quadratic", memory_limit="8GB")
found = {
    "plan": [large.algorithm, large.memory, large.matrix],
    "fits": gpuclust.plan(3000, 2, "quadratic", memory_limit="30MB").fits,
    "distances": pdist(X, "clark").tolist(),
}
bits = np.random.default_rng(3).random((60, 130)) < 0.4
for device in ("reference", "cpu"):
    found[device] = compute(X, "quadratic", "clark", device=device).Z.tolist()
    found[f"{device}, bits"] = [
        pdist(np.packbits(bits, axis=1), "ochiai", packed=130, device=device).tolist(),
        pdist(bits, "ochiai", w=np.ones(130), device=device).tolist(),
    ]
print(json.dumps(found))
"""


def naive(distances: np.ndarray) -> np.ndarray:
    """Heights of the toy linkage, the quadratic mean of dissimilarities, by definition."""
    square = distances.copy()
    np.fill_diagonal(square, np.inf)
    heights = []
    while len(square) > 1:
        a, b = np.unravel_index(np.argmin(square), square.shape)
        heights.append(square[a, b])
        row = np.sqrt((square[a] ** 2 + square[b] ** 2) / 2)
        square[a], square[:, a] = row, row
        square[a, a] = np.inf
        square = np.delete(np.delete(square, b, 0), b, 1)
    return np.array(heights)


def test_a_linkage_and_a_metric_take_one_entry_each(tmp_path):
    for folder in ("gpuclust", "kernels"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (function, table, entry) in ADDED.items():
        file = tmp_path / "gpuclust" / "core" / f"{name}.py"
        before, after = file.read_text().split(table)
        file.write_text(before + function + table + entry + after)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    # A reducible linkage without another form is stored: of all observations, and the plan says so.
    algorithm, memory, matrix = found["plan"]
    assert algorithm == "stored"
    assert 20_000**2 / 2 * 8 < matrix < memory < 1.12 * 20_000**2 / 2 * 8
    assert not found["fits"]

    X = np.random.default_rng(3).random((60, 3)) + 0.1
    square = np.sqrt((((X[:, None] - X[None]) / (X[:, None] + X[None])) ** 2).sum(axis=2))
    np.testing.assert_allclose(found["distances"], square[np.triu_indices(60, 1)], rtol=1e-12)
    for device in ("reference", "cpu"):
        np.testing.assert_allclose(np.array(found[device])[:, 2], naive(square), rtol=1e-12)
    np.testing.assert_allclose(found["cpu"], found["reference"], rtol=1e-12)

    # A metric of counts has a form for packed bits, too.
    bits = np.random.default_rng(3).random((60, 130)) < 0.4
    ones = bits.sum(axis=1)
    square = 1 - (bits @ bits.T.astype(int)) / np.sqrt(np.outer(ones, ones))
    for device in ("reference", "cpu"):
        for distances in found[f"{device}, bits"]:
            np.testing.assert_allclose(distances, square[np.triu_indices(60, 1)], rtol=1e-12)
