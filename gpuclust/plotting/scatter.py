"""The points of a clustering in the plane, each in the colour of its cluster."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpuclust.core.arguments import axes, whole_number
from gpuclust.core.real_arrays import real_array, to_host, typed_array
from gpuclust.core.text import displayed
from gpuclust.plotting.as_clustered import AS_THEY_ARE, View
from gpuclust.plotting.style import axes_or_current, cluster_colors, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Number of points above which a sample is drawn, and number of clusters up to which there is a legend.
_MOST_POINTS, _MOST_NAMED = 100_000, 12
#: Number of points or features, whichever is smaller, up to which principal axes are exact; otherwise they are those
#: of a sample of this size.
_EXACT_AXES = 2000
#: Colours of the rings around highlighted points, a group each.
_RINGS = ("0.1", "#d62728", "#e0a800")


def plot_clusters(
    X: npt.ArrayLike,
    labels: npt.ArrayLike,
    ax: Axes | None = None,
    highlight: Sequence[int] | Sequence[Sequence[int]] | np.ndarray | None = None,
    *,
    left_out: int | None = 0,
) -> Axes:
    """Scatter the points, each in the colour of its cluster.

    Parameters
    ----------
    X : array_like of shape (n, m)
        The points. Two features are plotted as they are, one as a strip for each cluster; of more, the first two
        principal components.
    labels : array_like of shape (n,), int
        Cluster of each point.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default pyplot's current axes.
    highlight : sequence of int, or of sequences of int, optional
        Indices of points to draw a ring around, or several groups of them, each with rings in a colour of its own.
    left_out : int or None
        The label of points that are in no cluster; they are grey. None if every label is a cluster (those of
        `cut_tree` start at 0).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `ax` is no axes, `highlight` no sequence, or `left_out` no whole number.
    ValueError
        If `X` is not a table of finite numbers, `labels` does not have a whole number for each point, or `highlight`
        holds an index that is out of range.

    Notes
    -----
    Of more than 100,000 points a random sample is drawn (always the same one, with at least some points of each
    cluster), and a line below the title says so; the principal components are then the sample's.

    Examples
    --------
    >>> from gpuclust import plotting
    >>> ax = plotting.plot_clusters([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]], [1, 1, 2])
    """
    axes(ax)
    left_out = None if left_out is None else whole_number(left_out, "left_out", -(2**63), 2**63 - 1)
    return scatter(X, labels, ax, highlight, left_out, AS_THEY_ARE)


def scatter(
    X: npt.ArrayLike,
    labels: npt.ArrayLike,
    ax: Axes | None,
    highlight: Any,
    left_out: int | None,
    view: View,
) -> Axes:
    """As `plot_clusters`, with a transformation of the points; see `gpuclust.plotting.as_clustered`."""
    from matplotlib.colors import to_rgb

    points, clusters = _checked_points(X, labels, finite=view is AS_THEY_ARE)
    groups = _checked_groups(highlight, len(points))
    names, cluster, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    cluster = cluster.reshape(-1)
    drawn = np.unique(np.concatenate([_sample(cluster, sizes), *groups]))
    place, axis_names = in_the_plane(view.change(points[drawn]), cluster[drawn], view.columns)

    ax = axes_or_current(ax)
    size = float(np.clip(600.0 / np.sqrt(len(drawn)), 1.5, 36.0))  # square points
    is_cluster = np.ones(len(names), dtype=bool) if left_out is None else names != left_out
    by_label = cluster_colors(names, left_out)
    colors = np.array([to_rgb(by_label[int(name)]) for name in names])
    # One collection in the points' own order: no cluster lies on top of all others.
    order = np.argsort(is_cluster[cluster[drawn]], kind="stable")
    x, y = place[order].T
    many = len(drawn) > 2000
    ax.scatter(x, y, s=size, c=colors[cluster[drawn][order]], alpha=0.85, linewidths=0, rasterized=many)
    for group, color in zip(groups, cycle(_RINGS)):
        x, y = place[np.searchsorted(drawn, group)].T
        ax.scatter(x, y, s=max(4 * size, 40.0), facecolors="none", edgecolors=color, linewidths=1.4, zorder=3)

    tidy(ax, "both")
    ax.set_xlabel(axis_names[0], parse_math=False)
    ax.set_ylabel(axis_names[1], parse_math=False)
    count = int(is_cluster.sum())
    title = f"{len(points):,} points in {count:,} cluster{'s' * (count != 1)}"
    title += "" if len(drawn) == len(points) else f" ({len(drawn):,} drawn)"
    ax.set_title(f"{title}\n{view.note}" if view.note else title)
    if count <= _MOST_NAMED:
        _name_clusters(ax, names, sizes, colors, is_cluster)
    return ax


def _name_clusters(
    ax: Axes, names: np.ndarray, sizes: np.ndarray, colors: np.ndarray, is_cluster: np.ndarray
) -> None:
    from matplotlib.lines import Line2D

    order = np.argsort(~is_cluster, kind="stable")  # what is left out comes last
    handles = [Line2D([], [], marker="o", linestyle="none", markersize=7, color=colors[i]) for i in order]
    texts = [f"{names[i] if is_cluster[i] else 'left out'} ({sizes[i]:,})" for i in order]
    ax.legend(
        handles,
        texts,
        title="cluster (points)",
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        alignment="left",
    )


def _checked_points(X: npt.ArrayLike, labels: npt.ArrayLike, finite: bool) -> tuple[np.ndarray, np.ndarray]:
    points, clusters = to_host(real_array(X, "X")), _cluster_numbers(labels)
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"X must be a table of numbers, points x features, got shape {points.shape}")
    if clusters.ndim == 2 and clusters.shape[1] == 1:
        clusters = clusters[:, 0]  # as cut_tree returns them
    if clusters.shape != points.shape[:1] or clusters.dtype.kind not in "biu":
        raise ValueError(
            f"labels must be {len(points):,} whole numbers, one for each point, "
            f"got shape {clusters.shape}, {clusters.dtype}"
        )
    if finite and points.dtype.kind == "f" and not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"X must be finite, but point {row} holds NaN or infinity")
    return points, clusters


def _cluster_numbers(labels: Any) -> np.ndarray:
    """Labels as an array; numbers that are whole as integers (of a nullable Series, say)."""
    array = to_host(typed_array(labels, "labels", TypeError))
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(
            f"labels must be whole numbers: entry {int(np.isnan(array).ravel().argmax())} is missing, or NaN."
        )
    if array.dtype.kind == "f" and getattr(labels, "dtype", None) != array.dtype and (array == np.floor(array)).all():
        return array.astype(np.int64)
    return array


def _checked_groups(highlight: Any, n: int) -> list[np.ndarray]:
    """The groups of points to highlight, each as indices from 0 to n - 1."""
    if highlight is None:
        return []
    allowed = "highlight must be a sequence of indices of points, or of such sequences"
    if isinstance(highlight, (str, bytes)):
        raise TypeError(f"{allowed}, got {highlight!r:.80}.")
    try:
        given = list(highlight)
        nested = bool(given) and np.ndim(given[0]) > 0
        groups = [np.asarray(group) for group in (given if nested else [given])]
    except (TypeError, ValueError):
        raise TypeError(f"{allowed}, got {highlight!r:.80}.") from None
    groups = groups if given else []
    for group in groups:
        if group.ndim != 1 or (group.size and group.dtype.kind not in "iu"):
            raise ValueError(f"{allowed}, got shape {group.shape}, {group.dtype}")
        wrong = group[(group < -n) | (group >= n)]
        if len(wrong):
            raise ValueError(f"highlight holds the index {wrong[0]}, but there are {n} points")
    return [group.astype(np.int64) % n for group in groups]


def _sample(cluster: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the points to draw: the same fraction of each cluster, but of small ones all they have
    up to a quarter of an even share."""
    n = len(cluster)
    if n <= _MOST_POINTS:
        return np.arange(n)
    shuffled = np.random.default_rng(0).permutation(n)
    order = shuffled[np.argsort(cluster[shuffled], kind="stable")]  # by cluster, at random within one
    rank = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    floor = _MOST_POINTS // (4 * len(sizes))
    quota = np.maximum(floor, sizes * (0.75 * _MOST_POINTS / n))
    return np.sort(order[rank < quota[cluster[order]]])


