"""Small jobs without waiting for the compiler: on the reference backend, until compiled kernels are there.

Numba compiles some 20 to 140 functions for the first job of a kind, which takes up to 20 s. The reference backend
needs no compiler and gives the same bits (tests/test_first_call.py). It does the small jobs of a process until they
have taken, all together, about as long as compiling would. From then on kernels are compiled and kept on disk, with
an empty file for each kind of job by which other processes know that they are there. Larger jobs of a linkage that
the reference backend does by matrix products run so, too, until those of their kind have taken as long on a machine.
Where there is another core, a process compiles meanwhile, and jobs go on without kernels as long as it does.
Jobs on a GPU always run its kernels: who asks for one wants it used.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import cache
from math import isqrt
from multiprocessing import parent_process
from pathlib import Path
from subprocess import Popen
from typing import Any

from gpuclust.core import compilers
from gpuclust.core.backend import Backend, select
from gpuclust.core.compiling import taken
from gpuclust.core.device import Device
from gpuclust.core.disk_cache import on_disk
from gpuclust.core.memory import available_memory

#: Environment variable: "always" compiles from the first call on; "auto", the default, not for small jobs.
COMPILE = "GPUCLUST_COMPILE"
#: Ordered pairs of observations times features, of a job that takes the reference backend some three seconds.
SMALL = 128_000_000
#: Seconds of a processor on the reference backend, in this process, after which kernels are compiled; for larger jobs
#: also in all processes of this machine.
BUDGET = 8.0
#: The same after which another process begins to compile. It does after the first job of this part of `SMALL`, too,
#: and beside a larger one.
ASIDE, PART = 1.0, 8
#: Multiple of `BUDGET` after which larger jobs are no longer done so, though another process compiles.
PATIENCE = 4
#: Parts of a second by which the time of larger jobs is kept, in the size of a file.
PARTS = 10
#: Square matrices that the reference backend holds at a time.
SQUARES = 6
#: Ordered pairs of observations times features and eight, of a job that the reference backend does by matrix products
#: in about six seconds of a processor; and copies of the observations that it holds then.
LARGE = 12_000_000_000
COPIES = 6

#: Steps of uncompiled loops in this process, after which `brief` compiles.
BRIEF = 200_000

_spent = 0.0
_steps = 0
_compiled: set[tuple[object, ...]] = set()
_aside: dict[tuple[object, ...], Popen[bytes] | None] = {}
_asked: ContextVar[bool] = ContextVar("compile from the first call on", default=False)
_forbidden: ContextVar[bool] = ContextVar("do not compile", default=False)


class NotCompiled(Exception):
    """Kernels of a job are not compiled, and `compiled_only` forbids to compile them."""


@contextmanager
def compiling() -> Iterator[None]:
    """Within it every job of the CPU compiles its kernels."""
    token = _asked.set(True)
    try:
        yield
    finally:
        _asked.reset(token)


@contextmanager
def compiled_only() -> Iterator[None]:
    """Within it a job of the CPU whose kernels are not compiled raises `NotCompiled`."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def known(kind: tuple[object, ...]) -> bool:
    """Whether the kernels of a kind of jobs are compiled, in this process or on disk."""
    return kind in _compiled or _is_marked(kind)


def note(kind: tuple[object, ...]) -> None:
    """Record, for other processes too, that the kernels of a kind are compiled."""
    _compiled.add(kind)
    _mark(kind)


def brief(kernel: Any, steps: int) -> Any:
    """A compiled loop over observations, or its Python function where compiling would take longer.

    Parameters
    ----------
    kernel : Dispatcher
    steps : int
        Passes through the loop.
    """
    global _steps
    if getattr(kernel, "overloads", None) or _wanted() or steps > BRIEF - _steps or on_disk(kernel):
        return kernel
    _steps += steps
    return kernel.py_func


def backend_for(
    device: Device,
    kind: tuple[object, ...],
    pairs: Callable[[], int],
    features: int,
    limit: int | None = None,
    screened: bool = False,
    compiler: tuple[Any, ...] | None = None,
) -> AbstractContextManager[Backend]:
    """The backend of a job on a device.

    Parameters
    ----------
    device : Device
    kind : tuple
        What decides which kernels are compiled: jobs of one kind use the same.
    pairs : callable
        Returns the number of ordered pairs of observations; 0 stands for a job that only compiled kernels do.
    features : int
        0 for condensed dissimilarities.
    limit : int, optional
        Bytes of memory that the job may take; by default what is available.
    screened : bool
        Whether the reference backend does the job by matrix products: then also a large one, until such jobs have
        taken long.
    compiler : tuple, optional
        A module, and the arguments of its ``main``, which compiles for jobs of this kind (see `compilers.begin`).
    """
    if device.family != "cpu" or kind in _compiled:
        return nullcontext(select(device))
    return _first_backend(device, kind, pairs(), features, limit, screened, compiler)


