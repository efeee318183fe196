"""Fuzzing of linkages and neighbour lists on the CPU: random difficult points, algorithms and constants.

A seed determines a case. Tuning constants that Python reads are drawn for every case, so that situations that are
rare at their usual values (lists of one entry, boxes of one point, a new tree every round, a chain cut short) are
common. Each result must be the same for several numbers of threads and pass `exact_judge`.

As a program it runs seeds and prints the cases that fail; one seed is printed in full::

    python tests/fuzzing.py --seed 1234
    python tests/fuzzing.py --first 0 --count 10000
    python tests/fuzzing.py --interpreted --count 500    # kernels as plain Python: see interpreted.py
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


def always(*_: Any) -> bool:
    """In place of a measurement of what is quicker."""
    return True


def never(*_: Any) -> bool:
    return False


def boxes_of_two(n: int, m: int) -> int:
    """In place of the size that a box should have."""
    return 2


def boxes_of_nine(n: int, m: int) -> int:
    return 9


#: Tuning constants by module, with values to draw from; each is left as it is in a third of all cases.
SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "gpuclust.algorithms.base": {"SQUARE": (0, 0, 40)},
    "gpuclust.algorithms.candidates": {"NEIGHBOURS": (1, 2, 3, 7), "FEW": (3, 20, 1 << 20), "LARGEST": (1, 3, 10)},
    "gpuclust.algorithms.rounds": {
        "FUSED": (1, 3, 20),
        "SHARE": (1, 2, 5, 1 << 20),
        "ROUND_SCANS": (0, 2, 1 << 20),
        "TAIL": (1, 2, 5, 20),
        "CHAIN_ENTRIES": (1, 1000),
        "CHAIN_CALLS": (1, 3, 1 << 20),
    },
    "gpuclust.algorithms.generic": {"TAIL": (1, 2, 5, 20), "STEP": (1, 100)},
    "gpuclust.core.matrix_free": {"ROWS_BETWEEN_REPORTS": (1, 7)},
    "gpuclust.core.component_search": {"ROWS_BETWEEN_REPORTS": (1, 7)},
    "gpuclust.algorithms.cluster_tree": {"LAST": (2, 3, 10, 50)},
    "gpuclust.kernels.cpu.clusters.candidates": {
        "PIECE": (1, 5, 50),
        "ROOM": (1, 7, 128),
        "WIDE": (1, 1 << 40),
    },
    "gpuclust.kernels.cpu.clusters.cluster_search": {"BLOCK": (1, 3, 20), "PIECE": (1, 5), "SMALL": (0,)},
    "gpuclust.kernels.cpu.clusters.cluster_tree": {"LEAF": (1, 2, 3, 40), "SEARCHED": (1, 7), "CARRIED": (1, 7)},
    "gpuclust.kernels.cpu.matrix.fill": {"SMALL": (0,), "GROUP": (4, 64)},
    "gpuclust.kernels.cpu.clusters.greedy": {"PIECE": (1, 7), "SMALL": (0,)},
    "gpuclust.kernels.cpu.clusters.greedy_tree": {"POINTS": (0,), "FEATURES": (0, 100), "PIECE": (1, 7)},
    "gpuclust.kernels.cpu.space.kdtree": {"SUBTREE": (1, 5, 40), "PIECE": (10, 100, 1000)},
    "gpuclust.kernels.cpu.points.knn": {"SHARE": (0.0, 100.0), "ROWS": (1, 5)},
    "gpuclust.kernels.cpu.points.boruvka": {"LISTED": (1, 2, 17), "PIECE": (1, 31), "CROWDED": (0.0, 2.0)},
    "gpuclust.kernels.cpu.points.component_edges": {"MOST": (2, 256), "ROWS": (9, 64)},
    "gpuclust.kernels.cpu.space.pairwise": {"_SMALL": (0,), "_PIECE": (1, 1000)},
    "gpuclust.kernels.cpu.space.screen": {
        "FEATURES": (1, 1 << 40),
        "MOST": (1, 2, 10, 4096),
        "PIECE": (1, 1000),
        "SMALL": (0,),
    },
    "gpuclust.kernels.cpu.clusters.screen_pairs": {
        "PIECE": (1, 1000),
        "ROWS": (1, 9),
        "TOUR": (1, 1 << 10),
        "LAST": (1, 50),
    },
    "gpuclust.kernels.cpu.points.index": {
        "ROWS": (1, 3),
        "FEWEST": (2, 2, 1 << 40),
        "WIDE": (1, 1, 4, 1 << 40),
        "quicker": (always, always, never),
        "box_size": (boxes_of_two, boxes_of_nine),
    },
    "gpuclust.kernels.cpu.matrix.prim": {"STEP": (1, 100)},
    "gpuclust.kernels.cpu.matrix.stored": {"PAIRS_READ": (1, 100)},
    "gpuclust.kernels.cpu.clusters.summaries": {
        "LISTED": (1, 2, 3, 17),
        "LISTED_WIDE": (1, 2, 3, 17),
        "WIDE": (1, 1, 4, 1 << 40),
        "WALKED": (0, 1 << 40),
        "ROWS": (1, 5),
        "LISTS": (1, 7),
        "LEAF": (1, 2, 3, 50),
        "SMALL": (0,),
        "box_size": (boxes_of_two, boxes_of_nine),
    },
    "gpuclust.kernels.cpu.clusters.product_kernels": {
        "ROWS": (4, 9),
        "MANY": (0, 1),
        "SHARE": (0.0, 2.0**-8),
    },
    "gpuclust.kernels.cpu.clusters.summary_chain": {"WALKS": (1, 3), "ENTRIES": (1, 1000)},
    "gpuclust.kernels.cpu.space.boxes": {"WORN": (0.01, 0.9, 1.0)},
    "gpuclust.kernels.cpu.points.tree_points": {"PIECE": (1, 3), "SEARCHED": (1, 7)},
}
METHODS = ("single", "complete", "average", "weighted", "ward", "centroid", "median")
#: Metrics and how often they are drawn.
METRICS = {
    "euclidean": 8,
    "sqeuclidean": 4,
    "cityblock": 2,
    "chebyshev": 1,
    "cosine": 1,
    "correlation": 1,
    "braycurtis": 1,
    "minkowski": 1,
}
#: Metrics whose small dissimilarities are not known relatively: of these, what is absolutely.
ANGULAR = ("cosine", "correlation")


@dataclass
class Case:
    """The case of a seed."""

    seed: int
    kind: str
    X: np.ndarray
    method: str  # "neighbours": lists of k nearest neighbours; "clusters": searches for the nearest of some clusters
    metric: str
    algorithm: str
    dtype: str
    condensed: bool
    most: int | None
    threads: tuple[int, ...]
    k: int
    given: dict[str, float]
    settings: dict[tuple[str, str], Any] = field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        n, m = self.X.shape
        what = f"k={self.k}" if self.method == "neighbours" else f"{self.algorithm!r}, most={self.most}"
        shape = f"{n} x {m}{', condensed' if self.condensed else ''}"
        return (
            f"seed {self.seed}: {self.kind} {shape}, {self.method}, {self.metric} {self.given}, {self.dtype}, {what}"
        )

    def in_full(self) -> str:
        constants = "\n".join(f"    {module}.{name} = {value}" for (module, name), value in self.settings.items())
        with np.printoptions(threshold=sys.maxsize, floatmode="unique", linewidth=110):
            return f"{self}\nthreads {self.threads}; constants:\n{constants}\nX = np.{self.X!r}"


# Points that are hard in some way; each maker is given a generator, a number of points and of features.


def _groups(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    width = 10.0 ** r.integers(-9, 0, 7)
    which = r.integers(0, 7, n)
    return r.normal(size=(7, m))[which] + r.normal(size=(n, m)) * width[which, None]


def _ulps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    base = r.choice([1.0, 3.0, -3.0, 0.1, 100.0], size=(3, m))[r.integers(0, 3, n)]
    return base + np.spacing(base) * r.integers(-20, 21, (n, m))


def _one_place_of_ulps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    base = np.full((n, m), float(r.choice([0.7, 1.0, 3.0, 1e3])))
    return base + np.spacing(base) * r.integers(0, int(r.choice([4, 30, 1000])), (n, m))


def _duplicates(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.normal(size=(max(1, n // 4), m))[r.integers(0, max(1, n // 4), n)]


def _decimals(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.round(r.random((n, m)), int(r.integers(1, 3)))


def _nearly_a_lattice(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Distances that single precision cannot tell apart, of which many compete."""
    X = r.integers(0, int(r.choice([2, 3, 6])), (n, m)) + r.normal(size=(n, m)) * 10.0 ** r.integers(-10, -5)
    return np.where(r.random((n, 1)) < 0.1, X * 10.0 ** r.integers(0, 3), X)  # some far away, so that boxes are wide


