"""Points prepared for the kernels: scaled, transformed as their metric needs it, and laid out feature by feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

import numpy as np

from gpuclust.core import bits, blocks, metric_rows, metrics
from gpuclust.core.devices import array_module, is_device_array
from gpuclust.core.frames import Frame, Span, coded, framed, room_for, row_room, times_power
from gpuclust.core.points import (
    Array,
    Metric,
    Parameters,
    Points,
    Prepared,
    check_points,
    check_weights,
    on_arrays,
)
from gpuclust.core.real_arrays import real_array, to_host


def _as_they_are(X: Array, given: Parameters) -> Prepared:
    return X, given.w, 1.0


def prepare(
    X: Any,
    metric: str | Metric,
    *,
    dtype: Any = "float64",
    p: float | None = None,
    w: Any = None,
    V: Any = None,
    VI: Any = None,
    packed: int | None = None,
    power: int = 1,
) -> Points:
    """Prepare points for the kernels of a metric.

    They are translated and scaled first where that keeps digits (`gpuclust.core.frames`); `unscaled` removes the
    scale from distances.

    Parameters
    ----------
    X : array_like of shape (n, m), real numbers or booleans
        On a device only where the metric `keeps_points`.
    metric : str or Metric
    dtype : {"float64", "float32"}
        Type in which distances are computed. Means, norms and factorisations are always computed in float64.
    p, w, V, VI : optional
        Minkowski's exponent, (m,) feature weights, (m,) variances, (m, m) inverse covariance: where the metric takes
        them. V and VI default to those of the points.
    packed : int, optional
        Number of features, where the rows of X are packed bits (`gpuclust.core.bits`), for a metric that counts them.
    power : int
        Power of the distances that must not overflow: their squares, if 2.

    Returns
    -------
    Points

    Raises
    ------
    ValueError
        For a shape, type, weight or exponent that cannot be used.
    TypeError
        For a parameter that the metric does not take.
    """
    X = check_points(X)
    if p is None and w is None and V is None and VI is None and packed is None:
        few = _few(X, metrics.simplest(metrics.named(metric), None), dtype, power)
        if few is not None:
            return few
    return _prepare((X,), metric, dtype, {"p": p, "w": w, "V": V, "VI": VI}, power, packed)[0]


def bits_form(metric: Metric, X: Any, *, w: Any = None, packed: int | None = None, **others: Any) -> Metric | None:
    """The form of a metric for packed bits, if these points and arguments allow it; see `prepare`.

    Raises
    ------
    TypeError, ValueError
        If ``packed`` is given, and the metric does not count features, or the points are not so many packed bits.
    """
    if packed is not None:
        if metric.bits is None:
            known = ", ".join(name for name, each in metrics.METRICS.items() if each.bits is not None)
            raise TypeError(f"metric {metric.name!r} takes no packed bits; those that do: {known}.")
        if w is not None:
            raise TypeError("w needs single features: numpy.unpackbits(X, axis=1, count=packed).")
        bits.check_packed(X, packed)
        return metric.bits
    if w is not None or metric.bits is None:
        return None
    known_to_be = metric.boolean or (isinstance(X, np.ndarray) and bits.binary(X))
    return metric.bits if known_to_be else None


def unscaled(distances: Any, exponent: int) -> Any:
    """Distances of the original points, from those of prepared points (`Points.exponent`); in place."""
    if not exponent:
        return distances
    with np.errstate(over="ignore", under="ignore"):
        return times_power(distances, -exponent)


def refuse_undefined(points: Points) -> None:
    """Raise a ``ValueError`` that names the first row for which the metric is not defined, if there is one."""
    if points.metric.undefined is not None:
        _refuse_rows(points.metric, points.summary == points.metric.undefined[1])


def _refuse_rows(metric: Metric, wrong: Array) -> None:
    count = int(np.count_nonzero(wrong))
    if count and metric.undefined is not None:
        others = f", nor that of {count - 1:,} more such rows" if count > 1 else ""
        raise ValueError(
            f"Row {int(np.argmax(wrong))} is {metric.undefined[0]}: its {metric.name} distance is not "
            f"defined{others}. Leave such rows out."
        )


def keeps_points(
    metric: str | Metric, p: float | None = None, w: Any = None, packed: int | None = None, **others: Any
) -> bool:
    """Whether `prepare` processes points on their device: if it only translates, scales and transposes them.

    Sums over points or features are computed on the host, with the same bits for every backend.
    """
    asked = metrics.simplest(metrics.named(metric), p)
    if w is not None:
        asked = asked.weighted_form or asked
    keeping = (None, metric_rows.with_exponent, metric_rows.with_total_weight)
    return asked.prepare in keeping and asked.summary is None and not asked.boolean and packed is None


def prepare_squares(X: Any, metric: str, *, dtype: Any = "float64", w: Any = None) -> Points:
    """Points whose squared Euclidean distances are the distances of the metric, one that is `Metric.squared`.

    A cosine distance is half of the squared distance of two points on the unit sphere; a correlation distance that of
    centred ones. See `prepare` for parameters and errors; rows for which the metric is not defined are refused, too.
    """
    found = metrics.named(metric)
    squares, frame, exponent = metrics.METRICS["sqeuclidean"], Frame(), 0
    if found is squares and w is None:
        return prepare(X, found, dtype=dtype)
    X, work = check_points(X), np.dtype(dtype)
    given = Parameters(w=None if w is None else check_weights(w, X.shape[1]), room=row_room(work))
    if found is squares:
        _, frame, exponent = framed(squares, (X,), work, {"w": given.w}, 1)

    def ready(rows: Array) -> Prepared:
        rows = (found.prepare or _as_they_are)(frame(rows), given)[0].astype(np.float64, copy=False)
        if given.w is not None:
            rows = rows * np.sqrt(given.w)
        if found is not squares:  # a point at the origin has no direction: NaN
            rows = rows / np.sqrt(2 * (rows * rows).sum(axis=1, keepdims=True))
        return rows, None, 1.0

    points = _laid_out(X, squares, work, ready, exponent)
    if found.undefined is not None:
        _refuse_rows(found, np.isnan(points.features[0]))
    return points


def prepare_pair(
    XA: Any,
    XB: Any,
    metric: str | Metric,
    *,
    dtype: Any = "float64",
    p: float | None = None,
    w: Any = None,
    V: Any = None,
    VI: Any = None,
    packed: int | None = None,
) -> tuple[Points, Points]:
    """Prepare two sets of points together: V and VI default to those of all points. See `prepare`."""
    XA, XB = check_points(XA, "XA"), check_points(XB, "XB")
    if XA.shape[1] != XB.shape[1]:
        raise ValueError(
            "XA and XB must have the same number of columns (i.e. feature dimension), "
            f"got {XA.shape[1]} and {XB.shape[1]}."
        )
    values = {"p": p, "w": w, "V": V, "VI": VI}
    if not {"V", "VI"} & set(metrics.named(metric).parameters):  # they share only the frame
        a, b = _prepare((XA, XB), metric, dtype, values, packed=packed)
        return a, b
    both = _prepare((np.concatenate((XA, XB)),), metric, dtype, values)[0]
    halves = [
        replace(both, features=np.ascontiguousarray(both.features[:, half]), summary=both.summary[half])
        for half in (slice(len(XA)), slice(len(XA), None))
    ]
    return halves[0], halves[1]


def by_order(points: Points) -> tuple[Points, Callable[[Array], Array]]:
    """Points for the metric by which pairs are ordered, and the function from its values to distances."""
    metric, p = points.metric, points.p
    if metric.monotone_of is None:
        return points, lambda sums: sums
    zero = points.dtype.type(0)
    return replace(points, metric=metrics.ordering(metric)), lambda sums: on_arrays(metric.finish)(
        sums, zero, zero, zero, p
    )


def complete(metric: Metric, X: Array, values: Mapping[str, Any], frame: Frame | None = None) -> dict[str, Any]:
    """``values`` without those that are None, and with the V or VI of the points ``X`` where the metric needs one.

    In the coordinates of a ``frame``, if one is given.

    Raises
    ------
    ValueError
        If there are too few points for a covariance matrix that can be inverted.
    numpy.linalg.LinAlgError
        If it cannot be inverted for another reason.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if "V" in metric.parameters and "V" not in given:
        given["V"] = blocks.variance(X, frame)
    if "VI" in metric.parameters and "VI" not in given:
        n, m = X.shape
        if n <= m:
            raise ValueError(
                f"The number of observations ({n}) is too small; the covariance matrix is singular. For observations "
                f"with {m} dimensions, at least {m + 1} observations are required."
            )
        given["VI"] = np.linalg.inv(blocks.covariance(X, frame)).T
    return given


