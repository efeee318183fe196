"""The `Algorithm` class: applicability, memory footprint, work and run. Light to import."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gpuclust.algorithms.costs import Footprint, Work
from gpuclust.core import metrics, preparation
from gpuclust.core.bits import words_of
from gpuclust.core.device import Device
from gpuclust.core.methods import Method
from gpuclust.core.sizes import FUSED, SQUARE, UPDATED, square_bytes, stored_bytes

if TYPE_CHECKING:
    from gpuclust.core.backend import Backend, Square
    from gpuclust.core.clusters import Merges
    from gpuclust.core.points import Metric, Points


@dataclass(frozen=True)
class Problem:
    """A linkage that is to be computed.

    Attributes
    ----------
    n, m : int, int or None
        Observations and features; ``m`` is None for condensed dissimilarities.
    method : Method
    metric : str
        Name of the metric, "callable", or "precomputed" for condensed dissimilarities.
    dtype : {"float64", "float32"}
        Type of the computation.
    bits : bool
        Whether features are packed into words, 64 at a time (`Metric.bits`).
    """

    n: int
    m: int | None
    method: Method
    metric: str
    dtype: str
    bits: bool = False

    @property
    def condensed(self) -> bool:
        return self.m is None

    @property
    def facts(self) -> Metric:
        """Properties of the metric; see `gpuclust.core.metrics.facts`."""
        return metrics.facts(self.metric)

    @property
    def features(self) -> int:
        """Features of a point; 0 for condensed dissimilarities."""
        return self.m or 0

    @property
    def terms(self) -> int:
        """Steps of a distance: features, or words of them; 0 for condensed dissimilarities."""
        return words_of(self.features) if self.bits else self.features

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return int(np.dtype(self.dtype).itemsize)

    @property
    def feature_bytes(self) -> int:
        """Bytes of the points; 0 for condensed dissimilarities."""
        return self.n * self.terms * (8 if self.bits else self.width)

    @property
    def pair_bytes(self) -> int:
        """Bytes of the condensed dissimilarities of all pairs."""
        return self.n * (self.n - 1) // 2 * self.width

    def updated(self, few: int) -> bool:
        """Whether updates of a matrix take less time than centroids; up to ``few`` points with fewer features."""
        return self.n <= SQUARE and self.features >= UPDATED[self.n > few]

    @property
    def input_bytes(self) -> int:
        return self.pair_bytes if self.condensed else self.feature_bytes


@dataclass(eq=False)  # not frozen: that takes four times as long to make
class Run:
    """A problem with its data, on a backend; nothing of it is changed.

    Attributes
    ----------
    data : array
        Points (n, m) or condensed dissimilarities, in the memory of the backend.
    metric : str or callable
        As given by the caller; ``arguments`` are its parameters.
    most_clusters : int
        Clusters whose dissimilarity matrix may be stored.
    report : callable
        Called with the number of merges made so far.
    exponent : int
        Condensed dissimilarities are multiplied by this power of two, so that their squares and sums are in range.
    matrix : int
        Bytes that a stored matrix may take.
    overwrite : bool
        Whether condensed dissimilarities may be written over.
    """

    problem: Problem
    backend: Backend
    data: Any
    metric: Any
    arguments: dict[str, Any]
    most_clusters: int
    report: Callable[[int], None] = field(repr=False)
    exponent: int = 0
    matrix: int = 0
    overwrite: bool = False

    @property
    def square(self) -> bool:
        """Whether a matrix of all observations may be a square array."""
        n, dtype = self.problem.n, self.problem.dtype
        return n <= SQUARE and square_bytes(n, dtype) <= self.matrix

    def stored_square(self) -> Square | None:
        """The dissimilarities of few observations in a square array; None where the backend has no such layout."""
        if not self.square:
            return None
        if self.problem.condensed:
            return self.backend.square_of_condensed(self.condensed, self.problem.n, self.problem.method.on_squares)
        return self.backend.square_of_points(self.points)

    @cached_property
    def points(self) -> Points:
        """The points, prepared for the metric, or for squared distances where the linkage is defined on those."""
        name = "sqeuclidean" if self.problem.method.on_squares else str(self.metric)
        points = preparation.prepare(self.data, name, dtype=self.problem.dtype, **self.arguments)
        preparation.refuse_undefined(points)
        return points

    @cached_property
    def squares(self) -> Points:
        """Points whose squared distances are the dissimilarities."""
        return preparation.prepare_squares(self.data, self.problem.metric, dtype=self.problem.dtype, **self.arguments)

    @cached_property
    def condensed(self) -> Any:
        """The condensed dissimilarities, scaled, contiguous and of the working type."""
        data = self.data
        if type(data) is np.ndarray and not self.exponent and data.dtype == self.problem.dtype:
            return data if data.flags.c_contiguous else data.copy()
        from gpuclust.core import frames
        from gpuclust.core.devices import array_module

        if self.exponent:
            data = frames.scaled_copy(data, self.exponent, np.dtype(self.problem.dtype))
        return array_module(self.data).ascontiguousarray(data, dtype=self.problem.dtype)

    def unscaled(self, merges: Merges) -> Merges:
        """Merges with heights in terms of the dissimilarities before scaling and squaring."""
        heights = merges.heights
        if heights.dtype != np.float64:
            heights = heights.astype(np.float64)
        exponent = self.exponent
        if not self.problem.condensed:
            exponent = (self.__dict__.get("points") or self.squares).exponent
        elif self.problem.method.on_squares:
            exponent *= 2
        if self.problem.method.on_squares:
            np.sqrt(heights, out=heights)
            exponent //= 2
        heights = preparation.unscaled(heights, exponent)
        return merges if heights is merges.heights else replace(merges, heights=heights)


class Algorithm(ABC):
    """A way of computing a linkage exactly.

    An algorithm is one object, listed in `gpuclust.algorithms.table`. `gpuclust.plan` takes the one of lowest rank
    that applies to a problem and fits into memory.

    Attributes
    ----------
    name : str
        Name in plans, and for ``linkage(algorithm=)``.
    adjustable : bool
        Whether it can run with a smaller matrix than planned, in more time.
    deferred : bool
        Whether its matrix is stored only when few enough clusters are left.
    overwrites : bool
        Whether on the CPU it can store the matrix over condensed dissimilarities.
    other_kernels : int
        More observations take other kernels.
    host, gpu : pair of numbers
        Number of copies of the points, and bytes for each observation (ids, sizes, neighbours, merges, Z, and buffers
        for sorting), on the host and on a GPU.
    """

    name: ClassVar[str]
    adjustable: ClassVar[bool] = False
    deferred: ClassVar[bool] = False
    overwrites: ClassVar[bool] = False
    other_kernels: ClassVar[int] = FUSED
    host: ClassVar[tuple[float, int]] = (1, 150)
    gpu: ClassVar[tuple[float, int]] = (2, 100)

    @abstractmethod
    def applies(self, problem: Problem) -> bool:
        """Whether it computes this linkage of this input."""

    @abstractmethod
    def rank(self, problem: Problem, device: Device) -> float:
        """Rank among the algorithms that apply, if memory suffices: the smallest is the fastest."""

    @abstractmethod
    def reason(self, problem: Problem) -> str:
        """Reason for this choice, as a sentence for the user."""

    @abstractmethod
    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        """Peak memory beside the input; ``on_device``: the input is on the GPU already."""

    @abstractmethod
    def work(self, problem: Problem) -> Work:
        """Operations, for the model of running time."""

    def reproduced(self, problem: Problem) -> bool:
        """Whether the reference backend gives the bits of compiled kernels.

        NumPy's logarithms and powers may have other last bits.
        """
        return not metrics.facts(problem.metric).heavy

    def screened(self, problem: Problem) -> bool:
        """Whether the reference backend needs no matrix of all pairs, but matrix products."""
        return False

    @abstractmethod
    def run(self, run: Run) -> Merges:
        """All merges."""

    def all_pairs(self, problem: Problem, device: Device, fixed: int) -> Footprint:
        """The footprint with a matrix of all observations: half of the square or, on the CPU, a small square."""
        half = stored_bytes(problem.n, problem.dtype, device)
        if device.on_gpu or problem.n > SQUARE:
            return Footprint(fixed, half, half)
        square = square_bytes(problem.n, problem.dtype)
        return Footprint(fixed, square, min(half, square))

    def fixed(self, problem: Problem, device: Device, on_device: bool, copies: float | None = None) -> int:
        """Bytes that are held from beginning to end, the slab of a pass on a GPU included."""
        from gpuclust.algorithms.costs import slab_bytes

        held, per_observation = self.gpu if device.on_gpu else self.host
        total = int((held if copies is None else copies) * problem.feature_bytes) + per_observation * problem.n
        if device.on_gpu and not problem.condensed:
            total += slab_bytes(problem)
        elif device.on_gpu and not on_device:  # the input, in addition to the matrix
            total += problem.pair_bytes
        return total
