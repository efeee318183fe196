"""Missing values, transposition, standardization and principal components, alone and in a run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import gpuclust
from gpuclust.app.cli import app
from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.files import read_points
from gpuclust.app.data.transform import transform
from gpuclust.app.job.job import Job, load
from gpuclust.app.job.runner import run
from gpuclust.core.scaling import STANDARDIZE
from gpuclust.errors import InputFileError
from gpuclust.hierarchy import from_newick
from gpuclust.hierarchy.hclust import to_hclust

X = np.random.default_rng(0).normal(size=(30, 4)) * [1, 10, 0.1, 3] + [0, 5, -2, 1]
TABLE = "name,a,b,note\n" + "".join(f"r{i},{a:.3f},{b:.3f},x{i % 3}\n" for i, (a, b) in enumerate(X[:20, :2]))
GAPS = TABLE.replace(TABLE.split("\n")[4].split(",")[1], "NA", 1)


def data_of(values, **known):
    return DataSet(np.asarray(values), None, None, Path("t"), "t", **known)


def invoke(*arguments, **options):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "gaps.csv").write_text(GAPS)
    return tmp_path


def test_without_options_nothing_is_copied():
    data = data_of(X)
    assert transform(data) is data


@pytest.mark.parametrize(
    ("name", "scaler"), [("zscore", "StandardScaler"), ("minmax", "MinMaxScaler"), ("robust", "RobustScaler")]
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_standardize_is_that_of_scikit_learn(name, scaler, dtype):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    values = (100 * X).astype(dtype)
    found = transform(data_of(values), standardize=name)
    expected = getattr(preprocessing, scaler)().fit_transform(values.astype(np.float64))
    np.testing.assert_allclose(found.values, expected, rtol=1e-9, atol=1e-12)
    assert found.how == f"t; standardized ({name})"


@pytest.mark.parametrize("name", STANDARDIZE)
def test_features_without_spread_stay_finite(name):
    values = np.column_stack([np.full(9, 0.1), np.arange(9.0), [0] * 8 + [5]])
    found = transform(data_of(values), standardize=name).values
    assert np.isfinite(found).all()
    if name != "log1p":
        assert not found[:, 0].any()
        assert found[:, 2].any()


def test_log1p():
    np.testing.assert_array_equal(
        transform(data_of([[0, 3], [1, 7]]), standardize="log1p").values, np.log1p([[0, 3], [1, 7]])
    )
    with pytest.raises(InputFileError, match="log1p needs values above -1, got -1 in row 1, feature 'b'"):
        transform(replace(data_of([[0.0, 3], [1, -1]]), columns=["a", "b"]), standardize="log1p")


@pytest.mark.parametrize("components", [1, 2, 4])
def test_principal_components_are_those_of_scikit_learn(components):
    decomposition = pytest.importorskip("sklearn.decomposition")
    found = transform(data_of(X), pca=components)
    expected = decomposition.PCA(components).fit(X)
    np.testing.assert_allclose(np.abs(found.values), np.abs(expected.transform(X)), rtol=1e-9, atol=1e-9)
    assert found.columns == [f"PC{i + 1}" for i in range(components)]
    share = 100 * expected.explained_variance_ratio_.sum()
    assert f"{components} principal component{'s' * (components > 1)}, {share:.3g} % of the variance" in found.how


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 8), st.integers(1, 8), st.integers(0, 1000))
def test_all_principal_components_keep_all_distances(n, m, seed):
    values = np.random.default_rng(seed).normal(size=(n, m))
    found = transform(data_of(values), pca=min(n, m)).values
    np.testing.assert_allclose(gpuclust.pdist(found), gpuclust.pdist(values), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(transform(data_of(values), pca=min(n, m)).values, found)


def test_principal_components_that_there_are_not():
    with pytest.raises(InputFileError, match="3 rows of 4 features have at most 3 principal components, but 4"):
        transform(data_of(X[:3]), pca=4)


def test_missing_values():
    values = np.array([[1.0, 2], [np.nan, 4], [5, np.nan], [9, 9]])
    found = transform(replace(data_of(values), names=list("abcd")), missing="drop")
    assert (found.values.tolist(), found.names) == ([[1, 2], [9, 9]], ["a", "d"])
    assert found.rows is not None
    assert found.rows.tolist() == [0, 3]
    assert transform(data_of(values), missing="mean").values.tolist() == [[1, 2], [5, 4], [5, 5], [9, 9]]
    assert transform(data_of(values), missing="median").values.tolist() == [[1, 2], [5, 4], [5, 4], [9, 9]]
    with pytest.raises(InputFileError, match="0 of 2 rows have no missing value"):
        transform(data_of(values), missing="drop", transpose=True)
    with pytest.raises(InputFileError, match="feature 1 has no value: it has no mean"):
        transform(data_of([[1, np.nan], [2, np.nan]]), missing="mean")
    complete = data_of(values[[0, 3]])
    assert transform(complete, missing="drop").how == "t"


@pytest.mark.parametrize("options", [{"missing": "drop"}, {"transpose": True}, {"standardize": "zscore"}, {"pca": 1}])
def test_condensed_distances_are_not_transformed(tmp_path, options):
    np.save(tmp_path / "c.npy", np.arange(6.0))
    with pytest.raises(InputFileError, match="condensed distances, to which missing, transpose, standardize and pca"):
        read_points(tmp_path / "c.npy", **options)


def test_arrays_are_prepared_too(tmp_path):
    values = X.copy()
    values[3, 1] = np.nan
    np.save(tmp_path / "a.npy", values)
    job = Job(str(tmp_path / "a.npy"), tmp_path, missing="drop", standardize="zscore", exclude=(2,), pca=2)
    assert load(job).values.shape == (29, 2)
    with pytest.raises(InputFileError, match="row 3, column 1"):
        run(replace(job, missing="error", standardize=None, pca=None, out=tmp_path / "o"))


def test_a_run_leaves_labels_of_several_cuts_beside_the_input(table):
    out = table / "o"
    done = invoke(
        "run", table / "gaps.csv", "--missing", "drop", "--standardize", "zscore", "-m", "ward", "-k", "2,4",
        "--write", "clustered,newick,hclust", "--format", "svg,pdf", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    line = done.stderr.splitlines()[0]  # a slow linkage shows a bar below
    assert line.startswith("gpuclust: gaps.csv: 20 rows x 2 columns (a, b); first line is the header; row names")
    assert line.endswith("left out (text): note; 1 row with missing values left out; standardized (zscore)")
    with open(out / "labels.csv", newline="") as file:
        labels = list(csv.DictReader(file))
    assert [row["row"] for row in labels] == [str(i) for i in range(20) if i != 3]
    assert {row["clusters_2"] for row in labels} == {"1", "2"}
    assert {row["clusters_4"] for row in labels} == {"1", "2", "3", "4"}
    with open(out / "clustered.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "a", "b", "note", "clusters_2", "clusters_4"]
    assert [row[:4] for row in rows[1:]] == [line.split(",") for line in GAPS.splitlines()[1:]]
    assert rows[4][4:] == ["", ""]
    assert [row[4:] for row in rows[1:] if row[4]] == [[row["clusters_2"], row["clusters_4"]] for row in labels]
    Z = np.load(out / "Z.npy")
    found, names = from_newick((out / "tree.nwk").read_text())
    np.testing.assert_array_equal(found[:, 2:], Z[:, 2:])
    assert sorted(names) == sorted(row["name"] for row in labels)
    tree = json.loads((out / "hclust.json").read_text())
    assert (tree["method"], tree["dist.method"], tree["labels"][3]) == ("ward.D2", "euclidean", "r4")
    assert (out / "dendrogram.svg").read_text().startswith("<?xml")
    assert (out / "elbow.pdf").read_bytes().startswith(b"%PDF")
    assert not (out / "dendrogram.png").exists()
    record = json.loads((out / "run.json").read_text())
    assert record["result"]["cuts"] == {"clusters_2": 2, "clusters_4": 4}
    assert record["input"]["read_as"] == line.removeprefix("gpuclust: ")
    assert set(record["files"]) == {path.name for path in out.iterdir()}


def test_hclust_is_the_tree():
    Z = gpuclust.linkage(X, "average")
    tree = to_hclust(Z, None, "average", "euclidean")
    members = {-i: {i} for i in range(1, 31)}
    place = {leaf: at for at, leaf in enumerate(tree["order"])}
    for merge, (left, right) in enumerate(tree["merge"], start=1):
        members[merge] = members[left] | members[right]
        at = sorted(place[leaf] for leaf in members[merge])
        assert at == list(range(at[0], at[0] + len(at))), "the leaves of a cluster are neighbours"
        assert len(members[merge]) == Z[merge - 1, 3]
    assert tree["height"] == Z[:, 2].tolist()


@pytest.mark.parametrize("name", ["a.npy", "a.parquet"])
def test_clustered_csv_of_other_files(tmp_path, name):
    if name == "a.npy":
        np.save(tmp_path / name, X[:5, :2])
        head = "0,1,label"
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        columns = {"label": [f"=r{i}" for i in range(5)], "a": X[:5, 0], "b": X[:5, 1], "day": [None] * 5}
        parquet.write_table(pyarrow.table(columns), tmp_path / name)
        head = "label,a,b,day,gpuclust_label"
    options = ["-k", 2, "--write", "clustered", "--no-plots", "--standardize", "minmax", "--out", tmp_path / "o"]
    done = invoke("run", tmp_path / name, *options)
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "o" / "clustered.csv").read_text().splitlines()
    assert lines[0] == head
    assert str(X[0, 0]) in lines[1]
    assert name == "a.npy" or lines[1].startswith("'=r0,")


def test_clustered_csv_needs_rows(tmp_path):
    np.save(tmp_path / "c.npy", np.arange(6.0))
    done = invoke("run", tmp_path / "c.npy", "-k", 2, "--write", "clustered", "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "condensed distances, and clustered.csv repeats the rows of a table" in done.stderr


def test_json_and_standard_input(table):
    program = [
        sys.executable,
        "-m",
        "gpuclust",
        "run",
        "-",
        "-k",
        "2",
        "--json",
        "--no-plots",
        "--out",
        str(table / "o"),
    ]
    done = subprocess.run(program, input=TABLE.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["input"]["path"] == "-"
    assert record["input"]["shape"] == [20, 2]
    assert done.stderr.decode().startswith("gpuclust: stdin.csv: 20 rows x 2 columns (a, b)")
    assert record["sha256"] == json.loads((table / "o" / "run.json").read_text())["sha256"]
    done = invoke("plan", "-", "--exclude", "b", input=TABLE)
    assert done.exit_code == 0, done.output
    assert "20 observations, points of 1 features" in done.output
    done = invoke("run", "-", "--out", table / "p", "--no-plots", input=b"")
    assert done.exit_code == 2
    assert "stdin.csv: is empty" in done.stderr


def test_manifests_take_the_same_options(table):
    (table / "m.csv").write_text(
        'path,missing,clusters,standardize,exclude,write\ngaps.csv,drop,"2,3",zscore,b,newick\nt.csv,,2,,,\n'
    )
    done = invoke("batch", table / "m.csv", "--out", table / "o", "--plots", "none", "--workers", 1)
    assert done.exit_code == 0, done.output
    record = json.loads((table / "o" / "gaps" / "run.json").read_text())
    assert record["parameters"]["clusters"] == [2, 3]
    assert record["input"]["shape"] == [19, 1]
    assert {"labels.csv", "tree.nwk", "report.html"} <= set(record["files"])
    page = (table / "o" / "gaps" / "report.html").read_text()
    assert "--missing drop --standardize zscore" in page.replace("\n", " ") or "--missing" in page
    assert "clusters_3 = gpuclust.fcluster(Z, 3," in page.replace("&#39;", "'")
    again = invoke("batch", table / "m.csv", "--out", table / "o", "--plots", "none", "--workers", 1)
    assert "2 unchanged" in again.output


def test_compare_and_plan_take_the_reading_options(table):
    done = invoke("plan", table / "gaps.csv", "--missing", "mean", "--pca", 1)
    assert "20 observations, points of 1 features" in done.output
    assert "19 observations" in invoke("plan", table / "gaps.csv").output
    assert invoke("plan", table / "gaps.csv", "--missing", "error").exit_code == 2
    (table / "d.txt").write_text("3\nA\nB 1\nC 2 3\n")
    done = invoke("plan", table / "d.txt", "--precomputed")
    assert "3 observations, condensed dissimilarities" in done.output
    done = invoke("compare", table / "t.csv", "-k", "2,3")
    assert (done.exit_code, "one number for compare" in done.stderr) == (2, True)
