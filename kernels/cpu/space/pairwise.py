"""Rows of distances on the CPU, the inner loop of the other CPU kernels, and whole distance matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, jitable, named, ranges, run, uncounted
from gpuclust.core.points import Finish, Metric, Points, Step
from gpuclust.kernels.cpu.space import simd as simd  # has the popcount of the table


def row_kernel(metric: Metric, weighted: bool) -> Callable[..., None]:
    """The function ``row(F, sF, i, G, sG, j0, j1, w, p, out, scratch)`` of a metric, to be called in compiled code.

    It writes the distances of point i of F to the points j0..j1-1 of G into ``out[: j1 - j0]``. F (m, nF) and G
    (m, nG) are features, sF and sG summaries, p the scalar of `gpuclust.core.points.Points`, all of one dtype, out
    too; features may also be 64-bit words (`Metric.words`). w holds the m feature weights; with ``weighted=False``
    it is not read and any array will do. ``scratch`` needs j1 - j0 entries. Blocks of 128 to 1024 points keep both in
    the first-level cache.
    """
    return _row(metric.step, metric.finish, metric.two_sums, weighted)


@cache
def _row(step: Step, finish: Finish, two_sums: bool, weighted: bool) -> Callable[..., None]:
    step, finish = jitable(step), jitable(finish)

    if weighted:

        @uncounted
        @named(weighted)
        def weight(w: Any, k: Any, one: Any) -> Any:
            return w[k]
    else:

        @uncounted
        @named(weighted)
        def weight(w: Any, k: Any, one: Any) -> Any:
            return one  # a literal: the multiplication is compiled away

    if two_sums:

        @uncounted
        @named(two_sums)
        def load(out: Any, scratch: Any, j: Any, zero: Any, first: Any) -> Any:
            return zero if first else out[j], zero if first else scratch[j]

        @uncounted
        @named(two_sums)
        def store(scratch: Any, j: Any, b: Any) -> None:
            scratch[j] = b
    else:

        @uncounted
        @named(two_sums)
        def load(out: Any, scratch: Any, j: Any, zero: Any, first: Any) -> Any:
            return zero if first else out[j], zero

        @uncounted
        @named(two_sums)
        def store(scratch: Any, j: Any, b: Any) -> None:
            pass

    @uncounted
    @named(step.__name__, finish.__name__, two_sums, weighted)
    def row(
        F: Any, sF: Any, i: Any, G: Any, sG: Any, j0: Any, j1: Any, w: Any, p: Any, out: Any, scratch: Any
    ) -> None:
        # Vectorised over points, so each sum runs in the order of features. Four features a pass: the sums are
        # loaded and stored once for four, not loaded in the first pass, and finished in the last one. Rows are
        # sliced first: indices from a plain range are then known not to be negative.
        m = F.shape[0]
        length = j1 - j0
        zero = sF.dtype.type(0)
        one = sF.dtype.type(1)
        sx = sF[i]
        sy = sG[j0:j1]
        k = 0
        while k + 4 <= m:
            first = k == 0
            last = k + 4 == m
            x0, x1, x2, x3 = F[k, i], F[k + 1, i], F[k + 2, i], F[k + 3, i]
            w0, w1, w2, w3 = weight(w, k, one), weight(w, k + 1, one), weight(w, k + 2, one), weight(w, k + 3, one)
            y0, y1, y2, y3 = G[k, j0:j1], G[k + 1, j0:j1], G[k + 2, j0:j1], G[k + 3, j0:j1]
            for j in range(length):
                a, b = load(out, scratch, j, zero, first)
                a, b = step(a, b, x0, y0[j], w0, p)
                a, b = step(a, b, x1, y1[j], w1, p)
                a, b = step(a, b, x2, y2[j], w2, p)
                a, b = step(a, b, x3, y3[j], w3, p)
                out[j] = finish(a, b, sx, sy[j], p) if last else a
                store(scratch, j, b)
            k += 4
        while k < m:
            first = k == 0
            last = k + 1 == m
            x0, w0, y0 = F[k, i], weight(w, k, one), G[k, j0:j1]
            for j in range(length):
                a, b = load(out, scratch, j, zero, first)
                a, b = step(a, b, x0, y0[j], w0, p)
                out[j] = finish(a, b, sx, sy[j], p) if last else a
                store(scratch, j, b)
            k += 1
        if m == 0:
            for j in range(length):
                out[j] = finish(zero, zero, sx, sy[j], p)

    return row


def exact_sums(metric: Metric, weighted: bool) -> Callable[..., None] | None:
    """The function of `simd` that makes the sums of a metric for a block of pairs, with the bits of `row_kernel`."""
    by_step = {"sqeuclidean": simd.exact_squares, "cosine": simd.exact_products}
    for name, sums in by_step.items():
        if metric.step is metrics.METRICS[name].step and not weighted:
            return sums
    return None


def pairwise(A: Points, B: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of every point of A to every point of B, (nA, nB), of their dtype; O(nA nB m) on all threads."""
    if out is None:
        out = np.empty((A.n, B.n), A.dtype)
    _fill(A, B, False, out.reshape(-1))
    return out


