"""Points in the plane from distances: classical scaling of landmarks, to which the other observations are added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Largest number of landmarks, and number of observations that are placed at a time.
_LANDMARKS, _BLOCK = 300, 4096


def embedded(condensed: NDArray[np.generic]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Place observations in the plane by their dissimilarities (landmark MDS).

    Parameters
    ----------
    condensed : ndarray of shape (n (n - 1) / 2,)

    Returns
    -------
    place : ndarray of shape (n, 2), float64
    shares : tuple of float
        Share of each axis in the sum of the positive eigenvalues of the landmarks.

    Notes
    -----
    O(n l + l³) time for l <= 300 landmarks, drawn at random from a fixed seed. With as many landmarks as observations
    it is classical scaling.

    References
    ----------
    V. de Silva, J. B. Tenenbaum, "Sparse multidimensional scaling using landmark points" (2004).
    """
    n = int((1 + np.sqrt(1 + 8 * condensed.size)) / 2)
    landmarks: np.ndarray = np.arange(n)
    if n > _LANDMARKS:
        landmarks = np.sort(np.random.default_rng(0).choice(n, _LANDMARKS, replace=False))
    scale = float(np.abs(condensed).max()) or 1.0  # squares of very large or small distances over- or underflow
    squares = (_between(condensed, n, landmarks, landmarks) / scale) ** 2
    means = squares.mean(axis=0)
    values, vectors = np.linalg.eigh(-0.5 * (squares - means - means[:, None] + means.mean()))
    values, vectors = values[::-1], vectors[:, ::-1]
    total = float(values[values > 0].sum()) or 1.0
    used = np.flatnonzero(values[:2] > 1e-12 * total)
    place = np.zeros((n, 2))
    axes = np.zeros((len(landmarks), 2))
    axes[:, used] = vectors[:, used] / np.sqrt(values[used])
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), (0, 1)] < 0, -1.0, 1.0)  # the same picture on every machine
    for begin in range(0, n, _BLOCK):
        some = np.arange(begin, min(begin + _BLOCK, n))
        place[some] = -0.5 * ((_between(condensed, n, some, landmarks) / scale) ** 2 - means) @ axes
    shares = tuple(float(max(value, 0.0)) / total for value in (*values[:2], 0.0, 0.0)[:2])
    return place * scale, (shares[0], shares[1])


def _between(
    condensed: NDArray[np.generic], n: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dissimilarities of observations, shape (rows, columns), from the condensed matrix of n."""
    i, j = np.minimum(rows[:, None], columns), np.maximum(rows[:, None], columns)
    same = i == j
    where = np.where(same, 0, n * i - i * (i + 1) // 2 + j - i - 1)
    return np.where(same, 0.0, condensed[where].astype(np.float64))
