"""`gpuclust.cluster`: tables of every library, labels with their index, missing values, and what a result offers."""

from __future__ import annotations

import decimal
import json
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import gpuclust
from gpuclust import ClusterWarning, cluster, linkage
from gpuclust.core.tables import read_table
from gpuclust.core.text import displayed
from gpuclust.hierarchy import fcluster, from_newick
from gpuclust.plotting import clustermap

ROWS = [[1.0, 2.0, 1.0], [1.5, 2.0, 0.0], [8.0, 9.0, 1.0], [8.0, 9.5, 1.0]]
NAMES = ["a", "b", "c", "d"]


def halves(labels: Any) -> bool:
    """Whether the first two rows are one cluster, and the last two the other."""
    a, b, c, d = list(labels)
    return a == b != c == d


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    pyplot.close("all")


def pandas_frames() -> dict[str, Any]:
    pd = pytest.importorskip("pandas")
    plain = pd.DataFrame(ROWS, columns=["x", "y", "z"], index=NAMES)
    mixed = plain.assign(x=plain.x.astype("float32"), y=[2, 2, 9, 10], z=[True, False, True, True])
    objects = plain.assign(x=plain.x.astype(object), y=[decimal.Decimal(2), 2.0, np.int8(9), 9.5])
    return {
        "float": plain,
        "mixed": mixed,
        "nullable": mixed.convert_dtypes(),
        "objects": objects,
        "text beside": plain.assign(kind=["u", "v", "u", "v"], when=pd.date_range("2020", periods=4)),
        "categories": plain.assign(kind=pd.Categorical([1, 2, 1, 2])),
        "two headings alike": plain.set_axis(["x", "x", "z"], axis=1),
    }


@pytest.mark.parametrize(
    "kind", ["float", "mixed", "nullable", "objects", "text beside", "categories", "two headings alike"]
)
def test_frames_of_pandas(kind):
    pd = pytest.importorskip("pandas")
    frame = pandas_frames()[kind]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = cluster(frame, k=2)
    assert isinstance(found.labels, pd.Series)
    assert found.labels.index.tolist() == NAMES
    assert halves(found.labels)
    assert found.names == NAMES
    left_out = {"text beside": {"kind": "text", "when": "dates"}, "categories": {"kind": "categories"}}
    assert found.left_out == left_out.get(kind, {})
    assert [w.category for w in caught] == [ClusterWarning] * bool(found.left_out)
    numbers = frame.iloc[:, :3].astype(float).to_numpy()
    assert (linkage(numbers, "average") == found.Z).all()


def test_frames_of_arrow_types():
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    table = pa.table({"x": [1, 2, 8, 9], "y": [1.5, None, 9.0, 9.5], "z": [True] * 4, "t": list("abcd")})
    with pytest.warns(ClusterWarning, match="'t' \\(text\\)"):
        found = cluster(table, k=2, missing="mean")
    assert halves(found.labels)
    assert isinstance(found.labels, np.ndarray)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    with pytest.warns(ClusterWarning):
        again = cluster(frame, k=2, missing="mean")
    assert (again.Z == found.Z).all()
    assert again.names is None, "a RangeIndex names nothing"
    with pytest.warns(ClusterWarning):
        batch = cluster(table.to_batches()[0], missing="mean")
    assert (batch.Z == found.Z).all()


def test_frames_of_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {"x": [1, 2, 8, None], "y": [1.5, 2.0, 9.0, 9.5], "z": [True, False, True, None], "t": list("abcd")}
    )
    with pytest.warns(ClusterWarning):
        found = cluster(frame, k=[2, 3], missing="median")
    assert isinstance(found.labels, pl.DataFrame)
    assert found.labels.columns == ["clusters_2", "clusters_3"]
    with pytest.warns(ClusterWarning):
        labels = cluster(frame, k=2, missing="median").labels
    assert isinstance(labels, pl.Series)
    assert halves(labels)
    with pytest.raises(TypeError, match=r"LazyFrame, which has no rows yet: pass X.collect\(\)"):
        cluster(frame.lazy())
    nw = pytest.importorskip("narwhals")
    with pytest.warns(ClusterWarning):
        assert (cluster(nw.from_native(frame), missing="median").Z == found.Z).all()


