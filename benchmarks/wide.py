"""Points of many features: linkage, and how many pairs the searches by matrix products compute.

Every result is checked before it is printed: that of lists against distances from float64 products, that of a linkage
against a sample of its heights by definition. "product" is the time that NumPy takes in the same run for the float32
product of all pairs, in blocks, with the threads of its BLAS.
"""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from rich.table import Table

import gpuclust
from gpuclust.distance import nearest_neighbors
from gpuclust.kernels.cpu.space import products

#: Kinds of points, and jobs: linkage, metric, and the largest number of features.
KINDS = ("spheres", "normal", "near-copies")
JOBS = (("ward", "euclidean"), ("average", "cosine"), ("complete", "cosine"), ("single", "cosine"))
BLOCK = 2048


def points(kind: str, n: int, m: int) -> np.ndarray:
    """Clusters with sizes of a power law, on a sphere; normal points; or such clusters and a tenth of near-copies."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, m))
    if kind != "normal":
        share = 1 / np.arange(1, int(n**0.5) + 1)
        centres = rng.normal(size=(share.size, m))
        X = centres[rng.choice(share.size, n, p=share / share.sum())] + X / 2
    if kind == "near-copies":
        copies = rng.permutation(n)[: n // 10 * 2].reshape(2, -1)
        X[copies[0]] = X[copies[1]] + 1e-6 * rng.normal(size=(copies.shape[1], m))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def product_seconds(X: np.ndarray) -> float:
    """Seconds of the float32 product of all pairs."""
    begin = time.perf_counter()
    for start in range(0, len(X), BLOCK):
        X[start : start + BLOCK] @ X.T
    return time.perf_counter() - begin


def check_lists(X: np.ndarray, sample: int = 50) -> None:
    """Compare the lists of some points with those by all distances."""
    distances, indices = nearest_neighbors(X, 5, "cosine", device="cpu")
    unit = X.astype(np.float64) / np.linalg.norm(X.astype(np.float64), axis=1, keepdims=True)
    for i in np.linspace(0, len(X) - 1, sample).astype(int):
        expected = 1 - unit @ unit[i]
        expected[i] = np.inf
        np.testing.assert_allclose(distances[i], np.sort(expected)[:5], rtol=0, atol=1e-12)
        np.testing.assert_allclose(expected[indices[i]], distances[i], rtol=0, atol=1e-12)


def check_linkage(Z: np.ndarray, X: np.ndarray, method: str, metric: str) -> None:
    """Compare the heights of a linkage of the first points with those of a stored matrix."""
    few = X[:1500]
    stored = gpuclust.linkage(few, method, metric, device="cpu", algorithm=STORED[method])
    found = gpuclust.linkage(few, method, metric, device="cpu")
    np.testing.assert_allclose(found[:, 2], stored[:, 2], rtol=1e-9, atol=1e-12)
    assert Z[-1, 3] == len(X)
    assert np.isfinite(Z).all()


#: An algorithm that computes all distances.
STORED = {"ward": "stored", "average": "stored", "complete": "stored", "single": "spanning tree, stored"}


def wide(console: Console, n: int = 10_000, m: int = 768) -> None:
    """Print seconds, their ratio to a product, and the work of the searches."""
    table = Table(
        "points", "linkage", "seconds", "products", "candidates a row", "computed", "levels", title=f"{n:,} x {m}"
    )
    counted: list[products.Counts] = []
    products.OBSERVERS.append(counted.append)
    try:
        for kind in KINDS:
            X = points(kind, n, m)
            check_lists(X[:3000])
            product = product_seconds(X)
            for method, metric in JOBS:
                gpuclust.linkage(X[:1500], method, metric, device="cpu")
                counted.clear()
                begin = time.perf_counter()
                Z = gpuclust.linkage(X, method, metric, device="cpu")
                seconds = time.perf_counter() - begin
                check_linkage(Z, X, method, metric)
                rows, candidates, differences, early, computed = np.sum(counted, axis=0)
                work = (
                    f"{candidates / rows:.1f}",
                    f"{computed / rows:.1f}",
                    f"{differences:,} / {early:,} of {rows:,}",
                )
                table.add_row(kind, f"{method}, {metric}", f"{seconds:.2f}", f"{seconds / product:.1f}", *work)
    finally:
        products.OBSERVERS.remove(counted.append)
    console.print(table)
    console.print("levels: rows of a strip compared by differences / rows computed early, of rows searched")


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--m", type=int, default=768)
    given = parser.parse_args()
    wide(Console(width=120), given.n, given.m)
