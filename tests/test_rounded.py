"""Distances of other programs that are valid up to rounding: one rule in all functions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import METHODS
from scipy.cluster import hierarchy as scipy_hierarchy
from typer.testing import CliRunner

import gpuclust.hierarchy as gh
from gpuclust import AgglomerativeClustering
from gpuclust.app.cli import app
from gpuclust.core.rounded import TOLERANCE, condense
from gpuclust.core.triangle import pair_at
from gpuclust.distance import squareform
from gpuclust.errors import RoundingWarning


def cosines(dtype: str = "float64") -> np.ndarray:
    """One minus the cosine of 60 vectors, of which every two have one direction: some are negative."""
    S = np.random.default_rng(0).normal(size=(30, 16)) + 3
    S = np.repeat(S, 2, 0) * np.random.default_rng(1).uniform(0.5, 2, (60, 1))
    U = (S / np.linalg.norm(S, axis=1, keepdims=True)).astype(dtype)
    C = 1 - U @ U.T
    assert C[np.triu_indices(60, 1)].min() < 0
    return C


def run(path, out, *options):
    arguments = ["run", path, "--precomputed", "--method", "average", "--out", out, "--no-plots", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_one_minus_a_cosine(dtype, method):
    y = squareform(cosines(dtype), checks=False)
    before = y.copy()
    with pytest.warns(RoundingWarning, match=r"\d negative and counted as zero \(at most "):
        Z = gh.linkage(y, method)
    np.testing.assert_array_equal(y, before)
    np.testing.assert_array_equal(Z, gh.linkage(np.maximum(y, 0), method))
    assert gh.fcluster(Z, 3, "maxclust").max() <= 3
    if method not in ("centroid", "median"):
        right = scipy_hierarchy.linkage(np.maximum(y, 0), method)[:, 2]
        np.testing.assert_allclose(Z[:, 2], right, rtol=1e-12, atol=1e-14)


def test_every_entry_point_gives_one_tree(tmp_path, capsys):
    C = cosines()
    C[np.tril_indices(60, -1)] *= 1 + 1e-9
    with pytest.warns(RoundingWarning):
        Z = gh.linkage(squareform(C, checks=False), "average")
    C[5, 5] = 1e-9
    with pytest.warns(RoundingWarning, match="negative.*not symmetric.*diagonal") as caught:
        model = AgglomerativeClustering(3, metric="precomputed", linkage="average").fit(C)
    assert len(caught) == 1
    np.testing.assert_array_equal(model.linkage_matrix_, Z)
    with pytest.warns(RoundingWarning, match="not symmetric"):
        np.testing.assert_array_equal(squareform(C), squareform(C, checks=False))  # signs are not its business
    np.save(tmp_path / "C.npy", C)
    np.save(tmp_path / "y.npy", squareform(C, checks=False))
    np.savetxt(tmp_path / "C.csv", C, delimiter=",")
    for name in ("C.npy", "y.npy", "C.csv"):
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            done = run(tmp_path / name, tmp_path / "out" / name)
        assert done.exit_code == 0, done.output
        said = capsys.readouterr().err + done.output
        assert said.count("Distances rounded") == 1
        assert "negative and counted as zero" in " ".join(said.split())
        np.testing.assert_array_equal(np.load(tmp_path / "out" / name / "Z.npy"), Z)


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    D = np.add.outer(np.arange(5.0), np.arange(5.0)) + 1
    np.fill_diagonal(D, 0)
    D[place] = value
    return D


@pytest.mark.parametrize(
    ("D", "text"),
    [
        (changed((3, 1), -1.0), r"Negative values in data given as distances: got -1.0 in row 3, column 1"),
        (changed((1, 3), -1.0), r"Negative values in data given as distances: got -1.0 in row 1, column 3"),
        (
            changed((1, 3), 6.0),
            r"Distances must be symmetric: got 6.0 in row 1, column 3, and 5.0 where it is mirrored",
        ),
        (changed((2, 2), 0.5), r"Distances diagonal must be zero: got 0.5 in row 2, column 2"),
    ],
)
def test_what_is_wrong_is_refused_with_the_same_words(tmp_path, D, text):
    with pytest.raises(ValueError, match=text):
        AgglomerativeClustering(3, metric="precomputed", linkage="average").fit(D)
    np.save(tmp_path / "D.npy", D)
    done = run(tmp_path / "D.npy", tmp_path / "out")
    assert done.exit_code == 2
    words = " ".join(done.output.split())
    assert text.replace("\\", "").split(":")[0] in words
    if "Negative" not in text:
        with pytest.raises(ValueError, match=text.replace("Distances", "Distance matrix 'X'")):
            squareform(D)


@pytest.mark.parametrize("method", METHODS)
def test_negative_condensed_distances(tmp_path, method):
    text = "Negative values in data given as distances: got -1.0 at index 4, for observations 1 and 2"
    y = np.array([1.0, 2, 3, 4, -1, 5, 6, 7, 8, 9])
    with pytest.raises(ValueError, match=text):
        gh.linkage(y, method)
    np.save(tmp_path / "y.npy", y)
    done = run(tmp_path / "y.npy", tmp_path / "out", "--quiet")
    assert done.exit_code == 2
    assert text in " ".join(done.output.split())


def test_the_border_is_the_same_everywhere():
    for factor, allowed in ((0.9, True), (1.1, False)):
        size = TOLERANCE * factor * 9
        for D in (changed((3, 1), 5 + size), changed((0, 0), size), changed((4, 3), 8 - size)):
            D[3, 4] = D[4, 3] = 9
            for call in (
                condense,
                squareform,
                AgglomerativeClustering(2, metric="precomputed", linkage="single").fit,
            ):
                if (allowed and not np.array_equal(D, D.T)) or (allowed and D[0, 0]):
                    with pytest.warns(RoundingWarning):
                        call(D)
                elif not allowed and (not np.array_equal(D, D.T) or D[0, 0]):
                    with pytest.raises(ValueError, match=r"symmetric|diagonal"):
                        call(D)
        y = squareform(changed((0, 0), 0.0), checks=False)
        y[3] = -size
        y[7] = 9
        if allowed:
            with pytest.warns(RoundingWarning):
                gh.linkage(y)
        else:
            with pytest.raises(ValueError, match="Negative"):
                gh.linkage(y)


def test_differences_in_the_last_digits_cause_no_warning():
    """Mirrored entries that another order of sums makes different; a warning would be an error."""
    D = changed((1, 3), 5 * (1 + 1e-15))
    D[2, 2] = 1e-15
    AgglomerativeClustering(3, metric="precomputed", linkage="average").fit(D)
    squareform(D)


def test_whole_numbers_are_not_rounded():
    D = changed((1, 3), 1_000_001.0)
    D[3, 1] = 1_000_000
    with pytest.raises(ValueError, match="symmetric"):
        squareform(D.astype(int))
    with pytest.warns(RoundingWarning):
        squareform(D)


def test_a_function_of_two_points_that_rounds_below_zero():
    X = np.arange(5.0)[:, None]
    with pytest.warns(RoundingWarning):
        Z = gh.linkage(X, "average", lambda x, y: abs(x - y)[0] - (1 + 1e-9) * (abs(x - y)[0] == 1))
    assert (Z[:, 2] >= 0).all()


def test_places_of_pairs():
    for n in (2, 3, 7, 300):
        rows, columns = np.triu_indices(n, 1)
        for index in {0, len(rows) // 3, len(rows) // 2, len(rows) - 1}:
            assert pair_at(index, n) == (rows[index], columns[index])
