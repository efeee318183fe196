"""Cophenetic distances: at what height do two observations come together, for every pair.

Their mean and scatter follow from the tree alone, as each merge joins a known number of pairs. So a correlation with
other distances takes only sums over those, made where the distances are: in the condensed rows as they are written,
or in tiles that are computed from points and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.hierarchy.cophenetic_rows import Array, Arrays, add_tile, write_rows
from gpuclust.hierarchy.ordering import leaf_positions
from gpuclust.hierarchy.validity import as_linkage, children
from gpuclust.kernels.cpu.launch import ranges, run

_PAIRS_PER_PIECE = 1 << 22  # some 10 ms of work
_SAMPLE = 1 << 12  # distances looked at for a first guess of their mean
_STRIP = 128  # rows of distances that a thread streams at a time
_TILE = 2048  # columns of them that it holds at a time: 2 MiB


class _Tree:
    """What the kernels want to know of a checked ``Z``."""

    def __init__(self, Z: Array) -> None:
        n = Z.shape[0] + 1
        self.n = n
        self.left, self.right = children(Z)
        self.start, self.size = leaf_positions(Z)
        self.height = np.ascontiguousarray(Z[:, 2])
        self.gap = np.empty(n - 1, dtype=np.int64)
        self.gap[self.start[self.right] - 1] = np.arange(n - 1)  # the gap before its right branch
        self.leaves = np.empty(n, dtype=np.uint32)
        self.leaves[self.start[:n]] = np.arange(n)
        pairs = self.size[self.left].astype(np.float64) * self.size[self.right]
        with np.errstate(invalid="ignore"):  # an infinite height: the correlation is NaN
            self.mean = (pairs * self.height).sum() / pairs.sum()
            self.scatter = (pairs * (self.height - self.mean) ** 2).sum()

    @property
    def arrays(self) -> Arrays:
        """What the kernels have in common."""
        return self.gap, self.left, self.right, self.start, self.size, self.height


def _condensed_rows(tree: _Tree, Y: Array, shift: float) -> tuple[Array, Array]:
    """All condensed cophenetic distances and, with ``Y``, the sums of `products` over all pairs."""
    n = tree.n
    out = np.empty(n * (n - 1) // 2)
    sums = np.empty((n, 3) if len(Y) else (0, 3))
    fixed = (tree.leaves, tree.arrays, Y, shift, tree.mean, out, sums)
    run(lambda first, last: write_rows(first, last, *fixed), ranges(n, max(64, _PAIRS_PER_PIECE // n)))
    return out, sums.sum(axis=0)


def _correlation(tree: _Tree, sums: Callable[[float], Array], guess: float) -> np.float64:
    """Correlation from sums about a guess of the mean of y; about the mean itself if the guess was a bad one."""
    pairs = tree.n * (tree.n - 1) / 2
    total, squares, product = sums(guess)
    if total * total > 0.5 * squares * pairs:
        total, squares, product = sums(guess + total / pairs)
    return product / (np.sqrt(squares - total * total / pairs) * np.sqrt(tree.scatter))


def cophenet(Z: ArrayLike, Y: ArrayLike | None = None) -> Any:
    """
    Cophenetic distances: the height at which two observations first are in one cluster, for every pair.

    Parameters
    ----------
    Z : array_like
        Linkage matrix, shape (n-1, 4).
    Y : array_like, optional
        Condensed distances from which ``Z`` was made, shape (n(n-1)/2,).

    Returns
    -------
    c : float
        Cophenetic correlation: Pearson's, of ``Y`` and the cophenetic distances. Only with ``Y``. NaN (and a
        RuntimeWarning, as from SciPy) where one of the two is constant.
    d : ndarray
        Cophenetic distances, condensed: float64, shape (n(n-1)/2,).

    Raises
    ------
    TypeError
        ``Z`` or ``Y`` does not hold real numbers.
    ValueError
        ``Z`` is not a valid linkage matrix, or ``Y`` is not of the shape of condensed distances of n observations.

    See Also
    --------
    cophenetic_correlation : the correlation alone, without n² memory.

    Notes
    -----
    O(n²) time on all threads, and no memory of that size beyond the result. The mean and the scatter of the
    cophenetic distances come from the tree; the other sums are made in one pass, the same for any number of threads.
    """
    Z = as_linkage(Z)
    if Y is None:
        return _condensed_rows(_Tree(Z), np.empty(0), 0.0)[0]
    from gpuclust.distance import num_obs_y

    given = np.asarray(Y)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"Condensed distance matrix 'Y' must hold real numbers, got dtype {given.dtype}.")
    if num_obs_y(given) != len(Z) + 1:
        raise ValueError(
            f"'Y' has {len(given)} distances, which are not those of the {len(Z) + 1} observations of Z."
        )
    distances = np.ascontiguousarray(given, dtype=np.float64)

    tree = _Tree(Z)
    result = np.empty(0)

    def sums(shift: float) -> Array:
        nonlocal result
        result = np.empty(0)  # of a first attempt
        result, found = _condensed_rows(tree, distances, shift)
        return found

    guess = distances[:: max(1, len(distances) // _SAMPLE)].mean()
    return _correlation(tree, sums, guess), result


def cophenetic_correlation(
    Z: ArrayLike, X: ArrayLike, metric: str | Callable[..., float] = "euclidean", **kwargs: Any
) -> float:
    """
    Cophenetic correlation from points, without any array of the size of n².

    Parameters
    ----------
    Z : array_like
        Linkage matrix, shape (n-1, 4).
    X : array_like
        The points that it was made from, shape (n, m).
    metric : str or callable, optional
        Metric between points, as for `gpuclust.distance.pdist`; symmetric.
    **kwargs
        Parameters of the metric (``p``, ``w``, ``V``, ``VI``), as for `gpuclust.distance.pdist`.

    Returns
    -------
    float
        ``cophenet(Z, pdist(X, metric))[0]``.

    Raises
    ------
    TypeError
        ``Z`` does not hold real numbers, or the metric does not take a parameter.
    ValueError
        ``Z`` is not a valid linkage matrix, ``X`` is not n points, or the metric is unknown.

    Notes
    -----
    O(n² m) time on all threads; O(n m) memory, and 2 MiB a thread. The same for any number of threads.
    """
    tree = _Tree(as_linkage(Z))
    distances = _tiles_of(np.asarray(X), tree, metric, kwargs)
    n = tree.n

    def sums(shift: float) -> Array:
        strips = ranges(n, _STRIP)
        found = np.zeros((len(strips), 3))

        def stream(strip: int) -> None:
            q0, q1 = strips[strip]
            row = np.empty(_TILE)
            top = -1
            for r0, r1 in ((r + q0, min(r + q0 + _TILE, n)) for r in range(0, n - q0, _TILE)):
                tile = distances(slice(q0, q1), slice(r0, r1))
                top = add_tile(tile, q0, r0, top, tree.arrays, shift, tree.mean, row, found[strip])

        run(stream, ((strip,) for strip in range(len(strips))))
        return found.sum(axis=0)

    some = max(1, n // 64)
    guess = distances(slice(0, None, some), slice(some // 2, None, some)).mean()
    return float(_correlation(tree, sums, guess))


def _tiles_of(
    X: Array, tree: _Tree, metric: str | Callable[..., float], kwargs: dict[str, Any]
) -> Callable[[slice, slice], Array]:
    """A function that gives the distances between two stretches of leaf order, C-contiguous float64."""
    from gpuclust.metrics import Points, check_points, prepare

    X = check_points(X)
    if len(X) != tree.n:
        raise ValueError(f"X holds {len(X)} points, but Z has {tree.n} observations.")
    X = X[tree.leaves]
    if not isinstance(metric, str):
        from gpuclust.distance import cdist

        return lambda rows, columns: cdist(X[rows], X[columns], metric, **kwargs)

    from gpuclust.kernels.cpu.pairwise import pairwise

    points = prepare(X, metric, **kwargs)

    def part(which: slice) -> Points:
        features = np.ascontiguousarray(points.features[:, which])
        return Points(points.metric, features, points.summary[which].copy(), points.weights, points.p)

    return lambda rows, columns: pairwise(part(rows), part(columns))
