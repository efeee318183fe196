"""linkage(): validate -> plan -> run -> assemble Z."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.algorithms.base import Run
from gpuclust.algorithms.table import ALGORITHMS, AUTO
from gpuclust.core import devices, frames, methods, metrics, preparation
from gpuclust.core.backend import Backend
from gpuclust.core.clusters import Merges
from gpuclust.core.device import Device
from gpuclust.core.first_call import backend_for
from gpuclust.core.memory import format_bytes
from gpuclust.core.names import MethodName, MetricName
from gpuclust.core.observations import (
    count,
    holder,
    observed,
    on_pieces,
    place,
    to_host,
    warn_of_square,
)
from gpuclust.core.progress import Progress, check_progress, reporter
from gpuclust.core.rounded import not_negative
from gpuclust.core.sizes import BY_TREE
from gpuclust.core.text import documented, format_seconds
from gpuclust.distance import cdist, pdist
from gpuclust.errors import DoesNotFit, FallbackWarning, NotFinite, overflow
from gpuclust.hierarchy.assemble import assemble
from gpuclust.hierarchy.ordering import optimal_leaf_ordering
from gpuclust.plan import Plan, check_euclidean, plan_for, working_type

Metric = MetricName | str | Callable[..., float]

_log = logging.getLogger("gpuclust")


@dataclass(frozen=True)
class Linkage:
    """A linkage matrix, and how it was computed.

    Attributes
    ----------
    Z : ndarray of shape (n - 1, 4), float64
    plan : Plan
    scans : int
        Rows of the dissimilarity matrix searched for a minimum.
    seconds : dict of str to float
        Wall time of each phase.
    """

    Z: np.ndarray
    plan: Plan
    scans: int
    seconds: dict[str, float] = field(default_factory=dict)


@documented(updates=methods.FORMULAS)
def linkage(
    y: Any,
    method: MethodName | str = "single",
    metric: Metric = "euclidean",
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
          (jensenshannon, minkowski), and average and weighted of 1,025 to 2,048 points of six features or more:
          ``"stored, all pairs"``
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


def compute(
    y: Any,
    method: str = "single",
    metric: Metric = "euclidean",
    optimal_ordering: bool = False,
    *,
    device: str = "auto",
    dtype: str = "float64",
    progress: Progress = False,
    memory_limit: int | str | None = None,
    algorithm: str = AUTO,
    overwrite: bool = False,
    backend: Backend | None = None,
    **metric_arguments: Any,
) -> Linkage:
    """As `linkage`, with the plan and the time of each phase.

    ``metric_arguments`` are those of the metric: p, w, V, VI, packed. A ``backend`` is used instead of that of the
    device.
    """
    started = time.perf_counter()
    check_progress(progress)
    rule = methods.resolve(method)
    data, ends = observed(y, gaps=metrics.allows_gaps(metric))
    planned: str | metrics.Metric = "precomputed"
    name, keep, bits, packed = "precomputed", True, False, metric_arguments.get("packed")
    if data.ndim == 2:
        planned, name, keep, bits = _resolved(rule, metric, data, metric_arguments)
        if packed is None:
            warn_of_square(data)
        if not isinstance(planned, metrics.Metric):  # a Python function: its dissimilarities are computed first
            data, ends = observed(pdist(to_host(data), metric, device="cpu", **metric_arguments))
            overwrite = True
    elif packed is not None:
        raise ValueError(f"packed is for points of bits, not for condensed dissimilarities, got packed={packed!r}.")
    n, condensed = count(data), data.ndim == 1
    m = None if condensed else data.shape[1] if packed is None else packed
    dtype, exponent, copied = working_type(dtype), 0, 0
    if condensed:
        valid = not_negative(data, None if ends is None else ends[0])
        exponent, copied = _scaling(valid, n, rule, np.dtype(dtype), ends if valid is data else None, valid is data)
        data = valid
    own = condensed and isinstance(data, np.ndarray) and (copied > 0 or (overwrite and data.flags.writeable))
    own = own and not optimal_ordering
    asked, where = (n, m, method, planned, dtype, device, memory_limit), holder(data)
    job = plan_for(*asked, algorithm=algorithm, holder=where, copied=copied, quick=True, bits=bits, overwrite=own)
    job.check()
    _log.info("%s", job)
    validated = time.perf_counter()
    given = _Input(data, metric, metric_arguments, name, keep, exponent, own)
    merge = partial(_merges, given, backend, progress, memory_limit is not None)
    job, merges = _with_fallbacks(job, merge, Device(device).automatic)
    merged, Z = time.perf_counter(), assemble(merges)
    if optimal_ordering:
        Z = optimal_leaf_ordering(Z, to_host(data) if condensed else pdist(data, metric, **metric_arguments))
    seconds = {"validate": validated - started, "merge": merged - validated, "assemble": time.perf_counter() - merged}
    if _log.isEnabledFor(logging.INFO):
        _log_times(job, seconds)
    return Linkage(Z, job, merges.scans, seconds)


def _log_times(job: Plan, seconds: dict[str, float]) -> None:
    spent = ", ".join(f"{phase} {format_seconds(part)}" for phase, part in seconds.items())
    _log.info("%s linkage of %s observations on %s: %s", job.method, f"{job.n:,}", job.device, spent)


class _Input(NamedTuple):
    """Validated observations, and how a backend takes them; see `Run`."""

    data: Any
    metric: Metric
    arguments: dict[str, Any]
    name: str  # of the metric
    keep: bool  # whether points may stay on their device
    exponent: int
    overwrite: bool


def _resolved(
    rule: methods.Method, metric: Metric, data: Any, arguments: dict[str, Any]
) -> tuple[str | metrics.Metric, str, bool, bool]:
    """The metric of points for the plan, its name, whether they may stay on their device, and are packed bits."""
    found = metrics.resolve(metric, arguments.get("p"))
    weighted = arguments.get("w") is not None
    name = found.name if isinstance(found, metrics.Metric) else str(getattr(found, "__name__", "callable"))
    check_euclidean(rule, f"{name} with w" if weighted else name)
    if not isinstance(found, metrics.Metric):
        return name, name, True, False
    keep = not weighted and (isinstance(data, np.ndarray) or preparation.keeps_points(found, **arguments))
    return found, name, keep, preparation.bits_form(found, data, **arguments) is not None


def _scaling(
    data: Any, n: int, rule: methods.Method, working: np.dtype, ends: tuple[float, float] | None, given: bool
) -> tuple[int, int]:
    """The exponent by which condensed dissimilarities are scaled, and the bytes of their copy.

    ``given``: they are those of the caller, who gets no copy if they are used as they are.
    """
    with devices.device_of(data):
        exponent = _exponent(data, n, rule, working, ends)
    if given and exponent == 0 and data.dtype == working and data.flags.c_contiguous:
        return exponent, 0
    return exponent, data.size * working.itemsize


def _merges(given: _Input, backend: Backend | None, progress: Progress, limited: bool, job: Plan) -> Merges:
    """The merges by the algorithm of a plan, with heights that are checked."""
    problem, algorithm = job.problem, ALGORITHMS[job.algorithm]
    n, few = job.n, 0 < (job.m or 0) <= BY_TREE
    more = n > algorithm.other_kernels
    kind = ("linkage", job.method, job.metric, job.dtype, job.algorithm, given.keep, more, few, job.bits)

    def pairs() -> int:
        return n * n if algorithm.reproduced(problem) else 0

    limit = job.limit if limited else None
    with (
        backend_for(job.device, kind, pairs, problem.terms, limit)
        if backend is None
        else nullcontext(backend) as chosen,
        chosen.active(),
        reporter(progress, n - 1) as report,
    ):
        here = place(given.data, chosen.name, given.keep)
        options = job.most_clusters, report, given.exponent, job.matrix, given.overwrite
        run = Run(problem, chosen, here, given.metric, given.arguments, *options)
        try:
            merges = run.unscaled(algorithm.run(run))
            _check_heights(merges.heights, given.name, job.dtype)
        except NotFinite as error:
            pair = None if problem.condensed else _undefined_pair(given, np.dtype(job.dtype))
            if pair is None:
                raise
            raise NotFinite(f"{pair} {error}") from None
        report(n - 1)
    return merges


def _check_heights(heights: np.ndarray, metric: str, dtype: str) -> None:
    lowest = np.minimum.reduce(heights)
    if not -inf < lowest <= np.maximum.reduce(heights) < inf:
        raise overflow(dtype)
    if lowest < 0:
        raise ValueError(
            f"Dissimilarities of metric {metric!r} are negative for these points, and no heights: the lowest is "
            f"{lowest}."
        )


def _with_fallbacks(job: Plan, merge: Callable[[Plan], Merges], automatic: bool) -> tuple[Plan, Merges]:
    """Run a plan or, where memory runs out, the first of its fallbacks that fits.

    If a GPU fails for another reason, the first fallback on the CPU is run, provided that the device was chosen
    automatically; a GPU that was asked for raises its error.
    """
    story = broken = ""
    for attempt in (job, *job.fallbacks):
        if story:
            if not attempt.fits or (broken and attempt.device.on_gpu):
                continue
            text = f"{story} The job goes on by: {attempt.algorithm}, on {attempt.device}."
            _log.info("%s", text)
            warnings.warn(text, FallbackWarning, stacklevel=4)
        try:
            return attempt, merge(attempt)
        except Exception as error:
            said = " ".join(str(error).split()).rstrip(".")
            if not devices.out_of_memory(error):
                if not (automatic and attempt.device.on_gpu and devices.failed(error)):
                    raise
                broken = f"{type(error).__name__}: {said}"
                story = f"{attempt.device} failed ({broken[:300]})."
                continue
            story = (
                f"Memory ran out in the middle of {job.method} linkage of {job.n:,} observations "
                f"({attempt.algorithm}, on {attempt.device}): {format_bytes(attempt.memory)} were to be needed"
                f"{f' ({said})' if said else ''}."
            )
        # The arrays referenced by the traceback are freed here, after the except block.
    raise DoesNotFit(f"{story} No fallback fits.")


def _exponent(
    condensed: Any, n: int, rule: methods.Method, working: np.dtype, ends: tuple[float, float] | None
) -> int:
    """Exponent of the power of two by which dissimilarities are multiplied, to keep squares and sums in range.

    ``ends`` are the least and the greatest of them, if they are known.
    """
    copied = rule.name in ("single", "complete")  # dissimilarities are only compared
    if copied and condensed.dtype == working:
        return 0
    room = frames.room_for(2 if rule.on_squares else 1, working, 0 if copied else n, digits=False)
    if ends is None:
        return int(room.exponent(frames.span_of([condensed[:, None]])))
    least, greatest = ends
    if not least > 0:
        least = min(on_pieces(lambda part: np.minimum.reduce(part, where=part > 0, initial=inf), condensed))
    return int(room.exponent(frames.Span(float(least), greatest)))


def _undefined_pair(given: _Input, working: np.dtype) -> str | None:
    """Describe a pair of rows without a finite dissimilarity, searched among the first rows; None if not found."""
    rows, metric = to_host(given.data), given.name
    step = max(1, _COMPARED // max(1, rows.size))
    for begin in range(0, min(len(rows), step * _SLABS), step):
        found = cdist(rows[begin : begin + step], rows, metric, dtype=working.name, device="cpu", **given.arguments)
        wrong = ~np.isfinite(found)
        np.fill_diagonal(wrong[:, begin:], False)
        if wrong.any():
            i, j = (int(k) for k in np.argwhere(wrong)[0])
            return f"The {metric} distance of rows {i + begin} and {j} is {found[i, j]}."
    return None


#: Number of pairs that `_undefined_pair` computes at a time, and number of such blocks.
_COMPARED, _SLABS = 1 << 24, 16


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
