"""Calls to the scheduler of a Dask cluster: deadlines, and one error for all that Dask raises where it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gpuclust.core.arguments import real_number
from gpuclust.errors import BackendUnavailable, ClusterFailed

#: Seconds for which the scheduler may be out of reach, or leave a question unanswered.
OUT_OF_REACH = 60.0
#: Seconds between two looks at the state of a cluster.
POLL = 1.0
#: Seconds without an answer after which the scheduler is asked whether it is there.
SILENCE = 10.0
#: Status of a future that is awaited; of a lost one Dask makes the result again.
UNDER_WAY = ("pending", "lost")
#: Part of a worker's memory limit that a job may take: Dask spills from 60 % on.
SHARE = 0.6
#: Two classes before Python 3.11.
TIMED_OUT = (TimeoutError, asyncio.TimeoutError)


def connect(address: str, **options: Any) -> Any:
    """A client for a command, of the scheduler at an address that a user has given.

    It becomes the current one, as one that is not would wait for a minute in its ``__del__`` if it cannot connect. It
    does not log tracebacks of its lost connection: the command prints the error.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise BackendUnavailable(f"--scheduler needs Dask: pip install 'gpuclust[dask]' ({error})") from None
    _log_nothing()
    try:
        return Client(address, **options)
    except (OSError, ValueError, *TIMED_OUT) as error:
        raise BackendUnavailable(f"--scheduler {address}: cannot be reached: {error}") from None


def _log_nothing() -> None:
    """Let Dask, and what it is built on, log in this process what is critical only.

    To be called after distributed was imported, which sets levels of single loggers.
    """
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def seconds(timeout: Any) -> float:
    """A positive number; of infinity, one that a clock can add to the time."""
    found = real_number(timeout, "timeout")
    if not found > 0:
        raise ValueError(f"timeout must be positive, got {found}.")
    return min(found, 1e9)


def usable(client: Any) -> Any:
    """A running synchronous client: the one given, or the current one."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ImportError("gpuclust.dask needs Dask: pip install 'gpuclust[dask]'") from error
    if client is None:
        try:
            client = distributed.get_client()
        except ValueError:
            raise ValueError("There is no Dask client: make a distributed.Client, or give client=.") from None
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, got {client!r}.")
    if client.asynchronous:
        raise ValueError("client must not be asynchronous: call gpuclust.dask from a thread of its own.")
    if client.status != "running":
        raise ClusterFailed(f"The client is {client.status}.")
    return client


@contextmanager
def reaching(client: Any, futures: Iterable[Any] = ()) -> Iterator[None]:
    """Raise `ClusterFailed` for what Dask raises where a client has lost its scheduler.

    By what it was doing, Dask cancels futures, closes connections, refuses the call, or leaves it unanswered. The
    error of a task of one of ``futures`` is raised as it is.
    """
    from distributed import CancelledError

    try:
        yield
    except ClusterFailed:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if any(future.status == "error" for future in futures):
            raise
        # Unbound is the result of a coroutine that asyncio cancelled.
        lost = asyncio.CancelledError, CancelledError, OSError, UnboundLocalError, *TIMED_OUT
        if not isinstance(error, lost) and client.status == "running":
            raise
        raise ClusterFailed(
            f"The scheduler does not answer, or was restarted (client: {client.status}; {type(error).__name__})."
        ) from error


def result(client: Any, future: Any, timeout: float | None) -> Any:
    """The result of a task, or the error that it raised.

    Raises
    ------
    ClusterFailed
        If the scheduler is lost, or there is no result within ``timeout`` seconds.
    """
    with reaching(client, [future]):
        try:
            return future.result(timeout)
        except TIMED_OUT as error:
            if timeout is not None and future.status in UNDER_WAY and client.status == "running":
                raise ClusterFailed(f"There is no result within {timeout:g} s.") from error
            raise


def wait_for_one(client: Any, futures: list[Any]) -> None:
    """Wait until a task is over, for at most a second."""
    from distributed.client import _wait  # `distributed.wait` uses the current client, which may be another one

    with reaching(client), suppress(*TIMED_OUT):
        client.sync(_wait, futures, timeout=POLL, return_when="FIRST_COMPLETED")


def ask(client: Any, function: Any, *arguments: Any, timeout: float | None = None, **options: Any) -> Any:
    """Call a coroutine function of a client or of its scheduler, with a deadline."""
    with reaching(client):
        return client.sync(function, *arguments, callback_timeout=timeout or OUT_OF_REACH, **options)


def workers_of(client: Any) -> dict[str, Any]:
    """Facts that the scheduler has of each worker: ``nthreads``, ``memory_limit`` (0: none), ..."""
    return dict(ask(client, client.scheduler.identity)["workers"])


def usable_memory(worker: dict[str, Any], default: int) -> int:
    """Bytes of memory that a job may take of a worker; a part of ``default`` where that has no limit."""
    return int(SHARE * (worker["memory_limit"] or default))


def thread_counts(client: Any) -> dict[str, int]:
    """Threads of each worker."""
    return dict(ask(client, client.scheduler.ncores, workers=None))


class Watch:
    """Deadline of an answer from a cluster, and of its scheduler.

    Parameters
    ----------
    client : distributed.Client
    what : str
        The message, with ``{timeout}`` and ``{workers}``, if nothing has come for ``timeout`` seconds.
    timeout : float
    """

    def __init__(self, client: Any, what: str, timeout: float) -> None:
        self._client, self._what, self._timeout = client, what, timeout
        self._came = self._reached = self._asked = time.monotonic()

    def came(self) -> None:
        """Start the deadline again, since an answer has come."""
        self._came = self._reached = self._asked = time.monotonic()

    def check(self) -> None:
        """Raise `ClusterFailed` if no answer can be expected any more."""
        client, now = self._client, time.monotonic()
        if client.status == "running":
            self._reached = now
        if client.status == "closed" or now - self._reached > OUT_OF_REACH:
            raise ClusterFailed(f"The scheduler cannot be reached (the client is {client.status}).")
        late = now - self._came > self._timeout
        if client.status == "running" and (late or now - self._asked > SILENCE):
            workers = len(thread_counts(client))
            self._asked = time.monotonic()
            if late:
                raise ClusterFailed(self._what.format(timeout=f"{self._timeout:g} s", workers=workers))
