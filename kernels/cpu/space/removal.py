"""Removal of rows from large arrays, in place and on all threads."""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import compiled, ranges, run

#: Columns that one thread moves at a time: rows go to where other rows were, so threads divide the columns.
COLUMNS = 768
#: Numbers below which one thread does all the work, about 100 microseconds.
SMALL = 1 << 18


@compiled
def move_rows(rows, kept, begin, end):
    """Row ``kept[i]`` becomes row i, in the columns ``begin`` to ``end - 1``; ``kept`` is in ascending order."""
    for i in range(kept.size):
        x = kept[i]
        if x != i:
            for k in range(begin, end):
                rows[i, k] = rows[x, k]


def keep_rows(arrays: list[np.ndarray], kept: np.ndarray) -> None:
    """Remove all rows but ``kept``, in ascending order, from arrays of one shape (n, m) that own their memory.

    In place: no memory is allocated, and what the other rows took is free afterwards. Nothing else may refer to the
    arrays' memory.
    """
    m = arrays[0].shape[1]
    pieces = [(array, kept, *piece) for piece in ranges(m, COLUMNS) for array in arrays]
    run(move_rows, pieces, threads=kept.size * m > SMALL)
    for array in arrays:
        array.resize((kept.size, m), refcheck=False)
