"""What a job will do and need, before it does it: algorithm, device, predicted memory, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import index

import numpy as np

from gpuclust import devices, methods, metrics, speed
from gpuclust.backends import parse_device, select
from gpuclust.errors import DoesNotFit
from gpuclust.memory import available_memory as available_memory
from gpuclust.memory import format_bytes as format_bytes
from gpuclust.memory import parse_bytes as parse_bytes
from gpuclust.sizes import FUSED, NEIGHBOURS, TILE

#: Single linkage of so few points is done from a condensed matrix: no pass over them costs less than one merge.
SMALL = 512
#: Centroids of more features cost more to compare than a row of a stored matrix costs to update.
WIDE = 96

#: Features, and the share of the points that is left as clusters when the first rounds, made from neighbour lists,
#: are over: random data, some 15 % added. When the true number is known it is checked before the matrix is made.
LEFT = ((2, 0.15), (4, 0.25), (8, 0.42), (16, 0.58), (64, 0.75), (256, 0.85))

#: Bytes of distances, or of minima of them, that a pass over points on a card holds at a time, at most.
SLAB_ON_CARD = 2**28
#: A card sorts what neighbours are listed: so many times the lists.
LISTS_ON_CARD = 4

SUMMARIES = "Rounds of reciprocal nearest neighbours on sizes, centroids and scatter: no matrix is stored."
HYBRID = "Rounds from points until few enough clusters are left for half a matrix of them to fit."


@dataclass(frozen=True)
class Plan:
    """How a linkage will be computed.

    Attributes
    ----------
    n, m : int, int or None
        Observations and features; ``m`` is None for condensed input.
    method, metric, dtype, device : str
    algorithm : str
        ``"spanning tree"``, ``"summaries"``, ``"stored"``, ``"hybrid"`` (stored, when few enough clusters are left),
        ``"generic"`` (on centroids) or ``"generic, stored"``.
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

    def __str__(self) -> str:
        shape = f"{self.n:,} observations" if self.m is None else f"{self.n:,} x {self.m:,} points"
        return (
            f"{self.method} linkage of {shape} ({self.metric}, {self.dtype}) on {self.device}: {self.algorithm}, "
            f"{format_bytes(self.memory)} of {format_bytes(self.limit)}. {self.reason}"
        )

    def check(self) -> None:
        """Raise `DoesNotFit` if the job needs more memory than it may use; the message says what would do."""
        if not self.fits:
            raise self._refusal(self.memory)

    @property
    def most_clusters(self) -> int:
        """Clusters whose matrix fits beside what else the job holds."""
        budget = self.limit - (self.memory - self.matrix)
        most = int((2 * budget / np.dtype(self.dtype).itemsize) ** 0.5) if budget > 0 else 0
        while most > 0 and stored_bytes(most, self.dtype, self.device) > budget:
            most -= TILE
        return max(most, 0)

    def _refusal(self, needed: int) -> DoesNotFit:
        options = []
        if self.dtype == "float64" and needed // 2 <= self.limit:
            options.append('dtype="float32" (half the memory)')
        if self.m is not None and self.algorithm == "stored":
            slim = [name for name in ("single", "ward", "centroid") if self._needs(name) <= self.limit]
            if slim:
                options.append(f"method={' or '.join(repr(name) for name in slim)} (memory grows with n, not n²)")
        if self.device != "cpu" and any(other.device == "cpu" and other.fits for other in self.fallbacks):
            options.append('device="cpu"')
        largest = int(self.n * min(1.0, (self.limit / needed) ** 0.5))
        if largest >= 2:
            options.append(f"at most about {largest:,} observations")
        where = f" on {self.device}" if _on_card(self.device) else ""
        return DoesNotFit(
            f"{self.method} linkage of {self.n:,} observations needs {format_bytes(needed)} of memory{where}, and "
            f"{format_bytes(self.limit)} may be used. What would fit: {'; '.join(options) or 'nothing'}."
        )

    def _needs(self, method: str) -> int:
        return plan(self.n, self.m, method, "euclidean", self.dtype, self.device, self.limit or 1).memory


