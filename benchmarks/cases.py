"""Benchmark cases: input, and one function for each peer; `worker.py` runs one of them in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks import data
from gpuclust.app.compare.peers import PEERS, Size, Task

Call = Callable[[Any], Any]


#: What is compared with, where that is no other program.
NO_PROGRAM = "numpy, sum of squares"
PRODUCT = "float32 product"
#: Bytes moved, and operations of float32 or float64 products, for n observations of m features.
Work = Callable[[int, int], dict[str, float]]


@dataclass(frozen=True)
class Case:
    """A benchmark case.

    ``make(n, m)`` returns the input, ``peers[name]()`` imports the peer and returns the function to time. ``digest``
    reduces a result to an array on which peers must agree to ``rtol`` and ``atol``. Where more than one tree is
    right, ``tied`` is the linkage by whose definition each result, a linkage matrix, is verified instead.

    ``work`` at the rates of the machine takes the time that is the bound. ``asked`` maps a peer to the ratio that was
    asked for. A quick run has no case that is not ``quick`` and no peer of ``slow``, and gives those of ``few`` this
    number of observations only: their seconds are multiplied by the ratio of the numbers of pairs.
    """

    name: str
    group: str
    make: Callable[[int, int], Any]
    peers: dict[str, Callable[[], Call]]
    digest: Callable[[Any], np.ndarray]
    n: int
    m: int = 16
    rtol: float = 1e-12
    atol: float = 0.0
    tied: str = ""
    calls: int = 1
    work: Work = field(default=lambda n, m: {})
    asked: dict[str, float] = field(default_factory=dict)
    few: dict[str, int] = field(default_factory=dict)
    slow: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()  # peers that write over their input
    quick: bool = True


def all_pairs(n: int, m: int) -> dict[str, float]:
    """Work of the float64 product of all pairs, once each; input and result are moved once."""
    return {"bytes": 8 * n * m + 32 * n, "float64": n * n * m}


def one_pass(n: int, m: int) -> dict[str, float]:
    """Work of reading points and writing a linkage matrix."""
    return {"bytes": 8 * n * m + 32 * n}


def heights(Z: np.ndarray) -> np.ndarray:
    return np.sort(Z[:, 2])


def _linkage_peers(method: str) -> dict[str, Callable[[], Call]]:
    size = Size(2, 2)
    peers = {name: linkage(name, method) for name, peer in PEERS.items() if not peer.cannot(Task(method), size)}
    return peers | ({"genieclust": genieclust, "fast_hdbscan": fast_hdbscan} if method == "single" else {})


def linkage(name: str, method: str, metric: str = "euclidean") -> Callable[[], Call]:
    """Return the loader of a program, which returns linkage matrices."""

    def load() -> Call:
        call = PEERS[name].load(Task(method, metric))
        return lambda data: PEERS[name].tree(call(data))

    return load


def genieclust() -> Call:
    from genieclust import Genie

    def edges(X: np.ndarray) -> np.ndarray:
        """With this threshold its linkage is single linkage."""
        found = Genie(1, gini_threshold=1.0, M=0).fit(X)
        return np.column_stack((found.children_, found.distances_))

    return edges


def fast_hdbscan() -> Call:
    from fast_hdbscan.hdbscan import compute_minimum_spanning_tree

    return lambda X: compute_minimum_spanning_tree(X, min_samples=1)[0]


STORED, STEPWISE = {"scipy": 8.0, "fastcluster": 3.5}, {"scipy": 8.0}
CLOSED = {"scipy": 40.0, "fastcluster.linkage_vector": 10.0}
ASKED = {"average": STORED, "complete": STORED, "weighted": STORED, "centroid": STEPWISE, "median": STEPWISE}
ASKED["ward"] = CLOSED
METHODS = ("average", "complete", "weighted", "centroid", "median", "ward", "single")

LINKAGE = [
    Case(
        f"linkage {method}",
        "linkage",
        data.gaussian,
        _linkage_peers(method),
        heights,
        n=20_000,
        work=all_pairs,
        slow=("fast_hdbscan",) if method == "single" else ("sklearn",),
        rtol=1e-6 if method in ("centroid", "median") else 1e-12,
        asked=ASKED.get(method, {}),
        quick=method in ("average", "ward", "single"),
    )
    for method in METHODS
]

SMALL = [
    Case(
        f"linkage {method}, n=150",
        "small",
        data.gaussian,
        {name: linkage(name, method) for name in ("gpuclust", "scipy")},
        heights,
        n=150,
        m=2,
        calls=300,
        asked={"scipy": 0.5},
    )
    for method in ("single", "average", "ward", "centroid")
]


def _pdist(package: str, metric: str) -> Callable[[], Call]:
    def load() -> Call:
        distance = import_module("gpuclust.distance" if package == "gpuclust" else "scipy.spatial.distance")
        return lambda X: distance.pdist(X, metric)

    return load


DISTANCE = [
    Case(
        f"pdist {metric}",
        "distance",
        data.gaussian,
        {name: _pdist(name, metric) for name in ("gpuclust", "scipy")},
        lambda Y: Y[:: max(1, len(Y) // 1_000_003)],
        n=20_000,
        work=lambda n, m: {"bytes": 8 * n * m + 4 * n * n, "float64": n * n * m},
        asked={"scipy": 3.0} if metric in ("euclidean", "cityblock") else {},
        quick=metric in ("euclidean", "cityblock"),
    )
    for metric in ("euclidean", "cityblock", "cosine", "chebyshev", "jaccard")
]


def tree(n: int, m: int) -> np.ndarray:
    from gpuclust import linkage

    return linkage(data.gaussian(n, m), "ward")


def tree_and_distances(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    from gpuclust import linkage, pdist

    X = data.gaussian(n, m)
    return linkage(X, "average"), pdist(X)


def _hierarchy(package: str, call: Callable[[Any, Any], Any]) -> Callable[[], Call]:
    def load() -> Call:
        hierarchy = import_module("gpuclust.hierarchy" if package == "gpuclust" else "scipy.cluster.hierarchy")
        return lambda data: call(hierarchy, data)

    return load


def _distances(passes: int) -> Work:
    """Work of reading a linkage matrix, and of so many passes over condensed distances."""
    return lambda n, m: {"bytes": 32 * n + passes * 4 * n * n}


def _tree_case(name: str, call: Callable[[Any, Any], Any], asked: float, **options: Any) -> Case:
    settings: dict[str, Any] = {"make": tree, "digest": np.ravel, "n": 20_000, "rtol": 1e-9} | options
    peers = {package: _hierarchy(package, call) for package in ("gpuclust", "scipy")}
    return Case(name, "hierarchy", peers=peers, asked={"scipy": asked}, **settings)


HIERARCHY = [
    _tree_case("cophenet(Z)", lambda h, Z: h.cophenet(Z), 5, digest=lambda d: d[::1001], work=_distances(1)),
    _tree_case(
        "cophenet(Z, Y)",
        lambda h, data: h.cophenet(*data),
        8,
        make=tree_and_distances,
        work=_distances(2),
        quick=False,
        digest=lambda result: np.append(result[0], result[1][::1001]),
    ),
    _tree_case("cut_tree(Z, 20)", lambda h, Z: h.cut_tree(Z, 20), 50),
    _tree_case(
        "optimal_leaf_ordering",
        lambda h, data: h.optimal_leaf_ordering(*data),
        10,
        make=tree_and_distances,
        n=3000,
        quick=False,
        digest=lambda Z: Z[:, 2],
    ),
    *(
        _tree_case(f"{name}, n={n:,}", call, 1, n=n, calls=20, quick=n > 1000)
        for n in (1000, 20_000)
        for name, call in (
            ("fcluster maxclust", lambda h, Z: h.fcluster(Z, 30, "maxclust")),
            ("fcluster distance", lambda h, Z: h.fcluster(Z, 9.0, "distance")),
            ("fcluster inconsistent", lambda h, Z: h.fcluster(Z, 1.1)),
            ("inconsistent", lambda h, Z: h.inconsistent(Z, 4)),
            ("leaves_list", lambda h, Z: h.leaves_list(Z)),
        )
    ),
]

#: Fewer points, for curves whose last point is that of the group linkage.
SIZES = [
    Case(
        f"{method} {n} x 16",
        "sizes",
        data.gaussian,
        {name: linkage(name, method) for name in ("gpuclust", "fastcluster", "scipy")},
        heights,
        n=n,
        work=all_pairs,
    )
    for method in ("average", "ward", "single")
    for n in (2000, 6000)
]

#: Mixtures, near-copies, ties, real data. Where distances are tied more than one tree is right.
KINDS: dict[Callable[[int, int], np.ndarray], tuple[int, int, bool]] = {
    data.clustered: (5000, 16, False),
    data.uniform: (5000, 16, False),
    data.near_copies: (5000, 16, False),
    data.duplicated: (5000, 16, False),
    data.grid: (5000, 16, True),
    data.digits: (1797, 64, True),
    data.patches: (5000, 192, True),
}

DATA = [
    Case(
        f"{method} {n} x {m}, {make.__name__}",
        "data",
        make,
        {name: linkage(name, method) for name in ("gpuclust", "fastcluster", "scipy")},
        heights,
        n=n,
        m=m,
        rtol=1e-9,
        tied=method if tied else "",
        work=all_pairs,
        slow=("scipy",),
        quick=make in (data.clustered, data.grid, data.digits),
    )
    for make, (n, m, tied) in KINDS.items()
    for method in ("average", "ward")
]

CASES = {case.name: case for case in (*LINKAGE, *SMALL, *DISTANCE, *HIERARCHY, *SIZES, *DATA)}