def _prepare(
    sets: Sequence[Array],
    metric: str | Metric,
    dtype: Any,
    values: dict[str, Any],
    power: int = 1,
    packed: int | None = None,
) -> list[Points]:
    """Prepare sets of points in a common frame."""
    work, m = np.dtype(dtype), sets[0].shape[1]
    if work not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")
    taken = metrics.named(metric)
    for name, value in values.items():
        if value is not None and name not in taken.parameters:
            raise TypeError(f"metric {taken.name!r} takes no parameter {name!r}.")
    asked = metrics.simplest(taken, values["p"])
    forms = [bits_form(asked, X, w=values["w"], packed=packed) for X in sets]
    if forms[0] is not None and all(forms):
        return [_of_words(X, forms[0], work, packed) for X in sets]
    given = {name: value for name, value in values.items() if value is not None}
    if "w" in given:
        given["w"] = check_weights(given["w"], m)
        asked = asked.weighted_form or asked
    for name, least in (("V", 1), ("VI", 2)):
        if name in given:
            given[name] = np.array(to_host(real_array(given[name], name)), dtype=np.float64, ndmin=least)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        asked, frame, exponent = framed(asked, sets, work, given, power)
        if asked.equality:
            sets = coded(sets, work)
    if asked.by_feature:
        used = frame if frame.scales else None  # otherwise the bits are those of the points as they are
        given = complete(taken, sets[0], given, used)
        if "VI" in given:
            given["VI"] = np.atleast_2d(np.asarray(given["VI"], dtype=np.float64))
            given["centre"] = blocks.mean(sets[0], finite=True, frame=frame)
    if len(sets) == 1 and not given and _as_it_is(sets[0], asked, frame):
        n = len(sets[0])
        return [Points(asked, np.array(sets[0].T, work, order="C"), np.zeros(n, work), None, work.type(1), exponent)]
    parameters, ready = Parameters(**given, room=row_room(work)), asked.prepare or _as_they_are

    def rows_ready(rows: Array) -> Prepared:
        return ready(rows != 0 if asked.boolean else frame(rows), parameters)

    return [_laid_out(X, asked, work, rows_ready, exponent) for X in sets]


