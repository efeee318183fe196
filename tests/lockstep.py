"""Numba's simulator with greenlets for the threads of a block: ten times faster, and deterministic.

The simulator starts a Python thread for every thread of a block, and polls until all have reached a barrier, which
takes nearly all of the time. Here threads are greenlets: one runs at a time, up to its next barrier or its end, then
the next one. The order alternates, which exposes results that depend on it.
"""

from __future__ import annotations

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

    def extract_stack(frame: Any) -> list[tuple[str, int]]:
        """The key by which the simulator distinguishes shared arrays: the caller's line. No file is read."""
        return [(f.f_code.co_filename, f.f_lineno) for f in (frame.f_back, frame)]

    kernel.BlockManager.run = run
    kernelapi.threading = SimpleNamespace(current_thread=lambda: getcurrent().of)
    kernelapi.traceback = SimpleNamespace(extract_stack=extract_stack)
