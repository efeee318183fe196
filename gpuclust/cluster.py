"""`cluster`: from a table to labels in one call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from gpuclust.algorithms.table import AUTO
from gpuclust.clustering import Clustering, cuts_of
from gpuclust.compute import compute
from gpuclust.core import metrics
from gpuclust.core.arguments import label_list, one_of
from gpuclust.core.gower import gower, indicators
from gpuclust.core.names import MethodName, MetricLike
from gpuclust.core.observations import count
from gpuclust.core.progress import Progress
from gpuclust.core.real_arrays import to_host
from gpuclust.core.rounded import condense
from gpuclust.core.scaling import FILLED_BY, STANDARDIZE
from gpuclust.core.tables import Table, completed, read_table, standardized
from gpuclust.errors import ClusterWarning, warn


def cluster(
    X: Any,
    method: MethodName | str = "average",
    metric: MetricLike = "euclidean",
    k: Any = None,
    distance: Any = None,
    *,
    min_size: int = 1,
    missing: str = "error",
    standardize: str | None = None,
    names: Any = None,
    p: float | None = None,
    w: ArrayLike | None = None,
    V: ArrayLike | None = None,
    VI: ArrayLike | None = None,
    optimal_ordering: bool = False,
    device: str = "auto",
    dtype: str = "float64",
    progress: Progress = False,
    memory_limit: int | str | None = None,
    algorithm: str = AUTO,
) -> Clustering:
    """Cluster the rows of a table, and cut the tree: hierarchical clustering in one call.

    Parameters
    ----------
    X : array_like, DataFrame, Arrow table, AnnData or xarray object, of shape (n, m)
        Observations in rows. Columns of a table may have any type of number (nullable, Arrow, booleans, objects that
        are numbers); those of text, dates and categories are left out with a warning. With
        ``metric="precomputed"`` distances: shape (n, n), or condensed (n (n - 1) / 2,).
    method : {"single", "complete", "average", "weighted", "ward", "centroid", "median"}
        The linkage.
    metric : str or callable
        Any metric of `gpuclust.distance.pdist`, ``"precomputed"``, or ``"gower"``: Gower's dissimilarity of columns
        of numbers and of categories (text too), from 0 to 1, for which missing values need not be filled in: the mean
        over columns of ``|x - y| / range`` for numbers, and of 0 or 1 for equal or different categories; columns in
        which x or y is missing do not count. It takes 4 n² bytes.
    k : int or sequence of int, optional
        Number of clusters (fewer, where merges of equal height cannot be told apart); several for a column of labels
        each.
    distance : float or sequence of float, optional
        Height at which the tree is cut, or several; not together with ``k``. Without either the tree is not cut.
    min_size : int
        Clusters of fewer observations are left out: their observations get label 0.
    missing : {"error", "drop", "mean", "median"}
        What is done with missing values: refuse them, leave out such rows, or fill in a statistic of the column.
    standardize : {"zscore", "minmax", "robust", "log1p"}, optional
        Scale each column: by mean and standard deviation, to the range from 0 to 1, by median and interquartile
        range; or take ``log(1 + x)`` of each value.
    names : sequence, optional
        Names of the n rows, for pictures and trees; by default the index of X.
    p, w, V, VI : optional
        Arguments of the metric, as for `gpuclust.distance.pdist`.
    optimal_ordering, device, dtype, progress, memory_limit, algorithm
        As for `linkage`.

    Returns
    -------
    Clustering
        Tree, labels with the index of X, pictures, report.

    Raises
    ------
    ValueError
        As `linkage`; for a column that mixes numbers with something else and, unless ``missing`` says otherwise,
        for missing values: the message names the first by row and column.
    TypeError
        An argument of the wrong type, a lazy frame, or a sparse matrix.
    DoesNotFit, BackendUnavailable
        As `linkage`.

    Warns
    -----
    ClusterWarning
        If columns were left out, since they hold no numbers.

    Examples
    --------
    >>> import gpuclust
    >>> found = gpuclust.cluster([[0.0], [1.0], [5.0], [7.0]], "ward", k=2)
    >>> found.labels
    array([1, 1, 2, 2], dtype=int32)
    >>> found
    Clustering(n=4, method='ward', metric='euclidean', clusters=2, sizes=[2, 2])
    """
    one_of(missing, "missing", ("error", "drop", *FILLED_BY))
    if standardize is not None:
        one_of(standardize, "standardize", STANDARDIZE)
    arguments = metrics.given(p=p, w=w, V=V, VI=VI)
    called = _called(metric)
    table = read_table(X, mixed=called == "gower")
    if names is not None:
        table = replace(table, names=[str(name) for name in label_list(names, count(table.values), "names")])
    if called in ("precomputed", "gower"):
        if arguments or standardize is not None or missing != "error":
            raise ValueError(f"p, w, V, VI, missing and standardize mean nothing to metric {called!r}.")
        table, metric = _distances(table) if called == "precomputed" else _by_gower(table), "euclidean"
    else:
        table = _points(table, missing, standardize)
    if table.left_out:
        said = ", ".join(f"{name!r} ({what})" for name, what in table.left_out.items())
        warn(f"Columns that hold no numbers are left out: {said}.", ClusterWarning)
    found = compute(
        table.values,
        method,
        metric,
        optimal_ordering,
        device=device,
        dtype=dtype,
        progress=progress,
        memory_limit=memory_limit,
        algorithm=algorithm,
        **arguments,
    )
    return Clustering(found.Z, found.plan, method, called, table, arguments, cuts_of(found.Z, k, distance, min_size))


def _called(metric: Any) -> str:
    if isinstance(metric, str) and metric.lower() in ("precomputed", "gower"):
        return metric.lower()
    known = metrics.resolve(metric)
    return known.name if isinstance(known, metrics.Metric) else getattr(metric, "__name__", "callable")


def _points(table: Table, missing: str, standardize: str | None) -> Table:
    if table.values.ndim != 2:
        raise ValueError(
            f"X must have shape (n, m), got {table.values.shape}; condensed distances take metric='precomputed'."
        )
    if len(table.values) < 2:
        raise ValueError(f"X must have at least two rows, got shape {table.values.shape}.")
    table = completed(table, missing)
    if len(table.values) < 2:
        raise ValueError(
            f"X has {len(table.values)} rows without missing values, and at least 2 are needed: "
            "missing='mean' or 'median' fills them in."
        )
    return table if standardize is None else standardized(table, standardize)


def _by_gower(table: Table) -> Table:
    """Gower's dissimilarities of a table, condensed; left out are columns of neither numbers nor categories."""
    used = [head for head, _ in table.categories()]
    left_out = {head: kind for head, kind in table.left_out.items() if head not in used}
    if table.values.ndim != 2 or len(table.values) < 2:
        raise ValueError(f"X must have shape (n, m) with at least two rows, got {table.values.shape}.")
    return replace(
        table,
        values=gower(table),
        columns=[*(table.columns or ()), *used] or None,
        left_out=left_out,
        profiled=partial(indicators, table),
    )


def _distances(table: Table) -> Table:
    """Condensed distances of a table that is a square matrix of them, or condensed already."""
    values = table.values
    if values.ndim == 2:
        if values.shape[0] != values.shape[1]:
            raise ValueError(f"X must be a square matrix of distances, got shape {values.shape}.")
        values = condense(to_host(values))
    return replace(table, values=values, columns=None)
