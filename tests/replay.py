"""A verifier of linkage matrices that knows about ties, for dissimilarities that are given: see `exact_judge`.

Where dissimilarities are equal the tree is not unique, so two right answers can differ in every id. What makes Z
right is that each of its merges joins a closest pair at that moment, under the definition of the linkage, and says so
truly.
"""

from __future__ import annotations

import numpy as np
from exact_judge import judge


def replay(Z: np.ndarray, square: np.ndarray, method: str, rtol: float = 1e-9, atol: float = 0.0) -> None:
    """Raise AssertionError at the first row of Z that is not a closest pair of the clusters of that moment.

    ``square`` is the full matrix of dissimilarities; ``rtol`` is relative to the dissimilarity of each merge,
    ``atol`` absolute (`exact_judge.judge`). O(n²) numbers in extended precision.
    """
    judge(Z, square, method, rtol, atol)
