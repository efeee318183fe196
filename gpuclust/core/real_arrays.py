"""Conversion of inputs to arrays of real numbers, by their content.

A data frame of columns of different types, nullable or backed by Arrow, is an array of objects to NumPy, and so is a
list with a large integer or a ``Decimal`` in it. If all cells are real numbers they are converted to float64;
otherwise an error names the first other cell by row and column.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from reprlib import Repr
from typing import Any

import numpy as np

from gpuclust.core import devices
from gpuclust.core.devices import is_device_array
from gpuclust.core.memory import format_bytes

#: DLPack's numbers of the kinds of memory that a CUDA device can read: device memory and managed memory.
_CUDA = (2, 13)
_REAL = (Real, Decimal, np.bool_)
#: Types of objects for a missing value: None, pandas' NA and NaT, NumPy's masked cell.
_MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")
#: Content of an array of another kind (``dtype.kind``), and the remedy.
_OTHER_KINDS = {
    "c": "complex numbers; pass the real part, or real and imaginary parts as two columns",
    "M": "dates; subtract one of them and divide by a unit, such as numpy.timedelta64(1, 's')",
    "m": "time differences; divide them by a unit, such as numpy.timedelta64(1, 's')",
    "U": "text; encode it as numbers",
    "S": "bytes; decode them, and encode the text as numbers",
    "T": "text; encode it as numbers",
    "V": "records; numpy.lib.recfunctions.structured_to_unstructured makes columns of their fields",
}
_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 40


def real_array(values: Any, name: str, wrong: type[Exception] = ValueError, *, numbers: bool = True) -> Any:
    """Convert ``values`` to an array of real numbers, on the host or on its device.

    Parameters
    ----------
    values : array_like
        Arrays on the host or on a CUDA device, nested lists, and data frames.
    name : str
        Name of the argument; messages begin with it.
    wrong : type of exception
        Exception for an input that is not all real numbers.
    numbers : bool
        False: anything that is an array is allowed, and is returned as it is unless all of it is real numbers.

    Returns
    -------
    array
        Booleans, integers or floating-point numbers of at most 64 bits: ``values`` itself if it is such an array.
        Objects that are all real numbers, and long doubles, become float64.

    Raises
    ------
    wrong
        It holds something else (the message says what, in which row and column), or rows of different lengths.
    TypeError
        It is a sparse matrix.
    ValueError
        It has masked cells.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf" and values.dtype.itemsize <= 8:
        return values
    refuse_sparse(values, name)
    _refuse_masked(values, name)
    array = _read(values, name, wrong)
    if isinstance(array, np.ndarray):
        array = np.asarray(array)  # the base class of a subclass
    kind = array.dtype.kind
    if kind == "O":
        return _from_objects(array, name, wrong, column_names(values), numbers)
    if kind in "biuf":
        return array if array.dtype.itemsize <= 8 else _from_long_doubles(array, name, wrong)
    if numbers:
        what = _OTHER_KINDS.get(kind)
        raise wrong(f"{name} must hold real numbers, got dtype {array.dtype}{f': {what}' if what else ''}.")
    return array


def as_array(y: Any) -> Any:
    """Convert ``y`` to a NumPy array, or to a CuPy array if it is on a CUDA device, without a copy.

    Accepts the CUDA array interface and DLPack (CuPy, torch, JAX, Numba), and whatever NumPy accepts. Data on a
    device that cannot be used is copied to the host.
    """
    if isinstance(y, np.ndarray):
        return y
    if getattr(y, "requires_grad", False):  # torch does not export such a tensor
        y = y.detach()
    interface = is_device_array(y)
    if interface or _dlpack_device(y) in _CUDA:
        if devices.missing() is not None:
            return to_host(y)
        from gpuclust.core import device_arrays

        return device_arrays.from_interface(y) if interface else device_arrays.from_dlpack(y)
    known_to_numpy = any(hasattr(y, f"__array{rest}__") for rest in ("", "_interface", "_struct"))
    return np.from_dlpack(y) if hasattr(y, "__dlpack__") and not known_to_numpy else np.asarray(y)


def to_host(array: Any) -> np.ndarray:
    """Copy an array to the host if it is on a device: the only place where inputs are."""
    if isinstance(array, np.ndarray):
        return array
    for method in ("get", "copy_to_host", "cpu"):  # CuPy's, Numba's, torch's
        if hasattr(array, method):
            return np.asarray(getattr(array, method)())
    from_dlpack: Any = np.from_dlpack  # that of NumPy 1 takes no device: a TypeError
    try:
        return np.asarray(from_dlpack(array, device="cpu", copy=True))
    except (AttributeError, TypeError, BufferError, RuntimeError) as error:
        raise TypeError(
            f"A {type(array).__name__} on a CUDA device cannot be read here, as {devices.missing() or error}"
        ) from None


def _dlpack_device(y: Any) -> int | None:
    """DLPack's number of the kind of device that holds ``y``; None if unknown."""
    try:
        return int(y.__dlpack_device__()[0])
    except AttributeError:
        return None


def typed_array(values: Any, name: str, wrong: type[Exception] = ValueError) -> Any:
    """As `real_array`, but an array of another type than objects (complex numbers, text) is returned as it is."""
    array = real_array(values, name, wrong, numbers=False)
    if array.dtype == object:
        real_array(values, name, wrong)  # raises, and names the first cell that is no number
    return array


