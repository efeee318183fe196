"""Numba's simulator with greenlets for the threads of a block: ten times faster, and deterministic.

The simulator starts a Python thread for every thread of a block, and polls until all have reached a barrier, which
takes nearly all of the time. Here threads are greenlets: one runs at a time, up to its next barrier or its end, then
the next one. The order alternates, which exposes results that depend on it.

Arrays are NumPy's: the simulator wraps arguments twice, for semantics of records that no kernel here has, and looks
for the NumPy type of every shared and local array, which took a third of the time left.
"""

from __future__ import annotations

import sys
from functools import cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpuclust.core.devices import numba_cuda


def install() -> None:
    """Replace how the simulator runs a block. Without greenlet or numba-cuda it stays as it is.

    A float32 number and one of Python make a float32 number in kernels, as in NumPy 2; NumPy 1.26 is told so.
    """
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        np._set_promotion_state("weak")
    try:
        from greenlet import getcurrent, greenlet

        kernel, kernelapi = (numba_cuda(f"numba.cuda.simulator.{name}") for name in ("kernel", "kernelapi"))
    except ImportError:
        return

    class Turn(kernel.BlockThread):
        """A thread of a block; it is never started as one of Python's, nor set up as one."""

        def __init__(self, function: Any, manager: Any, block: Any, place: Any) -> None:
            self._manager = manager
            self.blockIdx, self.threadIdx = kernel.Dim3(*block), kernel.Dim3(*place)
            size = kernel.Dim3(*manager._block_dim)
            self.thread_id = place[0] + size.x * (place[1] + size.y * place[2])
            self.lane = greenlet(function)
            self.lane.of = self

        def syncthreads(self) -> None:
            self.lane.parent.switch()

    def run(self: Any, grid_point: Any, *arguments: Any) -> None:
        def target() -> None:
            self._f(*arguments)

        places = np.ndindex(*self._block_dim)
        waiting = [Turn(target, self, grid_point, place) for place in places]
        while waiting:
            for thread in waiting:
                thread.lane.switch()  # what is raised inside is raised here; the other threads are dropped
            waiting = [thread for thread in reversed(waiting) if not thread.lane.dead]

    def shared_array(self: Any, shape: Any, dtype: Any) -> np.ndarray:
        """The array of a line, as the simulator distinguishes them; one of no elements it calls dynamic."""
        assert shape != 0, "dynamic shared memory"
        frame = sys._getframe(1)
        line = frame.f_code.co_filename, frame.f_lineno
        found = self._allocations.get(line)
        if found is None:
            found = self._allocations[line] = np.empty(shape, numpy_type(dtype))
        return found

    numpy_type = cache(kernelapi.numpy_support.as_dtype)
    kernel.BlockManager.run = run
    kernel.FakeWithinKernelCUDAArray = attrgetter("_ary")
    kernelapi.threading = SimpleNamespace(current_thread=lambda: getcurrent().of)
    kernelapi.FakeCUDAShared.array = shared_array
    kernelapi.FakeCUDALocal.array = lambda self, shape, dtype: np.empty(shape, numpy_type(dtype))
    kernelapi.FakeCUDAModule.syncthreads = lambda self: getcurrent().parent.switch()
