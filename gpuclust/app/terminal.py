"""Behaviour of commands at a terminal: one-line errors, exit codes, and interruption by Ctrl-C and signals."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from gpuclust.app.data.output import OutputError, discard_unfinished
from gpuclust.core import progress
from gpuclust.core.progress import console as console
from gpuclust.core.text import displayed
from gpuclust.errors import GpuclustError, InputFileError

#: Exit codes: invalid input or options, and any other error. A signal gives 128 plus its number.
BAD_INPUT, FAILED = 2, 1

#: Signals that stop a command, as far as the platform has them.
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

#: Seconds that an interrupted job has for cleaning up before the process ends.
UNWIND_SECONDS = 1.2
_unwind_seconds = UNWIND_SECONDS


class ProgressBar(progress.ProgressBar):
    """The progress bar of a command, which also says on standard error how the input was read."""

    def __enter__(self) -> ProgressBar:
        super().__enter__()
        return self

    def read(self, how: str) -> None:
        """Say how the input was read."""
        if self._quiet:
            return
        line = f"gpuclust: {displayed(how)}"
        with self._lock:
            if self._live is not None:
                self._live.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def plain_errors(debug: bool = False) -> Iterator[None]:
    """Turn expected errors into one line on stderr and an exit code, and warnings into a line each.

    With ``debug`` the error is raised, with its traceback. An unexpected error is a bug of the program, and always
    shows its traceback.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _one_line_warning
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None
        except BrokenPipeError:  # the reader of a pipe has ended, as in `| head -1`
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

    Python handles signals in the main thread only, between two bytecode instructions: not while a kernel runs or is
    compiled there. The work therefore has a thread of its own. On a signal ``KeyboardInterrupt`` is raised in that
    thread, which cleans up files and bars. If that takes too long (a kernel is running), the process deletes
    unfinished files and ends.
    """
    outcome: list[int | BaseException] = []
    over = threading.Event()  # not Thread.join, which takes the thread for ended if it is interrupted (Python 3.11)

    def body() -> None:
        try:
            outcome.append(work())
        except SystemExit as stop:
            outcome.append(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        except BaseException as error:  # raised by the main thread
            outcome.append(error)
        finally:
            over.set()

    worker = threading.Thread(target=body, name="gpuclust-command", daemon=True)
    received: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in STOPPING:
        # A shell's background jobs ignore SIGINT, and nohup ignores SIGHUP: leave it so.
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
    """Print on standard error which command stops this process, where Ctrl-C is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        text = f"Ctrl-C (SIGINT) is ignored, as in the background of a shell: stop with kill {os.getpid()}"
        print(f"gpuclust: {text}", file=sys.stderr, flush=True)


def allow_unwinding(seconds: float) -> None:
    """Set the seconds that the current job has for cleaning up when it is interrupted."""
    global _unwind_seconds
    _unwind_seconds = seconds


def _stop(worker: threading.Thread, over: threading.Event) -> None:
    """Interrupt the thread, wait until it has cleaned up, and delete unfinished files."""
    # Raised in a callback (LLVM has some while it compiles) it would only be printed, with a traceback.
    sys.unraisablehook = lambda raised: None
    if worker.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(KeyboardInterrupt))
    over.wait(_unwind_seconds)
    discard_unfinished(for_good=True)
    show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError, ValueError):  # of a terminal that is gone
        print(f"{show_cursor}gpuclust: stopped", file=sys.stderr, flush=True)
        sys.stdout.flush()
