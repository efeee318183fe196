"""Pictures of a clustering: annotated dendrogram, elbow of the last merges, labelled points, heat map with trees.

Names, and Matplotlib, are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust.plotting.clustermap import ClusterMap as ClusterMap
    from gpuclust.plotting.clustermap import clustermap as clustermap
    from gpuclust.plotting.figures import fancy_dendrogram as fancy_dendrogram
    from gpuclust.plotting.figures import plot_clusters as plot_clusters
    from gpuclust.plotting.figures import plot_elbow as plot_elbow

__all__ = export(
    __name__,
    {
        "gpuclust.plotting.clustermap": "ClusterMap clustermap",
        "gpuclust.plotting.figures": "fancy_dendrogram plot_clusters plot_elbow",
    },
)
