"""Agglomerative hierarchical clustering: `linkage`, and a function named after each linkage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.algorithms.table import AUTO
from gpuclust.compute import compute
from gpuclust.core import methods, metrics
from gpuclust.core.names import MethodName, MetricLike
from gpuclust.core.progress import Progress
from gpuclust.core.text import documented


@documented(updates=methods.FORMULAS)
def linkage(
    y: Any,
    method: MethodName | str = "single",
    metric: MetricLike = "euclidean",
    optimal_ordering: bool = False,
    *,
    device: str = "auto",
    dtype: str = "float64",
    progress: Progress = False,
    memory_limit: int | str | None = None,
    algorithm: str = AUTO,
    p: float | None = None,
    w: ArrayLike | None = None,
    V: ArrayLike | None = None,
    VI: ArrayLike | None = None,
    packed: int | None = None,
    overwrite: bool = False,
) -> np.ndarray:
    """Agglomerative hierarchical clustering, with the result of `scipy.cluster.hierarchy.linkage`.

    Parameters
    ----------
    y : array_like of shape (n, m) or (n (n - 1) / 2,)
        Points, or condensed dissimilarities as `gpuclust.distance.pdist` returns them. Two to 2^31 - 1 observations,
        all values finite. Also what lies on a CUDA device (CuPy, torch, anything with the CUDA array interface or
        DLPack): on that device it is used where it is.
    method : {"single", "complete", "average", "weighted", "ward", "centroid", "median"}
        The linkage. Ward, centroid and median are defined for Euclidean dissimilarities only: for points they take no
        other metric, and condensed dissimilarities are assumed to be Euclidean.
    metric : str or callable
        Any metric of `gpuclust.distance.pdist`; not used for condensed dissimilarities.
    optimal_ordering : bool
        Order the leaves so that the distances between neighbours have the least sum (`optimal_leaf_ordering`): O(n³)
        time, O(n²) memory.
    device : {"auto", "cuda", "cuda:1", ..., "cpu"}
        Device of the computation. "auto" uses a GPU if one is available and the job is large enough to gain by it
        (see `gpuclust.plan`). The environment variable GPUCLUST_NUM_THREADS limits the threads on the CPU.
    dtype : {"float64", "float32"}
        Type of the computation. float32 halves the memory; the error of heights is then about 1e-6 of the largest,
        however far from the origin the points are, if the metric is invariant under translation. Heights of cosine,
        correlation and braycurtis, and of canberra for each feature, have an absolute error of 1e-6; of jensenshannon
        the squares. Sizes of clusters, which are weights in all linkages but single and complete, are then exact up
        to 2^24.
    progress : bool or callable
        True shows a bar; a callable is called with (merges made, merges in all).
    memory_limit : int or str, optional
        Bytes this call may take on its device, or text such as ``"8GB"``; by default what is available.
    algorithm : str
        ``"auto"``: the fastest that fits into memory. Otherwise one that the plan could choose, for

        - single linkage: ``"spanning tree"``, or ``"spanning tree, stored"`` (from points: of all distances)
        - ward from points, average and weighted of metrics sqeuclidean, cosine and correlation: ``"summaries"``
        - complete, average and weighted from points, where a distance takes a logarithm or a power for each feature
          (jensenshannon, minkowski), and of few points: average and weighted of 1,025 to 2,048 of six features or
          more, and all three of up to 4,096 of 48 features or more: ``"stored, all pairs"``
        - complete, average, weighted and ward: ``"stored"``; from points (not ward) ``"hybrid"``: with a matrix half
          as large as is expected to be needed, or what ``memory_limit`` leaves if that is less; and from points of
          up to five features ``"cluster tree"``: searched by bounds, O(n) memory (not minkowski)
        - centroid and median: ``"generic"`` (from points, on centroids), ``"generic, stored"``

        All of them give the same tree if no two dissimilarities are equal. Otherwise each gives one of the valid
        trees. No other is tried if memory runs out.
    p, w, V, VI : optional
        Arguments of the metric, as for `gpuclust.distance.pdist`: Minkowski's exponent, (m,) weights of the features,
        (m,) variances for seuclidean, (m, m) inverse covariance for mahalanobis.
    packed : int, optional
        The number of features m, if y holds packed bits, ``numpy.packbits(X, axis=1)`` of shape (n, ceil(m / 8)), for
        a metric that counts features, as for `gpuclust.distance.pdist`.
    overwrite : bool
        Whether condensed dissimilarities may be written over, so that complete, average, weighted and ward on the CPU
        take hardly any memory beside them (more than 2,048 observations, a writable contiguous array of the type
        ``dtype``; not with ``optimal_ordering``). ``y`` then holds no dissimilarities any more. If fewer than 192
        pairs are reciprocal nearest neighbours at first, a matrix is allocated nevertheless.

    Returns
    -------
    Z : ndarray of shape (n - 1, 4), float64
        Row i merges clusters ``Z[i, 0] < Z[i, 1]`` at height ``Z[i, 2]`` into cluster n + i, of ``Z[i, 3]``
        observations.

    Raises
    ------
    ValueError
        For a method or metric that does not exist or does not fit the input, or input of the wrong shape, type or
        values: also for a row or pair of rows that the metric is not defined for, and heights that are no numbers.
    DoesNotFit
        If more memory is needed than is available, or than ``memory_limit``; raised before it is allocated. Also if
        memory runs out during the computation, and no fallback fits.
    TypeError
        If ``progress`` is neither a bool nor callable, or the metric does not take a parameter.
    BackendUnavailable
        If the device asked for cannot be used.

    Warns
    -----
    ClusterWarning
        If the points look like a square matrix of dissimilarities.
    RoundingWarning
        If some of the condensed dissimilarities are negative up to rounding: they are set to zero.
    FallbackWarning
        If memory ran out, and another algorithm or the CPU was used instead.

    Notes
    -----
    Single linkage is a minimum spanning tree; centroid and median make one merge a step over lower bounds; the others
    merge all reciprocal nearest neighbours at once. O(n²) time. From condensed dissimilarities at most n²/2 numbers
    of memory (single: n²/8): those of the clusters that the first merges leave. From points O(n m) memory for single,
    ward, centroid and median, and for the others with up to five features; with more, half of the square of the
    clusters that the first rounds leave (see `gpuclust.plan`). Very small and very large numbers are scaled by a
    power of two, so that squares neither underflow nor overflow. Heights of single
    linkage are SciPy's bits; if no two dissimilarities are equal those of complete linkage are too, and those of the
    others agree to 1e-12. If some are equal the tree is not unique, and neither are its heights, except for single
    linkage: a pair of the smallest dissimilarity is merged at each step, the same one in each run, for any number of
    threads, but not always SciPy's. Single linkage of condensed dissimilarities, and of up to 1,024 points, has
    SciPy's rows even then; for more points rows of equal height are ordered by the (smaller, larger) end of the edge
    of the spanning tree.

    The dissimilarity of a cluster x to the union of a and b, d(x, a|b), where ``|a|`` is the size of a:

    {updates}

    Kernels are compiled on first use and kept on disk. Until those of a small job are there (up to about 3,000
    observations of 8 features) NumPy computes it, with the same result, in up to six n x n matrices of memory, where
    ``memory_limit`` allows that. `gpuclust.warm` compiles ahead of time.

    Examples
    --------
    >>> from gpuclust import linkage
    >>> linkage([[0.0], [1.0], [5.0]], "single")
    array([[0., 1., 1., 2.],
           [2., 3., 4., 3.]])
    """
    return compute(
        y,
        method,
        metric,
        optimal_ordering,
        device=device,
        dtype=dtype,
        progress=progress,
        memory_limit=memory_limit,
        algorithm=algorithm,
        overwrite=overwrite,
        **metrics.given(p=p, w=w, V=V, VI=VI, packed=packed),
    ).Z


def _shorthand(method: str, title: str, given: str, heights: str) -> Callable[[Any], np.ndarray]:
    """The function of one argument named after a linkage, as in SciPy."""

    def shorthand(y: Any) -> np.ndarray:
        return linkage(y, method)

    shorthand.__name__ = shorthand.__qualname__ = method
    shorthand.__doc__ = f"""{title}; the same as ``linkage(y, "{method}")``.

    Parameters
    ----------
    y : array_like of shape (n, m) or (n (n - 1) / 2,)
        Points, or condensed {given}.

    Returns
    -------
    Z : ndarray of shape (n - 1, 4), float64
        See `linkage`, for the errors too.

    Notes
    -----
    The dissimilarity of a cluster x to the union of a and b, ``|a|`` the size of a::

        d(x, a|b) = {methods.METHODS[method].formula}

    Examples
    --------
    >>> from gpuclust import {method}
    >>> {method}([[0.0], [1.0], [5.0]])[:, 2].round(4)
    array({heights})
    """
    return shorthand


single = _shorthand("single", "Single (minimum) linkage", "dissimilarities", "[1., 4.]")
complete = _shorthand("complete", "Complete (maximum) linkage", "dissimilarities", "[1., 5.]")
average = _shorthand("average", "Average linkage (UPGMA)", "dissimilarities", "[1. , 4.5]")
weighted = _shorthand("weighted", "Weighted linkage (WPGMA)", "dissimilarities", "[1. , 4.5]")
centroid = _shorthand("centroid", "Centroid linkage (UPGMC)", "Euclidean distances", "[1. , 4.5]")
median = _shorthand("median", "Median linkage (WPGMC)", "Euclidean distances", "[1. , 4.5]")
ward = _shorthand("ward", "Ward's linkage", "Euclidean distances", "[1.    , 5.1962]")
