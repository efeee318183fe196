"""Plan of a linkage before it runs: algorithm, device, predicted peak memory, and the reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from operator import index

import numpy as np

from gpuclust.algorithms import costs
from gpuclust.algorithms.base import Algorithm, Problem
from gpuclust.algorithms.costs import Footprint, Work
from gpuclust.algorithms.table import ALGORITHMS, AUTO, Option, options
from gpuclust.core import devices, methods, metrics
from gpuclust.core.backend import select
from gpuclust.core.device import CPU, Device
from gpuclust.core.memory import available_memory as available_memory
from gpuclust.core.memory import format_bytes as format_bytes
from gpuclust.core.memory import parse_bytes as parse_bytes
from gpuclust.core.sizes import FUSED, MOST, SQUARE, stored_bytes
from gpuclust.core.sizes import TILE as TILE
from gpuclust.errors import BackendUnavailable, DoesNotFit

__all__ = ["Plan", "check_euclidean", "plan", "plan_for", "working_type"]

#: Below this many bytes the free memory is not looked up: the query takes longer than the job.
LITTLE = 2**26


@dataclass(frozen=True)
class Plan:
    """Algorithm, device and memory with which a linkage will be computed.

    Attributes
    ----------
    n, m : int, int or None
        Observations and features; ``m`` is None for condensed input.
    method, metric, dtype : str
    device : Device
        A string like "cpu" or "cuda:1".
    algorithm : str
        ``"spanning tree"``; ``"spanning tree, stored"`` (of condensed distances, for few points); ``"summaries"``;
        ``"stored"``; ``"stored, all pairs"`` (each distance computed once); ``"cluster tree"`` and ``"hybrid"``
        (stored, when few enough clusters are left); ``"generic"`` (on centroids) or ``"generic, stored"``.
    memory : int
        Predicted peak, in bytes, beside the input, with compiled kernels; of the memory of the GPU where that is the
        device. For condensed dissimilarities it is the most that any data take. A small job before kernels are
        compiled takes up to six n x n matrices (see `gpuclust.linkage`).
    limit : int
        Bytes that may be used: ``memory_limit``, or what is available now.
    reason : str
        Reason for the algorithm, and for the device if that was not specified.
    matrix : int
        Bytes of a stored matrix, included in ``memory``.
    bits : bool
        Whether features are packed into words, 64 at a time; `plan` assumes it for boolean metrics, which are
        packed unless they have weights.
    fallbacks : tuple of Plan
        Plans to be tried, in this order, if memory runs out nevertheless.

    Examples
    --------
    >>> from gpuclust import plan
    >>> job = plan(2000, 2, "single", device="cpu")
    >>> job.algorithm
    'spanning tree'
    >>> job.fits
    True
    """

    n: int
    m: int | None
    method: str
    metric: str
    dtype: str
    device: Device
    algorithm: str
    memory: int
    limit: int
    reason: str
    matrix: int = 0
    bits: bool = False
    fallbacks: tuple[Plan, ...] = field(default=(), repr=False)

    @property
    def fits(self) -> bool:
        return self.memory <= self.limit

    @property
    def seconds(self) -> float:
        """Estimated time, to about an order of magnitude."""
        problem = self.problem
        work = ALGORITHMS[self.algorithm].work(problem)
        return costs.seconds(work, self.n, problem.terms, self.dtype, self.device)

    @cached_property
    def problem(self) -> Problem:
        """The problem that the plan solves."""
        return Problem(self.n, self.m, methods.resolve(self.method), self.metric, self.dtype, self.bits)

    def __str__(self) -> str:
        shape = f"{self.n:,} observations" if self.m is None else f"{self.n:,} x {self.m:,} points"
        return (
            f"{self.method} linkage of {shape} ({self.metric}, {self.dtype}) on {self.device}: {self.algorithm}, "
            f"{format_bytes(self.memory)} of {format_bytes(self.limit)}. {self.reason}"
        )

    def check(self) -> None:
        """Raise `DoesNotFit`, with suggestions, if the job needs more memory than it may use."""
        if not self.fits:
            where = f" on {self.device}" if self.device.on_gpu else ""
            raise DoesNotFit(
                f"{self.method} linkage of {self.n:,} observations needs {format_bytes(self.memory)} of "
                f"memory{where}, and {format_bytes(self.limit)} may be used. "
                f"What would fit: {'; '.join(self.what_would_fit()) or 'nothing'}."
            )

    @cached_property
    def most_clusters(self) -> int:
        """Number of clusters whose matrix fits into the memory that the job leaves."""
        deferred = ALGORITHMS[self.algorithm].deferred
        budget = self.matrix if deferred else self.limit - (self.memory - self.matrix)
        if budget <= 0:
            return 0
        low, high = 0, int((2 * budget / np.dtype(self.dtype).itemsize) ** 0.5) + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = stored_bytes(middle, self.dtype, self.device) <= budget
            low, high = (middle, high) if fits else (low, middle)
        return low

    def what_would_fit(self) -> list[str]:
        """Descriptions of changes to the job, each of which makes it fit according to a plan."""
        found = []
        if self.dtype == "float64" and self._with(dtype="float32").fits:
            found.append('dtype="float32" (half the memory)')
        others = [
            name
            for name, method in methods.METHODS.items()
            if name != self.method and (self.m is None or self.metric == "euclidean" or not method.on_squares)
        ]
        slim = [name for name in others if self._with(method=name).fits]
        if slim:
            grows = " (memory grows with n, not n²)" if self.m is not None else ""
            found.append(f"method={' or '.join(repr(name) for name in slim[:3])}{grows}")
        if self.device != "cpu" and any(other.device == "cpu" and other.fits for other in self.fallbacks):
            found.append('device="cpu"')
        if not self._with().fits:
            largest = self._largest()
            found += [f"at most about {largest:,} observations"] if largest >= 2 else []
        else:
            found.append(f'algorithm="{AUTO}" ({self._with().algorithm})')
        return found

    def _with(self, **changes: object) -> Plan:
        """The plan of a modified job, within the same limit."""
        same = ("n", "m", "method", "metric", "dtype", "bits", "device")
        wanted = {name: getattr(self, name) for name in same} | changes
        device = wanted.pop("device")
        problem = Problem(**{**wanted, "method": methods.resolve(wanted["method"])})
        return _Planner(problem, max(1, self.limit)).on(device)

    def _largest(self) -> int:
        """The largest number of observations that fits, rounded down to three digits."""
        low, high = 1, self.n
        while high - low > max(1, low // 1000):
            middle = (low + high) // 2
            low, high = (middle, high) if self._with(n=middle).fits else (low, middle)
        step = 10 ** max(0, len(str(low)) - 3)
        return low // step * step


def plan(
    n: int,
    m: int | None = None,
    method: str = "single",
    metric: str = "euclidean",
    dtype: str = "float64",
    device: str = "auto",
    memory_limit: int | str | None = None,
    *,
    algorithm: str = AUTO,
) -> Plan:
    """Plan a linkage: algorithm, device and memory, without computing it.

    Parameters
    ----------
    n : int
        Number of observations, at least 2.
    m : int, optional
        Number of features; None for condensed dissimilarities.
    method, metric, dtype, device : str
        As for `gpuclust.linkage`.
    memory_limit : int or str, optional
        Bytes, or text such as ``"8GB"``; by default the memory that is available now: that of the GPU, or that of the
        host within the limits of a container.
    algorithm : str
        ``"auto"``, or the algorithm to use, as for `gpuclust.linkage`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        For fewer than two observations, more than 2^31 - 1, no features, or a method, metric, dtype, device, limit or
        algorithm that there is not.
    TypeError
        If a count is not a whole number.
    BackendUnavailable
        If the device is known but cannot be used.

    Examples
    --------
    >>> import gpuclust
    >>> gpuclust.plan(100_000, 16, "single", memory_limit="8GB").algorithm
    'spanning tree'
    """
    return plan_for(n, m, method, metric, dtype, device, memory_limit, algorithm=algorithm)


def plan_for(
    n: int,
    m: int | None,
    method: str,
    metric: str | metrics.Metric,
    dtype: str,
    device: str,
    memory_limit: int | str | None,
    *,
    algorithm: str = AUTO,
    holder: int | None = None,
    copied: int = 0,
    quick: bool = False,
    bits: bool | None = None,
    overwrite: bool = False,
) -> Plan:
    """As `plan`, for an input in the memory of GPU ``holder`` (None: of the host).

    ``metric`` may be a `Metric`, as for Minkowski's with an exponent. ``copied`` is the size in bytes of a copy of
    the input in the working type. ``quick``: for a small job the available memory is not queried. ``bits``: whether
    features are packed into words; by default those of boolean metrics. ``overwrite``: condensed dissimilarities may
    be written over.
    """
    plain = memory_limit is None and holder is None and isinstance(algorithm, str) and isinstance(device, str)
    if quick and plain and n <= SQUARE:
        known = small_plan(n, m, method, metric, dtype, device, algorithm, copied, bits)
        if known is not None:
            return known
    problem = _problem(n, m, method, metric, dtype, bits)
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    return _planned(_Planner(problem, limit, algorithm, holder, copied, quick, overwrite), Device(device))


def _problem(
    n: int, m: int | None, method: str, metric: str | metrics.Metric, dtype: str, bits: bool | None
) -> Problem:
    """The problem of a plan, or a ``ValueError``; see `plan_for`."""
    rule = methods.resolve(method)
    n, m = _count("n", n, 2), None if m is None else _count("m", m, 1)
    if n > MOST:
        raise ValueError(f"n must be at most {MOST:,}, got {n:,}: indices on a GPU have 32 bits.")
    if m is not None and m > MOST:
        raise ValueError(f"m must be at most {MOST:,}, got {m:,}.")
    if m is not None:
        found = metric if isinstance(metric, metrics.Metric) else metrics.resolve(metric)
        metric = found.name if isinstance(found, metrics.Metric) else "callable"
        check_euclidean(rule, metric)
        bits = metrics.facts(metric).boolean if bits is None else bits
    return Problem(n, m, rule, str(metric), working_type(dtype), bool(bits))


@lru_cache(maxsize=1024)
def small_plan(
    n: int,
    m: int | None,
    method: str,
    metric: str | metrics.Metric,
    dtype: str,
    name: str,
    algorithm: str,
    copied: int,
    bits: bool | None,
) -> Plan | None:
    """The plan of a small job on the CPU if it depends on nothing else; None if it does.

    ``name`` is that of the device. Planning takes longer than 20 observations take to be clustered.
    """
    problem, device = _problem(n, m, method, metric, dtype, bits), Device(name)
    planner = _Planner(problem, None, algorithm, None, copied, quick=True)
    single = costs.on_one_thread(planner.work, problem.n, problem.terms, problem.dtype)
    if device.on_gpu or (device.automatic and single > costs.START):
        return None
    found = _planned(planner, device)
    return found if found.limit == LITTLE and not found.device.on_gpu else None


def _planned(planner: _Planner, device: Device) -> Plan:
    """The plan for a device, or for the one that the model of running time chooses."""
    problem, holder = planner.problem, planner.holder
    if not device.automatic:
        name = select(device).name
        return _with_fallbacks(planner, planner.on(name, _hint(planner, name)))
    brought = 0 if holder is not None else problem.input_bytes
    name, why = costs.choose(planner.work, problem.n, problem.terms, problem.dtype, brought, holder)
    name = select(name).name
    try:
        chosen = planner.on(name, f"{why} {_hint(planner, name)}".rstrip())
    except BackendUnavailable as error:  # nobody asked for this device
        return _with_fallbacks(planner, planner.on(CPU, f"{error}"))
    if name.on_gpu and not chosen.fits:
        why = f"It does not fit on {chosen.device}, where it needs {format_bytes(chosen.memory)}."
        chosen = planner.on(CPU, why)
    return _with_fallbacks(planner, chosen)


@dataclass(frozen=True)
class _Planner:
    """Plans of a problem within a memory limit, by device."""

    problem: Problem
    memory_limit: int | None
    asked: str = AUTO
    holder: int | None = None
    copied: int = 0
    quick: bool = False
    overwrite: bool = False

    @property
    def work(self) -> Work:
        """Work of the algorithm that is fastest on the CPU."""
        return options(self.problem, self.asked)[0].algorithm.work(self.problem)

    def on(self, device: Device, why: str = "") -> Plan:
        """The plan for a device: the first algorithm that fits, or otherwise the one that needs least memory.

        ``why`` is appended to its reason.
        """
        known = options(self.problem, self.asked, device)
        sizes = [self._size(option.algorithm, device) for option in known]
        limit = self.memory_limit if self.memory_limit is not None else self._available(device, sizes)
        within = [size.within(limit) for size in sizes]
        if self.asked != AUTO and known[0].algorithm.adjustable:  # with the full matrix it would be another algorithm
            within = [size.within(min(limit, size.fixed + size.matrix // 2)) for size in sizes]
        fitting = [place for place, size in enumerate(within) if size.total <= limit]
        place = fitting[0] if fitting else min(range(len(within)), key=lambda k: within[k].total)
        return self._plan(known[place], within[place], device, limit, why)

    def _plan(self, option: Option, size: Footprint, device: Device, limit: int, why: str = "") -> Plan:
        problem = self.problem
        return Plan(
            problem.n,
            problem.m,
            problem.method.name,
            problem.metric,
            problem.dtype,
            device,
            option.algorithm.name,
            size.total,
            limit,
            f"{option.reason} {why}".rstrip(),
            size.matrix,
            problem.bits,
        )

    def _size(self, algorithm: Algorithm, device: Device) -> Footprint:
        size = algorithm.footprint(self.problem, device, self.holder is not None)
        if self.overwrite and algorithm.overwrites and self.problem.n > SQUARE and not device.on_gpu:
            bands = 2 * TILE * (self.problem.n + TILE) * self.problem.width
            size = size._replace(matrix=bands, least=bands)
        return size._replace(fixed=size.fixed + self.copied)

    def _available(self, device: Device, sizes: list[Footprint]) -> int:
        needed = max(size.total for size in sizes)
        if (
            not self.problem.condensed and self.problem.method.pairs is not None
        ):  # more clusters than expected may be left
            needed += stored_bytes(self.problem.n, self.problem.dtype)
        return LITTLE if self.quick and needed <= LITTLE and not device.on_gpu else _available(device)

    def slimmer(self, plan: Plan) -> list[Plan]:
        """Plans for the same device with less memory, and more time; the largest first."""
        if not plan.matrix or plan.m is None:
            return []
        found = []
        for option in options(self.problem, self.asked, plan.device):
            size = self._size(option.algorithm, plan.device)
            if option.algorithm.adjustable:
                if plan.n <= FUSED:
                    continue
                size = size.within(size.fixed + plan.matrix // 2)
            if size.total < plan.memory:
                found.append(self._plan(option, size, plan.device, plan.limit))
        return sorted(found, key=lambda plan: -plan.memory)


def _with_fallbacks(planner: _Planner, chosen: Plan) -> Plan:
    """``chosen`` with its fallbacks: a smaller matrix or none, then both on the CPU."""
    others = planner.slimmer(chosen)
    if chosen.device.on_gpu:
        host = planner.on(CPU)
        others += [host, *planner.slimmer(host)]
    return replace(chosen, fallbacks=tuple(others))


def _hint(planner: _Planner, device: Device) -> str:
    """The gain by float32 on a GPU whose float64 is slow, as a sentence; empty on others."""
    problem = planner.problem
    if not device.on_gpu or problem.dtype != "float64":
        return ""
    card = devices.cards()[device.number]
    if card.slowdown <= 2:
        return ""
    double, single = (
        costs.on_card(planner.work, problem.n, problem.terms, dtype, card, 0) for dtype in ("float64", "float32")
    )
    capability = ".".join(map(str, card.capability))
    return (
        f"float64 runs at 1/{card.slowdown} of the rate of float32 on this GPU (compute capability {capability}): "
        f'dtype="float32" would take half the memory and about {single / double:.0%} of the time.'
    )


def _available(device: Device) -> int:
    """Bytes that may be allocated on a device."""
    if device.on_gpu:
        return devices.free_memory(device.number)
    return available_memory()


def working_type(dtype: object) -> str:
    """``"float64"`` or ``"float32"``, from a name or a NumPy type."""
    if isinstance(dtype, str) and dtype in ("float64", "float32"):
        return str(dtype)
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = ""
    if name not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")
    return str(name)


def _count(name: str, value: int, least: int) -> int:
    try:
        value = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}.") from None
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return value


def check_euclidean(method: methods.Method, metric: str) -> None:
    """Ward, centroid and median of points take Euclidean distances only."""
    if method.on_squares and metric != "euclidean":
        raise ValueError(
            f"Method '{method.name}' requires the distance metric to be Euclidean, got {metric!r}. "
            "Allowed: metric='euclidean', or condensed distances that are known to be Euclidean."
        )
