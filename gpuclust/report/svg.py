"""SVG drawings for reports: dendrogram, elbow and scatter plot; each takes 1 ms, a Matplotlib figure 100 ms.

Coordinates come from the same functions as in `gpuclust.plotting`. Colours are classes of the page's style sheet, so
that a drawing follows the light, dark or printed scheme.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.core.text import displayed
from gpuclust.hierarchy.dendrogram import dendrogram
from gpuclust.hierarchy.suggest import acceleration
from gpuclust.plotting.as_clustered import AS_THEY_ARE, View
from gpuclust.plotting.scatter import in_the_plane
from gpuclust.plotting.style import PALETTE, cluster_colors, link_colors

#: Number of observations above which a dendrogram is truncated, number of leaves then, and of leaves with labels.
_FULL_UP_TO, _LEAVES, _MOST_LABELS = 60, 40, 80
#: Largest number of points in a scatter plot.
_MOST_POINTS = 2000
_MERGES = 10
#: Class of links above the cut.
_ABOVE = "above"


def dendrogram_svg(
    Z: NDArray[np.float64],
    height: float | None,
    names: list[str] | None,
    labels: NDArray[Any] | None = None,
) -> str:
    """Draw the dendrogram, truncated if it is large, with links in the colours of their clusters.

    ``height`` is that of the line of the cut, ``labels`` are the clusters of the observations.
    """
    options: dict[str, Any] = {"truncate_mode": "lastp", "p": _LEAVES} if len(Z) >= _FULL_UP_TO else {}
    if names is not None:
        options["labels"] = names
    colors = (lambda node: _ABOVE) if labels is None else link_colors(Z, labels, _ABOVE)
    tree = dendrogram(Z, no_plot=True, link_color_func=colors, **options)
    leaves = [displayed(name, most=18) for name in tree["ivl"]]
    longest = max(map(len, leaves))
    below = 20 + 6 * min(longest, 18) if len(leaves) <= _MOST_LABELS else 24
    top = max(float(np.max(tree["dcoord"])), height or 0.0, 0.0)
    frame = _Frame(960, 380 + below, (56, 12, 16, below), (0.0, 10.0 * len(leaves)), (0.0, top * 1.04 or 1.0))
    parts = [frame.open("Dendrogram"), frame.grid("distance")]
    ways: dict[str, list[str]] = {}
    for xs, ys, color in zip(tree["icoord"], tree["dcoord"], tree["color_list"], strict=True):
        corners = " ".join(f"{frame.x(x)} {frame.y(y)}" for x, y in zip(xs, ys, strict=True))
        ways.setdefault(color, []).append(f"M{corners}")
    for color, way in ways.items():
        parts.append(f'<path {_styled("link", color)} d="{"".join(way)}"/>')
    if height is not None:
        y = frame.y(height)
        parts.append(f'<path class="cut" d="M{frame.left} {y}H{frame.right}"/>')
        parts.append(f'<text class="cut-label" x="{frame.right}" y="{y - 5:.1f}">cut at {height:.4g}</text>')
    if len(leaves) <= _MOST_LABELS:
        for place, leaf in enumerate(leaves):
            x, y = frame.x(5.0 + 10.0 * place), frame.bottom + 8
            parts.append(
                f'<text class="leaf" transform="translate({x + 3:.1f} {y})rotate(-90)">{escape(leaf)}</text>'
            )
    return "".join([*parts, "</svg>"])


def elbow_svg(Z: NDArray[np.float64]) -> str:
    """Draw the heights of the last merges and their second differences against the number of clusters."""
    counts, heights, rates, k = acceleration(Z, _MERGES)
    low, high = min(0.0, float(rates.min())), max(float(heights.max()), float(rates.max()), 0.0)
    room = 0.06 * (high - low) or 1.0
    frame = _Frame(470, 340, (56, 12, 16, 46), (0.6, len(counts) + 0.4), (low - room * (low < 0), high + room))
    parts = [frame.open("Elbow"), frame.grid("distance")]
    x = frame.x(k)
    parts.append(f'<path class="cut" d="M{x} {frame.top}V{frame.bottom}"/>')
    for values, first, kind in ((heights, 1, PALETTE[0]), (rates, 2, PALETTE[1])):
        places = [(frame.x(first + i), frame.y(value)) for i, value in enumerate(values)]
        line = " ".join(f"{a} {b}" for a, b in places)
        parts.append(f'<path {_styled("link", kind)} d="M{line}"/>')
        dots = "".join(f"M{a} {b}h0" for a, b in places)
        parts.append(f'<path {_styled("dots", kind)} d="{dots}"/>')
    parts += [f'<text class="tick" x="{frame.x(c)}" y="{frame.bottom + 16}">{c}</text>' for c in counts]
    parts.append(frame.below("number of clusters left"))
    side, anchor = (8, "start") if k <= len(counts) / 2 else (-8, "end")
    parts.append(
        f'<text class="note" text-anchor="{anchor}" x="{x + side}" y="{frame.top + 44}">suggested k = {k}</text>'
    )
    for row, (text, kind) in enumerate((("height of the merge", PALETTE[0]), ("acceleration", PALETTE[1]))):
        y = frame.top + 8 + 16 * row
        parts.append(f'<path {_styled("dots", kind)} d="M{frame.right - 128} {y}h0"/>')
        parts.append(f'<text class="key" x="{frame.right - 118}" y="{y + 4}">{text}</text>')
    return "".join([*parts, "</svg>"])


def sample_of(n: int) -> NDArray[np.int64]:
    """Indices, ascending, of the observations that a scatter plot shows."""
    if n <= _MOST_POINTS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _MOST_POINTS, replace=False))


def scatter_svg(points: NDArray[Any], labels: NDArray[Any] | None, view: View = AS_THEY_ARE) -> str:
    """Draw the points, or a sample, in the plane, coloured by cluster, as transformed by ``view``."""
    n = len(points)
    chosen = sample_of(n)
    clusters = np.ones(len(chosen), dtype=np.int64) if labels is None else labels[chosen]
    place, titles = in_the_plane(view.change(np.asarray(points[chosen])), clusters, view.columns)
    (x0, y0), (x1, y1) = place.min(axis=0), place.max(axis=0)
    frame = _Frame(470, 340, (56, 12, 16, 46), _roomy(x0, x1), _roomy(y0, y1))
    drawn = f"{len(chosen):,} of {n:,} points" if len(chosen) < n else f"{n:,} points"
    parts = [frame.open(f"Scatter of {drawn}"), frame.grid(titles[1])]
    parts += [
        f'<text class="tick" x="{frame.x(value)}" y="{frame.bottom + 16}">{value:.6g}</text>'
        for value in _ticks(*frame.xs)
    ]
    colors = cluster_colors(clusters if labels is None else labels)
    width = float(np.clip(150.0 / np.sqrt(len(chosen)), 3.0, 7.0))
    for cluster in np.unique(clusters):
        dots = "".join(f"M{frame.x(x)} {frame.y(y)}h0" for x, y in place[clusters == cluster])
        style = _styled("dots", "out" if cluster == 0 else colors[int(cluster)])
        parts.append(f'<path {style} stroke-width="{width:.1f}" d="{dots}"/>')
    parts.append(frame.below(titles[0]))
    return "".join([*parts, "</svg>"])


class _Frame:
    """Size of a drawing, and the mapping from data to its coordinates."""

    def __init__(
        self,
        width: int,
        height: int,
        margins: tuple[int, int, int, int],
        xs: tuple[float, float],
        ys: tuple[float, float],
    ) -> None:
        self.width, self.height, self.xs, self.ys = width, height, xs, ys
        left, right, top, bottom = margins
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - bottom

    def x(self, value: float) -> float:
        low, high = self.xs
        return round(self.left + (self.right - self.left) * float((value - low) / (high - low)), 1)

    def y(self, value: float) -> float:
        low, high = self.ys
        return round(self.bottom - (self.bottom - self.top) * float((value - low) / (high - low)), 1)

    def open(self, title: str) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}" '
            f'xmlns="http://www.w3.org/2000/svg">'
        )

    def grid(self, title: str) -> str:
        """Draw grid lines with their values, and the title of the axis."""
        parts = []
        for value in _ticks(*self.ys):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{self.left} {y}H{self.right}"/>')
            parts.append(f'<text class="tick left" x="{self.left - 8}" y="{y + 4:.1f}">{value:.6g}</text>')
        middle = (self.top + self.bottom) // 2
        parts.append(f'<text class="axis" transform="translate(13 {middle})rotate(-90)">{escape(title)}</text>')
        return "".join(parts)

    def below(self, title: str) -> str:
        middle = (self.left + self.right) // 2
        return f'<text class="axis" x="{middle}" y="{self.height - 8}">{escape(title)}</text>'


def _styled(kind: str, color: str) -> str:
    """Return the attributes of a path: the class of a palette colour, or the colour itself."""
    if color in PALETTE:
        return f'class="{kind} c{PALETTE.index(color)}"'
    return f'class="{kind}" style="stroke:{color}"' if color.startswith("#") else f'class="{kind} {color}"'


def _roomy(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or abs(low) * 0.05 or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about ``wanted`` round numbers between two limits."""
    span = high - low
    if not np.isfinite(span) or span <= 0:
        return []
    unit = 10.0 ** np.floor(np.log10(span / wanted))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit * wanted >= span * 0.999)
    first = int(np.ceil(low / step))
    return [step * i for i in range(first, int(np.floor(high / step)) + 1)]
