"""Questions to the NVIDIA driver, asked in a child process.

A process in which the driver has been initialised can't use CUDA in children that it forks later (PyTorch's
``DataLoader``, ``multiprocessing``), and a context takes some hundred megabytes of a GPU's memory, or all of a GPU in
exclusive mode. So planning initialises nothing in its own process: this file is also a program, which needs nothing
but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from typing import Any

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
#: Seconds that a child process may take: a driver that has to load its kernel module needs some.
PATIENCE = 60
#: Error of a driver of which a child process hangs or dies.
NO_ANSWER = -1
#: Attributes of a device (cuda.h).
CLOCK, MULTIPROCESSORS, MEMORY_CLOCK, BUS_WIDTH, MAJOR, MINOR = 13, 16, 36, 37, 75, 76
ATTRIBUTES = (CLOCK, MULTIPROCESSORS, MEMORY_CLOCK, BUS_WIDTH, MAJOR, MINOR)


def version() -> int | None:
    """The newest CUDA version of the driver (13020: CUDA 13.2), which is not initialised for it; None without one."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return int(_number(library.cuDriverGetVersion))


def initialise() -> int:
    """Initialise the driver in this process; the number of an error, or 0."""
    return int(ctypes.CDLL(LIBRARY).cuInit(0))


def describe() -> dict[str, Any]:
    """The error of initialising the driver, or 0, and of each device its name, memory in bytes, and attributes."""
    library = ctypes.CDLL(LIBRARY)
    error = initialise()
    if error:
        return {"error": error, "devices": []}
    found = []
    for index in range(_number(library.cuDeviceGetCount)):
        device = _number(library.cuDeviceGet, index)
        name = ctypes.create_string_buffer(256)
        library.cuDeviceGetName(name, 256, device)
        found.append(
            {
                "name": name.value.decode(errors="replace"),
                "memory": _number(library.cuDeviceTotalMem_v2, device, kind=ctypes.c_size_t),
                "attributes": {
                    str(which): _number(library.cuDeviceGetAttribute, which, device) for which in ATTRIBUTES
                },
            }
        )
    return {"error": 0, "devices": found}


def free_memory(index: int) -> dict[str, Any]:
    """The error of making a context on a device, or 0, and the bytes that are free there."""
    library = ctypes.CDLL(LIBRARY)
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    error = initialise()
    if not error:
        device = _number(library.cuDeviceGet, index)
        error = library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    if not error:
        error = library.cuCtxPushCurrent_v2(context) or library.cuMemGetInfo_v2(
            ctypes.byref(free), ctypes.byref(total)
        )
        library.cuDevicePrimaryCtxRelease_v2(device)
    return {"error": int(error), "free": int(free.value)}


def ask(question: str, *arguments: int) -> dict[str, Any]:
    """Call a function of this module in a child process; in this one where no Python can be started.

    A driver that does not answer, or of which the child dies, is not asked in this process.
    """
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), question, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        if done.returncode >= 0:
            return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        pass
    except (OSError, ValueError):
        return dict(globals()[question](*arguments))
    return {"error": NO_ANSWER, "devices": [], "free": 0}


def _number(function: Any, *arguments: Any, kind: Any = ctypes.c_int) -> int:
    """What a function writes to its first argument; 0 if it fails."""
    value = kind()
    return 0 if function(ctypes.byref(value), *arguments) else int(value.value)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*map(int, sys.argv[2:]))))
