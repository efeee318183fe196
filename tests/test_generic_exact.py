"""Centroid and median linkage to the last digits: duplicates, points far from the origin, clusters of all scales."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DTYPES, once, rarely_float32
from covering import covering
from exact_replay import exact_replay
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust import hierarchy
from gpuclust.algorithms.generic import greedy
from gpuclust.core import centroids, methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.points import Points
from gpuclust.hierarchy.assemble import assemble
from gpuclust.kernels.cpu.clusters import greedy_tree
from gpuclust.kernels.cpu.clusters.greedy import CentroidGeneric
from gpuclust.kernels.cpu.matrix.tiles import TILE
from gpuclust.kernels.cpu.space.rounded import bounds
from gpuclust.kernels.reference.generic import Generic as Reference

LINKAGES = ("centroid", "median")
#: How centroid linkage is computed from points.
PATHS = ("passes", "tree", "stored", "condensed", "reference", "reference, stored")


def points_of(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    normal, uniform = rng.normal(size=(n, 2)), rng.random((n, 2))
    return {
        "UTM": np.array([5e5, 4.5e6]) + uniform * 2000,
        "GPS": np.round(np.array([52.5, 13.4]) + uniform * 0.05, 6),
        "unix time": np.column_stack([1.7e9 + np.sort(uniform[:, 0]) * 3600, normal[:, 0]]),
        "tight groups": rng.integers(0, 5, (30, 2))[rng.integers(0, 30, n)] + 1e-6 * normal,
        "tight groups, 16 features": rng.integers(0, 3, (30, 16))[rng.integers(0, 30, n)]
        + 1e-6 * rng.normal(size=(n, 16)),
        "at 1e2": normal * 1e-3 + 1e2,
        "at 1e5": normal * 1e-3 + 1e5,
        "at 1e8": normal * 1e-3 + 1e8,
        "at 1.7e9": np.round(normal * 50, 3) + 1.7e9,
        "at 1e12": np.round(normal * 50, 3) + 1e12,
        "at both ends": rng.choice([-1e8, 1e8], (n, 1)) + 1e-3 * normal,  # no offset can be taken away
        "last bits": rng.choice([-3.0, 3.0], (n, 1)) + np.spacing(3.0) * rng.integers(0, 40, (n, 2)),
        "six scales": normal * 10.0 ** rng.integers(-6, 1, (n, 1)) + rng.integers(0, 3, (n, 2)),
        "copies": np.round(uniform, 1),
    }[kind]


KINDS = (
    "UTM",
    "GPS",
    "unix time",
    "tight groups",
    "tight groups, 16 features",
    "at 1e2",
    "at 1e5",
    "at 1e8",
    "at 1.7e9",
    "at 1e12",
    "at both ends",
    "last bits",
    "six scales",
    "copies",
)


def tree_of(points: Points, method: str, path: str) -> np.ndarray:
    rule, n = methods.METHODS[method], points.n
    backend = select("reference" if path.startswith("reference") else "cpu")
    if path == "condensed":
        engine = backend.generic_stored(backend.store_condensed(pdist(points.features.T), n, True), rule)
    elif path.endswith("stored"):
        engine = backend.generic_stored(backend.store_points(points), rule)
    elif path == "reference":
        engine = backend.generic_points(points, rule)
    else:
        engine = {"passes": CentroidGeneric, "tree": greedy_tree.TreeGeneric}[path](points, rule)
    merges = greedy(engine, n, lambda done: None)
    np.sqrt(merges.heights, out=merges.heights)
    return assemble(merges)


def prepared(X: np.ndarray, dtype: str = "float64") -> Points:
    return preparation.prepare(X, "sqeuclidean", dtype=dtype)


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_merge_is_a_closest_pair_at_its_height(kind, method):
    X = points_of(kind, 90)
    for path in ("passes", "tree", "stored"):
        exact_replay(tree_of(prepared(X), method, path), X, method)


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("kind", ["tight groups", "at both ends", "last bits", "six scales"])
@pytest.mark.parametrize("path", ["reference", *once(["passes", "tree"], ["passes", "tree"])])
def test_float32_to_its_own_digits(path, kind, method):
    """At these distances from the origin in terms of float32."""
    X = {
        "at both ends": np.random.default_rng(0).choice([-1e4, 1e4], (90, 1)) + points_of("at 1e2", 90),
        "last bits": points_of("last bits", 90) * 2.0**29 - np.sign(points_of("last bits", 90)) * 3 * (2.0**29 - 1),
    }.get(kind, points_of(kind, 90))
    points = prepared(X, "float32")
    exact_replay(tree_of(points, method, path), points.features.T.astype(np.float64), method, 2e-6)


@pytest.mark.parametrize(
    ("path", "method", "dtype"),
    covering(PATHS, LINKAGES, DTYPES, rare=lambda path, method, dtype: rarely_float32(method, dtype)),
)
def test_copies_merge_at_zero(path, method, dtype):
    """As many flat clusters at 0 as there are places; three or more copies of most."""
    rng = np.random.default_rng(1)
    places = np.unique(np.round(rng.random((30, 3)), 2), axis=0)
    X = places[np.append(np.arange(len(places)), rng.integers(0, len(places), 90))]
    points = prepared(X, dtype)
    Z = tree_of(points, method, path)
    assert np.count_nonzero(Z[:, 2] == 0) == len(X) - len(places)
    flat = hierarchy.fcluster(Z, 0, "distance")
    assert len(np.unique(np.column_stack([X, flat]), axis=0)) == len(places) == flat.max()


@pytest.mark.parametrize("algorithm", ["generic", "generic, stored"])
def test_copies_among_many(algorithm):
    """Large enough for the tree of centroids."""
    rng = np.random.default_rng(0)
    places = np.round(rng.random((400, 2)), 2)
    X = places[rng.integers(0, 400, 6000)]
    Z = gpuclust.linkage(X, "centroid", device="cpu", algorithm=algorithm)
    assert hierarchy.fcluster(Z, 0, "distance").max() == len(np.unique(X, axis=0))
    Z = gpuclust.linkage(np.full((4, 1), 0.1), "centroid", device="cpu", algorithm=algorithm)
    np.testing.assert_array_equal(Z[:, 2], 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_union_of_copies_is_as_far_from_all_as_a_copy(dtype):
    rng = np.random.default_rng(2)
    for d, sa, sb in zip(
        rng.random(200).astype(dtype), rng.integers(1, 99, 200), rng.integers(1, 99, 200), strict=True
    ):
        found = methods.centroid(d, d, dtype(0), dtype(sa), dtype(sb), dtype(1))
        assert found == d
        assert found.dtype == dtype
    far, inf = dtype(1), dtype(np.inf)
    assert methods.centroid(inf, inf, far, far, far, far) == methods.centroid(inf, far, far, far, far, far) == inf


@pytest.mark.parametrize("kind", ["unix time", "tight groups"])
def test_scipys_heights_far_away(kind):
    """SciPy updates distances, which do not depend on the origin. By passes over all clusters, and by tree."""
    for n in (1000, 4900):
        X = points_of(kind, n)
        Z = gpuclust.linkage(X, "centroid", device="cpu")
        np.testing.assert_allclose(Z[:, 2], scipy_hierarchy.linkage(X, "centroid")[:, 2], rtol=2e-12)


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_references_bits(kind, method):
    points = prepared(points_of(kind, 90))
    expected = tree_of(points, method, "reference")
    for path in ("passes", "tree"):
        np.testing.assert_array_equal(tree_of(points, method, path), expected)
    expected = tree_of(points, method, "reference, stored")
    np.testing.assert_array_equal(tree_of(points, method, "stored"), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounded_distances_bound_the_others(dtype):
    """Both ways, for clusters a few last bits apart, and for distances whose squares are nearly nothing."""
    rng = np.random.default_rng(3)
    found = bounds(np.dtype(dtype))
    sharp = 0
    for _ in range(2000):
        m = int(rng.integers(1, 12))
        scale = dtype(10.0 ** rng.choice([0, 5, -19 if dtype == np.float32 else -155]))
        high = (1 + rng.integers(0, 4, (2, m)) * np.finfo(dtype).eps).astype(dtype) * scale
        low = (rng.uniform(-0.5, 0.5, (2, m)) * np.spacing(high)).astype(dtype)
        with np.errstate(under="ignore"):
            rounded = ((high[0] - high[1]) ** 2).sum(dtype=dtype)
            precise = (((high[0] - high[1]) + (low[0] - low[1])) ** 2).sum(dtype=dtype)
            error = np.abs(low).sum(dtype=dtype)
            factors = found.factors(m)
            assert rounded <= found.farther(precise, error, factors)
            assert precise <= found.farther(rounded, error, factors)
        sharp += rounded > precise * dtype(1.01)
    assert sharp > 100
    assert found.farther(dtype(0.3), dtype(0), found.factors(3)) == dtype(0.3)


def clusters_of(high: np.ndarray, low: np.ndarray, method: str, path: str):
    """Clusters of one observation each at given centroids in two parts, of shape (m, n)."""
    rule, (m, n) = methods.METHODS[method], high.shape
    points, error = prepared(np.random.default_rng(0).random((n, m))), np.abs(low).sum(axis=0)
    if path in ("passes", "few"):  # in one call for all merges
        engine = CentroidGeneric(points, rule)
        for part, value in zip(engine.state[:3], (high, low, error), strict=False):
            part[...] = value
        engine.state[3][0] = error.max()
        if path == "passes":
            engine.search = engine.start()
    elif path == "tree":
        engine = greedy_tree.TreeGeneric(points, rule)
        ones, ids = np.ones(n), np.arange(n)
        engine.rows = greedy_tree.Rows(np.vstack((high, low)).T.copy(), ones, -np.inf * ones, ids, ids.copy(), error)
        engine._arrange()
        fit, search_all, _ = greedy_tree._kernels(engine.dtype)
        search_all(engine.rows, engine.nodes, 0, n)
        fit(engine.rows, engine.nodes)
    else:
        high, low = high.copy(), low.copy()

        def squares(b: int) -> np.ndarray:
            total = np.zeros(n)
            for part in centroids.difference(high, low, high[:, [b]], low[:, [b]]):
                total += part * part
            return total

        def union(a: int, b: int, d: np.floating, size: np.ndarray) -> None:
            x, y = (a, b) if size[a] >= size[b] else (b, a)
            high[:, b], low[:, b] = centroids.united(high[:, x], low[:, x], high[:, y], low[:, y], size[x], size[y])
            engine.square[b] = engine.square[:, b] = squares(b)

        engine = Reference(np.array([squares(b) for b in range(n)]), union, rule)
    return engine


def nearly_equal_centroids(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroids some last bits apart: few or many, errors of all sizes and none, and mirror images, for ties."""
    rng = np.random.default_rng(seed)
    u = np.spacing(3.0)
    if seed % 2:
        n, m, places = 4, 1, 2
    else:
        n, m, places = int(rng.integers(3, 40)), 1 + seed // 2 % 2, 1 + seed % 5
    high = 3 + u * rng.integers(0, places, (m, n))
    low = rng.uniform(-0.5, 0.5, (m, n)) * u * rng.choice([1, 1, 1, 1e-2, 1e-5, 0], (1, n))
    if m == 2 and seed % 3 == 1:
        high[1], low[1] = 3, 0
    if seed % 6 == 2:
        turn = rng.permutation(2 * n)
        mirror = np.array([[-1.0]] if m == 1 else [[-1.0], [1.0]])
        high, low = (np.concatenate((part, mirror * part), axis=1)[:, turn] for part in (high, low))
    return high, low


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("path", ["passes", "few", "tree"])
@pytest.mark.parametrize("seeds", [range(250), pytest.param(range(250, 5000), marks=pytest.mark.sweep)], ids=str)
def test_centroids_that_differ_by_less_than_a_last_bit(seeds, path, method, monkeypatch):
    """Rounded distances say little here: all that are near enough, given the errors, are compared by both parts."""
    monkeypatch.setattr(greedy_tree, "LEAF", 2)
    for seed in seeds:
        high, low = nearly_equal_centroids(seed)
        n = high.shape[1]
        found = [clusters_of(high, low, method, way).merge(n, n - 1) for way in (path, "reference")]
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("path", ["passes", "few", "tree", "reference"])
def test_a_union_that_is_nearer_than_its_rounded_centroid(path):
    """By first parts it is a last bit away from the first cluster, by both 0.15 of one; its parts are 0.17 away.

    So of all that the first cluster knows only this union is nearer than the last cluster, 0.165 away. The others are
    far, and so many that nothing else in the block of the first cluster changes.
    """
    u, far = np.spacing(3.0), TILE - 1
    high = np.full((2, far + 4), 3.0)
    high[0, [far + 1, far + 2]] += u
    high[0, 1 : far + 1] -= 50 * u * np.arange(20, far + 20)
    low = np.zeros_like(high)
    low[:, [0, far + 1, far + 2, far + 3]] = u * np.array([[0.45, -0.4, -0.4, 0.45], [0, 0.08, -0.08, 0.165]])
    n = far + 4
    pairs, heights, _ = clusters_of(high, low, "centroid", path).merge(n, n - 1)
    assert pairs.tolist()[:2] == [[far + 1, far + 2], [0, n]]
    np.testing.assert_allclose(np.sqrt(heights[:2]) / u, [0.16, 0.15], rtol=1e-9)
