"""Compiling a kernel: Ctrl-C meanwhile, and other processes that want the same one."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from typing import Any

from gpuclust.core.disk_cache import file_mode

#: File in the folder of kernels that is locked, a byte for each kernel, while one is compiled.
LOCK = "compiling.lock"
#: Seconds that a process waits for another one which compiles the same kernel, before it compiles that too.
PATIENCE = 60.0


def in_turn(kernel: Any, compile: Callable[..., Any]) -> Callable[..., Any]:
    """``compile``, so that of several processes one compiles a kernel, and the others load it.

    A lock ends with the process that holds it. Where files cannot be locked, all compile. There is one lock for all
    types: they have one index on disk, and of two processes that add to it at once one would undo the other's work.

    Parameters
    ----------
    kernel : Dispatcher
        With Numba's cache, whose file is what processes share.
    compile : callable
        Its method, which loads what is on disk.
    """

    @wraps(compile)
    def compile_in_turn(types: Any) -> Any:
        files = getattr(kernel._cache, "_cache_file", None)
        if files is None or (isinstance(types, tuple) and types in kernel.overloads):
            return compile(types)
        with alone(os.path.dirname(files._index_path), files._index_path):
            return compile(types)

    return compile_in_turn


@contextmanager
def alone(folder: str, what: str, patience: float = PATIENCE) -> Iterator[bool]:
    """Hold the lock of something in a folder, which other processes may want to make too.

    Yields False if another process has it for longer than ``patience`` seconds, or nothing can be locked there.
    """
    place = int.from_bytes(hashlib.sha256(what.encode()).digest()[:7], "big")
    until = time.monotonic() + patience
    descriptor, locked = _lock_file(folder), False
    while descriptor is not None and not locked:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            locked = True
        except (BlockingIOError, PermissionError):  # another process has it
            if time.monotonic() >= until:
                break
            time.sleep(0.02)
        except OSError:  # a file system without locks
            break
    try:
        yield locked
    finally:
        if descriptor is not None and locked:
            with suppress(OSError):
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)


def taken(folder: str, what: str) -> bool:
    """Whether another process holds the lock of something in a folder."""
    with alone(folder, what, patience=0) as mine:
        return not mine and _lock_file(folder) is not None


@cache
def _lock_file(folder: str) -> int | None:
    """A descriptor that stays open, since closing it would end all locks of this process; None if there is none."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(os.path.join(folder, LOCK), flags, file_mode())
    except OSError:
        return None


def without_collections(compile: Callable[..., Any]) -> Callable[..., Any]:
    """``compile`` with Python's garbage collector paused, which saves 3 to 5 % of the time.

    Numba allocates some hundred thousand objects for a kernel, most of which live as long as the kernel. Of several
    threads that compile at once, the first that is done lets the collector run again.
    """

    @wraps(compile)
    def compile_without(*arguments: Any, **options: Any) -> Any:
        collects = gc.isenabled()
        gc.disable()
        try:
            return compile(*arguments, **options)
        finally:
            if collects:
                gc.enable()

    return compile_without


def heeding_ctrl_c(compile: Callable[..., Any]) -> Callable[..., Any]:
    """``compile``, so that no interrupt is lost in it.

    LLVM calls Python back while it compiles. An exception of a signal's handler that is raised there gets no further:
    it is printed and ignored, the compiler goes on, and then misses what it was called back for ("no compiled object
    yet"). So the exception is raised again at the end, in place of what came of it.
    """

    @wraps(compile)
    def compile_or_stop(*arguments: Any, **options: Any) -> Any:
        with _raised_by_handlers() as raised:
            try:
                result = compile(*arguments, **options)
            except Exception:
                if raised:
                    raise raised[0] from None
                raise
            if raised:
                raise raised[0]
            return result

    return compile_or_stop


@contextmanager
def _raised_by_handlers() -> Iterator[list[BaseException]]:
    """A list of the exceptions that the handler of SIGINT raises within, wherever they end."""
    raised: list[BaseException] = []
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield raised
        return

    def handle(number: int, frame: Any) -> Any:
        try:
            return handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, handle)
    try:
        yield raised
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, handler)
