"""Gower's dissimilarity of tables with numbers, categories and missing values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.hierarchy as reference

import gpuclust
from gpuclust.errors import ClusterWarning

pd = pytest.importorskip("pandas")

KINDS = np.array(["red", "green", "blue"], dtype=object)


def table(n=40, gaps=True, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "length": rng.normal(5, 2, n),
            "kind": KINDS[rng.integers(0, 3, n)],
            "count": rng.integers(0, 9, n),
            "constant": np.full(n, 3.0),
            "grade": pd.Categorical(np.array(["low", "high"])[rng.integers(0, 2, n)]),
            "ok": rng.random(n) < 0.5,
        },
        index=[f"row {i}" for i in range(n)],
    )
    if gaps:
        frame.loc[frame.index[::7], "length"] = np.nan
        frame.loc[frame.index[::5], "kind"] = None
        frame.loc[frame.index[::9], "grade"] = np.nan
    return frame


def formula(frame):
    """The definition, pair by pair and column by column."""
    found = []
    for i in range(len(frame)):
        for j in range(i + 1, len(frame)):
            total = known = 0
            for name in frame:
                x, y = frame[name].iloc[i], frame[name].iloc[j]
                if pd.isna(x) or pd.isna(y):
                    continue
                known += 1
                if name in ("kind", "grade"):
                    total += x != y
                else:
                    span = float(frame[name].max()) - float(frame[name].min())
                    total += abs(float(x) - float(y)) / span if span else 0.0
            found.append(total / known)
    return np.array(found)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_is_the_formula(library, gaps):
    frame = table(gaps=gaps)
    given = frame
    if library == "polars":
        given = pytest.importorskip("polars").from_pandas(frame)
    elif library == "arrow":
        given = pytest.importorskip("pyarrow").Table.from_pandas(frame, preserve_index=False)
    found = gpuclust.cluster(given, "average", "gower", k=3)
    expected = formula(frame)
    np.testing.assert_allclose(found.table.values, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.Z[:, 2], reference.linkage(expected, "average")[:, 2], rtol=1e-12)
    assert sorted(found.columns) == sorted(frame.columns)
    assert found.left_out == {}
    assert (found.metric, found.n_clusters) == ("gower", 3)


def test_names_are_kept_and_a_report_is_written(tmp_path):
    frame = table()
    found = gpuclust.cluster(frame, metric="Gower", k=2)
    assert list(found.labels.index) == list(frame.index)
    assert "gower distances" in found.report(tmp_path / "page.html").read_text()
    assert found.suggestions
    with pytest.raises(ValueError, match="no values to draw"):
        found.heatmap()


def test_categories_alone_numbers_alone_and_dates():
    frame = table()
    kinds = gpuclust.cluster(frame[["kind"]].fillna("none"), "single", "gower")
    assert set(kinds.table.values) == {0.0, 1.0}
    numbers = np.random.default_rng(1).normal(size=(20, 3))
    scaled = (numbers - numbers.min(axis=0)) / np.ptp(numbers, axis=0)
    expected = np.abs(scaled[:, None] - scaled).mean(axis=2)[np.triu_indices(20, 1)]
    np.testing.assert_allclose(gpuclust.cluster(numbers, metric="gower").table.values, expected, rtol=1e-12)
    dated = frame.assign(when=pd.date_range("2020", periods=len(frame)))
    with pytest.warns(ClusterWarning, match="'when' .dates"):
        assert gpuclust.cluster(dated, metric="gower").left_out == {"when": "dates"}


def test_two_headings_alike():
    frame = table(gaps=False)[["kind", "ok", "kind"]]
    frame.iloc[:, 2] = frame.iloc[::-1, 2].to_numpy()
    found = gpuclust.cluster(frame, metric="gower").table.values
    i, j = np.triu_indices(len(frame), 1)
    different = [frame.iloc[i, k].to_numpy() != frame.iloc[j, k].to_numpy() for k in range(3)]
    np.testing.assert_allclose(found, np.mean(different, axis=0))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda frame: frame, {"standardize": "zscore"}, "mean nothing to metric 'gower'"),
        (lambda frame: frame, {"missing": "drop"}, "mean nothing to metric 'gower'"),
        (lambda frame: frame.assign(length=np.inf), {}, "infinite"),
        (lambda frame: frame[:1], {}, "at least two rows"),
        (lambda frame: frame[["length", "kind"]].iloc[[35, 1]], {}, "rows 0 and 1 have no column"),
    ],
)
def test_refusals(change, options, message):
    with pytest.raises(ValueError, match=message):
        gpuclust.cluster(change(table()), metric="gower", **options)
