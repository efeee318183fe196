"""Missing values and the scale of features: what is done with points before they are clustered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray

#: Ways to treat missing values, and those that fill in a statistic of the feature.
FILLED_BY: dict[str, Callable[..., Any]] = {"mean": np.nanmean, "median": np.nanmedian}
#: Number of values that are searched for missing ones at a time.
_PIECE = 2**22


def gaps_of(values: Array) -> Array:
    """Rows with missing values (NaN), ascending; searched in blocks, without a copy of the values."""
    if values.dtype.kind != "f":
        return np.empty(0, dtype=np.int64)
    step = max(1, _PIECE // max(1, values.shape[1]))
    found = [np.flatnonzero(np.isnan(values[i : i + step]).any(axis=1)) + i for i in range(0, len(values), step)]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def filled(values: Array, how: str) -> Array:
    """Replace missing values by the mean or median of their feature, which must have values."""
    gaps = np.isnan(values)
    return np.where(gaps, FILLED_BY[how](values.astype(np.float64), axis=0), values)


def _zscore(values: Array) -> Array:
    return _scaled(values, values.mean(axis=0), values.std(axis=0))


def _minmax(values: Array) -> Array:
    low, high = values.min(axis=0), values.max(axis=0)
    return _scaled(values, low, high - low)


def _robust(values: Array) -> Array:
    low, middle, high = np.percentile(values, (25, 50, 75), axis=0)
    return _scaled(values, middle, high - low)


def _scaled(values: Array, middle: Array, spread: Array) -> Array:
    """Return ``(values - middle) / spread``; features that are constant up to rounding become 0."""
    constant = values.min(axis=0) == values.max(axis=0)
    spread = np.where(constant | (spread == 0), 1.0, spread)
    return np.where(constant, 0.0, (values - middle) / spread)


#: Ways to standardize float64 values of shape (n, m), by name.
STANDARDIZE: dict[str, Callable[[Array], Array]] = {
    "zscore": _zscore,
    "minmax": _minmax,
    "robust": _robust,
    "log1p": np.log1p,
}
