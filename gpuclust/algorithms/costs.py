"""Peak memory and operations of algorithms, and a model of the time they take. Light to import.

Footprints are compared with the measured peak of a process in tests/test_footprint.py. An allocator may keep some of
what is freed: glibc up to 64 MB, by default.

The model of time only has to tell the clear cases apart: what a GPU makes ten times faster, and what the CPU has
finished before a GPU has begun. The CPU's figures are measured; those of a GPU follow from what the algorithms do
(docs/gpu-model.md counts it) and from what its driver reports.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from gpuclust.core import devices, metrics
from gpuclust.core.device import CPU, Device
from gpuclust.core.devices import Card
from gpuclust.core.sizes import FEWEST, TILE, WIDE, candidate_bytes
from gpuclust.core.text import format_seconds

if TYPE_CHECKING:
    from gpuclust.algorithms.base import Problem

#: Bytes of distances, or of minima of them, that a pass over points on a GPU holds at a time, at most.
SLAB = 2**28
#: Memory of a GPU for sorting neighbour lists, in multiples of the bytes of the lists.
LISTS_ON_GPU = 4


class Footprint(NamedTuple):
    """Bytes that an algorithm takes.

    Attributes
    ----------
    fixed : memory held during the whole run.
    matrix : a stored matrix, in addition.
    least : the smallest matrix that it can run with.
    early : memory in addition to ``fixed`` that is freed before the matrix is allocated.
    """

    fixed: int
    matrix: int = 0
    least: int = 0
    early: int = 0

    @property
    def total(self) -> int:
        return self.fixed + max(self.matrix, self.early)

    def within(self, limit: int) -> Footprint:
        """The same with a matrix reduced to fit the limit, as far as the algorithm allows."""
        return self._replace(matrix=max(self.least, min(self.matrix, limit - self.fixed)))


class Work(NamedTuple):
    """Amount of work of an algorithm for n points of m features.

    Attributes
    ----------
    base, feature : nanoseconds of one CPU thread, times n², and times n² m
    passes : distances computed on a GPU, in units of n²
    moved : numbers read or written, in units of n²
    rounds, steps : rounds of merges; grid-wide steps, in units of n
    linear : nanoseconds of one CPU thread, times n
    """

    base: float
    feature: float
    passes: float
    moved: float
    rounds: int = 0
    steps: float = 0
    linear: float = 0


#: Rounds of a linkage: each reduces the clusters by a third, and a chain merges the last few hundred.
ROUNDS = 40


def slab_bytes(problem: Problem) -> int:
    """Bytes of the distances that a pass over all points on a GPU holds."""
    return min(SLAB, problem.n * problem.n * problem.width)


def selection_slab_bytes(n: int, width: int) -> int:
    """Bytes of the slab from which neighbours are selected: at least one row of tiles."""
    return n * width * min(n, max(TILE, SLAB // (n * width)))


def screened(metric: str, m: int | None) -> bool:
    """Whether the CPU compares points of m features in single precision first."""
    facts = metrics.facts(metric)
    return facts.screened or (facts.angular and (m or 0) >= WIDE)


def box_bytes(n: int, m: int, metric: str, width: int, listed: int) -> int:
    """Bytes of screened boxes on the host: the points in their order, in float32 with padding, and candidates."""
    if n < FEWEST or not screened(metric, m):
        return 0
    copies = 2 if metrics.facts(metric).angular else 1
    return int(n * m * (copies * width + 4.8)) + n * candidate_bytes(listed, m)


#: Seconds of CUDA's start that the model charges to each call: loading libraries and kernels takes about one second,
#: once in a process. Shorter work stays on the CPU.
START = 0.25
#: Bytes per second between host and GPU, from memory that is not pinned.
TRANSFER = 8e9
#: Seconds of a round of merges that do not depend on n: about 20 launches, and four waits for the GPU.
ROUND = 300e-6
#: Seconds of a step of a cooperative kernel: one or two grid-wide barriers.
STEP = 8e-6
#: Instructions of a pair of points, and of each of its features, as counted in docs/gpu-model.md.
INSTRUCTIONS = {"float32": (15, 2.6), "float64": (20, 4.1)}
#: Fraction of a GPU's peak arithmetic rate and bandwidth that kernels reach.
REACHED = 0.5
#: Parallel efficiency of threads on as many cores.
SCALING = 0.8
#: Time of float32 on a CPU relative to float64.
SINGLE = 0.6

#: Cost of k-nearest lists by screening; n = 20,000, m = 16 and 64, with AVX-512.
SCREENED_NEIGHBOURS = Work(0.1, 0.011, 1, 1)
#: Cost of a full distance matrix, of k-nearest lists, and of a fused pass that stores nothing.
MATRIX = Work(2.0, 0.05, 0.5, 0.5)
NEIGHBOURS = Work(1.2, 0.17, 1, 1)
PAIRS = Work(1.0, 0.05, 0.5, 1)


def threads() -> int:
    """Threads of the CPU backend, without importing it; an invalid GPUCLUST_NUM_THREADS is refused there."""
    asked = os.environ.get("GPUCLUST_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_one_thread(work: Work, n: float, m: int | None, dtype: str) -> float:
    """Seconds on one thread of the CPU."""
    return (
        1e-9 * n * (n * (work.base + work.feature * (m or 0)) * (SINGLE if dtype == "float32" else 1) + work.linear)
    )


def on_cpu(work: Work, n: float, m: int | None, dtype: str) -> float:
    """Seconds on all threads of the CPU."""
    return on_one_thread(work, n, m, dtype) / max(1.0, SCALING * threads())


def on_card(work: Work, n: float, m: int | None, dtype: str, card: Card, transfer: int) -> float:
    """Seconds on a GPU, without its start; ``transfer`` is the number of bytes to copy there and back."""
    pair, feature = INSTRUCTIONS.get(dtype, INSTRUCTIONS["float64"])
    computed = work.passes * n * n * (pair + feature * (m or 0)) / (REACHED * card.rate(dtype))
    moved = work.moved * n * n * (4 if dtype == "float32" else 8) / (REACHED * card.bandwidth)
    return transfer / TRANSFER + work.rounds * ROUND + work.steps * n * STEP + computed + moved


def neighbours(metric: str, m: int) -> Work:
    """Work of a search for lists of nearest neighbours."""
    return SCREENED_NEIGHBOURS if screened(metric, m) else NEIGHBOURS


def seconds(work: Work, n: int, m: int | None, dtype: str, device: Device) -> float:
    """Modelled time of a linkage on a device, with its start; to about an order of magnitude."""
    if not device.on_gpu or not devices.cards():
        return on_cpu(work, n, m, dtype)
    return START + on_card(work, n, m, dtype, devices.cards()[device.number], 0)


def choose(
    work: Work, n: float, m: int | None, dtype: str, transfer: int, holder: int | None = None
) -> tuple[Device, str]:
    """Device and reason for "auto": a GPU if one can be used and the model says that it is faster than the CPU.

    The driver is queried only if there is time to gain, so that small jobs never wait for it. If the input is in the
    memory of a GPU already, that is ``holder``, and no other is considered.
    """
    host = on_cpu(work, n, m, dtype)
    if host <= START:
        return CPU, "Too little work for a GPU to gain by."
    if devices.emulated():
        return CPU, "CUDA is only emulated here."
    lack = devices.missing()
    if lack is not None:
        return CPU, f"No GPU is used: {lack.what}."
    card = devices.cards()[holder or 0]
    there = START + on_card(work, n, m, dtype, card, transfer)
    times = f"{format_seconds(there)} on {card.name}, {format_seconds(host)} on {threads()} threads of the CPU"
    return Device(f"cuda:{card.index}") if there < host else CPU, f"Modelled time: {times}."
