"""Duplicate points: equal in every feature after preparation."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.devices import array_module
from gpuclust.core.jit import aside
from gpuclust.core.observations import to_host
from gpuclust.core.points import Points, on_arrays

#: Features by which most points differ already.
FEW = 4


def groups(points: Points) -> np.ndarray:
    """The number of each point's group of duplicates, 0, 1, ...; not every duplicate need be found."""
    n = points.n
    if points.metric.signed:
        return np.arange(n)
    features = points.features
    rows = np.random.default_rng(0).integers(2**63, size=len(features) + 1, dtype=np.uint64) | np.uint64(1)
    if len(features) > 2 * FEW and _distinct(to_host(_key(features[:FEW], rows[:FEW]))):
        return np.arange(n)
    key = to_host(_key(features, rows[1:])) + _key(points.summary[None], rows[:1])
    if _distinct(key):
        return np.arange(n)
    order = aside(lambda: np.argsort(key, kind="stable"))
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    one, other = order[same], order[same + 1]
    copies, others = points.at(one), points.at(other)  # only these are copied from a device
    itself = to_host(copies.features)
    equal = (itself == to_host(others.features)).all(axis=0) & (copies.summary == others.summary)
    equal &= _to_itself(points, itself, copies.summary) == 0
    begins = np.ones(n, bool)
    begins[same[equal] + 1] = False
    first = order[begins]  # of each group the smallest index, as the sort was stable
    number: np.ndarray = np.zeros(n, np.int64)
    number[first] = 1
    number = np.cumsum(number) - 1
    group = np.empty(n, np.int64)
    group[order] = number[first[np.cumsum(begins) - 1]]
    return group


def _distinct(key: np.ndarray) -> bool:
    """Whether no two numbers are equal; NumPy sorts numbers many times faster than it sorts their places stably."""
    in_order = aside(lambda: np.sort(key))
    return not (in_order[1:] == in_order[:-1]).any()


def _key(features: Any, multipliers: np.ndarray) -> Any:
    """A hash of each point, computed where the features are."""
    array = array_module(features)
    bits = np.uint64 if features.dtype.itemsize == 8 else np.uint32
    key = array.zeros(features.shape[1], np.uint64)
    for values, multiplier in zip(features, multipliers, strict=True):
        part = array.ascontiguousarray(values + values.dtype.type(0)).view(bits).astype(np.uint64)  # -0.0 is 0.0
        part ^= part >> np.uint64(29)
        part *= multiplier
        part ^= part >> np.uint64(32)
        key += part * multiplier
    return key


def _to_itself(points: Points, features: np.ndarray, summary: np.ndarray) -> np.ndarray:
    """The dissimilarity of points to copies of themselves, which is not zero for some metrics."""
    step, finish = on_arrays(points.metric.step), on_arrays(points.metric.finish)
    dtype = points.dtype
    a = b = np.zeros(features.shape[1], dtype)
    with np.errstate(all="ignore"):
        for k, values in enumerate(features):
            weight = dtype.type(1) if points.weights is None else to_host(points.weights)[k]
            a, b = step(a, b, values, values, weight, points.p)
        return np.asarray(finish(a, b, summary, summary, points.p))
