"""The colour of each cluster, the same in every picture of a clustering."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gpuclust.hierarchy.ordering import leaf_positions
from gpuclust.plotting.style import distinct_colors, to_hex

#: Of what is in no cluster.
LEFT_OUT = "#bfbfbf"


def cluster_colors(labels: npt.ArrayLike, left_out: int | None = 0) -> dict[int, str]:
    """The colour of each label, as ``"#rrggbb"``: those of `distinct_colors` in order of the labels.

    ``left_out`` is the label of what is in no cluster, None if every label is a cluster.
    """
    found = [int(label) for label in np.unique(np.asarray(labels))]
    named = [label for label in found if left_out is None or label != left_out]
    colors = dict(zip(named, map(to_hex, distinct_colors(len(named))), strict=True))
    return colors if len(named) == len(found) else {**colors, int(left_out or 0): LEFT_OUT}


def link_colors(Z: npt.ArrayLike, labels: npt.ArrayLike, above: str) -> Callable[[int], str]:
    """The colour of the link of each cluster of a tree, by its id: that of the label that all below it have.

    ``above`` is that of links between clusters, and in what is left out (label 0).
    """
    start, size = leaf_positions(Z)
    n = (len(start) + 1) // 2
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"clusters must be {n:,} labels, one for each observation, got shape {labels.shape}")
    in_order = np.empty(n, dtype=np.int64)
    in_order[start[:n]] = labels
    changes = np.concatenate(([0], np.cumsum(in_order[1:] != in_order[:-1])))
    uniform = changes[start] == changes[start + size - 1]
    colors = cluster_colors(labels)

    def color(node: int) -> str:
        label = int(in_order[start[node]])
        return colors[label] if uniform[node] and label != 0 else above

    return color
