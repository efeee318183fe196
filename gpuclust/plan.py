"""What a job will do and need, before it does it: algorithm, device, predicted memory, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import index

import numpy as np

from gpuclust import choice, devices, footprint, methods, metrics, speed
from gpuclust.backends import parse_device, select
from gpuclust.choice import AUTO
from gpuclust.errors import DoesNotFit
from gpuclust.memory import available_memory as available_memory
from gpuclust.memory import format_bytes as format_bytes
from gpuclust.memory import parse_bytes as parse_bytes
from gpuclust.sizes import FUSED, MOST
from gpuclust.sizes import TILE as TILE

__all__ = ["Plan", "check_euclidean", "plan", "plan_for", "working_type"]

#: Nobody looks whether so few bytes are there: a small job would wait longer for the answer than it takes.
LITTLE = 2**26


@dataclass(frozen=True)
class Plan:
    """How a linkage will be computed.

    Attributes
    ----------
    n, m : int, int or None
        Observations and features; ``m`` is None for condensed input.
    method, metric, dtype, device : str
    algorithm : str
        ``"spanning tree"``; ``"spanning tree, stored"`` (of condensed distances, for few points); ``"summaries"``;
        ``"stored"``; ``"stored, all pairs"`` (each distance computed once); ``"cluster tree"`` and ``"hybrid"``
        (stored, when few enough clusters are left); ``"generic"`` (on centroids) or ``"generic, stored"``.
    memory : int
        Predicted peak, in bytes, beside the input; of the device's memory where that is a card.
    limit : int
        Bytes that may be used: ``memory_limit``, or what is available now.
    reason : str
        Why this algorithm, and this device where it was not asked for by name.
    matrix : int
        What of ``memory`` is a stored matrix.
    fallbacks : tuple of Plan
        What is done instead should memory run out all the same: the first of these that fits, then the next.
    """

    n: int
    m: int | None
    method: str
    metric: str
    dtype: str
    device: str
    algorithm: str
    memory: int
    limit: int
    reason: str
    matrix: int = 0
    fallbacks: tuple[Plan, ...] = field(default=(), repr=False)

    @property
    def fits(self) -> bool:
        return self.memory <= self.limit

    @property
    def seconds(self) -> float:
        """Modelled time, rough: it tells seconds from hours."""
        return speed.seconds(self.algorithm, self.n, self.m, self.metric, self.dtype, self.device)

    def __str__(self) -> str:
        shape = f"{self.n:,} observations" if self.m is None else f"{self.n:,} x {self.m:,} points"
        return (
            f"{self.method} linkage of {shape} ({self.metric}, {self.dtype}) on {self.device}: {self.algorithm}, "
            f"{format_bytes(self.memory)} of {format_bytes(self.limit)}. {self.reason}"
        )

    def check(self) -> None:
        """Raise `DoesNotFit` if the job needs more memory than it may use; the message says what would do."""
        if not self.fits:
            where = f" on {self.device}" if _on_card(self.device) else ""
            raise DoesNotFit(
                f"{self.method} linkage of {self.n:,} observations needs {format_bytes(self.memory)} of "
                f"memory{where}, and {format_bytes(self.limit)} may be used. "
                f"What would fit: {'; '.join(self.what_would_fit()) or 'nothing'}."
            )

    @property
    def most_clusters(self) -> int:
        """Clusters whose matrix fits beside what else the job holds."""
        waits = self.algorithm in ("hybrid", "cluster tree")
        budget = self.matrix if waits else self.limit - (self.memory - self.matrix)
        if budget <= 0:
            return 0
        low, high = 0, int((2 * budget / np.dtype(self.dtype).itemsize) ** 0.5) + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = footprint.stored_bytes(middle, self.dtype, self.device) <= budget
            low, high = (middle, high) if fits else (low, middle)
        return low

    def what_would_fit(self) -> list[str]:
        """Changes of this job, in words, each of which would make it fit: as planned, not guessed."""
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
        """The plan of a job that differs in this, within the same limit."""
        wanted = {name: getattr(self, name) for name in ("n", "m", "method", "metric", "dtype", "device")} | changes
        rule = methods.resolve(wanted["method"])
        task = _Task(wanted["n"], wanted["m"], rule, wanted["metric"], wanted["dtype"], max(1, self.limit))
        return task.on(wanted["device"])

    def _largest(self) -> int:
        """The most observations that would fit, down to a number of three digits."""
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
    """Which algorithm a linkage will use, on which device, and how much memory it will take.

    Parameters
    ----------
    n : int
        Number of observations, at least 2.
    m : int, optional
        Number of features; None for condensed dissimilarities.
    method, metric, dtype, device : str
        As for `gpuclust.linkage`.
    memory_limit : int or str, optional
        Bytes, or text such as ``"8GB"``; by default the memory that is available now, on a card its own, on the
        host with the limits of a container.
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
) -> Plan:
    """`plan`, for points or dissimilarities that lie on card ``holder`` already.

    ``metric`` is looked up unless it is one of the table, as it is for Minkowski's with an exponent.
    ``copied`` bytes are taken by a copy of the input in the working type. ``quick``: the limit of a job that needs
    little is not looked up.
    """
    rule = methods.resolve(method)
    n, m = _count("n", n, 2), None if m is None else _count("m", m, 1)
    if n > MOST:
        raise ValueError(f"n must be at most {MOST:,}, got {n:,}: indices on a card have 32 bits.")
    if m is not None and m > MOST:
        raise ValueError(f"m must be at most {MOST:,}, got {m:,}.")
    if m is not None:
        found = metric if isinstance(metric, metrics.Metric) else metrics.resolve(metric)
        metric = found.name if isinstance(found, metrics.Metric) else "callable"
        check_euclidean(rule, metric)
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    task = _Task(n, m, rule, str(metric), working_type(dtype), limit, algorithm, holder, copied, quick)
    if parse_device(device)[0] != "auto":
        name = select(device).name
        return _with_fallbacks(task, task.on(name, _hint(task, name)))
    brought = 0 if holder is not None else task.input_bytes
    name, why = speed.choose(task.work, n, m, task.dtype, brought, holder)
    name = select(name).name
    chosen = task.on(name, f"{why} {_hint(task, name)}".rstrip())
    if _on_card(name) and not chosen.fits:
        why = f"{chosen.device} has no room: it would take {format_bytes(chosen.memory)}."
        chosen = task.on("cpu", why)
    return _with_fallbacks(task, chosen)


