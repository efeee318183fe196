"""`AgglomerativeClustering`: the library as a scikit-learn estimator. Importing this module imports scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.compute import compute
from gpuclust.core import methods, metrics
from gpuclust.core.arguments import real_number, real_numbers
from gpuclust.core.devices import is_device_array
from gpuclust.core.names import MetricLike
from gpuclust.core.observations import check_observations
from gpuclust.core.preparation import table_arguments
from gpuclust.core.real_arrays import real_array, to_host

try:
    from sklearn.base import BaseEstimator, ClusterMixin
    from sklearn.utils.validation import check_is_fitted, check_memory
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "sklearn":
        raise
    raise ImportError(
        "gpuclust.AgglomerativeClustering needs scikit-learn: pip install 'gpuclust[sklearn]'"
    ) from error
try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator: Any, X: Any, **options: Any) -> Any:
        return estimator._validate_data(X, **options)


class AgglomerativeClustering(ClusterMixin, BaseEstimator):
    """Agglomerative clustering with scikit-learn's interface, on CUDA GPUs or on all CPU cores.

    The clusters are those of `sklearn.cluster.AgglomerativeClustering` without connectivity. Beyond it there are all
    seven linkages and every metric of `gpuclust.linkage`, Ward's linkage of precomputed distances, the linkage
    matrix, and `cut`, which cuts the fitted tree again.

    Parameters
    ----------
    n_clusters : int or None
        How many clusters to find, at least 1; None if ``distance_threshold`` is given.
    metric : str or callable
        Any metric of `gpuclust.distance.pdist`, or ``"precomputed"``: X then holds distances, shape (n_samples,
        n_samples). A callable is called with X and gives such a matrix, as in scikit-learn; one that requires two
        arguments is called for each pair of samples, as in SciPy. Ward, centroid and median linkage take
        ``"euclidean"``, and precomputed distances, which are then taken to be Euclidean.
    memory : str, joblib.Memory or None
        Where to keep trees, so that fitting the same data with another number of clusters computes nothing.
    connectivity : None
        For scikit-learn's signature: which samples may merge cannot be restricted, and anything but None is refused.
    compute_full_tree : {"auto", True, False}
        For scikit-learn's signature: the tree is always computed whole. False is refused together with
        ``distance_threshold``, as in scikit-learn.
    linkage : {"ward", "complete", "average", "single", "weighted", "centroid", "median"}
        The linkage.
    distance_threshold : float or None
        Clusters whose distance is this or more are not merged; None if ``n_clusters`` is given.
    compute_distances : bool
        For scikit-learn's signature: ``distances_`` costs nothing here, and is always there.
    device : {"auto", "cuda", "cuda:1", ..., "cpu"}
        Where to compute, as for `gpuclust.linkage`.
    dtype : {"float64", "float32"}
        Type of the computation; float32 halves memory.
    memory_limit : int or str, optional
        Bytes a fit may take on its device, or text such as ``"8GB"``; by default what is available.
    metric_params : dict, optional
        Arguments of the metric: p, w, V, VI, as for `gpuclust.distance.pdist`.

    Attributes
    ----------
    labels_ : ndarray of intp, shape (n_samples,)
        The cluster of each sample, from 0, in the order of the leaves of the tree.
    n_clusters_ : int
        How many clusters there are.
    n_leaves_ : int
        How many samples were clustered.
    children_ : ndarray of shape (n_samples - 1, 2), int64
        What each merge unites: samples, or n_samples + i for what merge i made.
    distances_ : ndarray of shape (n_samples - 1,), float64
        At which height.
    linkage_matrix_ : ndarray of shape (n_samples - 1, 4), float64
        The tree as SciPy's functions and `gpuclust.hierarchy` take it: dendrogram, cophenet, ...
    n_connected_components_ : int
        Always 1.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Their names, where X is a data frame whose column names are strings.

    Notes
    -----
    Time and memory are those of `gpuclust.linkage`; from precomputed distances half of the square matrix is copied.
    Exactly ``n_clusters`` clusters are made by undoing the last merges, also where heights are equal. Where distances
    are equal the tree is not unique, and scikit-learn may merge another pair first. An X on a CUDA device (CuPy,
    torch) is used where it is.

    Examples
    --------
    >>> from gpuclust import AgglomerativeClustering
    >>> model = AgglomerativeClustering(2).fit([[0.0], [1.0], [5.0], [6.5]])
    >>> model.labels_
    array([0, 0, 1, 1])
    >>> model.cut(n_clusters=3)
    array([0, 0, 1, 2])
    """

    def __init__(
        self,
        n_clusters: int | None = 2,
        *,
        metric: MetricLike = "euclidean",
        memory: Any = None,
        connectivity: None = None,
        compute_full_tree: str | bool = "auto",
        linkage: str = "ward",
        distance_threshold: float | None = None,
        compute_distances: bool = False,
        device: str = "auto",
        dtype: str = "float64",
        memory_limit: int | str | None = None,
        metric_params: dict[str, Any] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.memory = memory
        self.connectivity = connectivity
        self.compute_full_tree = compute_full_tree
        self.linkage = linkage
        self.distance_threshold = distance_threshold
        self.compute_distances = compute_distances
        self.device = device
        self.dtype = dtype
        self.memory_limit = memory_limit
        self.metric_params = metric_params

    def fit(self, X: Any, y: Any = None) -> AgglomerativeClustering:
        """Cluster the rows of X.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples; with ``metric="precomputed"`` distances, shape (n_samples, n_samples).
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        AgglomerativeClustering
            The estimator itself.

        Raises
        ------
        TypeError
            ``metric`` is neither a name nor callable, ``metric_params`` is no dict, or X is sparse.
        ValueError
            A parameter that is not allowed or does not fit the others, or an X that is not a matrix of finite numbers
            with at least two rows, or not one of distances.
        DoesNotFit, BackendUnavailable
            As `gpuclust.linkage`.

        Examples
        --------
        >>> from gpuclust import AgglomerativeClustering
        >>> AgglomerativeClustering(linkage="average").fit([[0.0], [1.0], [5.0]]).labels_
        array([0, 0, 1])
        """
        self._check_parameters()
        X = self._read(X)
        if self.n_clusters is not None:
            _check_count(self.n_clusters, len(X))
        tree = check_memory(self.memory).cache(_tree)
        options = (self.device, self.dtype, self.memory_limit, self.metric_params or {})
        return self._take(tree(X, self.linkage, self.metric, *options))

    def _take(self, Z: np.ndarray) -> AgglomerativeClustering:
        """Set the attributes that follow from the linkage matrix."""
        self.linkage_matrix_ = Z
        self.children_ = Z[:, :2].astype(np.int64)
        self.distances_ = Z[:, 2].copy()
        self.n_leaves_ = len(Z) + 1
        self.n_connected_components_ = 1
        self.labels_ = self.cut(n_clusters=self.n_clusters, distance_threshold=self.distance_threshold)
        self.n_clusters_ = int(self.labels_.max()) + 1
        return self

    def cut(self, n_clusters: ArrayLike | None = None, distance_threshold: ArrayLike | None = None) -> np.ndarray:
        """Cut the fitted tree: the labels that a fit with other numbers would give, without fitting again.

        Parameters
        ----------
        n_clusters : int or array_like of int
            How many clusters, between 1 and n_samples; of several, shape (c,), each in turn.
        distance_threshold : float or array_like of float
            Or at which height; of several, shape (c,), each in turn.

        Returns
        -------
        ndarray of intp, shape (n_samples,)
            Labels, from 0; for several cuts shape (c, n_samples). The estimator's own labels stay as they are.

        Raises
        ------
        ValueError
            If not exactly one of the two is given, or it is out of range.
        NotFittedError
            Before `fit`.

        Notes
        -----
        O(n_samples) time for each cut.

        Examples
        --------
        >>> from gpuclust import AgglomerativeClustering
        >>> model = AgglomerativeClustering().fit([[0.0], [1.0], [5.0], [6.5]])
        >>> model.cut(distance_threshold=1.2)
        array([0, 0, 1, 2])
        """
        from gpuclust.hierarchy.cut import fcluster_many

        check_is_fitted(self, "linkage_matrix_")
        Z = self.linkage_matrix_
        _check_one_of(n_clusters, distance_threshold)
        if n_clusters is not None:
            wanted = np.asarray(n_clusters)
            for count in wanted.ravel().tolist():
                _check_count(count, len(Z) + 1)
            # The last merges are undone: as many clusters as are asked for, also where heights are equal or fall.
            rank = np.arange(len(Z), dtype=np.float64)
            labels = fcluster_many(Z, len(Z) - np.atleast_1d(wanted), "monocrit", monocrit=rank)
        else:
            wanted = real_numbers(distance_threshold, "distance_threshold", nan=True)
            for threshold in wanted.ravel().tolist():
                _check_threshold(threshold)
            # `fcluster` merges up to and including a height.
            labels = fcluster_many(Z, np.nextafter(np.atleast_1d(wanted), -np.inf), "distance")
        labels = labels.astype(np.intp) - 1
        return labels if wanted.ndim else labels[0]

    def _check_parameters(self) -> None:
        if not isinstance(self.metric, str) and not callable(self.metric):
            raise TypeError(
                "metric must be the name of a metric, 'precomputed' or a callable, got "
                f"{self.metric!r}. Names: {', '.join(metrics.METRICS)}."
            )
        if self.metric_params is not None and not isinstance(self.metric_params, dict):
            raise TypeError(f"metric_params must be a dict or None, got {self.metric_params!r}.")
        rule = methods.resolve(self.linkage)
        _check_one_of(self.n_clusters, self.distance_threshold)
        if self.n_clusters is not None:
            _check_count(self.n_clusters)
        if self.distance_threshold is not None:
            _check_threshold(self.distance_threshold)
        if self.connectivity is not None:
            raise ValueError(
                "connectivity must be None: gpuclust lets every pair of clusters merge. Where only neighbours may, "
                "sklearn.cluster.AgglomerativeClustering takes such a graph."
            )
        full = self.compute_full_tree
        if not (isinstance(full, (bool, np.bool_)) or (isinstance(full, str) and full == "auto")):
            raise ValueError(f"compute_full_tree must be 'auto', True or False, got {self.compute_full_tree!r}.")
        if self.distance_threshold is not None and not self.compute_full_tree:
            raise ValueError("compute_full_tree must be True or 'auto' if distance_threshold is set, got False.")
        if callable(self.metric) and rule.on_squares:
            raise ValueError(
                f"{self.linkage} linkage takes Euclidean distances only, got a callable metric. Allowed: "
                "metric='euclidean', or 'precomputed' for distances that are known to be Euclidean."
            )

    def _read(self, X: Any) -> Any:
        """X as an array of numbers; what lies on a device stays there."""
        if not is_device_array(X):
            if self._precomputed and len(getattr(X, "shape", np.shape(X) if isinstance(X, list) else ())) == 1:
                raise ValueError(
                    f"X must be a square matrix of distances, got shape {np.shape(X)}. If these are condensed, "
                    "gpuclust.distance.squareform makes a matrix of them; gpuclust.linkage takes them as they are."
                )
            numbers = validate_data(self, X, ensure_min_samples=2)
            real_array(X, "X")  # scikit-learn reads text as numbers, and what lies under a mask
            return real_array(numbers, "X")
        X = check_observations(X)
        if X.ndim != 2:
            raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
        self.n_features_in_ = X.shape[1]
        return X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed
        tags.input_tags.positive_only = self._precomputed
        return tags

    def _more_tags(self) -> dict[str, Any]:  # the same for scikit-learn before 1.6
        return {"pairwise": self._precomputed, "requires_positive_X": self._precomputed}

    @property
    def _precomputed(self) -> bool:
        return isinstance(self.metric, str) and self.metric == "precomputed"


def _tree(
    X: Any,
    linkage: str,
    metric: MetricLike,
    device: str,
    dtype: str,
    memory_limit: int | str | None,
    metric_params: dict[str, Any],
) -> np.ndarray:
    """The linkage matrix; a function of its own, so that ``memory`` can keep what it returns."""
    options: dict[str, Any] = {"device": device, "dtype": dtype, "memory_limit": memory_limit}
    if isinstance(metric, str) and metric != "precomputed":
        table_arguments(metric_params)
        return compute(X, linkage, metric, **options, **metric_params).Z
    if callable(metric) and _takes_pairs(metric):
        return compute(X, linkage, metric, **options, **metric_params).Z
    if metric_params:
        raise ValueError(f"metric_params must be empty where X is not measured here, got {metric_params!r}.")
    distances = metric(X) if callable(metric) else X
    distances = real_array(distances, "What metric(X) gave" if callable(metric) else "X")
    if np.shape(distances) != (len(X), len(X)):
        got = f"{'a callable that gave' if callable(metric) else 'X of'} shape {np.shape(distances)}"
        raise ValueError(f"Distances must have shape (n_samples, n_samples), here {(len(X), len(X))}; got {got}.")
    return compute(_condensed(to_host(distances), linkage, **options), linkage, overwrite=True, **options).Z


def _takes_pairs(metric: Callable[..., Any]) -> bool:
    """Whether a callable requires two arguments, the vectors of a pair; otherwise it takes X."""
    try:
        signature = inspect.signature(metric)
    except (TypeError, ValueError):  # written in C, and silent about it
        return False
    required = [
        p for p in signature.parameters.values() if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    return len(required) == 2


def _condensed(
    square: np.ndarray, linkage: str, device: str, dtype: str, memory_limit: int | str | None
) -> np.ndarray:
    """The upper triangle of a matrix of distances that is symmetric but for rounding."""
    from gpuclust.core.rounded import condense
    from gpuclust.plan import plan_for

    job = plan_for(len(square), None, linkage, "precomputed", dtype, device, memory_limit, overwrite=True)
    replace(job, memory=job.memory + len(square) * (len(square) - 1) // 2 * square.itemsize).check()
    return condense(square)


def _check_one_of(n_clusters: Any, distance_threshold: Any) -> None:
    if (n_clusters is None) == (distance_threshold is None):
        raise ValueError(
            "Exactly one of n_clusters and distance_threshold has to be set, and the other needs to be None; got "
            f"n_clusters={n_clusters!r}, distance_threshold={distance_threshold!r}."
        )


def _check_count(n_clusters: Any, n: int | None = None) -> None:
    if not isinstance(n_clusters, Integral) or isinstance(n_clusters, bool) or int(n_clusters) < 1:
        raise ValueError(f"n_clusters must be a whole number >= 1, got {n_clusters!r}.")
    if n is not None and int(n_clusters) > n:
        raise ValueError(f"Cannot make more clusters than samples: n_clusters={n_clusters}, n_samples={n}.")


def _check_threshold(threshold: Any) -> None:
    allowed = "distance_threshold must be a number >= 0"
    if not isinstance(threshold, Real) or isinstance(threshold, bool) or not threshold >= 0:  # type: ignore[operator]
        raise ValueError(f"{allowed}, got {threshold!r}.")
    real_number(threshold, "distance_threshold", 0)