def _few(X: Array, metric: Metric, dtype: Any, power: int) -> Points | None:
    """Prepared points of a small job, if they need only be transposed; otherwise None."""
    if not (_plain(metric) and type(X) is np.ndarray and X.dtype == np.float64 and _is_float64(dtype)):
        return None
    n, m = X.shape
    if not 0 < X.size <= blocks.NUMBERS:
        return None
    sizes = np.abs(X)
    least, most = float(np.minimum.reduce(sizes, axis=None)), float(np.maximum.reduce(sizes, axis=None))
    room = room_for(2 if metric.squares else 1, _FLOAT64, n, m, power=power)
    if not room.spans(least, most):
        if not least > 0:
            least = float(np.minimum.reduce(sizes, axis=None, where=sizes > 0, initial=inf))
        if not (most < inf and room.exponent(Span(least, most)) == 0):
            return None
    return Points(metric, np.array(X.T, order="C"), np.zeros(n), None, _ONE)


def _is_float64(dtype: Any) -> bool:
    return dtype == "float64" if isinstance(dtype, str) else bool(np.dtype(dtype) == np.float64)


_FLOAT64, _ONE = np.dtype(np.float64), np.float64(1)


@cache
def _plain(metric: Metric) -> bool:
    """Whether float64 points are taken as they are, if their numbers are neither very small nor very large."""
    special = metric.boolean or metric.equality or metric.by_feature or metric.bits or metric.wide_form
    return not special and metric.degree is not None and metric.prepare is None and metric.summary is None