def refuse_sparse(values: Any, name: str) -> None:
    """``TypeError`` for a sparse matrix or array, of SciPy or another library."""
    module = type(values).__module__.split(".")[:2]
    counted = hasattr(values, "nnz") and (hasattr(values, "toarray") or hasattr(values, "todense"))
    if module[0] == "sparse" or module == ["scipy", "sparse"] or (counted and column_names(values) is None):
        cells = int(np.prod(np.array(getattr(values, "shape", (0,)), dtype=np.float64)))
        dense = "todense()" if not hasattr(values, "toarray") else "toarray()"
        raise TypeError(
            f"{name}: sparse matrices are not supported; pass {name}.{dense} if that fits into memory "
            f"({format_bytes(8 * cells)})."
        )


def column_names(values: Any) -> list[str] | None:
    """The names of a data frame's columns; None for what is no data frame."""
    if hasattr(values, "dtypes") and hasattr(values, "columns"):
        names = values.columns
    else:
        names = getattr(values, "column_names", None)  # a table of pyarrow
    if names is None or isinstance(names, str) or not isinstance(names, Iterable):
        return None
    return [str(name) for name in names]


def place_of(index: tuple[int, ...], columns: list[str] | None = None) -> str:
    """Describe the place of a cell: ``row 3, column 'b'``."""
    if len(index) == 0:
        return "it"
    if len(index) == 1:
        return f"entry {index[0]}"
    column = f"column {index[1]}" if columns is None or index[1] >= len(columns) else f"column {columns[index[1]]!r}"
    return f"row {index[0]}, {column}" + (f", index {index[2:]}" if len(index) > 2 else "")


def _refuse_masked(values: Any, name: str) -> None:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        mask = np.ma.getmaskarray(values)
        first = place_of(tuple(int(k) for k in np.argwhere(mask)[0]) if mask.ndim else ())
        raise ValueError(
            f"{name} has {int(mask.sum())} masked values (the first: {first}), which no dissimilarity is defined "
            "for; fill or drop them."
        )


def _read(values: Any, name: str, wrong: type[Exception]) -> Any:
    try:
        return as_array(values)
    except (TypeError, ValueError, OverflowError, BufferError) as error:
        if is_device_array(values) or _dlpack_device(values) in _CUDA:
            raise  # what is missing to use the device
        rows = values if isinstance(values, (list, tuple)) else ()
        lengths = [len(row) if hasattr(row, "__len__") and not isinstance(row, str) else None for row in rows]
        differs = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
        if differs is not None:
            raise wrong(
                f"{name} must be a rectangular array: row 0 holds {_entries(lengths[0])}, "
                f"row {differs} {_entries(lengths[differs])}."
            ) from None
        if isinstance(error, OverflowError):
            return np.array(values, dtype=object)
        said = " ".join(str(error).split()).rstrip(".")
        raise wrong(f"{name} cannot be read as an array of numbers, got {type(values).__name__}: {said}.") from error


def _entries(length: int | None) -> str:
    return "one number" if length is None else f"{length} entries"


def _from_long_doubles(array: np.ndarray, name: str, wrong: type[Exception]) -> np.ndarray:
    with np.errstate(over="ignore"):
        result = array.astype(np.float64)
    beyond = np.isinf(result) & np.isfinite(array)
    if beyond.any():
        where = tuple(int(k) for k in np.argwhere(beyond)[0])
        raise wrong(f"{name} must hold real numbers: {place_of(where)} is {array[where]!s}, too large for float64.")
    return result


def _from_objects(
    array: np.ndarray, name: str, wrong: type[Exception], columns: list[str] | None, numbers: bool
) -> np.ndarray:
    """float64 from objects that are all real numbers."""
    cells = array.ravel().tolist()
    if all(issubclass(kind, _REAL) for kind in set(map(type, cells))):
        with suppress(OverflowError, ValueError):
            plain = np.array([float(cell) for cell in cells], dtype=np.float64)
            if not np.isinf(plain).any():
                return plain.reshape(array.shape)
    result: np.ndarray = np.empty(len(cells))
    for i, cell in enumerate(cells):
        if isinstance(cell, np.ndarray) and cell.ndim == 0:
            cell = cell[()]
        problem, result[i] = _as_float(cell)
        if problem:
            if not numbers:
                return array
            where = tuple(int(k) for k in np.unravel_index(i, array.shape))
            if array.ndim == 0:
                raise wrong(f"{name} must be an array of real numbers, got {_short.repr(cell)}.")
            raise wrong(f"{name} must hold real numbers: {place_of(where, columns)} {problem}.")
    return result.reshape(array.shape)


def real_cells(cells: list[Any]) -> tuple[np.ndarray, dict[int, str]]:
    """float64 values of cells, NaN where one is missing, and what is wrong with others by their places."""
    values: np.ndarray = np.full(len(cells), np.nan)
    wrong: dict[int, str] = {}
    for i, cell in enumerate(cells):
        problem, value = _as_float(cell)
        if not problem:
            values[i] = value
        elif type(cell).__name__ not in _MISSING:
            wrong[i] = problem
    return values, wrong


def _as_float(cell: Any) -> tuple[str, float]:
    """The fault of a cell (empty text if none), and its value."""
    kind = type(cell)
    if kind.__name__ in _MISSING:
        return "is missing", np.nan
    if not isinstance(cell, _REAL):
        if isinstance(cell, (complex, np.complexfloating)):
            return f"is complex, {cell}", np.nan
        if isinstance(cell, (list, tuple, np.ndarray)):
            return f"is {kind.__name__} of {len(cell)}, where one number is allowed", np.nan
        called = {"str": "text", "str_": "text"}.get(kind.__name__, kind.__name__)
        return f"is {_short.repr(cell)} ({called})", np.nan
    try:
        value = float(cell)
    except OverflowError:
        return "is too large for float64", np.nan
    except ValueError:  # a signalling NaN
        return f"is {_short.repr(cell)}", np.nan
    if np.isinf(value) and cell != value:
        return f"is {_short.repr(cell)}, too large for float64", np.nan
    return "", value
