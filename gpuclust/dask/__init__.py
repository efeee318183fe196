"""gpuclust on a Dask cluster: the same results, to the bit, with searches by its workers.

Needs Dask: ``pip install 'gpuclust[dask]'``. See docs/distributed.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust.dask.estimator import AgglomerativeClustering as AgglomerativeClustering
    from gpuclust.dask.interface import cophenetic_correlation as cophenetic_correlation
    from gpuclust.dask.interface import linkage as linkage
    from gpuclust.dask.interface import nearest_neighbors as nearest_neighbors
    from gpuclust.dask.planning import plan as plan

__all__ = export(
    __name__,
    {
        "gpuclust.dask.estimator": "AgglomerativeClustering",
        "gpuclust.dask.interface": "linkage nearest_neighbors cophenetic_correlation",
        "gpuclust.dask.planning": "plan",
    },
    needs={"AgglomerativeClustering": "sklearn"},
)
