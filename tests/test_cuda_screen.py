"""Searches screened in single precision: the bits of float64, on data that single precision cannot tell apart."""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import ON_DEVICE, SIMULATED
from covering import covering

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.compute import compute
from gpuclust.core import centroids, methods, preparation
from gpuclust.core.backend import select
from gpuclust.kernels.cuda import boxes, halves, launch, nearest, neighbours, screen

pytestmark = ON_DEVICE

N = 43 if SIMULATED else 1500
BOTH = ("cuda", "reference")
KINDS = (
    "normal",
    "ties",
    "equal",
    "far clusters",
    "grains",
    "near copies",
    "outlier",
    "huge",
    "tiny",
    "denormal",
    "mixed",
)


def points_of(kind: str, n: int = N):
    """Points as prepared, without the translation and scaling that would make them harmless."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 3))
    if kind == "ties":
        X = rng.integers(0, 3, (n, 3)).astype(float)
    elif kind == "equal":
        X[:] = 0.1
    elif kind == "far clusters":
        X = 1e-6 * X + rng.integers(0, 3, (n, 1)) * 1e3
    elif kind == "grains":  # as far apart as neighbouring numbers in single precision
        X = 1000 + 6e-5 * X
    elif kind == "near copies":
        X = 3.0 + np.spacing(3.0) * rng.integers(0, 5, (n, 3)) * rng.choice([-1, 1], (n, 1))
    elif kind == "outlier":
        X[n // 2] = 1e20
    elif kind == "mixed":
        X *= 10.0 ** rng.integers(-30, 30, (n, 1))
    else:
        X *= {"huge": 1e140, "tiny": 1e-140, "denormal": 1e-160}.get(kind, 1)
    return replace(preparation.prepare(X, "sqeuclidean"), features=np.ascontiguousarray(X.T))


#: How screens are computed: in single precision, or by products.
SCREENS = ("single", "products")


@pytest.fixture(params=SCREENS)
def always(monkeypatch, request):
    """The screen is used for as few points as there are, whether it pays or not, and boxes are not.

    In single precision, by blocks that compare their rows with all tiles, or by products on tensor cores, by blocks
    that take few tiles each.
    """
    if request.param == "single":
        monkeypatch.setattr(screen, "BLOCKS", 0)
    monkeypatch.setattr(screen, "FEWEST", 1)
    monkeypatch.setattr(screen, "WIDE", 1)
    monkeypatch.setattr(halves, "FEWEST", 1 if request.param == "products" else 10**6)
    monkeypatch.setattr(boxes, "FEWEST", 10**6)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("always", "kind"), covering(SCREENS, KINDS, together=1), indirect=["always"])
def test_nearest_neighbours_have_the_bits_of_float64(kind):
    points = points_of(kind)
    assert (screen.screened(points) is None) == (kind == "denormal")  # there is no such power of two
    for ours, plain in zip(boxes.search_all(points), nearest.nearest(points), strict=True):
        np.testing.assert_array_equal(ours, plain)
    rng = np.random.default_rng(1)
    rows = rng.permutation(N)[: N // 2]
    for component in (np.arange(N) * 4 // N, rng.integers(0, 2, N), (np.arange(N) == N - 1).astype(int)):
        ours, plain = (search(points, component, rows) for search in (boxes.search_outside, nearest.nearest_outside))
        np.testing.assert_array_equal(ours[0], plain[0])
        np.testing.assert_array_equal(ours[1], plain[1])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["normal", "far clusters", "near copies"])
@pytest.mark.parametrize(("method", "metric"), [("ward", "euclidean"), ("average", "sqeuclidean")])
def test_linkages_of_centroids_are_the_references(monkeypatch, kind, method, metric):
    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.rounds"), "TAIL", 6)
    X = points_of(kind, N // 2).features.T
    ours, expected = (compute(X, method, metric, device=name, algorithm="summaries").Z for name in BOTH)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("method", ["ward", "average", "weighted"])
def test_clusters_of_several_points(method):
    points, rule = points_of("normal"), methods.METHODS[method]
    size = np.random.default_rng(0).integers(1, 1000, N).astype(float)
    ours, expected = (select(name).summarise(points, rule, size) for name in BOTH)
    assert ours.scale is not None
    np.testing.assert_array_equal(ours.nearest, expected.nearest)
    np.testing.assert_array_equal(ours.distance, expected.distance)


@pytest.mark.parametrize("name", BOTH)
def test_a_cluster_that_is_as_near_as_a_new_one_stays_the_nearest(name):
    """Of the last two points, which merge, the union is as far from the first point as the second point is."""
    X = np.array([[0, 0], [1, 2], [-2, 1], [-2, -1]], float)
    points, rule = preparation.prepare(X, "sqeuclidean"), methods.METHODS["weighted"]
    state, one = select(name).summarise(points, rule, np.ones(4)), np.ones(3)
    np.testing.assert_array_equal(state.nearest, [1, 0, 3, 2])
    parts = np.array([0, 1, 2]), np.array([-1, -1, 3])
    state.merge(rule, *parts, state.distance[:3], np.ones(4), one, np.array([0, 1, 4]))
    np.testing.assert_array_equal(state.nearest, [1, 0, 0])
    np.testing.assert_array_equal(state.distance, [5, 5, 5])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "denormal"])
def test_the_bound_holds_both_ways(kind):
    """Of all pairs, with each row's slack, the screened and the exact square."""
    points = points_of(kind, 200)
    scale = screen.scale_of(launch.upload(points.features))
    held = screen.Screen.of(launch.upload(points.features), scale)
    seen, slack = launch.download(held.features), launch.download(held.slack)
    rough = np.zeros((200, 200), np.float32)
    exact = np.zeros((200, 200))
    for given, rounded in zip(points.features * scale, seen, strict=True):
        rough += (rounded[:, None] - rounded) ** 2
        exact += (given[:, None] - given) ** 2
    growth = np.float32(held.growth)
    assert (rough <= centroids.loosened(exact.astype(np.float32), slack[:, None], growth)).all()
    assert (exact <= centroids.loosened(rough, slack[:, None], growth)).all()


