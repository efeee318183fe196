"""Points of every form for which kernels are compiled for CUDA: metric, weights, type."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from conftest import points_for

from gpuclust.core import metrics, preparation
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import scalar

FORMS = {
    f"{metric.name}{'-weighted' * weighted}-{dtype}": (metric, weighted, dtype)
    for metric, weighted, dtype in scalar.forms()
}


def prepared(metric: Metric, weighted: bool, dtype: np.dtype, n: int, m: int, defined: bool = False) -> Points:
    """Points of a form of the table, two of them equal; ``defined``: no distance is NaN."""
    wide = metric in metrics.WIDE_FORMS  # of a metric where its sums would overflow
    words = metric in metrics.BIT_FORMS
    name = "minkowski" if wide else metric.name.removesuffix("bits") if words else metric.name
    X = points_for(name, n, 64 * m - 3 if words else m, seed=n + m)
    X[n // 2] = X[0]
    if metric.name == "seuclidean":
        return preparation.prepare(X, metric.name, dtype=dtype, V=np.linspace(0.5, 2, m))
    if metric.name == "mahalanobis":  # weights are the signs of an indefinite form
        if defined and weighted:
            X[:, 1::3] *= 1e-3  # where the form is negative
        VI = np.diag(np.where(np.arange(m) % 3 == 1, -0.1, 1) if weighted else np.linspace(0.5, 2, m))
        return preparation.prepare(X, metric.name, dtype=dtype, VI=VI)
    if name in ("dice", "hamming") and not words:
        X = X + 1.0  # numbers, not booleans
    w = np.linspace(0.5 if defined else 0, 2, m) if weighted and m > 1 else np.ones(m) if weighted else None
    if wide:
        return replace(preparation.prepare(X, "minkowski", dtype=dtype, p=3.5, w=w), metric=metric)
    p = 3.5 if metric.name == "minkowski" else None
    return preparation.prepare(X, name, dtype=dtype, p=p, w=w)
