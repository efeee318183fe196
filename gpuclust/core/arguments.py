"""Validation of single arguments. Each error names the argument, its value, and the allowed values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from gpuclust.errors import unknown_name


def whole_number(value: Any, name: str, least: int, most: int | None = None, *, fraction: bool = False) -> int:
    """A whole number from ``least`` to ``most``.

    Parameters
    ----------
    value : int, or with ``fraction`` a float that is a whole number
    name : str
        Name of the argument, for messages.
    least, most : int
        Bounds; None: there is no upper one.
    fraction : bool
        Whether a float will do (3.0, not 3.5).

    Raises
    ------
    TypeError
        It is no number of that kind.
    ValueError
        It is not whole, or out of bounds.
    """
    allowed = f"{name} must be a whole number " + (f"from {least} to {most}" if most is not None else f">= {least}")
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{allowed}, got {value!r}.")
    try:
        number = index(value)
    except TypeError:
        if not (fraction and isinstance(value, (Real, Decimal))):
            raise TypeError(f"{allowed}, got {value!r}.") from None
        if not np.isfinite(float(value)) or float(value) != np.floor(float(value)):
            raise ValueError(f"{allowed}, got {value!r}.") from None
        number = int(float(value))
    if number < least or (most is not None and number > most):
        raise ValueError(f"{allowed}, got {value!r}.")
    return number


def real_number(value: Any, name: str, least: float | None = None, *, finite: bool = False) -> float:
    """A real number that is not NaN, of at least ``least``.

    Raises
    ------
    TypeError
        It is no real number.
    ValueError
        It is NaN, too large for a float, below ``least``, or infinite where it has to be ``finite``.
    """
    allowed = f"{name} must be a {'finite ' if finite else ''}number{'' if least is None else f' >= {least:g}'}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, (Real, Decimal)):
        raise TypeError(f"{allowed}, got {value!r}.")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{allowed} that a float can hold, got one that is too large.") from None
    except ValueError:  # a signalling NaN
        number = np.nan
    if np.isnan(number) or (least is not None and number < least) or (finite and np.isinf(number)):
        raise ValueError(f"{allowed}, got {value!r}.")
    return number


def real_numbers(values: Any, name: str, *, nan: bool = False) -> np.ndarray:
    """A number or a sequence of numbers, as a float64 array of at most one dimension.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        They have too many dimensions, or one is NaN and ``nan`` does not allow that.
    """
    from gpuclust.core.real_arrays import real_array, to_host

    numbers = to_host(real_array(values, name, TypeError)).astype(np.float64)
    if numbers.ndim > 1:
        raise ValueError(f"{name} must be a number or one-dimensional, got shape {numbers.shape}.")
    if not nan and np.isnan(numbers).any():
        raise ValueError(f"{name} must be a number, got NaN.")
    return numbers


def one_of(value: Any, name: str, allowed: Iterable[str] | Mapping[str, Any]) -> str:
    """One of some names.

    Raises
    ------
    TypeError
        It is no text.
    ValueError
        It is no name of these.
    """
    names = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}.")
    if value not in names:
        raise unknown_name(name, value, names)
    return value


def axes(ax: Any, name: str = "ax") -> Any:
    """Matplotlib's axes, or None.

    Raises
    ------
    TypeError
        It is something else.
    """
    if ax is not None and not (hasattr(ax, "add_collection") and hasattr(ax, "transData")):
        raise TypeError(f"{name} must be a matplotlib.axes.Axes or None, got {ax!r:.80}.")
    return ax


def function_or_none(value: Any, name: str) -> Any:
    """A callable, or None.

    Raises
    ------
    TypeError
        It is something else.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, got {value!r}.")
    return value


def label_list(labels: Any, n: int, name: str = "labels") -> list[Any]:
    """A label for each of ``n`` observations, in their order.

    Parameters
    ----------
    labels : sequence, array, index, Series, dict or iterator
        A Series is read by position, whatever its index; a dict by the numbers of the observations, 0 to n - 1.
        Labels may be anything; bytes are decoded as UTF-8.
    n : int
        Number of observations.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    list

    Raises
    ------
    TypeError
        It has no order, or is a table or a single value.
    ValueError
        There are not n labels, or a dict has none for some observation.
    """
    allowed = f"{name} must be a sequence of {n} labels, one for each observation"
    if isinstance(labels, Mapping):
        missing = next((i for i in range(n) if i not in labels), None)
        if missing is not None:
            raise ValueError(f"{allowed}, or a dict with keys 0 to {n - 1}; the key {missing} is missing.")
        found = [labels[i] for i in range(n)]
    else:
        shape = getattr(labels, "shape", None)
        table = isinstance(shape, tuple) and len(shape) > 1
        if table or isinstance(labels, (bytes, bytearray, set, frozenset)) or not _iterable(labels):
            got = f"{type(labels).__name__} of shape {shape}" if table else type(labels).__name__
            raise TypeError(f"{allowed}, got {got}.")
        found = list(labels)
        if len(found) != n:
            raise ValueError(
                f"{allowed}: got {len(found)} labels for {n} observations. "
                "Dimensions of Z and labels must be consistent."
            )
    return [label.decode(errors="replace") if isinstance(label, bytes) else label for label in found]


def _iterable(values: Any) -> bool:
    try:
        iter(values)
    except TypeError:
        return False
    return True
