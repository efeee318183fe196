"""Tasks on a Dask cluster: submission, deadlines, errors, and what was answered already."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuclust.core.progress import passing
from gpuclust.core.version import __version__
from gpuclust.dask import tasks
from gpuclust.dask.checkpoint import Checkpoint
from gpuclust.dask.connection import UNDER_WAY, Watch, reaching, thread_counts, usable, wait_for_one
from gpuclust.errors import ClusterFailed

#: Bytes of an array in the definition of one task.
PIECE = 2**25
#: Times that a task is submitted again, with no answer of another one in between, after Dask gave it up since workers
#: died that ran it.
RESUBMITTED = 3


class Cluster:
    """A client, and the answers of its workers.

    Parameters
    ----------
    client : distributed.Client, optional
        By default the current one.
    timeout : float
        Seconds without a finished task after which the job fails.
    checkpoint : Checkpoint, optional
        Answers of an earlier run are taken from it, and new ones are kept in it.

    Attributes
    ----------
    tasks, sent, received, exchanged : int
        Tasks submitted, bytes of their arguments, of their answers, and of what workers send each other.
    """

    def __init__(self, client: Any = None, timeout: float = 600.0, checkpoint: Checkpoint | None = None) -> None:
        self.client, self.timeout = usable(client), timeout
        self.checkpoint = checkpoint or Checkpoint(None)
        self._job = f"0{uuid.uuid4().hex[:12]}"
        self._calls = 0
        self.tasks = self.sent = self.received = self.exchanged = 0

    def share(self, what: str, *values: Any) -> Share:
        """Values for many tasks, sent when the first of these is submitted."""
        return Share(self, what, values)

    def homes(self, count: int) -> list[str]:
        """Addresses of workers for ``count`` tasks, one for each thread in turn."""
        threads = thread_counts(self.client)
        places = [
            address
            for turn in range(max(threads.values(), default=0))
            for address in threads
            if turn < threads[address]
        ]
        return [places[task % len(places)] if places else "" for task in range(count)]

    def each(
        self,
        what: str,
        function: Callable[..., Any],
        parts: Sequence[tuple[Any, ...]],
        take: Callable[[int, tuple[np.ndarray, ...]], None],
        kept: bool = True,
        homes: Sequence[str] = (),
    ) -> None:
        """Call ``take(place, answer)`` for the answer of ``function(*part)`` for each part, in any order.

        A `Share` among the arguments is replaced by its value. Answers are tuples of arrays, ``kept`` in the
        checkpoint. ``homes`` are the addresses of workers that the tasks prefer.

        Raises
        ------
        ClusterFailed
            If nothing was answered for ``timeout`` seconds, the scheduler is out of reach, or workers die of a task.
        Exception
            What a task raised, at once.
        """
        self._calls += 1
        call, waiting = f"{what}-{self._calls}", list[int]()
        for place in range(len(parts)):
            answer = self.checkpoint.answer(call, place, len(parts))
            if answer is None:
                waiting.append(place)
            else:
                take(place, answer)
        if waiting:

            def keep(place: int, answer: tuple[np.ndarray, ...]) -> None:
                if kept:
                    self.checkpoint.keep(call, place, len(parts), answer)
                take(place, answer)

            batch = _Batch(self, f"gpuclust-{what}-{self._job}-{self._calls}", function, parts, waiting, homes)
            batch.run(keep, lambda left: passing(len(parts) - left, len(parts)))
        self.checkpoint.flush()

    def submit(self, key: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The future of a task; ``options`` are those of `distributed.Client.submit`."""
        import dask

        resolved = [argument.future if isinstance(argument, Share) else argument for argument in arguments]
        self.tasks += 1
        self.sent += _bytes_of(resolved)
        with reaching(self.client), dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**62}):
            return self.client.submit(tasks.call, __version__, function, *resolved, key=key, pure=False, **options)


