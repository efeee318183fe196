"""Signatures of the functions of CuPy that gpuclust uses, as CuPy 14.2 has them; 13.6 has the same parameters.

The stand-in of `fake_cuda` takes these arguments and no others. `test_driver.py` compares them with CuPy where it
is installed.
"""

from __future__ import annotations

SIGNATURES = {
    "all": "(a, axis=None, out=None, keepdims=False)",
    "allclose": "(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)",
    "arange": "(start, stop=None, step=1, dtype=None)",
    "argsort": "(a, axis=-1, kind=None)",
    "argwhere": "(a)",
    "array": "(obj, dtype=None, copy=True, order='K', subok=False, ndmin=0)",
    "asarray": "(a, dtype=None, order=None)",
    "ascontiguousarray": "(a, dtype=None)",
    "concatenate": "(tup, axis=0, out=None)",
    "count_nonzero": "(a, axis=None)",
    "cumsum": "(a, axis=None, dtype=None, out=None)",
    "diag": "(v, k=0)",
    "empty": "(shape, dtype=float, order='C')",
    "flatnonzero": "(a)",
    "from_dlpack": "(x)",
    "isfinite": "(x)",
    "lexsort": "(keys)",
    "maximum": "(x1, x2)",
    "minimum": "(x1, x2)",
    "searchsorted": "(a, v, side='left', sorter=None)",
    "sort": "(a, axis=-1, kind=None)",
    "stack": "(tup, axis=0, out=None)",
    "take": "(a, indices, axis=None, out=None)",
    "unique": "(ar, return_index=False, return_inverse=False, return_counts=False, axis=None)",
    "where": "(condition, x=None, y=None)",
    "zeros": "(shape, dtype=float, order='C')",
    "zeros_like": "(a, dtype=None, order='K', subok=None, shape=None)",
}
