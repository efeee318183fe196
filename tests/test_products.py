"""Searches by matrix products of integers: the results are those of all distances."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DTYPES, SAME_FORMULA, float32_is_rare
from covering import covering

import gpuclust
from gpuclust.core import preparation
from gpuclust.core.backend import select
from gpuclust.core.sizes import WIDE
from gpuclust.distance import nearest_neighbors
from gpuclust.kernels.cpu.clusters import summaries
from gpuclust.kernels.cpu.points import angles, index
from gpuclust.kernels.cpu.space import products

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


@pytest.mark.parametrize(("kind", "dtype"), covering(KINDS, DTYPES, together=1))
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


@pytest.mark.parametrize(
    ("kind", "metric", "dtype"),
    covering(
        ["normal", "near-copies", "lattice", "offset", "mixed"],
        ["cosine", "correlation"],
        DTYPES,
        together=1,
        rare=lambda kind, metric, dtype: metric == "correlation" or float32_is_rare(dtype),  # correlation is cosine
    ),
)
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


#: Linkages whose searches are made by products.
JOBS = (
    ("ward", "euclidean", "summaries"),
    ("average", "sqeuclidean", "summaries"),
    ("weighted", "cosine", "summaries"),
    ("single", "euclidean", "spanning tree"),
    ("single", "cosine", "spanning tree"),
    ("complete", "euclidean", "stored"),
    ("average", "cosine", "stored"),
    ("average", "correlation", "stored"),
)


@pytest.mark.parametrize(
    ("kind", "job", "dtype"),
    covering(
        [kind for kind in KINDS if kind not in ("large", "small", "denormal")],
        JOBS,
        DTYPES,
        rare=lambda kind, job, dtype: job[0] in SAME_FORMULA or job[1] == "correlation" or float32_is_rare(dtype),
    ),
)
def test_linkages(kind, job, dtype, monkeypatch):
    """The same bits as by differences. (In float32 `make test` has lists, whose margins are those of linkages.)"""
    X = points(kind, 1200, 64, "float64" if kind == "offset" else dtype)
    if kind == "outlier" and dtype == "float32":
        X = X.clip(-1e9, 1e9)
    method, metric, algorithm = job
    options = {"dtype": dtype, "algorithm": algorithm, "device": "cpu"}
    found = gpuclust.linkage(X, method, metric, **options)
    assert np.array_equal(found, by_differences(monkeypatch, X, method, metric, **options))


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
