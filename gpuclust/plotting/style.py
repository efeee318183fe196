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
#: Colours of clusters: those of Okabe and Ito (2008) without black, and more. The closest two differ by at least 15
#: (CIE76) and 10 (CIE2000), also as people with protanopia and deuteranopia see them (`tests/test_palette.py`).
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#9e1824", "#86f3c2", "#793d61",
    "#86f3ff", "#4986ff", "#c2b679", "#5500f3", "#e70055", "#186d49", "#e7b6ce", "#f3869e",
)  # fmt: skip
#: Colour of observations that are in no cluster.
LEFT_OUT = "#bfbfbf"


def distinct_colors(count: int) -> np.ndarray:
    """``count`` RGB colours, shape (count, 3), none grey: those of `PALETTE` first, whatever the count.

    More go round the colour circle by the golden angle, in three lightnesses.
    """
    golden = (5**0.5 - 1) / 2
    colors = [tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)) for color in PALETTE[:count]]
    colors += [
        colorsys.hls_to_rgb((0.58 + i * golden) % 1.0, (0.45, 0.62, 0.32)[i % 3], (0.75, 0.7, 0.65)[i % 3])
        for i in range(count - len(colors))
    ]
    return np.array(colors).reshape(count, 3)


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


def shared_labels(Z: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The label of the first leaf of each node of a tree, and whether all of its leaves have it; shape (2 n - 1,)."""
    start, size = leaf_positions(Z)
    n = (len(start) + 1) // 2
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"clusters must be {n:,} labels, one for each observation, got shape {labels.shape}")
    in_order = np.empty(n, dtype=np.int64)
    in_order[start[:n]] = labels
    changes = np.concatenate(([0], np.cumsum(in_order[1:] != in_order[:-1])))
    return in_order[start], changes[start] == changes[start + size - 1]


def link_colors(Z: npt.ArrayLike, labels: npt.ArrayLike, above: str) -> Callable[[int], str]:
    """The colour of each link by the id of its cluster: that of the label which all observations below it share.

    ``above`` is the colour of links between clusters, and of links within label 0.
    """
    shared, uniform = shared_labels(Z, labels)
    colors = cluster_colors(labels)

    def color(node: int) -> str:
        label = int(shared[node])
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
