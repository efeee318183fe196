"""Data structures of the metric table: a metric, its parameters, and points prepared for it."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

import numpy as np

from gpuclust.core.devices import array_module, is_device_array
from gpuclust.core.real_arrays import real_array

Array = np.ndarray
Step = Callable[[Any, Any, Any, Any, Any, Any], tuple[Any, Any]]
Finish = Callable[[Any, Any, Any, Any, Any], Any]


@dataclass(frozen=True)
class Parameters:
    """Parameters of a metric: exponent, feature weights, variances, inverse covariance.

    ``centre``: the mean of all points, for a metric that takes VI. ``room``: the largest exponent of a row's numbers,
    for a metric of directions (`gpuclust.core.frames.balanced`).
    """

    p: float | None = None
    w: Array | None = None
    V: Array | None = None
    VI: Array | None = None
    centre: Array | None = None
    room: int = 0

    @cached_property
    def factor(self) -> tuple[Array, Array | None]:
        """A matrix L and signs s such that VI, made symmetric, is L diag(s) L'; no signs: all are 1."""
        VI = np.asarray(self.VI)
        VI = (VI + VI.T) / 2  # the antisymmetric part of a quadratic form is zero
        try:
            return np.linalg.cholesky(VI), None
        except np.linalg.LinAlgError:  # not positive definite
            values, vectors = np.linalg.eigh(VI)
            return vectors * np.sqrt(np.abs(values)), np.sign(values)


# Result of `Metric.prepare`: rows for ``step``, weights of their features, the scalar ``p``.
Prepared = tuple[Array, Array | None, float]


@dataclass(frozen=True)
class Metric:
    """One dissimilarity.

    Attributes
    ----------
    name, aliases : SciPy's names for it.
    step : ``step(a, b, x, y, w, p) -> (a, b)``: add a feature with values x and y and weight w to the sums a and b.
    finish : ``finish(a, b, sx, sy, p)``: the distance, from the sums and the two points' summaries.
    two_sums : whether b is used.
    heavy : ``step`` calls log or pow.
    prepare : ``prepare(X, parameters) -> (X, weights, p)``, on a block of rows.
    summary : ``summary(features, weights) -> (n,)``, one number a point, from prepared features, shape (m, n).
    parameters : those of w, p, V, VI that it takes.
    signed : a distance may be negative, so that one of zero is not the smallest.
    boolean : values other than zero count as one.
    coordinates : number of features of a prepared point, where it is another one than that of a point as given.
    gaps : features may be missing (NaN).
    prepared_as : name of the metric that prepared points are of, where that has the same ``step`` and ``finish``: one
        set of kernels then serves both.
    euclidean_like : the distance never falls when ``abs(x - y)`` of a feature grows, so that a bounding box
        bounds it from below (kd-trees).
    monotone_of : a metric with the same order of pairs and a cheaper ``finish``.
    shift : the distance of two points does not change if both are moved by the same vector.
    degree : if points are multiplied by c, distances are multiplied by ``c ** degree`` (with the same V and VI);
    None:
        there is no such number, or each row may be scaled separately, which ``prepare`` does.
    squares : squares of features, or of their differences, are summed.
    by_feature : features may be multiplied by different numbers, if V or VI are changed with them.
    equality : features are only compared for equality.
    undefined : rows for which the distance is not defined, in words, and their summary.
    convex : the distance is a convex function of ``x - y`` that rises with the absolute value of each feature: then
        the largest and the mean distance of points of two clusters are at least the distance of their centres.
    squared : it is the squared Euclidean distance of points that can be prepared
        (`gpuclust.core.preparation.prepare_squares`), for which clusters have closed forms.
    screened : the CPU compares pairs in single precision first, where nothing is weighted.
    angular : it is one minus a cosine of prepared points, with their norms as summaries: half a squared distance on a
        sphere, so screened there if there are many features.
    crowded : ``step`` or ``finish`` takes so many registers of a GPU that two blocks do not fit on a multiprocessor.
    by_exponent : pairs of a value of p and the metric that this one then is; p is 2 by default.
    weighted_form : the metric to use instead when weights are given (``None``: itself).
    wide_form : the metric to use instead where a sum of powers would overflow or underflow.
    bits : the metric to use instead for features that are all 0 or 1, packed 64 to a word, without weights.
    words : features are such words, of type uint64, whatever the working dtype is.
    formula : the distance in one line, from features x and y of two points and weights w; shown in the documentation.
    """

    name: str
    step: Step
    finish: Finish
    aliases: tuple[str, ...] = ()
    two_sums: bool = False
    heavy: bool = False
    prepare: Callable[[Array, Parameters], Prepared] | None = None
    summary: Callable[[Array, Array | None], Array] | None = None
    parameters: tuple[str, ...] = ("w",)
    signed: bool = False
    boolean: bool = False
    coordinates: int | None = None
    gaps: bool = False
    prepared_as: str | None = None
    euclidean_like: bool = False
    monotone_of: str | None = None
    shift: bool = False
    degree: int | None = None
    squares: bool = False
    by_feature: bool = False
    equality: bool = False
    convex: bool = False
    squared: bool = False
    screened: bool = False
    angular: bool = False
    crowded: bool = False
    by_exponent: tuple[tuple[float, str], ...] = ()
    undefined: tuple[str, float] | None = None
    weighted_form: Metric | None = None
    wide_form: Metric | None = None
    bits: Metric | None = None
    words: bool = False
    formula: str = ""

    def __hash__(self) -> int:
        return hash(self.name)  # of all fields it takes a microsecond, and kernels are looked up by metrics

    @property
    def accepts_weights(self) -> bool:
        return "w" in self.parameters


