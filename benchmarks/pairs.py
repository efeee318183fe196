"""Many features, bits, and given dissimilarities: all pairs matter, and a product of matrices or a pass is the bound.

"float32 product" is the time that NumPy takes for the product of all pairs, in blocks, with the threads of its BLAS.
`quick` measures other programs with fewer observations; those give the results that ours are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.cases import PRODUCT, Call, Case, all_pairs, heights, linkage

#: Rows of a block of the product, and the number of observations that `quick` gives to other programs.
BLOCK, FEW = 2048, 2000


def _product() -> Call:
    def product(X: np.ndarray) -> None:
        for start in range(0, len(X), BLOCK):
            X[start : start + BLOCK] @ X.T

    return lambda X: product(X.astype(np.float32, copy=False))


def _fastcluster(method: str, metric: str, vector: bool) -> Call:
    """Points of other types than float64 and bool are converted, which is not counted."""
    import fastcluster

    call = fastcluster.linkage_vector if vector else fastcluster.linkage
    return lambda X: call(X if X.dtype == bool else X.astype(np.float64, copy=False), method, metric)


def _float32_pairs(n: int, m: int) -> dict[str, float]:
    return {"bytes": 4 * n * m + 32 * n, "float32": n * n * m}


def wide(
    method: str,
    metric: str,
    make: Callable[[int, int], np.ndarray],
    n: int,
    m: int,
    asked: dict[str, float] | None = None,
    **given: Any,
) -> Case:
    """Return a case of many features, or of bits: distances of these are tied."""
    bits = make is data.fingerprints
    vector = method == "ward" or (method == "single" and bits)
    other = "fastcluster.linkage_vector" if vector else "fastcluster"
    peers = {"gpuclust": linkage("gpuclust", method, metric)}
    if n <= 20_000:
        peers[other] = lambda: _fastcluster(method, metric, vector)
    settings: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12, "few": {other: FEW}, "work": _float32_pairs}
    if bits:
        settings |= {"work": _bits, "tied": "" if method == "single" else method}
    else:
        peers[PRODUCT] = _product
    asked = {other if name == "fastcluster" else name: ratio for name, ratio in (asked or {}).items()}
    name = f"{method} {metric} {n} x {m}, {make.__name__}"
    return Case(name, "wide", make, peers, heights, n, m, asked=asked, **settings | given)


def _asked(fastcluster: float, products: float | None = None) -> dict[str, float]:
    """At least so many times as fast as fastcluster, and at most so many products."""
    return {"fastcluster": fastcluster} | ({} if products is None else {PRODUCT: 1 / products})


def _bits(n: int, m: int) -> dict[str, float]:
    return {"bytes": n * m + 32 * n}


WIDE = (
    wide("average", "cosine", data.spheres, 20_000, 768, _asked(15, 6)),
    wide("average", "cosine", data.scattered, 20_000, 768, quick=False),
    wide("average", "cosine", data.copied_spheres, 20_000, 768, quick=False),
    wide("average", "cosine", data.spheres, 100_000, 768, {PRODUCT: 1 / 6}, quick=False),
    wide("complete", "cosine", data.spheres, 20_000, 768, _asked(8), quick=False),
    wide("single", "cosine", data.spheres, 20_000, 768, _asked(15)),
    wide("ward", "euclidean", data.spheres, 10_000, 768, _asked(80)),
    wide("average", "euclidean", data.gaussian, 20_000, 64, _asked(12), work=all_pairs, few={"fastcluster": 10_000}),
    wide(
        "complete",
        "euclidean",
        data.gaussian,
        20_000,
        128,
        _asked(10),
        work=all_pairs,
        few={"fastcluster": 10_000},
        quick=False,
    ),
    wide("average", "jaccard", data.fingerprints, 20_000, 2048, _asked(40)),
    wide("single", "jaccard", data.fingerprints, 20_000, 2048, _asked(40), quick=False),
)


def condensed(n: int, m: int) -> np.ndarray:
    """Return the distances of normal points."""
    from gpuclust.distance import pdist

    return pdist(data.gaussian(n, m), device="cpu")


def _overwriting(method: str) -> Call:
    from gpuclust import linkage

    return lambda y: linkage(y, method, device="cpu", overwrite=True)


def given(method: str) -> Case:
    """Return a case of condensed dissimilarities; with ``overwrite`` each call gets a copy, which is not counted."""
    peers = {name: linkage(name, method) for name in ("gpuclust", "fastcluster", "scipy")}
    if method != "single":
        peers[OVERWRITE] = lambda: _overwriting(method)
    asked = {"fastcluster": 2.5 if method == "single" else 3.0}
    return Case(
        f"given, {method}",
        "given",
        condensed,
        peers,
        heights,
        n=20_000,
        m=8,
        asked=asked,
        work=lambda n, m: {"bytes": 4 * n * n + 32 * n},
        slow=("scipy",),
        copied=(OVERWRITE,),
        quick=method in ("average", "single"),
    )


OVERWRITE = "gpuclust, overwrite"
GIVEN = tuple(given(method) for method in ("average", "complete", "weighted", "ward", "single"))
CASES = {case.name: case for case in (*WIDE, *GIVEN)}
