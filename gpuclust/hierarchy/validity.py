"""Validation of linkage and inconsistency matrices, for every function of the namespace.

SciPy's checks and error classes, plus two that SciPy leaves out and that would make later results silently wrong:
ids that are not whole numbers, and heights that are NaN. Messages name the first row that is wrong. Sizes follow from
the ids: where they do not add up (trees of scikit-learn are often given made-up ones), but none is negative or above
n, which SciPy refuses too, they are computed anew, with a warning.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.core.real_arrays import to_host, typed_array
from gpuclust.core.sizes import MOST
from gpuclust.errors import ClusterWarning, LinkageWarning, warn

_SOUND, _NEGATIVE_ID, _FRACTIONAL_ID, _TOO_EARLY, _TWICE, _HEIGHT, _NEGATIVE_SIZE, _TOO_LARGE, _SIZE = range(9)


@compiled
def _first_fault(Z: np.ndarray, size: np.ndarray) -> tuple[int, int]:
    """``(kind, row)`` of the first fault; a wrong size is reported only if there is no other fault.

    ``size``: (2 n - 1,) int32 of ones; an id that has a parent becomes 0.
    """
    rows = Z.shape[0]
    n = rows + 1
    wrong_size, where = _SOUND, -1
    for i in range(rows):
        total = np.int32(0)
        for side in range(2):
            given = Z[i, side]
            if not given >= 0:  # NaN too
                return _NEGATIVE_ID, i
            if not given < n + i:
                return _TOO_EARLY, i
            child = np.int64(given)
            if child != given:
                return _FRACTIONAL_ID, i
            if size[child] == 0:
                return _TWICE, i
            total += size[child]
            size[child] = 0
        if not Z[i, 2] >= 0:
            return _HEIGHT, i
        if Z[i, 3] < 0:
            return _NEGATIVE_SIZE, i
        if Z[i, 3] > n:
            return _TOO_LARGE, i
        if Z[i, 3] != total and wrong_size == _SOUND:
            wrong_size, where = _SIZE, i
        size[n + i] = total
    return wrong_size, where


@compiled
def fill_sizes(Z: np.ndarray) -> None:
    """Set column 3 to the number of leaves of each row's cluster; ids that cannot be right count as leaves."""
    n = Z.shape[0] + 1
    for i in range(n - 1):
        Z[i, 3] = 0.0
        for side in range(2):
            child = Z[i, side]
            Z[i, 3] += Z[np.int64(child) - n, 3] if n <= child < n + i else 1.0


def _explain(Z: np.ndarray, fault: int, row: int, label: str) -> str:
    """The message for a fault: its kind, the row and its content, and the allowed values."""
    n = Z.shape[0] + 1
    first, second, height, count = (float(x) for x in Z[row])
    where = f"(row {row}: [{first:g}, {second:g}, {height:g}, {count:g}])"
    if fault == _NEGATIVE_ID:
        return f"Linkage {label}contains negative indices, or NaN {where}."
    if fault == _FRACTIONAL_ID:
        return f"Linkage {label}contains indices that are not whole numbers {where}."
    if fault == _TOO_EARLY:
        return (
            f"Linkage {label}uses non-singleton cluster before it is formed {where}: "
            f"with n={n} observations this row may use ids below {n + row}."
        )
    if fault == _TWICE:
        pair = {int(first), int(second)}
        if len(pair) == 1:
            return f"Linkage {label}uses the same cluster more than once {where}."
        earlier = np.argwhere(np.isin(Z[:row, :2], list(pair)))
        before = f", first in row {earlier[0][0]}" if len(earlier) else ""
        return f"Linkage {label}uses the same cluster more than once {where}{before}."
    if fault == _HEIGHT:
        problem = "distances that are NaN" if np.isnan(height) else "negative distances"
        return f"Linkage {label}contains {problem} {where}."
    if fault == _NEGATIVE_SIZE:
        return f"Linkage {label}contains negative counts {where}."
    if fault == _TOO_LARGE:
        return f"Linkage {label}contains excessive observations in a cluster {where}: there are {n} in all."
    return f"Linkage {label}contains counts that are not the sum of those of the two clusters joined {where}."