class Share:
    """Values that are sent to the cluster when a task first needs them."""

    def __init__(self, cluster: Cluster, what: str, values: tuple[Any, ...]) -> None:
        self._cluster, self._what, self._values = cluster, what, values
        self._future: Any = None
        self._keys: set[str] = set()

    def renew(self, key: str) -> None:
        """Send the values again when they are next needed, if workers died of the task ``key`` that makes them."""
        if key in self._keys:
            self._future, self._keys = None, set()

    def free(self) -> None:
        """Forget the preference for a worker, which is gone."""

    @property
    def future(self) -> Any:
        """The future of a `gpuclust.dask.shared.Shared`.

        The values are in the definitions of tasks, of at most `PIECE` bytes each, so that any worker can make them
        again.
        """
        if self._future is not None:
            return self._future
        cluster, values = self._cluster, self._values
        key = f"gpuclust-{self._what}-{cluster._job}-{uuid.uuid4().hex[:12]}"
        template, pieces = list(values), list[Any]()
        shapes, places = dict[int, tuple[int, ...]](), list[int]()
        for place, value in enumerate(values):
            if isinstance(value, np.ndarray) and value.nbytes > PIECE:
                template[place], shapes[place] = None, value.shape
                flat = np.ascontiguousarray(value).reshape(-1)
                length = max(1, PIECE // value.itemsize)
                for begin in range(0, flat.size, length):
                    places.append(place)
                    part = flat[begin : begin + length]
                    pieces.append(cluster.submit(f"gpuclust-piece-{key[9:]}-{len(pieces)}", tasks.piece, part))
        self._keys = {key, *(piece.key for piece in pieces)}
        if pieces:
            arguments = tuple(template), shapes, places, *pieces
            self._future = cluster.submit(key, tasks.assembled, *arguments)
        else:
            self._future = cluster.submit(key, tasks.given, *values)
        return self._future


class Made(Share):
    """The result of a task, kept on its worker for other tasks, and submitted when one of these first is."""

    def __init__(
        self, cluster: Cluster, what: str, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        super().__init__(cluster, what, arguments)
        self._function, self._options = function, options

    def renew(self, key: str) -> None:
        for argument in self._values:
            if isinstance(argument, Share):
                argument.renew(key)
        if self._future is not None and self._future.status == "error":
            self._future = None

    def free(self) -> None:
        if self._options:
            self._future, self._options = None, {}

    @property
    def future(self) -> Any:
        if self._future is None:
            key = f"gpuclust-{self._what}-{self._cluster._job}-{uuid.uuid4().hex[:12]}"
            self._future = self._cluster.submit(key, self._function, *self._values, **self._options)
        return self._future


class _Batch:
    """The tasks of one call, of which some are under way at a time."""

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        function: Callable[..., Any],
        parts: Sequence[tuple[Any, ...]],
        places: list[int],
        homes: Sequence[str],
    ) -> None:
        self.cluster, self.key, self.function, self.parts = cluster, key, function, parts
        self.left, self.homes = places, list(homes)
        self.running: dict[Any, int] = {}
        self.again, self.given_up = dict.fromkeys(places, 0), Counter[int]()
        self.watch = Watch(cluster.client, "No task finished for {timeout}, with {workers} workers.", cluster.timeout)

    def run(self, take: Callable[[int, Any], Any], report: Callable[[int], None]) -> None:
        """Submit all tasks and take their answers."""
        window = max(16, 3 * sum(thread_counts(self.cluster.client).values()))
        try:
            while self.left or self.running:
                while self.left and len(self.running) < window:
                    self._submit(self.left.pop(0))
                for place, answer in self._finished():
                    self.watch.came()
                    self.given_up.clear()
                    self.cluster.received += _bytes_of(answer)
                    take(place, answer)
                report(len(self.left) + len(self.running))
        finally:
            self.running.clear()  # Dask drops tasks of which nobody holds a future

    def _submit(self, place: int) -> None:
        key = f"{self.key}-{place}-{self.again[place]}"
        options = preferring(self.homes[place]) if self.homes else {}
        self.running[self.cluster.submit(key, self.function, *self.parts[place], **options)] = place

    def _finished(self) -> Iterable[tuple[int, Any]]:
        """Answers that have come, after at most a second."""
        client, timeout = self.cluster.client, self.cluster.timeout
        wait_for_one(client, list(self.running))
        over = [future for future in self.running if future.status not in UNDER_WAY]
        good = [future for future in over if future.status == "finished"]
        for future in over:
            if future.status == "error":
                self._failed(future)
            elif future.status != "finished":
                raise ClusterFailed(f"Dask has {future.status} a task: the scheduler was restarted, or lost.")
        if not good:
            self.watch.check()
            self._free()
            return []
        try:
            with reaching(client, good):
                answers = client.sync(lambda: client.gather(good, asynchronous=True), callback_timeout=timeout)
        except Exception:
            if any(future.status == "error" for future in good):  # lost with its worker, done again, and failed
                return []
            raise
        return [(self.running.pop(future), answer) for future, answer in zip(good, answers, strict=True)]

    def _free(self) -> None:
        """Submit tasks again, for any worker, if all that they prefer are gone.

        Dask would let them wait for these if there was no worker at all for a while.
        """
        homes = {self.homes[place] for place in self.running.values()} - {""} if self.homes else set()
        alive = thread_counts(self.cluster.client) if homes else {}
        if not alive or not homes.isdisjoint(alive):
            return
        for future, place in list(self.running.items()):
            del self.running[future]
            self.homes[place] = ""
            for argument in self.parts[place]:
                if isinstance(argument, Share):
                    argument.free()
            self.again[place] += 1
            self._submit(place)

    def _failed(self, future: Any) -> None:
        """Submit a task again that was given up since workers died; raise the error of any other."""
        from distributed.scheduler import KilledWorker

        with reaching(self.cluster.client):
            error = future.exception(timeout=self.cluster.timeout)
        if error is None:
            raise ClusterFailed(f"Dask has {future.status} a task: the scheduler was restarted, or lost.")
        if not isinstance(error, KilledWorker):
            raise error
        place = self.running.pop(future)
        for argument in self.parts[place]:
            if isinstance(argument, Share):
                argument.renew(str(error.task))
        self.again[place] += 1
        self.given_up[place] += 1
        if self.given_up[place] > RESUBMITTED:
            raise ClusterFailed(
                f"Every worker that ran the task {future.key} died. Out of memory? See gpuclust.dask.plan."
            ) from error
        self._submit(place)


def preferring(home: str) -> dict[str, Any]:
    """Options of `distributed.Client.submit`: on this worker, or if it is gone on any other."""
    return {"workers": [home], "allow_other_workers": True} if home else {}


def _bytes_of(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