def test_where_it_does_not_pay_everything_is_compared_in_float64(monkeypatch):
    monkeypatch.setattr(screen, "FEWEST", 1)
    monkeypatch.setattr(boxes, "FEWEST", 10**6)
    ward = methods.METHODS["ward"]
    for kind, pays in (("normal", True), ("far clusters", False)):
        points = points_of(kind)
        assert (screen.screened(points) is not None) == pays
        state = select("cuda").summarise(points, ward, np.ones(N))
        assert (state.scale is not None) == pays
        np.testing.assert_array_equal(state.distance, nearest.nearest(points)[1])
    monkeypatch.setattr(halves, "FEWEST", 10**6)  # in float32 there are products only
    assert screen.screened(preparation.prepare(np.eye(N), "sqeuclidean", dtype="float32")) is None
    assert screen.screened(preparation.prepare(np.eye(N), "sqeuclidean", w=np.ones(N) * 2)) is None
    assert screen.screened(preparation.prepare(np.eye(N), "euclidean")) is None


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("always", "case"),
    covering(SCREENS, [*((kind, 1) for kind in KINDS), ("ties", 0)], together=1),
    indirect=["always"],
)
def test_lists_of_neighbours_have_the_bits_of_float64(monkeypatch, case):
    """Points that are not certain are left to float64; all of them where ``MANY`` is 0 and one is not certain."""
    kind, share = case
    points, k = points_of(kind), 5
    monkeypatch.setattr(neighbours, "MANY", share)
    ours = neighbours.knn(points, k)
    monkeypatch.setattr(screen, "FEWEST", 10**6)
    for found, plain in zip(ours, neighbours.knn(points, k), strict=True):
        np.testing.assert_array_equal(found, plain)
    for found, plain in zip(ours, select("reference").knn(points, k), strict=True):
        np.testing.assert_array_equal(found, plain)


@pytest.mark.usefixtures("always")
def test_lists_of_nearly_all_points(monkeypatch):
    points = preparation.prepare(points_of("normal").features.T, "euclidean")
    for k in (1, N - 1 - neighbours.SPARE, N - 1):
        for found, plain in zip(neighbours.knn(points, k), select("reference").knn(points, k), strict=True):
            np.testing.assert_array_equal(found, plain)
