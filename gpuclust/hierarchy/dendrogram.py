"""`dendrogram`: validation of its arguments, and the dictionary that describes the picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpuclust.core.arguments import axes, function_or_none, label_list, one_of, real_number
from gpuclust.errors import ClusterWarning
from gpuclust.hierarchy.dendrogram_drawing import draw_links
from gpuclust.hierarchy.dendrogram_layout import Layout
from gpuclust.hierarchy.validity import as_linkage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DEFAULT_PALETTE = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9")
_palette: tuple[str, ...] = _DEFAULT_PALETTE

_ORIENTATIONS = ("top", "left", "bottom", "right")
#: Matplotlib's words for sizes and angles of text.
_SIZES = ("xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "smaller", "larger")
_TURNS = ("vertical", "horizontal")
_TRUNCATIONS = {None: None, "none": None, "lastp": "lastp", "level": "level", "mtica": "level"}


def set_link_color_palette(palette: Sequence[str] | None) -> None:
    """Set the colours that `dendrogram` gives, in turn, to the clusters below its ``color_threshold``.

    The palette is shared by all later calls in the process. To colour one dendrogram only, use the arguments
    ``palette`` or ``link_color_func`` of that function.

    Parameters
    ----------
    palette : list or tuple of str, or None
        Matplotlib colours, used in this order and then again from the first. ``None`` brings back the default,
        ``C1`` to ``C9``.

    Raises
    ------
    TypeError
        If `palette` is not a list or tuple, or holds something that is not a string.
    ValueError
        If `palette` is empty.

    Examples
    --------
    >>> from gpuclust.hierarchy import dendrogram, linkage, set_link_color_palette
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> set_link_color_palette(["m", "c"])
    >>> dendrogram(Z, no_plot=True)["color_list"]
    ['m', 'c', 'C0']
    >>> set_link_color_palette(None)  # back to the default
    """
    global _palette
    if palette is None:
        palette = _DEFAULT_PALETTE
    _palette = _checked_palette(palette)


def palette_is_default() -> bool:
    """Whether the palette is the default of `set_link_color_palette`."""
    return _palette == _DEFAULT_PALETTE


def dendrogram(
    Z: npt.ArrayLike,
    p: float = 30,
    truncate_mode: str | None = None,
    color_threshold: float | str | None = None,
    get_leaves: bool = True,
    orientation: str = "top",
    labels: Sequence[Any] | np.ndarray | None = None,
    count_sort: str | bool = False,
    distance_sort: str | bool = False,
    show_leaf_counts: bool = True,
    no_plot: bool = False,
    no_labels: bool = False,
    leaf_font_size: float | None = None,
    leaf_rotation: float | None = None,
    leaf_label_func: Callable[[int], str] | None = None,
    show_contracted: bool = False,
    link_color_func: Callable[[int], str] | None = None,
    ax: Axes | None = None,
    above_threshold_color: str = "C0",
    *,
    palette: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Lay out a hierarchical clustering as a dendrogram, and draw it.

    Each merge is a link in the shape of a U: its two legs end at the two clusters that were merged, and its bar
    stands at the height of the merge.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4), float64
        Linkage matrix.
    p : int
        How much a truncated dendrogram shows; see `truncate_mode`.
    truncate_mode : {None, 'lastp', 'level'}
        ``None`` (or ``'none'``) shows all merges. ``'lastp'`` shows `p` leaves: the last ``p - 1`` merges are
        links, and each cluster formed before them is contracted to a leaf (``p = 0`` or ``p > n``: all are shown).
        ``'level'`` (or ``'mtica'``) contracts clusters that lie more than `p` links below the root (``p <= 0``: no
        limit). The cluster of the first merge, id ``n``, is never contracted by ``'level'``: that is SciPy's rule.
    color_threshold : float, 'default' or None
        All links of a cluster below this height get one colour of the palette (see `set_link_color_palette`); links
        at or above it get `above_threshold_color`, and so do all links if it is ``<= 0``. ``None`` and
        ``'default'`` mean 0.7 of the largest height.
    get_leaves : bool
        If false, ``'leaves'`` in the result is None.
    orientation : {'top', 'bottom', 'left', 'right'}
        The side on which the root is drawn.
    labels : sequence of length n, Series or dict, optional
        Labels of the observations; by default their indices. A Series is read by position, whatever its index, a dict
        by the number of the observation; labels that are bytes are decoded.
    count_sort, distance_sort : bool or {'ascending', 'descending'}
        Which child of a link is drawn first. ``count_sort``: with 'ascending' (or True) the one with fewer
        observations. ``distance_sort``: with 'ascending' (or True) the one merged at the smaller height. By default
        the order is that of the row of `Z`. If both are given, `count_sort` decides.
    show_leaf_counts : bool
        Label a contracted leaf with its number of observations in brackets; otherwise with an empty text.
    no_plot : bool
        Compute the layout only. Matplotlib is not needed then.
    no_labels : bool
        Draw no leaf labels. Thousands of them take far longer to draw than the links.
    leaf_font_size, leaf_rotation : float, optional
        Size (points) and angle (degrees) of the leaf labels; by default chosen by the number of leaves.
    leaf_label_func : callable, optional
        ``leaf_label_func(id)`` returns the label of a leaf: an observation (``id < n``) or a contracted cluster.
    show_contracted : bool
        Draw a dot at the height of every merge that is hidden in a contracted leaf.
    link_color_func : callable, optional
        ``link_color_func(id)`` returns the colour, a string, of the link of cluster ``id``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default pyplot's current axes.
    above_threshold_color : str
        Colour of the links at or above `color_threshold`.
    palette : list or tuple of str, optional
        Colours of the clusters of this dendrogram, in turn, instead of those of `set_link_color_palette`.

    Returns
    -------
    dict
        ``'icoord'``, ``'dcoord'``: for each link, children before parents, a list of four positions along the
        leaves and one of four heights; the k-th leaf stands at ``10 k + 5``. ``'ivl'``: labels of the leaves.
        ``'leaves'``: their cluster ids. ``'color_list'``: the colour of each link. ``'leaves_color_list'``: the
        colour of each leaf.

    Raises
    ------
    ValueError
        If `Z` is not a linkage matrix, `labels` does not have n entries, `orientation` or `truncate_mode` is unknown,
        `p` or `color_threshold` is NaN, or `palette` is empty.
    TypeError
        If `Z` is not float64, `labels` is no sequence, `p` or `color_threshold` is not a number, `ax` is no axes, a
        function is not callable, or `link_color_func` returns or `palette` holds something that is not a string.

    Warns
    -----
    ClusterWarning
        If `count_sort` or `distance_sort` has an unknown value, which is ignored.

    Notes
    -----
    Time and memory are O(links shown), besides a few vectorised passes over `Z`. Where `Z` has inversions (centroid,
    median) links cross.

    Examples
    --------
    >>> from gpuclust.hierarchy import dendrogram, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> drawn = dendrogram(Z, no_plot=True)
    >>> drawn["ivl"]
    ['0', '1', '2', '3']
    >>> [float(height) for height in drawn["dcoord"][0]]
    [0.0, 1.0, 1.0, 0.0]
    """
    _check_style(orientation, ax, leaf_font_size, leaf_rotation, above_threshold_color)
    function_or_none(leaf_label_func, "leaf_label_func")
    function_or_none(link_color_func, "link_color_func")
    rows = _rows(Z)
    # Before Z itself, as in SciPy.
    names = None if labels is None or rows is None else label_list(labels, rows + 1)
    Z = as_linkage(Z, "Z", cast=False)
    n = Z.shape[0] + 1
    highest = Z[:, 2].max()
    threshold = _threshold(color_threshold, highest)
    colors = _palette if palette is None else _checked_palette(palette)
    tree = Layout(Z, _contraction(p, truncate_mode, n), _child_order(Z, count_sort, distance_sort))
    tree.walk(threshold, above_threshold_color, colors)
    if link_color_func is not None:
        tree.colors = [_checked_color(link_color_func(node)) for node in tree.links]

    def label(node: int) -> Any:
        if leaf_label_func:
            return leaf_label_func(node)
        if node < n:
            return str(node) if names is None else names[node]
        return f"({int(Z[node - n, 3])})" if show_leaf_counts else ""

    result = {
        "icoord": tree.icoord,
        "dcoord": tree.dcoord,
        "ivl": [label(node) for node in tree.leaves],
        "leaves": tree.leaves if get_leaves else None,
        "color_list": tree.colors,
    }
    if not no_plot:
        draw_links(
            result,
            highest=highest,
            orientation=orientation,
            ax=ax,
            no_labels=no_labels,
            font_size=leaf_font_size,
            rotation=leaf_rotation,
            marks=tree.contraction_marks() if show_contracted else None,
            last_color=above_threshold_color,
        )
    result["leaves_color_list"] = _leaf_colors(result, len(tree.leaves))
    return result