def test_annotated_data_and_data_arrays():
    """By their attributes: the packages need not be installed."""
    pd = pytest.importorskip("pandas")

    class Sparse(SimpleNamespace):
        def toarray(self):
            return np.array(ROWS)

    for values in (np.array(ROWS), Sparse()):
        names = pd.Index(NAMES, name="cell")
        annotated = SimpleNamespace(obs_names=names, var_names=pd.Index(["g", "h", "i"]), X=values)
        found = cluster(annotated, k=2)
        assert found.labels.index.equals(names)
        assert found.columns == ["g", "h", "i"]
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(ROWS, dims=("cell", "gene"), coords={"cell": NAMES})
    found = cluster(array, k=2)
    assert found.labels.dims == ("cell",)
    assert found.labels.cell.values.tolist() == found.names == NAMES
    both = cluster(array.to_dataset("gene"), k=[2, 3]).labels
    assert list(both) == ["clusters_2", "clusters_3"]


def test_missing_values_are_named_by_row_and_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(ROWS, columns=["x", "y", "z"], index=NAMES).astype("Float64")
    frame.loc["c", "y"] = pd.NA
    with pytest.raises(ValueError, match=r"1 missing value in 1 row, the first in row 2 \('c'\), column 'y'"):
        cluster(frame)
    dropped = cluster(frame, k=2, missing="drop")
    assert dropped.labels.index.tolist() == ["a", "b", "d"]
    assert dropped.rows.tolist() == [0, 1, 3]
    assert dropped.names == ["a", "b", "d"]
    frame["label"] = dropped.labels  # aligned by the index
    assert frame.label.isna().tolist() == [False, False, True, False]
    filled = cluster(frame[["x", "y", "z"]], missing="mean")
    assert filled.Z[:, 3].max() == 4
    with pytest.raises(ValueError, match=r"X has no value in column 'y': it has no median"):
        cluster(pd.DataFrame({"x": [1.0, 2.0], "y": np.full(2, np.nan)}), missing="median")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1, 2, "?"], "y": [1, 2, 3]}, r"row 2, column 'x' is '\?' \(text\)"),
        ({"x": ["u", "v", "w"]}, r"X has no column of real numbers: 'x' \(text\)"),
        ({"x": np.array([None] * 3)}, r"no column of real numbers: 'x' \(no values\)"),
        ({"x": [1j, 2, 3]}, r"no column of real numbers: 'x' \(complex numbers\)"),
    ],
)
def test_columns_that_are_no_numbers(columns, message):
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=message):
        cluster(pd.DataFrame(columns))


def test_arrays_have_arrays_of_labels():
    found = cluster(np.array(ROWS), "ward", k=2, standardize="zscore", names=NAMES)
    assert isinstance(found.labels, np.ndarray)
    assert found.labels.dtype == np.int32
    values = np.array(ROWS)
    assert (linkage((values - values.mean(0)) / values.std(0), "ward") == found.Z).all()
    assert found.plan.algorithm
    assert found.names == NAMES
    several = found.cut(distance=[0.1, 100.0]).labels
    assert several.shape == (2, 4)
    assert several[1].tolist() == [1, 1, 1, 1]
    assert cluster(ROWS).labels is None
    assert cluster(ROWS).sizes == {}
    assert found.cut(k=3, min_size=2).labels.tolist().count(0) == 2
    cubes = linkage(gpuclust.pdist(ROWS, "minkowski", p=3), "average")
    assert (cubes == cluster(ROWS, metric="minkowski", p=3).Z).all()


def test_names_follow_the_rows_that_are_left():
    values = np.array(ROWS)
    values[1, 0] = np.nan
    assert cluster(values, missing="drop", names=NAMES).names == ["a", "c", "d"]


def test_precomputed_distances():
    pd = pytest.importorskip("pandas")
    square = gpuclust.squareform(gpuclust.pdist(ROWS))
    frame = pd.DataFrame(square, index=NAMES, columns=NAMES)
    found = cluster(frame, metric="precomputed", k=2)
    assert found.labels.index.tolist() == NAMES
    assert (linkage(gpuclust.pdist(ROWS), "average") == found.Z).all()
    assert (cluster(gpuclust.pdist(ROWS), metric="precomputed").Z == found.Z).all()
    with pytest.raises(ValueError, match="condensed distances take metric='precomputed'"):
        cluster(gpuclust.pdist(ROWS))
    with pytest.raises(ValueError, match="distances were given"):
        found.heatmap()
    assert "multidimensional scaling" in found.scatter().get_title()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 2, "distance": 1.0}, "not both"),
        ({"k": 9}, "k must be a whole number from 1 to 4"),
        ({"k": []}, "k must name at least one cut"),
        ({"distance": -1.0}, "distance must be a height >= 0"),
        ({"missing": "skip"}, "Unknown missing 'skip'"),
        ({"standardize": "z"}, "Unknown standardize 'z'"),
        ({"metric": "precomputed", "p": 3}, "mean nothing to metric 'precomputed'"),
        ({"names": ["a"]}, "names must be a sequence of 4 labels"),
        (
            {"standardize": "log1p", "X": [[-2.0], [1.0]]},
            "log1p needs values above -1, but X has -2 in row 0, column 0",
        ),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cluster(**{"X": ROWS, **arguments})


