"""Progress of long computations: a function of the caller's, or a bar drawn by rich."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich import progress as rich_progress
    from rich.console import Console

#: True for a bar on standard error, or a function called with (merges made, merges in all).
Progress = bool | Callable[[int, int], None]

#: Seconds between two calls.
INTERVAL = 0.1
#: Seconds until a bar appears, and, where standard error is no terminal, between two lines of text.
SHOW_AFTER, LINE_EVERY = 1.0, 10.0
#: Added to the name of a phase while Numba compiles.
COMPILING = ": compiling kernels (once on this machine)"


def check_progress(progress: Progress) -> None:
    """``TypeError`` for what is neither a bool nor callable."""
    if not (isinstance(progress, bool) or callable(progress)):
        raise TypeError(
            f"progress must be True, False or a function of (merges made, merges in all), got {progress!r}."
        )


class _Here(threading.local):
    """The function ``tell(share)`` to which a thread's work is reported, or None."""

    tell: Callable[[float], None] | None = None
    compiling: Callable[[bool], None] | None = None


_here = _Here()


def passing(done: int, total: int) -> None:
    """Report that ``done`` of ``total`` pieces of a pass (a search for neighbours, the fill of a matrix) are done.

    During a pass no merges are made. A bar shows the fraction of the pass; a caller's function is called with the
    unchanged numbers of merges.
    """
    if _here.tell is not None:
        _here.tell(done / total)


def compiling(now: bool) -> None:
    """Report whether kernels are being compiled, for a bar to show."""
    if _here.compiling is not None:
        _here.compiling(now)


def _nothing(done: int) -> None:
    """Report nothing."""


_SILENT = nullcontext(_nothing)


def reporter(progress: Progress, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """The function that algorithms call, as often as they like, with the number of merges made; for ``with``."""
    return _SILENT if progress is False else _reporting(progress, total)


@contextmanager
def _reporting(progress: Progress, total: int) -> Iterator[Callable[[int], None]]:
    if callable(progress):
        with _telling(_Report(progress, getattr(progress, "passing", None), total), progress) as report:
            yield report
        return
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


class _Report:
    """Pass on an algorithm's reports, at most once every INTERVAL seconds, and always the last one."""

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


def console(stderr: bool = False) -> Console:
    """Return a rich console; its width is 100 columns if it is neither a terminal nor set by COLUMNS."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found = Console(stderr=stderr, highlight=False, soft_wrap=False, width=100)
    found.on_broken_pipe = _broken_pipe  # type: ignore[method-assign]
    return found


def _broken_pipe() -> None:
    """Raise the error that rich handles by ending the process with exit code 1."""
    raise BrokenPipeError


class ProgressBar:
    """Progress on standard error: a bar on a terminal, otherwise a line of text now and then.

    Called as ``bar(done, total)``.
    """

    def __init__(self, quiet: bool = False, text: str = "starting") -> None:
        self._quiet = quiet
        self._lock = threading.RLock()
        self._text, self._done, self._total = text, 0, 0
        self._closed = False
        self._live: Any = None
        self._task: Any = None
        self._next_line = time.monotonic() + LINE_EVERY
        self._timer = threading.Timer(SHOW_AFTER, self._show)
        self._timer.daemon = True

    def __enter__(self) -> ProgressBar:
        if not self._quiet and sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._live is not None:
                self._live.stop()

    def phase(self, text: str) -> None:
        """Show the name of the phase that begins, and start the bar anew."""
        with self._lock:
            self._text, self._done, self._total = text, 0, 0
            if self._live is not None:
                self._live.remove_task(self._task)
                self._task = self._live.add_task(text, total=None)

    def __call__(self, done: int, total: int) -> None:
        with self._lock:
            self._done, self._total = done, total
            if self._live is not None:
                self._live.update(self._task, description=self._text, completed=done, total=total)
            elif not self._quiet and total and not sys.stderr.isatty() and time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + LINE_EVERY
                print(f"{self._text}: {100 * done // total} %", file=sys.stderr, flush=True)

    def passing(self, share: float) -> None:
        """Show the completed share of a pass during which no merges are made."""
        with self._lock:
            if self._live is not None:
                self._live.update(self._task, description=f"{self._text} (this pass {share:.0%})")

    def compiling(self, now: bool) -> None:
        """Show that kernels are being compiled, or no longer."""
        with self._lock:
            self._text = self._text.removesuffix(COMPILING) + (COMPILING if now else "")
            if self._live is not None:
                self._live.update(self._task, description=self._text)

    def _show(self) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn

        with self._lock:
            if self._closed:
                return
            description = TextColumn("{task.description}")
            self._live = live_display(SpinnerColumn("line"), description, BarColumn(), TaskProgressColumn())
            self._task = self._live.add_task(self._text, total=self._total or None, completed=self._done)
            self._live.start()


def live_display(*columns: rich_progress.ProgressColumn) -> rich_progress.Progress:
    """Return a rich display of these columns, elapsed and remaining time; it disappears when it is stopped."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    times = (TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, console=console(stderr=True), transient=True)