def _check_style(
    orientation: Any, ax: Any, font_size: float | str | None, rotation: float | str | None, color: Any
) -> None:
    """Raise an error for an argument of `dendrogram` that says how it is drawn."""
    if not isinstance(orientation, str) or orientation not in _ORIENTATIONS:
        raise ValueError(f"orientation must be one of 'top', 'left', 'bottom', or 'right', got {orientation!r}")
    axes(ax)
    for name, number, words, least in (
        ("leaf_font_size", font_size, _SIZES, 0.0),
        ("leaf_rotation", rotation, _TURNS, None),
    ):
        if isinstance(number, str):
            one_of(number, name, words)
        elif number is not None:
            real_number(number, name, least, finite=True)
    if not isinstance(color, str):
        raise TypeError(f"above_threshold_color must be a Matplotlib color string, got {color!r}.")


def _threshold(color_threshold: float | str | None, highest: float) -> float:
    """The height below which links have the colour of their cluster."""
    if color_threshold is None or (isinstance(color_threshold, str) and color_threshold == "default"):
        color_threshold = highest * 0.7
    if isinstance(color_threshold, str):
        raise TypeError(f"color_threshold must be a number, None or 'default', got {color_threshold!r}")
    return real_number(color_threshold, "color_threshold")


def _rows(Z: Any) -> int | None:
    """Number of rows of a linkage matrix that is not yet checked; None if it has no length."""
    try:
        return len(Z)
    except TypeError:
        return None


