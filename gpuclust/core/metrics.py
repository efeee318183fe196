"""The metric table: every dissimilarity of the library is defined here, once, and nowhere else.

A metric is two scalar functions. ``step`` adds one feature of a pair of points to one or two running sums, and
``finish`` turns the sums into the distance. The CPU kernels compile them with Numba, the CUDA kernels compile the
same two for the device, and the reference runs them on NumPy arrays. Whatever can be done once for a point instead of
once for a pair (centring, normalising, whitening, a norm or a row sum) is done by ``prepare`` on the host.

Rules for ``step`` and ``finish``, so that all three can use them and float32 stays float32: only arithmetic,
comparisons, ``abs``, ``max``, ``sqrt``, ``np.log``, ``np.minimum`` and ``np.maximum``; no branches; no literal but
the zero of a comparison (which counts as 0 or 1 in a sum); other constants arrive as ``p``. The order of the
operations is SciPy's: it decides the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np

from gpuclust.core import blocks
from gpuclust.core.arguments import real_number
from gpuclust.core.devices import array_module, is_device_array
from gpuclust.core.frames import Frame, balanced, coded, framed, row_room, times_power
from gpuclust.core.points import (
    Array,
    Finish,
    Metric,
    Parameters,
    Points,
    Prepared,
    Step,
    check_points,
    check_weights,
    on_arrays,
)
from gpuclust.core.real_arrays import real_array, to_host
from gpuclust.errors import unknown_name

Dissimilarity = Callable[..., float]


# ---------------------------------------------------------------------------------------------------- one feature


def _squared(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    d = x - y
    return a + w * (d * d), b


def _absolute(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * abs(x - y), b


def _largest(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return max(a, abs(x - y) * (w > 0)), b  # in this order a NaN is never the largest, as in SciPy


def _power(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * abs(x - y) ** p, b


def _power_of_ratio(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    d = abs(x - y) * (w > 0)
    c = max(b, d)  # the largest so far; a is the sum of powers of what is divided by it
    s = c + (c == 0)
    return a * (b / s) ** p + w * (d / s) ** p, c


def _product(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * (x * y), b


def _relative(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    s = abs(x) + abs(y)
    return a + w * abs(x - y) / (s + (s == 0)), b  # 0/0 counts as 0


def _unequal(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * (x != y), b


def _difference_and_sum(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * abs(x - y), b + w * abs(x + y)


def _unequal_and_both(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + w * (x != y), b + w * ((x != 0) & (y != 0))


def _divergence(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    s = x + y
    s = s + (s == 0)  # x log(x / ((x + y) / 2)), and 0 log 0 = 0
    return (a + x * np.log((x + x) / s + (x == 0))) + y * np.log((y + y) / s + (y == 0)), b


# --------------------------------------------------------------------------------------------- sums to a distance


def _sum(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return a


def _root(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return sqrt(a)


def _pth_root(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return a ** (p / p / p)


def _pth_root_of_ratios(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return b * a ** (p / p / p)


def _mean(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return a / p  # p: total weight


def _ratio(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return a / b


def _one_minus_cosine(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    # p: one; sx, sy: norms. minimum and maximum pass NaN (a zero vector) on.
    return p - np.maximum(np.minimum(a / (sx * sy), p), -p)


def _root_of_quarter(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    # p: 1/4. a + |a| is 2a, or 0 where rounding left a sum below 0. sx, sy: infinite for what is no distribution.
    return sqrt((a + abs(a)) * p) + (sx + sy)


# Boolean metrics. sx, sy: (weighted) number of ones; a: of ones in both, or (for those that use _absolute) of
# places that differ, from which the rest follows without cancellation.


def _dice(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return ((sx - a) + (sy - a)) / (sx + sy)


def _dice_weighted(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return a / (b + b + a)


def _jaccard(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    s = sx + sy + a
    return (a + a) / (s + (s == 0))  # two rows of zeros are equal


def _rogerstanimoto(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return (a + a) / (p + a)  # p: total weight


def _russellrao(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return (p - a) / p  # p: total weight


def _sokalsneath(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return (a + a + a + a) / (sx + sy + (a + a + a))


def _yule(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    r = (sx - a) * (sy - a)
    return (r + r) / (a * (p - sx - sy + a) + r + (r == 0))  # p: total weight


# ------------------------------------------------------------------------------------- once a point, on the host


def _as_they_are(X: Array, given: Parameters) -> Prepared:
    return X, given.w, 1.0


def _with_exponent(X: Array, given: Parameters) -> Prepared:
    return X, given.w, 2.0 if given.p is None else float(given.p)


def _with_total_weight(X: Array, given: Parameters) -> Prepared:
    return X, given.w, float(X.shape[1] if given.w is None else given.w.sum())


def _directions(X: Array, given: Parameters) -> Prepared:
    return balanced(X, given.w, given.room), given.w, 1.0


def _centred(X: Array, given: Parameters) -> Prepared:
    X = balanced(X.astype(np.float64), given.w, given.room)
    if X.shape[1]:
        used = X if given.w is None else X[:, given.w > 0]
        constant = (used.max(axis=1, initial=-inf) == used.min(axis=1, initial=inf)) if used.shape[1] else False
        X = X - (X.mean(axis=1, keepdims=True) if given.w is None else (X @ (given.w / given.w.sum()))[:, None])
        X[constant] = 0.0  # what rounding leaves of it is no direction
    return balanced(X, given.w, given.room), given.w, 1.0


def _distributions(X: Array, given: Parameters) -> Prepared:
    X = balanced(X, None, given.room)
    total = X.sum(axis=1, dtype=np.float64, keepdims=True)
    rows = X / total
    rows[((X < 0).any(axis=1, keepdims=True) | (total == 0))[:, 0]] = inf  # _flag_infinite looks for these
    return rows, None, 0.25


def _standardised(X: Array, given: Parameters) -> Prepared:
    V = np.asarray(given.V)
    if V.ndim != 1:
        raise ValueError(f"Variance vector V must be one-dimensional, got shape {V.shape}.")
    if len(V) != X.shape[1]:
        raise ValueError(
            f"Variance vector V must be of the same dimension as the points: got {len(V)} variances "
            f"for {X.shape[1]} features."
        )
    return X, 1.0 / V, 1.0  # as weights, not as scaled features: x - y stays exact


def _whitened(X: Array, given: Parameters) -> Prepared:
    """Points in coordinates where the quadratic form (x - y)' VI (x - y) is a sum of squares, weighted by 1 or -1."""
    m = X.shape[1]
    VI = np.asarray(given.VI)
    if VI.shape != (m, m):
        raise ValueError(f"Inverse covariance matrix VI must have shape {(m, m)}, got {VI.shape}.")
    if not np.isfinite(VI).all():
        return np.full(X.shape, np.nan), None, 1.0
    factor, signs = given.factor
    return (X - given.centre) @ factor, signs, 1.0  # small coordinates round less