def condensed(points: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of all pairs of points, in condensed order, (n (n - 1) / 2,); O(n² m) on all threads."""
    n = points.n
    if out is None:
        out = np.empty(n * (n - 1) // 2, points.dtype)
    _fill(points, points, True, out)
    return out


def _fill(A: Points, B: Points, triangle: bool, flat: np.ndarray) -> None:
    """Write all pairs (or those with i < j) into ``flat``, cut into pieces of well below a second each."""
    m = max(len(A.features), 1)
    kernel = _tile_kernel(A.metric, A.weights is not None, A.dtype)
    weights = np.empty(0, A.dtype) if A.weights is None else A.weights
    fixed = (A.features, A.summary, B.features, B.summary, weights, A.p, triangle, flat)
    if A.n * B.n * m <= _SMALL:
        kernel(*fixed, 0, A.n, 0, B.n)
        return
    pairs = affordable(A.metric, m)
    rows = min(max(pairs // _BLOCK, 1), _ROWS)
    columns = max(pairs // rows // _BLOCK, 1) * _BLOCK
    pieces = [
        (i0, i1, j0, j1)
        for i0, i1 in ranges(A.n, rows)
        for j0, j1 in ranges(B.n, columns)
        if not triangle or j1 > i0 + 1
    ]
    run(lambda *piece: kernel(*fixed, *piece), pieces)


def affordable(metric: Metric, m: int) -> int:
    """Pairs of points whose distances are computed in some 0.1 s: what one piece of work should be at most."""
    return max(1, (_PIECE >> 5 if metric.heavy else _PIECE) // max(m, 1))


def rows_a_piece(metric: Metric, m: int, n: int, most: int) -> int:
    """Rows compared with ``n`` points by one piece of work: ``most``, or fewer where that would take long.

    Rows share the reads of the points, so for a cheap metric it is at least eight.
    """
    return max(1 if metric.heavy else 8, min(most, affordable(metric, m) // n))


_BLOCK = 512  # points whose distances to one point are computed together: 4 KiB of sums
_ROWS = 64  # points a block of others is compared with while it is in cache
_SMALL = 1 << 22  # features of pairs not worth a second thread, about a millisecond: it may have to wait for a core
_PIECE = 1 << 28  # features of pairs in one call, about 0.1 s


def _tile_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., None]:
    return _tile(row_kernel(metric, weighted), dtype)


@cache
def _tile(row: Callable[..., None], dtype: np.dtype) -> Callable[..., None]:
    stamp = jit.stamp(metrics)

    @compiled
    @named(row.__name__, dtype)
    def tile(
        F: Any, sF: Any, G: Any, sG: Any, w: Any, p: Any, triangle: Any, flat: Any, i0: Any, i1: Any, j0: Any, j1: Any
    ) -> None:
        stamp  # noqa: B018 (captured: see jit.stamp)
        n = G.shape[1]
        scratch = np.empty(_BLOCK, sF.dtype)
        for start in range(j0, j1, _BLOCK):
            stop = min(start + _BLOCK, j1)
            for i in range(i0, i1):
                if triangle:
                    first = max(start, i + 1)
                    at = i * n - i * (i + 1) // 2 - i - 1
                else:
                    first = start
                    at = i * n
                if first < stop:
                    row(F, sF, i, G, sG, first, stop, w, p, flat[at + first : at + stop], scratch)

    return tile
