"""Edges out of components by kd-tree: the same tree, to the last edge, as by searches of all points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import DTYPES, float32_is_rare
from covering import covering
from scipy.cluster import hierarchy

import gpuclust
from gpuclust.algorithms.boruvka import _join, boruvka
from gpuclust.core import metrics, preparation
from gpuclust.core.backend import select
from gpuclust.core.component_search import ByPoints
from gpuclust.core.sizes import LISTED, candidate_bytes
from gpuclust.hierarchy.assemble import assemble
from gpuclust.kernels.cpu.points import boruvka as boxes_of_lists
from gpuclust.kernels.cpu.points import component_edges, index, nearest, tree_points
from gpuclust.kernels.cpu.points.boruvka import ByBoxes, outgoing
from gpuclust.kernels.cpu.space import screen

CPU, REFERENCE = select("cpu"), select("reference")
TREE_METRICS = [name for name, metric in metrics.METRICS.items() if metric.euclidean_like]
#: A norm, one with an exponent, and one with a bound of its own in boxes; searches are compiled for each.
OFTEN = ("euclidean", "minkowski", "haversine")
DIMENSIONS = (1, 2, 3, 4, 5, 7, 8, 16, 33, 64, 130)
KINDS = ("uniform", "clustered", "duplicated", "heap", "equal", "grid", "collinear", "cauchy")


def kind_of_points(kind: str, n: int, m: int) -> np.ndarray:
    rng = np.random.default_rng([n, m])
    uniform = rng.random((n, m))
    if kind == "clustered":
        return uniform[rng.integers(0, 7, n)] + rng.normal(size=(n, m)) / 100
    if kind == "duplicated":
        return rng.permutation(np.concatenate((uniform[: n - n // 2], uniform[: n // 2])))
    if kind == "heap":
        return np.where(rng.random((n, 1)) < 0.5, 0.5, uniform)
    if kind == "equal":
        return np.full((n, m), 0.1)
    if kind == "grid":
        return rng.integers(0, 2 + round(n ** (1 / m)), (n, m)).astype(float)
    if kind == "collinear":
        return uniform[:, :1] * np.arange(1, m + 1)
    return rng.standard_cauchy((n, m)) if kind == "cauchy" else uniform


class Only:
    """The CPU backend with one way of finding edges: "tree", "screen" or ``None``."""

    def __init__(self, way: str | None) -> None:
        self._way = way

    def __getattr__(self, name):
        return getattr(CPU, name)

    def outgoing(self, points):
        if self._way is None:
            return ByPoints(points, nearest.nearest, nearest.nearest_outside)
        arranged = tree_points.arrange(points) if self._way == "tree" else index.Screened(points)
        assert arranged is not None
        return ByBoxes(arranged)


def edges(backend, points) -> list[tuple[float, int, int]]:
    merges = boruvka(backend, points, lambda done: None)
    return sorted((h, *sorted(pair)) for h, pair in zip(merges.heights.tolist(), merges.pairs.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["grid", "heap", "equal"])
def test_ties_give_the_same_z(kind):
    """Rows of one height are in the same order, though other edges are found in each round."""
    points = preparation.prepare(kind_of_points(kind, 600, 3), "euclidean")
    expected = assemble(boruvka(REFERENCE, points, lambda done: None))
    assert len(np.unique(expected[:, 2])) < 300 or kind == "heap"
    for way in ("tree", "screen", None):
        np.testing.assert_array_equal(assemble(boruvka(Only(way), points, lambda done: None)), expected)


def parameters(metric: str, m: int) -> dict:
    if metric == "minkowski":
        return {"p": 1.5}
    return {}


@pytest.mark.parametrize(
    ("metric", "kind"), covering(TREE_METRICS, KINDS, rare=lambda metric, kind: metric not in OFTEN)
)
def test_same_edges(metric, kind):
    if metric == "seuclidean" and kind == "equal":
        pytest.skip("no variance")
    single = "float32" if metric in ("euclidean", "cityblock") else "float64"
    for n, m, dtype in ((2, 1, "float64"), (33, 2, "float64"), (150, 3, single), (400, 2, "float64")):
        X = kind_of_points(kind, n, m)
        if metric == "seuclidean":
            X = np.concatenate((X, X[:1] + 1))  # a variance in any case
        if metric.startswith("haversine"):  # latitudes and longitudes
            X, m = np.resize(X[:, :2] / max(1, abs(X).max()), (n, 2)), 2
        points = preparation.prepare(X, metric, dtype=dtype, **parameters(metric, m))
        assert edges(Only("tree"), points) == edges(Only(None), points)


@pytest.mark.parametrize(("m", "dtype"), covering(DIMENSIONS, DTYPES, together=1))
def test_same_edges_in_any_dimension(m, dtype):
    for kind in ("clustered", "cauchy", "duplicated"):
        points = preparation.prepare(kind_of_points(kind, 300, m), "euclidean", dtype=dtype)
        assert edges(Only("tree"), points) == edges(REFERENCE, points)


@pytest.mark.parametrize(
    "metric",
    [
        "euclidean",
        *(pytest.param(metric, marks=pytest.mark.sweep) for metric in ("minkowski", "cityblock", "chebyshev")),
    ],
)
def test_weights_and_one_of_them_zero(metric):
    X = kind_of_points("grid", 200, 3)
    points = preparation.prepare(X, metric, w=[2.0, 0.0, 0.5], **parameters(metric, 3))
    assert edges(Only("tree"), points) == edges(Only(None), points)


@pytest.mark.parametrize("kind", KINDS)
def test_heights_are_scipys(kind):
    X = kind_of_points(kind, 3000, 2)
    Z = gpuclust.linkage(X, device="cpu")
    np.testing.assert_array_equal(Z[:, 2], hierarchy.linkage(X)[:, 2])
    assert hierarchy.is_valid_linkage(Z)


@pytest.mark.parametrize("kind", ["uniform", "clustered", "grid"])
def test_threads_do_not_matter(kind, monkeypatch):
    X = kind_of_points(kind, 40_000, 2)
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        found.append(gpuclust.linkage(X, device="cpu"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(("m", "dtype"), covering(DIMENSIONS, DTYPES, together=1, rare=float32_is_rare))
def test_same_edges_of_screened_points(m, dtype, monkeypatch):
    """Of boxes that are many and small, too; on a grid and a heap lists say little, and much is searched."""
    monkeypatch.setattr(screen, "MOST", 64)
    for kind in KINDS:
        points = preparation.prepare(kind_of_points(kind, 500, m), "euclidean", dtype=dtype)
        assert edges(Only("screen"), points) == edges(REFERENCE, points)


@pytest.mark.parametrize(
    ("metric", "dtype"), covering(["sqeuclidean", "cosine"], DTYPES, together=1, rare=float32_is_rare)
)
def test_edges_between_all_components(metric, dtype, monkeypatch):
    """Of many features, found at once as soon as components are few: on a grid most edges tie."""
    found = []
    between = index.Screened.between

    def observed(self, here, count, bound):
        found.append(between(self, here, count, bound))
        return found[-1]

    monkeypatch.setattr(screen, "MOST", 64)
    monkeypatch.setattr(boxes_of_lists, "CROWDED", 0.0)
    monkeypatch.setattr(index.Screened, "between", observed)
    for kind in KINDS:
        X = kind_of_points(kind, 500, 50)
        if kind == "cauchy":
            X[:100] *= 1e9
        points = preparation.prepare(X, metric, dtype=dtype)
        assert edges(Only("screen"), points) == edges(REFERENCE, points)
    assert sum(edges_between is not None for edges_between in found) >= 4


def test_many_components_need_one_pass(monkeypatch):
    """Hundreds of clusters: no round searches points again, and few pairs of clusters are computed."""
    rng = np.random.default_rng(0)
    count, m = 300, 50
    X = 4 * rng.normal(size=(count, m)).repeat(20, axis=0) + rng.normal(size=(20 * count, m))
    points = preparation.prepare(X, "euclidean")
    seen = []
    find = component_edges.find

    def observed(*given):
        seen.append(find(*given))
        return seen[-1]

    monkeypatch.setattr(component_edges, "find", observed)
    found = edges(Only("screen"), points)
    assert len(seen) == 1
    assert seen[0].length.size >= count * (count - 1) // 2
    assert (seen[0].first >= 0).sum() < seen[0].first.size / 4
    monkeypatch.setattr(component_edges, "MOST", 0)
    monkeypatch.setattr(component_edges, "ALWAYS", 0)
    assert edges(Only("screen"), points) == found
    assert len(seen) == 1


def test_tables_of_components_fit_where_candidates_were(monkeypatch):
    for n, m, threads in ((1_000, 48, 1), (50_000, 64, 2), (50_000, 768, 16), (10**6, 48, 2)):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", str(threads))
        count = component_edges.most_components(n, m, 8)
        assert 256 <= count <= 1024
        assert count == 256 or 8 * count * (count - 1) * threads <= n * candidate_bytes(LISTED, m)


@pytest.mark.parametrize("m", [2, 3, 5, 8])
@pytest.mark.parametrize("sides", [2, 3, 4])
def test_ties_of_screened_points_whose_lists_are_short(sides, m, monkeypatch):
    """Nearly all edges come from searches, where of equally near points the one with the smallest index counts."""
    monkeypatch.setattr(boxes_of_lists, "LISTED", 1)
    monkeypatch.setattr(screen, "MOST", 8)
    rng = np.random.default_rng([sides, m])
    for _ in range(4):
        X = np.unique(rng.integers(0, sides, (400, m)), axis=0).astype(float)
        points = preparation.prepare(rng.permutation(X), "euclidean")
        for way in ("screen", "tree"):
            assert edges(Only(way), points) == edges(REFERENCE, points)


@pytest.mark.parametrize("offset", [1e3, 1e7])
def test_screened_far_from_the_origin(offset):
    """Single precision would not tell these points from each other, but for the middle of each box."""
    for m in (3, 20):
        X = kind_of_points("clustered", 700, m) + offset
        X[:2] -= 2 * offset
        points = preparation.prepare(X, "euclidean")
        assert edges(Only("screen"), points) == edges(REFERENCE, points)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float64", scale) for scale in (1e-200, 1e-161, 1e-150, 1e150)]
    + [("float32", scale) for scale in (1e-30, 1e-23, 1e-20, 1e15)],
)
def test_screened_very_small_and_very_large(scale, dtype):
    """Squares may vanish or be rounded to few bits, and then more of them are equal."""
    points = preparation.prepare(kind_of_points("uniform", 300, 9) * scale, "sqeuclidean", dtype=dtype)
    assert edges(Only("screen"), points) == edges(REFERENCE, points)


def test_a_tree_is_taken_where_it_prunes():
    def chosen(kind, m, metric="sqeuclidean"):
        points = preparation.prepare(kind_of_points(kind, 5000, m), metric)
        found = index.boxed(points, 6)
        return None if found is None else type(found).__name__

    assert chosen("uniform", 1) == "TreePoints"
    assert chosen("uniform", 2, "cityblock") == "TreePoints"
    assert chosen("clustered", 3, "cityblock") == "TreePoints"
    assert chosen("uniform", 16) == "Screened"
    assert chosen("uniform", 16, "cityblock") is None


def test_no_tree_where_no_box_bounds_or_a_distance_may_overflow():
    X = kind_of_points("uniform", 1000, 2)
    assert outgoing(preparation.prepare(X, "cosine")) is None
    points = preparation.prepare(X, "sqeuclidean")
    assert outgoing(replace(points, features=points.features * 1e200)) is None


def test_first_edges_in_the_total_order():
    """Round by round on a grid, where most edges tie."""
    points = preparation.prepare(kind_of_points("grid", 300, 2), "sqeuclidean")
    for way in ("tree", "screen"):
        search = Only(way).outgoing(points)
        n = search.points.size
        component, count = np.arange(n), n
        while count > 1:
            ends, others, lengths = search.shortest(component, count, lambda: None)
            # By points; copies, which are joined, are with the points that stand for them.
            of_point = np.empty(300, np.int64)
            of_point[search.points] = component
            of_point[search.copies[:, 1]] = of_point[search.copies[:, 0]]
            for c in np.flatnonzero(ends >= 0):
                a, b = search.points[ends[c]], search.points[others[c]]
                assert of_point[a] == c != of_point[b]
                assert (lengths[c], min(a, b), max(a, b)) == first_edge(points, of_point, c)
            assert (ends >= 0).any()
            joined, count = _join(component, ends, others, lengths, np.empty((299, 2), np.int64), np.empty(299), 0)
            component = joined[component]


def first_edge(points, component, own):
    """The shortest edge out of a component, by (distance, smaller end, larger end)."""
    features = points.features
    inside, outside = np.flatnonzero(component == own), np.flatnonzero(component != own)
    square = np.zeros((inside.size, outside.size))
    for row in features:
        square += (row[inside][:, None] - row[outside][None, :]) ** 2
    least = square.min()
    at = np.argwhere(square == least)
    return (least, *min((min(inside[i], outside[j]), max(inside[i], outside[j])) for i, j in at))
