"""`gpuclust.AgglomerativeClustering` on a Dask cluster. Importing this module imports scikit-learn."""

from __future__ import annotations

from typing import Any

from gpuclust.core.preparation import table_arguments
from gpuclust.dask.connection import usable
from gpuclust.dask.interface import linkage
from gpuclust.dask.reading import read
from gpuclust.estimator import AgglomerativeClustering as Local


class AgglomerativeClustering(Local):
    """Agglomerative clustering with scikit-learn's interface, on a Dask cluster.

    Parameters
    ----------
    n_clusters : int or None
        Number of clusters; None if ``distance_threshold`` is given.
    metric : str
        Any metric of `gpuclust.distance.pdist` by name.
    linkage : {"ward", "complete", "average", "single", "weighted", "centroid", "median"}
    distance_threshold : float or None
        Clusters whose distance is this or more are not merged; None if ``n_clusters`` is given.
    dtype : {"float64", "float32"}
    metric_params : dict, optional
        Arguments of the metric: p, w, V, VI.
    client : distributed.Client, optional
        By default the current client.
    checkpoint, timeout
        As for `gpuclust.dask.linkage`.

    Attributes
    ----------
    labels_ : ndarray or dask.array.Array of shape (n_samples,)
        The cluster of each sample, from 0; of a dask array in its chunks.
    n_clusters_, n_leaves_, children_, distances_, linkage_matrix_
        As for `gpuclust.AgglomerativeClustering`.

    Examples
    --------
    >>> from distributed import Client
    >>> from gpuclust.dask import AgglomerativeClustering
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     AgglomerativeClustering(2, client=client).fit([[0.0], [1.0], [5.0], [6.5]]).labels_
    array([0, 0, 1, 1])
    """

    # Parameters of the base class that there are no others of.
    memory = connectivity = None
    compute_full_tree = "auto"
    compute_distances = False
    device, memory_limit = "auto", None

    def __init__(
        self,
        n_clusters: int | None = 2,
        *,
        metric: str = "euclidean",
        linkage: str = "ward",
        distance_threshold: float | None = None,
        dtype: str = "float64",
        metric_params: dict[str, Any] | None = None,
        client: Any = None,
        checkpoint: Any = None,
        timeout: float = 600.0,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.linkage = linkage
        self.distance_threshold = distance_threshold
        self.dtype = dtype
        self.metric_params = metric_params
        self.client = client
        self.checkpoint = checkpoint
        self.timeout = timeout

    def fit(self, X: Any, y: Any = None) -> AgglomerativeClustering:
        """Cluster the rows of X.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), dask.array.Array, or path
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        AgglomerativeClustering
            The estimator itself.
        """
        self._check_parameters()
        client = usable(self.client)
        rows = self._read(read(X, client, self.timeout))
        options: dict[str, Any] = {"client": client, "checkpoint": self.checkpoint, "timeout": self.timeout}
        options |= {"dtype": self.dtype, **table_arguments(self.metric_params or {})}
        self._take(linkage(rows, self.linkage, str(self.metric), **options))
        chunks = getattr(X, "chunks", None)
        if chunks is not None:
            import dask.array

            self.labels_ = dask.array.from_array(self.labels_, chunks=(chunks[0],))
        return self
