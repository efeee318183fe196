"""The process that runs kernels for `machine.py`: in Numba's simulator, on the memory of the driver for tests.

Kernels have the sizes that they have on a device (threads of a block, tiles), not those that the simulator has in
other tests. Reads launches from standard input, and answers each with None, or with the traceback of an error.
"""

# ruff: noqa: E402

from __future__ import annotations

import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from lockstep import install

install()
from gpuclust.core.sizes import TILE
from gpuclust.kernels.cuda import launch

launch.THREADS, launch.SIDE, launch.TILE = 256, 16, TILE
from gpuclust.kernels.cuda import catalogue, products, tile

tile.SIMULATED, tile.DEPTH = False, 8
products.SIMULATED = False  # products of warps, by `products.multiply_by_threads`


def main() -> None:
    start, path = int(sys.argv[1]), sys.argv[2]
    memory = np.memmap(path, np.uint8, "r+").view(np.ndarray)  # NumPy 1 has no memmap without dimensions
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr
    kernels = catalogue.kernels()
    compiled: dict[str, Any] = {}

    def argument(given: tuple[Any, ...]) -> Any:
        kind, *rest = given
        if kind == "number":
            return rest[0]
        pointer, shape, dtype = rest
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return (
            memory[pointer - start : pointer - start + size].view(dtype).reshape(shape)
            if size
            else np.empty(shape, dtype)
        )

    while True:
        try:
            name, grid, block, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if name not in compiled:
                compiled[name] = kernels[name].compiled
            compiled[name][grid, block](*map(argument, arguments))
            answer = None
        except BaseException:
            answer = traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
