"""Precomputed dissimilarities: condensed, or a square matrix that is checked and condensed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpuclust.app.data.data_set import DataSet
from gpuclust.core.observations import check_observations
from gpuclust.core.rounded import condense, not_negative
from gpuclust.errors import InputFileError


def as_distances(data: DataSet) -> DataSet:
    """Return a data set whose values are condensed dissimilarities.

    Raises
    ------
    InputFileError
        The values are not a symmetric matrix with a zero diagonal, or hold an invalid distance.

    Warns
    -----
    RoundingWarning
        If they are valid up to rounding (`gpuclust.core.rounded`).
    """
    values = data.values
    if values.ndim == 2 and 1 in values.shape and data.names is None:  # condensed, as a row or column of a table
        values = np.ravel(values)
    if values.ndim == 2 and values.shape[0] != values.shape[1]:
        rows, columns = values.shape
        raise InputFileError(f"{data.path}: a matrix of distances is square, got {rows:,} x {columns:,}")
    try:
        values = condense(values) if values.ndim == 2 else not_negative(check_observations(values))
    except ValueError as error:
        raise InputFileError(f"{data.path}: {error}") from error
    return replace(data, values=values, columns=None)
