"""Figures of the well-known SciPy dendrogram tutorial, compared with ours.

The tutorial ("SciPy Hierarchical Clustering and Dendrogram Tutorial", J. Hees, 2015) draws two data sets from a
seeded generator and prints what SciPy made of them. Its numbers are kept here as it printed them, to five decimals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.output import save_figure
from gpuclust.distance import pdist
from gpuclust.hierarchy.cophenetic import cophenet
from gpuclust.hierarchy.cut import fcluster
from gpuclust.hierarchy.dendrogram import dendrogram
from gpuclust.hierarchy.inconsistent import inconsistent
from gpuclust.hierarchy.suggest import acceleration
from gpuclust.linkage import linkage
from gpuclust.plotting import fancy_dendrogram, plot_elbow
from gpuclust.plotting.scatter import plot_clusters

FIRST_MERGES = """\
52 53 0.04151 2
14 79 0.05914 2
33 68 0.07107 2
17 73 0.07137 2
1 8 0.07543 2
85 95 0.10928 2
108 131 0.11007 2
9 66 0.11302 2
15 69 0.11429 2
63 98 0.12120 2
107 115 0.12167 2
65 74 0.12490 2
58 61 0.14028 2
62 152 0.17260 3
41 158 0.17790 3
10 83 0.18635 2
114 139 0.20419 2
39 88 0.20628 2
70 96 0.21931 2
46 50 0.22049 2
"""
LAST_HEIGHTS = "15.11533 17.11527 23.12199 180.27043"
POINTS_33_68_62 = """\
9.83913 -0.48730
9.89349 -0.44152
9.97793 -0.56383
"""
COPHENETIC_CORRELATION = "0.98001483875742679"
INCONSISTENT_DEPTH_5 = """\
1.80875 2.17062 10 2.44277
2.31732 2.19649 16 2.52742
2.24512 2.44225 9 2.37659
2.30462 2.44191 21 2.63875
2.20673 2.68378 17 2.84582
1.95309 2.58100 29 4.05821
3.46173 3.53736 28 3.29444
3.15857 3.54836 28 3.93328
4.90210 5.10302 28 3.57042
12.12200 32.15468 30 5.22936
"""
INCONSISTENT_DEPTH_3 = """\
3.63778 2.55561 4 1.35908
3.89767 2.57216 7 1.54388
3.05886 2.66707 6 1.87115
4.92746 2.73260 7 1.39822
4.76943 3.16277 6 1.60456
5.27288 3.56605 7 2.00627
8.22057 4.07583 7 1.69162
7.83287 4.46681 7 2.07808
11.38091 6.29430 7 1.86535
37.25845 63.31539 7 2.25872
"""
INCONSISTENT_Z2_DEPTH_5 = """\
13.99222 15.56656 30 3.86585
16.73941 18.56390 30 3.45983
19.05945 20.53211 31 3.49953
19.25574 20.82658 29 3.51907
21.36116 26.77660 30 4.50256
36.58101 37.08602 31 3.50761
12.12200 32.15468 30 5.22936
42.61370 111.38577 31 5.13038
81.75199 208.31582 31 5.30448
147.25602 307.95701 31 3.62150
"""
#: All three cuts print a hundred 2s and then fifty 1s.
LABELS = "2 " * 100 + "1 " * 50


@dataclass(frozen=True)
class Comparison:
    """One figure of the tutorial: what it prints, what we get, and whether they agree to the printed digits."""

    name: str
    printed: str
    ours: str

    @property
    def equal(self) -> bool:
        return self.printed == self.ours


@dataclass(frozen=True)
class Tutorial:
    """The tutorial's variables, under its own names."""

    X: NDArray[np.float64]
    X2: NDArray[np.float64]
    Z: NDArray[np.float64]
    Z2: NDArray[np.float64]
    clusters: NDArray[Any]


