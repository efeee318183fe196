"""Drawing of a dendrogram's layout on Matplotlib axes: lines, tick labels and dots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.core.text import displayed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (most leaves, value): the value for the first entry that the number of leaves does not exceed.
_FONT_SIZES = ((20, 12.0), (30, 10.0), (50, 8.0), (85, 6.0), (float("inf"), 5.0))
_ROTATIONS = ((20, 0.0), (40, 45.0), (float("inf"), 90.0))

#: Number of dots above which those hidden by others are left out (see `_visible_marks`).
_MANY_MARKS = 20_000
_MARKS_PER_BIN, _MARK_BINS = 4, 1000


def draw_links(
    tree: Mapping[str, Any],
    *,
    highest: float,
    orientation: str,
    ax: Axes | None,
    no_labels: bool,
    font_size: float | None,
    rotation: float | None,
    marks: np.ndarray | None,
    last_color: str,
) -> None:
    """Draw a dendrogram: one collection of lines per colour, leaf labels as ticks, dots for contracted merges.

    Parameters
    ----------
    tree : mapping
        ``icoord``, ``dcoord``, ``ivl`` and ``color_list`` of `dendrogram`.
    highest : float
        Largest height; the height axis ends 5 % above it.
    orientation : {'top', 'bottom', 'left', 'right'}
        Side of the root.
    ax : matplotlib.axes.Axes or None
        None: pyplot's current axes.
    no_labels, font_size, rotation
        Of the leaf labels; None for a default by the number of leaves.
    marks : ndarray of shape (k, 2) or None
        Position and height of each dot.
    last_color : str
        The colour of the links that are drawn on top of the others (those above the threshold).
    """
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.gca()
    upright = orientation in ("top", "bottom")
    leaf_span = 10 * len(tree["ivl"])
    # Axes need an extent: if all heights are 0, that of 1 will do.
    height_span = float(highest + highest * 0.05) or 1.0

    height_limits = (0, height_span) if orientation in ("top", "right") else (height_span, 0)
    ax.set(
        **{"xlim": (0, leaf_span), "ylim": height_limits}
        if upright
        else {"xlim": height_limits, "ylim": (0, leaf_span)}
    )
    _label_leaves(ax, tree["ivl"], orientation, no_labels, font_size, rotation)
    _add_lines(ax, tree, upright, last_color)
    if marks is not None and len(marks):
        _add_marks(ax, _visible_marks(marks, height_span), upright, height_span)


def _label_leaves(
    ax: Axes, labels: list[Any], orientation: str, no_labels: bool, size: float | None, rotation: float | None
) -> None:
    upright = orientation in ("top", "bottom")
    axis = ax.xaxis if upright else ax.yaxis
    if no_labels:
        axis.set_ticks([])
        return
    axis.set_ticks(np.arange(5, 10 * len(labels) + 5, 10))
    if upright:
        ax.xaxis.set_ticks_position("bottom" if orientation == "top" else "top")
    else:
        ax.yaxis.set_ticks_position("right" if orientation == "left" else "left")
    # Tick marks would overlap the links; their space stays.
    axis.set_tick_params(which="both", bottom=False, top=False, left=False, right=False)
    # Names are plain text: dollar signs do not delimit formulas.
    style: dict[str, Any] = {
        "parse_math": False,
        "size": _by_count(_FONT_SIZES, len(labels)) if size is None else size,
    }
    if rotation is not None:
        style["rotation"] = rotation
    elif upright:
        style["rotation"] = _by_count(_ROTATIONS, len(labels))
    axis.set_ticklabels([displayed(label) for label in labels], **style)


def _by_count(table: tuple[tuple[float, float], ...], count: int) -> float:
    return next(value for most, value in table if count <= most)


def _add_lines(ax: Axes, tree: Mapping[str, Any], upright: bool, last_color: str) -> None:
    """One `LineCollection` for each colour, in order of appearance, the links above the threshold last."""
    from matplotlib.collections import LineCollection

    along, height = np.array(tree["icoord"]), np.array(tree["dcoord"])
    links: dict[str, list[int]] = {}
    for link, color in enumerate(tree["color_list"]):
        links.setdefault(color, []).append(link)
    if last_color in links:
        links[last_color] = links.pop(last_color)
    for color, members in links.items():
        x, y = (along[members], height[members]) if upright else (height[members], along[members])
        ax.add_collection(LineCollection(list(np.stack((x, y), axis=2)), colors=(color,)))


def _visible_marks(marks: np.ndarray, height_span: float) -> np.ndarray:
    """All dots, or if there are many only a few in each thousandth of the height.

    Dots are half transparent and ten thousandths tall: where several overlap they are black, and more of them change
    only the antialiased pixels at the rim.
    """
    if len(marks) <= _MANY_MARKS:
        return marks
    bins = np.minimum(marks[:, 1] * (_MARK_BINS / height_span), _MARK_BINS).astype(np.int64)
    cell = (marks[:, 0] // 10).astype(np.int64) * (_MARK_BINS + 1) + bins
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    later = _MARKS_PER_BIN  # a dot is left out if this many before it are in its cell
    drop = np.zeros(len(marks), dtype=bool)
    drop[later:] = cell[later:] == cell[:-later]
    return marks[order[~drop]]


def _add_marks(ax: Axes, marks: np.ndarray, upright: bool, height_span: float) -> None:
    """Dots one unit wide (a leaf has ten) and a hundredth of the height axis tall, whatever the zoom."""
    from matplotlib.collections import EllipseCollection

    width, height = (1.0, height_span / 100) if upright else (height_span / 100, 1.0)
    dots = EllipseCollection(
        width,
        height,
        0.0,
        units="xy",
        offsets=marks if upright else marks[:, ::-1],
        offset_transform=ax.transData,
        facecolor="k",
        edgecolor="none",
        alpha=0.5,
    )
    ax.add_collection(dots, autolim=False)
