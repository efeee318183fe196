"""gpuclust: hierarchical clustering with SciPy's contract and the speed of a GPU, or of all CPU cores.

>>> import numpy as np, gpuclust
>>> X = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [5.0, 6.0]])
>>> Z = gpuclust.linkage(X, "ward")  # the same Z as scipy.cluster.hierarchy.linkage
>>> gpuclust.fcluster(Z, 2, criterion="maxclust")
array([1, 1, 2, 2], dtype=int32)

========================  =======================================================================
cluster a table           cluster: labels with the table's index, pictures, report (Clustering)
linkage matrices          linkage; single, complete, average, weighted, centroid, median, ward
ask before running        plan
compile ahead of time     warm
threads on the CPU        threads
scikit-learn's interface  AgglomerativeClustering (needs scikit-learn: gpuclust[sklearn])
work with Z               gpuclust.hierarchy, with the names of scipy.cluster.hierarchy: fcluster,
                          cophenet, inconsistent, dendrogram, leaves_list, cut_tree, to_tree, ...
distances                 gpuclust.distance: pdist, cdist, squareform, nearest_neighbors
many data sets            gpuclust.batch: run, iterate
programs for SciPy        gpuclust.accel: install, ``python -m gpuclust.accel script.py``
pictures                  gpuclust.plotting: fancy_dendrogram, plot_elbow, plot_clusters, clustermap
errors                    gpuclust.errors: BackendUnavailable, DoesNotFit, ClusterWarning, LinkageWarning
for reports of bugs       show_versions
command line              ``gpuclust --help``
========================  =======================================================================

The logger "gpuclust" reports algorithm, device and phases. Names are imported when first used: ``import gpuclust`` is
light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust import accel as accel
    from gpuclust import batch as batch
    from gpuclust import distance as distance
    from gpuclust import errors as errors
    from gpuclust import hierarchy as hierarchy
    from gpuclust import plotting as plotting
    from gpuclust.cluster import cluster as cluster
    from gpuclust.clustering import Clustering as Clustering
    from gpuclust.core.threads import threads as threads
    from gpuclust.core.version import __version__ as __version__
    from gpuclust.core.versions import show_versions as show_versions
    from gpuclust.distance import cdist as cdist
    from gpuclust.distance import pdist as pdist
    from gpuclust.distance import squareform as squareform
    from gpuclust.errors import BackendUnavailable as BackendUnavailable
    from gpuclust.errors import ClusterWarning as ClusterWarning
    from gpuclust.errors import DoesNotFit as DoesNotFit
    from gpuclust.estimator import AgglomerativeClustering as AgglomerativeClustering
    from gpuclust.hierarchy.cophenetic import cophenet as cophenet
    from gpuclust.hierarchy.cut import fcluster as fcluster
    from gpuclust.hierarchy.dendrogram import dendrogram as dendrogram
    from gpuclust.hierarchy.inconsistent import inconsistent as inconsistent
    from gpuclust.hierarchy.ordering import leaves_list as leaves_list
    from gpuclust.linkage import average as average
    from gpuclust.linkage import centroid as centroid
    from gpuclust.linkage import complete as complete
    from gpuclust.linkage import linkage as linkage
    from gpuclust.linkage import median as median
    from gpuclust.linkage import single as single
    from gpuclust.linkage import ward as ward
    from gpuclust.linkage import weighted as weighted
    from gpuclust.plan import Plan as Plan
    from gpuclust.plan import plan as plan
    from gpuclust.warm import warm as warm

__all__ = export(
    __name__,
    {
        "gpuclust.linkage": "linkage single complete average weighted centroid median ward",
        "gpuclust.cluster": "cluster",
        "gpuclust.clustering": "Clustering",
        "gpuclust.plan": "plan Plan",
        "gpuclust.warm": "warm",
        "gpuclust.estimator": "AgglomerativeClustering",
        "gpuclust.errors": "BackendUnavailable ClusterWarning DoesNotFit",
        "gpuclust.distance": "pdist cdist squareform",
        "gpuclust.hierarchy": "cophenet dendrogram fcluster inconsistent leaves_list",
        "gpuclust.core.threads": "threads",
        "gpuclust.core.version": "__version__",
        "gpuclust.core.versions": "show_versions",
    },
    needs={"AgglomerativeClustering": "sklearn"},
    submodules="accel batch distance errors hierarchy plotting",
)