def _contraction(p: float, mode: str | None, n: int) -> Callable[[int, int], bool]:
    """The predicate of a cluster's id and level below the root that decides whether it is contracted to a leaf."""
    p = int(real_number(p, "p", finite=True))
    if not (mode is None or isinstance(mode, str)) or mode not in _TRUNCATIONS:
        raise ValueError(f"Invalid truncation mode. Got {mode!r}, allowed: None, 'none', 'lastp', 'level', 'mtica'")
    mode = _TRUNCATIONS[mode]
    if mode == "lastp" and 0 != p <= n:
        return lambda node, level: node < 2 * n - p
    if mode == "level" and p > 0:
        return lambda node, level: node > n and level > p
    return lambda node, level: False


def _child_order(
    Z: np.ndarray, count_sort: str | bool, distance_sort: str | bool
) -> Callable[[int, int], tuple[int, int]]:
    """The function that decides which of two children comes first."""
    n = Z.shape[0] + 1
    by_count, by_height = _direction("count_sort", count_sort), _direction("distance_sort", distance_sort)
    direction = by_count or by_height
    if direction is None:
        return lambda a, b: (a, b)
    column, singleton = (3, 1.0) if by_count else (2, 0.0)

    def ordered(a: int, b: int) -> tuple[int, int]:
        of_a = Z[a - n, column] if a >= n else singleton
        of_b = Z[b - n, column] if b >= n else singleton
        # With equal values ascending keeps the row's order, descending swaps it.
        return (a, b) if (of_a > of_b) == (direction == "descending") else (b, a)

    return ordered


def _direction(name: str, value: str | bool | None) -> str | None:
    """'ascending', 'descending', or None for no sort (or, with a warning, for an unknown value)."""
    if value is True:
        return "ascending"
    if value is None or value is False:
        return None
    if isinstance(value, str) and value in ("ascending", "descending"):
        return value
    allowed = "False, True, 'ascending', 'descending'"
    warnings.warn(f"{name}={value!r} is ignored; allowed: {allowed}", ClusterWarning, stacklevel=4)
    return None


def _leaf_colors(result: dict[str, Any], leaves: int) -> list[str | None]:
    """The colour of each leaf: that of the last link with an end on the leaf's place (None where there is no link).

    A cluster of height 0 whose middle falls on a leaf's place counts too: that is SciPy's rule.
    """
    colors: list[str | None] = [None] * leaves
    x, y = np.array(result["icoord"]).ravel(), np.array(result["dcoord"]).ravel()
    ends = np.flatnonzero((y == 0.0) & (x % 10 == 5))
    for leaf, link in zip((x[ends] // 10).astype(np.int64).tolist(), (ends // 4).tolist(), strict=True):
        colors[leaf] = result["color_list"][link]
    return colors


def _checked_palette(palette: Any) -> tuple[str, ...]:
    if not isinstance(palette, (list, tuple)):
        raise TypeError(f"palette must be a list or tuple of color strings, or None, got {type(palette).__name__}")
    wrong = [color for color in palette if not isinstance(color, str)]
    if wrong:
        raise TypeError(f"all palette list elements must be color strings, got {wrong[0]!r}")
    if not palette:
        raise ValueError("palette must hold at least one color string, got an empty one")
    return tuple(palette)


def _checked_color(color: Any) -> str:
    if not isinstance(color, str):
        raise TypeError(f"link_color_func must return a matplotlib color string! Got {color!r}")
    return color
