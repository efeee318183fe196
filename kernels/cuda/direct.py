"""Launches of compiled kernels through cuda.core, past Numba's own launch, which takes longer than most kernels run.

Numba wraps every array, finds its type, and looks for a kernel of these types; all of that is known here. What is
launched, and with what, is the same: a kernel's parameters are its numbers, and of an array two that are not used
(memory information and parent, for reference counts), the number of elements, bytes of one, address, shape and
strides. Where a version of Numba has not what is needed here, there is no `Launcher`, and Numba launches.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from gpuclust.core.devices import numba_cuda

#: Numbers as cuda.core takes them; Python's integers and booleans have eight bytes and one.
_NUMBERS: dict[type, Any] = {
    np.int64: int,
    np.int32: ctypes.c_int32,
    np.float64: ctypes.c_double,
    np.float32: ctypes.c_float,
    np.bool_: bool,
}
#: Streams of cuda.core by device and handle; they own nothing.
_streams: dict[tuple[int, int], Any] = {}
_MOST_STREAMS = 64


def parameters(arguments: list[Any]) -> list[Any]:
    """Parameters of a kernel from its arguments: device arrays, in C order, and NumPy's numbers."""
    made: list[Any] = []
    for value in arguments:
        convert = _NUMBERS.get(type(value))
        if convert is not None:
            made.append(convert(value.item()))
        else:
            made += (0, 0, value.size, value.dtype.itemsize, value.data.ptr, *value.shape, *value.strides)
    return made


class Launcher:
    """A kernel on each device, by Numba's dispatcher of it."""

    def __init__(self, compiled: Any, signature: tuple[Any, ...], threads: int, cooperative: bool) -> None:
        self.compiled, self.signature, self.threads, self.cooperative = compiled, signature, threads, cooperative
        self.numba = numba_cuda("numba.cuda.dispatcher")
        self.by_device: dict[int, Any] = {}

    @staticmethod
    def possible() -> bool:
        """Whether this version of Numba launches by cuda.core, from 1.0 on."""
        numba, driver = numba_cuda("numba.cuda.dispatcher"), numba_cuda("numba.cuda.cudadrv.driver")
        core = (
            getattr(numba, "CUDA_CORE_GE_1_0", False) and hasattr(numba, "launch") and hasattr(numba, "LaunchConfig")
        )
        return bool(core and hasattr(numba._Kernel, "bind") and hasattr(driver, "_to_core_stream"))

    def kernel(self, index: int) -> Any:
        """The kernel on the current device, compiled and loaded if it has not been."""
        if index not in self.by_device:
            if not self.compiled.overloads:
                self.compiled.compile(self.signature)
            (definition,) = self.compiled.overloads.values()
            definition.bind()
            self.by_device[index] = definition._codelibrary.get_cufunc().kernel
        return self.by_device[index]

    def __call__(self, blocks: int, index: int, pointer: int, stream: Any, arguments: list[Any]) -> None:
        """Launch on the current device, ``index``, and a stream, ``pointer``; ``stream()`` is Numba's of it."""
        kernel = self.kernel(index)
        if (index, pointer) not in _streams:
            if len(_streams) >= _MOST_STREAMS:
                _streams.clear()
            _streams[index, pointer] = numba_cuda("numba.cuda.cudadrv.driver")._to_core_stream(stream())
        config = self.numba.LaunchConfig(
            grid=(blocks, 1, 1), block=(self.threads, 1, 1), shmem_size=0, is_cooperative=self.cooperative
        )
        self.numba.launch(_streams[index, pointer], config, kernel, *parameters(arguments))
