"""The same Z, to the last bit, for any division of work: number of threads, size of boxes, lists and pieces.

Only constants read by Python are changed here. Constants that kernels are compiled with are not: kernels with other
ones would be cached on disk.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from conftest import DTYPES, METHODS, SAME_FORMULA
from covering import covering
from replay import replay
from scipy.spatial.distance import pdist, squareform

from gpuclust.algorithms import base
from gpuclust.compute import compute
from gpuclust.distance import nearest_neighbors
from gpuclust.kernels.cpu.clusters import greedy, screen_pairs, summaries, summary_chain
from gpuclust.kernels.cpu.points import boruvka, index
from gpuclust.kernels.cpu.space import boxes, kdtree, screen
from gpuclust.plan import small_plan

#: Constants that may be chosen freely: modules, names and values.
SETTINGS = {
    "small boxes": [
        (screen, "MOST", 64),
        (screen, "FEATURES", 1),
        (summaries, "LEAF", 3),
        (boxes, "WORN", 0.9),
    ],
    "large boxes": [
        (screen, "MOST", 4096),
        (screen, "FEATURES", 1 << 40),
        (summaries, "LEAF", 200),
        (boxes, "WORN", 0.05),
    ],
    "small pieces": [
        (screen, "SMALL", 0),
        (screen, "PIECE", 1),
        (screen_pairs, "PIECE", 1),
        (kdtree, "PIECE", 300),
        (kdtree, "SUBTREE", 100),
        (summaries, "ROWS", 5),
        (summaries, "LISTS", 67),
        (index, "ROWS", 3),
        (screen_pairs, "ROWS", 9),
        (screen_pairs, "TOUR", 1),
        (screen_pairs, "LAST", 50),
        (boruvka, "PIECE", 31),
        (summary_chain, "WALKS", 10),
        (summary_chain, "ENTRIES", 1),
    ],
    "large pieces": [
        (summaries, "ROWS", 700),
        (summaries, "LISTS", 1 << 20),
        (index, "ROWS", 700),
        (screen_pairs, "ROWS", 700),
        (screen_pairs, "TOUR", 1 << 10),
        (boruvka, "PIECE", 1 << 20),
    ],
    "short lists": [(boruvka, "LISTED", 1), (summaries, "LISTED", 2)],
    "long lists": [(boruvka, "LISTED", 17), (summaries, "LISTED", 40)],
    "boxes are not screened": [(index, "FEWEST", 1 << 40)],
    "boxes are always screened": [(index, "FEWEST", 2), (index, "SCREENED", 0.0)],
    "trees are always walked": [(index, "SCREENED", 1.0)],
}
LINKAGES = [
    ("single", "euclidean"),
    ("complete", "euclidean"),  # from lists of neighbours
    ("average", "sqeuclidean"),
    ("weighted", "sqeuclidean"),
    ("ward", "euclidean"),
    ("centroid", "euclidean"),
]
KINDS = ("gaussian", "clustered", "grid", "fine grid", "heap")
ALGORITHM = {"average": "summaries", "weighted": "summaries", "ward": "summaries", "centroid": "generic"}


@cache
def points(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "gaussian":
        return rng.normal(size=(2000, 16))
    if kind == "clustered":
        return rng.normal(size=(9, 8))[rng.integers(0, 9, 2000)] + rng.normal(size=(2000, 8)) / 50
    if kind == "grid":  # few of its points are alone, and most of their neighbours are equally near
        return rng.integers(0, 14, (1100, 3)).astype(float)
    if kind == "fine grid":  # enough features for searches to screen
        return rng.integers(0, 3, (1100, 9)) / 3
    return np.where(rng.random((1500, 1)) < 0.5, 0.1, rng.normal(size=(1500, 10)))


def found(kind: str, method: str, metric: str) -> np.ndarray:
    return compute(points(kind), method, metric, device="cpu", algorithm=ALGORITHM.get(method, "auto")).Z


@cache
def usual(kind: str, method: str, metric: str) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUCLUST_NUM_THREADS", "1")
        return found(kind, method, metric)


@pytest.mark.parametrize(
    ("kind", "linkage", "threads"),
    covering(KINDS, LINKAGES, ["2", "5"], rare=lambda *case: case[1][0] in SAME_FORMULA),
)
def test_any_number_of_threads(kind, linkage, threads, monkeypatch):
    expected = usual(kind, *linkage)
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
    np.testing.assert_array_equal(found(kind, *linkage), expected)


@pytest.mark.parametrize(
    ("kind", "setting", "linkage"), covering(KINDS, SETTINGS, LINKAGES, rare=lambda *case: case[2][0] in SAME_FORMULA)
)
def test_any_size_of_boxes_lists_and_pieces(kind, setting, linkage, monkeypatch):
    expected = usual(kind, *linkage)
    lists = nearest_neighbors(points(kind), 9, device="cpu")
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "3")
    for module, name, value in SETTINGS[setting]:
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, value)
    np.testing.assert_array_equal(found(kind, *linkage), expected)
    for ours, theirs in zip(nearest_neighbors(points(kind), 9, device="cpu"), lists, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def small(kind: str, n: int) -> np.ndarray:
    """A few points: with ties, with copies, without either, or a cluster that is the nearest of most others."""
    rng = np.random.default_rng(n)
    if kind == "gaussian":
        return rng.normal(size=(n, 5))
    if kind == "grid":
        return rng.integers(0, 4, (n, 3)).astype(float)
    if kind == "lines":  # distinct points with many equal distances
        return np.stack((np.arange(n) % 37, np.arange(n) // 37), axis=1).astype(float)
    return np.cumsum(1 + np.arange(n) * 1e-3)[:, None]


#: Linkages, of points whose metric may have a closed form or not, and of condensed dissimilarities.
GIVEN = [
    *((method, metric) for method in METHODS for metric in ("euclidean", "condensed")),
    *((method, "sqeuclidean") for method in ("average", "weighted")),
    ("average", "minkowski"),
]


def rarely_compiled(given: tuple[str, str], dtype: str, *_: object) -> bool:
    """All but average linkage of metrics with a closed form; and float32, of which work is divided as of float64."""
    method, metric = given
    return dtype == "float32" or (metric not in ("euclidean", "condensed") and method != "average")


@pytest.mark.parametrize(
    ("given", "dtype", "kind", "n"),
    covering(
        GIVEN,
        DTYPES,
        ["gaussian", "grid", "lines", "growing gaps"],
        [2, 3, 31, 130, 390, 900],
        rare=rarely_compiled,
    ),
)
def test_a_square_array_or_tiles(given, kind, n, dtype, monkeypatch):
    (method, metric), X = given, small(kind, n)
    y, metric = (pdist(X), "euclidean") if metric == "condensed" else (X, metric)
    options = {"p": 3} if metric == "minkowski" else {}
    square = compute(y, method, metric, device="cpu", dtype=dtype, **options)
    monkeypatch.setattr(base, "SQUARE", 0)
    monkeypatch.setattr(greedy, "SMALL", 0)
    small_plan.cache_clear()
    np.testing.assert_array_equal(square.Z, compute(y, method, metric, device="cpu", dtype=dtype, **options).Z)


@pytest.mark.parametrize(
    ("method", "metric"),
    [pytest.param(*linkage, marks=[pytest.mark.sweep] if linkage[0] in SAME_FORMULA else []) for linkage in LINKAGES],
)
def test_ties_replay(method, metric):
    """The result with which all others are compared is correct."""
    replay(usual("fine grid", method, metric), squareform(pdist(points("fine grid"), metric)), method)
