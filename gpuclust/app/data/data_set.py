"""A data set: numbers, and the names of their rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gpuclust.app.data.reading import Category, Original


@dataclass(frozen=True)
class DataSet:
    """Content of a data file.

    Attributes
    ----------
    values : ndarray
        Points of shape (n, m), or condensed dissimilarities of shape (n (n - 1) / 2,); integer, boolean or
        floating. Read-only and memory-mapped from .npy, float64 from a table.
    names : list of str or None
        Names of the n rows of a table.
    columns : list of str or None
        Names of the m columns of a table with a header.
    path : Path
        The file.
    how : str
        How the file was read, in one line: size, header, row names, and columns that were left out.
    rows : ndarray of shape (n,) or None
        Numbers of the rows in the file, from 0, where some were left out.
    original : callable or None
        Returns an iterator of the headings, and then of the cells of each row of the file.
    categories : sequence of (str, list of str or None)
        Headings and cells of the columns of categories.
    numbers : ndarray of shape (n, m) or None
        The columns of numbers, where `values` are Gower's dissimilarities of these and of the categories.
    """

    values: NDArray[Any]
    names: list[str] | None
    columns: list[str] | None
    path: Path
    how: str = ""
    rows: NDArray[Any] | None = None
    original: Original | None = None
    categories: Sequence[Category] = ()
    numbers: NDArray[Any] | None = None
