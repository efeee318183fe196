"""Compiling in other processes what a job will need later, while this one compiles what it needs first.

Numba compiles one function at a time in a process, and most of its work is Python. So with an empty cache a job of
ward linkage begins processes of its own that compile the nearest-neighbour chain and the comparison of boxes, keep
them on disk, and end. `gpuclust.core.compiling.in_turn` has this process wait for what is being compiled there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core import compilers
from gpuclust.core.disk_cache import on_disk
from gpuclust.core.first_call import compile_elsewhere
from gpuclust.core.methods import METHODS, Method
from gpuclust.core.sizes import SPARE, WIDE
from gpuclust.kernels.cpu.clusters.stored_squares import squares_of
from gpuclust.kernels.cpu.clusters.summary_chain import ROW, STORED, WALK, Chain, chain_kernels


def begin(method: Method, dtype: np.dtype, features: int, walks: bool) -> None:
    """Begin processes that compile what matrix-free clusters need after their first search has begun.

    There are no more of them than other cores; none if the kernels are on disk or are not kept.
    """
    kernel: Any = chain_kernels(method, dtype, _kind(features, walks))[0]
    if not compile_elsewhere() or on_disk(kernel) or kernel.overloads or not hasattr(kernel._cache, "_cache_file"):
        return
    parts = ("chain",) if walks or features >= WIDE else ("chain", "meet")
    for part in parts[: compilers.possible()]:
        compilers.begin(__name__, part, method.name, dtype.name, features, walks)


def _kind(features: int, walks: bool) -> str:
    """How the chain will search, mostly."""
    return WALK if walks else STORED if features >= WIDE else ROW


def main(part: str, method: str, dtype: str, features: int, walks: bool) -> None:
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
    n = 4 * LEAF
    size, ids = np.ones(n, dtype), np.arange(n)
    points = prepare(np.random.default_rng(0).normal(size=(n, features)), "sqeuclidean", dtype=dtype)
    if part == "chain":  # the longest: before what this process and the parent's need both
        centers = np.ascontiguousarray(points.features.T)
        empty = np.full((n, 1), -1, np.int32), np.full((n, 1), np.inf, dtype), np.zeros(n, dtype)
        rows = Rows(centers, np.zeros_like(centers), size.copy(), np.zeros(n, dtype), ids.copy(), *empty)
        boxes = Leaves(n, LEAF).boxes(centers, size, rows.scatter, LEAF) if walks else None
        squares = squares_of(centers, rows.low, n + n // SPARE) if _kind(features, walks) == STORED else None
        Chain(rule, rows, ids.copy(), boxes, squares).merge(n, n // 2)
    clusters = Unsearched(points, rule, size)
    clusters.walks = walks
    if part == "meet":
        centers, scatter = clusters.centers, clusters.scatter
        own = centers, clusters.low, clusters.size, scatter, ids, clusters.near, clusters.held, clusters.limit
        lists = Rows(*own)
        tree = clusters.leaves.boxes(centers, clusters.size, scatter, LEAF)
        screen_pairs.compare_all(rule, lists, screen(tree, rule.scatter is not None), size[0])
        return
    clusters.merge(rule, ids, np.full(n, -1), np.zeros(n, dtype), size, size, ids)
