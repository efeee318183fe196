"""The matrix of dissimilarities in shards: rows that a worker keeps, fills, and changes by the log of merges.

A shard is a pure function of points, clusters and log, so a worker that has lost it, or never had it, makes it anew:
it fills the rows of all first clusters that the shard's clusters are made of, and repeats the merges on these alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import METHODS, Method
from gpuclust.core.points import Points
from gpuclust.dask.shared import Shared, unpacked
from gpuclust.kernels.cpu.clusters.block_rows import BlockRows
from gpuclust.kernels.cpu.matrix.rounds import Round

#: Bytes of rows that are made at a time.
GROUP = 2**26
#: A round of merges, as the arguments of `Stored.merge`; or a pair, as those of `BlockRows.merge_pair`.
Step = tuple[np.ndarray, ...]


class Shard(Shared):
    """Number of a shard, number of all, and the bytes that its rows take, by which Dask chooses their worker."""

    def __sizeof__(self) -> int:
        return int(self.values[2])


@contextmanager
def rows_at(
    shard: Shard,
    points: Shared,
    partition: Shared,
    method: str,
    log: list[Shared],
    foreign: np.ndarray | None,
    others: list[np.ndarray],
) -> Iterator[BlockRows]:
    """The rows of a shard after all merges of the log, not to be changed by others meanwhile.

    ``foreign`` are the rows of partners from other shards that the last step takes where this worker has the rows
    before it; None: they are not given, since it should have been made.
    """
    steps = steps_of(log)
    with shard.lock:
        block = shard.saved.pop("rows", None)
        behind = -1 if block is None else len(steps) - block.steps
        if block is None or not (behind == 0 or (behind == 1 and foreign is not None)):
            block = None  # is freed before it is made anew
            clusters = Clusters(*partition.values)
            block = made_anew(shard.values[0], shard.values[1], unpacked(points), METHODS[method], clusters, steps)
        elif behind and foreign is not None:
            apply(block, steps[-1], foreign, np.concatenate(others) if others else block.buffer[:0].reshape(0, 0))
        yield block
        shard.saved["rows"] = block


def steps_of(log: list[Shared]) -> list[Step]:
    """The steps of a log, an entry of which is a round, or the arrays of a number of pairs."""
    steps: list[Step] = []
    for entry in log:
        steps += zip(*entry.values, strict=True) if len(entry.values) == 2 else [entry.values]
    return steps


def apply(block: BlockRows, step: Step, foreign: np.ndarray, others: np.ndarray) -> None:
    """Make the merges of a step."""
    if len(step) == 2:
        block.merge_pair(*step, others)
    else:
        block.merge(Round.of(*step), foreign, others)


def made_anew(
    number: int, shards: int, points: Points, method: Method, clusters: Clusters, steps: list[Step]
) -> BlockRows:
    """The rows of a shard from the points, a group of them at a time."""
    now = np.arange(clusters.ids.size)  # the row of each of the first clusters
    owner, size, ids = now % shards, clusters.total.copy(), clusters.ids.copy()
    for step in steps:
        if len(step) == 2:
            (a, b, new_id), numbers = step
            now[now == b], ids[a] = a, new_id
            size[a] = numbers[1] + numbers[2] if method.counted else size[a]
        else:
            first, second, _, _, size, ids = (part.copy() for part in step)
            place = np.empty(owner.size, np.int64)
            united = np.flatnonzero(second >= 0)
            place[first], place[second[united]] = np.arange(first.size), united
            now, owner = place[now], owner[first]
    own = np.unique(now[owner[now] == number])
    found = BlockRows(method, own, size, ids, np.empty(own.size * ids.size, points.dtype))
    found.steps = len(steps)
    leaves = np.bincount(now, minlength=ids.size)[own]
    groups = np.cumsum(leaves) * now.size * points.dtype.itemsize // GROUP
    none = np.empty(0, np.int64), np.empty((0, 0), points.dtype)
    for group in np.unique(groups):
        rows = own[groups == group]
        block = BlockRows.filled(points, method, clusters, np.flatnonzero(np.isin(now, rows)))
        for step in steps:
            apply(block, step, *none)
        found.values[groups == group] = block.rows(rows)
    return found


def call(
    what: str,
    argument: Any,
    shard: Shard,
    points: Shared,
    partition: Shared,
    method: str,
    pairs: tuple[np.ndarray, np.ndarray],
    entries: int,
    foreign: np.ndarray | None,
    pieces: int,
    *rest: Any,
) -> Any:
    """Call a method of the rows of a shard: a task.

    ``rest`` are the entries of the log, then pieces of the rows ``foreign``, then what only has to be done before.
    """
    log = [*rest[:entries], *([Shared(*pairs)] if len(pairs[0]) else [])]
    with rows_at(shard, points, partition, method, log, foreign, list(rest[entries : entries + pieces])) as block:
        return getattr(block, what)(argument)
