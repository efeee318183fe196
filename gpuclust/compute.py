"""The steps of a linkage: validate, plan, run with fallbacks, check the heights, assemble Z."""

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

from gpuclust.algorithms.base import Run
from gpuclust.algorithms.table import ALGORITHMS, AUTO
from gpuclust.core import devices, frames, methods, metrics, preparation
from gpuclust.core.backend import Backend
from gpuclust.core.clusters import Merges
from gpuclust.core.device import Device
from gpuclust.core.first_call import backend_for
from gpuclust.core.memory import format_bytes
from gpuclust.core.names import MetricLike
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
from gpuclust.core.text import format_seconds
from gpuclust.distance import cdist, pdist
from gpuclust.errors import DoesNotFit, FallbackWarning, NotFinite, overflow
from gpuclust.hierarchy.assemble import assemble
from gpuclust.hierarchy.ordering import optimal_leaf_ordering
from gpuclust.plan import Plan, check_euclidean, plan_for, working_type

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


def compute(
    y: Any,
    method: str = "single",
    metric: MetricLike = "euclidean",
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
    logged = _log.isEnabledFor(logging.INFO)
    if logged:
        _log.info("%s", job)
    validated = time.perf_counter()
    given = _Input(data, metric, metric_arguments, name, keep, exponent, own)
    merge = partial(_merges, given, backend, progress, memory_limit is not None)
    job, merges = _with_fallbacks(job, merge, Device(device).automatic)
    merged, Z = time.perf_counter(), assemble(merges)
    if optimal_ordering:
        Z = optimal_leaf_ordering(Z, to_host(data) if condensed else pdist(data, metric, **metric_arguments))
    seconds = {"validate": validated - started, "merge": merged - validated, "assemble": time.perf_counter() - merged}
    if logged:
        _log_times(job, seconds)
    return Linkage(Z, job, merges.scans, seconds)


def _log_times(job: Plan, seconds: dict[str, float]) -> None:
    spent = ", ".join(f"{phase} {format_seconds(part)}" for phase, part in seconds.items())
    _log.info("%s linkage of %s observations on %s: %s", job.method, f"{job.n:,}", job.device, spent)


class _Input(NamedTuple):
    """Validated observations, and how a backend takes them; see `Run`."""

    data: Any
    metric: MetricLike
    arguments: dict[str, Any]
    name: str  # of the metric
    keep: bool  # whether points may stay on their device
    exponent: int
    overwrite: bool


def _resolved(
    rule: methods.Method, metric: MetricLike, data: Any, arguments: dict[str, Any]
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
    plain = given.keep and not job.bits and all(value is None for value in given.arguments.values())
    job_of_kind = job.method, job.metric, job.dtype, job.algorithm, n, job.m
    compiler = ("gpuclust.warm", *job_of_kind) if plain and not limited else None
    with (
        backend_for(job.device, kind, pairs, problem.terms, limit, algorithm.screened(problem), compiler)
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
    if room.spans(least, greatest):
        return 0
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
