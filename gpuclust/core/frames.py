"""Translation and scaling of points, so that rounding and squares do not lose digits of their distances.

For a metric that is invariant under translation a centre is subtracted in float64 before points become float32. And
where squares (or powers, sums) would leave the range of the working type, points are multiplied by a power of two,
and distances by its inverse: this is exact, so no bit changes where nothing over- or underflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from math import ceil, floor, frexp, inf, ldexp, log2
from typing import Any

import numpy as np

from gpuclust.core import blocks
from gpuclust.core.devices import array_module, is_device_array
from gpuclust.core.points import Array, Metric

#: Number of rows from which a centre is computed.
SAMPLE = 1024
#: Numbers of the sample that are sorted at a time.
SORTED = 2**17
#: A feature is translated if its median is at least this many times the median distance from it: then the differences
#: of most values are exact, also in float32; otherwise little would be gained.
FAR = 4


@dataclass(frozen=True)
class Frame:
    """A translation, and then a scaling.

    Attributes
    ----------
    centre : array of shape (m,), on the device of the points, or None
        What is subtracted.
    exponent : int or array of shape (m,), int
        Exponent of the power of two by which points, or each of their features, are then multiplied.
    unused : array of shape (m,), bool, or None
        Features of weight zero, which are set to zero, since their squares must not be infinite.
    """

    centre: Any = None
    exponent: Any = 0
    unused: Array | None = None

    @property
    def scales(self) -> bool:
        return bool(self.exponent if isinstance(self.exponent, int) else np.any(self.exponent))

    def __bool__(self) -> bool:
        return self.centre is not None or self.scales or self.unused is not None

    def __call__(self, rows: Any) -> Any:
        """Transform rows, in float64; unchanged if the frame is the identity."""
        if self.unused is not None:
            rows = _without(rows, self.unused)
        if self.centre is not None:
            rows = _moved(rows, self.centre)
        return times_power(rows.astype(np.float64), self.exponent) if self.scales else rows


@dataclass(frozen=True)
class Span:
    """Smallest nonzero and largest absolute values, of all numbers or of each feature."""

    smallest: Any
    largest: Any
    finite: bool = True

    @property
    def low(self) -> Array:
        """Largest exponents of powers of two that do not exceed the smallest values."""
        return np.frexp(np.where(self.smallest < inf, self.smallest, 1.0))[1] - 1

    @property
    def high(self) -> Array:
        """Smallest exponents of powers of two that exceed the largest values."""
        return np.frexp(self.largest)[1]


@dataclass(frozen=True)
class Room:
    """Smallest and largest exponents of numbers for which powers and sums do not under- or overflow."""

    low: int
    high: int

    def holds(self, span: Span) -> bool:
        return bool(np.all(self._holds_each(span)))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        low, high = (ldexp(1.0, k) if k < 1024 else inf for k in (self.low, self.high))
        return low, high

    def spans(self, least: float, greatest: float) -> bool:
        """As `holds` for sizes from ``least`` to ``greatest``, both above zero: quicker, for a few numbers."""
        low, high = self._ends
        return 0 < least >= low and greatest < high

    def _holds_each(self, span: Span) -> Any:
        return (span.low >= self.low) & (span.high <= self.high) | (span.largest == 0)

    def exponent(self, span: Span) -> Any:
        """Exponent of the power of two that scales numbers into the range: the largest to about one, if possible.

        Zero where they are in range. If not all fit, the smallest ones underflow.
        """
        if isinstance(span.largest, float):
            low, high = _exponents(float(span.smallest), span.largest)
            if span.largest == 0 or (low >= self.low and high <= self.high):
                return 0
            return min(max(-high, self.low - low), self.high - high)
        wanted = np.minimum(np.maximum(-span.high, self.low - span.low), self.high - span.high)
        return np.where(self._holds_each(span), 0, wanted)


def _exponents(smallest: float, largest: float) -> tuple[int, int]:
    """As `Span.low` and `Span.high`, of two numbers."""
    return frexp(smallest)[1] - 1 if smallest < inf else 0, frexp(largest)[1]


def room_for(
    terms: float, dtype: np.dtype, n: int, m: int = 1, w: Array | None = None, power: int = 1, digits: bool = True
) -> Room:
    """The range for points (or, without ``digits``, for distances) whose differences go into sums of powers.

    Parameters
    ----------
    terms : float
        The power.
    n, m : int
        Numbers of points and of features, which bound the number of terms.
    w : array of shape (m,), optional
        Weights of the features.
    power : int
        Power of the distances that is computed.
    digits : bool
        Whether a difference may be smaller than its operands by as many digits as numbers have.
    """
    if w is None or not (w > 0).any():
        return _room(terms, dtype, n.bit_length(), m, 0.0, 0.0, power, digits)
    used = w[w > 0]
    most, least = log2(float(used.max())), log2(float(used.min()))
    return _room(terms, dtype, n.bit_length(), m, most, least, power, digits)


@lru_cache(maxsize=256)
def _room(
    terms: float, dtype: np.dtype, bits: int, m: int, most: float, least: float, power: int, digits: bool
) -> Room:
    """As `room_for`; ``most`` and ``least`` are logarithms of the weights."""
    info = np.finfo(dtype)
    high = ((info.maxexp - 4 - 2 * bits) / power - most - log2(max(m, 1))) / terms - 1
    low = ((info.minexp + 1) / power - least) / terms + (info.nmant + 2 if digits else 0)
    return Room(ceil(low), floor(high))


def framed(
    metric: Metric, sets: Sequence[Array], work: np.dtype, given: dict[str, Any], power: int
) -> tuple[Metric, Frame, int]:
    """The form of a metric, the frame of its points, and the exponent of their distances (`Points.exponent`).

    A V or VI in ``given`` is changed to fit the frame.
    """
    n, m = sum(len(X) for X in sets), sets[0].shape[1]
    if metric.degree is None or n == 0 or m == 0:
        return metric, Frame(), 0
    if metric.by_feature:
        return metric, *_by_feature(metric, sets[0], work, given, power)
    w, p = given.get("w"), given.get("p")
    room = room_for(2 if metric.squares else 1, work, n, m, w, power)
    frame, span = frame_for(metric, sets, work, room, w=w)
    if metric.wide_form is not None and p is not None and span.finite:
        fractions = any(X.dtype.kind == "f" for X in sets)
        powers = room_for(float(p), work, 1, m, w, power, fractions)
        if work == np.float64 and powers.holds(span):
            frame = replace(frame, exponent=0)
        else:
            if work == np.float32:  # differences that matter are as large as the last digit of the largest number
                lowest = ceil(np.finfo(work).minexp / power / float(p)) + np.finfo(work).nmant + 2
                powers = replace(powers, low=lowest)
            if work == np.float32 and powers.low < powers.high:
                frame = replace(frame, exponent=powers.exponent(replace(span, smallest=span.largest)))
            else:
                metric = metric.wide_form
    return metric, frame, (metric.degree or 0) * frame.exponent


def _by_feature(metric: Metric, X: Array, work: np.dtype, given: dict[str, Any], power: int) -> tuple[Frame, int]:
    """As `framed`, for a metric whose features have variances: each is scaled by its own power of two."""
    if "V" in metric.parameters:
        room = room_for(2, work, len(X), X.shape[1], power=power)
    else:  # whitened numbers are near one; a covariance matrix is inverted in float64
        room = room_for(6, np.dtype(np.float64), len(X), X.shape[1], power=power)
    frame, span = frame_for(metric, (X,), work, room, True)
    high = np.broadcast_to(np.where(span.largest > 0, span.high, 0), X.shape[1])
    form = given.get("V", given.get("VI"))
    if form is None or form.shape not in ((X.shape[1],), (X.shape[1],) * 2):  # the default, or rejected later
        return (replace(frame, exponent=-high) if frame.scales else frame), 0
    used = np.isfinite(form) & (form != 0)
    if not used.any():
        return replace(frame, exponent=0), 0
    # Exponents of the coefficients of products of two features; V divides.
    sign, pairs = (-1, 2 * high) if form.ndim == 1 else (1, high[:, None] + high)
    factors = sign * np.frexp(np.where(used, form, 1.0))[1]
    most = max(int(np.abs(exponents[used]).max()) for exponents in (factors, factors + pairs))
    if not frame.scales and most <= np.finfo(work).maxexp // 4:
        return replace(frame, exponent=0), 0
    half = ceil(int((factors + pairs)[used].max()) / 2)
    given["V" if form.ndim == 1 else "VI"] = np.where(used, np.ldexp(form, sign * (pairs - 2 * half)), form)
    return replace(frame, exponent=-high), -half


def frame_for(
    metric: Metric, sets: Sequence[Any], dtype: np.dtype, room: Room, by_feature: bool = False, w: Array | None = None
) -> tuple[Frame, Span]:
    """The common frame of these sets of points, applied before they are rounded to ``dtype``."""
    unused = w == 0 if w is not None and not w.all() else None
    centre = centre_of(sets, dtype) if metric.shift else None
    if centre is None and metric.wide_form is None and all(_narrow(X.dtype) for X in sets):
        return Frame(), Span(1.0, 1.0)
    span = span_of(sets, centre, by_feature, unused)
    return Frame(centre, room.exponent(span), unused), span


def _narrow(dtype: np.dtype) -> bool:
    """Whether no number of a type can under- or overflow when squared."""
    return dtype.kind == "b" or dtype.itemsize <= 2


def centre_of(sets: Sequence[Any], dtype: np.dtype) -> Any:
    """The medians of features that are far from the origin (`FAR`), and 0 for the others; None: there are none.

    Computed from a sample of the rows, which takes no pass over all. For float64 only if integers are too large for
    it.
    """
    wide = any(X.dtype.kind in "iu" and X.dtype.itemsize == 8 and not is_device_array(X) for X in sets)
    if (dtype == np.float64 and not wide) or sets[0].shape[1] == 0 or not any(len(X) for X in sets):
        return None
    if dtype == np.float64 and span_of(sets).largest <= 2.0**53:
        return None
    device = next((X for X in sets if is_device_array(X)), None)
    array = array_module(sets[0] if device is None else device)
    rows = [X[:: max(1, len(X) // SAMPLE)] for X in sets]
    m, width = sets[0].shape[1], max(1, SORTED // sum(map(len, rows)))
    centre = array.zeros(m)
    for begin in range(0, m, width):  # some features at a time, since the sample may be all rows
        part = slice(begin, begin + width)
        sample = [array.asarray(X[:, part]).astype(np.float64) for X in rows]
        centre[part] = _far_medians(array, sample[0] if len(sample) == 1 else array.concatenate(sample))
    return centre if bool((abs(centre) > 0).any()) else None


def _far_medians(array: Any, sample: Any) -> Any:
    """The medians of the columns that are far from the origin, and 0 for the others."""
    middle = (len(sample) - 1) // 2
    with np.errstate(invalid="ignore", over="ignore"):
        centre = array.sort(sample, axis=0)[middle]
        spread = array.sort(abs(sample - centre), axis=0)[middle]
        far = array.isfinite(centre) & (abs(centre) >= spread * FAR)
    return array.where(far, centre, array.zeros_like(centre))


def span_of(sets: Sequence[Any], centre: Any = None, by_feature: bool = False, unused: Array | None = None) -> Span:
    """Span of the numbers of all sets together, relative to a centre."""
    m = sets[0].shape[1]
    if len(sets) == 1 and 0 < sets[0].size <= blocks.CACHED and centre is None and unused is None and not by_feature:
        return _span_of_sizes(abs(sets[0].astype(np.float64, copy=False)))
    parts = []
    for X in sets:
        for part in blocks.row_blocks(len(X), m, blocks.ON_DEVICE if is_device_array(X) else blocks.CACHED):
            rows = X[part] if unused is None else _without(X[part], unused)
            sizes = abs(rows.astype(np.float64, copy=False) if centre is None else _moved(rows, centre))
            if len(sizes):
                parts.append(_span_of_each(sizes) if by_feature else _span_of_sizes(sizes))
    if by_feature:
        smallest = np.minimum.reduce([part.smallest for part in parts], initial=inf)
        largest = np.maximum.reduce([part.largest for part in parts], initial=0.0)
        smallest, largest = np.broadcast_to(smallest, m), np.broadcast_to(largest, m)
    else:
        smallest = min([part.smallest for part in parts], default=inf)
        largest = max([part.largest for part in parts], default=0.0)
    return Span(smallest, largest, all(part.finite for part in parts))


def _span_of_sizes(sizes: Any) -> Span:
    """The span of a block of absolute values."""
    most, finite = float(sizes.max()), True
    if not most < inf:
        array, finite = array_module(sizes), False
        sizes = array.where(array.isfinite(sizes), sizes, 0.0)
        most = float(sizes.max())
    least = float(sizes.min())
    if not least > 0:
        least = float(array_module(sizes).where(sizes > 0, sizes, inf).min())
    return Span(least, most, finite)


def _span_of_each(sizes: Any) -> Span:
    """The same, column by column."""
    array = array_module(sizes)
    known = array.isfinite(sizes)
    sizes = array.where(known, sizes, 0.0)
    least = array.where(sizes > 0, sizes, inf).min(axis=0)
    return Span(_host(least), _host(sizes.max(axis=0)), bool(known.all()))


def scaled_copy(values: Any, exponent: int, dtype: np.dtype) -> Any:
    """A vector times two to the power of ``exponent``, before it is rounded to ``dtype``."""
    copy = array_module(values).empty(len(values), dtype)
    for part in blocks.row_blocks(len(values), 1, blocks.ON_DEVICE if is_device_array(values) else blocks.NUMBERS):
        copy[part] = times_power(values[part].astype(np.float64), exponent)
    return copy


def times_power(values: Any, exponent: Any) -> Any:
    """Multiply floating-point ``values`` by two to the power of ``exponent``, in place, with one rounding."""
    if isinstance(values, np.ndarray):
        return np.ldexp(values, exponent, out=values) if np.any(exponent) else values
    most = np.finfo(values.dtype).maxexp - 2
    left = int(exponent)
    while left:
        step = max(-most, min(left, most))
        values *= values.dtype.type(2.0**step)
        left -= step
    return values


def balanced(rows: Array, w: Array | None, room: int) -> Array:
    """Scale each row by a power of two if its largest number has an exponent beyond ``room``.

    For metrics that only depend on the direction of a row. Features of weight zero do not count.
    """
    if not rows.size or rows.dtype.kind == "b":
        return rows
    if w is not None and not w.all():
        rows = _without(rows, w == 0)
    largest = np.abs(rows.astype(np.float64, copy=False)).max(axis=1)
    exponent = np.frexp(np.where(np.isfinite(largest), largest, 0.0))[1]
    exponent[np.abs(exponent) <= room] = 0
    return np.ldexp(rows.astype(np.float64, copy=False), -exponent[:, None]) if exponent.any() else rows


@cache
def row_room(dtype: np.dtype) -> int:
    """Largest exponent of a row's numbers for which the product of two squares is in range."""
    return np.finfo(dtype).maxexp // 6


