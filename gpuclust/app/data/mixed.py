"""Gower's dissimilarities of a data set with columns of numbers and of categories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.opening import check_size
from gpuclust.app.data.transform import transform
from gpuclust.core.gower import gower, indicators
from gpuclust.core.tables import Table
from gpuclust.errors import InputFileError


def completed(data: DataSet, missing: str) -> DataSet:
    """Treat the missing values of numbers (NaN) and categories (None).

    Parameters
    ----------
    data : DataSet
    missing : {"auto", "error", "drop", "mean", "median"}
        ``"auto"`` keeps them, since dissimilarities leave them out pair by pair; ``"mean"`` and ``"median"`` fill in
        numbers, and keep missing categories.
    """
    values, categories = data.values, data.categories
    if values.ndim != 2:
        raise InputFileError(f"{data.path}: holds condensed distances, to which metric gower means nothing")
    absent = [[cell is None for cell in cells] for _, cells in categories]
    gaps = np.column_stack([np.isnan(values), *absent])
    if missing == "error" and gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise InputFileError(
            f"{data.path}: column {_heads(data)[column]!r} has no value in row {row} ({np.count_nonzero(gaps):,} are "
            "missing): --missing auto compares rows by the columns in which both have one, drop leaves such rows out"
        )
    if missing == "drop":
        kept = transform(replace(data, values=np.where(gaps, np.nan, 0.0)), missing="drop")
        rows = np.arange(len(values)) if kept.rows is None else kept.rows
        categories = [(head, [cells[row] for row in rows]) for head, cells in categories]
        return replace(kept, values=values[rows], categories=categories)
    if missing in ("mean", "median"):
        data = transform(data, missing=missing)
        gaps[:, : values.shape[1]] = False
    left = int(np.count_nonzero(gaps))
    said = f"; {left:,} missing value{'s' * (left != 1)}, left out of the pairs' means" if left else ""
    return replace(data, how=data.how + said)


def as_gower(data: DataSet, limit: int | None = None) -> DataSet:
    """Return a data set whose values are Gower's dissimilarities, condensed.

    Parameters
    ----------
    data : DataSet
        Numbers, NaN where one is missing, and categories.
    limit : int, optional
        Largest size of the dissimilarities in bytes, by default the available memory.

    Raises
    ------
    InputFileError
        Two rows have no column in which both have a value.
    DoesNotFit
        The dissimilarities take more than ``limit`` bytes.
    """
    n = len(data.values)
    if n < 2:
        raise InputFileError(f"{data.path}: holds {n} row, at least 2 are needed")
    check_size(f"{data.path}: Gower's dissimilarities", n * (n - 1) // 2, 8, limit)
    try:
        values = gower(_table(data, data.values), str(data.path))
    except ValueError as error:
        raise InputFileError(str(error)) from error
    return replace(data, values=values, columns=_heads(data), numbers=data.values)


def profiled(data: DataSet) -> tuple[NDArray[np.float64], list[str]] | None:
    """The columns that profiles of clusters show beside dissimilarities of Gower: values and headings."""
    return None if data.numbers is None else indicators(_table(data, data.numbers))


def _table(data: DataSet, numbers: NDArray[np.float64]) -> Table:
    heads = None if data.columns is None else data.columns[: numbers.shape[1]]
    return Table(numbers, columns=heads, categories=lambda: list(data.categories))


def _heads(data: DataSet) -> list[str]:
    """Headings of the numbers and of the categories."""
    numbers = range(data.values.shape[1]) if data.columns is None else data.columns
    return [*map(str, numbers), *(head for head, _ in data.categories)]