@dataclass(frozen=True)
class _Task:
    """What is asked for, on whatever device."""

    n: int
    m: int | None
    method: methods.Method
    metric: str
    dtype: str
    memory_limit: int | None
    asked: str = AUTO
    holder: int | None = None
    copied: int = 0
    quick: bool = False

    def options(self, device: str = "cpu") -> list[choice.Option]:
        return choice.options(self.n, self.m, self.method, self.metric, self.asked, _on_card(device))

    @property
    def work(self) -> speed.Work:
        return speed.work_of(self.options()[0].algorithm, self.m, self.metric)

    @property
    def input_bytes(self) -> int:
        numbers = self.n * (self.n - 1) // 2 if self.m is None else self.n * self.m
        return numbers * np.dtype(self.dtype).itemsize

    def on(self, device: str, why: str = "") -> Plan:
        """The plan for one device: the first algorithm that fits, or else the one that takes the least.

        ``why`` is added to its reason.
        """
        options = self.options(device)
        sizes = [self._size(option.algorithm, device) for option in options]
        limit = self.memory_limit if self.memory_limit is not None else self._available(device, sizes)
        within = [size.within(limit) for size in sizes]
        if self.asked == "hybrid":  # of a matrix that holds everything nothing would be learned
            within = [size.within(min(limit, size.fixed + size.matrix // 2)) for size in sizes]
        fitting = [place for place, size in enumerate(within) if size.total <= limit]
        place = fitting[0] if fitting else min(range(len(within)), key=lambda k: within[k].total)
        return self._plan(options[place], within[place], device, limit, why)

    def _plan(self, option: choice.Option, size: footprint.Footprint, device: str, limit: int, why: str = "") -> Plan:
        return Plan(
            self.n,
            self.m,
            self.method.name,
            self.metric,
            self.dtype,
            device,
            option.algorithm,
            size.total,
            limit,
            f"{option.reason} {why}".rstrip(),
            size.matrix,
        )

    def _size(self, algorithm: str, device: str) -> footprint.Footprint:
        at_hand = self.holder is not None
        size = footprint.estimate(algorithm, self.n, self.m, self.method, self.metric, self.dtype, device, at_hand)
        return size._replace(fixed=size.fixed + self.copied)

    def _available(self, device: str, sizes: list[footprint.Footprint]) -> int:
        needed = max(size.total for size in sizes)
        if self.m is not None and self.method.pairs is not None:  # more clusters may be left than foreseen
            needed += footprint.stored_bytes(self.n, self.dtype)
        return LITTLE if self.quick and needed <= LITTLE and not _on_card(device) else _available(device)

    def slimmer(self, plan: Plan) -> list[Plan]:
        """Plans for the same device that take less memory, and more time; the largest first."""
        if not plan.matrix or self.m is None:
            return []
        found = []
        for option in self.options(plan.device):
            size = self._size(option.algorithm, plan.device)
            if option.algorithm == "hybrid":
                if self.n <= FUSED:
                    continue
                size = size.within(size.fixed + plan.matrix // 2)
            if size.total < plan.memory:
                found.append(self._plan(option, size, plan.device, plan.limit))
        return sorted(found, key=lambda plan: -plan.memory)


def _with_fallbacks(task: _Task, chosen: Plan) -> Plan:
    """``chosen`` and, for when memory runs out, the same with a smaller matrix or none, then both on the CPU."""
    others = task.slimmer(chosen)
    if _on_card(chosen.device):
        host = task.on("cpu")
        others += [host, *task.slimmer(host)]
    return replace(chosen, fallbacks=tuple(others))


def _hint(task: _Task, device: str) -> str:
    """What float32 would bring, where float64 is slow."""
    if not _on_card(device) or task.dtype != "float64":
        return ""
    card = devices.cards()[parse_device(device)[1]]
    if card.slowdown <= 2:
        return ""
    double, single = (speed.on_card(task.work, task.n, task.m, dtype, card, 0) for dtype in ("float64", "float32"))
    capability = ".".join(map(str, card.capability))
    return (
        f"float64 runs at 1/{card.slowdown} of the rate of float32 on this card (compute capability {capability}): "
        f'dtype="float32" would take half the memory and about {single / double:.0%} of the time.'
    )


def _on_card(device: str) -> bool:
    return parse_device(device)[0] == "cuda"


def _available(device: str) -> int:
    """Bytes that may be asked for on a device."""
    if _on_card(device):
        from gpuclust.kernels.cuda.launch import free_memory

        with select(device).active():
            return free_memory()[0]
    return available_memory()


def working_type(dtype: object) -> str:
    """``"float64"`` or ``"float32"``, from a name or a NumPy type."""
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
