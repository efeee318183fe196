"""Borůvka's algorithm on the device: the edges of the reference's tree, ties included, and few waits of the host."""

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

from gpuclust.algorithms.boruvka import boruvka
from gpuclust.compute import compute
from gpuclust.core import preparation
from gpuclust.core.backend import select
from gpuclust.errors import NotFinite
from gpuclust.kernels.cuda import boxes, components, launch, screen

pytestmark = ON_DEVICE

N = 70 if SIMULATED else 5000
KINDS = ("normal", "grid", "equal", "line", "clusters", "two copies")


def points_of(kind: str, dtype: str = "float64", metric: str = "euclidean"):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 2))
    if kind == "grid":
        X = rng.integers(0, 6, (N, 2)).astype(float)
    elif kind == "equal":
        X[:] = 1.5
    elif kind == "line":
        X = np.sort(rng.random((N, 1)), axis=0) ** 4
    elif kind == "clusters":
        X = X * 1e-3 + rng.integers(0, 3, (N, 1))
    elif kind == "two copies":
        X[N // 2 : 2 * (N // 2)] = X[: N // 2]
    return preparation.prepare(X, metric, dtype=dtype)


class HostRounds:
    """The CUDA backend, with rounds made on the host."""

    def __getattr__(self, name):
        return getattr(select("cuda"), name)

    def tree_of_points(self, points, report):
        return None


def edges(merges):
    return sorted((h, *sorted(pair)) for h, pair in zip(merges.heights.tolist(), merges.pairs.tolist(), strict=True))


@pytest.mark.parametrize(("kind", "dtype"), covering(KINDS, DTYPES, together=1))
def test_the_tree_is_that_of_rounds_on_the_host(monkeypatch, kind, dtype):
    points, reports = points_of(kind, dtype), []
    monkeypatch.setattr(boxes, "FEWEST", 10**6)
    ours = boruvka(select("cuda"), points, reports.append)
    theirs = boruvka(HostRounds(), points, lambda done: None)
    assert edges(ours) == edges(theirs)
    assert (np.diff(ours.heights) >= 0).all()
    assert ours.scans == theirs.scans
    assert reports == sorted(reports)
    assert reports[-1] == N - 1
    if dtype == "float64":
        assert edges(ours) == edges(boruvka(select("reference"), points, lambda done: None))


@pytest.mark.parametrize("kind", ["normal", "clusters"])
def test_by_boxes_and_in_several_slices(monkeypatch, kind):
    monkeypatch.setattr(boxes, "FEWEST", 1)
    monkeypatch.setattr(boxes, "PAYS", 1)
    monkeypatch.setattr(boxes, "rows_at_once", lambda points: 7)
    points = points_of(kind)
    assert boxes.located(points) is not None
    ours = boruvka(select("cuda"), points, lambda done: None)
    assert edges(ours) == edges(boruvka(select("reference"), points, lambda done: None))


def test_negative_distances_and_zeros_of_both_signs_are_in_order():
    state = object.__new__(components.Components)
    for dtype in (np.float64, np.float32):
        state.distance = launch.upload(np.array([-2.0, -1e-30, -0.0, 0.0, 1e-30, 2.5, np.inf], dtype))
        bits = launch.download(state._bits())
        assert bits[2] == bits[3]
        assert (np.diff(np.delete(bits, 2)) > 0).all()


def test_the_host_waits_a_few_times_a_round(monkeypatch):
    """And uploads nothing but the points."""
    monkeypatch.setattr(screen, "FEWEST", 10**6)
    monkeypatch.setattr(boxes, "FEWEST", 10**6)
    points = points_of("normal")
    launch.counts.clear()
    rounds = []
    join = components.Components.join
    monkeypatch.setattr(components.Components, "join", lambda state: rounds.append(0) or join(state))
    components.tree(points, lambda done: None)
    assert 2 < len(rounds) < 10
    assert launch.counts["uploads"] <= 3
    assert launch.counts["downloads"] == 3  # whether all are finite; pairs, and lengths


def test_points_too_far_apart_are_refused(monkeypatch):
    """Also where only distances between components are infinite."""
    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.spanning_tree"), "SMALL", 2)
    points = preparation.prepare(np.arange(8.0)[:, None], "sqeuclidean")
    far = replace(
        points, features=points.features + 1e200 * (points.features > 0)
    )  # not scaled, as prepared ones are
    for features in (far.features, 1e160 * points.features):
        with pytest.raises(NotFinite):
            components.tree(replace(points, features=features), lambda done: None)
    assert components.tree(preparation.prepare(np.ones((1, 2)), "euclidean"), lambda done: None)[0].shape == (0, 2)
    assert compute(np.eye(3), "single", "euclidean", device="cuda").Z.shape == (2, 4)