def plan(
    n: int,
    m: int | None = None,
    method: str = "single",
    metric: str = "euclidean",
    dtype: str = "float64",
    device: str = "auto",
    memory_limit: int | str | None = None,
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

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        For fewer than two observations, no features, or a method, metric, dtype, device or limit that there is not.
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
    return plan_for(n, m, method, metric, dtype, device, memory_limit)


def plan_for(
    n: int,
    m: int | None,
    method: str,
    metric: str,
    dtype: str,
    device: str,
    memory_limit: int | str | None,
    holder: int | None = None,
) -> Plan:
    """`plan`, for points or dissimilarities that lie on card ``holder`` already."""
    rule = methods.resolve(method)
    n, m = _count("n", n, 2), None if m is None else _count("m", m, 1)
    if m is not None:
        found = metrics.resolve(metric)
        metric = found.name if isinstance(found, metrics.Metric) else "callable"
        check_euclidean(rule, metric)
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    task = _Task(n, m, rule, metric, working_type(dtype), limit, holder)
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
    holder: int | None = None

    @property
    def choice(self) -> tuple[str, str]:
        """The algorithm where there is memory enough, and why."""
        return _choose(self.n, self.m, self.method, self.metric)

    @property
    def work(self) -> speed.Work:
        return (speed.CONDENSED if self.m is None else speed.POINTS)[self.choice[0]]

    @property
    def input_bytes(self) -> int:
        numbers = self.n * (self.n - 1) // 2 if self.m is None else self.n * self.m
        return numbers * np.dtype(self.dtype).itemsize

    def on(self, device: str, why: str = "") -> Plan:
        """The plan for one device; ``why`` is added to its reason."""
        n, m, dtype = self.n, self.m, self.dtype
        width = np.dtype(dtype).itemsize
        algorithm, reason = self.choice
        matrix = lists = 0
        features = 0 if m is None else 2 * n * m * width
        rows = 100 * n  # ids, sizes, neighbours, merges and Z
        if algorithm == "spanning tree":
            small = m is not None and n <= SMALL
            memory = features + rows + (n * (n - 1) // 2 * width if small else 0)
        elif algorithm == "generic":
            memory = features + features // 2 + rows
        elif algorithm == "summaries":  # centroids in two parts, and the copies that a round makes of them
            memory = 3 * features + 2 * rows
        else:
            clusters = n
            if m is not None and self.method.pairs is not None and n > FUSED:
                clusters = int(n * next((share for most, share in LEFT if m <= most), 0.9))
                lists = NEIGHBOURS * n * (8 + width) * (LISTS_ON_CARD if _on_card(device) else 1)
            matrix = stored_bytes(clusters, dtype, device)
            memory = features + rows + lists + matrix
        if _on_card(device) and m is not None:
            memory += min(SLAB_ON_CARD, n * n * width)
        elif _on_card(device) and self.holder is None:  # the input, beside what is made of it
            memory += self.input_bytes
        limit = self.memory_limit if self.memory_limit is not None else _available(device, memory)
        if matrix and m is not None and self.method.scatter is not None and self.metric in metrics.SQUARED:
            if memory > limit:
                algorithm, reason, matrix, memory = "summaries", SUMMARIES, 0, 3 * features + 2 * rows
        elif matrix and lists and memory > limit:
            least = stored_bytes(FUSED, dtype, device)
            fitting = max(least, limit - (memory - matrix))
            if fitting < matrix:
                algorithm, reason = "hybrid", HYBRID
                memory, matrix = memory - matrix + fitting, fitting
        reason = f"{reason} {why}".rstrip()
        return Plan(n, m, self.method.name, self.metric, dtype, device, algorithm, memory, limit, reason, matrix)

    def slimmer(self, plan: Plan) -> list[Plan]:
        """Plans for the same device that take less memory, and more time."""
        if self.m is None or not plan.matrix:
            return []
        if not self.method.reducible:
            memory = 3 * self.input_bytes + 100 * self.n
            reason = "Distances come from centroids: no matrix is stored."
            return [replace(plan, algorithm="generic", memory=memory, matrix=0, reason=reason)]
        half, least = plan.matrix // 2, stored_bytes(FUSED, self.dtype, plan.device)
        if self.n <= FUSED or self.method.pairs is None or half < least:
            return []
        memory = plan.memory - plan.matrix + half
        return [replace(plan, algorithm="hybrid", memory=memory, limit=memory, matrix=half, reason=HYBRID)]


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


def _available(device: str, needed: int) -> int:
    """Bytes that may be asked for on a device. The host is not asked about a little."""
    if _on_card(device):
        from gpuclust.kernels.cuda.launch import free_memory

        with select(device).active():
            return free_memory()[0]
    return available_memory() if needed > 2**26 else 2**26


def stored_bytes(clusters: int, dtype: str, device: str = "cpu") -> int:
    """Bytes of a stored matrix with what a round needs beside it: on the host a band of two rows of tiles."""
    if _on_card(device):
        from gpuclust.kernels.cuda import tiles

        return tiles.stored_bytes(clusters, dtype)
    rows = -(-clusters // TILE)
    return (rows * (rows + 1) // 2 * TILE + 2 * clusters) * TILE * np.dtype(dtype).itemsize


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


def _choose(n: int, m: int | None, method: methods.Method, metric: str) -> tuple[str, str]:
    if method.name == "single":
        return "spanning tree", "Single linkage is the minimum spanning tree: no matrix is stored."
    if method.geometric is not None and m is not None:
        return "summaries", "Rounds of reciprocal nearest neighbours on sizes and centroids: no matrix is stored."
    if m is not None and m <= WIDE and method.scatter is not None and metric in metrics.SQUARED:
        return "summaries", SUMMARIES
    if method.reducible:
        return "stored", "Rounds of reciprocal nearest neighbours on half a matrix."
    if m is not None and m <= WIDE:
        return "generic", "One merge a step over lower bounds; distances come from centroids: no matrix is stored."
    why = "there are no points" if m is None else f"with {m} features a matrix row is cheaper than centroids"
    return "generic, stored", f"One merge a step over lower bounds on half a matrix, since {why}."
