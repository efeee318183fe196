"""The page of a clustering: sections, tables and drawings from a tree, its labels and its points."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.hierarchy.suggest import FEWEST_MERGES, acceleration
from gpuclust.plotting.as_clustered import AS_THEY_ARE, View
from gpuclust.plotting.style import PALETTE, cluster_colors
from gpuclust.report.pages import render
from gpuclust.report.payload import SILHOUETTES, payload, script
from gpuclust.report.svg import dendrogram_svg, elbow_svg, scatter_svg

#: Clusters and merges in the tables of a report, and number of last merges in which the elbow is looked for.
_LISTED, _MERGES, ELBOW_MERGES = 40, 10, 10


@dataclass(frozen=True, kw_only=True)
class Page:
    """Content of a report.

    Attributes
    ----------
    title, method, metric : str
    Z : ndarray of shape (n - 1, 4)
        Linkage matrix.
    assessment : dict
        See `gpuclust.report.assessment.assess`.
    p : float or None
        Minkowski's exponent.
    weighted : bool
        Whether columns have weights.
    labels : ndarray of shape (n,) or None
        Clusters of the observations, 0 for those in none; None without a cut.
    cut : str or None
        The cut in words: "into 3 clusters".
    height : float or None
        Height of the line that shows the cut.
    names : list of str or None
        Names of the observations.
    points : ndarray of shape (n, m)
        What the scatter plot shows, as transformed by ``view``.
    features : int or None
        Number of features; None for precomputed distances.
    view : View
        Transformation of the points for the scatter plot.
    distances : callable
        The condensed distances among observations, given their indices; for silhouettes.
    columns : sequence of str or None
        Names of the features, or of the columns of ``values``.
    values : ndarray of shape (n, columns) or None
        Beside distances: columns that heat map and profiles show.
    min_size : int
        Smallest size of a cluster.
    rows : ndarray of shape (n,) or None
        Numbers of the observations in the input, where rows were left out.
    labels_file : str or None
        A file with the labels of all rows, beside the page.
    warnings : list of str
    """

    title: str
    method: str
    metric: str
    Z: NDArray[np.float64]
    assessment: dict[str, Any]
    points: NDArray[Any]
    distances: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    columns: Sequence[str] | None = None
    values: NDArray[Any] | None = None
    min_size: int = 1
    rows: NDArray[Any] | None = None
    p: float | None = None
    weighted: bool = False
    labels: NDArray[Any] | None = None
    cut: str | None = None
    height: float | None = None
    names: list[str] | None = None
    features: int | None = None
    view: View = AS_THEY_ARE
    labels_file: str | None = None
    warnings: list[str] = field(default_factory=list)

    def html(self, template: str = "report.html", **more: Any) -> str:
        """Render the page; ``more`` are further variables of its template."""
        Z, suggested = self.Z, suggested_clusters(self.Z)
        return render(
            template,
            page=self,
            n=len(Z) + 1,
            features=self.features,
            suggested=suggested,
            packed=payload(self, suggested),
            script=script,
            in_silhouettes=SILHOUETTES,
            sizes=table_of_sizes(self.labels),
            merges=_last_merges(Z),
            dendrogram=dendrogram_svg(Z, self.height, self.names, self.labels),
            elbow=elbow_svg(Z) if len(Z) >= FEWEST_MERGES else None,
            scatter=scatter_svg(self.points, self.labels, self.view),
            **more,
        )


def suggested_clusters(Z: NDArray[np.float64]) -> int | None:
    """The number of clusters at the elbow of the merge heights; None with fewer than three merges."""
    return None if len(Z) < FEWEST_MERGES else acceleration(Z, last=ELBOW_MERGES).k


def table_of_sizes(labels: NDArray[Any] | None) -> dict[str, Any] | None:
    """The largest clusters with their shares, and how many there are beside them."""
    if labels is None:
        return None
    colors, counts = cluster_colors(labels), np.bincount(labels)
    order = np.argsort(-counts[1:], kind="stable") + 1
    rows = [
        {
            "label": int(label),
            "size": int(counts[label]),
            "share": float(counts[label] / len(labels)),
            "color": bar_color(colors[int(label)]),
        }
        for label in order[:_LISTED]
    ]
    return {
        "rows": rows,
        "largest": rows[0]["share"] if rows else 1.0,
        "clusters": len(order),
        "more": max(0, len(order) - _LISTED),
        "in_more": int(counts[order[_LISTED:]].sum()),
        "left_out": int(counts[0]),
        "singletons": int((counts[1:] == 1).sum()),
    }


def bar_color(color: str) -> str:
    """A colour of the palette as the style sheet's variable, which has one for dark screens too."""
    return f"var(--c{PALETTE.index(color)})" if color in PALETTE else color


def _last_merges(Z: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The last merges, the last one first."""
    last = Z[: -_MERGES - 1 : -1]
    return [
        {"left": left, "height": float(height), "size": int(size)}
        for left, (_, _, height, size) in enumerate(last, start=1)
    ]


def snippet(text: str, Z: NDArray[np.float64], height: float | None, names: list[str] | None, labels: Any) -> str:
    """A line of text and the dendrogram below it, for notebooks; the drawing is an image of its own."""
    style = f"<style>{render('drawing.css')}</style>"
    drawing = dendrogram_svg(Z, height, names, labels).replace(">", f">{style}", 1)
    return render("snippet.html", text=text, image=b64encode(drawing.encode()).decode())
