"""Annotations of a drawn dendrogram: the heights of merges and the line of a cut, placed without overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT_SIZE = 9.0
#: Largest number of annotations. The first few are placed before the name of the cut, which can be anywhere along its
#: line, the others after it.
_MOST_NUMBERS, _BEFORE_CUT = 150, 12
#: Cost of a text on the first leg, the bar and the second leg of a link, and the largest cost of a number: it may
#: cross two legs, at right angles, but a bar would strike it out.
_CROSSING_COSTS, _HIGHEST_COST = (1.0, 3.0, 1.0), 2.0
#: Cost of a text on the line of the cut, which is that of a bar.
_CUT_COST = 3.0
#: Cost of a text on another text, or outside of the axes: more than a number may cost.
_ON_TEXT_COST, _OUTSIDE_COST = 10.0, 10.0


def annotate_heights(
    ax: Axes,
    tree: dict[str, Any],
    Z: npt.ArrayLike,
    orientation: str,
    max_d: float | None,
    annotate_above: float,
) -> None:
    """Draw the line of the cut, and a dot and a number at the bar of each merge above a height, the highest first."""
    upright = orientation in ("top", "bottom")
    along, height = np.array(tree["icoord"]).reshape(-1, 4), np.array(tree["dcoord"]).reshape(-1, 4)
    corners = np.stack((along, height) if upright else (height, along), axis=2)
    middle = 0.5 * (corners[:, 1] + corners[:, 2])
    segments = np.stack((corners[:, :-1], corners[:, 1:]), axis=2).reshape(-1, 2, 2)
    numbered = np.flatnonzero(height[:, 1] > annotate_above)
    numbered = numbered[np.argsort(-height[numbered, 1], kind="stable")][:_MOST_NUMBERS]

    costs = np.tile(_CROSSING_COSTS, len(along))
    if max_d is not None:
        ends = np.array([[0.0, max_d], [10.0 * len(tree["ivl"]), max_d]])
        segments = np.concatenate((segments, (ends if upright else ends[:, ::-1])[np.newaxis]))
        costs = np.append(costs, _CUT_COST)
    labels = _Labels(ax, segments, costs)
    # Towards the leaves there is room between the legs; beyond the bar, on either side of the parent's leg.
    inward = {"top": (0, -1), "bottom": (0, 1), "left": (1, 0), "right": (-1, 0)}[orientation]
    numbered_at: list[int] = []

    def write(links: np.ndarray) -> None:
        for link in links:
            x, y = middle[link]
            if labels.place(_number(height[link, 1]), _beside(x, y, inward), highest_cost=_HIGHEST_COST):
                numbered_at.append(link)

    write(numbered[:_BEFORE_CUT])
    if max_d is not None:
        _draw_cut(ax, labels, Z, max_d, orientation, len(tree["ivl"]))
    write(numbered[_BEFORE_CUT:])
    if numbered_at:
        x, y = middle[numbered_at].T
        ax.scatter(x, y, s=16, c=[tree["color_list"][link] for link in numbered_at], zorder=4, clip_on=False)


def _number(height: float, digits: int = 3) -> str:
    """Format a number with a few digits, without an exponent if it is short enough."""
    return f"{height:,.0f}" if 1000 <= height < 1e6 else f"{height:.{digits}g}"


def _beside(x: float, y: float, inward: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Candidate places for the number of a bar with its middle at (x, y)."""
    if inward[0] == 0:
        near, far = ("top", "bottom") if inward[1] < 0 else ("bottom", "top")
        step = 4 * inward[1]
        return [
            (x, y, 0, step, "center", near),
            (x, y, 4, -step, "left", far),
            (x, y, -4, -step, "right", far),
        ]
    near, far = ("left", "right") if inward[0] > 0 else ("right", "left")
    step = 4 * inward[0]
    return [
        (x, y, step, 0, near, "center"),
        (x, y, -step, 3, far, "bottom"),
        (x, y, -step, -3, far, "top"),
    ]