def _as_table(values: ArrayLike, kind: str, cast: bool, as_scipy: bool = False) -> np.ndarray:
    """``values`` as a C-contiguous float64 array with four columns. ``kind`` begins the messages.

    ``as_scipy``: only what SciPy takes. Otherwise objects that are all real numbers will do (a nullable data frame).
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{kind}must be a plain array; masked arrays are not supported.")
    table = to_host(typed_array(values, kind.strip(), TypeError))
    if as_scipy and np.asarray(values).dtype.kind == "O":
        raise TypeError(f"{kind}must contain doubles, got dtype object.")
    if table.dtype != np.float64 and (not cast or table.dtype.kind not in "biuf"):
        raise TypeError(f"{kind}must contain doubles, got dtype {table.dtype}.")
    if table.ndim != 2:
        raise ValueError(f"{kind}must have shape=2 (i.e. be two-dimensional), got shape {table.shape}.")
    if table.shape[1] != 4:
        raise ValueError(f"{kind}must have 4 columns, got {table.shape[1]}.")
    if len(table) >= MOST:
        raise ValueError(f"{kind}must have at most {MOST - 1:,} rows, got {len(table):,}.")
    table = np.ascontiguousarray(table, dtype=np.float64)
    return table if table.flags.writeable else table.copy()  # compiled code has one array type


def _examined(Z: ArrayLike, label: str, cast: bool, as_scipy: bool = False) -> tuple[np.ndarray, int, int]:
    """The table of a linkage matrix, the kind of its first fault (`_SOUND`: it has none), and the row of that."""
    table = _as_table(Z, f"Linkage matrix {label}", cast, as_scipy)
    if table.shape[0] == 0:
        raise ValueError("Linkage must be computed on at least two observations.")
    if table.shape[0] == 1 and table[0, 3] != 2.0:  # SciPy accepts any size there, and its tests use 4
        table = table.copy()
        table[0, 3] = 2.0
    return table, *brief(_first_fault, len(table))(table, np.ones(2 * table.shape[0] + 1, dtype=np.int32))


def as_linkage(Z: ArrayLike, name: str | None = "Z", *, cast: bool = True) -> np.ndarray:
    """Check a linkage matrix, and return it in the form that compiled code takes.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    name : str or None
        Name of the argument, for messages.
    cast : bool
        Accept other real dtypes (most functions of the namespace do). With False the dtype must be float64, or
        that of objects which are all real numbers.

    Returns
    -------
    ndarray
        float64, C-contiguous, writable, shape (n - 1, 4): ``Z`` itself where it is so already.

    Raises
    ------
    TypeError
        Not real numbers, or (without ``cast``) not float64.
    ValueError
        Wrong shape, or a bad row: ids negative, fractional, used twice or before they are formed, heights negative
        or NaN, sizes negative or above n.

    Warns
    -----
    LinkageWarning
        Other sizes that do not follow from the ids; in what is returned they do.

    Notes
    -----
    O(n) time, 8 n bytes. The size in a ``Z`` of one row, which can only be 2, is set without a check.
    """
    label = f"{name!r} " if name else ""
    table, fault, row = _examined(Z, label, cast)
    if fault == _SIZE:
        said = _explain(table, fault, row, label).rstrip(".")
        table = table.copy()
        fill_sizes(table)
        warn(f"{said}. The sizes are taken from the ids of the clusters instead.", LinkageWarning)
    elif fault != _SOUND:
        raise ValueError(_explain(table, fault, row, label))
    return table


def as_inconsistency(
    R: ArrayLike, name: str | None = "R", *, cast: bool = True, as_scipy: bool = False
) -> np.ndarray:
    """Check an inconsistency matrix (see `inconsistent`) and return it as C-contiguous float64, shape (n - 1, 4).

    Raises
    ------
    TypeError
        Not real numbers, or (without ``cast``) not float64.
    ValueError
        Wrong shape, no row, or a negative mean, standard deviation or link count; the message names the row.
    """
    label = f"{name!r} " if name else ""
    table = _as_table(R, f"Inconsistency matrix {label}", cast, as_scipy)
    if table.shape[0] < 1:
        raise ValueError(f"Inconsistency matrix {label}must have at least one row.")
    names = ("link height means", "link height standard deviations", "link counts")
    for column, what in enumerate(names):
        bad = table[:, column] < 0
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"Inconsistency matrix {label}contains negative {what} (row {row}: {table[row, column]:g})."
            )
    return table


def children(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two child ids of each merge of a checked ``Z``: ``(left, right)``, int64, shape (n - 1,) each."""
    return Z[:, 0].astype(np.int64), Z[:, 1].astype(np.int64)


