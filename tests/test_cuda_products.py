"""Searches by products on tensor cores: the bound of their error, and the bits of searches without them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import DTYPES, ON_DEVICE, SIMULATED
from covering import covering

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.compute import compute
from gpuclust.core import centroids, methods, preparation
from gpuclust.core.backend import select
from gpuclust.kernels.cuda import boxes, halves, launch, nearest, neighbours, products, screen

pytestmark = ON_DEVICE

#: Not a multiple of the sides of tiles, and features not one of the 16 of a product.
N, M = (43, 19) if SIMULATED else (1500, 83)
KINDS = ("normal", "ties", "near copies", "offset", "zeros", "powers of two", "clusters")
LINKAGES = (
    ("single", "euclidean", "float64"),
    ("ward", "euclidean", "float64"),
    ("average", "cosine", "float64"),
    ("weighted", "sqeuclidean", "float64"),
    ("ward", "euclidean", "float32"),
    ("single", "euclidean", "float32"),
)


def points_of(kind: str, n: int = N, m: int = M) -> np.ndarray:
    rng = np.random.default_rng(m)
    X = rng.normal(size=(n, m))
    if kind == "ties":
        X = rng.integers(0, 2, (n, m)).astype(float)
    elif kind == "near copies":
        X[n // 2 :] = X[: n - n // 2] + 1e-6 * rng.normal(size=(n - n // 2, m))
    elif kind == "offset":
        X[:, ::2] += 1000.0
    elif kind == "zeros":
        X[::3] = 0
    elif kind == "powers of two":
        X *= 2.0 ** rng.integers(-12, 12, (n, 1))
    elif kind == "clusters":
        X = 0.1 * X + rng.normal(size=(5, m))[rng.integers(0, 5, n)]
    return X


def prepared(kind: str, dtype: str):
    """Without the translation that preparation makes."""
    X = points_of(kind)
    points = preparation.prepare(X, "sqeuclidean", dtype=dtype)
    return replace(points, features=np.ascontiguousarray(X.T.astype(dtype)))


@pytest.fixture
def always(monkeypatch):
    """Products are used for as few points and features as there are, whether that pays or not; boxes are not."""
    monkeypatch.setattr(screen, "FEWEST", 1)
    monkeypatch.setattr(screen, "WIDE", 1)
    monkeypatch.setattr(halves, "FEWEST", 1)
    monkeypatch.setattr(boxes, "FEWEST", 10**6)


def without(monkeypatch) -> None:
    """From now on products are not used."""
    monkeypatch.setattr(halves, "FEWEST", 10**6)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("kind", "dtype"), covering(KINDS, DTYPES, together=1))
def test_nearest_neighbours_and_lists_have_the_bits_of_searches_without_products(monkeypatch, kind, dtype):
    points, rng, k = prepared(kind, dtype), np.random.default_rng(1), 5
    rows, component = rng.permutation(N)[: N // 2], rng.integers(0, 3, N)
    assert screen.screened(points).screen.by_products
    ours = boxes.search_all(points), boxes.search_outside(points, component, rows)
    monkeypatch.setattr(neighbours, "MANY", 1)
    lists = neighbours.knn(points, k)
    without(monkeypatch)
    monkeypatch.setattr(screen, "FEWEST", 10**6)
    plain = nearest.nearest(points), nearest.nearest_outside(points, component, rows)
    for found, expected in (((*ours, lists), (*plain, neighbours.knn(points, k))),):
        for one, other in zip(found, expected, strict=True):
            for mine, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(mine, theirs)
    if dtype == "float64":
        for mine, theirs in zip(lists, select("reference").knn(points, k), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("kind", "linkage"), covering(KINDS, LINKAGES, together=1))
def test_linkages_have_the_bits_of_those_without_products(monkeypatch, kind, linkage):
    """And, in float64, of the reference backend."""
    method, metric, dtype = linkage
    for name, value in (("rounds", "TAIL"), ("spanning_tree", "SMALL")):
        monkeypatch.setattr(importlib.import_module(f"gpuclust.algorithms.{name}"), value, 6)
    if (kind, metric) == ("zeros", "cosine"):
        pytest.skip("the cosine of zero is not defined")
    X = points_of(kind, N // 2 + 1)
    given = {} if method == "single" else {"algorithm": "summaries"}
    seen = []
    make = screen.Screen.of.__func__

    def watched(cls, *arguments, **named):
        seen.append(make(cls, *arguments, **named))
        return seen[-1]

    monkeypatch.setattr(screen.Screen, "of", classmethod(watched))
    ours = compute(X, method, metric, device="cuda", dtype=dtype, **given).Z
    assert any(made.by_products for made in seen)
    without(monkeypatch)
    seen.clear()
    plain = compute(X.copy(), method, metric, device="cuda", dtype=dtype, **given).Z
    assert not any(made.by_products for made in seen)
    np.testing.assert_array_equal(ours, plain)
    if dtype == "float64":
        np.testing.assert_array_equal(ours, compute(X, method, metric, device="reference", **given).Z)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("method", "dtype"), covering(["ward", "average", "weighted"], DTYPES, together=1))
def test_clusters_of_several_points(monkeypatch, method, dtype):
    """Sizes and scatter are part of the dissimilarities that products screen."""
    points, size = preparation.prepare(points_of("clusters"), "sqeuclidean", dtype=dtype), np.arange(1, N + 1)
    given = points, methods.METHODS[method], size.astype(dtype)
    ours = select("cuda").summarise(*given)
    assert ours.by_products
    without(monkeypatch)
    plain = select("cuda").summarise(*given)
    np.testing.assert_array_equal(ours.nearest, plain.nearest)
    np.testing.assert_array_equal(ours.distance, plain.distance)


def test_halves_are_numpys_and_rests_are_what_is_left():
    X = points_of("powers of two").T / 2.0**15
    X[3] *= 1e-6  # less than the smallest normal number in half precision
    held = halves.Halves.of(launch.upload(np.ascontiguousarray(X)), 1.0)
    words, norm, rest, most = (launch.download(array) for array in held)
    m = len(X)
    assert words.shape == (8 * -(-m // 16), N)
    seen = (
        words.view(np.float16).reshape(len(words), N, 2).transpose(0, 2, 1).reshape(2 * len(words), N).astype(float)
    )
    expected = X.astype(np.float32).astype(np.float16).astype(float)
    expected[abs(expected) < 2.0**-14] = 0
    np.testing.assert_array_equal(seen[:m], expected)
    assert not seen[m:].any()
    np.testing.assert_allclose(norm, (expected**2).sum(axis=0), rtol=1e-12)
    left = np.sqrt(((X - expected) ** 2).sum(axis=0))
    assert (rest >= left).all()
    np.testing.assert_array_equal(most.view(np.float64), (norm.max(), rest.max()))
    np.testing.assert_allclose(rest, left, rtol=1e-5, atol=1e-12)
    whole = halves.Halves.of(launch.upload(np.full((3, 1), 0.5, np.float32)), 1.0)
    assert launch.download(whole.rest)[0] >= np.finfo(np.float32).eps * 1.5  # second parts of centroids


@pytest.mark.parametrize("m", [64, 77])
def test_the_error_of_products_is_bounded_and_not_by_twice_as_much(m):
    """Of a sum whose terms are each a little less than the last bit of the first one, and cut off."""
    X = np.full((m, 2), float(np.float16(1.414)) * 2.0**-12)
    X[0] = 1
    held = halves.Halves.of(launch.upload(X), 1.0)
    got = launch.download(halves.squares(held.words, held.norm.astype(np.float32), slice(0, 2)))
    norm = launch.download(held.norm)
    largest = norm.max()
    bound = halves.product_error((norm * largest) ** 0.5, norm + largest, halves.relative_error(m))
    assert (abs(got) <= bound).all()
    if SIMULATED:  # tensor cores there are the worst that the bound allows for
        assert (abs(got) > bound / 2).all()


def test_the_slack_of_rests_suffices_and_half_of_it_does_not():
    """Of two points that are rounded in opposite directions, at the distance where the bound is tight."""
    x, y = 0.75 + 2.0**-13, 0.5 + 2.0**-11 - 2.0**-13
    held = screen.Screen.of(launch.upload(np.array([[x, y]])), 1.0, by_products=True)
    rough = launch.download(halves.squares(held.features, held.norm, slice(0, 2)))[0, 1]
    slack = launch.download(held.slack)[0]
    assert centroids.loosened(float(rough), float(slack), held.growth) >= (x - y) ** 2
    assert centroids.loosened(float(rough), float(slack) / 2, held.growth) < (x - y) ** 2


@pytest.mark.parametrize("kind", [*KINDS, "large"])
def test_the_bound_holds_both_ways(kind):
    """Of all pairs, with each row's slack: the square by products, and the exact one."""
    X = points_of(kind, m=5).T * (1e140 if kind == "large" else 1)
    scale = screen.scale_of(launch.upload(X))
    held = screen.Screen.of(launch.upload(np.ascontiguousarray(X)), scale, by_products=True)
    rough = launch.download(halves.squares(held.features, held.norm, slice(0, N)))
    slack, growth = launch.download(held.slack)[:, None], np.float32(held.growth)
    exact = (((X * scale)[:, :, None] - (X * scale)[:, None, :]) ** 2).sum(axis=0)
    assert (rough <= centroids.loosened(exact.astype(np.float32), slack, growth)).all()
    assert (exact <= centroids.loosened(rough, slack, growth)).all()