def _of_words(X: Array, metric: Metric, work: np.dtype, packed: int | None) -> Points:
    """Points of packed bits, from features or from such bits, block by block; their summaries are counts of ones."""
    n, m = len(X), X.shape[1] if packed is None else packed
    features, ones = np.empty((bits.words_of(m), n), np.uint64), np.zeros(n, work)
    for part in blocks.row_blocks(n, m):
        words = bits.rows_of_words(to_host(X[part]), packed is not None)
        blocks.put(features, part, words)
        ones[part] = bits.popcount(words).sum(axis=1, dtype=np.int64)
    return Points(metric, features, ones, None, work.type(m))


def _as_it_is(X: Array, metric: Metric, frame: Frame) -> bool:
    """Whether points are few, and only have to be transposed."""
    plain = metric.prepare is None and metric.summary is None and not metric.boolean
    return plain and not frame and 0 < X.size <= blocks.NUMBERS and isinstance(X, np.ndarray)


def _laid_out(
    X: Array, metric: Metric, work: np.dtype, ready: Callable[[Array], Prepared], exponent: int = 0
) -> Points:
    """Points from rows, transformed by ``ready``, block by block."""
    (n, m), weights, scalar = X.shape, None, 1.0
    coordinates = metric.coordinates or m
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a NaN in, or 0/0: a NaN out, as in SciPy
        if is_device_array(X):
            features, summary = array_module(X).empty((m, n), work), np.zeros(n, work)
            for part in blocks.row_blocks(n, m, blocks.ON_DEVICE):
                rows, weights, scalar = ready(X[part])
                features[:, part] = array_module(rows).asarray(rows.T, dtype=work)
        else:
            features, summary = np.empty((coordinates, n), work), np.zeros(n, work)
            for part in blocks.row_blocks(n, m):
                rows, weights, scalar = ready(X[part])
                if metric.summary is None:
                    blocks.put(features, part, rows)
                else:
                    precise = np.array(rows.T, dtype=np.float64, order="C")
                    summary[part] = metric.summary(precise, weights)
                    features[:, part] = precise
        weights = None if weights is None else weights.astype(work, copy=False)
    if metric.prepared_as is not None:
        metric = metrics.METRICS[metric.prepared_as]
    return Points(metric, features, summary, weights, work.type(scalar), exponent)


def table_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """``kwargs``, or a ``TypeError`` for what no metric of the table takes."""
    for name in kwargs:
        if name not in ("p", "w", "V", "VI", "packed"):
            raise TypeError(f"unknown parameter {name!r}: metrics take p, w, V, VI or packed.")
    return kwargs


def for_function(
    function: Callable[..., float], kwargs: dict[str, Any], *sets: Array
) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Points and keyword arguments for a Python function of two points.

    A function with the name of a metric (SciPy's ``seuclidean``, say) gets what that metric would: booleans or
    float64, and the V or VI of the points.
    """
    given = {name: value for name, value in kwargs.items() if value is not None}
    metric = metrics.BY_ALIAS.get(getattr(function, "__name__", ""))
    if metric is None:
        return sets, given
    sets = tuple(np.ascontiguousarray(X, bool if metric.boolean else np.float64) for X in sets)
    return sets, complete(metric, np.concatenate(sets), given)
