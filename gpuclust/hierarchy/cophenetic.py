"""Cophenetic distances, and their correlation with distances of points.

The mean and scatter of cophenetic distances follow from the tree alone, as each merge joins a known number of pairs.
So a correlation with other distances takes only sums over those, which are computed while the condensed rows are
written, or from tiles that are computed from points and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.algorithms import costs
from gpuclust.core.backend import Backend, select
from gpuclust.core.device import Device
from gpuclust.core.devices import check_output, to_output
from gpuclust.core.jit import aside
from gpuclust.core.real_arrays import real_array, to_host
from gpuclust.hierarchy.leaf_tree import Array, LeafTree
from gpuclust.hierarchy.validity import as_linkage
from gpuclust.kernels.cpu.matrix.cophenetic import condensed_rows, correlate_tiles

SAMPLE = 1 << 12  # distances from which their mean is first estimated


def _correlation(tree: LeafTree, sums: Callable[[float], Array], sample: Array) -> np.float64:
    """Correlation from sums about an estimate of the mean of y, or about the mean itself if the estimate is poor.

    The estimate is the value of a ``sample`` that is nearest to its mean: values that differ from it in their last
    bits are subtracted exactly, and a constant y gives zero.
    """
    values = np.ravel(sample)
    guess = float(values[np.abs(values - values.mean()).argmin()])
    pairs = tree.n * (tree.n - 1) / 2
    total, squares, product = sums(guess)
    if total * total > 0.5 * squares * pairs:
        total, squares, product = sums(guess + total / pairs)
    covariance = product - tree.offset * total
    return np.clip(covariance / (np.sqrt(squares - total * total / pairs) * np.sqrt(tree.scatter)), -1.0, 1.0)


def cophenet(Z: ArrayLike, Y: ArrayLike | None = None, *, output: str = "numpy") -> Any:
    """Cophenetic distances: for each pair of observations the height at which they first are in one cluster.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    Y : array_like of shape (n (n - 1) / 2,), optional
        Condensed distances from which ``Z`` was made.
    output : {'numpy', 'cupy'}, optional
        Where to leave the distances: 'cupy' for a CuPy array on the current device.

    Returns
    -------
    c : float
        Cophenetic correlation: Pearson's, of ``Y`` and the cophenetic distances, from -1 to 1. Only with ``Y``. NaN
        (and a RuntimeWarning, as from SciPy) where one of the two is constant.
    d : ndarray
        Cophenetic distances, condensed: float64, shape (n (n - 1) / 2,).

    Raises
    ------
    TypeError
        ``Z`` or ``Y`` does not hold real numbers.
    ValueError
        ``Z`` is not a valid linkage matrix, ``Y`` is not of the shape of condensed distances of n observations, or
        ``output`` is unknown.
    DoesNotFit
        If the result is larger than the memory that is available.
    BackendUnavailable
        CuPy is requested and not available.

    See Also
    --------
    cophenetic_correlation : the correlation alone, without n² memory.

    Notes
    -----
    O(n²) time on all threads, and no memory of that size beyond the result. The mean and the scatter of the
    cophenetic distances come from the tree; the other sums take one pass, in an order that is the same for any number
    of threads.

    Examples
    --------
    >>> from gpuclust.hierarchy import cophenet, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> cophenet(Z)
    array([1. , 5.5, 5.5, 5.5, 5.5, 2. ])
    """
    check_output(output)
    Z = as_linkage(Z)
    if Y is None:
        return to_output(condensed_rows(LeafTree(Z), np.empty(0), 0.0)[0], output)
    from gpuclust.distance import num_obs_y

    given = to_host(real_array(Y, "Y", TypeError))
    if num_obs_y(given) != len(Z) + 1:
        raise ValueError(
            f"'Y' has {len(given)} distances, which are not those of the {len(Z) + 1} observations of Z."
        )
    distances = np.ascontiguousarray(given, dtype=np.float64)

    tree = LeafTree(Z)
    result = np.empty(0)

    def sums(shift: float) -> Array:
        nonlocal result
        result = np.empty(0)  # of a first attempt
        result, found = condensed_rows(tree, distances, shift)
        return found

    return _correlation(tree, sums, distances[:: max(1, len(distances) // SAMPLE)]), to_output(result, output)


def cophenetic_correlation(
    Z: ArrayLike,
    X: ArrayLike,
    metric: str | Callable[..., float] = "euclidean",
    *,
    device: str = "auto",
    **kwargs: Any,
) -> float:
    """Cophenetic correlation from points, without any array of the size of n².

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    X : array_like of shape (n, m)
        The points that it was made from. Also on a CUDA device, as for `gpuclust.linkage`.
    metric : str or callable, optional
        Metric between points, as for `gpuclust.distance.pdist`; symmetric. A callable is called on the host.
    device : str, optional
        As for `gpuclust.linkage`; "auto" uses a GPU if one is available and faster.
    **kwargs
        Parameters of the metric (``p``, ``w``, ``V``, ``VI``), as for `gpuclust.distance.pdist`.

    Returns
    -------
    float
        ``cophenet(Z, pdist(X, metric))[0]``, from -1 to 1; NaN where one of the two is constant.

    Raises
    ------
    TypeError
        ``Z`` does not hold real numbers, or the metric does not take a parameter.
    ValueError
        ``Z`` is not a valid linkage matrix, ``X`` is not n points, or the metric is unknown.

    Notes
    -----
    O(n² m) time on all threads or on the device; O(n m) memory, and 2 MiB a thread, or a slab of at most 256 MiB of
    distances and a table of n log n numbers on the device. The same for any number of threads.

    Examples
    --------
    >>> from gpuclust.hierarchy import cophenetic_correlation, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> round(float(cophenetic_correlation(Z, [[0.0], [1.0], [5.0], [7.0]])), 4)
    0.902
    """
    from gpuclust.distance import cdist

    tree, rows = in_leaf_order(Z, X, metric)
    some = max(1, tree.n // 64)
    if isinstance(metric, str):
        where = Device(device)
        if where.automatic:
            where, _ = costs.choose(costs.PAIRS, tree.n, rows.shape[1], "float64", rows.size * 8)
        return by_backend(select(where), tree, rows, metric, **kwargs)

    def tile(q0: int, q1: int, r0: int, r1: int) -> Array:
        return cdist(rows[q0:q1], rows[r0:r1], metric, **kwargs)

    few = cdist(rows[::some], rows[some // 2 :: some], metric, **kwargs)
    return float(_correlation(tree, lambda shift: correlate_tiles(tile, tree, shift, tree.centre), few))


def in_leaf_order(Z: ArrayLike, X: ArrayLike, metric: Any) -> tuple[LeafTree, Array]:
    """A checked tree, and its points in leaf order."""
    from gpuclust.core.points import check_points

    tree = LeafTree(as_linkage(Z))
    given = check_points(to_host(real_array(X, "X", numbers=not callable(metric))), "X", not callable(metric))
    if len(given) != tree.n:
        raise ValueError(f"X holds {len(given)} points, but Z has {tree.n} observations.")
    return tree, aside(lambda: given[tree.leaves])


def by_backend(backend: Backend, tree: LeafTree, rows: Array, metric: str, **kwargs: Any) -> float:
    """Cophenetic correlation of points in leaf order by a metric of the table."""
    from gpuclust.core.preparation import prepare
    from gpuclust.kernels.reference.pairwise import pairwise

    some = max(1, tree.n // 64)
    points = prepare(rows, metric, power=2, **kwargs)
    few = pairwise(points.at(slice(0, None, some)), points.at(slice(some // 2, None, some)))
    with backend.active():
        return float(_correlation(tree, lambda shift: backend.correlate(points, tree, shift, tree.centre), few))
