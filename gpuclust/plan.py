"""What a job will do and need, before it does it: algorithm, device, predicted memory, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from operator import index
from pathlib import Path

import numpy as np

from gpuclust import methods, metrics
from gpuclust.backends import select
from gpuclust.errors import DoesNotFit
from gpuclust.sizes import FUSED, NEIGHBOURS, TILE

#: Single linkage of so few points is done from a condensed matrix: no pass over them costs less than one merge.
SMALL = 512
#: Centroids of so many features cost more to compare than a row of a stored matrix costs to update.
WIDE = 96

#: Features, and the share of the points that is left as clusters when the first rounds, made from neighbour lists,
#: are over: random data, some 15 % added. When the true number is known it is checked before the matrix is made.
LEFT = ((2, 0.15), (4, 0.25), (8, 0.42), (16, 0.58), (64, 0.75), (256, 0.85))

HYBRID = "Rounds from points until few enough clusters are left for half a matrix of them to fit."

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


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
        Predicted peak, in bytes, beside the input.
    limit : int
        Bytes that may be used: ``memory_limit``, or what is available now.
    reason : str
        Why this algorithm.
    matrix : int
        What of ``memory`` is a stored matrix.
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
        while most > 0 and matrix_bytes(most, self.dtype) > budget:
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
        largest = int(self.n * min(1.0, (self.limit / needed) ** 0.5))
        if largest >= 2:
            options.append(f"at most about {largest:,} observations")
        return DoesNotFit(
            f"{self.method} linkage of {self.n:,} observations needs {format_bytes(needed)} of memory, and "
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
    """Which algorithm a linkage will use, and how much memory it will take.

    Parameters
    ----------
    n : int
        Number of observations, at least 2.
    m : int, optional
        Number of features; None for condensed dissimilarities.
    method, metric, dtype, device : str
        As for `gpuclust.linkage`.
    memory_limit : int or str, optional
        Bytes, or text such as ``"8GB"``; by default the memory that is available now, container limits included.

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
    linkage_method = methods.resolve(method)
    n, m = _count("n", n, 2), None if m is None else _count("m", m, 1)
    if m is not None:
        found = metrics.resolve(metric)
        metric = found.name if isinstance(found, metrics.Metric) else "callable"
        check_euclidean(linkage_method, metric)
    dtype = working_type(dtype)
    width = {"float64": 8, "float32": 4}[dtype]
    name = select(device).name
    algorithm, reason = _choose(n, m, linkage_method)
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
        if m is not None and linkage_method.pairs is not None and n > FUSED:
            clusters = int(n * next((share for most, share in LEFT if m <= most), 0.9))
            lists = NEIGHBOURS * n * (8 + width)
        matrix = matrix_bytes(clusters, dtype)
        memory = features + rows + lists + matrix
    limit = parse_bytes(memory_limit) if memory_limit is not None else available_memory() if memory > 2**26 else 2**26
    if matrix and lists and memory > limit:
        least = matrix_bytes(FUSED, dtype)
        fitting = max(least, limit - (memory - matrix))
        if fitting < matrix:
            algorithm, reason = "hybrid", HYBRID
            memory, matrix = memory - matrix + fitting, fitting
    return Plan(n, m, method, metric, dtype, name, algorithm, memory, limit, reason, matrix)


def matrix_bytes(clusters: int, dtype: str) -> int:
    """Bytes of a stored matrix with what a round needs beside it: a band of two rows of tiles."""
    width = {"float64": 8, "float32": 4}[dtype]
    tiles = -(-clusters // TILE)
    return (tiles * (tiles + 1) // 2 * TILE + 2 * clusters) * TILE * width


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


def _choose(n: int, m: int | None, method: methods.Method) -> tuple[str, str]:
    if method.name == "single":
        return "spanning tree", "Single linkage is the minimum spanning tree: no matrix is stored."
    if method.geometric is not None and m is not None:
        return "summaries", "Rounds of reciprocal nearest neighbours on sizes and centroids: no matrix is stored."
    if method.reducible:
        return "stored", "Rounds of reciprocal nearest neighbours on half a matrix."
    if m is not None and m <= WIDE:
        return "generic", "One merge a step over lower bounds; distances come from centroids: no matrix is stored."
    why = "there are no points" if m is None else f"with {m} features a matrix row is cheaper than centroids"
    return "generic, stored", f"One merge a step over lower bounds on half a matrix, since {why}."


def parse_bytes(text: int | str) -> int:
    """Bytes from a number or from text such as ``"8GB"``, ``"512 MiB"``, ``"1.5g"``."""
    if not isinstance(text, str):
        if isinstance(text, bool) or not isfinite(text) or text <= 0:
            raise ValueError(f"memory_limit must be a positive number of bytes or text such as '8GB', got {text!r}.")
        return int(text)
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise ValueError(f"memory_limit must be a positive number of bytes or text such as '8GB', got {text!r}.")
    return int(float(match[1]) * unit)


def format_bytes(count: float) -> str:
    """``1_600_000_000`` -> ``"1.60 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def available_memory() -> int:
    """Bytes this process may still take: what the system has available, or less in a container."""
    available = []
    meminfo = _read("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo, re.MULTILINE)
    if found:
        available.append(int(found[1]) * 1024)
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit, used = _read(limit_file).strip(), _read(used_file).strip()
        if limit.isdigit() and used.isdigit():
            available.append(max(0, int(limit) - int(used)))
    return min(available) if available else 2**63 - 1


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
