"""Types of names, the number of threads, what is logged, and what `dir` and `show_versions` show."""

from __future__ import annotations

import logging
from typing import get_args

import numpy as np
import pytest

import gpuclust
from gpuclust.core.methods import METHODS
from gpuclust.core.metrics import METRICS
from gpuclust.core.names import MethodName, MetricName
from gpuclust.core.threads import thread_count

X = np.random.default_rng(0).random((40, 3))


def test_literal_types_are_the_tables():
    assert set(get_args(MethodName)) == set(METHODS)
    assert set(get_args(MetricName)) == set(METRICS)


def test_dir_lists_public_names_only():
    for module in (gpuclust, gpuclust.hierarchy, gpuclust.distance, gpuclust.plotting):
        listed = {name for name in dir(module) if not name.startswith("__")}
        assert listed == {name for name in module.__all__ if not name.startswith("__")}


def test_algorithm_device_and_phases_are_logged(caplog):
    with caplog.at_level(logging.INFO, "gpuclust"):
        gpuclust.linkage(X, "ward", device="cpu")
    texts = [record.getMessage() for record in caplog.records if "linkage" in record.getMessage()]
    assert texts[0].startswith("ward linkage of 40 x 3 points (euclidean, float64) on cpu: ")
    assert texts[-1].startswith("ward linkage of 40 observations on cpu: validate ")
    assert "merge" in texts[-1]


def test_nothing_is_logged_unless_asked(caplog):
    gpuclust.linkage(X)
    assert not caplog.records


def test_threads_are_limited_and_restored(monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "3")
    expected = gpuclust.linkage(X, "average")
    with gpuclust.threads(2) as limit:
        assert thread_count() == 2
        assert repr(limit) == "threads(2)"
        with gpuclust.threads(1):
            assert thread_count() == 1
            assert (gpuclust.linkage(X, "average") == expected).all()
        assert thread_count() == 2
        with gpuclust.threads(None):
            assert thread_count() == 3
    assert thread_count() == 3
    limit = gpuclust.threads(1)
    assert thread_count() == 1
    limit.restore_original_limits()
    assert thread_count() == 3


@pytest.mark.parametrize(("limits", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_numbers_of_threads_that_are_refused(limits, error):
    before = thread_count()
    with pytest.raises(error, match="limits must be a whole number >= 1"):
        gpuclust.threads(limits)
    assert thread_count() == before


def test_show_versions(capsys):
    gpuclust.show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["gpuclust", gpuclust.__version__]
    assert any(line.startswith("numba ") for line in lines)
    assert any(line.startswith("threads ") for line in lines)
