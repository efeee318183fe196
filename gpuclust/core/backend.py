"""The protocol of backends, the primitives that every device offers, and the selection of one.

Algorithms (`gpuclust.algorithms`) are written on this protocol only. Primitives are few and large, have the same
names on every device, and keep large arrays on the device between calls. Results never depend on the device, on the
number of threads or on the division of work: every minimum is decided by (dissimilarity, cluster id).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from gpuclust.core import devices
from gpuclust.core.device import CPU, Device

if TYPE_CHECKING:
    import numpy as np

    from gpuclust.core.clusters import Clusters
    from gpuclust.core.methods import Method
    from gpuclust.core.points import Points


class Stored(Protocol):
    """A stored dissimilarity matrix of ``n`` clusters, numbered by row, and the nearest cluster of each.

    ``nearest[x]`` is the row of the cluster nearest to x and ``distance[x]`` its dissimilarity, for all rows after
    construction and after each ``merge``. Half a matrix is stored: n²/2 numbers of its dtype.
    """

    n: int
    nearest: np.ndarray
    distance: np.ndarray
    width: int  # numbers read for one dissimilarity
    scanned: int  # rows searched by the construction or the last merge

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        """One round of merges.

        New row p is old row ``first[p]`` (increasing), merged with old row ``second[p]`` unless that is -1.
        ``between[p]`` is the dissimilarity of the two, ``size`` and ``new_size`` are cluster sizes in the matrix's
        dtype, ``new_id`` decides ties. The rows of merged pairs are updated in order of p. Afterwards the nearest
        cluster of every row is known, for ``scanned`` of them by a search. O(n²) time.
        """

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """``wanted`` merges by nearest-neighbour chain, in place.

        ``size`` and ``ids`` (-1: row not in use) are updated. Chains start at the first row in use. Returns ids of
        the merged pairs (wanted, 2), their dissimilarities, and the number of rows scanned, at most three a merge.
        O(n) time a scan or a merge.
        """


class Square(Protocol):
    """Dissimilarities of all observations in one square array, whose merges are made in one call."""

    finite: bool  # whether all are

    def merge_all(self, method: Method, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        """All merges of a reducible linkage, as `gpuclust.algorithms.rounds` makes them; the array is used up.

        ``limits`` are the constants SHARE (or SHARE_WIDE), ROUND_SCANS, TAIL, CHAIN_ENTRIES and CHAIN_CALLS of that
        module. Returns ids of the merged pairs (n - 1, 2), their dissimilarities, and the number of rows scanned (-1:
        they overflow).
        """


class Searched(Stored, Protocol):
    """Clusters of points without a matrix: the nearest of each is searched when needed. O(n m) memory."""

    @property
    def clusters(self) -> Clusters:
        """The remaining clusters, possibly without points that no dissimilarity of two of them depends on."""

    @property
    def ids(self) -> np.ndarray:
        """Ids of the clusters by row, before a chain runs."""

    @property
    def size(self) -> np.ndarray:
        """Their sizes by row, in the dtype of dissimilarities."""


class Generic(Protocol):
    """The state of the generic algorithm for linkages with inversions.

    Clusters, and a bound on the nearest of each.
    """

    dtype: np.dtype
    width: int  # numbers read for one distance

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        """The next ``wanted`` greedy merges: ids (wanted, 2), squared heights, and the number of rows searched.

        That number is -1 if distances overflow. Closest pair first; ties go to the pair with the earliest row, then
        the earliest partner. A union takes the row of the later of its parts.
        """

    def compact(self) -> None:
        """Move the rows in use together, in the same order, so that all later decisions are the same."""


class Outgoing(Protocol):
    """The shortest edge out of each component of points, in each round of Borůvka's algorithm.

    Points are numbered by their place in ``points``, which may be a spatial order, and holds one of equal points.
    """

    points: np.ndarray  # the points that are searched
    copies: np.ndarray  # (k, 2): equal points, at distance zero, the second of which is not in ``points``
    scans: int  # points searched so far

    def shortest(
        self, component: np.ndarray, count: int, report: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first edge of each component in (distance, smaller end, larger end): its two ends, and its length.

        Ends are compared as points, and returned as numbers. ``component`` holds the component of each point, from 0
        to ``count`` - 1: in the first call each point is a component, and in each later call the components are those
        of the call before, joined along the edges that it returned. Edge c starts in component c; its end is -1 for a
        component that is deferred to a later call, which are never all. All three have shape (count,). ``report`` is
        called now and then.
        """


