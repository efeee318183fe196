"""Points in half precision for products on tensor cores, and how far squares of those may be from the points' own.

Coordinates are multiplied by a power of two that makes the largest about one, and rounded to 11 bits; what is smaller
than the smallest normal number becomes zero. ``rest`` is the norm of what that has changed, so distances of the
rounded points are within the sum of two rests of the distances of the points. Their squares are computed by
`gpuclust.kernels.cuda.products`, with an error that `product_error` bounds. docs/products.md has the proof.

Whether a device has such products is decided in `available`, once: by its compute capability, and by a trial that
compares products with exact ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numba.cuda import libdevice

from gpuclust.core.sizes import WIDE_ON_GPU
from gpuclust.kernels.cuda import launch, products, scalar
from gpuclust.kernels.cuda.launch import SIMULATED, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.products import FEATURES, OLDEST, WORDS
from gpuclust.kernels.cuda.scalar import arithmetic

#: Features from which on products pay.
FEWEST = WIDE_ON_GPU
#: Smallest normal number in half precision.
SMALLEST = 2.0**-14
#: Relative error of each addition in a sum of products, in the number of products, and of a rounded float32.
ADDED, UNIT = 3 * 2.0**-24, 2.0**-24
#: Factor of the squared rest: ``1 + 1 / t`` for ``t = 2**-10`` of `gpuclust.core.centroids.growth`, and for rounding.
SPREAD = 1100.0
#: More than the relative rounding error of a rest.
ROUNDED = 1 + 2.0**-20


class Halves(NamedTuple):
    """Points in half precision.

    Attributes
    ----------
    words : array of shape (words, n), uint32
        Features 2 k and 2 k + 1 of a point in word k, the first one in its lower half; zeros fill the last product.
    norm : array of shape (n,), float64
        Squared norms of the rounded points.
    rest : array of shape (n,), float64
        Norms of the difference between points and rounded points, or more.
    most : array of shape (2,), int64
        The bits of the largest of ``norm``, and of ``rest``.
    """

    words: Any
    norm: Any
    rest: Any
    most: Any

    @classmethod
    def of(cls, features: Any, scale: float, zeros: Any = None) -> Halves:
        """Of features (m, n), multiplied by ``scale``. They may be first parts of centroids in their precision.

        ``zeros`` is room for ``most``, used up.
        """
        m, n = features.shape
        words = launch.empty((WORDS * -(-m // FEATURES), n), np.uint32)
        norm, rest = launch.empty(n, np.float64), launch.empty(n, np.float64)
        most = launch.full(2, 0, np.int64) if zeros is None else zeros
        halve_kernel(np.dtype(features.dtype))(launch.blocks_for(n), features, scale, words, norm, rest, most)
        return cls(words, norm, rest, most)


def _half_by_numpy(value: Any) -> tuple[int, float]:
    """Bits of a number rounded to half precision, and what they mean; in the simulator."""
    half = np.float16(value)
    return int(half.view(np.uint16)), float(half)


@device
def _half(value):
    """The same on a device."""
    half = libdevice.float2half_rn(types.float32(value))
    return types.uint32(half) & types.uint32(0xFFFF), types.float64(libdevice.half2float(half))


@cache
def float_of_bits() -> Any:
    """The device function that gives the float64 with these bits, of type int64."""
    if SIMULATED:
        return lambda bits: float(np.int64(bits).view(np.float64))
    return libdevice.longlong_as_double


@cache
def bits_of_float() -> Any:
    """The device function that gives the bits of a float64; of those that are not negative they are in order."""
    if SIMULATED:
        return lambda value: int(np.float64(value).view(np.int64))
    return libdevice.double_as_longlong


@cache
def halve_kernel(dtype: np.dtype) -> Kernel:
    """Words, squared norms and rests (see `Halves`) of points, features multiplied by ``scale``; a thread a point.

    The largest norm and rest of a block raise those in ``most``, which are zeros at first.

    Second parts of centroids are less than the last bit of the first ones, and go to the rest. So does its rounding.
    """
    number, word = real(dtype), np.uint32 if SIMULATED else types.uint32
    double = float if SIMULATED else types.float64
    mul, to_half = arithmetic(np.dtype("float64")).mul, _half_by_numpy if SIMULATED else _half
    eps, bits_of = float(np.finfo(dtype).eps), bits_of_float()
    stamp = launch.stamp(scalar)

    @kernel(
        number[:, ::1],
        number,
        types.uint32[:, ::1],
        types.float64[::1],
        types.float64[::1],
        types.int64[::1],
    )
    @named(dtype)
    def halve(features, scale, words, norm, rest, most):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        largest_norm = cuda.shared.array(THREADS, types.float64)
        largest_rest = cuda.shared.array(THREADS, types.float64)
        thread = cuda.threadIdx.x & (THREADS - 1)
        block = np.int64(cuda.blockIdx.x) * THREADS
        x = min(block + thread, np.int64(features.shape[1]) - 1)  # the last threads repeat the last point
        square, apart, total = 0.0, 0.0, 0.0
        for k in range(words.shape[0]):
            both = word(0)
            for odd in range(2):
                if 2 * k + odd < features.shape[0]:
                    value = features[2 * k + odd, x] * scale
                    bits, seen = to_half(value)
                    if abs(seen) < SMALLEST:
                        bits, seen = word(0), 0.0
                    both |= word(bits) << word(16 * odd)
                    left = double(value) - seen
                    square += mul(seen, seen)
                    apart += mul(left, left)
                    total += abs(seen)
            words[k, x] = both
        apart = (sqrt(apart) + mul(eps, total)) * ROUNDED
        norm[x] = square
        rest[x] = apart
        largest_norm[thread] = square
        largest_rest[thread] = apart
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if thread < half:
                largest_norm[thread] = max(largest_norm[thread], largest_norm[thread + half])
                largest_rest[thread] = max(largest_rest[thread], largest_rest[thread + half])
            half //= 2
        if thread == 0:
            cuda.atomic.max(most, 0, bits_of(largest_norm[0]))
            cuda.atomic.max(most, 1, bits_of(largest_rest[0]))

    return halve


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield halve_kernel(dtype)


def relative_error(m: int) -> float:
    """Of a sum of m products, to the norms: they are exact, and added in groups of at least four, cut off."""
    relative = ADDED * FEATURES * -(-m // FEATURES)
    return relative / (1 - relative)


def product_error(product: Any, squares: Any, relative: float) -> Any:
    """Bound of the error of ``|x|² + |y|² - 2 x.y`` of halves, from ``|x| |y|`` and ``|x|² + |y|²``, or more."""
    return 2 * relative * product + 5 * UNIT * squares


def available(m: int) -> bool:
    """Whether searches among points of m features use products, on the current device; not where PTX is emulated."""
    if launch.EMULATED and not SIMULATED:
        return False
    return m >= FEWEST and launch.current_device().capability >= OLDEST and _works(launch.current_index())


@cache
def _works(index: int) -> bool:
    """Whether the products of a tile are what they should be: exact ones, and within the bound."""
    n, m = products.shape().rows, FEATURES + 1
    rng = np.random.default_rng(0)
    whole = rng.integers(-8, 9, (m, n)) / 8.0  # sums of a few bits
    for features, exact in ((whole, True), (rng.uniform(-1, 1, (m, n)), False)):
        held = Halves.of(launch.upload(features), 1.0)
        got = launch.download(squares(held.words, held.norm.astype(np.float32), slice(0, n)))
        seen = features.astype(np.float16).astype(float)
        seen[abs(seen) < SMALLEST] = 0
        wanted = ((seen[:, :, None] - seen[:, None, :]) ** 2).sum(axis=0)
        norm = launch.download(held.norm)
        largest = norm.max()
        error = 0 if exact else product_error((norm * largest) ** 0.5, norm + largest, relative_error(m))[:, None]
        if not (abs(got - wanted) <= error).all():
            return False
    return True


def squares(words: Any, norm: Any, rows: slice, out: Any = None) -> Any:
    """Squared distances of some points to all, (rows, n), into ``out`` if that is given."""
    shape, n = products.shape(), words.shape[1]
    out = launch.empty((rows.stop - rows.start, n), products.SINGLE) if out is None else out
    blocks = -(-len(out) // shape.rows) * -(-n // shape.columns)
    products.slab_kernel()(blocks, words, norm, words, norm, rows.start, 0, out)
    return out