def _row_sums(F: Array, w: Array | None) -> Array:
    return (F if w is None else F * w[:, None]).sum(axis=0)  # in the order of features, as the kernels add


def _norms(F: Array, w: Array | None) -> Array:
    return np.sqrt(_row_sums(F * F, w))


def _flag_infinite(F: Array, w: Array | None) -> Array:
    flags = np.where(np.isinf(F).any(axis=0) if len(F) else True, inf, np.zeros(F.shape[1]))
    F[:, np.isinf(flags)] = 0.0
    return flags


# ---------------------------------------------------------------------------------------------------- the table


def _counted(name: str, formula: str, step: Step, finish: Finish, *aliases: str) -> Metric:
    """A metric on booleans that counts where they are equal, where not, and of how many."""
    return Metric(
        name, step, finish, aliases, prepare=_with_total_weight, summary=_row_sums, boolean=True, formula=formula
    )


_ALL = (
    Metric(
        "braycurtis",
        _difference_and_sum,
        _ratio,
        two_sums=True,
        degree=0,
        formula="sum(w |x - y|) / sum(w |x + y|)",
    ),
    Metric(
        "canberra",
        _relative,
        _sum,
        degree=0,
        formula="sum(w |x - y| / (|x| + |y|)), 0/0 = 0",
    ),
    Metric(
        "chebyshev",
        _largest,
        _sum,
        ("chebychev", "cheby", "cheb", "ch"),
        euclidean_like=True,
        shift=True,
        degree=1,
        formula="max(|x - y| [w > 0])",
    ),
    Metric(
        "cityblock",
        _absolute,
        _sum,
        ("cblock", "cb", "c"),
        euclidean_like=True,
        shift=True,
        degree=1,
        formula="sum(w |x - y|)",
    ),
    Metric(
        "correlation",
        _product,
        _one_minus_cosine,
        ("co",),
        prepare=_centred,
        summary=_norms,
        undefined=("constant", 0.0),
        formula="1 - sum(w u v) / sqrt(sum(w u²) sum(w v²)), u = x - sum(w x) / sum(w), v = y - sum(w y) / sum(w)",
    ),
    Metric(
        "cosine",
        _product,
        _one_minus_cosine,
        ("cos",),
        prepare=_directions,
        summary=_norms,
        undefined=("a zero vector", 0.0),
        formula="1 - sum(w x y) / sqrt(sum(w x²) sum(w y²))",
    ),
    Metric(
        "dice",
        _product,
        _dice,
        summary=_row_sums,  # not only for 0 and 1: the formula is used on the numbers, as in SciPy
        signed=True,
        weighted_form=Metric("dice", _unequal_and_both, _dice_weighted, two_sums=True),
        formula="sum(w (x + y - 2 x y)) / sum(w (x + y))",
    ),
    Metric(
        "euclidean",
        _squared,
        _root,
        ("euclid", "eu", "e"),
        euclidean_like=True,
        monotone_of="sqeuclidean",
        shift=True,
        degree=1,
        squares=True,
        formula="sqrt(sum(w (x - y)²))",
    ),
    Metric(
        "hamming",
        _unequal,
        _mean,
        ("matching", "hamm", "ha", "h"),
        prepare=_with_total_weight,
        equality=True,
        formula="sum(w [x != y]) / sum(w)",
    ),
    _counted("jaccard", "sum(w [x != y]) / sum(w [x or y]), 0/0 = 0", _absolute, _jaccard, "jacc", "ja", "j"),
    Metric(
        "jensenshannon",
        _divergence,
        _root_of_quarter,
        ("js",),
        prepare=_distributions,
        summary=_flag_infinite,
        parameters=(),
        heavy=True,
        undefined=("no distribution (a number is negative, or all are zero)", inf),
        formula="sqrt(sum(u log(u / q) + v log(v / q)) / 2), u = x / sum(x), v = y / sum(y), q = (u + v) / 2",
    ),
    Metric(
        "mahalanobis",
        _squared,
        _root,
        ("mahal", "mah"),
        prepare=_whitened,
        parameters=("VI",),
        shift=True,
        degree=1,
        squares=True,
        by_feature=True,
        formula="sqrt((x - y)' VI (x - y))",
    ),
    Metric(
        "minkowski",
        _power,
        _pth_root,
        ("mi", "m", "pnorm"),
        prepare=_with_exponent,
        parameters=("p", "w"),
        euclidean_like=True,
        heavy=True,
        shift=True,
        degree=1,
        wide_form=Metric(
            "minkowskiwide",
            _power_of_ratio,
            _pth_root_of_ratios,
            prepare=_with_exponent,
            parameters=("p", "w"),
            two_sums=True,
            heavy=True,
            degree=1,
        ),
        formula="sum(w |x - y|^p)^(1/p)",
    ),
    _counted("rogerstanimoto", "2 D / (sum(w) + D), D = sum(w [x != y])", _absolute, _rogerstanimoto),
    _counted("russellrao", "(sum(w) - sum(w [x and y])) / sum(w)", _product, _russellrao),
    Metric(
        "seuclidean",
        _squared,
        _root,
        ("se", "s"),
        prepare=_standardised,
        parameters=("V",),
        euclidean_like=True,
        monotone_of="sqeuclidean",
        shift=True,
        degree=1,
        squares=True,
        by_feature=True,
        formula="sqrt(sum((x - y)² / V))",
    ),
    _counted("sokalsneath", "2 D / (sum(w [x and y]) + 2 D), D = sum(w [x != y])", _absolute, _sokalsneath),
    Metric(
        "sqeuclidean",
        _squared,
        _sum,
        ("sqe", "sqeuclid"),
        euclidean_like=True,
        shift=True,
        degree=2,
        squares=True,
        formula="sum(w (x - y)²)",
    ),
    _counted(
        "yule",
        "2 R / (sum(w [x and y]) sum(w [x = y = 0]) + R), R = sum(w [x > y]) sum(w [x < y]), 0/0 = 0",
        _product,
        _yule,
    ),
)

