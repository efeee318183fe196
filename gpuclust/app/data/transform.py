"""Missing values, transposition, standardization and principal components of a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpuclust.app.data.data_set import DataSet
from gpuclust.core.scaling import STANDARDIZE, filled, gaps_of
from gpuclust.errors import InputFileError


def transform(
    data: DataSet,
    *,
    missing: str = "error",
    transpose: bool = False,
    standardize: str | None = None,
    pca: int | None = None,
) -> DataSet:
    """Prepare points for clustering, in the order of the parameters; without any, the data set is returned as it is.

    Parameters
    ----------
    data : DataSet
    transpose : bool
        Whether columns are clustered instead of rows.
    missing : {"error", "auto", "drop", "mean", "median"}
        ``"drop"`` leaves out observations with missing values (NaN), ``"mean"`` and ``"median"`` fill in a statistic
        of the feature. ``"auto"`` leaves such observations out where they are at most half of all, and is otherwise
        ``"error"``.
    standardize : {"zscore", "minmax", "robust", "log1p"}, optional
        Scale each feature: by mean and standard deviation (of the population), to the range from 0 to 1, or by median
        and interquartile range; features without spread become 0. ``"log1p"`` takes ``log(1 + x)`` of every value.
    pca : int, optional
        Replace the features by this number of principal components.

    Raises
    ------
    InputFileError
        The data do not allow it; the message says why.
    """
    if missing == "auto" and (incomplete(data, transpose) or not _has_gaps(data)):
        missing = "error"
    if missing == "error" and not transpose and standardize is None and pca is None:
        return data
    if data.values.ndim != 2:
        raise InputFileError(
            f"{data.path}: holds condensed distances, to which missing, transpose, standardize and pca mean nothing"
        )
    if transpose:
        how = f"{data.how}; transposed: columns are clustered"
        data = replace(data, values=data.values.T, names=data.columns, columns=data.names, how=how)
    if missing != "error":
        data = _complete(data, missing)
    if standardize is not None:
        data = _standardized(data, standardize)
    if pca is not None:
        data = _projected(data, pca)
    return data if data.values.flags.c_contiguous else replace(data, values=np.ascontiguousarray(data.values))


def _complete(data: DataSet, missing: str) -> DataSet:
    rows = gaps_of(data.values)
    if not len(rows):
        return data
    n = len(data.values)
    if missing in ("drop", "auto"):
        if n - len(rows) < 2:
            raise InputFileError(
                f"{data.path}: {n - len(rows)} of {n:,} rows have no missing value, at least 2 are needed; fill "
                "them in by --missing mean or median, or leave the columns with most missing values out by --exclude"
            )
        kept = np.delete(np.arange(n), rows)
        names = None if data.names is None else [data.names[row] for row in kept]
        how = f"{data.how}; {len(rows):,} row{'s' * (len(rows) != 1)} with missing values left out"
        how += " (--missing error refuses them, mean and median fill them in)" * (missing == "auto")
        return replace(data, values=data.values[kept], names=names, how=how, rows=kept)
    gaps = np.isnan(data.values)
    count = int(np.count_nonzero(gaps))
    empty = np.flatnonzero(gaps.all(axis=0))
    if len(empty):
        raise InputFileError(f"{data.path}: feature {_name(data, empty[0])} has no value: it has no {missing}")
    how = f"{data.how}; {count:,} missing value{'s' * (count != 1)} filled in by {missing}"
    return replace(data, values=filled(data.values, missing), how=how)


def incomplete(data: DataSet, transpose: bool) -> bool:
    """Whether so many observations have missing values that they are not left out unless an option says so."""
    if data.values.ndim != 2:
        return False
    values = data.values.T if transpose else data.values
    return len(gaps_of(values)) > min(len(values) // 2, len(values) - 2)


def _has_gaps(data: DataSet) -> bool:
    return data.values.ndim == 2 and bool(len(gaps_of(data.values)))


def _standardized(data: DataSet, name: str) -> DataSet:
    values = data.values.astype(np.float64)
    if name == "log1p" and not (values > -1).all():
        row, column = np.argwhere(~(values > -1))[0]
        raise InputFileError(
            f"{data.path}: log1p needs values above -1, got {values[row, column]:g} in row {row}, feature "
            f"{_name(data, column)}"
        )
    said = "log(1 + x) of the values" if name == "log1p" else f"standardized ({name})"
    return replace(data, values=STANDARDIZE[name](values), how=f"{data.how}; {said}")


def _projected(data: DataSet, components: int) -> DataSet:
    """Project onto the principal components; the sign of each makes its largest loading positive."""
    n, m = data.values.shape
    if components > min(n, m):
        raise InputFileError(
            f"{data.path}: {n:,} rows of {m:,} features have at most {min(n, m):,} principal components, but "
            f"{components:,} were asked for"
        )
    values = data.values.astype(np.float64)
    values -= values.mean(axis=0)
    if not np.isfinite(values).all():
        return data  # refused with the position of the value when it is checked
    left, lengths, axes = np.linalg.svd(values, full_matrices=False)
    largest = np.abs(axes[:components]).argmax(axis=1)
    signs = np.where(axes[np.arange(components), largest] < 0, -1.0, 1.0)
    projected = left[:, :components] * (lengths[:components] * signs)
    total = float(np.sum(lengths**2))
    share = float(np.sum(lengths[:components] ** 2)) / total if total else 1.0
    plural = "s" * (components != 1)
    how = f"{data.how}; {components:,} principal component{plural}, {100 * share:.3g} % of the variance"
    return replace(data, values=projected, columns=[f"PC{i + 1}" for i in range(components)], how=how)


def _name(data: DataSet, column: Any) -> str:
    return str(column) if data.columns is None else repr(data.columns[column])
