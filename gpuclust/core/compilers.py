"""Processes that compile kernels beside this one, and keep them on disk for it.

Numba compiles one function at a time in a process, and most of its work is Python, so another process is the only way
to use another core. They end with this one, or, if they are to last, a minute later at most: short programs would
otherwise begin the same work again and again.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import threading
import time
from subprocess import DEVNULL, Popen
from typing import Any

from gpuclust.core.threads import thread_count

#: Begins with the parent's path of modules, so that the working directory is not on it.
PROGRAM = """import sys
sys.path[:] = sys.argv[4:]
from gpuclust.core.compilers import work
work(*sys.argv[1:4])"""

#: Seconds that a process which is to last goes on after the one that began it.
LAST = 60.0

_begun: list[tuple[Popen[bytes], bool]] = []


@atexit.register
def _end() -> None:
    """End what is still compiling and need not last: no job is left that could use it."""
    for process, lasting in _begun:
        if not lasting:
            process.kill()
            process.wait()
        elif process.poll() is None:
            process.returncode = 0  # it is not waited for, and that is no fault to be warned of


def work(module: str, arguments: str, parent: str) -> None:
    """Call ``main`` of a module, in a process that `begin` began; ``parent`` is the one it is to outlast, if any."""
    main = importlib.import_module(module).main
    if parent:
        _end_after(int(parent))
    main(*json.loads(arguments))


def _end_after(parent: int) -> None:
    """End this process `LAST` seconds after the one that began it, which may have ended already."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        time.sleep(LAST)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def possible() -> int:
    """How many processes may be begun: as many as there are other cores for, none where Python cannot be started."""
    if getattr(sys, "frozen", False) or "python" not in os.path.basename(sys.executable or ""):
        return 0
    return thread_count() - 1


def begin(module: str, *arguments: Any, lasting: bool = False) -> Popen[bytes] | None:
    """Begin a process that calls ``main(*arguments)`` of a module; None if none can be begun.

    Jobs in it compile from the first call on, in one thread. ``arguments`` are what JSON can hold.
    """
    _begun[:] = [each for each in _begun if each[0].poll() is None]
    if not possible():
        return None
    folders = (os.path.abspath(folder) for folder in sys.path if folder)
    parent = str(os.getpid()) if lasting else ""
    command = [sys.executable, "-I", "-c", PROGRAM, module, json.dumps(arguments), parent, *folders]
    environment = {**os.environ, "GPUCLUST_COMPILE": "always", "GPUCLUST_NUM_THREADS": "1"}
    try:
        process = Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env=environment)
    except OSError:
        return None
    _begun.append((process, lasting))
    return process
