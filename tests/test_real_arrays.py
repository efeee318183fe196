"""Conversion of inputs by content, the same in every function: errors name the cell that is not a number."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
import scipy.sparse
import scipy.spatial.distance as scipy_distance

import gpuclust
from gpuclust import AgglomerativeClustering, distance, hierarchy, plotting
from gpuclust.core.real_arrays import real_array

pandas = pytest.importorskip("pandas")

TABLE = {"a": [1, 2, 9, 4], "b": [3, 4, 5, 0], "c": [1, 0, 1, 1]}
POINTS = np.column_stack([np.array(column, dtype=float) for column in TABLE.values()])


def frame(missing: Any = None, **columns: Any) -> Any:
    return pandas.DataFrame({**TABLE, **columns})


ACCEPTED: dict[str, Any] = {
    "int, bool and float columns": frame(b=[3.0, 4, 5, 0], c=[True, False, True, True]),
    "Int64": frame().astype("Int64"),
    "Float64": frame().astype("Float64"),
    "boolean": frame(c=pandas.array([True, False, True, True], dtype="boolean")),
    "pyarrow": frame().convert_dtypes(dtype_backend="pyarrow"),
    "object columns": frame().astype(object),
    "categories that are numbers": frame(c=pandas.Categorical(TABLE["c"])),
    "objects": POINTS.astype(object),
    "Decimal, Fraction, numbers of NumPy": [
        [Decimal(1), Fraction(3), np.float32(1)],
        [np.int8(2), 4, False],
        [9.0, np.uint64(5), np.bool_(True)],
        [np.array(4), Decimal("0.0"), np.longdouble(1)],
    ],
    "nested tuples": tuple(map(tuple, POINTS.tolist())),
    "float16": POINTS.astype(np.float16),
    "longdouble": POINTS.astype(np.longdouble),
    "matrix": POINTS.view(np.matrix),
    "masked, nothing masked": np.ma.masked_array(POINTS, mask=False),
    "big-endian": POINTS.astype(">f8"),
}
try:
    import polars
except ImportError:
    pass
else:
    ACCEPTED["polars"] = polars.DataFrame({**TABLE, "c": [True, False, True, True]})

#: What is refused, the error, and what it has to say.
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "missing in Int64": (
        frame(b=pandas.array([3, 4, None, 0], dtype="Int64")),
        ValueError,
        "row 2, column 'b' is missing",
    ),
    "missing in boolean": (
        frame(c=pandas.array([True, None, True, True], dtype="boolean")),
        ValueError,
        "row 1, column 'c' is missing",
    ),
    "None": ([*POINTS.astype(object).tolist()[:3], [1, None, 3]], ValueError, "row 3, column 1 is missing"),
    "text column": (frame(b=list("wxyz")), ValueError, r"row 0, column 'b' is 'w' \(text\)"),
    "dates among numbers": (
        frame(b=pandas.date_range("2020", periods=4)),
        ValueError,
        "row 0, column 'b' is Timestamp",
    ),
    "dates": (pandas.DataFrame({"t": pandas.date_range("2020", periods=4)}), ValueError, "dtype datetime64.*dates"),
    "time differences": (np.ones((4, 2), dtype="timedelta64[s]"), ValueError, "dtype timedelta64.*time differences"),
    "complex": (POINTS + 1j, ValueError, "dtype complex128: complex numbers"),
    "complex object": ([[1, 2 + 1j], [Decimal(1), 2]], ValueError, "row 0, column 1 is complex"),
    "text": (np.array([["a", "b"], ["1", "2"]]), ValueError, "dtype <U1: text"),
    "bytes": (np.array([[b"a", b"b"]]), ValueError, "dtype .S1: bytes"),
    "records": (np.zeros(3, dtype="i4,f8"), ValueError, "records"),
    "ragged": ([[1, 2], [3]], ValueError, "row 0 holds 2 entries, row 1 1 entries"),
    "lists in cells": (pandas.Series([[1, 2], [3, 4]]), ValueError, "entry 0 is list of 2"),
    "too large an integer": ([[1, 2], [3, 10**400]], ValueError, "row 1, column 1 is too large for float64"),
    "too large a long double": (
        np.array([[1, np.longdouble("1e4000")]]),
        ValueError,
        "row 0, column 1 is 1e\\+4000, too large",
    ),
    "masked": (np.ma.masked_equal(POINTS, 9), ValueError, "1 masked values .the first: row 2, column 0"),
    "sparse matrix": (
        scipy.sparse.csr_matrix(POINTS),
        TypeError,
        r"sparse matrices are not supported; pass .{1,2}.toarray\(\)",
    ),
    "sparse array": (
        scipy.sparse.coo_array(POINTS),
        TypeError,
        r"sparse matrices are not supported; pass .{1,2}.toarray\(\)",
    ),
    "nothing": (None, ValueError, "must be an array of real numbers, got None"),
    "a generator": ((row for row in POINTS), ValueError, "must be an array of real numbers, got <generator"),
    "a dict": (TABLE, ValueError, "must be an array of real numbers, got {"),
}
if np.finfo(np.longdouble).max == np.finfo(np.float64).max:  # some platforms have no other
    del REFUSED["too large a long double"]

#: Every function of points, and the same by SciPy.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "linkage": (gpuclust.linkage, scipy_hierarchy.linkage),
    "ward": (gpuclust.ward, scipy_hierarchy.ward),
    "pdist": (distance.pdist, scipy_distance.pdist),
    "cdist": (lambda X: distance.cdist(X, X), lambda X: scipy_distance.cdist(X, X)),
    "cdist, second": (lambda X: distance.cdist(POINTS, X), lambda X: scipy_distance.cdist(POINTS, X)),
    "nearest_neighbors": (
        lambda X: distance.nearest_neighbors(X, 3)[0],
        lambda X: np.sort(scipy_distance.cdist(X, X), axis=1)[:, 1:],
    ),
    "fclusterdata": (
        lambda X: hierarchy.fclusterdata(X, 2, "maxclust"),
        lambda X: scipy_hierarchy.fclusterdata(X, 2, "maxclust"),
    ),
    "cophenetic_correlation": (
        lambda X: hierarchy.cophenetic_correlation(scipy_hierarchy.linkage(POINTS), X),
        lambda X: scipy_hierarchy.cophenet(scipy_hierarchy.linkage(X), scipy_distance.pdist(X))[0],
    ),
    "optimal_leaf_ordering": (
        lambda X: hierarchy.optimal_leaf_ordering(scipy_hierarchy.linkage(POINTS), X),
        lambda X: hierarchy.optimal_leaf_ordering(scipy_hierarchy.linkage(X), X),
    ),
    "suggest_k": (
        lambda X: hierarchy.suggest_k(scipy_hierarchy.linkage(POINTS), X)["silhouette"].score,
        lambda X: hierarchy.suggest_k(scipy_hierarchy.linkage(X), X)["silhouette"].score,
    ),
    "plot_clusters": (
        lambda X: plotting.plot_clusters(X, [1, 2, 1, 2]).get_title(),
        lambda X: "4 points in 2 clusters",
    ),
    "estimator": (lambda X: AgglomerativeClustering(2).fit(X).linkage_matrix_, scipy_hierarchy.ward),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_all_real_numbers_is_taken(name: str) -> None:
    ours, theirs = FUNCTIONS[name]
    expected = theirs(POINTS)
    for what, given in ACCEPTED.items():
        if (name, what) == ("estimator", "matrix"):
            continue  # scikit-learn refuses them
        found = ours(given)
        if isinstance(expected, str):
            assert found == expected, what
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=what)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_is_named_by_its_cell(case: str) -> None:
    given, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^X.*{message}"):
        real_array(given, "X")
    if case == "a generator":
        return
    for name, (function, _) in FUNCTIONS.items():
        if given is None and name == "suggest_k":
            continue  # no points: no silhouette
        by_sklearn = name == "estimator" and case != "masked"  # in its own words
        with pytest.raises((ValueError, TypeError) if by_sklearn else error, match=None if by_sklearn else message):
            function(given)


def test_columns_of_any_name() -> None:
    names = ["nnz", "toarray", "column_names"]
    table = pandas.DataFrame(POINTS, columns=names)
    np.testing.assert_array_equal(real_array(table, "X"), POINTS)
    with pytest.raises(ValueError, match="row 0, column 'column_names' is missing"):
        real_array(table.astype(object).replace({1.0: None}).iloc[:, ::-1], "X")


def test_estimator_reads_neither_text_nor_masked_cells() -> None:
    with pytest.raises(ValueError, match=r"row 0, column 0 is '1.0' .text"):
        AgglomerativeClustering(2).fit(POINTS.astype(str).astype(object))


def test_missing_values_of_a_frame_are_called_so() -> None:
    with pytest.raises(ValueError, match=r"got nan \(a missing value\) in row 2, column 'b'"):
        gpuclust.linkage(frame(b=[3.0, 4, None, 0]))
    with pytest.raises(ValueError, match=r"got nan in row 2, column 1"):
        gpuclust.linkage(frame(b=[3.0, 4, None, 0]).to_numpy())


def test_arrays_are_not_copied() -> None:
    for array in (POINTS, POINTS.astype(np.float32), POINTS.astype(int), POINTS > 2, POINTS[::2, ::-1]):
        assert real_array(array, "X") is array
    assert np.shares_memory(real_array(POINTS.view(np.matrix), "X"), POINTS)


def test_functions_of_points_get_what_they_were_given() -> None:
    """A Python function may be of anything; where all are numbers it gets numbers."""
    words = np.array([["a"], ["b"], ["a"]], dtype=object)
    np.testing.assert_array_equal(distance.pdist(words, lambda x, y: float(x[0] != y[0])), [1, 0, 1])
    np.testing.assert_allclose(
        distance.pdist(ACCEPTED["Int64"], lambda x, y: np.linalg.norm(x - y)), scipy_distance.pdist(POINTS)
    )
    with pytest.raises(TypeError, match="sparse"):
        distance.pdist(scipy.sparse.csr_matrix(POINTS), lambda x, y: 1.0)


def test_condensed_distances_and_square_ones() -> None:
    y = scipy_distance.pdist(POINTS)
    Z = scipy_hierarchy.linkage(y)
    for given in (y.astype(object), pandas.Series(y, dtype="Float64"), [Decimal(float(value)) for value in y]):
        np.testing.assert_array_equal(gpuclust.linkage(given), Z)
        np.testing.assert_array_equal(distance.squareform(given), scipy_distance.squareform(y))
        np.testing.assert_array_equal(hierarchy.cophenet(Z, given)[1], scipy_hierarchy.cophenet(Z))
        assert hierarchy.correspond(Z, given)
        assert distance.num_obs_y(given) == 4
    square = pandas.DataFrame(scipy_distance.squareform(y)).astype("Float64")
    np.testing.assert_array_equal(distance.squareform(square), y)
    assert distance.is_valid_dm(square)
    assert distance.num_obs_dm(square) == 4
    with pytest.raises(ValueError, match="X must hold real numbers: entry 1 is missing"):
        distance.squareform([1, None, 2])
    for function in (distance.squareform, distance.num_obs_dm, distance.is_valid_dm):
        with pytest.raises(TypeError, match="sparse"):
            function(scipy.sparse.csr_matrix(np.eye(3)))
    with pytest.raises(ValueError, match="masked"):
        distance.squareform(np.ma.masked_equal([1, 2, 3], 2))


def test_linkage_matrices() -> None:
    Z = scipy_hierarchy.linkage(POINTS)
    table = pandas.DataFrame(Z, columns=["left", "right", "height", "size"])
    mixed = table.astype({"left": "Int64", "right": "Int64", "height": "Float64", "size": "Int64"})
    for given in (table, mixed, table.convert_dtypes(dtype_backend="pyarrow"), Z.astype(object), Z.tolist()):
        for function in (
            lambda Z: hierarchy.fcluster(Z, 2, "maxclust"),
            hierarchy.leaves_list,
            hierarchy.cophenet,
            hierarchy.cut_tree,
            lambda Z: hierarchy.dendrogram(Z, no_plot=True)["leaves"],
            hierarchy.to_newick,
        ):
            np.testing.assert_array_equal(function(given), function(Z))
    assert not hierarchy.is_valid_linkage(Z.astype(object))  # SciPy's verdict
    mixed.loc[1, "height"] = None
    with pytest.raises(TypeError, match="row 1, column 'height' is missing"):
        hierarchy.fcluster(mixed, 2, "maxclust")
    np.testing.assert_array_equal(
        hierarchy.fcluster(Z, 1, "monocrit", monocrit=Z[:, 2].tolist()),
        hierarchy.fcluster(Z, 1, "monocrit", monocrit=table["height"]),
    )
    with pytest.raises(TypeError, match="monocrit must hold real numbers"):
        hierarchy.fcluster(Z, 1, "monocrit", monocrit=["a", "b", "c"])


# ------------------------------------------------------------------------------------------------------- labels

NAMES = ["w", "x", "y", "z"]
LABELS: dict[str, Any] = {
    "list": NAMES,
    "tuple": tuple(NAMES),
    "array": np.array(NAMES),
    "Index": pandas.Index(NAMES),
    "Series, by position": pandas.Series(NAMES, index=[3, 1, 0, 2]),
    "dict by id": {3: "z", 2: "y", 1: "x", 0: "w", 7: "none"},
    "generator": lambda: (name for name in NAMES),
    "bytes": [name.encode() for name in NAMES],
    "array of bytes": np.array(NAMES, dtype="S1"),
    "text": "wxyz",
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind: str) -> None:
    given = LABELS[kind]
    Z = scipy_hierarchy.linkage(POINTS)
    leaves = scipy_hierarchy.leaves_list(Z)
    for function in (
        lambda labels: hierarchy.dendrogram(Z, labels=labels, no_plot=True)["ivl"],
        lambda labels: plotting.fancy_dendrogram(Z, labels=labels)["ivl"],
        lambda labels: np.array(hierarchy.from_newick(hierarchy.to_newick(Z, labels))[1]),
    ):
        assert list(function(given() if callable(given) else given)) == [NAMES[i] for i in leaves]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (NAMES[:3], ValueError, "got 3 labels for 4 observations"),
        ({0: "w", 1: "x", 3: "z"}, ValueError, "the key 2 is missing"),
        (set(NAMES), TypeError, "got set"),
        (b"wxyz", TypeError, "got bytes"),
        (7, TypeError, "got int"),
        (np.array([NAMES]), TypeError, r"got ndarray of shape \(1, 4\)"),
        (pandas.DataFrame({name: [1] for name in NAMES}), TypeError, r"got DataFrame of shape \(1, 4\)"),
    ],
)
def test_labels_that_cannot_be_used(labels: Any, error: type[Exception], message: str) -> None:
    Z = scipy_hierarchy.linkage(POINTS)
    for function in (
        lambda labels: hierarchy.dendrogram(Z, labels=labels, no_plot=True),
        lambda labels: plotting.fancy_dendrogram(Z, labels=labels),
        lambda labels: hierarchy.to_newick(Z, labels),
    ):
        with pytest.raises(error, match=f"^labels must be a sequence of 4 labels.*{message}"):
            function(labels)


def test_cluster_labels_of_a_nullable_series() -> None:
    labels = pandas.Series([1, 2, 1, 2], dtype="Int64", index=[3, 2, 1, 0])
    assert plotting.plot_clusters(POINTS, labels).get_title() == "4 points in 2 clusters"
    with pytest.raises((TypeError, ValueError), match=r"labels must .* numbers: entry 1 is missing"):
        plotting.plot_clusters(POINTS, pandas.Series([1, None, 1, 2], dtype="Int64"))


# ------------------------------------------------------------------------------------------------------ metrics


@pytest.mark.parametrize("metric", [None, 3, ["euclidean"], b"euclidean"])
def test_a_metric_is_a_name_or_a_function(metric: Any) -> None:
    """None was euclidean in older versions of scikit-learn; X was then taken for distances if it was square."""
    square = POINTS[:3]
    for function in (
        lambda: gpuclust.linkage(square, "average", metric),
        lambda: gpuclust.linkage(square, "ward", metric),
        lambda: distance.pdist(square, metric),
        lambda: distance.cdist(square, square, metric),
        lambda: distance.nearest_neighbors(square, 1, metric),
        lambda: hierarchy.fclusterdata(square, 2, metric=metric),
        lambda: hierarchy.fclusterdata(square, 2, metric=metric, method="ward"),
        lambda: gpuclust.plan(10, 2, "average", metric),
        lambda: AgglomerativeClustering(2, metric=metric, linkage="average").fit(square),
        lambda: AgglomerativeClustering(2, metric=metric, linkage="ward").fit(square),
    ):
        with pytest.raises(TypeError, match=r"metric must be the name of a metric.*, got .*euclidean.*minkowski"):
            function()


def test_metrics_of_other_programs_come_with_advice() -> None:
    for function in (
        lambda metric: distance.pdist(POINTS, metric),
        lambda metric: gpuclust.linkage(POINTS, "average", metric),
        lambda metric: AgglomerativeClustering(2, linkage="average", metric=metric).fit(POINTS),
    ):
        with pytest.raises(ValueError, match=r"Haversine distances take two features, latitude and longitude, got 3"):
            function("haversine")
    np.testing.assert_array_equal(distance.pdist(POINTS, "manhattan"), distance.pdist(POINTS, "cityblock"))
    with pytest.raises(ValueError, match="condensed distances instead of points"):
        gpuclust.linkage(POINTS, "average", "precomputed")
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        distance.pdist(POINTS, "cosin")


def test_condensed_distances_for_the_estimator() -> None:
    y = scipy_distance.pdist(POINTS)
    for given in (y, y.tolist(), pandas.Series(y)):
        with pytest.raises(ValueError, match=r"gpuclust\.distance\.squareform makes a matrix"):
            AgglomerativeClustering(2, metric="precomputed", linkage="average").fit(given)
    with pytest.raises(TypeError, match="metric_params must be a dict or None, got 3"):
        AgglomerativeClustering(2, metric_params=3).fit(POINTS)
