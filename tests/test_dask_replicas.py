"""Summaries of clusters on the client of a cluster, and their replicas on workers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed")

from gpuclust.core import preparation
from gpuclust.core.methods import METHODS
from gpuclust.dask import searches
from gpuclust.dask.replicas import Replica, snapshot

WARD = METHODS["ward"]


class Alone:
    """In place of a cluster: shares nothing."""

    def share(self, what: str, *values: Any) -> tuple[Any, ...]:
        return values


def test_what_the_cluster_was_given_is_not_changed_by_merges(monkeypatch):
    """It may be sent again after merges, where the workers that had it died; a replica then makes the same merges."""
    monkeypatch.setattr(searches, "SCREENED_ALONE", np.inf)
    n = 300
    points = preparation.prepare(np.random.default_rng(0).normal(size=(n, 60)), "sqeuclidean")
    clusters = searches.ShardedSummaries(Alone(), points, WARD, np.ones(n))  # type: ignore[arg-type]
    given = snapshot(clusters, clusters.outer.copy())
    clusters._base = Alone().share("partition", *given)  # type: ignore[assignment]
    before = copy.deepcopy(given)
    entries = []
    for _ in range(2):
        near, rows = clusters.nearest, np.arange(clusters.n)
        first = np.flatnonzero((near[near] == rows) & (rows < near))
        left = np.setdiff1d(rows, near[first])
        second = np.where(np.isin(left, first), near[left], -1)
        size = np.empty(clusters.n)
        size[clusters.outer] = clusters.size
        new_size = size[left] + np.where(second >= 0, size[second], 0)
        entry = left, second, clusters.distance[left], size, new_size, np.arange(left.size)
        clusters.merge(WARD, *entry)
        entries.append(entry)
    for value, other in zip(given, before, strict=True):
        np.testing.assert_array_equal(value, other)
    replica = Replica(given)
    for entry in entries:
        replica.merge(WARD, *entry)
    np.testing.assert_array_equal(replica.centers, clusters.centers)
    np.testing.assert_array_equal(replica.low, clusters.low)
    assert replica.boxed().pairs.size > 0


def test_a_late_task_reads_what_it_was_given():
    """A replica's arrays are not resized where they are: a task that nobody waits for may still read them."""
    n = 40
    points = preparation.prepare(np.random.default_rng(0).normal(size=(n, 60)), "sqeuclidean")
    clusters = searches.Summaries(points, WARD, np.ones(n))
    replica = Replica(snapshot(clusters, clusters.outer))
    centers, (a, b) = replica.centers, (0, int(clusters.nearest[0]))
    left = np.setdiff1d(np.arange(n), [b])
    second = np.where(left == a, b, -1)
    sizes = np.ones(n), np.where(second >= 0, 2.0, 1.0)
    replica.merge(WARD, left, second, clusters.distance[left], *sizes, np.arange(n - 1))
    assert centers.shape == (n, 60)
    assert replica.n == n - 1
