"""Reference: distances by the metric table."""

from __future__ import annotations

import numpy as np

from gpuclust.core.points import Points, on_arrays


def pairwise(A: Points, B: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of every point of A to every point of B, (nA, nB), of their dtype; O(nA nB m)."""
    step, finish = on_arrays(A.metric.step), on_arrays(A.metric.finish)
    dtype = A.dtype
    a = np.zeros((A.n, B.n), dtype)
    b = np.zeros((A.n, B.n), dtype)
    with np.errstate(all="ignore"):  # distances may be NaN or infinite
        for k in range(len(A.features)):
            weight = dtype.type(1) if A.weights is None else A.weights[k]
            a, b = step(a, b, A.features[k][:, None], B.features[k][None, :], weight, A.p)
        distances = finish(a, b, A.summary[:, None], B.summary[None, :], A.p)
    if out is None:
        out = np.empty((A.n, B.n), dtype)
    out[...] = distances
    return out


def condensed(points: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of all pairs of points, in condensed order, (n (n - 1) / 2,); O(n² m)."""
    upper = pairwise(points, points)[np.triu_indices(points.n, 1)]
    if out is None:
        return upper
    out[...] = upper
    return out
