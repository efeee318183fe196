"""The matrix of complete, average and weighted linkage in the memory of workers, until the client can hold it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.memory import format_bytes
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.dask import tasks
from gpuclust.dask.cluster import PIECE, Cluster, Made, Share, preferring
from gpuclust.dask.connection import thread_counts, usable_memory, workers_of
from gpuclust.dask.shared import packed
from gpuclust.errors import DoesNotFit
from gpuclust.kernels.cpu.matrix.stored import Stored
from gpuclust.kernels.cpu.matrix.tiles import PITCH, TILE, tile_rows, tile_start, tiled_size

#: Bytes of the rows of a shard, and fewest and most shards of a matrix.
SHARD, FEWEST, MOST = 2**28, 4, 64
#: Merges of a chain after which the log has a new entry.
ENTRY = 100
#: Rows of partners from other shards, by the shard that has them and the shard that takes them.
Pieces = dict[tuple[int, int], tuple[np.ndarray, Made]]


def shards_of(clusters: int, itemsize: int) -> int:
    """Shards of the matrix of a number of clusters."""
    return min(max(FEWEST, clusters * clusters * itemsize // SHARD), MOST)


class ShardedRows:
    """A matrix in shards of rows, on workers (`gpuclust.core.backend.Stored`).

    Row x is one of shard ``x % shards``, and a union is where its first part was. The rows of second parts are sent
    to these shards; all else that a merge changes is changed where it is. As soon as at most ``most`` clusters are
    left, the client takes over what is left.
    """

    width = 1

    def __init__(
        self, cluster: Cluster, points: Points, method: Method, clusters: Clusters, most: int, default: int
    ) -> None:
        self._cluster, self._method, self._most = cluster, method, most
        self.n = self.scanned = clusters.ids.size
        self._itemsize = points.dtype.itemsize
        shards = shards_of(self.n, self._itemsize)
        self._owner = np.arange(self.n) % shards
        partition = clusters.ids, clusters.members, clusters.start, clusters.weight, clusters.total
        self._head = cluster.share("points", *packed(points)), cluster.share("partition", *partition)
        self._homes = self._placed(shards, default)
        nbytes = self.n * self.n * self._itemsize // shards
        self._shards = [Made(cluster, "shard", tasks.shard, number, shards, nbytes) for number in range(shards)]
        self._log: list[Share] = []
        self._pairs: list[tuple[tuple[int, ...], tuple[Any, ...]]] = []
        self.nearest, self.distance = np.full(self.n, -1), np.full(self.n, np.inf, points.dtype)
        self._local: Stored | None = None
        self._step({})

    def _placed(self, shards: int, default: int) -> list[str]:
        """The workers that shards prefer, those with the most memory left; any other may have them as well."""
        found = workers_of(self._cluster.client)
        left = {address: usable_memory(worker, default) for address, worker in found.items()}
        needed = self.n * self.n * self._itemsize
        if found and needed > sum(left.values()):
            raise DoesNotFit(
                f"The matrix of {self.n:,} clusters needs {format_bytes(needed)} of the memory of workers, and "
                f"{format_bytes(sum(left.values()))} may be used (60 % of their limits). What would fit: more "
                'workers, or algorithm="hybrid".'
            )
        homes = [""] * shards
        for number in range(shards if left else 0):
            homes[number] = max(left, key=lambda address: left[address])
            left[homes[number]] -= needed // shards
        return homes

    def _each(
        self, what: str, shards: list[int], parts: list[Any], take: Callable[[int, Any], None], kept: bool = True
    ) -> None:
        """Make calls to shards where their rows were last, or else where the fewest are."""
        alive = dict.fromkeys(thread_counts(self._cluster.client), 0)
        for home in self._homes:
            if home in alive:
                alive[home] += 1
        for shard, home in enumerate(self._homes):
            if home not in alive and alive:
                self._homes[shard] = min(alive, key=lambda address: alive[address])
                alive[self._homes[shard]] += 1

        def and_follow(place: int, answer: tuple[np.ndarray, ...]) -> None:
            self._homes[shards[place]] = str(answer[-1])
            take(place, answer)

        homes = [self._homes[shard] for shard in shards]
        self._cluster.each(what, tasks.rows_of_shard, parts, and_follow, kept, homes)

    def _call(self, shard: int, what: str, argument: Any, pieces: Pieces | None = None) -> tuple[Any, ...]:
        """The arguments of `tasks.rows_of_shard`, at the present end of the log, whose last step takes the pieces."""
        whole = np.array([pair[0] for pair in self._pairs], np.int64).reshape(-1, 3)
        numbers = np.array([pair[1] for pair in self._pairs], self.distance.dtype).reshape(-1, 3)
        state = self._shards[shard], *self._head, self._method.name, (whole, numbers), len(self._log)
        if pieces is None:
            return (what, argument, *state, None, 0, *self._log)
        brought = [piece for (_, here), piece in pieces.items() if here == shard]
        foreign = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in brought)])
        before = [made for (there, _), (_, made) in pieces.items() if there == shard]
        return (what, argument, *state, foreign, len(brought), *self._log, *(made for _, made in brought), *before)

    def _pieces(self, first: np.ndarray, second: np.ndarray) -> Pieces:
        """Rows ``second`` for the shards of rows ``first``, before the next step of the log."""
        takes, has = self._owner[first], self._owner[second]
        found: Pieces = {}
        for there, here in np.unique(np.stack((has, takes), axis=1)[has != takes], axis=0).tolist():
            rows = np.sort(second[(has == there) & (takes == here)])
            made = self._call(there, "rows", rows)
            home = preferring(self._homes[there])
            found[there, here] = rows, Made(self._cluster, "rows-of-partners", tasks.rows_of_shard, *made, **home)
            self._cluster.exchanged += rows.size * self.n * self._itemsize
        return found

    def _step(self, pieces: Pieces, rows: np.ndarray | None = None) -> None:
        """Make the last step of the log in all shards, and find the nearest of some rows, by default of all."""
        asked = [None if rows is None else rows[self._owner[rows] == shard] for shard in range(len(self._shards))]
        parts = [self._call(shard, "minima", own, pieces) for shard, own in enumerate(asked)]

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            own = asked[place]
            own = np.flatnonzero(self._owner == place) if own is None else own
            self.nearest[own], self.distance[own] = answer[:2]

        self._each("merges-of-rows", list(range(len(parts))), parts, take)

    def _search(self, x: int) -> None:
        """Find the nearest of a row."""

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            self.nearest[x], self.distance[x] = answer[0][0], answer[1][0]

        shard = int(self._owner[x])
        self._each("nearest-cluster", [shard], [self._call(shard, "minima", np.array([x]))], take)

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
        step = first, second, between, size, new_size, new_id
        if self._local is not None:
            self._local.merge(method, *step)
        else:
            united = second >= 0
            self._end_entry()
            pieces = self._pieces(first[united], second[united])
            self._log.append(self._cluster.share("merges", *step))
            self.n = self.scanned = first.size
            self._owner = self._owner[first]
            self.nearest, self.distance = np.full(self.n, -1), np.full(self.n, np.inf, self.distance.dtype)
            self._step(pieces)
            if self.n <= self._most:
                self._local = self._fetched()
        if self._local is not None:
            self.n, self.scanned = self._local.n, self._local.scanned
            self.nearest, self.distance = self._local.nearest, self._local.distance

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        if self._local is not None:
            return self._local.chain(method, size, ids, nearest_id, next_id, wanted)
        pairs, heights = np.empty((wanted, 2), np.int64), np.empty(wanted, self.distance.dtype)
        links: list[int] = []
        done = scans = 0
        while done < wanted:
            if not links:
                links.append(int(np.flatnonzero(ids >= 0)[0]))
            x = links[-1]
            if self.nearest[x] < 0 or ids[self.nearest[x]] != nearest_id[x]:
                self._search(x)
                if self.nearest[x] < 0:
                    return pairs, heights, -1
                nearest_id[x] = ids[self.nearest[x]]
                scans += 1
            y = int(self.nearest[x])
            if len(links) < 2 or links[-2] != y:
                links.append(y)
                continue
            del links[-2:]
            a, b = min(x, y), max(x, y)
            pairs[done], heights[done] = (ids[a], ids[b]), self.distance[x]
            pieces = self._pieces(np.array([a]), np.array([b]))
            self._pairs.append(((a, b, next_id + done), (self.distance[x], size[a], size[b])))
            self._step(pieces, np.empty(0, np.int64))
            if len(self._pairs) >= ENTRY:
                self._end_entry()
            size[a] += size[b] if method.counted else 0
            ids[a], ids[b] = next_id + done, -1
            done += 1
        return pairs, heights, scans

    def _end_entry(self) -> None:
        """Put the pairs of a chain into the log."""
        if self._pairs:
            whole, numbers = zip(*self._pairs, strict=True)
            entry = np.array(whole, np.int64), np.array(numbers, self.distance.dtype)
            self._log.append(self._cluster.share("merges", *entry))
            self._pairs = []

    def _fetched(self) -> Stored:
        """The matrix in the memory of the client; workers keep nothing."""
        tiles = tile_rows(self.n)
        matrix = np.full(tiled_size(self.n), np.inf, self.distance.dtype)
        parts: list[tuple[int, np.ndarray]] = []
        for shard in range(len(self._shards)):
            rows = np.flatnonzero(self._owner == shard)
            pieces = max(1, rows.size * self.n * self._itemsize // PIECE)
            parts += [(shard, part) for part in np.array_split(rows, pieces) if part.size]

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            at = 0
            for x in parts[place][1].tolist():
                row = x // TILE
                start, count = tile_start(row, row, tiles), tiles - row
                padded = np.full(count * TILE, np.inf, matrix.dtype)
                length = self.n - row * TILE
                padded[:length] = answer[0][at : at + length]
                band = matrix[start : start + count * TILE * PITCH].reshape(count, TILE, PITCH)
                band[:, x - row * TILE, :TILE] = padded.reshape(count, TILE)
                at += length

        calls = [self._call(shard, "upper", rows) for shard, rows in parts]
        self._each("rows-for-the-client", [shard for shard, _ in parts], calls, take, kept=False)
        self._shards, self._log = [], []
        return Stored(self.n, matrix, self.nearest, self.distance)