@dataclass(frozen=True)
class Points:
    """Points prepared for a metric, the input of every kernel.

    Attributes
    ----------
    metric : Metric
    features : (m, n) C-contiguous array of the working dtype: feature-major, so that kernels vectorise over points.
        Of a metric of `Metric.words` (m / 64, n), rounded up, of uint64.
        NumPy's; or one on a device, for its backend only, where the points were there already.
    summary : array of shape (n,), one number a point for ``finish`` (zeros if the metric has no use for it).
    weights : array of shape (m,) or None.
    p : NumPy scalar of the working dtype, for ``step`` and ``finish``.
    exponent : distances of these points are those of the points that were given, times two to the power of this.
    """

    metric: Metric
    features: Array
    summary: Array
    weights: Array | None
    p: Any
    exponent: int = 0

    @property
    def n(self) -> int:
        """Number of points."""
        return self.features.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The working dtype."""
        return self.summary.dtype

    def at(self, which: Any) -> Points:
        """The points of a slice or of indices, in that order; a copy."""
        array = array_module(self.features)
        there = which if isinstance(which, slice) else array.asarray(which)
        features = array.ascontiguousarray(self.features[:, there])
        summary = np.ascontiguousarray(self.summary[which])
        return Points(self.metric, features, summary, self.weights, self.p, self.exponent)


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar function of the metric table, for NumPy arrays: ``sqrt`` and ``max`` then work element by element.

    ``max(a, x)`` keeps a where x is NaN, which is what ``np.fmax`` does.
    """
    assert isinstance(function, FunctionType)
    names = {**function.__globals__, "__builtins__": builtins, "sqrt": np.sqrt, "max": np.fmax}
    return FunctionType(function.__code__, names, function.__name__)


def check_points(X: Any, name: str = "X", numbers: bool = True) -> Array:
    """``X`` as a two-dimensional array of real numbers or booleans (or of anything), or a ``ValueError``."""
    X = X if is_device_array(X) else np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"{name}: a 2-dimensional array must be passed, got shape {X.shape}.")
    if numbers and X.dtype.kind not in "biuf":
        raise ValueError(f"{name}: points must be real numbers or booleans, got dtype {X.dtype}.")
    return X


def check_weights(w: Any, m: int) -> Array:
    """Feature weights as (m,) float64, or a ``ValueError``: none may be negative."""
    w = real_array(w, "w").astype(np.float64)
    if w.ndim != 1:
        raise ValueError(f"Weights must be a vector (ndim = 1), got shape {w.shape}.")
    if len(w) != m:
        raise ValueError(f"Weights must have same size as input vector. {len(w)} vs. {m}.")
    if (w < 0).any():
        raise ValueError(f"Input weights should be all non-negative, got {w.min()}.")
    return w
