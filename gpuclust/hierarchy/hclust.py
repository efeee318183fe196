"""Linkage matrices in the form of R's ``hclust`` objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.hierarchy.ordering import leaves_list

#: R's names of linkages, where they differ.
_NAMES_IN_R = {"ward": "ward.D2", "weighted": "mcquitty"}


def to_hclust(Z: NDArray[np.float64], names: list[str] | None, method: str, metric: str) -> dict[str, Any]:
    """Return a tree as the fields of an ``hclust`` object of R.

    In ``merge`` an observation is its negative number from 1, and a cluster the number of the merge that made it.
    ``jsonlite::fromJSON`` reads the file; ``class(tree) <- "hclust"`` then makes it one that R plots and cuts.
    """
    n = len(Z) + 1
    pairs = Z[:, :2].astype(np.int64)
    merge = np.where(pairs < n, -(pairs + 1), pairs - n + 1)
    return {
        "merge": merge.tolist(),
        "height": Z[:, 2].tolist(),
        "order": (leaves_list(Z) + 1).tolist(),
        "labels": names,
        "method": _NAMES_IN_R.get(method, method),
        "dist.method": metric,
    }
