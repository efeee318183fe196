"""Compilation and execution of CPU kernels: one decorator, one pool of threads.

Kernels are compiled with ``nogil`` and run in Python threads over fixed ranges of work. That needs no threading layer
of Numba, so that forked processes, several calling threads and Ctrl-C work, and it compiles several times faster than
``parallel=True``. Results never depend on the number of threads: the caller divides the work into pieces, none of
which reads data that another one writes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from numba import njit
from numba.core import event

from gpuclust.core.closures import named, stamp
from gpuclust.core.compiling import heeding_ctrl_c, in_turn, without_collections
from gpuclust.core.disk_cache import has_place, protect
from gpuclust.core.flags import QuickCompiler
from gpuclust.core.inner import inner
from gpuclust.core.progress import compiling, passing
from gpuclust.core.threads import thread_count

__all__ = [
    "aside",
    "cache_folder",
    "compiled",
    "inlined",
    "jitable",
    "named",
    "one_thread",
    "ranges",
    "run",
    "stamp",
    "thread_count",
    "uncounted",
]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a CPU function: without the GIL, cached on disk, with C's rules for division (so loops vectorise).

    If neither the install folder nor the user's cache folder can be written, or if others can write there, functions
    are not cached.
    """
    kernel = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, pipeline_class=QuickCompiler)(function)
    kernel.compile = in_turn(kernel, without_collections(heeding_ctrl_c(kernel.compile)))
    with suppress(RuntimeError):  # "no locator available"
        if has_place(function.__code__.co_filename):
            kernel.enable_caching()
    return protect(kernel)


class _Notice(event.Listener):  # type: ignore[misc]
    """Says that kernels are being compiled: to the log once in a process, and to the progress bar."""

    said = False

    def on_start(self, event: Any) -> None:
        if not _Notice.said and event.data["dispatcher"].py_func.__module__.startswith("gpuclust."):
            _Notice.said = True
            logging.getLogger("gpuclust").info("compiling kernels (once on this machine)")
        compiling(True)

    def on_end(self, event: Any) -> None:
        compiling(False)


event.register("numba:compile", _Notice())


def cache_folder() -> str | None:
    """The folder that kernels compiled from this file would be kept in; None if there is none that is safe."""

    path = _probe.stats.cache_path
    return None if path is None else str(path)


@compiled
def _probe() -> None:
    """Is never called."""


@cache
def jitable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for compiled code, such as a step of a metric; each is registered once."""
    return inner(function)


def uncounted(function: Callable[..., Any]) -> Any:
    """A function for compiled code without reference counting: it may slice arrays, but neither make nor return any.

    Counting takes an atomic operation for every slice whose count Numba cannot remove, which was measured to be most
    of the time of loops of a few hundred nanoseconds.
    """
    return inner(function, _nrt=False)


def inlined(function: Callable[..., Any]) -> Any:
    """As `uncounted`, always inlined: a call passes seven numbers for each array.

    Otherwise LLVM decides, and a small change elsewhere may double the time of an inner loop.
    """
    return inner(function, _nrt=False, forceinline=True)


@cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """The pool for a thread count and a process (the threads of a parent do not exist in a forked child)."""
    return ThreadPoolExecutor(workers, thread_name_prefix="gpuclust")


_inside = threading.local()


def run(
    task: Callable[..., Any],
    pieces: Iterable[tuple[Any, ...]],
    local: Callable[[], tuple[Any, ...]] = tuple,
    *,
    threads: bool = True,
) -> None:
    """Call ``task(*piece, *own)`` for every piece, on all threads; the first error raised in a piece is raised here.

    ``own`` is what ``local()`` returned, called once by each thread (buffers of its own, say). Pieces must be
    independent; each thread takes them in the order given. With one thread, one piece, ``threads=False`` (for work of
    less than some 100 microseconds, which is what threads cost) or when already inside a piece, everything runs in
    the calling thread. Ctrl-C takes effect between two pieces, so each should take less than a second.
    """
    work = list(pieces)
    workers = min(thread_count(), len(work)) if threads and len(work) > 1 else 1
    if workers <= 1 or getattr(_inside, "active", False):
        own = local()
        nested = getattr(_inside, "active", False)
        for done, piece in enumerate(work):
            task(*piece, *own)
            if not nested:
                passing(done + 1, len(work))
        return
    todo = enumerate(work, 1)
    lock = threading.Lock()
    stopped = threading.Event()

    def worker() -> None:
        _inside.active = True
        own = local()
        try:
            while not stopped.is_set():
                with lock:
                    place, piece = next(todo, (0, None))
                if piece is None:
                    return
                task(*piece, *own)
                passing(place, len(work))  # takes effect in the calling thread only
        finally:
            _inside.active = False

    pool = _pool(thread_count(), os.getpid())
    futures = [pool.submit(worker) for _ in range(workers - 1)]
    try:
        worker()  # the calling thread works too
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.result()
    finally:
        stopped.set()
        wait(futures)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it `run` works in the calling thread only."""
    before, _inside.active = getattr(_inside, "active", False), True
    try:
        yield
    finally:
        _inside.active = before


def aside(task: Callable[[], Any]) -> Any:
    """Call ``task`` in a worker thread, so that KeyboardInterrupt is delivered at once; the call itself completes.

    For one long call that cannot be divided and releases the GIL, such as a sort.
    """
    if getattr(_inside, "active", False) or threading.current_thread() is not threading.main_thread():
        return task()
    return _pool(thread_count(), os.getpid()).submit(task).result()


def ranges(total: int, length: int) -> list[tuple[int, int]]:
    """Divide ``[0, total)`` into ranges of ``length`` (the last may be shorter)."""
    return [(start, min(start + length, total)) for start in range(0, total, length)]