def in_the_plane(
    points: np.ndarray, cluster: np.ndarray, columns: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, str]]:
    """Two coordinates of each point, and their names; ``columns`` are the names of the features."""
    points = points.astype(np.float64)
    names = (
        [f"feature {i}" for i in range(2)] if columns is None else [displayed(name, most=60) for name in columns[:2]]
    )
    if points.shape[1] == 1:
        return np.column_stack((points[:, 0], cluster)), (names[0], "cluster, in order of its label")
    if points.shape[1] == 2:
        return points, (names[0], names[1])
    points -= points.mean(axis=0)
    total = float((points**2).sum())
    if total == 0.0:
        return points[:, :2], ("principal component 1", "principal component 2")
    rows = points
    if min(points.shape) > _EXACT_AXES:
        rows = points[np.random.default_rng(0).choice(len(points), _EXACT_AXES, replace=False)]
    if rows.shape[0] < rows.shape[1]:  # the smaller of the two Gram matrices has the same eigenvalues
        _, vectors = np.linalg.eigh(rows @ rows.T)
        axes = rows.T @ vectors[:, -2:]
    else:
        _, axes = np.linalg.eigh(rows.T @ rows)
        axes = axes[:, -2:]
    axes = np.linalg.qr(axes[:, ::-1])[0]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), (0, 1)] < 0, -1.0, 1.0)  # the same picture on every machine
    place = points @ axes
    shares = (place**2).sum(axis=0) / total
    first, second = (f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares))
    return place, (first, second)
