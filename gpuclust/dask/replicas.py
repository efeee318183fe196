"""Summaries of clusters that every worker keeps up to date by the log of merges, so that no summary is sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.methods import METHODS, Method
from gpuclust.dask.shared import Shared
from gpuclust.kernels.cpu.clusters.screen_pairs import Share, empty_lists, lists_of
from gpuclust.kernels.cpu.clusters.summaries import Summaries, search_all_rows, search_some_rows
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows
from gpuclust.kernels.cpu.space.boxes import Leaves

#: Arguments of `Stored.merge` that an entry of the log holds.
ENTRY = ("first", "second", "between", "size", "new_size", "new_id")


def snapshot(summaries: Summaries, ids: np.ndarray) -> tuple[Any, ...]:
    """The clusters of ``summaries`` without their lists, as values to share."""
    own = summaries
    numbers = own.total, own.largest, own.leaves.starts, own.leaves.built
    return (own.method.name, *numbers, own.outer, ids, own.centers, own.low, own.size, own.scatter)


class Replica(Summaries):
    """Clusters without lists, brought up to date by the same code as those of the client.

    Attributes
    ----------
    epoch : int
        Entries of the log that were applied.
    """

    alone = False  # a task of an earlier round that nobody waits for may still read the arrays

    def __init__(self, values: tuple[Any, ...]) -> None:
        name, self.total, self.largest, starts, built, *arrays = values
        # Merges change arrays in place, and these belong to Dask.
        self.outer, self.ids, self.centers, self.low, self.size, self.scatter = (array.copy() for array in arrays)
        self.leaves = Leaves(1, 1)
        self.leaves.starts, self.leaves.built = starts, built
        self.method, self.state = METHODS[name], None
        (self.n, self.width), self.listed, self.epoch = self.centers.shape, 0, 0
        dtype = self.centers.dtype
        self.near, self.held, self.limit = np.empty((self.n, 0), np.int32), np.empty((self.n, 0), dtype), self.scatter
        self._ready: Any = None

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
        self._ready = None
        super().merge(method, first, second, between, size, new_size, new_id)
        self.ids = new_id[self.outer]
        self.epoch += 1

    def _unproven(self) -> np.ndarray:
        return np.arange(0)

    def _know(self, ids: np.ndarray, unknown: np.ndarray) -> None:
        """Search nothing: the client says which rows are to be searched."""

    def boxed(self) -> Any:
        """The clusters in boxes."""
        if self._ready is None:
            self._ready = self.screened()
        return self._ready

    def _lists(self, k: int) -> Rows:
        """Lists of which only the rows that are searched are filled in; the others take no memory."""
        dtype = self.centers.dtype
        lists = np.empty((self.n, k), np.int32), np.empty((self.n, k), dtype), np.empty(self.n, dtype)
        return Rows(self.centers, self.low, self.size, self.scatter, self.ids, *lists)

    def search_share(self, k: int, share: Share, bounds: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Lists of the rows of a share among its pairs, as `screen_pairs.lists_of`."""
        ready, lists = self.boxed(), self._lists(k)
        empty_lists(lists.near, lists.held, share, ready.starts, bounds)
        search_all_rows(self.method, lists, ready, share)
        return lists_of(lists.near, lists.held, share, ready.starts)

    def search_rows(self, rows: np.ndarray, near: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, ...]:
        """The lists of some rows, completed, and their limits."""
        lists = self._lists(near.shape[1])
        lists.near[rows], lists.held[rows] = near, held
        search_some_rows(self.method, lists, self.boxed(), rows)
        return lists.near[rows], lists.held[rows], lists.limit[rows]


def replica_at(base: Shared, log: list[Shared]) -> Replica:
    """This worker's clusters after all merges of the log; made anew where it has none, or later ones."""
    with base.lock:
        replica = base.derived("replica", lambda: Replica(base.values))
        if replica.epoch > len(log):
            replica = base.saved["replica"] = Replica(base.values)
        for entry in log[replica.epoch :]:
            replica.merge(replica.method, *entry.values)
        replica.boxed()
        return replica