#: Every metric by its name.
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
#: Those that points are prepared for instead where numbers are of very different size.
WIDE_FORMS = tuple(metric.wide_form for metric in _ALL if metric.wide_form is not None)
#: The formulas as a definition list of reStructuredText: a sum is over features, x and y are those of two points.
FORMULAS = "\n\n".join(f"``{metric.name}``\n    ``{metric.formula}``" for metric in _ALL)
#: The same, and by its aliases.
BY_ALIAS: Mapping[str, Metric] = {name: metric for metric in _ALL for name in (metric.name, *metric.aliases)}

#: Names that other programs know, and what to do instead.
OTHER_NAMES: Mapping[str, str] = {
    "haversine": (
        "It is not supported yet: give condensed great-circle distances (scikit-learn's haversine_distances and "
        "gpuclust.distance.squareform), or project the coordinates onto a plane, or onto the unit sphere in space, "
        "where euclidean distances have the same order."
    ),
    "precomputed": "Give condensed distances instead of points; gpuclust.distance.squareform condenses a matrix.",
    "manhattan": "Here it is called 'cityblock'.",
    "l1": "Here it is called 'cityblock'.",
    "l2": "Here it is called 'euclidean'.",
    "pearson": "Here it is called 'correlation'.",
    "nan_euclidean": "Missing values are not supported: fill them or drop the rows.",
}


