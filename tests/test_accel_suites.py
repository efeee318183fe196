"""SciPy's and scikit-learn's own tests of what is accelerated, with gpuclust in use for calls of any size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_scipy_suite import DISTANCE, HIERARCHY, run_suite

SKLEARN = [["sklearn.cluster.tests.test_hierarchical", "sklearn.cluster.tests.test_feature_agglomeration"]]


@pytest.mark.parametrize(
    ("places", "at_least", "used"),
    [
        pytest.param(
            HIERARCHY,
            110,
            {"linkage": 100, "fcluster": 20, "inconsistent": 20, "cut_tree": 5, "dendrogram": 5},
            marks=pytest.mark.sweep,
        ),
        pytest.param(DISTANCE, 420, {"pdist": 300, "cdist": 200}, marks=pytest.mark.sweep),
        (SKLEARN, 60, {"linkage": 80}),
    ],
    ids=["scipy hierarchy", "scipy distance", "scikit-learn"],
)
def test_own_tests_pass(places: list[list[str]], at_least: int, used: dict[str, int], tmp_path: Path) -> None:
    printed = run_suite(places, at_least, tmp_path, "accel_plugin")
    calls = re.findall(r"^  (\w+): (\d+) calls? (\S.*)$", printed, re.MULTILINE)
    for name, least in used.items():
        assert sum(int(count) for of, count, how in calls if of == name and how.startswith("cpu")) >= least, printed
    # No other than what bad arguments raise.
    assert {error for _, _, how in calls for error in re.findall(r"gpuclust: (\w+)", how)} <= {
        "TypeError",
        "ValueError",
        "NotFinite",
    }
