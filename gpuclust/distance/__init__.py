"""Distances between points: the functions of ``scipy.spatial.distance`` that work on whole sets of them.

===================  =====================================================================
all pairs            pdist, cdist
nearest neighbours   nearest_neighbors (not in SciPy)
two forms            squareform; is_valid_dm, is_valid_y, num_obs_dm, num_obs_y
===================  =====================================================================

Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust.distance.condensed import is_valid_dm as is_valid_dm
    from gpuclust.distance.condensed import is_valid_y as is_valid_y
    from gpuclust.distance.condensed import num_obs_dm as num_obs_dm
    from gpuclust.distance.condensed import num_obs_y as num_obs_y
    from gpuclust.distance.condensed import squareform as squareform
    from gpuclust.distance.neighbors import nearest_neighbors as nearest_neighbors
    from gpuclust.distance.pairs import cdist as cdist
    from gpuclust.distance.pairs import pdist as pdist

__all__ = export(
    __name__,
    {
        "gpuclust.distance.condensed": "is_valid_dm is_valid_y num_obs_dm num_obs_y squareform",
        "gpuclust.distance.neighbors": "nearest_neighbors",
        "gpuclust.distance.pairs": "cdist pdist",
    },
)
