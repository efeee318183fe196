"""The progress bar of `linkage(..., progress=True)` and of the command line, drawn by rich."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

#: Seconds until a bar appears, and, where standard error is no terminal, between two lines of text.
SHOW_AFTER, LINE_EVERY = 1.0, 10.0
#: Added to the name of a phase while Numba compiles.
COMPILING = ": compiling kernels (once on this machine)"


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


def live_display(*columns: ProgressColumn) -> Progress:
    """Return a rich display of these columns, elapsed and remaining time; it disappears when it is stopped."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    times = (TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, console=console(stderr=True), transient=True)