@pytest.mark.parametrize(
    ("kind", "expected"), [("normal", "products"), ("tight", "single"), ("tighter", "none"), ("equal", "none")]
)
def test_the_fastest_screen_that_pays_is_used(monkeypatch, kind, expected):
    monkeypatch.setattr(screen, "FEWEST", 1)
    monkeypatch.setattr(halves, "FEWEST", 1)
    monkeypatch.setattr(boxes, "FEWEST", 10**6)
    rng = np.random.default_rng(0)
    width = {"normal": 1, "tight": 1e-3, "tighter": 1e-8, "equal": 0}[kind]
    X = width * rng.normal(size=(N, 4)) + rng.integers(0, 2, (N, 1)) - 0.5
    points = replace(preparation.prepare(X, "sqeuclidean"), features=np.ascontiguousarray(X.T))
    found = screen.screened(points)
    assert (found.screen.by_products if found else None) == {"products": True, "single": False}.get(expected)
    for dtype in ("float64", "float32"):
        typed = replace(preparation.prepare(X, "sqeuclidean", dtype=dtype), features=points.features.astype(dtype))
        state = select("cuda").summarise(typed, methods.METHODS["ward"], np.ones(N, dtype))
        assert state.by_products == (expected == "products")
        assert (state.scale is not None) == (expected == "products" or (expected == "single" and dtype == "float64"))
        without(monkeypatch)
        plain = select("cuda").summarise(typed, methods.METHODS["ward"], np.ones(N, dtype))
        monkeypatch.setattr(halves, "FEWEST", 1)
        np.testing.assert_array_equal(state.nearest, plain.nearest)
        np.testing.assert_array_equal(state.distance, plain.distance)