@contextmanager
def _first_backend(
    device: Device,
    kind: tuple[object, ...],
    pairs: int,
    features: int,
    limit: int | None,
    screened: bool,
    compiler: tuple[Any, ...] | None,
) -> Iterator[Backend]:
    """The backend of a job of the CPU whose kernels this process may not have yet."""
    global _spent
    if _forbidden.get() and not _wanted() and not _is_marked(kind):
        raise NotCompiled
    without, work = _without_compiler(kind, pairs, features, limit, screened), pairs * max(features, 8)
    if without and work > SMALL:
        _compile_aside(kind, compiler)
    if not without or _have_taken_long(kind, work):
        yield select(device)
        note(kind)
        return
    started = time.thread_time()  # of the processor: on a busy machine compiling would take longer, too
    try:
        yield select("reference")
    finally:
        seconds = time.thread_time() - started
        _spent += seconds
        if work > SMALL:
            _keep(kind, seconds)
        elif work > SMALL // PART or _spent > ASIDE:  # after the job, which it would slow down on few cores
            _compile_aside(kind, compiler)


def _compile_aside(kind: tuple[object, ...], compiler: tuple[Any, ...] | None) -> None:
    """Begin a process that compiles the kernels of a kind, unless one does, or other jobs run beside this one."""
    folder = _folder()
    if compiler is None or kind in _aside or folder is None or parent_process() is not None:
        return
    if not taken(str(folder), _name(kind)):
        _aside[kind] = compilers.begin(*compiler, str(folder), _name(kind), lasting=True)


def _is_compiled_aside(kind: tuple[object, ...]) -> bool:
    """Whether a process that this one or another has begun is compiling the kernels of a kind."""
    process, folder = _aside.get(kind), _folder()
    return (process is not None and process.poll() is None) or (
        folder is not None and taken(str(folder), _name(kind))
    )


def _have_taken_long(kind: tuple[object, ...], work: int) -> bool:
    """Whether jobs without compiled kernels have taken so long that this one compiles, as no other process does."""
    kept = _kept(kind) if work > SMALL else 0.0
    return kept > PATIENCE * BUDGET or (max(kept, _spent) > BUDGET and not _is_compiled_aside(kind))


def compile_elsewhere() -> bool:
    """Whether a job may begin other processes that compile for it: not those that only compile."""
    return not _wanted()


def _wanted() -> bool:
    """Whether kernels are compiled from the first call on."""
    wanted = os.environ.get(COMPILE, "auto")
    if wanted not in ("auto", "always"):
        raise ValueError(f'{COMPILE} must be "auto" or "always", got {wanted!r}')
    return wanted == "always" or _asked.get()


def _without_compiler(kind: tuple[object, ...], pairs: int, features: int, limit: int | None, screened: bool) -> bool:
    """Whether a job of the CPU may be done by the reference backend."""
    if _forbidden.get() or not pairs or _wanted() or known(kind):
        return False
    room = available_memory() if limit is None else limit
    if pairs * max(features, 8) <= SMALL:
        return SQUARES * 8 * pairs <= room
    return screened and pairs * (features + 8) <= LARGE and COPIES * 8 * (features + 8) * isqrt(pairs) <= room


def _is_marked(kind: tuple[object, ...]) -> bool:
    folder = _folder()
    return folder is not None and (folder / _name(kind)).exists()


def _mark(kind: tuple[object, ...]) -> None:
    """Tell other processes that the kernels of a kind are on disk."""
    folder = _folder()
    if folder is not None:
        with suppress(OSError):
            (folder / _name(kind)).touch()


def _kept(kind: tuple[object, ...]) -> float:
    """Seconds that larger jobs of a kind have taken on the reference backend, on this machine."""
    folder = _folder()
    with suppress(OSError):
        return 0.0 if folder is None else (folder / _name(("seconds", *kind))).stat().st_size / PARTS
    return 0.0


def _keep(kind: tuple[object, ...], seconds: float) -> None:
    """Add to what `_kept` returns."""
    folder = _folder()
    if folder is not None:
        with suppress(OSError), (folder / _name(("seconds", *kind))).open("ab") as file:
            file.write(b"." * max(1, round(seconds * PARTS)))


@cache
def _folder() -> Path | None:
    """The folder of compiled kernels; None where none are kept."""
    from gpuclust.core.jit import cache_folder

    found = cache_folder()
    return None if found is None else Path(found)


def _name(kind: tuple[object, ...]) -> str:
    text = "|".join(map(str, (_state(), *kind)))
    return f"compiled-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@cache
def _state() -> str:
    """What makes kernels on disk out of date: the source, the interpreter, the compiler and the processor."""
    import llvmlite
    import numba
    from llvmlite.binding import get_host_cpu_name

    package = Path(__file__).resolve().parents[1]
    files = sorted(path for part in ("core", "kernels/cpu", "algorithms") for path in (package / part).rglob("*.py"))
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    versions = (sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, get_host_cpu_name())
    return repr((state, versions))