def _moved(rows: Any, centre: Any) -> Any:
    """Rows less a centre, in float64. Differences of large integers are computed exactly before they are rounded."""
    array = array_module(rows)
    if not (rows.dtype.kind in "iu" and rows.dtype.itemsize == 8 and isinstance(rows, np.ndarray)):
        return (rows - array.asarray(centre)).astype(np.float64, copy=False)
    about = rows.astype(np.float64) - centre
    whole = np.array([int(value) % 2**64 for value in centre], dtype=np.uint64)
    exact = (rows.astype(np.uint64) - whole).view(np.int64).astype(np.float64)
    near = (np.abs(about) < 2.0**62) & (centre == np.trunc(centre))
    return np.where(near, exact, about)


def _without(rows: Any, unused: Array) -> Any:
    """Rows whose features of weight zero are zero, if they are finite."""
    array = array_module(rows)
    return array.where(array.asarray(unused) & array.isfinite(rows), rows.dtype.type(0), rows)


def _host(value: Any) -> Any:
    return value if isinstance(value, (np.ndarray, np.generic)) else value.get()


def coded(sets: Sequence[Array], dtype: np.dtype) -> list[Array]:
    """Features that are only compared for equality, replaced by codes where ``dtype`` cannot represent them."""
    if all(_told_apart(X, dtype) for X in sets):
        return list(sets)
    sets = [_host(X) for X in sets]
    numbers = [np.empty(X.shape) for X in sets]
    ends = np.cumsum([len(X) for X in sets])[:-1]
    for k in range(sets[0].shape[1]):
        column = np.concatenate([X[:, k] for X in sets])
        values, code = np.unique(column, return_inverse=True)
        if len(values) >= 2 ** np.finfo(dtype).nmant:
            return list(sets)
        code = np.where(column == column, code.reshape(-1), np.nan)  # NaN equals nothing
        for part, of in zip(np.split(code, ends), numbers, strict=True):
            of[:, k] = part
    return numbers


def _told_apart(X: Any, dtype: np.dtype) -> bool:
    """Whether ``dtype`` can represent all numbers of X."""
    if X.dtype.kind == "b" or (np.can_cast(X.dtype, dtype, "safe") and X.dtype.itemsize < 8) or X.dtype == dtype:
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        for part in blocks.row_blocks(len(X), X.shape[1], blocks.ON_DEVICE if is_device_array(X) else blocks.NUMBERS):
            rows = X[part]
            again = rows.astype(dtype).astype(X.dtype)
            if not ((again == rows) | (rows != rows)).all():
                return False
    return True