def _draw_cut(ax: Axes, labels: _Labels, Z: npt.ArrayLike, max_d: float, orientation: str, leaves: int) -> None:
    """Draw a broken line at the height of the cut, with its name at the end where fewer links cross it."""
    from gpuclust.hierarchy.cut import fcluster

    clusters = int(fcluster(Z, max_d, "distance").max())
    text = f"cut at {_number(max_d, 4)}: {clusters:,} cluster{'s' * (clusters != 1)}"
    line: dict[str, Any] = {"color": "0.15", "linewidth": 1.0, "linestyle": (0, (5, 3)), "zorder": 3}
    upright = orientation in ("top", "bottom")
    (ax.axhline if upright else ax.axvline)(max_d, **line)
    end = 10.0 * leaves  # of the axis along the leaves; the other end is 0
    beyond = 3 if orientation in ("top", "right") else -3
    places: list[tuple[Any, ...]] = []
    for off in (beyond, -beyond):
        for along, inset, side in [(end, -3, 1), (0.0, 3, -1), *((end * i / 16, 0, 0) for i in range(14, 1, -1))]:
            if upright:
                ha, va = ("left", "center", "right")[side + 1], "bottom" if off > 0 else "top"
                places.append((along, max_d, inset, off, ha, va))
            else:
                ha, va = "left" if off > 0 else "right", ("bottom", "center", "top")[side + 1]
                places.append((max_d, along, off, inset, ha, va))
    labels.place(text, places, rotation=0.0 if upright else 90.0)


class _Labels:
    """Places texts on axes, one after the other, each at the best of a few candidate positions.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes whose limits are final. Positions are found for the size that the axes have now.
    segments : ndarray of shape (k, 2, 2)
        Horizontal and vertical lines, in data coordinates, that texts should not lie on.
    costs : ndarray of shape (k,)
        Cost of a text on each.
    """

    def __init__(self, ax: Axes, segments: np.ndarray, costs: np.ndarray) -> None:
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextToPath

        self.ax = ax
        self.costs = costs
        self.font = FontProperties(size=_FONT_SIZE)
        self.measure = TextToPath()
        self.pixels = ax.figure.dpi / 72.0  # per point
        ends = ax.transData.transform(segments.reshape(-1, 2)).reshape(-1, 2, 2)
        self.lines = np.concatenate((ends.min(axis=1), ends.max(axis=1)), axis=1)
        self.texts = np.empty((0, 4))

    def place(
        self, text: str, candidates: list[tuple[Any, ...]], rotation: float = 0.0, highest_cost: float = np.inf
    ) -> bool:
        """Write `text` at the candidate that costs least; the first of equals.

        A candidate is ``(x, y, dx, dy, ha, va)``: a data position, an offset from it in points, and the side of the
        text that stands there. If all cost more than `highest_cost`, nothing is written and the result is False.
        """
        costs = [self._cost(self._box(text, candidate, rotation == 90)) for candidate in candidates]
        if min(costs) > highest_cost:
            return False
        best = candidates[int(np.argmin(costs))]
        self.texts = np.vstack((self.texts, self._box(text, best, rotation == 90)))
        x, y, dx, dy, ha, va = best
        self._write(text, (x, y), (dx, dy), ha=ha, va=va, rotation=rotation)
        return True

    def _cost(self, box: np.ndarray) -> float:
        area = self.ax.bbox
        outside = box[0] < area.x0 or box[1] < area.y0 or box[2] > area.x1 or box[3] > area.y1
        on_lines = float(self.costs[_overlaps(self.lines, box)].sum())
        return on_lines + _ON_TEXT_COST * int(_overlaps(self.texts, box).sum()) + _OUTSIDE_COST * outside

    def _box(self, text: str, candidate: tuple[Any, ...], vertical: bool) -> np.ndarray:
        """``[x0, y0, x1, y1]`` of a text and a point of room around it, in pixels."""
        x, y, dx, dy, ha, va = candidate
        x, y = self.ax.transData.transform((x, y)) + np.array((dx, dy)) * self.pixels
        along, _, _ = self.measure.get_text_width_height_descent(text, self.font, ismath=False)
        _, across, _ = self.measure.get_text_width_height_descent("lp", self.font, ismath=False)  # a line's, as drawn
        width, height = np.array((across, along) if vertical else (along, across)) * self.pixels
        left = x - width * {"left": 0.0, "center": 0.5, "right": 1.0}[ha]
        bottom = y - height * {"bottom": 0.0, "center": 0.5, "top": 1.0}[va]
        room = self.pixels
        return np.array((left - room, bottom - room, left + width + room, bottom + height + room))

    def _write(self, text: str, position: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
        from matplotlib.patheffects import withStroke

        # A rim in the background's colour keeps a text readable where it cannot avoid a line.
        rim = withStroke(linewidth=2.5, foreground=self.ax.get_facecolor())
        style.update(fontproperties=self.font, color="0.15", path_effects=[rim], zorder=5)
        self.ax.annotate(text, position, xytext=offset, textcoords="offset points", **style)


def _overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    return (boxes[:, 0] < box[2]) & (boxes[:, 2] > box[0]) & (boxes[:, 1] < box[3]) & (boxes[:, 3] > box[1])
