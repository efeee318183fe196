"""Linkage matrices from and to MATLAB's form: clusters counted from 1, no column of sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.real_arrays import real_array, to_host
from gpuclust.hierarchy.validity import as_linkage, fill_sizes


def from_mlab_linkage(Z: ArrayLike) -> np.ndarray:
    """Convert a linkage matrix from MATLAB's form.

    Parameters
    ----------
    Z : array_like
        Shape (n - 1, 3): two clusters, counted from 1, and the height of their merge.

    Returns
    -------
    ndarray
        Linkage matrix of shape (n - 1, 4), float64: clusters counted from 0, with sizes. Empty input is returned
        unchanged.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Not two-dimensional, not three columns, or not a linkage matrix after conversion (messages then count
        clusters from 0).

    Notes
    -----
    O(n) time and memory.

    Examples
    --------
    >>> from gpuclust.hierarchy import from_mlab_linkage
    >>> from_mlab_linkage([[1.0, 2.0, 0.5], [3.0, 4.0, 2.0]])
    array([[0. , 1. , 0.5, 2. ],
           [2. , 3. , 2. , 3. ]])
    """
    given = np.array(to_host(real_array(Z, "Z", TypeError)), dtype=np.float64, order="C")
    if given.shape in ((), (0,)):
        return given
    if given.ndim != 2:
        raise ValueError(f"The linkage array must be rectangular, got shape {given.shape}.")
    if given.shape[0] == 0:
        return given
    if given.shape[1] != 3:
        raise ValueError(f"A linkage matrix of MATLAB's has 3 columns, got {given.shape[1]}.")
    rows = given.shape[0]
    low, high = given[:, :2].min(), given[:, :2].max()
    if not (low >= 1 and high <= 2 * rows):
        raise ValueError(f"The format of the indices is not 1..{2 * rows}: they are from {low:g} to {high:g}.")
    converted = np.empty((rows, 4))
    converted[:, :2] = given[:, :2] - 1
    converted[:, 2] = given[:, 2]
    fill_sizes(converted)
    return as_linkage(converted, "Z, counted from 0,")


def to_mlab_linkage(Z: ArrayLike) -> np.ndarray:
    """Convert a linkage matrix to MATLAB's form.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.

    Returns
    -------
    ndarray of shape (n - 1, 3), float64
        Two clusters, counted from 1, and the height of their merge. Empty input is returned unchanged.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix; see `is_valid_linkage`.

    Notes
    -----
    O(n) time and memory.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, to_mlab_linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> to_mlab_linkage(Z)
    array([[1. , 2. , 1. ],
           [3. , 4. , 2. ],
           [5. , 6. , 5.5]])
    """
    given = to_host(real_array(Z, "Z", TypeError))
    if given.shape in ((), (0,)):
        return np.array(given, dtype=np.float64)
    given = as_linkage(given)
    return np.column_stack((given[:, :2] + 1, given[:, 2]))
