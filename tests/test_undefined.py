"""Rows and pairs for which a metric is not defined: NaN in matrices, elsewhere an error with their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DTYPES
from covering import covering
from typer.testing import CliRunner

import gpuclust
from gpuclust.app.cli import app
from gpuclust.compute import compute
from gpuclust.distance import cdist, nearest_neighbors, pdist, squareform

DEVICES = ["cpu", "reference"]
CONSTANT = [0.1, 0.3, 1 / 3, 1e-200, 1e200, -7.7, 0.0, 5e-324]


def with_row(row: object, n: int = 30, m: int = 7, at: int = 17) -> np.ndarray:
    X = np.random.default_rng(0).random((n, m)) + 0.1
    X[at] = row
    return X


def is_undefined_at(D: np.ndarray, at: int) -> None:
    wrong = np.isnan(D)
    assert wrong[at].all()
    assert wrong[:, at].all()
    assert wrong.sum() == 2 * len(D) - 1


@pytest.mark.parametrize(("value", "dtype", "device"), covering(CONSTANT, DTYPES, DEVICES))
def test_a_constant_row_has_no_correlation(value, dtype, device):
    """Whatever rounding leaves of it."""
    X = with_row(value)
    is_undefined_at(cdist(X, X, "correlation", dtype=dtype, device=device), 17)
    square = squareform(pdist(X, "correlation", dtype=dtype, device=device), checks=False)
    np.fill_diagonal(square, np.nan)
    assert np.isnan(square).sum() == 30 + 2 * 29


def test_every_constant_and_width():
    rng = np.random.default_rng(1)
    for m in (2, 3, 7, 100):
        X = rng.random((60, m))
        X[::2] = rng.random((30, 1))
        assert np.isnan(pdist(X[::2], "correlation")).all()
        assert np.isnan(cdist(X[::2], X[1::2], "correlation")).all()
        assert np.isfinite(pdist(X[1::2], "correlation")).all()


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_features_of_weight_zero_do_not_count(metric):
    X = with_row([0.1] * 6 + [9.0] if metric == "correlation" else [0.0] * 6 + [9.0])
    w = [0.5, 1, 0.3, 1, 2, 1, 0]
    is_undefined_at(cdist(X, X, metric, w=w), 17)
    assert not np.isnan(pdist(X, metric)).any()
    with pytest.raises(ValueError, match="Row 17 is"):
        nearest_neighbors(X, 2, metric, w=w)
    for n in (30, 700):
        many = np.concatenate([X, with_row(np.arange(7), n)])
        for linkage in ("average", "single"):
            with pytest.raises(ValueError, match="Row 17 is"):
                compute(many, linkage, metric, w=np.array(w))


ROWS = [
    ("correlation", 0.1, "Row 17 is constant: its correlation distance is not defined"),
    ("cosine", 0.0, "Row 17 is a zero vector: its cosine distance is not defined"),
    ("jensenshannon", 0.0, "Row 17 is no distribution"),
    ("jensenshannon", [-1.0] + [1.0] * 6, "Row 17 is no distribution"),
]


@pytest.mark.parametrize(("place", "dtype", "device"), covering(range(len(ROWS)), DTYPES, DEVICES))
def test_such_a_row_is_refused_with_its_number(place, dtype, device):
    metric, row, text = ROWS[place]
    X = with_row(row)
    options = {"dtype": dtype, "device": device}
    for method in ("single", "complete", "average", "weighted"):
        with pytest.raises(ValueError, match=text):
            gpuclust.linkage(X, method, metric, **options)
    with pytest.raises(ValueError, match=text):
        nearest_neighbors(X, 2, metric, **options)
    with pytest.raises(ValueError, match=text):
        gpuclust.AgglomerativeClustering(linkage="average", metric=metric, **options).fit(X)


@pytest.mark.parametrize(("metric", "row", "text"), ROWS)
@pytest.mark.parametrize("algorithm", ["hybrid", "stored", "spanning tree", "spanning tree, stored", "summaries"])
def test_by_every_algorithm(metric, row, text, algorithm):
    method = "single" if "spanning" in algorithm else "average"
    if {"summaries": metric == "jensenshannon", "hybrid": metric != "cosine", "stored": True}.get(algorithm, False):
        pytest.skip("not an algorithm for this metric")
    with pytest.raises(ValueError, match=text):
        gpuclust.linkage(with_row(row, 600), method, metric, algorithm=algorithm)


def test_all_of_them_are_counted():
    X = with_row(0.0)
    X[[3, 20]] = 0
    with pytest.raises(ValueError, match=r"Row 3 is a zero vector.*nor that of 2 more"):
        gpuclust.linkage(X, "average", "cosine")


def test_the_command_line(tmp_path):
    np.save(tmp_path / "X.npy", with_row(0.1))
    done = CliRunner().invoke(app, ["run", str(tmp_path / "X.npy"), "--metric", "correlation", "--method", "average",
                                    "--out", str(tmp_path / "out"), "--no-plots"])  # fmt: skip
    assert done.exit_code == 2
    assert "Row 17 is constant" in " ".join(done.output.split())


@pytest.mark.parametrize("metric", ["braycurtis", "dice", "sokalsneath"])
@pytest.mark.parametrize("method", ["single", "average"])
def test_such_a_pair_is_refused_with_its_rows(metric, method):
    X = (with_row(0) > 0.6) if metric != "braycurtis" else with_row(0)
    X[:, 0] = 1
    X[[17, 20]] = 0
    with pytest.raises(ValueError, match=f"The {metric} distance of rows 17 and 20 is nan"):
        gpuclust.linkage(X, method, metric)


def test_a_constant_feature_has_no_variance():
    X = with_row(0.5)
    X[:, 2] = 3.0
    with pytest.raises(ValueError, match="The seuclidean distance of rows 0 and 1 is nan"):
        gpuclust.linkage(X, "average", "seuclidean")


def test_a_function_that_gives_no_number():
    with pytest.raises(ValueError, match="got nan at index 4, for observations 1 and 3"):
        gpuclust.linkage(np.arange(4.0)[:, None], "average", lambda x, y: np.nan if x[0] == 1 and y[0] == 3 else 1.0)


def test_dissimilarities_of_points_that_are_negative():
    """Values that no height can have: the next function would refuse the tree."""
    with pytest.raises(ValueError, match=r"dice.*negative"):
        gpuclust.linkage(np.array([[1.0, 2.0], [3.0, -4.0], [2.0, 2.0]]), "single", "dice")
