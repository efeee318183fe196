"""Verifier of linkage matrices for given dissimilarities, with ties; see also `exact_judge`.

If dissimilarities are equal the tree is not unique, so two valid results can differ in every id. Z is valid if each
merge joins a closest pair at its step, by the definition of the linkage, at the height of that pair.
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
