"""Processes that tests start, with signals as a terminal gives them, and that end with their test.

The tests may be started with SIGINT ignored (``nohup``, the background of a shell script, many CI systems), and child
processes inherit that: they would ignore the SIGINT that a test sends, and the test would wait forever. So tests that
send signals start their child processes here.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

#: Seconds to wait for a child, however loaded the machine is; less than the time limit of a test.
PATIENCE = 500.0
#: Signals that somebody sends to stop a program.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_started: list[subprocess.Popen[Any]] = []


def start(
    command: Sequence[Any], *, ignoring: Iterable[signal.Signals] = (), **options: Any
) -> subprocess.Popen[Any]:
    """Start a process in a group of its own.

    Parameters
    ----------
    ignoring : optional
        Signals that it ignores from its start; all others that stop a program are at their defaults.
    **options
        For `subprocess.Popen`.
    """
    with _dispositions(frozenset(ignoring)):
        process = subprocess.Popen(command, start_new_session=True, **options)
    _started.append(process)
    return process


def run(command: Sequence[Any], timeout: float = PATIENCE, **options: Any) -> subprocess.CompletedProcess[str]:
    """The same until its end, with what it printed."""
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    printed, said = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, printed, said)


def end_all() -> None:
    """Kill what has not ended, with its group; conftest.py does so after each test."""
    while _started:
        process = _started.pop()
        if process.poll() is None:  # until then nobody else can have its number
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


@contextmanager
def _dispositions(ignored: frozenset[signal.Signals]) -> Iterator[None]:
    """For what is started within: an ignored signal stays so in a child, one that is handled is at its default there.

    Set here and not in the child before it runs its program: between fork and exec no Python should run where there
    are threads.
    """
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN if number in ignored else _raise)
        yield
    finally:
        for number, action in before.items():
            if action is not None:  # set by Python
                signal.signal(number, action)


def _raise(number: int, frame: object) -> None:
    raise KeyboardInterrupt
