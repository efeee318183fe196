"""Random cases of the fuzzer: points, linkage, metric, algorithm and tuning constants, from a seed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fuzz_points import KINDS


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
        "SHARE_WIDE": (1, 2, 5, 1 << 20),
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
    "gpuclust.kernels.cpu.points.component_edges": {"MOST": (2, 1024), "ALWAYS": (2, 256), "MANY": (0, 16)},
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
    "gpuclust.kernels.cpu.clusters.stored_unions": {"PAIRS": (1,), "ROWS": (1, 5), "SMALL": (0,)},
    "gpuclust.kernels.cpu.space.removal": {"SMALL": (0,), "COLUMNS": (1, 2)},
    "gpuclust.kernels.cpu.clusters.summaries": {
        "LISTED": (1, 2, 3, 17),
        "LISTED_WIDE": (1, 2, 3, 17),
        "WIDE": (1, 1, 4, 1 << 40),
        "WALKED": (0, 1 << 40),
        "ROWS": (1, 5),
        "LISTS": (1, 7),
        "LEAF": (1, 2, 3, 50),
        "box_size": (boxes_of_two, boxes_of_nine),
    },
    "gpuclust.kernels.cpu.clusters.product_kernels": {"MANY": (0, 1), "SHARE": (0.0, 2.0**-4)},
    "gpuclust.kernels.cpu.space.products": {"BLOCK": (1, 32)},
    "gpuclust.kernels.cpu.clusters.stored_squares": {"WIDE": (1, 1 << 40), "FUSED": (1, 30, 1024), "BLOCK": (3,)},
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


OF_COUNTS = ("dice", "hamming", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
#: Kinds on which an angular dissimilarity is well conditioned.
FOR_ANGLES = ("normal", "uniform", "duplicates", "heavy")


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
