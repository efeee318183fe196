"""Compiling in other processes what a job will need later, while this one compiles what it needs first.

Numba compiles one function at a time in a process, and most of its work is Python. So with an empty cache a job of
ward linkage begins processes of its own that compile the nearest-neighbour chain and the comparison of boxes, keep
them on disk, and end. `gpuclust.core.compiling.in_turn` has this process wait for what is being compiled there.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from subprocess import DEVNULL, Popen
from typing import Any

import numpy as np

from gpuclust.core.disk_cache import on_disk
from gpuclust.core.first_call import compile_elsewhere
from gpuclust.core.methods import METHODS, Method
from gpuclust.core.sizes import WIDE
from gpuclust.core.threads import thread_count
from gpuclust.kernels.cpu.clusters.stored_squares import squares_of
from gpuclust.kernels.cpu.clusters.summary_chain import ROW, STORED, WALK, Chain, chain_kernels

#: Begins with the parent's path of modules, so that the working directory is not on it.
PROGRAM = """import sys
sys.path[:] = sys.argv[4:]
from gpuclust.kernels.cpu.clusters.ahead import main
main(*sys.argv[1:4])"""

_begun: list[Popen[bytes]] = []


@atexit.register
def _end() -> None:
    """End what is still compiling: no job is left that could use it."""
    for process in _begun:
        process.kill()
        process.wait()


def begin(method: Method, dtype: np.dtype, features: int, walks: bool) -> None:
    """Begin processes that compile what matrix-free clusters need after their first search has begun.

    There are no more of them than other cores; none if the kernels are on disk or are not kept.
    """
    _begun[:] = [process for process in _begun if process.poll() is None]
    kernel: Any = chain_kernels(method, dtype, _kind(features, walks))[0]
    if not compile_elsewhere() or on_disk(kernel) or kernel.overloads or not hasattr(kernel._cache, "_cache_file"):
        return
    if getattr(sys, "frozen", False) or "python" not in os.path.basename(sys.executable or ""):
        return
    parts = ("chain",) if walks or features >= WIDE else ("chain", "meet")
    for part in parts[: thread_count() - 1]:
        command = [sys.executable, "-I", "-c", PROGRAM, part, method.name, f"{dtype.name} {features} {walks:d}"]
        with suppress(OSError):
            _begun.append(
                Popen(
                    [*command, *(os.path.abspath(folder) for folder in sys.path if folder)],
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    env={**os.environ, "GPUCLUST_COMPILE": "always", "GPUCLUST_NUM_THREADS": "1"},
                )
            )


def _kind(features: int, walks: bool) -> str:
    """How the chain will search, mostly."""
    return WALK if walks else STORED if features >= WIDE else ROW


def main(part: str, method: str, kind: str) -> None:
    """Compile one part."""
    from gpuclust.core.preparation import prepare
    from gpuclust.kernels.cpu.clusters import screen_pairs, summaries
    from gpuclust.kernels.cpu.clusters.summary_kernels import Rows
    from gpuclust.kernels.cpu.space.boxes import LEAF, Leaves
    from gpuclust.kernels.cpu.space.screen import screen

    class Unsearched(summaries.Summaries):
        """Clusters whose lists stay empty."""

        def _search(self, ids: np.ndarray, rows: np.ndarray) -> None:
            pass

    rule = METHODS[method]
    dtype, features, walks = kind.split()
    n = 4 * LEAF
    size, ids = np.ones(n, dtype), np.arange(n)
    points = prepare(np.random.default_rng(0).normal(size=(n, int(features))), "sqeuclidean", dtype=dtype)
    if part == "chain":  # the longest: before what this process and the parent's need both
        centers = np.ascontiguousarray(points.features.T)
        empty = np.full((n, 1), -1, np.int32), np.full((n, 1), np.inf, dtype), np.zeros(n, dtype)
        rows = Rows(centers, np.zeros_like(centers), size.copy(), np.zeros(n, dtype), ids.copy(), *empty)
        boxes = Leaves(n, LEAF).boxes(centers, size, rows.scatter, LEAF) if walks == "1" else None
        squares = squares_of(centers, rows.low) if _kind(int(features), walks == "1") == STORED else None
        Chain(rule, rows, ids.copy(), boxes, squares).merge(n, n // 2)
    clusters = Unsearched(points, rule, size)
    clusters.walks = walks == "1"
    if part == "meet":
        centers, scatter = clusters.centers, clusters.scatter
        own = centers, clusters.low, clusters.size, scatter, ids, clusters.near, clusters.held, clusters.limit
        lists = Rows(*own)
        tree = clusters.leaves.boxes(centers, clusters.size, scatter, LEAF)
        screen_pairs.compare_all(rule, lists, screen(tree, rule.scatter is not None), size[0])
        return
    clusters.merge(rule, ids, np.full(n, -1), np.zeros(n, dtype), size, size, ids)
