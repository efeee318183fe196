"""The metric table: every dissimilarity of the library is defined here, once, and nowhere else.

A metric is two scalar functions. ``step`` adds one feature of a pair of points to one or two running sums, and
``finish`` turns the sums into the distance. The CPU kernels compile them with Numba, the CUDA kernels compile the
same two for the device, and the reference runs them on NumPy arrays. Work that can be done once for each point
(centring, normalising, whitening, a norm or a row sum) is done on the host by ``prepare`` and ``summary``, which
`gpuclust.core.metric_rows` has for those that need them.

Rules for ``step`` and ``finish``, so that all three can use them and float32 stays float32: only arithmetic,
comparisons, ``abs``, ``max``, ``sqrt``, ``np.log``, ``np.minimum`` and ``np.maximum``; no branches; no literal but
the zero of a comparison (which counts as 0 or 1 in a sum); other constants arrive as ``p``. The order of the
operations is SciPy's: it decides the last bit.

A metric of counts is a function of the numbers of features that are 1 in both points, in one of them, and in none.
Its ``finish`` gets the ones of either point, all features, and those that are 1 in both or that differ. Counts are
exact, so it has one ``finish`` for single features and for features packed into words, 64 at a step (`Metric.bits`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np

from gpuclust.core import metric_rows as rows
from gpuclust.core.arguments import real_number
from gpuclust.core.bits import popcount
from gpuclust.core.points import Finish, Metric, Step
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


def _squared_where_known(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    d = x - y  # NaN where a value is missing; b counts these, since features that pad a tile must add nothing
    return a + w * max(p - p, d * d), b + w * (d != d)


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


def _both_in_words(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + popcount(x & y), b


def _unequal_in_words(a, b, x, y, w, p):  # type: ignore[no-untyped-def]
    return a + popcount(x ^ y), b


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


def _root_of_known(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    return sqrt(a / abs(p - b) * p)  # p: number of features; b: of those that one of the points does not have


def _great_circle(a, b, sx, sy, p):  # type: ignore[no-untyped-def]
    # p: one; a: the squared chord c² between two points of the unit sphere, for which c / 2 = sin(d / 2).
    q = p + p + p + p - a
    s, c = a + a, q + abs(q)  # in proportion to the squares of sin(d / 2) and cos(d / 2), and c is not negative
    t = sqrt(s) / (sqrt(s + c) + sqrt(c))  # tan(d / 4), and its half angles tan(d / 8) and tan(d / 16) < 0.2
    t = t / (p + sqrt(p + t * t))
    t = t / (p + sqrt(p + t * t))
    z, two = t * t, p + p
    k3 = two + p
    k5 = k3 + two
    k7 = k5 + two
    k9 = k7 + two
    k11 = k9 + two
    k13 = k11 + two
    k15 = k13 + two
    k17 = k15 + two
    k19 = k17 + two
    k21 = k19 + two
    r = p / k17 - z * (p / k19 - z * (p / k21))  # the series of the arc tangent
    r = p / k9 - z * (p / k11 - z * (p / k13 - z * (p / k15 - z * r)))
    r = t * (p - z * (p / k3 - z * (p / k5 - z * (p / k7 - z * r))))
    r = r + r
    r = r + r
    r = r + r
    return r + r


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


# ---------------------------------------------------------------------------------------------------- the table


#: For features of 0 and 1: the step that adds the same to the sum for 64 features, packed into a word.
_IN_WORDS: Mapping[Step, Step] = {
    _product: _both_in_words,
    _absolute: _unequal_in_words,
    _unequal: _unequal_in_words,
}


def _of_counts(metric: Metric) -> Metric:
    """A metric of counts, with its form for features of 0 and 1 that are packed into words."""
    step, name = _IN_WORDS[metric.step], f"{metric.name}bits"
    return replace(metric, bits=replace(metric, name=name, step=step, words=True, aliases=(), weighted_form=None))


def _counted(name: str, formula: str, step: Step, finish: Finish, *aliases: str, crowded: bool = False) -> Metric:
    """A metric of booleans, computed from the numbers of equal and of different features."""
    return _of_counts(
        Metric(
            name,
            step,
            finish,
            aliases,
            prepare=rows.with_total_weight,
            summary=rows.row_sums,
            boolean=True,
            crowded=crowded,
            formula=formula,
        )
    )


def _on_the_sphere(
    name: str,
    unit: str,
    prepare: Callable[[rows.Array, rows.Parameters], rows.Prepared],
    *aliases: str,
    prepared_as: str | None = None,
) -> Metric:
    """The length of the great circle between places given by latitude and longitude."""
    return Metric(
        name,
        _squared,
        _great_circle,
        aliases,
        prepare=prepare,
        parameters=(),
        coordinates=3,
        prepared_as=prepared_as,
        euclidean_like=True,
        monotone_of="sqeuclidean",
        crowded=True,
        formula=f"the angle in radians between two places; the features are latitude and longitude in {unit}",
    )


#: Properties of a distance that is a norm of ``x - y``, and rises with the absolute value of each feature of it.
_NORM: dict[str, Any] = {"euclidean_like": True, "convex": True, "shift": True, "degree": 1}
_OF_WEIGHTED_POWERS: dict[str, Any] = {"prepare": rows.with_exponent, "parameters": ("p", "w"), "heavy": True}

_ALL = (
    Metric(
        "braycurtis", _difference_and_sum, _ratio, two_sums=True, degree=0, formula="sum(w |x - y|) / sum(w |x + y|)"
    ),
    Metric("canberra", _relative, _sum, degree=0, formula="sum(w |x - y| / (|x| + |y|)), 0/0 = 0"),
    Metric(
        "chebyshev",
        _largest,
        _sum,
        ("chebychev", "cheby", "cheb", "ch"),
        **_NORM,
        crowded=True,
        formula="max(|x - y| [w > 0])",
    ),
    Metric("cityblock", _absolute, _sum, ("cblock", "cb", "c", "manhattan", "l1"), **_NORM, formula="sum(w |x - y|)"),
    Metric(
        "correlation",
        _product,
        _one_minus_cosine,
        ("co", "pearson"),
        prepare=rows.centred,
        summary=rows.norms,
        squared=True,
        angular=True,
        crowded=True,
        undefined=("constant", 0.0),
        formula="1 - sum(w u v) / sqrt(sum(w u²) sum(w v²)), u = x - sum(w x) / sum(w), v = y - sum(w y) / sum(w)",
    ),
    Metric(
        "cosine",
        _product,
        _one_minus_cosine,
        ("cos",),
        prepare=rows.directions,
        summary=rows.norms,
        squared=True,
        angular=True,
        crowded=True,
        undefined=("a zero vector", 0.0),
        formula="1 - sum(w x y) / sqrt(sum(w x²) sum(w y²))",
    ),
    _of_counts(
        Metric(
            "dice",
            _product,
            _dice,
            summary=rows.row_sums,  # not only for 0 and 1: the formula is used on the numbers, as in SciPy
            signed=True,
            weighted_form=Metric("dice", _unequal_and_both, _dice_weighted, two_sums=True, crowded=True),
            crowded=True,
            formula="sum(w (x + y - 2 x y)) / sum(w (x + y))",
        )
    ),
    Metric(
        "euclidean",
        _squared,
        _root,
        ("euclid", "eu", "e", "l2"),
        **_NORM,
        monotone_of="sqeuclidean",
        squares=True,
        screened=True,
        formula="sqrt(sum(w (x - y)²))",
    ),
    _of_counts(
        Metric(
            "hamming",
            _unequal,
            _mean,
            ("matching", "hamm", "ha", "h"),
            prepare=rows.with_total_weight,
            equality=True,
            formula="sum(w [x != y]) / sum(w)",
        )
    ),
    _on_the_sphere("haversine", "radians", rows.on_sphere, "haversine_radians"),
    _on_the_sphere("haversine_degrees", "degrees", rows.on_sphere_of_degrees, prepared_as="haversine"),
    _counted(
        "jaccard",
        "sum(w [x != y]) / sum(w [x or y]), 0/0 = 0",
        _absolute,
        _jaccard,
        "jacc",
        "ja",
        "j",
        crowded=True,
    ),
    Metric(
        "jensenshannon",
        _divergence,
        _root_of_quarter,
        ("js",),
        prepare=rows.distributions,
        summary=rows.flag_infinite,
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
        prepare=rows.whitened,
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
        **{**_NORM, "convex": False},  # only for exponents from one on
        **_OF_WEIGHTED_POWERS,
        by_exponent=((1.0, "cityblock"), (2.0, "euclidean"), (inf, "chebyshev")),
        wide_form=Metric(
            "minkowskiwide",
            _power_of_ratio,
            _pth_root_of_ratios,
            **_OF_WEIGHTED_POWERS,
            two_sums=True,
            degree=1,
            crowded=True,
        ),
        formula="sum(w |x - y|^p)^(1/p)",
    ),
    Metric(
        "nan_euclidean",
        _squared_where_known,
        _root_of_known,
        two_sums=True,
        prepare=rows.with_total_weight,
        shift=True,
        degree=1,
        squares=True,
        crowded=True,
        parameters=(),
        gaps=True,
        formula="sqrt(m sum((x - y)²) / k), of m features, and summed over the k that both points have",
    ),
    _counted("rogerstanimoto", "2 D / (sum(w) + D), D = sum(w [x != y])", _absolute, _rogerstanimoto),
    _counted("russellrao", "(sum(w) - sum(w [x and y])) / sum(w)", _product, _russellrao),
    Metric(
        "seuclidean",
        _squared,
        _root,
        ("se", "s"),
        **_NORM,
        prepare=rows.standardised,
        parameters=("V",),
        monotone_of="sqeuclidean",
        squares=True,
        by_feature=True,
        formula="sqrt(sum((x - y)² / V))",
    ),
    _counted(
        "sokalsneath",
        "2 D / (sum(w [x and y]) + 2 D), D = sum(w [x != y])",
        _absolute,
        _sokalsneath,
        crowded=True,
    ),
    Metric(
        "spearman",
        _product,
        _one_minus_cosine,
        prepare=rows.ranked,
        summary=rows.norms,
        parameters=(),
        squared=True,
        crowded=True,
        undefined=("constant", 0.0),
        prepared_as="correlation",
        formula="the correlation distance of the ranks of the features within each point, equal ones averaged",
    ),
    Metric(
        "sqeuclidean",
        _squared,
        _sum,
        ("sqe", "sqeuclid"),
        **{**_NORM, "degree": 2},
        squares=True,
        squared=True,
        screened=True,
        formula="sum(w (x - y)²)",
    ),
    _counted(
        "yule",
        "2 R / (sum(w [x and y]) sum(w [x = y = 0]) + R), R = sum(w [x > y]) sum(w [x < y]), 0/0 = 0",
        _product,
        _yule,
        crowded=True,
    ),
)

#: Every metric by its name.
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
#: Forms that points are prepared for where the sum of powers of the metric would overflow or underflow.
WIDE_FORMS = tuple(metric.wide_form for metric in _ALL if metric.wide_form is not None)
#: Forms that points are prepared for whose features are all 0 or 1.
BIT_FORMS = tuple(metric.bits for metric in _ALL if metric.bits is not None)
#: The formulas as a definition list of reStructuredText: a sum is over features, x and y are those of two points.
FORMULAS = "\n\n".join(f"``{metric.name}``\n    ``{metric.formula}``" for metric in _ALL)
#: Every metric by its name and by its aliases.
BY_ALIAS: Mapping[str, Metric] = {name: metric for metric in _ALL for name in (metric.name, *metric.aliases)}

_UNKNOWN = Metric("", _absolute, _sum)

#: Names that are no metric, and what to do instead.
OTHER_NAMES: Mapping[str, str] = {
    "precomputed": "Give condensed distances instead of points; gpuclust.distance.squareform condenses a matrix.",
}


def given(**arguments: Any) -> dict[str, Any]:
    """Arguments of a metric without those that are None."""
    return {name: value for name, value in arguments.items() if value is not None}


def allows_gaps(metric: Any) -> bool:
    """Whether a metric, by name, is defined for points with missing values (NaN)."""
    known = BY_ALIAS.get(metric.lower()) if isinstance(metric, str) else metric
    return isinstance(known, Metric) and known.gaps


def facts(name: str) -> Metric:
    """The metric of this name; for a Python function or precomputed dissimilarities one without any property."""
    return METRICS.get(name, _UNKNOWN)


def resolve(metric: str | Metric | Dissimilarity, p: float | None = None) -> Metric | Dissimilarity:
    """The metric of a name or alias, in any case; Minkowski's with p = 1, 2, inf under their own names.

    Parameters
    ----------
    metric : str, Metric or callable
        A callable that is no metric of the table is returned as it is: only host code can use it.
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
    return simplest(named(metric), p)


def named(metric: Any) -> Metric:
    """The metric of a name or alias; see `resolve` for the errors."""
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


def simplest(metric: Metric, p: float | None) -> Metric:
    """The metric that computes this one for an exponent p: another for some values (`Metric.by_exponent`)."""
    if not metric.by_exponent:
        return metric
    p = 2.0 if p is None else real_number(p, "p")
    if not p > 0:
        raise ValueError(f"p must be greater than 0, got {p}.")
    return METRICS[dict(metric.by_exponent).get(p, metric.name)]


def ordering(metric: Metric) -> Metric:
    """The cheapest metric that gives pairs of points the same order.

    A root is monotone: what it is taken of has the same order, and fewer pairs of it are equal.
    """
    return metric if metric.monotone_of is None else METRICS[metric.monotone_of]
