"""Searches by matrix products in single precision: error bounds, and that results are those of all distances."""

from __future__ import annotations

import numpy as np
import pytest

import gpuclust
from gpuclust.core import preparation
from gpuclust.core.backend import select
from gpuclust.core.jit import compiled
from gpuclust.core.sizes import WIDE
from gpuclust.distance import nearest_neighbors
from gpuclust.kernels.cpu.clusters import summaries
from gpuclust.kernels.cpu.points import angles, index
from gpuclust.kernels.cpu.space import products, screen
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, products_of_strip

KINDS = ("normal", "near-copies", "lattice", "offset", "outlier", "large", "small", "denormal", "mixed")


def points(kind: str, n: int, m: int, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(len(kind))
    X = rng.normal(size=(n, m))
    if kind == "near-copies":  # clumps of half, and of a tenth of all points, and pairs
        X[: n // 2] = X[0] + 1e-6 * rng.normal(size=(n // 2, m))
        X[-n // 10 :] = X[-1] * (1 + 1e-9 * rng.normal(size=(n - n * 9 // 10, 1)))
        X[n // 2 : n // 2 + 20] = X[n // 2 + 20 : n // 2 + 40]
    elif kind == "lattice":
        X = np.round(X / 2)
    elif kind == "offset":
        X = X * 1e-3 + 1e5
    elif kind == "outlier":
        X[n // 3] *= 1e30 if dtype == "float64" else 1e10
        X[n // 2] *= 1e60 if dtype == "float64" else 1e15
    elif kind in ("large", "small", "denormal"):
        exponent = {"large": 150, "small": -150, "denormal": -307}[kind]
        X = X * 10.0 ** (exponent if dtype == "float64" else exponent // 10)
    elif kind == "mixed":  # rows of very different norm
        X *= 10.0 ** rng.integers(-8, 8, (n, 1))
    return X.astype(dtype)


@compiled
def strip_of(features, ours, places, norms, less, out):
    products_of_strip(features, ours, places, 0, 0, norms, less, out)


def bounds(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bounds of the squared distances of rows x and y, what they may be too small by, and the exact squares."""
    m = x.shape[1]
    features = np.zeros((m, LANES), np.float32)
    features[:, : len(y)] = y.T
    ours = np.ascontiguousarray(np.repeat(x, -(-TOGETHER // len(x)), axis=0)[:TOGETHER].T)
    norms, less, spare = np.empty(TOGETHER), np.empty(TOGETHER, np.float32), np.empty(TOGETHER)
    wide = y.astype(np.longdouble)
    radius = float(np.sqrt((wide * wide).sum(axis=1)).max())
    products.row_terms(ours, radius, norms, less, spare)
    theirs = np.zeros(LANES, np.float32)
    theirs[: len(y)] = (y.astype(np.float64) ** 2).sum(axis=1)
    out = np.empty((TOGETHER, LANES), np.float32)
    strip_of(features, ours, np.arange(TOGETHER), theirs, less, out)
    d = ours.T[:, None].astype(np.longdouble) - wide
    return out[:, : len(y)], spare[:, None], (d * d).sum(axis=2)


@pytest.mark.parametrize("m", [1, 2, 48, 768, 5000])
@pytest.mark.parametrize("scale", [1.0, 2.0**-60, 2.0**-70, 2.0**48])
def test_bounds_hold(m, scale):
    """Of rows near the points and far from them, with products that underflow, and with zeros of both signs."""
    rng = np.random.default_rng(m)
    for _ in range(10):
        y = rng.normal(size=(min(9, LANES), m)) * min(scale, 1.0)
        y[0], y[1, : m // 2] = 0.0, -0.0
        x = np.concatenate((y[:2] * (1 + 1e-7 * rng.normal(size=(2, m))), rng.normal(size=(2, m)) * scale))
        lower, spare, exact = bounds(x.astype(np.float32), y.astype(np.float32))
        assert (lower <= exact).all()
        assert (exact <= lower + spare).all()


@pytest.mark.parametrize("m", [48, 768, 4096])
def test_the_bound_is_nearly_reached(m):
    """Each product is half of the last bit of the sum, and is lost: with half of the bound of a sum this fails."""
    x = np.full((1, m), 2.0**-12, np.float32)
    x[0, 0] = 1
    lower, spare, exact = bounds(x, x)
    assert (lower <= exact).all()
    # The bound without that of the sum: the error of the sum alone exceeds half of its bound.
    norm = float((x.astype(np.float64) ** 2).sum())
    sums = 2 * products.sum_error(m) * norm
    assert (lower + spare / 2 - exact > 0.9 * sums).all()
    assert (lower + sums / 2 > exact).all()


def test_bounds_of_distances():
    """Of a screened square and its error: `lowest` and `highest` enclose what `threshold` lets through."""
    rng = np.random.default_rng(0)
    for root in 10.0 ** rng.uniform(-12, 12, 300):
        for m in (48, 2000):
            for error in (0.0, 1e-6, 1e-3 * root):
                most = screen.threshold(root, error, m)
                assert products.lowest(most, error, m) <= root
                assert products.lowest(np.float32(np.inf), error, m) < np.inf
                if most > 1e-35:
                    assert (
                        products.lowest(np.nextafter(most * np.float32(1 + 1e-5), np.inf), error, m)
                        > root * (1 - 1e-5) - 2 * error
                    )
                assert products.highest(np.float32(root * root), 0.0, error, m) >= root


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_lists(kind, dtype):
    """The lists of the reference, to the last bit, equal distances by index included."""
    for n, m, k in ((1100, WIDE, 1), (1100, 70, 7), (1030, 130, 40)):
        X = points(kind, n, m, dtype)
        ready = preparation.prepare(X, "sqeuclidean", dtype=dtype)
        expected, distances = select("reference").knn(ready, k)
        found, lengths = index.Screened(ready).knn(k)
        finite = np.isfinite(distances)
        assert np.array_equal(lengths, distances)
        assert np.array_equal(found[finite], expected[finite])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("metric", ["cosine", "correlation"])
@pytest.mark.parametrize("kind", ["normal", "near-copies", "lattice", "offset", "mixed"])
def test_lists_of_angles(kind, metric, dtype):
    """The same for distances that are squares on a sphere but for rounding."""
    for n, m, k in ((1100, WIDE, 1), (1030, 130, 40)):
        ready = preparation.prepare(points(kind, n, m), metric, dtype=dtype)
        expected, distances = select("reference").knn(ready, k)
        found, lengths = index.Screened(ready).knn(k)
        assert np.array_equal(lengths, distances)
        assert np.array_equal(found, expected)


def test_margin_of_angles():
    """Computed distances differ from squares on the sphere by less than the margin, also of opposite points."""
    for dtype in ("float64", "float32"):
        for m in (48, 700):
            X = points("mixed", 60, m)
            X[1::2] = np.sign(np.arange(60)[1::2] % 4 - 2)[:, None] * X[::2] * 1.5
            ready = preparation.prepare(X, "cosine", dtype=dtype)
            computed = select("reference").pairwise(ready, ready, np.empty((60, 60), dtype))
            sphere = angles.on_sphere(ready).T.astype(np.longdouble)
            d = sphere[:, None] - sphere[None]
            assert np.abs(computed - (d * d).sum(axis=2)).max() < angles.margin(m, np.dtype(dtype)) / 2


def by_differences(monkeypatch, *arguments, **options):
    """A linkage without products, with lists as long as with them."""
    with monkeypatch.context() as patch:
        for module in (summaries, index):
            patch.setattr(module, "WIDE", 10**9)
        return gpuclust.linkage(*arguments, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("large", "small", "denormal")])
def test_linkages(kind, dtype, monkeypatch):
    """The same bits as by differences, for every client."""
    X = points(kind, 1200, 64, dtype)
    if kind == "outlier" and dtype == "float32":
        X = X.clip(-1e9, 1e9)
    jobs = [
        ("ward", "euclidean", "summaries"),
        ("average", "sqeuclidean", "summaries"),
        ("weighted", "cosine", "summaries"),
        ("single", "euclidean", "spanning tree"),
        ("single", "cosine", "spanning tree"),
        ("complete", "euclidean", "stored"),
        ("average", "correlation", "stored"),
    ]
    for method, metric, algorithm in jobs:
        options = {"dtype": dtype, "algorithm": algorithm, "device": "cpu"}
        found = gpuclust.linkage(X, method, metric, **options)
        assert np.array_equal(found, by_differences(monkeypatch, X, method, metric, **options)), (method, metric)


def test_counts(monkeypatch):
    """Few candidates are computed; clumps beside other points need the other levels."""
    counted: list[products.Counts] = []
    monkeypatch.setattr(products, "OBSERVERS", [counted.append])
    nearest_neighbors(points("normal", 3000, 64), 10, device="cpu")
    (counts,) = counted
    assert counts.rows == 3000
    assert counts.differences == counts.early == 0
    assert 10 * 3000 <= counts.computed < 15 * 3000 < counts.candidates
    nearest_neighbors(points("near-copies", 3000, 64), 10, device="cpu")
    assert counted[1].differences > 0
    assert counted[1].early > 0