def test_text_form_fits_a_line():
    found = cluster(np.random.default_rng(0).random((300, 3)), k=40)
    text = repr(found)
    assert text.startswith("Clustering(n=300, method='average', metric='euclidean', clusters=40, sizes=[")
    assert len(text) < 150
    assert "\n" not in text
    assert "data:image/svg+xml;base64," in found._repr_html_()
    assert displayed(text) == text


def test_pictures_and_exports(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(ROWS, columns=["x", "y", "z"], index=["a", "b b", "c", "d"])
    found = cluster(frame, "ward", k=2)
    assert found.plot().get_title().startswith("Dendrogram of 4 samples")
    assert found.scatter(pyplot.figure().subplots()).get_xlabel().startswith("principal component 1")
    drawn = found.heatmap()
    assert drawn.rows.tolist() == gpuclust.leaves_list(found.Z).tolist()
    assert drawn.column_linkage.shape == (2, 4)
    page = found.report(tmp_path / "found.html").read_text()
    assert "ward linkage of 4 points with 3 features, euclidean distances" in " ".join(page.split())
    assert "into 2 clusters" in page
    assert "run.json" not in page
    assert sorted(from_newick(found.to_newick())[1]) == ["a", "b b", "c", "d"]
    assert "b_b:" in found.to_newick(quote="never")
    assert "'a':" in found.to_newick(quote="always")
    with pytest.raises(ValueError, match="quote"):
        found.to_newick(quote="some")
    tree = json.loads(json.dumps(found.to_hclust()))
    assert tree["method"] == "ward.D2"
    assert tree["labels"] == ["a", "b b", "c", "d"]
    assert 1 <= found.suggestions["largest gap"].k <= 4


@pytest.mark.parametrize("scale", [None, "rows", "columns"])
def test_clustermap(scale):
    values = np.random.default_rng(0).random((30, 5)) * [1, 10, 100, 1000, 1]
    drawn = clustermap(values, "complete", k=3, scale=scale)
    shown = values
    if scale is not None:
        axis = 1 if scale == "rows" else 0
        shown = (values - values.mean(axis, keepdims=True)) / values.std(axis, keepdims=True)
    assert np.allclose(drawn.row_linkage, linkage(shown, "complete"))
    (image,) = next(ax for ax in drawn.figure.axes if ax.images and ax.images[0].get_array().shape == (30, 5)).images
    assert np.allclose(image.get_array(), shown[drawn.rows][:, drawn.columns])
    kept = clustermap(values, cluster_columns=False, figsize=(4, 5), cmap="magma")
    assert kept.columns.tolist() == [0, 1, 2, 3, 4]
    assert kept.column_linkage is None
    assert kept.figure.get_size_inches().tolist() == [4, 5]


def test_clustermap_of_many_rows_shows_means():
    values = np.random.default_rng(0).random((5000, 3))
    drawn = clustermap(values, "ward")
    (image,) = next(ax for ax in drawn.figure.axes if ax.images and ax.images[0].get_array().shape[0] > 1).images
    assert image.get_array().shape == (2000, 3)
    assert np.allclose(image.get_array()[0], values[drawn.rows[:2]][:, drawn.columns].mean(0))


def test_labels_are_those_of_fcluster():
    values = np.random.default_rng(1).random((50, 2))
    found = cluster(values, "complete", "cityblock", distance=0.4)
    assert (found.labels == fcluster(linkage(values, "complete", "cityblock"), 0.4, "distance")).all()


def test_a_table_is_not_copied_where_it_is_an_array():
    values = np.random.default_rng(1).random((5, 2))
    assert read_table(values).values is values
