"""Benchmark cases: input, and one function for each peer; `worker.py` runs one of them in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuclust.app.compare.peers import PEERS, VECTOR, Task

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A benchmark case.

    ``make(n, m)`` returns the input, ``peers[name]()`` imports the peer and returns the function to time. ``digest``
    reduces a result to an array on which peers must agree to ``rtol``. ``warm`` is the size of the warm-up call.
    """

    name: str
    group: str
    make: Callable[[int, int], Any]
    peers: dict[str, Callable[[], Call]]
    digest: Callable[[Any], np.ndarray]
    n: int
    m: int = 16
    rtol: float = 1e-12
    repeat: int = 1
    calls: int = 1
    warm: int = 1500
    asked: dict[str, float] = field(default_factory=dict)  # peer -> ratio that was asked for


def gaussian(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, m))


def heights(Z: np.ndarray) -> np.ndarray:
    return np.sort(Z[:, 2])


def _linkage_peers(method: str) -> dict[str, Callable[[], Call]]:
    names = ["gpuclust", "fastcluster", "scipy"]
    if method in VECTOR:
        names.insert(1, "fastcluster.linkage_vector")
    return {name: _linkage(name, method) for name in names}


def _linkage(name: str, method: str) -> Callable[[], Call]:
    return lambda: PEERS[name].load(Task(method))


STORED, STEPWISE = {"scipy": 8.0, "fastcluster": 3.5}, {"scipy": 8.0}
CLOSED = {"scipy": 40.0, "fastcluster.linkage_vector": 10.0}
ASKED = {"average": STORED, "complete": STORED, "weighted": STORED, "centroid": STEPWISE, "median": STEPWISE}
ASKED["ward"] = CLOSED
METHODS = ("average", "complete", "weighted", "centroid", "median", "ward", "single")

LINKAGE = [
    Case(
        f"linkage {method}",
        "linkage",
        gaussian,
        _linkage_peers(method),
        heights,
        n=20_000,
        repeat=2,
        rtol=1e-6 if method in ("centroid", "median") else 1e-12,
        asked=ASKED.get(method, {}),
    )
    for method in METHODS
]

SMALL = [
    Case(
        f"linkage {method}, n=150",
        "small",
        gaussian,
        {name: _linkage(name, method) for name in ("gpuclust", "scipy")},
        heights,
        n=150,
        m=2,
        repeat=5,
        calls=300,
        warm=150,
        asked={"scipy": 0.5},
    )
    for method in ("single", "average", "ward", "centroid")
]


def _pdist(package: str, metric: str) -> Callable[[], Call]:
    def load() -> Call:
        if package == "gpuclust":
            from gpuclust.distance import pdist
        else:
            from scipy.spatial.distance import pdist
        return lambda X: pdist(X, metric)

    return load


DISTANCE = [
    Case(
        f"pdist {metric}",
        "distance",
        gaussian,
        {name: _pdist(name, metric) for name in ("gpuclust", "scipy")},
        lambda Y: Y[:: max(1, len(Y) // 1_000_003)],
        n=20_000,
        repeat=3,
        asked={"scipy": 3.0} if metric in ("euclidean", "cityblock") else {},
    )
    for metric in ("euclidean", "cityblock", "cosine", "chebyshev", "jaccard")
]


def tree(n: int, m: int) -> np.ndarray:
    from gpuclust import linkage

    return linkage(gaussian(n, m), "ward")


def tree_and_distances(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    from gpuclust import linkage, pdist

    X = gaussian(n, m)
    return linkage(X, "average"), pdist(X)


def _hierarchy(package: str, call: Callable[[Any, Any], Any]) -> Callable[[], Call]:
    def load() -> Call:
        if package == "gpuclust":
            from gpuclust import hierarchy
        else:
            from scipy.cluster import hierarchy
        return lambda data: call(hierarchy, data)

    return load


def _tree_case(name: str, call: Callable[[Any, Any], Any], asked: float, **options: Any) -> Case:
    settings: dict[str, Any] = {"make": tree, "digest": np.ravel, "n": 20_000, "repeat": 3, "rtol": 1e-9} | options
    peers = {package: _hierarchy(package, call) for package in ("gpuclust", "scipy")}
    return Case(name, "hierarchy", peers=peers, asked={"scipy": asked}, **settings)


HIERARCHY = [
    _tree_case("cophenet(Z)", lambda h, Z: h.cophenet(Z), 5, digest=lambda d: d[::1001]),
    _tree_case(
        "cophenet(Z, Y)",
        lambda h, data: h.cophenet(*data),
        8,
        make=tree_and_distances,
        digest=lambda result: np.append(result[0], result[1][::1001]),
    ),
    _tree_case("cut_tree(Z, 20)", lambda h, Z: h.cut_tree(Z, 20), 50, repeat=1),
    _tree_case(
        "optimal_leaf_ordering",
        lambda h, data: h.optimal_leaf_ordering(*data),
        10,
        make=tree_and_distances,
        n=3000,
        repeat=1,
        warm=200,
        digest=lambda Z: Z[:, 2],
    ),
    *(
        _tree_case(f"{name}, n={n:,}", call, 1, n=n, calls=20, repeat=5, warm=200)
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

CASES = {case.name: case for case in (*LINKAGE, *SMALL, *DISTANCE, *HIERARCHY)}
