"""A verifier of linkage matrices that knows about ties: it replays Z and looks at every merge.

Where dissimilarities are equal the tree is not unique, so two right answers can differ in every id. What makes Z
right is that each of its merges joins a closest pair at that moment, under the definition of the linkage, and says so
truly.
"""

from __future__ import annotations

import numpy as np

from gpuclust import methods


def replay(Z: np.ndarray, square: np.ndarray, method: str, rtol: float = 1e-9) -> None:
    """Raise AssertionError at the first row of Z that is not a closest pair of the clusters of that moment.

    ``square`` is the full matrix of dissimilarities. O(n³): for small n.
    """
    rule = methods.METHODS[method]
    n = len(square)
    assert Z.shape == (n - 1, 4), f"Z has shape {Z.shape}, for {n} observations"
    work = np.array(square, dtype=np.float64)
    if rule.on_squares:
        work = work**2
    np.fill_diagonal(work, np.inf)
    scale = np.max(work[np.isfinite(work)], initial=0.0)
    row_of = {k: k for k in range(n)}
    members = dict.fromkeys(range(n), 1.0)
    for i, (a, b, height, count) in enumerate(Z):
        assert a < b, f"row {i}: ids {a}, {b} are not in order"
        assert int(a) in row_of, f"row {i}: cluster {a} does not exist at this moment"
        assert int(b) in row_of, f"row {i}: cluster {b} does not exist at this moment"
        rows = np.array(sorted(row_of.values()))
        x, y = row_of.pop(int(a)), row_of.pop(int(b))
        d = work[x, y]
        closest = work[np.ix_(rows, rows)].min()
        assert d <= closest + rtol * max(closest, 1e-6 * scale), (
            f"row {i}: pair at {d}, but a pair at {closest} exists"
        )
        value = height**2 if rule.on_squares else height
        assert abs(value - d) <= rtol * max(d, 1e-6 * scale), f"row {i}: height {value}, but the pair is at {d}"
        sizes = members[x], members[y]
        assert count == sizes[0] + sizes[1], f"row {i}: count {count}, but the cluster has {sum(sizes)}"
        weight = (lambda k: members[k]) if rule.counted else (lambda k: 1.0)
        for k in row_of.values():
            work[x, k] = work[k, x] = rule.update(work[x, k], work[y, k], d, weight(x), weight(y), weight(k))
        work[y] = work[:, y] = np.inf
        members[x] = count
        row_of[n + i] = x
