"""Rates that a GPU reaches at best, measured with CuPy and with kernels of ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.data import gaussian
from gpuclust.core import devices, preparation

#: Numbers of a copy, side of a matrix product, bytes of a transfer; points and rows of distances, nodes of a tree.
COPIED, SIDE, MOVED, POINTS, ROWS, NODES = (
    (2**10, 8, 2**13, 48, 16, 40) if devices.emulated() else (2**29, 8192, 2**30, 16_384, 4_096, 20_000)
)
FEATURES = (2, 8, 64, 768)


def timed(xp: Any, call: Callable[[], Any], repeats: int = 5) -> float:
    """Seconds of a call with the device's work, without the first call."""
    call()
    _wait(xp)
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    _wait(xp)
    return (time.perf_counter() - began) / repeats


def _wait(xp: Any) -> None:
    if not devices.emulated():
        xp.cuda.Device().synchronize()


def measurements() -> Iterator[tuple[str, float]]:
    """Pairs of a name with its unit, and a value."""
    from gpuclust.kernels.cuda import launch

    with launch.on_device(0):
        yield from _memory(launch.xp)
        yield from _products(launch.xp)
        yield from _launches(launch)
        yield from _distances(launch)


def _memory(xp: Any) -> Iterator[tuple[str, float]]:
    source = xp.zeros(COPIED, dtype=np.float32)
    target = xp.empty_like(source)
    yield "copy, bytes/s", 2 * source.nbytes / timed(xp, lambda: xp.copyto(target, source))
    host = np.ones(MOVED // 8)
    for name in ("first upload, bytes/s", "upload, bytes/s"):
        began = time.perf_counter()
        there = xp.array(host)
        _wait(xp)
        yield name, host.nbytes / (time.perf_counter() - began)
    began = time.perf_counter()
    there.tolist() if devices.emulated() else xp.asnumpy(there)
    yield "download, bytes/s", host.nbytes / (time.perf_counter() - began)


def _products(xp: Any) -> Iterator[tuple[str, float]]:
    for dtype in ("float16", "float32", "float64"):
        square = xp.ones((SIDE, SIDE), dtype)
        yield f"matrix product {dtype}, flop/s", 2 * SIDE**3 / timed(xp, lambda a=square: a @ a)  # type: ignore[misc]


def _launches(launch: Any) -> Iterator[tuple[str, float]]:
    from gpuclust.kernels.cuda import nearest, spanning

    values, indices = launch.empty((4, 64), np.float32), launch.full((4, 64), 0, np.int32)
    least, at = launch.full(64, 0, np.float32), launch.full(64, 0, np.int32)
    seconds = timed(
        launch.xp, lambda: nearest.fold(values, indices, 0, 64, least, at), 2 if devices.emulated() else 1000
    )
    yield "launch of a small kernel, seconds", seconds
    condensed = np.random.default_rng(0).random(NODES * (NODES - 1) // 2, dtype=np.float32)
    seconds = timed(launch.xp, lambda: spanning.spanning_tree(condensed, NODES, lambda done: None), 1)
    yield "step of a spanning tree, seconds", seconds / NODES


def _distances(launch: Any) -> Iterator[tuple[str, float]]:
    """Tiles of distances; a pair takes at least two (float64: three) instructions a feature."""
    from gpuclust.kernels.cuda import pairwise

    for dtype in ("float32", "float64"):
        for m in FEATURES:
            points = pairwise.DevicePoints(preparation.prepare(gaussian(POINTS, m), "sqeuclidean", dtype=dtype))
            out = launch.empty((ROWS, POINTS), np.dtype(dtype))
            seconds = timed(launch.xp, lambda a=points, out=out: pairwise.pairwise(a, a, 0, out))  # type: ignore[misc]
            yield f"distances {dtype}, {m} features, pairs/s", ROWS * POINTS / seconds
