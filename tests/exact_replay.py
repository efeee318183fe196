"""Verifier of centroid and median linkage with centroids in exact integer arithmetic.

Every merge must be a closest pair at its step, at its true distance, both with a small tolerance relative to that
distance, however near to each other the clusters are, and however far from the origin. Duplicates must merge at 0.
"""

from __future__ import annotations

import numpy as np


def exact_replay(Z: np.ndarray, X: np.ndarray, method: str, rtol: float = 1e-12) -> None:
    """Raise AssertionError at the first row of Z that joins no closest pair, or not at its distance. O(n³)."""
    n, m = X.shape
    assert Z.shape == (n - 1, 4)
    # All coordinates are whole multiples of a power of two; a centroid is ``number / share`` of these.
    lowest = min((int(np.frexp(value)[1]) for value in X[X != 0]), default=0) - 53
    number = np.empty((2 * n - 1, m), object)
    number[:n] = [[_whole(value, lowest) for value in row] for row in X.tolist()]
    share = np.ones(2 * n - 1, object)
    square = np.full((2 * n - 1, 2 * n - 1), np.inf)
    for k in range(1, n):
        square[k, :k] = square[:k, k] = _squares(number, share, k, np.arange(k), lowest)
    count = np.ones(2 * n - 1, np.int64)
    here = np.arange(n)
    for i, (a, b, height, observations) in enumerate(Z):
        a, b, u = int(a), int(b), n + i
        assert a < b, f"row {i}: ids {a}, {b} are not in order"
        assert a in here, f"row {i}: cluster {a} does not exist at this moment"
        assert b in here, f"row {i}: cluster {b} does not exist at this moment"
        distance, closest = np.sqrt(square[a, b]), np.sqrt(square[np.ix_(here, here)].min())
        assert abs(height - distance) <= rtol * distance, f"row {i}: height {height}, but the pair is at {distance}"
        assert distance <= closest * (1 + rtol), f"row {i}: pair at {distance}, but a pair at {closest} exists"
        count[u] = count[a] + count[b]
        assert observations == count[u], f"row {i}: count {observations}, but the cluster has {count[u]}"
        if method == "centroid":
            number[u], share[u] = number[a] + number[b], share[a] + share[b]
        else:
            share[u] = 2 * max(share[a], share[b])  # powers of two
            number[u] = number[a] * (share[u] // 2 // share[a]) + number[b] * (share[u] // 2 // share[b])
        here = here[(here != a) & (here != b)]
        if here.size:
            square[u, here] = square[here, u] = _squares(number, share, u, here, lowest)
        here = np.append(here, u)


def _whole(value: float, lowest: int) -> int:
    above, below = value.as_integer_ratio()
    return above << -lowest >> below.bit_length() - 1 if lowest < 0 else above >> lowest


def _squares(number: np.ndarray, share: np.ndarray, u: int, others: np.ndarray, lowest: int) -> np.ndarray:
    """Squared distances of cluster u to others, rounded once."""
    away = number[others] * share[u] - number[u] * share[others, None]
    above, below = (away * away).sum(axis=1), (share[others] * share[u]) ** 2
    scaled = below << -2 * lowest if lowest < 0 else below
    return np.array([(x << max(2 * lowest, 0)) / y for x, y in zip(above, scaled, strict=True)], np.float64)