@pytest.mark.skipif(not SIMULATED, reason="operations on arrays are counted in the simulator")
def test_a_round_of_ward_launches_what_the_model_counts():
    launches, waits = importlib.import_module("benchmarks.model").CALLS["summaries.merge"]
    rounds = importlib.import_module("benchmarks.launches").rounds_of_ward()
    assert len(rounds) > 2
    assert {made.pop("download") for made in rounds} == {waits}
    assert max(made.total() for made in rounds) == launches


def test_float32_of_extreme_size_has_no_products(monkeypatch):
    monkeypatch.setattr(screen, "FEWEST", 1)
    monkeypatch.setattr(halves, "FEWEST", 1)
    X = launch.upload(np.full((3, 3), 1e-25, np.float32))
    assert screen.scale_of(X, by_products=True) is None  # the square of the scale is not a float32
    assert screen.scale_of(X * np.float32(1e10), by_products=True) is not None


def test_products_that_are_wrong_or_not_there_are_not_used(monkeypatch):
    assert halves.available(halves.FEWEST)
    assert not halves.available(halves.FEWEST - 1)
    old = launch.current_device()._replace(capability=(7, 5))
    with monkeypatch.context() as patch:
        patch.setattr(launch, "current_device", lambda: old)
        assert not halves.available(halves.FEWEST)
    if not SIMULATED:
        return
    right = products.truncated_sum
    for wrong in (lambda *given: right(*given) + 2.0**-4, lambda *given: right(*given) * (1 + 2.0**-12)):
        monkeypatch.setattr(products, "truncated_sum", wrong)
        assert not halves._works.__wrapped__(0)