def sizes(Z: np.ndarray) -> np.ndarray:
    """Observations in each cluster of a checked ``Z``: int64, shape (2 n - 1,), the n leaves (1 each) first."""
    n = Z.shape[0] + 1
    result = np.ones(2 * n - 1, dtype=np.int64)
    result[n:] = Z[:, 3]
    return result


def is_valid_linkage(Z: ArrayLike, warning: bool = False, throw: bool = False, name: str | None = None) -> bool:
    """Check the validity of a linkage matrix.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix: float64. Row i joins the clusters ``Z[i, 0]`` and ``Z[i, 1]`` (ids below
        n+i, each used once) at height ``Z[i, 2] >= 0`` into cluster n+i of ``Z[i, 3]`` observations. Rows need
        not be in the order of heights.
    warning : bool, optional
        Issue a `ClusterWarning` if it is not valid.
    throw : bool, optional
        Raise an error if it is not valid.
    name : str, optional
        Name of the variable, for the message.

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        With ``throw``: not float64.
    ValueError
        With ``throw``: wrong shape, or a bad row, which the message names.

    Notes
    -----
    As SciPy, except that ids which are not integers and heights that are NaN are invalid. Sizes that do not add up
    are accepted as long as none is negative or above n; functions that take a linkage matrix recompute them, with a
    `LinkageWarning`. O(n).

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.hierarchy import is_valid_linkage
    >>> is_valid_linkage(np.array([[0.0, 1.0, 0.5, 2.0]]))
    True
    >>> is_valid_linkage(np.array([[0.0, 0.0, 0.5, 2.0]]))
    False
    """
    label = f"{name!r} " if name else ""
    try:
        table, fault, row = _examined(Z, label, cast=False, as_scipy=True)
        if fault not in (_SOUND, _SIZE):
            raise ValueError(_explain(table, fault, row, label))
    except (TypeError, ValueError) as error:
        return _refused(error, warning, throw)
    return True


def is_valid_im(R: ArrayLike, warning: bool = False, throw: bool = False, name: str | None = None) -> bool:
    """Check the validity of an inconsistency matrix.

    Parameters
    ----------
    R : array_like of shape (n - 1, 4)
        Inconsistency matrix: float64, no negative means, standard deviations or link counts.
    warning : bool, optional
        Issue a `ClusterWarning` if it is not valid.
    throw : bool, optional
        Raise an error if it is not valid.
    name : str, optional
        Name of the variable, for the message.

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        With ``throw``: not float64.
    ValueError
        With ``throw``: wrong shape, or negative values; the message names the row.

    Notes
    -----
    O(n) time.

    Examples
    --------
    >>> from gpuclust.hierarchy import inconsistent, is_valid_im, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> is_valid_im(inconsistent(Z))
    True
    """
    try:
        as_inconsistency(R, name, cast=False, as_scipy=True)
    except (TypeError, ValueError) as error:
        return _refused(error, warning, throw)
    return True


def _refused(error: Exception, warning: bool, throw: bool) -> bool:
    """Raise or warn of a failed validity check."""
    if throw:
        raise error
    if warning:
        warnings.warn(str(error), ClusterWarning, stacklevel=3)
    return False


def is_monotonic(Z: ArrayLike) -> bool:
    """Whether the heights of a linkage matrix never decrease from one row to the next.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix: float64.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If ``Z`` is not a valid linkage matrix (see `is_valid_linkage`).

    Notes
    -----
    O(n) time.

    Examples
    --------
    >>> from gpuclust.hierarchy import is_monotonic, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> is_monotonic(Z)
    True
    """
    heights = as_linkage(Z, "Z", cast=False)[:, 2]
    return bool((heights[1:] >= heights[:-1]).all())


def num_obs_linkage(Z: ArrayLike) -> int:
    """Number of original observations of a linkage matrix: n for a ``Z`` of n-1 rows.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix: float64.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If ``Z`` is not a valid linkage matrix (see `is_valid_linkage`).

    Notes
    -----
    O(n) time, for the check of ``Z``.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, num_obs_linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> num_obs_linkage(Z)
    4
    """
    return as_linkage(Z, "Z", cast=False).shape[0] + 1