class LeafTree(Protocol):
    """A tree as the merges between neighbours in leaf order; see `gpuclust.hierarchy.leaf_tree`."""

    n: int
    leaves: np.ndarray
    gap: np.ndarray
    height: np.ndarray
    mean: float
    centre: float

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arguments of compiled kernels."""


class Backend(Protocol):
    """A device. ``Points`` are features in the layout of `gpuclust.core.preparation.prepare`."""

    name: Device

    def active(self) -> AbstractContextManager[None]:
        """Make this device the current one: primitives are called, and their results used, inside."""

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Stored:
        """As `store_points`, without a matrix: sizes and centroids, for a linkage with a closed form.

        ``points`` are prepared for sqeuclidean, without weights, and stand for ``size`` copies of themselves each.
        O(n m) memory; O(n m) time a row searched.
        """

    def store_points(self, points: Points) -> Stored:
        """Dissimilarities of all pairs of points, stored. O(n² m) time."""

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> Stored:
        """Dissimilarities of clusters of points, stored: the largest or the mean over pairs (``method.pairs``).

        Of a pair of clusters the earlier one is the outer sum. O(n² m) time, memory for the clusters only.
        """

    def store_condensed(self, condensed: np.ndarray, n: int, squared: bool, overwrite: bool = False) -> Stored:
        """Condensed dissimilarities (or their squares), stored in tiles by the first call of ``merge``.

        The input is not changed, or with ``overwrite`` may be written over.
        """

    def square_of_points(self, points: Points) -> Square | None:
        """As `store_points`, in a square array, for few points; None where a backend has no such layout."""

    def square_of_summaries(self, points: Points, method: Method) -> Square | None:
        """As `summarise`, in a square array; None also where points are equal."""

    def square_of_condensed(self, condensed: np.ndarray, n: int, squared: bool) -> Square | None:
        """As `store_condensed`, in a square array, for few observations; None where a backend has no such layout."""

    def pairwise(self, A: Points, B: Points, out: Any) -> Any:
        """Distances of all points of A to all of B, written to ``out`` (n of A, n of B); returns it. O(n² m) time."""

    def condensed(self, points: Points, out: Any) -> Any:
        """Distances of all pairs of points in condensed order, written to ``out``; returns it. O(n² m) time."""

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and distances (n, k) of every point's nearest others, sorted by (distance, index). O(n² m) time."""

    def nearest_among(
        self, points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest cluster of each of ``rows`` among those that hold a listed neighbour of one of its points.

        ``neighbours`` (n, k) are the lists of points. Returns rows (-1: no candidate) and dissimilarities, the same
        bits as `store_clusters` would store; ties go to the smaller row.
        """

    def search_clusters(
        self,
        points: Points,
        method: Method,
        clusters: Clusters,
        report: Callable[[], None] = ...,
        bounded: bool = False,
    ) -> Searched:
        """Clusters that are searched for nearest neighbours, without a matrix.

        Dissimilarities are the same bits as `store_clusters` would store; ties go to the smaller row. ``bounded``:
        the points have few features and the metric is a convex function of their difference, so clusters may be
        searched by bounds of their positions; means are then equal up to rounding. ``report`` is called now and then.
        O(n m) time for every point of a row searched, O(n m) memory.
        """

    def outgoing(self, points: Points) -> Outgoing:
        """A search for the shortest edges out of components of these points. O(n² m) time, O(n m) memory."""

    def tree_of_points(
        self, points: Points, report: Callable[[int], None]
    ) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Ends (n - 1, 2) and lengths of the tree that rounds of `outgoing` make, and the points searched.

        None: it is made by these. ``report`` is called with the number of edges found so far.
        """

    def spanning_tree(
        self, condensed: np.ndarray, n: int, report: Callable[[int], None], room: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A minimum spanning tree of condensed dissimilarities: ends (n - 1, 2) and lengths of its edges.

        If two edges are equally long, in the order of Prim's algorithm from observation 0. ``room``: bytes that a
        matrix of components may take, which a backend may do without. O(n²) time.
        """

    def generic_points(self, points: Points, method: Method) -> Generic:
        """The generic algorithm on centroids. O(n m) memory."""

    def generic_stored(self, matrix: Stored, method: Method) -> Generic:
        """The generic algorithm on a stored matrix of squares, which is used up."""

    def generic_square(self, square: Any, method: Method) -> Generic:
        """The generic algorithm on a `Square` of this backend, of squares, which is used up."""

    def correlate(self, points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
        """Sums over pairs of y, y² and y z. O(n² m) time, O(n m) memory and a slab of fixed size.

        y is a distance of points (in leaf order) less ``shift``, z the height at which they come together less
        ``centre``. The order of the sums is fixed on each device, but differs between devices.
        """


#: Modules of the backends, imported when first used: each has ``backend() -> Backend`` (CUDA: ``backend(index)``).
REGISTRY = {
    "cpu": "gpuclust.kernels.cpu.backend",
    "cuda": "gpuclust.kernels.cuda.backend",
    "reference": "gpuclust.kernels.reference.backend",
}


def select(device: str = "auto") -> Backend:
    """The backend for a device.

    Parameters
    ----------
    device : str
        "auto": the first CUDA device where one can be used, or else the CPU; `gpuclust.algorithms.costs.choose` asks
        first whether a job is large enough to gain. "cuda", "cuda:1", "cpu": this one. "reference": the slow
        specification, for tests.

    Raises
    ------
    ValueError
        Unknown device.
    BackendUnavailable
        The device is known, but cannot be used here; the message names what is missing.
    """
    device = Device(device)
    if device.automatic:
        device = Device("cuda") if not devices.emulated() and devices.missing() is None else CPU
    elif device.on_gpu:
        lack = devices.missing()
        if lack is not None:
            raise devices.unavailable(device, lack)
        if device.number >= len(devices.cards()):
            raise devices.no_such_card(device)
    if device.on_gpu:
        return cast(Backend, import_module(REGISTRY[device.family]).backend(device.number))
    return _on_host(device.family)


@cache
def _on_host(family: str) -> Backend:
    return cast(Backend, import_module(REGISTRY[family]).backend())
