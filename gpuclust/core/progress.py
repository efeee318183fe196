"""Progress of long work: a bar, or a function of the caller's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: True for a bar on standard error, or a function called with (merges made, merges in all).
Progress = bool | Callable[[int, int], None]

#: Seconds between two calls.
INTERVAL = 0.1


def check_progress(progress: Progress) -> None:
    """``TypeError`` for what is neither a bool nor callable."""
    if not (isinstance(progress, bool) or callable(progress)):
        raise TypeError(
            f"progress must be True, False or a function of (merges made, merges in all), got {progress!r}."
        )


class _Here(threading.local):
    """What a thread's work is reported to: ``tell(share)``, once in a while, or nobody."""

    tell: Callable[[float], None] | None = None
    compiling: Callable[[bool], None] | None = None


_here = _Here()


def passing(done: int, total: int) -> None:
    """So many pieces of one pass (a search for neighbours, say, or a matrix to fill) are done; called between them.

    During a pass no merges are made. A bar shows how far it is, a function of the caller's is called with the numbers
    of merges that it knows already.
    """
    if _here.tell is not None:
        _here.tell(done / total)


def compiling(now: bool) -> None:
    """Kernels are being compiled, or no longer: a bar says so."""
    if _here.compiling is not None:
        _here.compiling(now)


@contextmanager
def reporter(progress: Progress, total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes the number of merges made, for algorithms to call as often as they like."""
    if progress is False:
        yield _nothing
        return
    if callable(progress):
        with _telling(_Report(progress, getattr(progress, "passing", None), total), progress) as report:
            yield report
        return
    from gpuclust.core.progress_bar import ProgressBar

    with ProgressBar(text="linkage") as bar, _telling(_Report(bar, bar.passing, total), bar) as report:
        yield report


@contextmanager
def _telling(report: _Report, call: Callable[[int, int], None]) -> Iterator[_Report]:
    before = _here.tell, _here.compiling
    _here.tell, _here.compiling = report.passing, getattr(call, "compiling", None)
    try:
        yield report
    finally:
        _here.tell, _here.compiling = before


def _nothing(done: int) -> None:
    """Nobody wants to know."""


class _Report:
    """Hands on what an algorithm reports, but not more often than every INTERVAL, and always at the end."""

    def __init__(self, call: Callable[[int, int], None], show: Callable[[float], None] | None, total: int) -> None:
        self.call, self.show, self.total = call, show, total
        self.done = 0
        self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        self.done = done
        now = time.monotonic()
        if done >= self.total or now - self.last >= INTERVAL:
            self.last = now
            self.call(done, self.total)

    def passing(self, share: float) -> None:
        now = time.monotonic()
        if now - self.last >= INTERVAL:
            self.last = now
            if self.show is not None:
                self.show(share)
            else:
                self.call(self.done, self.total)
