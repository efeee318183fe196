"""Run the CPU's kernels as plain Python, with block sizes small enough for a few dozen points to fill many blocks.

Nothing is compiled, so an edit of a kernel takes effect at once and every line can be traced: that is what mutation
tests and coverage of kernels need. `install` must be called before any kernel module is imported.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import numpy as np

#: Block sizes that kernels are compiled with: modules, names and values. Set before other modules import them.
SMALL = [
    ("gpuclust.core.sizes", "TILE", 4),
    ("gpuclust.core.sizes", "PITCH", 6),
    ("gpuclust.core.sizes", "STRIP", 8),
    ("gpuclust.core.sizes", "WHOLE", 16),
    ("gpuclust.kernels.cpu.space.kdtree", "LEAF", 4),
    ("gpuclust.kernels.cpu.space.kdtree", "ROWS", 3),
    ("gpuclust.kernels.cpu.space.boxes", "LEAF", 3),
    ("gpuclust.kernels.cpu.space.simd", "LANES", 4),
    ("gpuclust.kernels.cpu.space.simd", "TOGETHER", 2),
    ("gpuclust.kernels.cpu.space.simd", "ACROSS", 4),
    ("gpuclust.kernels.cpu.space.simd", "LEAST", 4),
    ("gpuclust.kernels.cpu.clusters.greedy_sources", "BLOCK", 8),  # a multiple of TILE
]
#: The same, that only the module itself reads.
OWN = [
    ("gpuclust.kernels.cpu.clusters.summary_square", "BLOCK", 5),
    ("gpuclust.kernels.cpu.matrix.prim", "LANES", 4),
    ("gpuclust.kernels.cpu.matrix.rounds", "BAND", 2),  # divides TILE
    ("gpuclust.kernels.cpu.matrix.square", "BLOCK", 3),
    ("gpuclust.kernels.cpu.matrix.square", "POINTS", 5),
    ("gpuclust.kernels.cpu.matrix.square_merges", "BLOCK", 3),
    ("gpuclust.kernels.cpu.points.knn", "BLOCK", 5),
    ("gpuclust.kernels.cpu.points.nearest", "BLOCK", 5),
    ("gpuclust.kernels.cpu.clusters.summary_chain", "BLOCK", 5),
    ("gpuclust.kernels.cpu.space.pairwise", "_BLOCK", 5),
    ("gpuclust.kernels.cpu.space.removal", "COLUMNS", 3),
    ("gpuclust.kernels.cpu.space.pairwise", "_ROWS", 3),
]


def install() -> None:
    """Make kernel modules that are imported from now on plain Python."""
    assert "gpuclust.kernels.cpu.space.pairwise" not in sys.modules, "kernels are compiled already"
    np.seterr(all="ignore")  # as compiled code does
    warnings.simplefilter("ignore", RuntimeWarning)  # in other threads, where the line above has no effect
    sys.setswitchinterval(1e-5)  # or one thread is done before another begins
    launch: Any = importlib.import_module("gpuclust.core.jit")
    launch.compiled = lambda function: function
    launch.stamp = lambda *modules: ""
    metrics: Any = importlib.import_module("gpuclust.core.metrics")
    metrics.sqrt = np.sqrt  # of a float32 a float32, as in compiled code
    for module, name, value in SMALL:
        found = importlib.import_module(module)
        assert hasattr(found, name), f"{module} has no {name}"
        setattr(found, name, value)
    kdtree: Any = importlib.import_module("gpuclust.kernels.cpu.space.kdtree")
    for function in (kdtree.depth_for, kdtree.build):
        function.__defaults__ = (kdtree.LEAF,)
    lanes: Any = importlib.import_module("gpuclust.kernels.cpu.space.simd")
    for function in (
        products_at_most,
        products_at_most_either,
        sums_at_most,
        least_sum,
        others,
        lowest_bit,
        bit_count,
        squares,
        squares_of_strip,
        products_of_strip,
        add_dots,
        exact_squares,
        exact_products,
    ):
        assert hasattr(lanes, function.__name__)
        setattr(lanes, function.__name__, function)
    fours: Any = importlib.import_module("gpuclust.kernels.cpu.space.four_rows")
    fours.squares_of_four = squares_of_four
    prefetch: Any = importlib.import_module("gpuclust.kernels.cpu.space.prefetch")
    prefetch.ask = ask
    for module, name, value in OWN:
        found = importlib.import_module(module)
        assert hasattr(found, name), f"{module} has no {name}"
        setattr(found, name, value)


def _lanes(array: np.ndarray, start: int) -> np.ndarray:
    width: int = importlib.import_module("gpuclust.kernels.cpu.space.simd").LANES
    part = array[start : start + width]
    assert part.size == width, "read past the end of an array"
    return part


def _bits(found: np.ndarray) -> np.uint64:
    return np.uint64(sum(1 << int(k) for k in np.flatnonzero(found)))


def products_at_most(values, factors, start, limit):  # type: ignore[no-untyped-def]
    return _bits(_lanes(values, start) * _lanes(factors, start) <= limit)


def products_at_most_either(values, factors, start, limit, limits):  # type: ignore[no-untyped-def]
    return _bits(_lanes(values, start) * _lanes(factors, start) <= np.maximum(_lanes(limits, start), limit))


def sums_at_most(values, terms, start, limit):  # type: ignore[no-untyped-def]
    return _bits(_lanes(values, start) + _lanes(terms, start) <= limit)


def least_sum(values, terms, start, end):  # type: ignore[no-untyped-def]
    assert 0 <= start <= end - 4 <= values.size - 4, "read past the ends of an array"
    return np.fmin.reduce(values[start:end] + terms[start:end])


def ask(row, begin, end):  # type: ignore[no-untyped-def]
    assert 0 <= begin < end <= row.size, "asked for what is not in an array"


def others(numbers, start, own):  # type: ignore[no-untyped-def]
    return _bits(_lanes(numbers, start) != own)


def lowest_bit(bits):  # type: ignore[no-untyped-def]
    value = int(bits)
    return (value & -value).bit_length() - 1 if value else 64


def squares(features, ours, places, first, out):  # type: ignore[no-untyped-def]
    together: int = importlib.import_module("gpuclust.kernels.cpu.space.simd").TOGETHER
    for r in range(together):
        d = features - ours[:, places[first + r]][:, None]
        total = np.zeros(features.shape[1], features.dtype)
        for row in d:
            total = total + row * row
        out[r, : total.size] = total


def exact_squares(features, ours, places, first, out):  # type: ignore[no-untyped-def]
    squares(features, ours, places, first, out)


def exact_products(features, ours, places, first, out):  # type: ignore[no-untyped-def]
    for r in range(out.shape[0]):
        total = np.zeros(features.shape[1], features.dtype)
        for theirs, mine in zip(features, ours[:, places[first + r]], strict=True):
            total = total + theirs * mine
        out[r] = total


def squares_of_four(centers, low, x, four, out):  # type: ignore[no-untyped-def]
    assert len(low) in (0, len(centers))
    for side in range(4):
        total = centers.dtype.type(0)
        for k in range(centers.shape[1]):
            d = centers[x, k] - centers[four[side], k]
            if len(low):
                d += low[x, k] - low[four[side], k]
            total += d * d
        out[side] = total


def bit_count(bits):  # type: ignore[no-untyped-def]
    return int(bits).bit_count()


def squares_of_strip(features, ours, places, first, start, out):  # type: ignore[no-untyped-def]
    squares(features[:, start : start + out.shape[1]], ours, places, first, out)


def products_of_strip(features, ours, places, first, start, norms, less, out):  # type: ignore[no-untyped-def]
    strip = slice(start, start + out.shape[1])
    for r in range(out.shape[0]):
        x = places[first + r]
        total = np.zeros(out.shape[1], features.dtype)
        for theirs, mine in zip(features[:, strip], ours[:, x], strict=True):
            total = total + theirs * mine
        out[r] = (less[x] + norms[strip]) - (total + total)


def add_dots(theirs, ours, places, first, begin, end, sums):  # type: ignore[no-untyped-def]
    assert begin < end <= len(theirs), "read past the end of an array"

    def halves(pairs):  # type: ignore[no-untyped-def]
        return np.ascontiguousarray(pairs[begin:end]).view(np.int16).reshape(end - begin, -1, 2).astype(np.int64)

    together: int = importlib.import_module("gpuclust.kernels.cpu.space.simd").TOGETHER
    rows = places[first : first + together]
    total = sums[first : first + together] + np.einsum("kjs,kis->ij", halves(theirs), halves(ours)[:, rows])
    assert np.abs(total).max() < 2**31, "a sum does not fit 32 bits"
    sums[first : first + together] = total
