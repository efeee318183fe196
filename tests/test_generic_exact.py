"""Centroid and median linkage to the last digits: duplicates, points far from the origin, clusters of all scales."""

from __future__ import annotations

import numpy as np
import pytest
from exact_replay import exact_replay
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust import hierarchy
from gpuclust.algorithms.generic import greedy
from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.points import Points
from gpuclust.hierarchy.assemble import assemble
from gpuclust.kernels.cpu.clusters import greedy_tree
from gpuclust.kernels.cpu.clusters.greedy import CentroidGeneric
from gpuclust.kernels.cpu.space.rounded import bounds

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
def test_float32_to_its_own_digits(kind, method):
    """At these distances from the origin in terms of float32."""
    X = {
        "at both ends": np.random.default_rng(0).choice([-1e4, 1e4], (90, 1)) + points_of("at 1e2", 90),
        "last bits": points_of("last bits", 90) * 2.0**29 - np.sign(points_of("last bits", 90)) * 3 * (2.0**29 - 1),
    }.get(kind, points_of(kind, 90))
    points = prepared(X, "float32")
    for path in ("passes", "tree"):
        exact_replay(tree_of(points, method, path), points.features.T.astype(np.float64), method, 2e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("path", PATHS)
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
