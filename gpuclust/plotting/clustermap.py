"""A heat map of a table whose rows and columns are in the order of their trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpuclust.compute import compute
from gpuclust.core.arguments import one_of, whole_number
from gpuclust.core.names import MetricLike
from gpuclust.core.real_arrays import to_host
from gpuclust.core.tables import Table, completed, read_table
from gpuclust.core.text import displayed
from gpuclust.hierarchy.cut import fcluster
from gpuclust.hierarchy.ordering import leaf_positions, leaves_list
from gpuclust.plotting.style import GREY, cluster_colors, link_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of rows or columns of the image, of merges in a dendrogram, and of names beside rows or columns.
_PIXELS, _MERGES, _NAMES = 2000, 1000, 60
_SCALES = ("rows", "columns")


class ClusterMap(NamedTuple):
    """A drawn heat map, with the trees of its rows and columns.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    row_linkage : ndarray of shape (n - 1, 4)
    column_linkage : ndarray of shape (m - 1, 4) or None
        None where columns keep their order.
    rows, columns : ndarray of int
        The order in which rows and columns are shown.

    Examples
    --------
    >>> from gpuclust import plotting
    >>> drawn = plotting.clustermap([[0.0, 5.0], [9.0, 2.0], [0.2, 4.0]], cluster_columns=False)
    >>> drawn.column_linkage is None
    True
    """

    figure: Figure
    row_linkage: np.ndarray
    column_linkage: np.ndarray | None
    rows: np.ndarray
    columns: np.ndarray


def clustermap(
    X: Any,
    method: str = "average",
    metric: MetricLike = "euclidean",
    *,
    k: int | None = None,
    scale: str | None = None,
    cluster_columns: bool = True,
    figsize: tuple[float, float] | None = None,
    cmap: Any = None,
) -> ClusterMap:
    """Draw a table as a heat map, with rows and columns in the order of their dendrograms.

    Parameters
    ----------
    X : array_like or DataFrame, of shape (n, m)
        A table, read as by `gpuclust.cluster`; missing values are refused.
    method, metric
        Linkage and metric of rows and columns, as for `gpuclust.linkage`.
    k : int, optional
        Number of clusters of the rows, shown by a bar of their colours.
    scale : {"rows", "columns"}, optional
        Show z-scores of each row or column, and cluster these.
    cluster_columns : bool
        Whether columns are clustered too; otherwise they keep their order.
    figsize : tuple of float, optional
        Width and height in inches.
    cmap : str or matplotlib.colors.Colormap, optional
        By default "RdBu_r" for z-scores, centred at 0, otherwise "viridis".

    Returns
    -------
    ClusterMap
        The figure, both linkage matrices, and the order of rows and columns.

    Raises
    ------
    ValueError, TypeError
        As `gpuclust.cluster`, and for a ``scale``, ``figsize`` or ``cmap`` that is not valid.

    Notes
    -----
    Of more than 2,000 rows (or columns) the image shows the means of neighbours, and the dendrogram its last 1,000
    merges.

    Examples
    --------
    >>> from gpuclust import plotting
    >>> drawn = plotting.clustermap([[0.0, 5.0, 0.1], [9.0, 2.0, 8.0], [0.2, 4.0, 0.3]])
    >>> drawn.rows.tolist()
    [1, 0, 2]
    """
    table = completed(read_table(X), "error")
    values = to_host(table.values)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"X must have shape (n, m) with at least two rows, got {values.shape}.")
    if scale is not None:
        one_of(scale, "scale", _SCALES)
        values = _scores(values.astype(np.float64), 1 if scale == "rows" else 0)
    table = Table(values, table.names, table.columns)
    Z = compute(values, method, metric).Z
    labels = None if k is None else fcluster(Z, whole_number(k, "k", 1, len(values)), "maxclust")
    return draw_clustermap(
        table,
        Z,
        labels,
        method,
        metric=metric if cluster_columns else None,
        scaled=scale is not None,
        figsize=figsize,
        cmap=cmap,
    )


def draw_clustermap(
    table: Table,
    Z: np.ndarray,
    labels: np.ndarray | None,
    method: str,
    *,
    metric: MetricLike | None = "euclidean",
    scaled: bool = False,
    figsize: tuple[float, float] | None = None,
    cmap: Any = None,
    figure: Figure | None = None,
) -> ClusterMap:
    """Draw a heat map of rows that are clustered already; columns are, unless ``metric`` is None.

    ``figure`` is a figure to draw in, by default one of pyplot.
    """
    values = np.asarray(table.values, dtype=np.float64)
    rows, columns, of_columns = leaves_list(Z), np.arange(values.shape[1]), None
    if metric is not None and values.shape[1] > 1:
        of_columns = compute(np.ascontiguousarray(values.T), method, metric).Z
        columns = leaves_list(of_columns)
    image = _means(_means(values[rows][:, columns], 0), 1)
    colors, limits = _color_map(cmap, scaled, image)
    n, m = values.shape
    figure = _new_figure() if figure is None else figure
    figure.set_size_inches(_size(figsize, n, m))
    widths, heights = (0.18, 0.02 * (labels is not None), 0.8), (0.14 * (of_columns is not None) + 0.04, 0.82)
    grid = figure.add_gridspec(
        2,
        3,
        width_ratios=[max(w, 1e-3) for w in widths],
        height_ratios=heights,
        wspace=0.02,
        hspace=0.02,
        left=0.04,
        right=1 - _margin(table.names, n, figure.get_figwidth()),
        top=0.97,
        bottom=_margin(table.columns, m, figure.get_figheight()),
    )
    heat = figure.add_subplot(grid[1, 2])
    drawn = heat.imshow(
        image, aspect="auto", cmap=colors, vmin=limits[0], vmax=limits[1], extent=(0, m, n, 0), interpolation="none"
    )
    _name(heat, table, rows, columns)
    _dendrogram(figure.add_subplot(grid[1, 0]), Z, labels, "left")
    if labels is not None:
        _bar(figure.add_subplot(grid[1, 1]), labels[rows])
    if of_columns is not None:
        _dendrogram(figure.add_subplot(grid[0, 2]), of_columns, None, "top")
    key = figure.add_axes((0.03, 0.9, 0.1, 0.02))
    figure.colorbar(drawn, cax=key, orientation="horizontal", label="z-score" if scaled else "value")
    key.tick_params(labelsize="small")
    return ClusterMap(figure, Z, of_columns, rows, columns)


def paint_scores(
    ax: Axes, values: npt.NDArray[Any], names: Any, columns: Any, Z: np.ndarray, labels: Any, method: str
) -> None:
    """Draw the z-scores of points in place of ``ax``: those of columns, whatever their units are."""
    figure: Any = ax.figure
    figure.set_layout_engine("none")
    figure.clear()
    scores = _scores(np.asarray(values, dtype=np.float64), 0)
    ordered = scores.shape[1] <= _PIXELS and np.isfinite(scores).all()
    draw_clustermap(
        Table(scores, names, columns),
        Z,
        labels,
        method,
        metric="euclidean" if ordered else None,
        scaled=True,
        figure=figure,
    )


def _new_figure() -> Figure:
    from matplotlib import pyplot

    return pyplot.figure()


def _scores(values: np.ndarray, axis: int) -> np.ndarray:
    """Values less the mean, divided by the standard deviation, along an axis; 0 where there is no spread.

    Missing values (NaN) remain.
    """
    spread = np.nanstd(values, axis=axis, keepdims=True)
    constant = np.nanmax(values, axis=axis, keepdims=True) == np.nanmin(values, axis=axis, keepdims=True)
    scores = (values - np.nanmean(values, axis=axis, keepdims=True)) / np.where(constant | (spread == 0), 1.0, spread)
    return np.where(constant, 0.0, scores)


def _means(values: np.ndarray, axis: int) -> np.ndarray:
    """Means of neighbours along an axis, where there are more than the image shows."""
    length = values.shape[axis]
    if length <= _PIXELS:
        return values
    starts = np.linspace(0, length, _PIXELS, endpoint=False).astype(np.int64)
    counts = np.diff(np.append(starts, length))
    return np.add.reduceat(values, starts, axis=axis) / (counts[:, None] if axis == 0 else counts)


def _color_map(cmap: Any, scaled: bool, image: np.ndarray) -> tuple[Any, tuple[float, float]]:
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if not (cmap is None or isinstance(cmap, Colormap) or (isinstance(cmap, str) and cmap in colormaps)):
        raise ValueError(f"cmap must be a colour map of Matplotlib, or its name, got {cmap!r:.80}.")
    if scaled:
        most = float(np.nanquantile(np.abs(image), 0.99)) or 1.0
        return cmap or "RdBu_r", (-most, most)
    return cmap or "viridis", (float(image.min()), float(image.max()))


def _size(figsize: Any, n: int, m: int) -> tuple[float, float]:
    if figsize is None:
        return float(np.clip(4 + 0.25 * m, 7, 14)), float(np.clip(3 + 0.18 * n, 6, 14))
    try:
        width, height = (float(side) for side in figsize)
    except (TypeError, ValueError, OverflowError):
        width = height = 0.0
    if not (0 < width < 1000 and 0 < height < 1000):
        raise ValueError(f"figsize must be the width and height in inches, got {figsize!r:.80}.")
    return width, height


def _margin(names: list[str] | None, count: int, inches: float) -> float:
    """The part of a figure that names beside rows or columns take."""
    if count > _NAMES:
        return 0.02
    longest = 4 if names is None else min(30, max(map(len, names), default=0))
    return float(min(0.4, (0.2 + 0.07 * longest) / inches))


def _name(ax: Axes, table: Table, rows: np.ndarray, columns: np.ndarray) -> None:
    """Write names of rows on the right and of columns below, where there is room."""
    ax.yaxis.tick_right()
    ax.set(xticks=[], yticks=[])
    if len(rows) <= _NAMES:
        names = [str(row) if table.names is None else displayed(table.names[row], most=30) for row in rows]
        ax.set_yticks(np.arange(len(rows)) + 0.5, names, fontsize="small")
    if len(columns) <= _NAMES:
        heads = [str(c) if table.columns is None else displayed(table.columns[c], most=30) for c in columns]
        ax.set_xticks(np.arange(len(columns)) + 0.5, heads, fontsize="small", rotation=90)
    ax.tick_params(length=0)


def _bar(ax: Axes, labels: npt.NDArray[Any]) -> None:
    """A bar of the colours of clusters."""
    from matplotlib.colors import ListedColormap

    found, places = np.unique(labels, return_inverse=True)
    of_label = cluster_colors(found)
    palette = ListedColormap([of_label[int(label)] for label in found])
    ax.imshow(
        places.reshape(-1, 1), aspect="auto", cmap=palette, vmin=-0.5, vmax=len(found) - 0.5, interpolation="none"
    )
    ax.set_axis_off()


def _dendrogram(ax: Axes, Z: np.ndarray, labels: np.ndarray | None, side: str) -> None:
    """Draw the last merges of a tree beside the heat map, leaves where its rows or columns are."""
    from matplotlib.collections import LineCollection

    n, first = len(Z) + 1, max(0, len(Z) - _MERGES)
    start, size = leaf_positions(Z)
    place, height = start + size / 2, np.concatenate((np.zeros(n), Z[:, 2]))
    height[n : n + first] = 0.0  # contracted
    lines = []
    for row in range(first, n - 1):
        left, right = sorted((int(Z[row, 0]), int(Z[row, 1])), key=lambda node: place[node])
        place[n + row] = (place[left] + place[right]) / 2
        top = height[n + row]
        corners = [
            (place[left], height[left]),
            (place[left], top),
            (place[right], top),
            (place[right], height[right]),
        ]
        lines.append(corners if side == "top" else [(y, x) for x, y in corners])
    color = (lambda node: GREY) if labels is None else link_colors(Z, labels, GREY)
    ax.add_collection(LineCollection(lines, colors=[color(n + row) for row in range(first, n - 1)], linewidths=0.8))
    most = float(height.max()) * 1.02 or 1.0
    if side == "top":
        ax.set(xlim=(0, n), ylim=(0, most))
    else:
        ax.set(ylim=(n, 0), xlim=(most, 0))
    ax.set_axis_off()
