"""Units in which algorithms state what they take: bytes at their peak, and operations. Light to import.

Footprints are compared with the measured peak of a process in tests/test_footprint.py. An allocator may keep some of
what is freed: glibc up to 64 MB, by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gpuclust.core import metrics
from gpuclust.core.sizes import FEWEST, TILE

if TYPE_CHECKING:
    from gpuclust.algorithms.base import Problem

#: Bytes of distances, or of minima of them, that a pass over points on a GPU holds at a time, at most.
SLAB = 2**28
#: A GPU sorts the neighbours it lists: so many times the bytes of the lists.
LISTS_ON_GPU = 4


class Footprint(NamedTuple):
    """Bytes that an algorithm takes.

    Attributes
    ----------
    fixed : what it takes from beginning to end.
    matrix : a stored matrix, beside that.
    least : the smallest matrix it would do with.
    early : what it takes beside ``fixed`` before there is a matrix, and frees.
    """

    fixed: int
    matrix: int = 0
    least: int = 0
    early: int = 0

    @property
    def total(self) -> int:
        return self.fixed + max(self.matrix, self.early)

    def within(self, limit: int) -> Footprint:
        """The same with a matrix that fits the limit, where the algorithm would do with less."""
        return self._replace(matrix=max(self.least, min(self.matrix, limit - self.fixed)))


class Work(NamedTuple):
    """What an algorithm does for n points of m features.

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


#: Rounds of a linkage: clusters fall by a third in each, and a chain finishes the last few hundred.
ROUNDS = 40


def slab_bytes(problem: Problem) -> int:
    """Bytes of the distances that a pass over all points on a GPU holds."""
    return min(SLAB, problem.n * problem.n * problem.width)


def selection_slab_bytes(n: int, width: int) -> int:
    """The same where neighbours are selected from them: one row of tiles at least."""
    return n * width * min(n, max(TILE, SLAB // (n * width)))


def box_bytes(n: int, m: int, metric: str, width: int) -> int:
    """Bytes of screened boxes on the host: the points in their order, and in float32 with some idle places."""
    return int(n * m * (width + 4.8)) if n >= FEWEST and metrics.screened(metric) else 0
