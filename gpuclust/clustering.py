"""`Clustering`: a tree of clusters with labels, names and pictures, the result of `gpuclust.cluster`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuclust.core.arguments import real_numbers, whole_number
from gpuclust.core.metrics import METRICS
from gpuclust.core.real_arrays import to_host
from gpuclust.core.tables import Table
from gpuclust.hierarchy.cut import fcluster, separating_height
from gpuclust.hierarchy.hclust import to_hclust
from gpuclust.hierarchy.newick import to_newick
from gpuclust.hierarchy.suggest import Suggestion, suggest_k
from gpuclust.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gpuclust.plotting.as_clustered import View
    from gpuclust.plotting.clustermap import ClusterMap
    from gpuclust.report.page import Page

#: Number of cluster sizes in the text form of a result.
_LISTED = 8


class Cut(NamedTuple):
    """A cut of a tree: criterion and threshold of `fcluster`, smallest size, and labels of shape (n,)."""

    criterion: str
    threshold: float
    min_size: int
    labels: np.ndarray

    def __str__(self) -> str:
        value = f"{self.threshold:g}"
        words = f"into {value} cluster{'s' * (value != '1')}" if self.criterion == "maxclust" else f"at {value}"
        return words if self.min_size == 1 else f"{words}, clusters below {self.min_size} left out"


@dataclass(frozen=True, eq=False, repr=False)
class Clustering:
    """A tree of clusters, cut or not, with the names of what was clustered: the result of `cluster`.

    Attributes
    ----------
    Z : ndarray of shape (n - 1, 4), float64
        Linkage matrix, as `linkage` returns it.
    plan : Plan
        Algorithm, device and memory.
    method, metric : str
        The linkage, and the metric, "gower" or "precomputed".
    names : list of str or None
        Names of the observations: the index of the input, where it has one that does not merely count rows.
    columns : list of str or None
        Names of the columns that were used.
    left_out : dict of str to str
        Columns that hold no numbers, and what they hold.
    rows : ndarray of shape (n,), int, or None
        Positions in the input, where rows with missing values were left out.

    Examples
    --------
    >>> import gpuclust
    >>> found = gpuclust.cluster([[0.0], [1.0], [5.0], [7.0]], k=2)
    >>> found.sizes
    {1: 2, 2: 2}
    >>> found.to_newick()
    '((0:1.0,1:1.0):4.5,(2:2.0,3:2.0):3.5);'
    """

    Z: np.ndarray
    plan: Plan
    method: str
    metric: str
    table: Table
    arguments: dict[str, Any]
    cuts: dict[str, Cut]

    @property
    def names(self) -> list[str] | None:
        return self.table.names

    @property
    def columns(self) -> list[str] | None:
        return self.table.columns

    @property
    def left_out(self) -> dict[str, str]:
        return self.table.left_out

    @property
    def rows(self) -> np.ndarray | None:
        return self.table.rows

    @property
    def labels(self) -> Any:
        """Clusters of the observations, from 1; None if the tree is not cut.

        A Series with the index of a DataFrame, a Series of polars, a DataArray of xarray; otherwise an ndarray of
        shape (n,), int32. Of several cuts a DataFrame with a column each, or an ndarray of shape (c, n). 0 stands for
        observations in clusters smaller than ``min_size``.
        """
        if not self.cuts:
            return None
        found = {title: cut.labels for title, cut in self.cuts.items()}
        return self.table.wrap(found if len(found) > 1 else next(iter(found.values())), self.rows)

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters of the (first) cut; None without one."""
        return None if self._first is None else int(self._first.labels.max())

    @property
    def sizes(self) -> dict[int, int]:
        """Number of observations by label, of the (first) cut."""
        if self._first is None:
            return {}
        found, counts = np.unique(self._first.labels, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    @cached_property
    def suggestions(self) -> dict[str, Suggestion]:
        """Numbers of clusters that several methods suggest; see `gpuclust.hierarchy.suggest_k`."""
        points = None if self._points is None or self.arguments else self._points
        return suggest_k(self.Z, points, metric=self.metric)

    def cut(self, k: Any = None, distance: Any = None, *, min_size: int = 1) -> Clustering:
        """Cut the tree again, without clustering again.

        Parameters
        ----------
        k, distance, min_size
            As for `cluster`; exactly one of ``k`` and ``distance``.

        Returns
        -------
        Clustering
            The same tree with other labels.

        Raises
        ------
        TypeError, ValueError
            As `cluster`.

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0], [1.0], [5.0], [7.0]])
        >>> found.cut(k=3).labels
        array([1, 1, 2, 3], dtype=int32)
        """
        if k is None and distance is None:
            raise ValueError("Give k, a number of clusters, or distance, a height to cut at.")
        return replace(self, cuts=cuts_of(self.Z, k, distance, min_size))

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the dendrogram, links in the colours of their clusters.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default pyplot's current axes.
        **options
            Arguments of `gpuclust.plotting.fancy_dendrogram`.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> found.plot(annotate_above=0).get_ylabel()
        'distance'
        """
        from gpuclust.plotting import fancy_dendrogram
        from gpuclust.plotting.style import axes_or_current

        ax = axes_or_current(ax)
        options = {"max_d": self._height, "leaf_rotation": 90.0, "annotate_above": np.inf, **options}
        if self._first is None:
            options.setdefault("color_threshold", 0.0)
        else:
            options.setdefault("clusters", self._first.labels)
        if self.names is not None:
            options.setdefault("labels", self.names)
        fancy_dendrogram(self.Z, ax=ax, **options)
        return ax

    def scatter(self, ax: Axes | None = None) -> Axes:
        """Scatter the points as they were clustered, in the colours of their clusters.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default pyplot's current axes.

        Returns
        -------
        matplotlib.axes.Axes

        Notes
        -----
        Points are scaled or turned as by their metric. For precomputed distances they come from multidimensional
        scaling.

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> ax = found.scatter()
        """
        from gpuclust.plotting.scatter import scatter

        points, view = self._to_scatter()
        labels = np.ones(len(points), dtype=np.int32) if self._first is None else self._first.labels
        return scatter(points, labels, ax, None, 0, view)

    def heatmap(self, **options: Any) -> ClusterMap:
        """Draw the values as a heat map, rows in the order of the tree, beside the dendrogram.

        Parameters
        ----------
        **options
            ``metric`` of the columns, None to keep their order; ``figsize`` and ``cmap`` as for
            `gpuclust.plotting.clustermap`.

        Returns
        -------
        ClusterMap

        Raises
        ------
        ValueError
            Distances were clustered: metric "precomputed" or "gower".

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> drawn = found.heatmap(metric=None, figsize=(5, 4))
        """
        from gpuclust.plotting.clustermap import draw_clustermap

        if self._points is None:
            raise ValueError("There are no values to draw: distances were given, or computed by metric 'gower'.")
        labels = None if self._first is None else self._first.labels
        known = self.metric in METRICS and not self.arguments
        options.setdefault("metric", self.metric if known else "euclidean")
        return draw_clustermap(replace(self.table, values=self._points), self.Z, labels, self.method, **options)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a self-contained HTML page: drawings, sizes, suggested numbers of clusters.

        Parameters
        ----------
        path : path
            The file; one of this name is replaced.

        Returns
        -------
        Path

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> found.report("report.html").name
        'report.html'
        """
        file = Path(path)
        file.write_text(self._page(file.stem).html(), encoding="utf-8")
        return file

    def to_newick(self, *, quote: str = "auto") -> str:
        """Return the tree in Newick form; see `gpuclust.hierarchy.to_newick`.

        Parameters
        ----------
        quote : {"auto", "always", "never"}
            Which names are put in quotation marks.

        Returns
        -------
        str

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> found.to_newick()
        '((0:1.0,1:1.0):6.905694150420948,(2:2.0,3:2.0):5.905694150420948);'
        """
        return to_newick(self.Z, self.names, quote=quote)

    def to_hclust(self) -> dict[str, Any]:
        """Return the tree as the fields of an ``hclust`` object of R: merge, height, order, labels, method.

        Written as JSON, ``jsonlite::fromJSON`` reads it, and ``class(tree) <- "hclust"`` makes it a tree of R.

        Returns
        -------
        dict

        Examples
        --------
        >>> import gpuclust
        >>> found = gpuclust.cluster([[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [7.0, 0.0]], "ward", k=2)
        >>> found.to_hclust()["merge"]
        [[-1, -2], [-3, -4], [1, 2]]
        """
        return to_hclust(self.Z, self.names, self.method, self.metric)

    def __repr__(self) -> str:
        parts = [f"n={len(self.Z) + 1}", f"method={self.method!r}", f"metric={self.metric!r}"]
        if self._first is not None:
            sizes = [size for label, size in self.sizes.items() if label]
            more = ", ..." if len(sizes) > _LISTED else ""
            parts += [f"clusters={len(sizes)}", f"sizes=[{', '.join(map(str, sizes[:_LISTED]))}{more}]"]
        return f"Clustering({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """A dendrogram and the sizes of the clusters, for notebooks."""
        from gpuclust.report.page import snippet

        labels = None if self._first is None else self._first.labels
        return snippet(repr(self), self.Z, self._height, self.names, labels)

    @property
    def _first(self) -> Cut | None:
        return next(iter(self.cuts.values()), None)

    @property
    def _points(self) -> np.ndarray | None:
        return to_host(self.table.values) if self.table.values.ndim == 2 else None

    @property
    def _height(self) -> float | None:
        """Height of the line that shows the cut."""
        cut = self._first
        return None if cut is None else separating_height(self.Z, cut.criterion, cut.threshold, int(cut.labels.max()))

    def _to_scatter(self) -> tuple[np.ndarray, View]:
        """What a scatter plot shows, and its transformation."""
        from gpuclust.plotting.as_clustered import view_of, view_of_distances

        points, given = self._points, self.arguments
        if points is None:
            return view_of_distances(to_host(self.table.values))
        known = self.metric if self.metric in METRICS else "euclidean"
        return points, view_of(points, known, given.get("p"), given.get("w"), self.columns)

    def _page(self, title: str) -> Page:
        from gpuclust.report.assessment import assess, distances_among
        from gpuclust.report.page import Page

        points = self._points
        condensed = to_host(self.table.values) if points is None else None
        drawn, view = self._to_scatter()
        profiled = None if self.table.profiled is None else self.table.profiled()
        return Page(
            title=title,
            method=self.method,
            metric=self.metric,
            Z=self.Z,
            assessment=assess(self.Z, points, condensed, self.metric, self.arguments),
            p=self.arguments.get("p"),
            weighted="w" in self.arguments,
            labels=None if self._first is None else self._first.labels,
            cut=None if self._first is None else str(self._first),
            height=self._height,
            names=self.names,
            points=drawn,
            features=None if points is None else points.shape[1],
            view=view,
            distances=lambda chosen: distances_among(
                condensed if points is None else points, chosen, self.metric, self.arguments
            ),
            columns=self.columns if profiled is None else profiled[1],
            values=None if profiled is None else profiled[0],
            min_size=1 if self._first is None else self._first.min_size,
            rows=self.rows,
        )


def cuts_of(Z: np.ndarray, k: Any, distance: Any, min_size: int) -> dict[str, Cut]:
    """Cut a tree: labels by heading, "cluster" for one cut, and ``clusters_5`` or ``distance_0.5`` for several."""
    min_size = whole_number(min_size, "min_size", 1)
    if k is not None and distance is not None:
        raise ValueError("Give k, a number of clusters, or distance, a height to cut at; not both.")
    if k is None and distance is None:
        return {}
    if k is not None:
        several = not np.isscalar(k) and np.ndim(k) > 0
        given = [whole_number(value, "k", 1, len(Z) + 1) for value in (np.asarray(k).tolist() if several else [k])]
        criterion, title = "maxclust", "clusters"
    else:
        heights = real_numbers(distance, "distance")
        if (heights < 0).any():
            raise ValueError(f"distance must be a height >= 0, got {distance!r}.")
        several, given, criterion, title = heights.ndim > 0, heights.ravel().tolist(), "distance", "distance"
    if not given:
        raise ValueError(f"{'k' if k is not None else 'distance'} must name at least one cut, got {[]}.")
    return {
        f"{title}_{value:.15g}" if several else "cluster": Cut(
            criterion, value, min_size, fcluster(Z, value, criterion, min_size=min_size)
        )
        for value in given
    }
