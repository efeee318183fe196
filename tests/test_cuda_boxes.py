"""Search by bounding boxes: the bits of the full search, with fewer tiles where points lie close together."""

from __future__ import annotations

import gc
import importlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import DTYPES, ON_DEVICE, SIMULATED
from covering import covering

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import metrics, preparation
from gpuclust.core.points import on_arrays
from gpuclust.kernels.cuda import boxes, launch, nearest, pairwise, scalar
from gpuclust.kernels.cuda.summaries import Summaries
from gpuclust.kernels.cuda.tile import geometry

pytestmark = ON_DEVICE

N = 43 if SIMULATED else 700
FORMS = [(metric.name, weighted) for metric, weighted, dtype in scalar.forms() if metric.euclidean_like]
FORMS = sorted(set(FORMS))


@pytest.fixture
def always(monkeypatch):
    """Boxes are used for as few points as there are, whether it pays or not."""
    monkeypatch.setattr(boxes, "FEWEST", 1)
    monkeypatch.setattr(boxes, "PAYS", np.inf)


def points_of(kind: str, n: int, name: str = "sqeuclidean", weighted: bool = False, dtype: str = "float64"):
    rng = np.random.default_rng(n)
    X = {
        "ties": lambda: rng.integers(0, 5, (n, 2)).astype(float),
        "equal": lambda: np.ones((n, 3)),
        "clusters": lambda: rng.normal(size=(n, 5)) * 0.01 + rng.integers(0, 4, (n, 1)),
        "uniform": lambda: rng.random((n, 2)),
        "wide": lambda: rng.normal(size=(n, 17)),
        "line": lambda: np.arange(n)[::-1, None] ** 2.0,
    }[kind]()
    if name == "haversine":  # latitudes and longitudes
        X = X[:, :2] / max(1, abs(X).max())
    given = {"p": 3.5} if name == "minkowski" else {}
    if name == "seuclidean":
        given["V"] = np.linspace(0.5, 2, X.shape[1])
    elif weighted:
        given["w"] = np.linspace(0, 2, X.shape[1])
    return preparation.prepare(X, name, dtype=dtype, **given)


def components(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    return {
        "own": np.arange(n),
        "few": rng.integers(0, 3, n),
        "stripes": np.arange(n) * 4 // n,
        "one": np.zeros(n, int),
        "all but one": (np.arange(n) == n - 1).astype(int),
    }


def check(points, rows: np.ndarray, component: np.ndarray) -> None:
    ours, plain = (search(points, component, rows) for search in (boxes.search_outside, nearest.nearest_outside))
    found = np.isfinite(plain[1])
    np.testing.assert_array_equal(ours[0][found], plain[0][found])
    np.testing.assert_array_equal(ours[1], plain[1])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "weighted"), FORMS)
def test_every_metric(name, weighted, dtype):
    for kind in ("ties", "uniform"):
        points = points_of(kind, N // 2, name, weighted, dtype)
        for ours, plain in zip(boxes.search_all(points), nearest.nearest(points), strict=True):
            np.testing.assert_array_equal(ours, plain)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["ties", "equal", "clusters", "uniform", "wide", "line"])
