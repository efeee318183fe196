"""Data of an interactive report: the linkage matrix, a sample of the rows, and their distances, packed into text.

A packed block is a JSON header and typed arrays in little-endian order, the bytes of an array by significance
(those that hardly vary lie together), compressed by zlib, in base64. ``assets/tree.js`` unpacks it. Names of rows and
columns are inside such blocks and never part of the page's markup.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.hierarchy.validity import children
from gpuclust.plotting.scatter import in_the_plane
from gpuclust.plotting.style import PALETTE, shared_labels
from gpuclust.report.svg import sample_of

if TYPE_CHECKING:
    from markupsafe import Markup

    from gpuclust.report.page import Page

#: Largest number of observations of an interactive report; that of more has drawings only.
MOST = 2**20
#: Largest number of observations whose distances are packed, for silhouettes.
SILHOUETTES = 150
#: Largest number of columns in the heat map, and of observations whose names are unpacked before the first drawing.
_COLUMNS, _FEW = 60, 20_000
_ASSETS = ("tree", "format", "dendrogram", "navigation", "heatmap", "scatter", "silhouettes", "profiles", "report")


@cache
def script() -> Markup:
    """The source of the interactive report."""
    from markupsafe import Markup

    folder = Path(__file__).parent / "assets"
    return Markup("\n").join(Markup((folder / f"{name}.js").read_text(encoding="utf-8")) for name in _ASSETS)


def payload(page: Page, suggested: int | None) -> dict[str, str] | None:
    """Pack the data of a page.

    Parameters
    ----------
    page : Page
    suggested : int or None
        Number of clusters that is shown if the tree is not cut.

    Returns
    -------
    dict or None
        ``data`` and ``names`` (None without names), base64; None where the report is not interactive.
    """
    n = len(page.Z) + 1
    if n > MOST:
        return None
    left, right = children(page.Z)
    arrays = {"left": (left, "i4"), "right": (right, "i4"), "height": (page.Z[:, 2], "f8")}
    header: dict[str, Any] = {
        "palette": PALETTE,
        "smallest": page.min_size,
        "suggested": suggested or 2,
        "cutHeight": page.height,
        "small": n <= _FEW,
        "width": 0,
    }
    if page.labels is not None:
        nodes, labels = uniform_branches(page.Z, page.labels)
        arrays |= {"nodes": (nodes, "i4"), "labels": (labels, "i4")}
    if page.rows is not None:
        arrays["rows"] = (page.rows, "i4")
    sample = sample_of(n)
    arrays["sample"] = (sample, "i4")
    _add_points(page, sample, header, arrays)
    _add_distances(page, sample, header, arrays)
    names = None if page.names is None else b64encode(zlib.compress(json.dumps(page.names).encode())).decode()
    return {"data": _packed(header, arrays), "names": names}  # type: ignore[dict-item]


def uniform_branches(Z: NDArray[np.float64], labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The largest branches whose observations have one label, as nodes of the tree, and their labels.

    These are the clusters, except that clusters of label 0 (in no cluster) may be joined.
    """
    label, uniform = shared_labels(Z, labels)
    below = np.zeros(len(label), dtype=bool)  # a child of a uniform branch
    for side in children(Z):
        below[side] = uniform[len(Z) + 1 :]
    nodes = np.flatnonzero(uniform & ~below)
    nodes = nodes[np.argsort(label[nodes], kind="stable")]
    return nodes, label[nodes]


def _add_points(page: Page, sample: NDArray[np.int64], header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Add the sampled points: their places in the plane, and the values of the columns that vary most."""
    points = np.asarray(page.points[sample], dtype=np.float64)
    clusters = np.ones(len(sample), dtype=np.int64)
    place, axes = in_the_plane(page.view.change(points), clusters, page.view.columns)
    header["axes"], header["strip"] = axes, points.shape[1] == 1
    arrays["place"] = (place, _precision(place))
    header["measured"] = page.features is None
    if page.features is None:
        if page.values is None:
            return
        points = np.asarray(page.values[sample], dtype=np.float64)
    with np.errstate(all="ignore"):
        spread = np.nan_to_num(np.nanstd(points, axis=0))
    shown = np.sort(np.argsort(-spread, kind="stable")[:_COLUMNS])
    header["width"] = len(shown)
    header["columns"] = [f"feature {i}" if page.columns is None else str(page.columns[i]) for i in shown.tolist()]
    arrays["values"] = (points[:, shown], _precision(points[:, shown]))


def _precision(values: NDArray[np.float64]) -> str:
    """float32, or float64 for numbers beyond its range, and columns far from zero for their spread."""
    known = np.isfinite(values)
    sizes = np.abs(values[known & (values != 0)])
    low, high = np.where(known, values, np.inf).min(axis=0), np.where(known, values, -np.inf).max(axis=0)
    narrow = (low < high) & (high / 2 - low / 2 < 1e-4 * np.maximum(np.abs(low), np.abs(high)))
    wide = np.min(sizes, initial=1.0) <= 1e-30 or np.max(sizes, initial=1.0) >= 1e30
    return "f8" if wide or narrow.any() else "f4"


def _add_distances(page: Page, sample: NDArray[np.int64], header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Add the distances of a part of the sample, in units of 1/65535 of the largest: silhouettes are relative."""
    chosen: np.ndarray = np.arange(len(sample))
    if len(sample) > SILHOUETTES:
        chosen = np.sort(np.random.default_rng(1).choice(len(sample), SILHOUETTES, replace=False))
    found = page.distances(sample[chosen])
    largest = float(np.max(found, initial=0.0))
    scaled = found / largest if 0 < largest < np.inf else np.zeros(len(found))
    arrays |= {"chosen": (chosen, "i4"), "distances": (np.round(65535 * scaled), "u2")}


def _packed(header: dict[str, Any], arrays: dict[str, tuple[NDArray[Any], str]]) -> str:
    made = {name: np.ascontiguousarray(array, dtype=f"<{kind}").ravel() for name, (array, kind) in arrays.items()}
    header["arrays"] = [(name, arrays[name][1], array.size) for name, array in made.items()]
    text = json.dumps(header).encode()
    parts = [len(text).to_bytes(4, "little"), text]
    parts += [array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes() for array in made.values()]
    return b64encode(zlib.compress(b"".join(parts))).decode()
