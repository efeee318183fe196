"""What a person sees and does at a terminal: a progress bar, one-line errors, and Ctrl-C that works at once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from gpuclust.app.data.output import OutputError, discard_unfinished
from gpuclust.core.text import displayed
from gpuclust.errors import GpuclustError, InputFileError

if TYPE_CHECKING:
    from rich.console import Console

#: Exit codes: what was given is at fault, or something else is. 128 + the signal's number for a signal.
BAD_INPUT, FAILED = 2, 1

#: What stops a command; the last is not known everywhere.
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

#: A bar appears when a job has lasted this long; where there is no terminal, a line is written every so often.
SHOW_AFTER, LINE_EVERY = 1.0, 10.0
#: Time given to a stopped job to unwind, before the process ends without it.
UNWIND_SECONDS = 1.2
_unwind_seconds = UNWIND_SECONDS


def console(stderr: bool = False) -> Console:
    """A rich console, 100 columns wide where no terminal says otherwise."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found = Console(stderr=stderr, highlight=False, soft_wrap=False, width=100)
    found.on_broken_pipe = _nobody_reads  # type: ignore[method-assign]
    return found


def _nobody_reads() -> None:
    """In place of rich's, which ends the process with code 1."""
    raise BrokenPipeError


class ProgressBar:
    """Shows on stderr which part of a job is under way and how far it is; called as ``bar(done, total)``."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.RLock()
        self._text, self._done, self._total = "starting", 0, 0
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
        """The next part of the job begins."""
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
        """A pass during which nothing else can be told is so far."""
        with self._lock:
            if self._live is not None:
                self._live.update(self._task, description=f"{self._text} (this pass {share:.0%})")

    def _show(self) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        with self._lock:
            if self._closed:
                return
            self._live = Progress(
                SpinnerColumn("line"),
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("elapsed"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console(stderr=True),
                transient=True,
            )
            self._task = self._live.add_task(self._text, total=self._total or None, completed=self._done)
            self._live.start()


@contextlib.contextmanager
def plain_errors(debug: bool = False) -> Iterator[None]:
    """Turn expected errors into one line on stderr and an exit code, and warnings into a line each.

    With ``debug`` the error is raised, with its traceback. An error of another kind is a fault of the program, and
    always shows its traceback.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _one_line_warning
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None
        except BrokenPipeError:  # who reads what is printed here has seen enough: `| head -1`
            if debug:
                raise
            raise SystemExit(128 + signal.SIGPIPE) from None
        except (GpuclustError, ValueError, TypeError, OSError, MemoryError) as error:
            if debug:
                raise
            text = displayed(" ".join(str(error).split())) or type(error).__name__
            if isinstance(error, MemoryError) and not isinstance(error, GpuclustError):
                text = f"out of memory: {text}"
            print(f"gpuclust: error: {text}", file=sys.stderr, flush=True)
            raise SystemExit(BAD_INPUT if _is_bad_input(error) else FAILED) from None


def _is_bad_input(error: Exception) -> bool:
    return isinstance(error, (InputFileError, OutputError, ValueError, TypeError))


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"gpuclust: warning: {displayed(' '.join(str(message).split()))}", file=sys.stderr, flush=True)


def stoppable(work: Callable[[], int]) -> int:
    """Run ``work`` so that Ctrl-C and termination stop it within two seconds, and return its exit code.

    Python handles signals in the main thread only, between two of its instructions: not while a kernel runs there or
    is being compiled. So the work has a thread of its own. When a signal comes, ``KeyboardInterrupt`` is raised in
    that thread, files and bars are put in order on its way out, and if that takes too long (a kernel is in its midst)
    the process ends all the same, after deleting unfinished files.
    """
    outcome: list[int | BaseException] = []
    over = threading.Event()  # and not Thread.join: interrupted, that takes the thread for ended (Python 3.11)

    def body() -> None:
        try:
            outcome.append(work())
        except SystemExit as stop:
            outcome.append(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        except BaseException as error:  # handed to the main thread, which raises it
            outcome.append(error)
        finally:
            over.set()

    worker = threading.Thread(target=body, name="gpuclust-command", daemon=True)
    received: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in STOPPING:
        # In the background of a shell Ctrl-C is ignored, and under nohup the end of the terminal: leave it so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        worker.start()
        while not over.wait(0.5):
            pass
    except KeyboardInterrupt:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        _stop(worker, over)
        os._exit(128 + received[0])
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def say_how_to_stop() -> None:
    """Tell a user on stderr what stops this process, where Ctrl-C does not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        text = f"Ctrl-C (SIGINT) is ignored, as in the background of a shell: stop with kill {os.getpid()}"
        print(f"gpuclust: {text}", file=sys.stderr, flush=True)


def allow_unwinding(seconds: float) -> None:
    """Give what runs now so much time to put itself in order when it is stopped."""
    global _unwind_seconds
    _unwind_seconds = seconds


def _stop(worker: threading.Thread, over: threading.Event) -> None:
    """Interrupt the thread, give it a moment to unwind, then tidy up what it left."""
    if worker.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(KeyboardInterrupt))
    over.wait(_unwind_seconds)
    discard_unfinished(for_good=True)
    show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError, ValueError):  # of a terminal that is gone
        print(f"{show_cursor}gpuclust: stopped", file=sys.stderr, flush=True)
        sys.stdout.flush()
