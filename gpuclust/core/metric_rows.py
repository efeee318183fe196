"""Preparation of rows of points for metrics, done once for each point: centring, normalising, whitening, row sums.

Functions for `Metric.prepare` take a block of rows and the parameters of the metric, and return the rows ready for
``step``, the weights of their features, and the scalar ``p``. Functions for `Metric.summary` return one number for
each point, from prepared features of shape (m, n).
"""

from __future__ import annotations

from math import inf

import numpy as np

from gpuclust.core.frames import balanced
from gpuclust.core.points import Array, Parameters, Prepared


def with_exponent(X: Array, given: Parameters) -> Prepared:
    return X, given.w, 2.0 if given.p is None else float(given.p)


def with_total_weight(X: Array, given: Parameters) -> Prepared:
    return X, given.w, float(X.shape[1] if given.w is None else given.w.sum())


def directions(X: Array, given: Parameters) -> Prepared:
    return balanced(X, given.w, given.room), given.w, 1.0


def centred(X: Array, given: Parameters) -> Prepared:
    X = balanced(X.astype(np.float64), given.w, given.room)
    if X.shape[1]:
        used = X if given.w is None else X[:, given.w > 0]
        constant = (used.max(axis=1, initial=-inf) == used.min(axis=1, initial=inf)) if used.shape[1] else False
        X = X - (X.mean(axis=1, keepdims=True) if given.w is None else (X @ (given.w / given.w.sum()))[:, None])
        X[constant] = 0.0  # what rounding leaves of it is no direction
    return balanced(X, given.w, given.room), given.w, 1.0


def ranked(X: Array, given: Parameters) -> Prepared:
    """The ranks of the features within each point, the mean rank for equal ones, `centred`."""
    order = np.argsort(X, axis=1, kind="stable")
    ascending = np.take_along_axis(X, order, axis=1)
    places = np.broadcast_to(np.arange(X.shape[1]), X.shape)
    new = np.ones(X.shape, dtype=bool)
    new[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    last = np.ones(X.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    final = np.minimum.accumulate(np.where(last, places, X.shape[1])[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(X.shape)
    np.put_along_axis(ranks, order, (first + final) / 2, axis=1)
    if X.dtype.kind == "f":
        ranks[np.isnan(X).any(axis=1)] = np.nan
    return centred(ranks, given)


def on_sphere(X: Array, given: Parameters) -> Prepared:
    """Latitude and longitude in radians as points of the unit sphere."""
    return _on_sphere(X, np.pi / 2, "radians; metric 'haversine_degrees' takes degrees"), None, 1.0


def on_sphere_of_degrees(X: Array, given: Parameters) -> Prepared:
    """Latitude and longitude in degrees as points of the unit sphere."""
    return _on_sphere(X, 90.0, "degrees"), None, 1.0


def _on_sphere(X: Array, pole: float, unit: str) -> Array:
    if X.shape[1] != 2:
        raise ValueError(f"Haversine distances take two features, latitude and longitude, got {X.shape[1]}.")
    X = X.astype(np.float64)
    if (np.abs(X[:, 0]) > pole * (1 + 1e-12)).any():
        row = int(np.argmax(np.abs(X[:, 0])))
        raise ValueError(
            f"Latitudes must be from {-pole:.6g} to {pole:.6g}, in {unit}, got {X[row, 0]:.6g}. The first feature is "
            "the latitude, the second the longitude."
        )
    latitude, longitude = (X * (np.pi / 2 / pole)).T
    around = np.cos(latitude)
    return np.column_stack((around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)))


def distributions(X: Array, given: Parameters) -> Prepared:
    X = balanced(X, None, given.room)
    total = X.sum(axis=1, dtype=np.float64, keepdims=True)
    rows = X / total
    rows[((X < 0).any(axis=1, keepdims=True) | (total == 0))[:, 0]] = inf  # flag_infinite looks for these
    return rows, None, 0.25


def standardised(X: Array, given: Parameters) -> Prepared:
    V = np.asarray(given.V)
    if V.ndim != 1:
        raise ValueError(f"Variance vector V must be one-dimensional, got shape {V.shape}.")
    if len(V) != X.shape[1]:
        raise ValueError(
            f"Variance vector V must be of the same dimension as the points: got {len(V)} variances "
            f"for {X.shape[1]} features."
        )
    return X, 1.0 / V, 1.0  # as weights, not as scaled features: x - y stays exact


def whitened(X: Array, given: Parameters) -> Prepared:
    """Points in coordinates where the quadratic form (x - y)' VI (x - y) is a sum of squares, weighted by 1 or -1."""
    m = X.shape[1]
    VI = np.asarray(given.VI)
    if VI.shape != (m, m):
        raise ValueError(f"Inverse covariance matrix VI must have shape {(m, m)}, got {VI.shape}.")
    if not np.isfinite(VI).all():
        return np.full(X.shape, np.nan), None, 1.0
    factor, signs = given.factor
    return (X - given.centre) @ factor, signs, 1.0  # small coordinates round less


def row_sums(F: Array, w: Array | None) -> Array:
    return (F if w is None else F * w[:, None]).sum(axis=0)  # in the order of features, as the kernels add


def norms(F: Array, w: Array | None) -> Array:
    return np.sqrt(row_sums(F * F, w))


def flag_infinite(F: Array, w: Array | None) -> Array:
    flags = np.where(np.isinf(F).any(axis=0) if len(F) else True, inf, np.zeros(F.shape[1]))
    F[:, np.isinf(flags)] = 0.0
    return flags
