"""Style shared by all figures: the axes they are drawn on, colours, and a frame without clutter."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Literal

import numpy as np

from gpuclust.core.arguments import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lines and links that are not what the picture is about.
GREY = "0.55"
#: Colours of the clusters of a dendrogram, in turn: Matplotlib's own without its grey, from the one that SciPy begins
#: with.
LINK_COLORS = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9", "C0")


#: Colours of up to nine clusters: Matplotlib's own without its grey.
PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")


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


def axes_or_current(ax: Axes | None) -> Axes:
    axes(ax)
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def tidy(ax: Axes, grid: Literal["both", "x", "y"]) -> None:
    """A light grid behind the data, and no frame on the sides without numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis=grid, color="0.9", linewidth=0.8)