def bounded_by_boxes(metric: str) -> bool:
    """Whether a metric is one of those that kd-trees are for (`Metric.euclidean_like`)."""
    return metric in METRICS and METRICS[metric].euclidean_like


def resolve(metric: str | Metric | Dissimilarity, p: float | None = None) -> Metric | Dissimilarity:
    """The metric of a name or alias, in any case; Minkowski's with p = 1, 2, inf under their own names.

    Parameters
    ----------
    metric : str, Metric or callable
        A callable that is no metric of the table is handed back: only host code can use it.
    p : float, optional
        Minkowski's exponent.

    Raises
    ------
    ValueError
        For an unknown name (the nearest one is suggested) or an exponent that is not above zero.
    TypeError
        If ``metric`` is neither a name nor callable.
    """
    if callable(metric) and not isinstance(metric, Metric):
        return metric
    return _simplest(_named(metric), p)


def _named(metric: Any) -> Metric:
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        raise TypeError(
            f"metric must be the name of a metric, or where allowed a function of two points, got {metric!r}. "
            f"Allowed: {', '.join(METRICS)}."
        )
    if metric.lower() not in BY_ALIAS:
        raise unknown_name("metric", metric, BY_ALIAS, OTHER_NAMES.get(metric.lower(), ""))
    return BY_ALIAS[metric.lower()]


def _simplest(metric: Metric, p: float | None) -> Metric:
    """The metric that computes this one: another for some of Minkowski's exponents."""
    if metric.name != "minkowski":
        return metric
    if p is None:
        return METRICS["euclidean"]
    p = real_number(p, "p")
    if not p > 0:
        raise ValueError(f"p must be greater than 0, got {p}.")
    return METRICS[{1.0: "cityblock", 2.0: "euclidean", inf: "chebyshev"}.get(p, "minkowski")]