def data_sets() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The tutorial's ``X`` (150 points, two groups) and ``X2`` (750 points, five groups).

    The draws of ``np.random.seed(4711)``, from a generator of our own so that the global one stays as it is.
    """
    random = np.random.RandomState(4711)
    a = random.multivariate_normal([10, 0], [[3, 1], [1, 4]], size=[100])
    b = random.multivariate_normal([0, 20], [[3, 1], [1, 4]], size=[50])
    X = np.concatenate((a, b))
    c = random.multivariate_normal([40, 40], [[20, 1], [1, 30]], size=[200])
    d = random.multivariate_normal([80, 80], [[30, 1], [1, 30]], size=[200])
    e = random.multivariate_normal([0, 100], [[100, 1], [1, 100]], size=[200])
    return X, np.concatenate((X, c, d, e))


def cluster(device: str = "auto") -> Tutorial:
    """The tutorial's clusterings, by gpuclust."""
    X, X2 = data_sets()
    Z = linkage(X, "ward", device=device)
    Z2 = linkage(X2, "ward", device=device)
    return Tutorial(X, X2, Z, Z2, fcluster(Z, 50, criterion="distance"))


def compare(run: Tutorial) -> list[Comparison]:
    """Compare every figure that the tutorial prints with ours."""
    X, Z, Z2 = run.X, run.Z, run.Z2
    correlation = cophenet(Z, pdist(X))[0]
    return [
        _table("X.shape", "150 2", np.array(X.shape)),
        _table("Z[0]", FIRST_MERGES.splitlines()[0], Z[0]),
        _table("Z[:20]", FIRST_MERGES, Z[:20]),
        _table("X[[33, 68, 62]]", POINTS_33_68_62, X[[33, 68, 62]]),
        _table("Z[-4:, 2]", LAST_HEIGHTS, Z[-4:, 2]),
        # SciPy printed 17 digits, of which the last ones depend on the order of a sum.
        Comparison("cophenet(Z, pdist(X))", f"{float(COPHENETIC_CORRELATION):.14f}", f"{correlation:.14f}"),
        _table("inconsistent(Z, 5)[-10:]", INCONSISTENT_DEPTH_5, inconsistent(Z, 5)[-10:]),
        _table("inconsistent(Z, 3)[-10:]", INCONSISTENT_DEPTH_3, inconsistent(Z, 3)[-10:]),
        Comparison("clusters from the elbow of Z", "2", str(acceleration(Z, last=10).k)),
        Comparison("clusters from the elbow of Z2", "4", str(acceleration(Z2, last=10).k)),
        _table("inconsistent(Z2, 5)[-10:]", INCONSISTENT_Z2_DEPTH_5, inconsistent(Z2, 5)[-10:]),
        _labels("fcluster(Z, 50, 'distance')", run.clusters),
        _labels("fcluster(Z, 2, 'maxclust')", fcluster(Z, 2, criterion="maxclust")),
        _labels("fcluster(Z, 8, depth=10)", fcluster(Z, 8, depth=10)),
    ]


#: Names of the plots, in the tutorial's order.
PICTURES = tuple(
    f"{number:02d}-{name}.png"
    for number, name in enumerate(
        (
            "points",
            "first-three-merged",
            "next-three-merged",
            "dendrogram",
            "dendrogram-truncated-no-counts",
            "dendrogram-truncated",
            "dendrogram-heights",
            "dendrogram-cut-at-50",
            "dendrogram-cut-at-16",
            "elbow",
            "points-five-groups",
            "dendrogram-five-groups",
            "elbow-five-groups",
            "clusters",
        ),
        1,
    )
)


