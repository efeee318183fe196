"""Style shared by all figures: axes, grid, and the colours of clusters, the same in all pictures of a clustering."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gpuclust.core.arguments import axes
from gpuclust.hierarchy.ordering import leaf_positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour of auxiliary lines, and of links between clusters.
GREY = "0.55"
#: Colours of the clusters of a dendrogram, in turn: Matplotlib's own without its grey, from the one that SciPy begins
#: with.
LINK_COLORS = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9", "C0")
#: Colours of up to nine clusters: Matplotlib's own without its grey.
PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
#: Colour of observations that are in no cluster.
LEFT_OUT = "#bfbfbf"


def distinct_colors(count: int) -> np.ndarray:
    """``count`` RGB colours, shape (count, 3), neighbours far apart, none grey.

    Up to nine are those of `PALETTE`. More go round the colour circle by the golden angle, in
    three lightnesses.
    """
    if count <= len(PALETTE):
        parts = [[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in PALETTE[:count]]
        return np.array(parts).reshape(count, 3)
    golden = (5**0.5 - 1) / 2
    return np.array(
        [
            colorsys.hls_to_rgb((0.58 + i * golden) % 1.0, (0.45, 0.62, 0.32)[i % 3], (0.75, 0.7, 0.65)[i % 3])
            for i in range(count)
        ]
    )


def to_hex(color: np.ndarray) -> str:
    """An RGB colour as ``"#rrggbb"``."""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in color)


def cluster_colors(labels: npt.ArrayLike, left_out: int | None = 0) -> dict[int, str]:
    """The colour of each label, as ``"#rrggbb"``: those of `distinct_colors` in order of the labels.

    ``left_out`` is the label of points that are in no cluster, None if every label is a cluster.
    """
    found = [int(label) for label in np.unique(np.asarray(labels))]
    named = [label for label in found if left_out is None or label != left_out]
    colors = dict(zip(named, map(to_hex, distinct_colors(len(named))), strict=True))
    return colors if len(named) == len(found) else {**colors, int(left_out or 0): LEFT_OUT}


def link_colors(Z: npt.ArrayLike, labels: npt.ArrayLike, above: str) -> Callable[[int], str]:
    """The colour of each link by the id of its cluster: that of the label which all observations below it share.

    ``above`` is the colour of links between clusters, and of links within label 0.
    """
    start, size = leaf_positions(Z)
    n = (len(start) + 1) // 2
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"clusters must be {n:,} labels, one for each observation, got shape {labels.shape}")
    in_order = np.empty(n, dtype=np.int64)
    in_order[start[:n]] = labels
    changes = np.concatenate(([0], np.cumsum(in_order[1:] != in_order[:-1])))
    uniform = changes[start] == changes[start + size - 1]
    colors = cluster_colors(labels)

    def color(node: int) -> str:
        label = int(in_order[start[node]])
        return colors[label] if uniform[node] and label != 0 else above

    return color


def axes_or_current(ax: Axes | None) -> Axes:
    axes(ax)
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def tidy(ax: Axes, grid: Literal["both", "x", "y"]) -> None:
    """Draw a light grid behind the data, and remove the frame on the sides without numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis=grid, color="0.9", linewidth=0.8)