def _hub(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = r.normal(size=(n, m))
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    return X * np.where(np.arange(n) == 0, 0.0, 1 + r.random(n) * float(r.choice([0.0, 1e-15, 1e-3])))[:, None]


def _star(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = np.zeros((n, m))
    X[np.arange(n), np.arange(n) % m] = 1 + np.arange(n) // m
    return X


def _gaps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    ratio = float(r.choice([1 + 1e-12, 1.001, 1.1, 2.0]))
    steps = np.minimum(ratio ** np.arange(n), 1e12) * np.sign(r.random() - 0.5)
    return np.cumsum(steps)[:, None] * r.normal(size=m)


def _outliers(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = r.normal(size=(n, m))
    X[r.integers(0, n, max(1, n // 20))] *= 10.0 ** r.integers(1, 9)
    return X


def _chain(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.cumsum(r.normal(size=(n, m)) * (0.1 + r.random((n, 1))), axis=0)


def _nearly_a_line(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    along = r.random(n) if r.random() < 0.5 else np.arange(n) / n
    return along[:, None] * r.normal(size=m) + r.normal(size=(n, m)) * float(r.choice([0.0, 1e-16, 1e-12, 1e-6]))


def _offset(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.normal(size=(n, m)) + 10.0 ** r.integers(1, 10) * r.normal(size=m)


def _heavy(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.standard_cauchy((n, m)) ** int(r.choice([1, 3]))


def _half_equal(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.where(r.random((n, 1)) < 0.5, 0.1, r.normal(size=(n, m)))


KINDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "normal": lambda r, n, m: r.normal(size=(n, m)),
    "uniform": lambda r, n, m: r.random((n, m)),
    "groups": _groups,
    "ulps": _ulps,
    "one place of ulps": _one_place_of_ulps,
    "duplicates": _duplicates,
    "decimals": _decimals,
    "lattice": lambda r, n, m: r.integers(0, int(r.choice([2, 3, 6, 20])), (n, m)).astype(float),
    "nearly a lattice": _nearly_a_lattice,
    "hub": _hub,
    "star": _star,
    "gaps": _gaps,
    "outliers": _outliers,
    "chain": _chain,
    "nearly a line": _nearly_a_line,
    "offset": _offset,
    "heavy": _heavy,
    "half equal": _half_equal,
    "equal": lambda r, n, m: np.full((n, m), 0.1),
}
OF_COUNTS = ("dice", "hamming", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
#: Kinds on which an angular dissimilarity is well conditioned.
FOR_ANGLES = ("normal", "uniform", "duplicates", "heavy")


def draw(seed: int, interpreted: bool = False, only: dict[str, Any] | None = None) -> Case:
    """The case of a seed; ``only`` fixes some of ``kind``, ``method`` and ``metric``."""
    r = np.random.default_rng([seed, 77])
    only = only or {}
    method = only.get("method") or str(r.choice([*METHODS, "neighbours", "clusters"]))
    metric = only.get("metric") or str(
        r.choice(list(METRICS), p=np.array(list(METRICS.values())) / sum(METRICS.values()))
    )
    if method in ("ward", "centroid", "median"):
        metric = "euclidean"
    kind = only.get("kind") or str(r.choice(FOR_ANGLES if metric in ANGULAR else list(KINDS)))
    if kind not in FOR_ANGLES and metric in ANGULAR:
        metric = "euclidean"
    n, m = _shape(r, interpreted)
    if interpreted and method == "single" and r.random() < 0.5:
        n = int(r.integers(45, 150))  # cheap, and a deeper tree
    if metric == "correlation":
        m += 3
    dtype = "float32" if r.random() < 0.12 and metric in ("euclidean", "sqeuclidean", "cityblock") else "float64"
    X = _scaled(r, KINDS[kind](r, n, m), metric, dtype)
    condensed = method in METHODS and r.random() < 0.12
    given = {"p": float(r.choice([0.5, 1.5, 3.0]))} if metric == "minkowski" else {}
    case = Case(
        seed,
        kind,
        X,
        method,
        metric,
        "auto" if method in ("neighbours", "clusters") else _algorithm(r, n, m, method, metric, condensed),
        dtype,
        condensed,
        int(r.choice([0, 1, 2, 5, max(1, n // 4), n])) if r.random() < 0.7 else None,
        (1, int(r.choice([2, 5]))),
        int(r.choice([1, 2, 5, n - 1])) if n > 5 else 1,
        given,
    )
    for module, names in SETTINGS.items():
        for name, values in names.items():
            if r.random() < 0.67:
                case.settings[module, name] = values[r.integers(len(values))]
    return case if "metric" in only else _perhaps_of_bits(case)


def _perhaps_of_bits(case: Case) -> Case:
    """One case in twelve with a metric of counts instead: booleans, or packed bits, one or several words of them."""
    r = np.random.default_rng([case.seed, 78])
    if case.condensed or case.method in ("ward", "centroid", "median") or r.random() > 1 / 12:
        return case
    n, m = len(case.X), int(r.choice([2, 7, 40, 63, 64, 65, 130]))
    X = r.random((max(1, n // int(r.integers(1, 5))), m)) < r.random()
    X = X[r.integers(len(X), size=n)] ^ (r.random((n, m)) < r.choice([0, 0.02, 0.2]))
    X[:, 0] = True  # dice is not defined for two rows of zeros
    metric = str(r.choice(OF_COUNTS))
    searched = case.method in ("neighbours", "clusters")
    algorithm = "auto" if searched else _algorithm(r, n, m, case.method, metric, False)
    packed = bool(r.random() < 0.5)
    given = {"packed": m} if packed else {}
    X = np.packbits(X, axis=1) if packed else X
    return replace(case, kind="bits", X=X, metric=metric, algorithm=algorithm, dtype="float64", given=given)


def _shape(r: np.random.Generator, interpreted: bool) -> tuple[int, int]:
    """Sizes about those at which something changes, and others."""
    if interpreted:
        n = int(r.choice([r.integers(2, 6), r.integers(2, 26), r.integers(20, 45)], p=[0.2, 0.5, 0.3]))
        return n, int(r.choice([1, 2, 3, 4, 6, 9]))
    borders = [int(b) + int(r.integers(-1, 3)) for b in (4, 8, 16, 32, 64, 128, 256)]
    n = int(r.choice([r.integers(2, 6), r.choice(borders), r.integers(6, 200)], p=[0.15, 0.25, 0.6]))
    if r.random() < 0.01:
        n = int(r.integers(511, 515))
    return n, int(
        r.choice([1, 2, 3, 4, 5, 6, 9, 17, 40, 100], p=[0.15, 0.25, 0.15, 0.1, 0.1, 0.1, 0.05, 0.04, 0.04, 0.02])
    )


def _scaled(r: np.random.Generator, X: np.ndarray, metric: str, dtype: str) -> np.ndarray:
    if metric == "braycurtis":
        X = abs(X) + 1e-3
    most = 12 if dtype == "float32" else 15 if metric == "minkowski" else 100
    if r.random() < 0.3:
        X = X * 10.0 ** r.integers(-most, most + 1)
    elif r.random() < 0.3:
        X = X * 2.0 ** r.integers(-40, 40)
    if dtype == "float32":
        X = np.clip(X, -1e15, 1e15).astype(np.float32).astype(float)
    return np.ascontiguousarray(X)


def _algorithm(r: np.random.Generator, n: int, m: int, method: str, metric: str, condensed: bool) -> str:
    from gpuclust.algorithms.base import Problem
    from gpuclust.algorithms.table import options
    from gpuclust.core import methods

    problem = Problem(n, None if condensed else m, methods.METHODS[method], metric, "float64")
    names = [option.algorithm.name for option in options(problem)]
    intricate = [name for name in names if name in ("spanning tree", "summaries", "generic", "cluster tree")]
    return str(r.choice(["auto", *names * 3, *intricate * 6]))


@contextmanager
def constants(case: Case) -> Iterator[None]:
    """Set the constants of a case, and undo that."""
    from gpuclust.plan import Plan

    before: list[tuple[Any, str, Any]] = []
    try:
        for (module, name), value in case.settings.items():
            found = importlib.import_module(module)
            before.append((found, name, getattr(found, name)))  # an error if there is none of that name
            setattr(found, name, value)
        if case.most is not None:
            before.append((Plan, "most_clusters", vars(Plan)["most_clusters"]))
            Plan.most_clusters = case.most  # type: ignore[method-assign, assignment]
        yield
    finally:
        for found, name, value in before:
            setattr(found, name, value)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = os.environ.get("GPUCLUST_NUM_THREADS")
    os.environ["GPUCLUST_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GPUCLUST_NUM_THREADS"]
        else:
            os.environ["GPUCLUST_NUM_THREADS"] = before


def check(case: Case) -> None:
    """Run a case and raise `exact_judge.Wrong` if its result is not right."""
    from exact_judge import Wrong

    from gpuclust.errors import ClusterWarning

    results = []
    with constants(case), warnings.catch_warnings():
        warnings.simplefilter("ignore", ClusterWarning)  # a lattice may look like a matrix of distances
        for count in case.threads:
            with threads(count):
                results.append(_searched(case) if case.method == "clusters" else _result(case))
    for other in results[1:]:
        for one, another in zip(results[0], other, strict=True):
            if not np.array_equal(one, another):
                raise Wrong(f"results differ between {case.threads} threads")
    if case.method == "clusters":
        _judge_searches(results[0], case.metric)
    else:
        judge_result(case, results[0])


def _result(case: Case) -> tuple[np.ndarray, ...]:
    from gpuclust.compute import compute
    from gpuclust.distance import nearest_neighbors, pdist

    if case.method == "neighbours":
        return nearest_neighbors(case.X, case.k, case.metric, device="cpu", dtype=case.dtype, **case.given)
    if case.condensed:
        y = pdist(case.X, case.metric, device="cpu", **case.given)
        return (compute(y, case.method, device="cpu", algorithm=case.algorithm, dtype=case.dtype).Z,)
    return (
        compute(
            case.X, case.method, case.metric, device="cpu", algorithm=case.algorithm, dtype=case.dtype, **case.given
        ).Z,
    )


def _searched(case: Case) -> tuple[np.ndarray, ...]:
    """The nearest of each of some clusters as every primitive of the backend finds it, with its dissimilarity.

    The clusters are unions of near or of any points, not what a linkage would make of them: bounds are tight or not.
    The last two are the reference's matrix of all dissimilarities, and whether the tree compares in other terms.
    """
    from exact_judge import Wrong
    from searches import nearest_cluster

    from gpuclust.algorithms.candidates import limits_of_clusters, limits_of_points
    from gpuclust.core import methods, metrics, preparation
    from gpuclust.core.backend import select
    from gpuclust.core.clusters import Clusters
    from gpuclust.kernels.reference import pairwise
    from gpuclust.kernels.reference.candidates import between_clusters

    r = np.random.default_rng([case.seed, 5])
    rule = methods.METHODS[str(r.choice(["complete", "complete", "average", "weighted"]))]
    points = preparation.prepare(case.X, case.metric, dtype=case.dtype, **case.given)
    clusters = Clusters.of_points(points.n, points.dtype)
    near = r.random() < 0.6
    for _ in range(int(r.integers(0, 6))):
        count = clusters.ids.size
        order = r.permutation(count)
        if near:
            order = np.argsort(case.X[clusters.members[clusters.start[:-1]]] @ r.normal(size=case.X.shape[1]))
        pairs = order[: count // 2 * 2].reshape(-1, 2)
        pairs = pairs[r.random(len(pairs)) < 0.7]
        if count - len(pairs) >= 2 and len(pairs):
            clusters, _ = clusters.unite(*np.sort(pairs, axis=1).T, 2 * int(clusters.ids[-1]) + 2, rule.counted)
    rows = np.arange(clusters.ids.size)
    cpu = select("cpu")
    stored = cpu.store_clusters(points, rule, clusters)
    found = [(stored.nearest, stored.distance), nearest_cluster(cpu, points, rule, clusters, rows)]
    neighbours = np.argsort(r.random((points.n, points.n)), axis=1)
    found.append(cpu.nearest_among(points, rule, clusters, neighbours, rows))
    if metrics.facts(case.metric).convex:
        tree = cpu.search_clusters(points, rule, clusters, bounded=True)
        place = np.empty(rows.size, np.int64)
        place[np.argsort(tree.ids)] = rows  # rows are in order of ids
        by_row = np.argsort(tree.ids)
        found.append((place[tree.nearest[by_row]], tree.distance[by_row]))
    squares = rule.pairs == "largest" and case.metric == "euclidean"
    square = between_clusters(pairwise.pairwise(points, points), rule, clusters)
    lists, far = cpu.knn(points, int(r.integers(1, points.n)))
    limits = limits_of_clusters(rule, clusters, limits_of_points(far[:, -1], len(points.features)))
    candidate = np.zeros(square.shape, bool)
    candidate[clusters.row_of_point[:, None], clusters.row_of_point[lists]] = True
    np.fill_diagonal(candidate, True)
    if (~candidate & (square < limits[:, None])).any():
        raise Wrong("a cluster that is on no list is below the limit")
    np.fill_diagonal(square, np.inf)
    return (*(np.asarray(part) for pair in found for part in pair), square, np.array(squares))


def _judge_searches(results: tuple[np.ndarray, ...], metric: str) -> None:
    """The bits of the reference, ties by row.

    Minkowski's powers are another function there: the last bit is left open, and with it ties. A tree of complete
    linkage compares squares of Euclidean distances: among distances that are equal it may choose.
    """
    from exact_judge import Wrong

    *found, square, squares = results
    nearest, distance, rows = square.argmin(axis=1), square.min(axis=1), np.arange(len(square))
    names = ("store_clusters", "nearest_cluster", "nearest_among", "cluster_tree")
    for name, index, value in zip(names, found[::2], found[1::2], strict=False):
        bad = (index != nearest) | (value != distance)
        if name == "cluster_tree" and squares:
            bad = (square[rows, index] != distance) | (value != distance)
        if metric == "minkowski":
            bad = ~np.isclose(value, distance, rtol=1e-13, atol=0)
        if bad.any():
            x = np.flatnonzero(bad)[0]
            raise Wrong(f"{name}: nearest of {x} is {index[x]} at {value[x]!r}, not {nearest[x]} at {distance[x]!r}")


def judge_result(case: Case, result: tuple[np.ndarray, ...]) -> None:
    """Of a list: the bits of pdist. Of a tree: single and complete those bits too, others by definition."""
    from exact_judge import Wrong, dissimilarities, judge, judge_neighbours, minimum_spanning_tree
    from scipy.spatial.distance import squareform

    from gpuclust.distance import pdist

    bits = pdist(case.X, case.metric, device="cpu", dtype=case.dtype, **case.given)
    if case.method == "neighbours":
        judge_neighbours(*result, bits, _ordering(case), case.k)
        return
    if case.condensed:
        bits = pdist(case.X, case.metric, device="cpu", **case.given).astype(case.dtype)
    by_bits = squareform(bits.astype(float))
    if case.method in ("single", "complete"):
        judge(result[0], by_bits, case.method, rtol=0.0)
        if case.method == "single" and case.algorithm == "spanning tree" and not case.condensed:
            expected = minimum_spanning_tree(bits.astype(float), _ordering(case).astype(float), len(case.X))
            if not np.array_equal(result[0], expected):
                raise Wrong("not the tree whose edges of one length are ordered by their ends")
        return
    taken = case.condensed or case.kind == "bits"
    square = by_bits if taken else dissimilarities(case.X, case.metric, **case.given)
    largest = float(square.max())
    if case.dtype == "float32":
        judge(result[0], square, case.method, rtol=2e-5, atol=2e-6 * largest)
    elif case.metric in ANGULAR:
        judge(result[0], square, case.method, atol=1e-14)
    else:
        judge(result[0], square, case.method)


def _ordering(case: Case) -> np.ndarray:
    """Condensed numbers by which neighbours are compared."""
    from gpuclust.distance import pdist

    metric = "sqeuclidean" if case.metric == "euclidean" else case.metric
    return pdist(case.X, metric, device="cpu", dtype=case.dtype, **case.given)


def failure(case: Case) -> str | None:
    """Description of the fault of a case's result; ``None`` if it is correct."""
    from exact_judge import Wrong

    try:
        check(case)
    except Wrong as wrong:
        return str(wrong)
    except Exception:
        return traceback.format_exc()
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz linkages on the CPU; the exit code is 1 if a case fails.")
    parser.add_argument("--seed", type=int, help="run this one, and print the case in full")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--interpreted", action="store_true", help="kernels as plain Python, in small blocks")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="seeds to leave out")
    for name in ("kind", "method", "metric"):
        parser.add_argument(f"--{name}")
    chosen = parser.parse_args(arguments)
    if chosen.interpreted:
        import interpreted

        interpreted.install()
    os.environ["GPUCLUST_COMPILE"] = "always"
    only = {name: getattr(chosen, name) for name in ("kind", "method", "metric")}
    seeds = range(chosen.first, chosen.first + chosen.count) if chosen.seed is None else [chosen.seed]
    failed, started = 0, time.monotonic()
    for seed in seeds:
        if seed in chosen.skip:
            continue
        case = draw(seed, chosen.interpreted, only)
        if chosen.seed is not None:
            print(case.in_full())
        wrong = failure(case)
        if wrong is not None:
            failed += 1
            print(f"{case}\n    {wrong}", flush=True)
            if chosen.stop:
                break
    print(f"{failed} of {len(seeds)} cases failed, in {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