def draw(run: Tutorial, folder: Path) -> list[Path]:
    """Draw the tutorial's plots as PNG files in ``folder``, numbered in its order."""
    X, Z = run.X, run.Z
    red, yellow = [33, 68, 62], [15, 69, 41]
    cut_short: dict[str, Any] = {"truncate_mode": "lastp", "p": 12, "show_contracted": True}
    cut_short |= {"leaf_rotation": 90.0, "leaf_font_size": 12.0}
    written: list[Path] = []

    def page(name: str, size: tuple[float, float], paint: Callable[[Any], Any], *titles: str) -> None:
        path = folder / PICTURES[len(written)]
        assert path.stem[3:] == name
        save_figure(path, paint, size, *titles)
        written.append(path)

    def scatter(*groups: tuple[list[int], str]) -> Callable[[Any], None]:
        def paint(ax: Any) -> None:
            ax.scatter(X[:, 0], X[:, 1])
            for rows, colour in groups:
                ax.scatter(X[rows, 0], X[rows, 1], c=colour)

        return paint

    page("points", (8, 6), scatter())
    page("first-three-merged", (10, 8), scatter((red, "r")))
    page("next-three-merged", (10, 8), scatter((red, "r"), (yellow, "y")))
    axes = ("sample index", "distance")
    full = "Hierarchical Clustering Dendrogram"
    page("dendrogram", (25, 10), lambda ax: dendrogram(Z, ax=ax, leaf_rotation=90.0, leaf_font_size=8.0), full, *axes)
    truncated = full + " (truncated)"
    page(
        "dendrogram-truncated-no-counts",
        (8, 6),
        lambda ax: dendrogram(Z, ax=ax, show_leaf_counts=False, **cut_short),
        truncated,
        *axes,
    )
    axes = ("sample index or (cluster size)", "distance")
    page("dendrogram-truncated", (8, 6), lambda ax: dendrogram(Z, ax=ax, **cut_short), truncated, *axes)
    page("dendrogram-heights", (8, 6), partial(_fancy, Z, cut_short | {"annotate_above": 10}))
    for max_d in (50.0, 16.0):
        cut_options = cut_short | {"annotate_above": 10, "max_d": max_d}
        page(f"dendrogram-cut-at-{max_d:g}", (8, 6), partial(_fancy, Z, cut_options))
    page("elbow", (8, 6), lambda ax: plot_elbow(Z, last=10, ax=ax))
    page("points-five-groups", (8, 6), lambda ax: ax.scatter(run.X2[:, 0], run.X2[:, 1]))
    wide = cut_short | {"p": 30, "annotate_above": 40, "max_d": 170.0}
    page("dendrogram-five-groups", (10, 10), partial(_fancy, run.Z2, wide))
    page("elbow-five-groups", (8, 6), lambda ax: plot_elbow(run.Z2, last=10, ax=ax))
    page("clusters", (10, 8), lambda ax: plot_clusters(X, run.clusters, ax=ax))
    return written


def _fancy(Z: NDArray[np.float64], options: dict[str, Any], ax: Any) -> None:
    fancy_dendrogram(Z, ax=ax, **options)


def _table(name: str, printed: str, ours: NDArray[Any]) -> Comparison:
    """Compare rows of numbers, at five decimals, as the tutorial prints them; whole numbers without any."""
    rows = [[float(cell) for cell in line.split()] for line in printed.splitlines()]
    return Comparison(name, _five_decimals(rows), _five_decimals(np.atleast_2d(ours).tolist()))


def _five_decimals(rows: list[list[float]]) -> str:
    cells = [[f"{value:.5f}" for value in row] for row in rows]
    # A column is printed as integers when all of its cells are, to five decimals.
    for column in range(len(cells[0])):
        if all(row[column].endswith(".00000") for row in cells):
            for row in cells:
                row[column] = row[column][: -len(".00000")]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _labels(name: str, labels: NDArray[Any]) -> Comparison:
    return Comparison(name, _runs([int(label) for label in LABELS.split()]), _runs(labels.tolist()))


def _runs(labels: list[int]) -> str:
    """Abbreviate ``[2, 2, 2, 1, 1]`` to ``3 x 2, 2 x 1``, for long lists of labels."""
    return ", ".join(f"{sum(1 for _ in run)} x {label}" for label, run in groupby(labels))
