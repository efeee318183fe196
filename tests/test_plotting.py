"""Figures: their content, annotations that do not overlap, and no change of global settings."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations, pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from treegen import caterpillar, random_linkage

from gpuclust.hierarchy.cut import fcluster
from gpuclust.hierarchy.dendrogram import dendrogram, set_link_color_palette
from gpuclust.plotting import fancy_dendrogram, plot_clusters, plot_elbow, scatter
from gpuclust.plotting.style import LEFT_OUT, PALETTE, distinct_colors, link_colors

ORIENTATIONS = ("top", "bottom", "left", "right")


@pytest.fixture(autouse=True)
def _nothing_global_changes():
    backend, before = mpl.get_backend(), dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend() == backend


@pytest.fixture
def ax() -> Any:
    figure = Figure(figsize=(9, 6), dpi=80)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


@pytest.fixture(scope="module")
def tutorial() -> tuple[np.ndarray, np.ndarray]:
    """The two data sets of the tutorial."""
    rng = np.random.RandomState(4711)
    a = rng.multivariate_normal([10, 0], [[3, 1], [1, 4]], size=[100])
    b = rng.multivariate_normal([0, 20], [[3, 1], [1, 4]], size=[50])
    X = np.concatenate((a, b))
    c = rng.multivariate_normal([40, 40], [[20, 1], [1, 30]], size=[200])
    d = rng.multivariate_normal([80, 80], [[30, 1], [1, 30]], size=[200])
    e = rng.multivariate_normal([0, 100], [[100, 1], [1, 100]], size=[200])
    return X, np.concatenate((X, c, d, e))


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def assert_apart(ax: Any) -> None:
    """No two texts on the axes overlap, and all are inside."""
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    for a, b in combinations(boxes, 2):
        assert not a.overlaps(b)
    for box in boxes:
        assert (ax.bbox.min <= box.min + 0.5).all()
        assert (ax.bbox.max >= box.max - 0.5).all()


def scatter_of(ax: Any, index: int = 0) -> Any:
    return ax.collections[index]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(("max_d", "clusters"), [(50, 2), (16, 4)])
def test_fancy_dendrogram_of_the_tutorial(ax, tutorial, orientation, max_d, clusters):
    Z = scipy_hierarchy.linkage(tutorial[0], "ward")
    shown = {"truncate_mode": "lastp", "p": 12, "leaf_rotation": 90.0, "leaf_font_size": 12.0}
    result = fancy_dendrogram(
        Z, max_d=max_d, annotate_above=10, ax=ax, orientation=orientation, show_contracted=True, **shown
    )
    colors = link_colors(Z, fcluster(Z, max_d, "distance"), "0.55")
    assert result == dendrogram(Z, link_color_func=colors, above_threshold_color="0.55", no_plot=True, **shown)
    assert len(set(result["color_list"]) - {"0.55"}) == min(clusters, 3)  # at 16 one of the four is a single leaf
    *numbers, label = texts(ax)
    assert label == f"cut at {max_d}: {clusters} clusters"
    assert numbers == ["180", "23.1", "17.1", "15.1", "12.4"]
    upright = orientation in ("top", "bottom")
    (line,) = ax.lines
    assert list(line.get_ydata() if upright else line.get_xdata()) == [max_d, max_d]
    dots = ax.collections[-1].get_offsets()
    assert np.allclose(
        sorted(dots[:, 1 if upright else 0])[-4:], [15.11533, 17.11527, 23.12199, 180.27043], atol=1e-5
    )
    assert_apart(ax)
    assert (ax.get_xlabel(), ax.get_ylabel())[upright] == "distance"
    assert (ax.get_ylabel(), ax.get_xlabel())[upright] == "sample index or (cluster size)"
    assert ax.get_title() == "Dendrogram of 150 samples: the last 11 of 149 merges"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_crowded_numbers_keep_apart(ax, tutorial, orientation):
    Z = scipy_hierarchy.linkage(tutorial[1], "ward")
    fancy_dendrogram(Z, truncate_mode=None, orientation=orientation, ax=ax, max_d=30)
    assert 10 < len(ax.texts) < 150
    assert sum(text.startswith("cut at 30: ") for text in texts(ax)) == 1
    assert_apart(ax)


def test_cut_colours_are_the_clusters_of_fcluster(ax):
    Z = random_linkage(80, 7, ties=True)
    for height in np.unique(Z[:, 2]):  # a cut at the height of a merge, too
        result = fancy_dendrogram(Z, max_d=height, no_plot=True)
        links = dict(zip(map(tuple, result["icoord"]), result["color_list"], strict=True))
        assert len(links) == 79
        below = [color != "0.55" for color in result["color_list"]]
        assert below == [d[1] <= height for d in result["dcoord"]]
        ax.clear()
        fancy_dendrogram(Z, max_d=height, ax=ax)
        count = scipy_hierarchy.fcluster(Z, height, "distance").max()
        (cut,) = (text for text in texts(ax) if text.startswith("cut at"))
        assert cut.endswith(f": {count} clusters" if count > 1 else ": 1 cluster")


def test_fancy_dendrogram_truncates_large_trees_unless_told_otherwise(ax):
    Z = random_linkage(5000, 0)
    assert len(fancy_dendrogram(Z, ax=ax)["ivl"]) == 30
    assert any(isinstance(c, EllipseCollection) for c in ax.collections)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["merges within a contracted branch"]
    assert len(fancy_dendrogram(Z, p=12, no_plot=True)["ivl"]) == 12
    ax.clear()
    assert len(fancy_dendrogram(Z, truncate_mode=None, ax=ax)["ivl"]) == 5000
    assert ax.get_xticks().size == 0
    small = random_linkage(100, 0)
    assert len(fancy_dendrogram(small, no_plot=True)["ivl"]) == 100


def test_fancy_dendrogram_of_a_deep_tree_in_full(ax):
    fancy_dendrogram(caterpillar(20_000), truncate_mode=None, max_d=15_000.4, ax=ax)
    assert sum(len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)) == 19_999
    assert "cut at 15,000: 5,000 clusters" in texts(ax)
    assert_apart(ax)


def test_fancy_dendrogram_texts(ax):
    Z, labels = random_linkage(20, 0), [f"s{i}" for i in range(20)]
    fancy_dendrogram(Z, ax=ax, truncate_mode="level", p=2, labels=labels)
    assert ax.get_xlabel() == "sample or (cluster size)"
    assert re.fullmatch(r"Dendrogram of 20 samples: \d of 19 merges", ax.get_title())
    ax.clear()
    fancy_dendrogram(Z, ax=ax, title="Mine", labels=labels, annotate_above=np.inf)
    assert ax.get_title() == "Mine"
    assert ax.get_xlabel() == "sample"
    assert texts(ax) == []
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown == dendrogram(Z, labels=labels, no_plot=True)["ivl"]


def test_no_cluster_is_grey_unless_asked(ax):
    Z = random_linkage(200, 1)
    max_d = float(Z[-12, 2])
    above = dendrogram(Z, no_plot=True, color_threshold=max_d, above_threshold_color="k")["color_list"].count("k")
    colors = fancy_dendrogram(Z, ax=ax, max_d=max_d, truncate_mode=None)["color_list"]
    rgb = np.array([to_rgba(color)[:3] for color in colors])
    assert (np.ptp(rgb, axis=1) < 0.1).sum() == above - 1  # the merge at the cut belongs to a cluster
    assert len(set(colors)) > 8
    try:
        set_link_color_palette(["0.2"])
        assert "0.2" in fancy_dendrogram(Z, max_d=max_d, no_plot=True)["color_list"]
    finally:
        set_link_color_palette(None)
    assert "m" in fancy_dendrogram(Z, max_d=max_d, no_plot=True, palette=["m"])["color_list"]


@pytest.mark.parametrize("orientation", ["top", "bottom", "left", "right"])
def test_a_cut_above_the_root_is_shown(ax, orientation):
    Z = random_linkage(50, 2)
    fancy_dendrogram(Z, ax=ax, max_d=3.0, orientation=orientation)
    interval = ax.get_ylim() if orientation in ("top", "bottom") else ax.get_xlim()
    assert max(interval) > 3.0
    assert (interval[0] < interval[1]) == (orientation in ("top", "right"))
    assert "cut at 3: 1 cluster" in texts(ax)


def test_fancy_dendrogram_passes_errors_on(ax):
    with pytest.raises(ValueError, match="orientation"):
        fancy_dendrogram(random_linkage(5, 0), orientation="up", ax=ax)
    with pytest.raises(ValueError, match="4 columns"):
        fancy_dendrogram(np.zeros((3, 3)), ax=ax)
    with pytest.raises(TypeError, match="colour"):
        fancy_dendrogram(random_linkage(5, 0), colour="red", ax=ax)


@pytest.mark.parametrize(("data", "k"), [(0, 2), (1, 4)])
def test_elbow_of_the_tutorial(ax, tutorial, data, k):
    Z = scipy_hierarchy.linkage(tutorial[data], "ward")
    assert plot_elbow(Z, ax=ax) is ax
    guide, heights, rates, _ = ax.lines
    assert set(guide.get_xdata()) == {k}
    assert heights.get_xdata().tolist() == list(range(1, 11))
    assert heights.get_ydata().tolist() == Z[:-11:-1, 2].tolist()
    assert rates.get_xdata().tolist() == list(range(2, 10))
    assert np.allclose(rates.get_ydata(), np.diff(Z[-10:, 2], 2)[::-1])
    assert texts(ax) == [f"suggested k = {k}"]


def test_clusters_in_two_dimensions(ax, tutorial):
    X = tutorial[0]
    labels = np.repeat([2, 1], [100, 50])
    labels[:3] = 0
    assert plot_clusters(X, labels, ax=ax, highlight=[33, 68, -1]) is ax
    points, rings = ax.collections
    drawn = {
        tuple(xy): tuple(c) for xy, c in zip(points.get_offsets().tolist(), points.get_facecolors(), strict=True)
    }
    colors = {label: {drawn[tuple(xy)][:3] for xy in X[labels == label].tolist()} for label in (0, 1, 2)}
    assert [len(colors[label]) for label in (0, 1, 2)] == [1, 1, 1]
    assert colors[0] == {to_rgba(LEFT_OUT)[:3]}
    assert colors[1] == {to_rgba(PALETTE[0])[:3]}
    assert colors[2] == {to_rgba(PALETTE[1])[:3]}
    assert rings.get_offsets().tolist() == X[[33, 68, 149]].tolist()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["1 (50)", "2 (97)", "left out (3)"]
    assert ax.get_title() == "150 points in 2 clusters"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")


def test_groups_of_highlighted_points_and_labels_from_zero(ax):
    X = np.random.default_rng(0).normal(size=(20, 2))
    plot_clusters(X, np.arange(20).reshape(-1, 1) % 3, ax=ax, highlight=[[1, 2], np.array([5])], left_out=None)
    _, first, second = ax.collections
    assert first.get_offsets().tolist() == X[[1, 2]].tolist()
    assert second.get_offsets().tolist() == X[[5]].tolist()
    assert not np.array_equal(first.get_edgecolors(), second.get_edgecolors())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["0 (7)", "1 (7)", "2 (6)"]


@pytest.mark.parametrize("shape", [(60, 5), (8, 40), (30, 3)])
def test_principal_components(ax, shape):
    X = np.random.default_rng(1).normal(size=shape) * np.geomspace(9, 1, shape[1]) + 5
    plot_clusters(X, np.ones(shape[0], dtype=int), ax=ax)
    centred = X - X.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    expected = u[:, :2] * s[:2]
    place = np.asarray(scatter_of(ax).get_offsets())
    assert np.allclose(np.abs(place), np.abs(expected))
    assert np.allclose(place.T @ place, expected.T @ expected, atol=1e-9)
    share = s**2 / (s**2).sum()
    assert ax.get_xlabel() == f"principal component 1 ({share[0]:.0%} of the variance)"
    assert ax.get_ylabel() == f"principal component 2 ({share[1]:.0%} of the variance)"


def test_principal_components_of_a_large_table_come_from_a_sample(ax, monkeypatch):
    monkeypatch.setattr(scatter, "_EXACT_AXES", 200)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(230, 201)) * 0.01
    X[:, 7] += rng.normal(size=230) * 5
    X[:, 9] += rng.normal(size=230) * 3
    plot_clusters(X, np.ones(230, dtype=int), ax=ax)
    place = np.asarray(scatter_of(ax).get_offsets())
    assert abs(np.corrcoef(place[:, 0], X[:, 7])[0, 1]) > 0.99
    assert abs(np.corrcoef(place[:, 1], X[:, 9])[0, 1]) > 0.99


def test_points_that_are_all_the_same(ax):
    plot_clusters(np.full((5, 3), 2.0), np.arange(5), ax=ax)
    assert not scatter_of(ax).get_offsets().any()
    assert ax.get_xlabel() == "principal component 1"


def test_one_feature_is_a_strip_for_each_cluster(ax):
    plot_clusters(np.arange(6.0).reshape(-1, 1), np.array([1, 1, 5, 5, 9, 9]), ax=ax)
    assert scatter_of(ax).get_offsets().tolist() == [[0, 0], [1, 0], [2, 1], [3, 1], [4, 2], [5, 2]]


def test_a_million_points_are_sampled(ax):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(1_000_000, 2)), rng.integers(1, 21, 1_000_000)
    labels[5:10] = 21
    plot_clusters(X, labels, ax=ax, highlight=[123_456])
    points, ring = ax.collections
    shown = len(points.get_offsets())
    assert 70_000 < shown <= 100_001
    assert points.get_rasterized()
    assert ring.get_offsets().tolist() == [X[123_456].tolist()]
    drawn = set(map(tuple, points.get_offsets().tolist()))
    assert set(map(tuple, X[5:10].tolist())) <= drawn  # of a small cluster all points
    assert ax.get_title() == f"1,000,000 points in 21 clusters ({shown:,} drawn)"
    assert ax.get_legend() is None


@pytest.mark.parametrize("count", [0, 1, 9, 10, 37, 200])
def test_distinct_colors(count):
    colors = distinct_colors(count)
    assert colors.shape == (count, 3)
    assert ((colors >= 0) & (colors <= 1)).all()
    assert len(np.unique(colors.round(6), axis=0)) == count
    assert (np.ptp(colors, axis=1) > 0.1).all()  # none is grey
    assert all(np.abs(a - b).max() > 0.15 for a, b in pairwise(colors))


@pytest.mark.parametrize(
    ("X", "labels", "highlight", "message"),
    [
        (np.zeros(5), np.ones(5, int), None, "points x features, got shape"),
        (np.zeros((0, 2)), np.ones(0, int), None, "points x features, got shape"),
        (np.array([["a", "b"]]), np.ones(1, int), None, "X must hold real numbers, got dtype <U1"),
        (np.zeros((5, 2)), np.ones(4, int), None, "labels must be 5 whole numbers"),
        (np.zeros((5, 2)), np.ones(5), None, "labels must be 5 whole numbers"),
        (np.array([[0, 1], [np.nan, 0]]), np.ones(2, int), None, "point 1 holds NaN"),
        (np.zeros((5, 2)), np.ones(5, int), [5], "the index 5, but there are 5 points"),
        (
            np.zeros((5, 2)),
            np.ones(5, int),
            [0.5],
            "highlight must be a sequence of indices of points.*got shape .1,., float64",
        ),
    ],
)
def test_clusters_refuses(ax, X, labels, highlight, message):
    with pytest.raises(ValueError, match=message):
        plot_clusters(X, labels, ax=ax, highlight=highlight)


def test_current_axes_are_used():
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    try:
        assert plot_clusters(np.zeros((2, 2)), [1, 2]) is ax
        fancy_dendrogram(random_linkage(5, 0))
        assert ax.get_title().startswith("Dendrogram of 5 samples")
    finally:
        pyplot.close(figure)


def test_import_needs_no_matplotlib():
    code = "import sys, gpuclust.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
