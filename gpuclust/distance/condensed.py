"""Square and condensed distance matrices: conversion, validation, and number of observations.

Condensed is the upper triangle of the square form, row by row: entry ``n * i + j - (i + 2) * (i + 1) // 2`` holds the
distance of i and j, i < j.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gpuclust.core.arguments import one_of, real_number
from gpuclust.core.memory import result_array
from gpuclust.core.real_arrays import real_array, to_host, typed_array
from gpuclust.core.rounded import check_square
from gpuclust.core.triangle import count_of, mirrored_blocks, rows_of, upper

Array = np.ndarray


def squareform(X: Any, force: str = "no", checks: bool = True) -> Array:
    """Convert a condensed distance matrix to a square one, or a square one to a condensed one.

    Parameters
    ----------
    X : array_like
        Condensed (n (n - 1) / 2,) or square (n, n), of numbers of any type.
    force : {"no", "tomatrix", "tovector"}
        Require that X is condensed, or that it is square.
    checks : bool
        Whether a square X must be symmetric with a zero diagonal: of real numbers, but for rounding
        (`gpuclust.core.rounded.TOLERANCE` of the largest). The upper triangle is taken.

    Returns
    -------
    ndarray
        Of the dtype of X (float64 where X is an array of objects).

    Raises
    ------
    TypeError
        If ``force`` is no text.
    ValueError
        For objects that are not all real numbers, a length that is no n (n - 1) / 2, a matrix that is not square, not
        symmetric or has a diagonal other than zero, or an X that is not what ``force`` says.
    DoesNotFit
        If the square matrix is larger than the memory that is available.

    Warns
    -----
    RoundingWarning
        If X is symmetric with a zero diagonal but for rounding.

    Notes
    -----
    O(n²) time, and memory for the result.

    Examples
    --------
    >>> from gpuclust.distance import squareform
    >>> squareform([1.0, 5.0, 4.0])
    array([[0., 1., 5.],
           [1., 0., 4.],
           [5., 4., 0.]])
    >>> squareform(squareform([1.0, 5.0, 4.0]))
    array([1., 5., 4.])
    """
    X = np.ascontiguousarray(to_host(typed_array(X, "X")))
    force = one_of(force.lower() if isinstance(force, str) else force, "force", ("no", "tomatrix", "tovector"))
    if force == "tomatrix" and X.ndim != 1:
        raise ValueError(f"force='tomatrix', but X is not a distance vector: its shape is {X.shape}.")
    if force == "tovector" and X.ndim != 2:
        raise ValueError(f"force='tovector', but X is not a distance matrix: its shape is {X.shape}.")
    if X.ndim == 1:
        n = count_of(len(X))
        if n * (n - 1) // 2 != len(X):
            raise ValueError(
                "Incompatible vector size: it must be n (n - 1) / 2 for some integer n >= 2 (1, 3, 6, 10, ...), "
                f"got {len(X)}."
            )
        return _square(X, n)
    if X.ndim != 2:
        raise ValueError(f"X must be one- or two-dimensional, got {X.ndim} dimensions.")
    n = len(X)
    if X.shape[1] != n:
        raise ValueError(f"The matrix must be square, got shape {X.shape}.")
    if checks and not (X.dtype.kind == "f" and np.isfinite(X).all()):
        is_valid_dm(X, throw=True, name="X")
    elif checks:
        check_square(X, "Distance matrix 'X'", sign=False)
    return upper(X, X.dtype)


def _square(condensed: Array, n: int) -> Array:
    square = result_array((n, n), condensed.dtype, None, "squareform")
    for i, row in enumerate(rows_of(condensed, n)):
        square[i, i + 1 :] = row
    for rows, columns in mirrored_blocks(n):
        block = square[rows, columns]
        if rows == columns:
            lower = np.tri(len(block), dtype=bool)
            block[lower] = block.T[lower]
            np.fill_diagonal(block, 0)
        else:
            square[columns, rows] = block.T
    return square


def is_valid_dm(D: Any, tol: float = 0.0, throw: bool = False, name: str = "D", warning: bool = False) -> bool:
    """Whether ``D`` is a square, symmetric matrix with a zero diagonal, as `scipy.spatial.distance.is_valid_dm` says.

    Parameters
    ----------
    D : array_like
        Any array; a distance matrix has shape (n, n).
    tol : float
        By how much mirrored entries may differ, and diagonal ones exceed zero.
    throw : bool
        Raise a ``ValueError`` that says what is wrong instead of returning False.
    name : str
        Name of the matrix, for messages.
    warning : bool
        Warn instead of only returning False.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        With ``throw``, if it is not one.

    Notes
    -----
    O(n²) time, block by block; no copy of the matrix is made.

    Examples
    --------
    >>> from gpuclust.distance import is_valid_dm
    >>> is_valid_dm([[0.0, 1.0], [1.0, 0.0]])
    True
    >>> is_valid_dm([[0.0, 1.0], [2.0, 0.0]])
    False
    """
    D = to_host(real_array(D, name or "D", numbers=False))
    tol = real_number(tol, "tol", 0)
    called = f"Distance matrix '{name}'" if name else "Distance matrix"
    problem = ""
    if D.dtype.kind not in "biufc":
        problem = f"{called} must hold numbers, got dtype {D.dtype}."
    elif D.ndim != 2:
        problem = f"{called} must have shape=2 (i.e. be two-dimensional), got {D.ndim} dimensions."
    elif D.shape[0] != D.shape[1]:
        problem = f"{called} must be symmetric, got shape {D.shape}."
    elif not all(_mirrored(D[rows, columns], D[columns, rows].T, tol) for rows, columns in mirrored_blocks(len(D))):
        problem = f"{called} must be symmetric" + (f" within tolerance {tol:.5g}." if tol else ".")
    elif not (D.diagonal() <= tol if tol else D.diagonal() == 0).all():
        problem = f"{called} diagonal must be " + (f"zero within tolerance {tol:.5g}." if tol else "zero.")
    return _verdict(problem, throw, warning)


def _mirrored(upper: Array, lower: Array, tol: float) -> bool:
    if not tol:
        return bool((upper == lower).all())
    with np.errstate(invalid="ignore"):  # infinity minus infinity is no small difference
        return bool((np.abs(upper - lower) <= tol).all())


def is_valid_y(y: Any, warning: bool = False, throw: bool = False, name: str | None = None) -> bool:
    """Whether ``y`` is a condensed distance matrix: one-dimensional, of n (n - 1) / 2 entries for some n.

    Parameters
    ----------
    y : array_like
        Any array; a condensed distance matrix has shape (n (n - 1) / 2,).
    warning : bool
        Warn instead of only returning False.
    throw : bool
        Raise a ``ValueError`` that says what is wrong instead of returning False.
    name : str, optional
        Name of the matrix, for messages.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        With ``throw``, if it is not one.

    Notes
    -----
    O(1): only the shape is checked.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.distance import is_valid_y
    >>> is_valid_y(np.array([1.0, 5.0, 4.0]))
    True
    >>> is_valid_y(np.array([1.0, 5.0]))
    False
    """
    y = to_host(real_array(y, name or "y", numbers=False))
    called = f"Condensed distance matrix '{name}'" if name else "Condensed distance matrix"
    problem = ""
    if y.ndim != 1:
        problem = f"{called} must have shape=1 (i.e. be one-dimensional), got {y.ndim} dimensions."
    elif (n := count_of(len(y))) * (n - 1) // 2 != len(y):
        problem = f"{called} must have n (n - 1) / 2 entries for some n (1, 3, 6, 10, ...), got {len(y)}."
    return _verdict(problem, throw, warning)


def num_obs_dm(d: Any) -> int:
    """Number of observations of a square distance matrix.

    Parameters
    ----------
    d : array_like of shape (n, n)
        Square distance matrix.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is not a square matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.distance import num_obs_dm
    >>> num_obs_dm(np.zeros((3, 3)))
    3
    """
    d = to_host(real_array(d, "d", numbers=False))
    is_valid_dm(d, tol=np.inf, throw=True, name="d")
    return len(d)


def num_obs_y(Y: Any) -> int:
    """Number of observations of a condensed distance matrix.

    Parameters
    ----------
    Y : array_like of shape (n (n - 1) / 2,)
        Condensed distance matrix.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is not one-dimensional, empty, or its length is not n (n - 1) / 2 for any n.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.distance import num_obs_y
    >>> num_obs_y(np.array([1.0, 5.0, 4.0]))
    3
    """
    Y = to_host(real_array(Y, "Y", numbers=False))
    is_valid_y(Y, throw=True, name="Y")
    if len(Y) == 0:
        raise ValueError("Y: the number of observations cannot be determined on an empty distance matrix.")
    return count_of(len(Y))


def _verdict(problem: str, throw: bool, warning: bool) -> bool:
    if problem and throw:
        raise ValueError(problem)
    if problem and warning:
        warnings.warn(problem, stacklevel=3)
    return not problem
