"""A machine with CUDA devices whose driver is that of `driver.c`: the real numba-cuda, and arrays in place of CuPy's.

Everything up to the driver is real: types, NVVM, the linker, the disk cache, the launch. A launch is checked here
(parameters, memory, stream), and then run by `device.py`. Only for processes that the tests start: `start` replaces
CuPy for all of the process.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.machinery
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import fake_cuda

HERE = Path(__file__).parent
START, WHOLE = 0x300000000000, 16 << 30


class Driver:
    """The library, and the checks of launches."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.driver_is_live.argtypes = self.library.cuMemFree_v2.argtypes = [ctypes.c_uint64, ctypes.c_size_t]
        self.library.cuMemFree_v2.argtypes = [ctypes.c_uint64]
        self.running = threading.local()
        self.launched: list[str] = []
        self.fault = ""
        numbers = [ctypes.c_uint] * 7
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_char_p, *numbers, ctypes.c_int, ctypes.c_uint64, ctypes.POINTER(ctypes.c_void_p)
        )
        self.keep = kind(self.launch)
        self.library.driver_on_launch(self.keep)
        self.allocate(1)  # makes the file that is the memory
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "device.py"), str(START), os.environ["DRIVER_ARENA"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LD_LIBRARY_PATH": ""},
        )

    def allocate(self, size: int) -> int:
        """Memory of CuPy's current device, whose context it makes the current one meanwhile."""
        device, context, pointer = fake_cuda._Device.current or 0, ctypes.c_void_p(), ctypes.c_uint64()
        self.library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        self.library.cuCtxPushCurrent_v2(context)
        error = self.library.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(size))
        self.library.cuCtxPopCurrent_v2(ctypes.byref(context))
        assert error == 0, f"cuMemAlloc of {size} bytes: error {error}"
        return pointer.value

    def launch(self, name: bytes, *given: Any) -> int:
        try:
            self.check(name.decode(), *given)
        except BaseException as error:
            self.fault = self.fault or f"{type(error).__name__}: {error}"
            return 1
        return 0

    def check(
        self, name: str, gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, cooperative: int,
        on: int, parameters: Any,
    ) -> None:  # fmt: skip
        kernel = self.running.kernel
        assert kernel.name in name, f"{kernel.name} was asked for, {name} launched"
        assert (gy, gz, by, bz, bx) == (1, 1, 1, 1, kernel.threads)
        assert bool(cooperative) == kernel.cooperative
        stream = fake_cuda.Stream.current.ptr
        assert on == stream, f"launched on stream {on:#x}, but CuPy's is {stream:#x}"
        assert stream, "launched on the default stream, which CuPy and Numba may see differently"
        arguments, place = [], 0
        for kind in kernel.signature:
            if hasattr(kind, "ndim"):
                arguments.append(
                    self.array(kind, [int(word or 0) for word in self.words(parameters, place, 5 + 2 * kind.ndim)])
                )
                place += 5 + 2 * kind.ndim
            else:
                number = np.dtype(str(kind) if str(kind) != "bool" else "bool")
                held = ctypes.string_at(parameters[place], number.itemsize)
                arguments.append(("number", np.frombuffer(held, number)[0]))
                place += 1
        key = f"{kernel.function.__module__.rsplit('.', 1)[1]}.{kernel.name}"
        pickle.dump((key, gx, bx, arguments), self.process.stdin)
        self.process.stdin.flush()
        answer = pickle.load(self.process.stdout)
        assert answer is None, f"{key}: {answer}"
        self.launched.append(key)

    def words(self, parameters: Any, place: int, count: int) -> list[int]:
        """Parameters of eight bytes: of an array what Numba makes of it."""
        return [ctypes.c_int64.from_address(parameters[place + k]).value for k in range(count)]

    def array(self, kind: Any, words: list[int]) -> tuple[Any, ...]:
        _, _, items, itemsize, pointer, *rest = words
        shape, strides = tuple(rest[: kind.ndim]), tuple(rest[kind.ndim :])
        dtype = np.dtype(str(kind.dtype) if str(kind.dtype) != "bool" else "bool")
        assert (itemsize, items) == (dtype.itemsize, int(np.prod(shape)))
        if items:
            assert strides == np.empty(shape, np.dtype([("", f"V{itemsize}")])).strides
            assert pointer % dtype.itemsize == 0
            assert self.library.driver_is_live(pointer, items * itemsize), f"{pointer:#x}: not allocated, or freed"
        return "array", pointer, shape, dtype.str


driver: Driver


def place(data: np.ndarray) -> np.ndarray:
    """The array in memory of the driver: as it is, if it is there, or a copy."""
    base = data
    while isinstance(base.base, np.ndarray):
        base = base.base
    if START <= base.__array_interface__["data"][0] < START + WHOLE:
        return data
    pointer = driver.allocate(data.nbytes)
    held = (ctypes.c_uint8 * data.nbytes).from_address(pointer)
    there = np.frombuffer(held, np.uint8).view(data.dtype).reshape(data.shape) if data.nbytes else data.copy()
    there[...] = data
    weakref.finalize(held, driver.library.cuMemFree_v2, pointer)
    return there


def start() -> Driver:
    """Make this process one with the driver's devices."""
    global driver
    module = fake_cuda._cupy()
    module.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    sys.modules["cupy"] = module
    driver = Driver()
    atexit.register(driver.process.kill)
    fake_cuda.place = place
    module.cuda.runtime.memGetInfo = lambda: (WHOLE // 2, WHOLE)
    from gpuclust.kernels.cuda import launch

    call = launch.Kernel.__call__

    def watched(kernel: Any, blocks: int, *arguments: Any) -> None:
        assert type(blocks) is int, f"{kernel.name}: {type(blocks)} blocks"  # cuda.core refuses NumPy's integers
        driver.running.kernel = kernel
        try:
            call(kernel, blocks, *arguments)
        except Exception as error:
            if driver.fault:
                raise RuntimeError(driver.fault) from error
            raise

    launch.Kernel.__call__ = watched
    return driver
