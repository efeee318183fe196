"""Figures of a tree: an annotated dendrogram, and the elbow of the last merges.

Each function draws on given axes, or on pyplot's current ones, and leaves showing and saving to the caller. No global
setting of Matplotlib is changed.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpuclust.core.arguments import axes, label_list, real_number
from gpuclust.hierarchy.cut import fcluster
from gpuclust.hierarchy.dendrogram import dendrogram, palette_is_default
from gpuclust.hierarchy.dendrogram_labels import annotate_heights
from gpuclust.hierarchy.validity import as_linkage
from gpuclust.plotting.scatter import plot_clusters
from gpuclust.plotting.style import GREY, PALETTE, axes_or_current, link_colors, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fancy_dendrogram", "plot_clusters", "plot_elbow"]

#: A dendrogram of more observations is truncated to this many leaves unless the caller says otherwise.
_FULL_UP_TO, _LEAVES = 100, 30
#: Number of leaves above which they have no labels, which could not be read, and take seconds to draw.
_MOST_LEAF_LABELS = 300


def fancy_dendrogram(
    Z: npt.ArrayLike,
    *,
    max_d: float | None = None,
    annotate_above: float = 0.0,
    ax: Axes | None = None,
    title: str | None = None,
    clusters: npt.ArrayLike | None = None,
    **dendrogram_kwargs: Any,
) -> dict[str, Any]:
    """Draw a dendrogram with the heights of its merges, and with the line at which it is cut.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4), float64
        Linkage matrix.
    max_d : float, optional
        Height of the cut. A line is drawn there, with the number of clusters that it leaves
        (``fcluster(Z, max_d, "distance")``), and each of them gets a colour.
    annotate_above : float
        Heights are written at merges above this one (the 150 highest, where there is room).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default pyplot's current axes.
    title : str, optional
        By default it says how many observations and merges are shown; ``""`` for none.
    clusters : array_like of shape (n,), int, optional
        Cluster of each observation, 0 for those in none: links within a cluster get its colour, the one that
        `plot_clusters` gives it, and the others are grey.
    **dendrogram_kwargs
        Any other argument of `dendrogram`. Other defaults than there: with more than 100 observations
        ``truncate_mode="lastp"``; ``show_contracted=True``; ``no_labels=True`` with more than 300 leaves; links above
        the threshold are grey, and no cluster is (unless `set_link_color_palette` has set colours).

    Returns
    -------
    dict
        As `dendrogram` returns it.

    Raises
    ------
    ValueError, TypeError
        As `dendrogram`, and for a ``max_d`` or ``annotate_above`` that is no number.

    Notes
    -----
    After the "fancy dendrogram" of J. Hees, "SciPy Hierarchical Clustering and Dendrogram Tutorial" (2015).

    Examples
    --------
    >>> from gpuclust import linkage, plotting
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> drawn = plotting.fancy_dendrogram(Z, max_d=3.0)
    >>> drawn["leaves"]
    [0, 1, 2, 3]
    """
    from matplotlib.collections import EllipseCollection

    axes(ax)
    max_d = None if max_d is None else real_number(max_d, "max_d", finite=True)
    annotate_above = real_number(annotate_above, "annotate_above")
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a str or None, got {title!r}.")
    unknown = set(dendrogram_kwargs) - set(signature(dendrogram).parameters)
    if unknown:
        raise TypeError(f"dendrogram takes no argument {min(unknown)!r}.")
    Z = as_linkage(Z, cast=False)
    if dendrogram_kwargs.get("labels") is not None:  # an iterator can be read once
        dendrogram_kwargs["labels"] = label_list(dendrogram_kwargs["labels"], len(Z) + 1)
    options = _with_defaults(dendrogram_kwargs, Z, max_d, clusters)
    if options.get("no_plot"):
        return dendrogram(Z, **options)
    if "no_labels" not in options:
        leaves = len(dendrogram(Z, **{**options, "no_plot": True})["ivl"])
        options["no_labels"] = leaves > _MOST_LEAF_LABELS
    ax = axes_or_current(ax)
    before = set(ax.collections)
    tree = dendrogram(Z, ax=ax, **options)
    for drawn in set(ax.collections) - before:
        drawn.set(linewidth=1.5 if len(tree["ivl"]) <= _MOST_LEAF_LABELS else 0.8, capstyle="round")
        if isinstance(drawn, EllipseCollection):  # the merges hidden in leaves: a shade behind the links
            drawn.set(facecolor="0.6", alpha=0.4, zorder=1.5, linewidth=0)
            _explain_marks(ax)

    _name_axes(ax, tree, len(Z), options, title)
    orientation = options.get("orientation", "top")
    upright = orientation in ("top", "bottom")
    if max_d is not None and max_d > max((ax.yaxis if upright else ax.xaxis).get_view_interval()):
        low, high = (0.0, 1.05 * max_d) if orientation in ("top", "right") else (1.05 * max_d, 0.0)
        (ax.set_ylim if upright else ax.set_xlim)(low, high)
    annotate_heights(ax, tree, Z, orientation, max_d, annotate_above)
    return tree


def _with_defaults(
    options: dict[str, Any], Z: np.ndarray, max_d: float | None, clusters: npt.ArrayLike | None
) -> dict[str, Any]:
    """Arguments of `dendrogram`, with the defaults of `fancy_dendrogram` for those that are not given."""
    given = set(options)
    options = dict(options)
    if len(Z) >= _FULL_UP_TO and "truncate_mode" not in options:
        options["truncate_mode"] = "lastp"
        options.setdefault("p", _LEAVES)
    options.setdefault("show_contracted", True)
    options.setdefault("above_threshold_color", GREY)
    own_colors = {"palette", "color_threshold", "link_color_func"} & given
    if clusters is None and max_d is not None and palette_is_default() and not own_colors:
        clusters = fcluster(Z, max_d, "distance")  # so that a scatter plot of these labels has the same colours
    if clusters is not None:
        options.setdefault("link_color_func", link_colors(Z, clusters, options["above_threshold_color"]))
    if palette_is_default():
        options.setdefault("palette", PALETTE)
    if max_d is not None:
        # A merge exactly at the cut stays together, in fcluster too; a link exactly at the threshold is above it.
        options.setdefault("color_threshold", np.nextafter(max_d, np.inf))
    return options


def _name_axes(ax: Axes, tree: dict[str, Any], merges: int, options: dict[str, Any], title: str | None) -> None:
    """Label the axes of a dendrogram, and set its title."""
    orientation = options.get("orientation", "top")
    upright = orientation in ("top", "bottom")
    tidy(ax, "y" if upright else "x")
    ax.spines["bottom" if upright else "left"].set_visible(False)
    contracted = len(tree["icoord"]) < merges
    named_by_caller = bool(options.get("leaf_label_func"))
    leaf_name = "sample" if named_by_caller or options.get("labels") is not None else "sample index"
    if contracted and options.get("show_leaf_counts", True) and not named_by_caller:
        leaf_name += " or (cluster size)"
    leaf_axis, height_axis = (ax.xaxis, ax.yaxis) if upright else (ax.yaxis, ax.xaxis)
    leaf_axis.set_label_text(leaf_name)
    height_axis.set_label_text("distance")
    if orientation == "bottom":
        ax.xaxis.set_label_position("top")
    elif orientation == "left":
        ax.yaxis.set_label_position("right")
    if title is None:
        which = "the last " if options.get("truncate_mode") == "lastp" else ""
        shown = f"{which}{len(tree['icoord']):,} of {merges:,} merges" if contracted else f"{merges:,} merges"
        title = f"Dendrogram of {merges + 1:,} samples: {shown}"
    ax.set_title(title)


def _explain_marks(ax: Axes) -> None:
    """Add a legend for the marks of the merges within contracted branches."""
    from matplotlib.lines import Line2D

    mark = Line2D([], [], linestyle="none", marker="o", color="0.6", alpha=0.4, markeredgewidth=0)
    text = ["merges within a contracted branch"]
    ax.legend([mark], text, loc="upper right", fontsize="small", framealpha=0.9, edgecolor="none", borderpad=0.2)


def plot_elbow(Z: npt.ArrayLike, last: int = 10, ax: Axes | None = None) -> Axes:
    """Plot the heights of the last merges and their acceleration, and mark the number of clusters it suggests.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4), float64
        Linkage matrix.
    last : int
        How many merges to look at, at least 3.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default pyplot's current axes.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        As `gpuclust.hierarchy.suggest.acceleration`, and if ``ax`` is no axes.

    Notes
    -----
    At k stands the height of the merge that leaves k clusters, and the second difference of the heights around the
    merge that takes k clusters to k - 1. The largest is the suggestion: a hint, not a finding. It can never be one
    cluster, and it compares merges that may lie in different branches of the tree.

    Examples
    --------
    >>> from gpuclust import linkage, plotting
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> ax = plotting.plot_elbow(Z)
    >>> len(ax.lines) > 0
    True
    """
    from matplotlib.ticker import MaxNLocator

    from gpuclust.hierarchy.suggest import acceleration

    axes(ax)
    counts, heights, rates, k = acceleration(Z, last)
    ax = axes_or_current(ax)
    rate_counts = np.asarray(counts)[: len(rates)] + 1
    ax.axvline(k, color=GREY, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1)
    ax.plot(counts, heights, "o-", color="C0", linewidth=1.8, markersize=5, label="height of the merge")
    ax.plot(rate_counts, rates, "o-", color="C1", linewidth=1.8, markersize=5, label="acceleration")
    ax.plot(k, np.max(rates), "o", markersize=12, markerfacecolor="none", markeredgecolor="C1", markeredgewidth=1.8)
    side, ha = (12, "left") if k <= (counts[0] + counts[-1]) / 2 else (-12, "right")
    style: dict[str, Any] = {"textcoords": "offset points", "ha": ha, "va": "center", "fontweight": "bold"}
    ax.annotate(f"suggested k = {k}", (k, np.max(rates)), xytext=(side, 0), **style)
    tidy(ax, "y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="number of clusters left", ylabel="distance")
    ax.set_title(f"Heights of the last {len(counts)} merges")
    ax.legend(frameon=False)
    return ax