def test_every_kind_of_points(kind):
    points = points_of(kind, N, dtype="float32" if kind == "ties" else "float64")
    assert boxes.located(points) is not None
    for ours, plain in zip(boxes.search_all(points), nearest.nearest(points), strict=True):
        np.testing.assert_array_equal(ours, plain)
    rng = np.random.default_rng(0)
    for component in components(N).values():
        check(points, rng.permutation(N)[: N // 3], component)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("n", [2, 31, 33, 129] if not SIMULATED else [2, 31, 33])
def test_odd_sizes(n):
    """Rows that fill no tile, in any order; one of them; none."""
    points = points_of("uniform", max(n, geometry(metrics.METRICS["sqeuclidean"], np.dtype("float64")).columns + 1))
    component = np.arange(points.n) % 3
    for rows in (np.arange(points.n)[::-1][:n], np.array([points.n - 1]), np.empty(0, np.int64)):
        check(points, rows, component)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("chunks", [2, 3, 100])
def test_chunks_of_columns(monkeypatch, chunks):
    """However many, and where some have no tile."""
    monkeypatch.setattr(boxes, "CHUNK", 1)
    monkeypatch.setattr(boxes, "BLOCKS", chunks)
    points = points_of("ties", N)
    check(points, np.arange(9), components(N)["stripes"])
    where = boxes.located(points)
    component = launch.upload(components(N)["few"].astype(np.int32))
    one, several = (where.search(component, launch.xp.arange(N), count)[:2] for count in (1, chunks))
    for ours, plain in zip(several, one, strict=True):
        np.testing.assert_array_equal(launch.download(ours), launch.download(plain))


@pytest.mark.usefixtures("always")
def test_the_order_is_one_of_all_points_and_in_tiles_by_index():
    for kind in ("ties", "clusters", "line"):
        where = boxes.located(points_of(kind, N))
        order = launch.download(where.order)
        np.testing.assert_array_equal(np.sort(order), np.arange(N))
        np.testing.assert_array_equal(launch.download(where.position)[order], np.arange(N))
        for begin in range(0, N, where.shape.columns):
            assert (np.diff(order[begin : begin + where.shape.columns]) > 0).all()


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("name", "weighted"), FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_distance_is_below_its_bound(name, weighted, dtype):
    """By the bounds themselves: the distance of a box to another is at most that of any of their points."""
    points = points_of("clusters", 48 if SIMULATED else 300, name, weighted, dtype)  # more than a tile
    where = boxes.located(points)
    assert where is not None
    low, high = map(launch.download, where.boxes)
    apart = np.maximum(0, np.maximum(low[:, :, None] - high[:, None, :], low[:, None, :] - high[:, :, None]))
    step, finish = (on_arrays(function) for function in (points.metric.step, points.metric.finish))
    one, zero = points.features.dtype.type(1), points.features.dtype.type(0)
    total, other = zero, zero
    for f in range(len(low)):
        total, other = step(
            total, other, apart[f], zero, one if points.weights is None else points.weights[f], points.p
        )
    least = finish(total, other, zero, zero, points.p)
    from gpuclust.kernels.reference import pairwise as reference

    distance = reference.pairwise(points, points)
    tile_of = launch.download(where.position) // where.shape.columns
    slack = 1 + 1e-5 if dtype == "float32" else 1 + 1e-12
    assert (least[tile_of[:, None], tile_of[None, :]] <= distance * slack).all()


def test_few_tiles_are_computed_where_points_lie_close(monkeypatch):
    """And all of them where they do not: there the search without boxes is taken."""
    monkeypatch.setattr(boxes, "FEWEST", 1)
    n = 200 if SIMULATED else 3000
    close, apart = points_of("line", n), points_of("wide", n)
    where = boxes.located(close)
    assert where is not None
    *_, computed = where.search(launch.xp.arange(n).astype(np.int32), launch.xp.arange(n), chunks=1)
    computed = launch.download(computed)
    assert computed.sum() < 0.3 * computed.size * where.tiles
    assert boxes.located(apart) is None


def test_few_points_are_compared_at_once():
    assert boxes.located(points_of("uniform", 20)) is None


@pytest.mark.usefixtures("always")
def test_distances_that_overflow_are_left_to_the_other_search():
    X = np.random.default_rng(0).random((N, 2))
    X[3] *= 1e200
    points = preparation.prepare(X, "sqeuclidean")
    points = replace(points, features=np.ascontiguousarray(X.T))  # without the power of two that would prevent it
    assert boxes.located(points) is None
    assert boxes.search_all(points)[1][3] == -np.inf


@pytest.mark.usefixtures("always")
def test_the_order_is_made_once_and_dies_with_its_points():
    points = points_of("uniform", N)
    known = set(pairwise._derived)
    where = boxes.located(points)
    assert boxes.located(points) is where
    assert boxes.located(preparation.by_order(points)[0]) is where
    del points, where
    gc.collect()
    assert pairwise._derived.keys() <= known


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["ties", "clusters", "uniform"])
def test_single_linkage_and_ward(monkeypatch, kind, dtype):
    """Whole linkages with boxes are those without."""
    import importlib

    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.spanning_tree"), "SMALL", 2)
    n = N // 2
    X = points_of(kind, n).features.T
    for method in ("single", "ward"):
        Z = gpuclust.linkage(X, method, device="cuda", dtype=dtype)
        monkeypatch.setattr(boxes, "FEWEST", 10**6)
        np.testing.assert_array_equal(Z, gpuclust.linkage(X, method, device="cuda", dtype=dtype))
        monkeypatch.setattr(boxes, "FEWEST", 1)


@pytest.fixture
def in_rounds(monkeypatch):
    """Summaries search by boxes, screened, and without products; rounds end with few clusters."""
    monkeypatch.setattr(boxes, "FEWEST", 1)
    monkeypatch.setattr(boxes, "PAYS", 1)
    monkeypatch.setattr(importlib.import_module("gpuclust.kernels.cuda.screen"), "FEWEST", 1)
    monkeypatch.setattr(importlib.import_module("gpuclust.kernels.cuda.halves"), "FEWEST", 10**6)
    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.rounds"), "TAIL", 6)


@pytest.mark.usefixtures("in_rounds")
@pytest.mark.parametrize(
    ("kind", "method", "dtype"),
    covering(["normal", "grid", "tight", "graded"], ["ward", "average", "weighted"], DTYPES),
)
def test_rounds_by_boxes_have_the_bits_of_rounds_without(monkeypatch, kind, method, dtype):
    """Of equally near clusters the one with the smallest id is taken, wherever it stands."""
    rng, chunks = np.random.default_rng(5), 2 if dtype == "float64" else 1
    n = 90 if SIMULATED else 6000
    X = rng.normal(size=(n, 2))
    if kind == "grid":
        X = np.unique(rng.integers(0, 12, (2 * n, 2)), axis=0)[:n].astype(float)
        rng.shuffle(X)
    elif kind == "tight":  # single precision does not tell them apart
        X = 1e-6 * X + rng.integers(0, 3, (n, 1)) * 1e3
    elif kind == "graded":  # dense and sparse in the same tile
        X *= 10.0 ** rng.uniform(-2, 1, (n, 1))
    monkeypatch.setattr(boxes, "chunks_for", lambda tiles, down: min(tiles, chunks))
    places, found = [], []
    make, merge = Summaries._places, Summaries.merge

    def merged(self, *given):
        merge(self, *given)
        found.append((self.nearest, self.distance))

    monkeypatch.setattr(Summaries, "_places", lambda *given: places.append(make(*given)) or places[-1])
    monkeypatch.setattr(Summaries, "merge", merged)
    given = {"metric": "sqeuclidean" if method != "ward" else "euclidean", "algorithm": "summaries", "dtype": dtype}
    ours = compute(X, method, device="cuda", **given).Z
    assert len(places) > 4
    monkeypatch.setattr(boxes, "FEWEST", 10**6)
    count = len(found)
    plain = compute(X.copy(), method, device="cuda", **given).Z
    np.testing.assert_array_equal(ours, plain)
    for mine, theirs in zip(found[:count], found[count:], strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])
    if dtype == "float64":
        np.testing.assert_array_equal(ours, compute(X, method, device="reference", **given).Z)