def prepare(
    X: Any,
    metric: str | Metric,
    *,
    dtype: Any = "float64",
    p: float | None = None,
    w: Any = None,
    V: Any = None,
    VI: Any = None,
    power: int = 1,
) -> Points:
    """Points made ready for the kernels of one metric.

    They are moved and scaled first where that keeps digits (`gpuclust.core.frames`); `unscaled` takes the scale off
    distances.

    Parameters
    ----------
    X : (n, m) array_like of real numbers or booleans
        On a device only where the metric `keeps_points`.
    metric : str or Metric
    dtype : {"float64", "float32"}
        What distances are computed in. Means, norms and factorisations are done in float64 in any case.
    p, w, V, VI : optional
        Minkowski's exponent, (m,) feature weights, (m,) variances, (m, m) inverse covariance: where the metric takes
        them. V and VI default to those of the points.
    power : int
        Of distances, in what is computed from them: their squares may have to be numbers, too.

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
    return _prepare((check_points(X),), metric, dtype, {"p": p, "w": w, "V": V, "VI": VI}, power)[0]


def unscaled(distances: Any, exponent: int) -> Any:
    """Distances of points as they were given, from those of prepared points (`Points.exponent`); in place."""
    with np.errstate(over="ignore", under="ignore"):
        return times_power(distances, -exponent) if exponent else distances


def refuse_undefined(points: Points) -> None:
    """A ``ValueError`` that names the first row for which the metric is not defined, if there is one."""
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


def keeps_points(metric: str | Metric, p: float | None = None, w: Any = None, **others: Any) -> bool:
    """Whether `prepare` takes points on a device and leaves them there: it only moves, scales, and transposes them.

    Whatever is summed over points or features is summed on the host, the same bits for every backend.
    """
    asked = _simplest(_named(metric), p)
    if w is not None:
        asked = asked.weighted_form or asked
    keeping = (None, _with_exponent, _with_total_weight)
    return asked.prepare in keeping and asked.summary is None and not asked.boolean


#: Metrics that are squared Euclidean distances of points that can be prepared: what closed forms are for.
SQUARED = ("sqeuclidean", "cosine", "correlation")


def prepare_squares(X: Any, metric: str, *, dtype: Any = "float64", w: Any = None) -> Points:
    """Points whose squared Euclidean distances are the distances of a metric of `SQUARED`.

    A cosine distance is half of the squared distance of two points on the unit sphere; a correlation distance that of
    centred ones. See `prepare` for parameters and errors; and a row for which the metric is not defined is refused.
    """
    found = _named(metric)
    if found.name == "sqeuclidean" and w is None:
        return prepare(X, found, dtype=dtype)
    X, work = check_points(X), np.dtype(dtype)
    given = Parameters(w=None if w is None else check_weights(w, X.shape[1]), room=row_room(work))
    squares, frame, exponent = METRICS["sqeuclidean"], Frame(), 0
    if found.name == "sqeuclidean":
        _, frame, exponent = framed(squares, (X,), work, {"w": given.w}, 1)

    def ready(rows: Array) -> Prepared:
        rows = (found.prepare or _as_they_are)(frame(rows), given)[0].astype(np.float64, copy=False)
        if given.w is not None:
            rows = rows * np.sqrt(given.w)
        if found.name != "sqeuclidean":  # a point at the origin has no direction: NaN
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
) -> tuple[Points, Points]:
    """Two sets of points made ready together: V and VI default to those of all points. See `prepare`."""
    XA, XB = check_points(XA, "XA"), check_points(XB, "XB")
    if XA.shape[1] != XB.shape[1]:
        raise ValueError(
            "XA and XB must have the same number of columns (i.e. feature dimension), "
            f"got {XA.shape[1]} and {XB.shape[1]}."
        )
    values = {"p": p, "w": w, "V": V, "VI": VI}
    if not {"V", "VI"} & set(_named(metric).parameters):  # nothing but a frame that both must share
        a, b = _prepare((XA, XB), metric, dtype, values)
        return a, b
    both = _prepare((np.concatenate((XA, XB)),), metric, dtype, values)[0]
    halves = [
        replace(both, features=np.ascontiguousarray(both.features[:, half]), summary=both.summary[half])
        for half in (slice(len(XA)), slice(len(XA), None))
    ]
    return halves[0], halves[1]


def ordering(metric: Metric) -> Metric:
    """The cheapest metric that orders pairs as this one does.

    A root is a monotone function: comparing what it is taken of gives the same order, and tells more pairs apart.
    """
    return metric if metric.monotone_of is None else METRICS[metric.monotone_of]


def is_convex(name: str) -> bool:
    """Whether the distance of two points is a convex function of their difference that rises with each feature.

    Then the largest and the mean over pairs of points of two clusters are no less than the distance of their centres.
    Minkowski's is convex only for exponents from one on, and is not counted.
    """
    return name in METRICS and METRICS[name].euclidean_like and name != "minkowski"


def is_heavy(name: str) -> bool:
    """Whether a distance takes a logarithm or a power for each feature."""
    return name in METRICS and METRICS[name].heavy


def screened(name: str) -> bool:
    """Whether the CPU compares pairs in single precision first, where nothing is weighted."""
    return name in ("euclidean", "sqeuclidean")


def by_order(points: Points) -> tuple[Points, Callable[[Array], Array]]:
    """The points for `ordering` of their metric, and the function that makes distances of what that gives."""
    metric, p = points.metric, points.p
    if metric.monotone_of is None:
        return points, lambda sums: sums
    zero = points.features.dtype.type(0)
    return replace(points, metric=ordering(metric)), lambda sums: on_arrays(metric.finish)(sums, zero, zero, zero, p)


def complete(metric: Metric, X: Array, values: Mapping[str, Any], frame: Frame | None = None) -> dict[str, Any]:
    """``values`` without those that are None, and with the V or VI of the points ``X`` where the metric needs one.

    Of the points as a ``frame`` has them, if one is given.

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
    sets: Sequence[Array], metric: str | Metric, dtype: Any, values: dict[str, Any], power: int = 1
) -> list[Points]:
    """Sets of points made ready together."""
    work, m = np.dtype(dtype), sets[0].shape[1]
    if work not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")
    taken = _named(metric)
    for name, value in values.items():
        if value is not None and name not in taken.parameters:
            raise TypeError(f"metric {taken.name!r} takes no parameter {name!r}.")
    asked = _simplest(taken, values["p"])
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
    parameters, ready = Parameters(**given, room=row_room(work)), asked.prepare or _as_they_are

    def rows_ready(rows: Array) -> Prepared:
        return ready(rows != 0 if asked.boolean else frame(rows), parameters)

    return [_laid_out(X, asked, work, rows_ready, exponent) for X in sets]


def _laid_out(
    X: Array, metric: Metric, work: np.dtype, ready: Callable[[Array], Prepared], exponent: int = 0
) -> Points:
    """Points whose rows ``ready`` makes ready, block by block."""
    (n, m), weights, scalar = X.shape, None, 1.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a NaN in, or 0/0: a NaN out, as in SciPy
        if is_device_array(X):
            features, summary = array_module(X).empty((m, n), work), np.zeros(n, work)
            for part in blocks.row_blocks(n, m, blocks.ON_DEVICE):
                rows, weights, scalar = ready(X[part])
                features[:, part] = array_module(rows).asarray(rows.T, dtype=work)
        else:
            features, summary = np.empty((m, n), work), np.zeros(n, work)
            for part in blocks.row_blocks(n, m):
                rows, weights, scalar = ready(X[part])
                if metric.summary is None:
                    blocks.put(features, part, rows)
                else:
                    precise = np.array(rows.T, dtype=np.float64, order="C")
                    summary[part] = metric.summary(precise, weights)
                    features[:, part] = precise
        weights = None if weights is None else weights.astype(work, copy=False)
    return Points(metric, features, summary, weights, work.type(scalar), exponent)
