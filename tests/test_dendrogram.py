"""dendrogram against SciPy's: the dictionary value by value and type by type, the picture line by line and pixel by
pixel; deep and large trees; errors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from covering import covering
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from treegen import balanced, caterpillar, from_children, random_linkage

from gpuclust.errors import ClusterWarning
from gpuclust.hierarchy import dendrogram_drawing
from gpuclust.hierarchy.dendrogram import dendrogram, set_link_color_palette

ORIENTATIONS = ("top", "bottom", "left", "right")


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal values of equal types, all the way down."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours == theirs


def new_axes() -> Any:
    figure = Figure(figsize=(6, 4), dpi=80)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def pixels(ax: Any) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba()).astype(int)


def description(ax: Any) -> dict[str, Any]:
    """The artists on the axes."""
    ax.figure.canvas.draw()
    axes = {}
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        texts = axis.get_ticklabels()
        axes[name] = {
            "limits": axis.get_view_interval().tolist(),
            "inverted": axis.get_inverted(),
            "ticks": axis.get_ticklocs().tolist(),
            "side": axis.get_ticks_position(),
            "labels": [(t.get_text(), t.get_rotation(), t.get_size()) for t in texts],
            "marks": [line.get_visible() for line in axis.get_ticklines()] if len(texts) else [],
        }
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    segments = [([s.tolist() for s in c.get_segments()], c.get_colors().tolist()) for c in lines]
    return {"axes": axes, "lines": segments}


options = st.fixed_dictionaries(
    {},
    optional={
        "p": st.integers(-2, 40),
        "truncate_mode": st.sampled_from([None, "none", "lastp", "level", "mtica"]),
        "color_threshold": st.sampled_from([None, "default", 0, -1.0, 0.3, 0.5, 2, float("inf")]),
        "count_sort": st.sampled_from([False, True, "ascending", "descending"]),
        "distance_sort": st.sampled_from([False, True, "ascending", "descending"]),
        "show_leaf_counts": st.booleans(),
        "show_contracted": st.booleans(),
        "above_threshold_color": st.sampled_from(["C0", "k", "#bcbddc"]),
        "leaf_label_func": st.sampled_from([None, lambda node: f"<{node}>"]),
        "link_color_func": st.sampled_from([None, lambda node: f"C{node % 10}"]),
        "orientation": st.sampled_from(ORIENTATIONS),
    },
)


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(2, 60),
    seed=st.integers(0, 10**6),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
    labelled=st.sampled_from(["no", "list", "array"]),
    kwargs=options,
)
def test_same_dictionary(n, seed, ties, inversions, flips, labelled, kwargs):
    Z = random_linkage(n, seed, ties=ties, inversions=inversions, flips=flips)
    if labelled != "no":
        kwargs = {**kwargs, "labels": [f"s{i}" for i in range(n)] if labelled == "list" else np.arange(n) * 3}
    assert_same(dendrogram(Z, no_plot=True, **kwargs), scipy_hierarchy.dendrogram(Z, no_plot=True, **kwargs))


def test_same_dictionary_where_all_heights_are_zero():
    for seed in range(20):  # the middle of a cluster of height 0 may fall on a leaf: SciPy's rule colours it
        Z = random_linkage(40, seed, ties=True)
        Z[:30, 2] = 0.0
        assert_same(dendrogram(Z, no_plot=True), scipy_hierarchy.dendrogram(Z, no_plot=True))


def test_functions_are_called_once_for_each_shown_node_in_order():
    Z = random_linkage(30, 3)
    called: dict[str, list[int]] = {"leaf": [], "link": []}
    result = dendrogram(
        Z,
        p=7,
        truncate_mode="lastp",
        no_plot=True,
        leaf_label_func=lambda node: called["leaf"].append(node) or str(node),
        link_color_func=lambda node: called["link"].append(node) or "k",
    )
    assert called["leaf"] == result["leaves"]
    assert len(called["link"]) == 6
    assert all(type(node) is int for node in called["leaf"] + called["link"])


def test_without_leaves():
    Z = random_linkage(12, 1)
    result, full = dendrogram(Z, get_leaves=False, no_plot=True), dendrogram(Z, no_plot=True)
    assert result.pop("leaves") is None
    assert_same(result, {key: value for key, value in full.items() if key != "leaves"})


def test_palette():
    Z = random_linkage(40, 5)
    palette = ["c", "m"]
    try:
        set_link_color_palette(palette)
        scipy_hierarchy.set_link_color_palette(palette)
        ours = dendrogram(Z, color_threshold=0.6, no_plot=True)
        assert_same(ours, scipy_hierarchy.dendrogram(Z, color_threshold=0.6, no_plot=True))
        assert set(ours["color_list"]) == {"c", "m", "C0"}
        palette[0] = "r"  # what is done to the caller's list later changes nothing
        assert dendrogram(Z, color_threshold=0.6, no_plot=True) == ours
    finally:
        set_link_color_palette(None)
        scipy_hierarchy.set_link_color_palette(None)
    assert "C1" in dendrogram(Z, color_threshold=0.6, no_plot=True)["color_list"]
    assert dendrogram(Z, color_threshold=0.6, no_plot=True, palette=["c", "m"]) == ours


@pytest.mark.parametrize("palette", ["cmyk", 3, ["c", 1], {"c": 1}])
def test_palette_refuses(palette):
    for function in (set_link_color_palette, scipy_hierarchy.set_link_color_palette):
        with pytest.raises(TypeError):
            function(palette)
    with pytest.raises(ValueError, match="at least one"):
        set_link_color_palette([])
    with pytest.raises(TypeError, match="palette"):
        dendrogram(random_linkage(9, 0), no_plot=True, palette=palette)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"orientation": "up"}, ValueError),
        ({"truncate_mode": "last"}, ValueError),
        ({"p": "many", "truncate_mode": "lastp"}, TypeError),
        ({"labels": ["a", "b"]}, ValueError),
        ({"labels": []}, ValueError),
        ({"link_color_func": lambda node: 3}, TypeError),
        ({"Z": np.zeros((3, 3))}, ValueError),
        ({"Z": np.zeros(4)}, ValueError),
        ({"Z": np.zeros((0, 4))}, ValueError),
        ({"Z": np.array([[0, 1, 1, 2], [2, 3, 2, 4]])}, TypeError),
        ({"Z": np.array([[0, 1, 1, 2], [0, 3, 2, 3.0]])}, ValueError),
        ({"Z": np.array([[0, 1, -1, 2], [2, 3, 2, 3.0]])}, ValueError),
    ],
)
def test_same_errors(change, error):
    arguments = {"Z": random_linkage(6, 0), "no_plot": True, **change}
    for function in (dendrogram, scipy_hierarchy.dendrogram):
        with pytest.raises(error):
            function(**arguments)


def test_color_threshold_that_is_not_a_number():
    with pytest.raises(TypeError, match="color_threshold must be a number, None or 'default', got 'high'"):
        dendrogram(random_linkage(6, 0), color_threshold="high", no_plot=True)


def test_unknown_sort_is_ignored_with_a_warning():
    Z = random_linkage(20, 4)
    with pytest.warns(ClusterWarning, match="distance_sort='descendent' is ignored"):
        ours = dendrogram(Z, distance_sort="descendent", no_plot=True)
    assert_same(ours, scipy_hierarchy.dendrogram(Z, distance_sort="descendent", no_plot=True))


def test_deep_tree_in_full():
    n, limit = 20_000, sys.getrecursionlimit()
    ax = new_axes()
    result = dendrogram(caterpillar(n), ax=ax, no_labels=True)
    assert sys.getrecursionlimit() == limit
    assert result["leaves"] == [*range(n - 1, 1, -1), 0, 1]
    assert [d[1] for d in result["dcoord"]] == list(range(1, n))
    assert sum(len(c.get_segments()) for c in ax.collections) == n - 1


@pytest.mark.parametrize(
    ("tree", "mode"),
    covering([caterpillar, balanced, lambda n: random_linkage(n, 0)], [("lastp", 30), ("level", 4)], together=1),
)
def test_truncated_dendrogram_of_a_million_merges(tree, mode):
    kwargs = {"truncate_mode": mode[0], "p": mode[1]}
    Z = tree(1_000_001)
    ax = new_axes()
    result = dendrogram(Z, ax=ax, show_contracted=True, **kwargs)
    assert_same(result, scipy_hierarchy.dendrogram(Z, no_plot=True, **kwargs))
    (dots,) = (c for c in ax.collections if isinstance(c, EllipseCollection))
    assert 30 <= len(dots.get_offsets()) < 200_000  # of about a million


PICTURES = {
    "plain": {},
    "lastp": {"truncate_mode": "lastp", "p": 12, "leaf_rotation": 90.0, "leaf_font_size": 12.0},
    "level": {"truncate_mode": "level", "p": 3, "color_threshold": 0.5, "above_threshold_color": "k"},
    "rotated": {"leaf_rotation": 30, "labels": [f"name {i}" for i in range(45)]},
    "unlabelled": {"no_labels": True, "link_color_func": lambda node: f"C{node % 3}"},
    "one leaf": {"truncate_mode": "lastp", "p": 1},
}


@pytest.mark.parametrize(("picture", "orientation"), covering(PICTURES, ORIENTATIONS, together=1))
def test_same_picture(picture, orientation):
    Z = random_linkage(45, 8)
    ours, theirs = new_axes(), new_axes()
    dendrogram(Z, ax=ours, orientation=orientation, **PICTURES[picture])
    scipy_hierarchy.dendrogram(Z, ax=theirs, orientation=orientation, **PICTURES[picture])
    assert description(ours) == description(theirs)
    assert np.array_equal(pixels(ours), pixels(theirs))


@pytest.mark.parametrize("n", [20, 30, 50, 85, 90])
def test_same_label_sizes(n):
    Z = balanced(n)
    for orientation in ("top", "left"):
        ours, theirs = new_axes(), new_axes()
        dendrogram(Z, ax=ours, orientation=orientation)
        scipy_hierarchy.dendrogram(Z, ax=theirs, orientation=orientation)
        assert description(ours) == description(theirs)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kwargs", [{"truncate_mode": "lastp", "p": 6}, {"truncate_mode": "level", "p": 2}])
def test_same_dots_for_contracted_merges(kwargs, orientation):
    Z = random_linkage(80, 8)
    ours, theirs = new_axes(), new_axes()
    dendrogram(Z, ax=ours, orientation=orientation, show_contracted=True, **kwargs)
    scipy_hierarchy.dendrogram(Z, ax=theirs, orientation=orientation, show_contracted=True, **kwargs)
    (dots,) = (c for c in ours.collections if isinstance(c, EllipseCollection))
    ellipses = [patch for patch in theirs.patches if isinstance(patch, Ellipse)]
    assert sorted(map(tuple, dots.get_offsets().tolist())) == sorted(e.center for e in ellipses)
    assert np.abs(pixels(ours) - pixels(theirs)).max() <= 3


def test_dots_left_out_cannot_be_seen(monkeypatch):
    Z = random_linkage(60_000, 2)
    pictures = []
    for most in (10**9, 20_000):
        monkeypatch.setattr(dendrogram_drawing, "_MANY_MARKS", most)
        ax = new_axes()
        dendrogram(Z, ax=ax, truncate_mode="lastp", p=12, show_contracted=True)
        pictures.append(
            (sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, EllipseCollection)), pixels(ax))
        )
    (all_dots, whole), (fewer_dots, thinned) = pictures
    assert all_dots == 59_999 - 11 - 12  # merges, less links and contracted leaves
    assert fewer_dots < all_dots
    # The same pixels are dark, but for those beside them: at the rim even a trace of a dot, often repeated, is black.
    dark, thin = (picture[..., :3].max(axis=2) < 64 for picture in (whole, thinned))
    near = thin | np.roll(thin, 1, 0) | np.roll(thin, -1, 0)
    near |= np.roll(near, 1, 1) | np.roll(near, -1, 1)
    assert dark.sum() > 2000
    assert (thin <= dark).all()
    assert (dark <= near).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_tree_of_height_zero_is_drawn(orientation):
    ax = new_axes()
    dendrogram(from_children(np.array([0, 2]), np.array([1, 3]), np.zeros(2)), ax=ax, orientation=orientation)
    pixels(ax)
    height = ax.yaxis if orientation in ("top", "bottom") else ax.xaxis
    assert sorted(height.get_view_interval()) == [0, 1]


def test_current_axes_and_the_color_of_a_leaf():
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    try:
        result = dendrogram(random_linkage(10, 0))
        assert sum(len(c.get_segments()) for c in ax.collections) == 9
        assert [to_rgba(color) for color in result["leaves_color_list"]]
    finally:
        pyplot.close(figure)


def test_layout_needs_no_matplotlib():
    code = (
        "import sys, numpy; from gpuclust.hierarchy.dendrogram import dendrogram;"
        "dendrogram(numpy.array([[0, 1, 1.0, 2]]), no_plot=True); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
