"""Fingerprints: linkage of bits by Jaccard distances, and the time of fastcluster with SciPy's distances.

Distances and heights of single linkage are compared with SciPy's and fastcluster's first. SciPy would take minutes
for all distances, so its time is that for the first points, times the number of pairs; that of fastcluster's linkage
of distances is added, likewise. `fastcluster.linkage_vector` computes single linkage from points.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import gpuclust
from gpuclust.distance import nearest_neighbors, pdist


def fingerprints(n: int, m: int) -> np.ndarray:
    """Families of fingerprints: one in 50 is a prototype, of a density of its own, and 2 % of the bits differ."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((n // 50, m)) < rng.beta(1, 6, size=(n // 50, 1))
    return prototypes[rng.integers(len(prototypes), size=n)] ^ (rng.random((n, m)) < 0.02)


def timed(function: Callable[..., Any], *arguments: Any, **given: Any) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    begin = time.perf_counter()
    result = function(*arguments, **given)
    return time.perf_counter() - begin, result


def bits(console: Console, n: int, m: int, few: int) -> None:
    """Print seconds, and ratios to the peer's."""
    import fastcluster
    from scipy.spatial.distance import pdist as scipys

    X = fingerprints(n, m)
    scale = (n / few) ** 2
    first, distances = timed(scipys, X[:few], "jaccard")
    np.testing.assert_array_equal(pdist(X[:few], "jaccard", device="cpu"), distances)
    expected = fastcluster.linkage(distances, "single")[:, 2]
    np.testing.assert_array_equal(gpuclust.linkage(X[:few], "single", "jaccard", device="cpu")[:, 2], expected)
    packed, given = np.packbits(X, axis=1), {"packed": m, "device": "cpu"}
    table = Table("linkage", "seconds", "fastcluster", "ratio", title=f"jaccard, {n:,} x {m:,} bits")
    for method in ("average", "complete", "single"):
        gpuclust.linkage(packed[:3000], method, "jaccard", **given)
        own = min(timed(gpuclust.linkage, packed, method, "jaccard", **given)[0] for _ in range(2))
        if method == "single":
            peer = timed(fastcluster.linkage_vector, X[:few], "single", "jaccard")[0] * scale
        else:
            peer = (first + timed(fastcluster.linkage, distances, method)[0]) * scale
        table.add_row(method, f"{own:.2f}", f"{peer:.0f}", f"{peer / own:.0f}x")
    nearest_neighbors(packed[:3000], 10, "jaccard", **given)
    own = timed(nearest_neighbors, packed, 10, "jaccard", **given)[0]
    table.add_row("10 neighbours", f"{own:.2f}", "", "")
    console.print(table)


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--m", type=int, default=2048)
    parser.add_argument("--few", type=int, default=1500)
    given = parser.parse_args()
    bits(Console(width=120), given.n, given.m, given.few)
