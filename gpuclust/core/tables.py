"""Tables of other libraries as numbers: pandas, polars, Arrow, AnnData and xarray, by their methods.

None of these libraries is imported, or has to be installed: a table is known by its attributes. Columns are converted
one by one, so that a table of mixed, nullable or Arrow types becomes no array of objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from gpuclust.core.real_arrays import real_array, real_cells
from gpuclust.core.scaling import STANDARDIZE, filled, gaps_of

Labels = np.ndarray | Mapping[str, np.ndarray]
#: Labels of one cut, or of several by heading, and the rows that have some (None: all), to the type of the input.
Wrap = Callable[[Labels, np.ndarray | None], Any]


@dataclass(frozen=True)
class Table:
    """Numbers, and the names of their rows and columns.

    Attributes
    ----------
    values : ndarray of shape (n, m), or (n (n - 1) / 2,) for condensed distances
        Also an array on a CUDA device, as it was given.
    names, columns : list of str or None
        Names of the rows and of the columns.
    left_out : dict of str to str
        Columns that hold no numbers, and what they hold.
    rows : ndarray of shape (n,), int, or None
        Positions in the input, where rows were left out.
    wrap : callable
        Converts labels to a Series or the like with the index of the input.
    categories : callable
        Returns the columns of text and of categories, as headings and cells.
    profiled : callable or None
        Returns values of shape (n, columns) and headings, for profiles of clusters beside dissimilarities.
    """

    values: Any
    names: list[str] | None = None
    columns: list[str] | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    rows: np.ndarray | None = None
    wrap: Wrap = lambda labels, rows: _plain(labels, rows)
    categories: Callable[[], list[tuple[str, list[Any]]]] = list
    profiled: Callable[[], tuple[np.ndarray, list[str]]] | None = None


def read_table(X: Any, name: str = "X", mixed: bool = False) -> Table:
    """Read the numbers of a table; anything that is none is an array.

    Parameters
    ----------
    X : DataFrame, Arrow table, AnnData, DataArray, Dataset or array_like
    name : str
        Name of the argument, for messages.
    mixed : bool
        Whether columns of categories suffice.

    Raises
    ------
    ValueError
        A column holds both numbers and something else, or no column holds numbers; the message says where.
    TypeError
        It is a lazy frame or a sparse matrix.
    """
    for known, read in _READERS:
        if known(X):
            table = read(X, name)
            if table.values.ndim == 2 and table.values.shape[1] == 0 and not (mixed and table.categories()):
                said = ", ".join(f"{head!r} ({kind})" for head, kind in list(table.left_out.items())[:8])
                raise ValueError(f"{name} has no column of real numbers{f': {said}' if said else ''}.")
            return table
    return Table(real_array(X, name))


def completed(table: Table, missing: str, name: str = "X") -> Table:
    """Refuse, leave out or fill in missing values (NaN): ``missing`` is "error", "drop", "mean" or "median"."""
    values = table.values
    rows = gaps_of(values) if isinstance(values, np.ndarray) and values.ndim == 2 else ()
    if not len(rows):
        return table
    if missing == "drop":
        kept = np.delete(np.arange(len(values)), rows)
        names = None if table.names is None else [table.names[row] for row in kept]
        return replace(table, values=values[kept], names=names, rows=kept)
    gaps = np.isnan(values)
    if missing != "error":
        empty = np.flatnonzero(gaps.all(axis=0))
        if len(empty):
            raise ValueError(f"{name} has no value in {_column(table, int(empty[0]))}: it has no {missing}.")
        return replace(table, values=filled(values, missing))
    row, column = (int(k) for k in np.argwhere(gaps)[0])
    count = int(np.count_nonzero(gaps))
    named = "" if table.names is None else f" ({table.names[row]!r})"
    raise ValueError(
        f"{name} has {count:,} missing value{'s' * (count != 1)} in {len(rows):,} row{'s' * (len(rows) != 1)}, the "
        f"first in row {row}{named}, {_column(table, column)}. missing='drop' leaves such rows out, 'mean' and "
        "'median' fill them in."
    )


def standardized(table: Table, how: str, name: str = "X") -> Table:
    """Scale each column; ``how`` is a name in `gpuclust.core.scaling.STANDARDIZE`."""
    values = np.asarray(table.values, dtype=np.float64)
    if how == "log1p" and not (values > -1).all():
        row, column = (int(k) for k in np.argwhere(~(values > -1))[0])
        raise ValueError(
            f"log1p needs values above -1, but {name} has {values[row, column]:g} in row {row}, "
            f"{_column(table, column)}."
        )
    return replace(table, values=STANDARDIZE[how](values))


def _column(table: Table, column: int) -> str:
    return f"column {column if table.columns is None else repr(table.columns[column])}"


def _plain(labels: Labels, rows: np.ndarray | None) -> np.ndarray:
    return np.stack(list(labels.values())) if isinstance(labels, Mapping) else labels


# ------------------------------------------------------------------------------------------------ columns to numbers


def _from_columns(
    heads: Sequence[Any], column: Callable[[int], np.ndarray | str], cells: Callable[[int], list[Any]], name: str
) -> Table:
    """A table of the columns that hold numbers; ``cells`` gives those of any column."""
    kept: list[np.ndarray] = []
    names: list[str] = []
    left_out: dict[str, str] = {}
    others: list[tuple[str, int]] = []
    for place, head in enumerate(map(str, heads)):
        found = column(place)
        found = found if isinstance(found, str) else _numbers(found, head, name)
        if isinstance(found, str):
            left_out[head] = found
            if found in ("text", "categories"):
                others.append((head, place))
        else:
            kept.append(found)
            names.append(head)
    rows = len(cells(0)) if not kept and len(heads) else 0
    values = np.column_stack(kept) if kept else np.empty((rows, 0))
    return Table(
        values,
        columns=names,
        left_out=left_out,
        categories=lambda: [(head, cells(place)) for head, place in others],
    )


def _numbers(column: np.ndarray, head: str, name: str) -> np.ndarray | str:
    """A column as real numbers, or in a word what it holds instead."""
    kind = column.dtype.kind
    if column.ndim != 1:
        return "lists"
    if kind in "biuf":
        return column.astype(np.float64) if column.dtype.itemsize > 8 else column
    if kind != "O":
        return _KINDS.get(kind, "records")
    cells = column.tolist()
    values, wrong = real_cells(cells)
    if len(wrong) == 0:
        return values if not np.isnan(values).all() else "no values"
    other = next(iter(wrong.values()))
    present = int(np.count_nonzero(~np.isnan(values))) + len(wrong)
    if 2 * len(wrong) > present:
        return _kind_of(cells[next(iter(wrong))])
    raise ValueError(f"{name} must hold real numbers: row {next(iter(wrong))}, column {head!r} {other}.")


_KINDS = {"M": "dates", "m": "time differences", "U": "text", "S": "bytes", "T": "text", "c": "complex numbers"}


def _kind_of(cell: Any) -> str:
    if isinstance(cell, (str, bytes)):
        return "text"
    if isinstance(cell, (list, tuple, np.ndarray, dict)):
        return "lists"
    named = type(cell).__name__.lower()
    return "dates" if "date" in named or "timestamp" in named else named


# ------------------------------------------------------------------------------------------- the libraries of tables


def _is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc") and hasattr(X, "columns") and hasattr(X, "index")


def _read_pandas(X: Any, name: str) -> Table:
    def column(place: int) -> np.ndarray | str:
        found = X.iloc[:, place]
        dtype = found.dtype
        if str(dtype) == "category":
            return "categories"  # numbers, too, are then names
        if not isinstance(dtype, np.dtype) and getattr(dtype, "kind", "") in "biuf":  # nullable, Arrow, sparse
            gaps = bool(found.isna().any())
            plain = np.dtype(np.float64 if gaps else getattr(dtype, "numpy_dtype", np.float64))
            return np.asarray(found.to_numpy(dtype=plain, na_value=np.nan) if gaps else found.to_numpy(dtype=plain))
        return np.asarray(found.to_numpy())

    table = _from_columns(list(X.columns), column, lambda place: X.iloc[:, place].tolist(), name)
    return replace(table, names=_names_of(X.index), wrap=_pandas_labels(X.index))


def _names_of(index: Any) -> list[str] | None:
    """Names of rows; None for an index that counts them."""
    if type(index).__name__ == "RangeIndex":
        return None
    return [" / ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in index.tolist()]


def _pandas_labels(index: Any) -> Wrap:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(index, pandas.Index):
        return _plain

    def wrap(labels: Labels, rows: np.ndarray | None) -> Any:
        own = index if rows is None else index[rows]
        if isinstance(labels, Mapping):
            return pandas.DataFrame(dict(labels), index=own)
        return pandas.Series(labels, index=own, name="cluster")

    return wrap


def _is_polars(X: Any) -> bool:
    return hasattr(X, "get_columns") and hasattr(X, "schema")


def _read_polars(X: Any, name: str) -> Table:
    columns = X.get_columns()

    def column(place: int) -> np.ndarray | str:
        found = columns[place]
        if str(found.dtype).split("(")[0] in ("Categorical", "Enum"):
            return "categories"
        return np.asarray(found.to_numpy())

    polars = import_module(type(X).__module__.split(".")[0])

    def wrap(labels: Labels, rows: np.ndarray | None) -> Any:
        if isinstance(labels, Mapping):
            return polars.DataFrame(dict(labels))
        return polars.Series("cluster", labels)

    return replace(_from_columns(X.columns, column, lambda place: columns[place].to_list(), name), wrap=wrap)


def _is_arrow(X: Any) -> bool:
    return hasattr(X, "column_names") and hasattr(X, "column")


def _read_arrow(X: Any, name: str) -> Table:
    def column(place: int) -> np.ndarray | str:
        found = X.column(place)
        if str(found.type).startswith("dictionary"):
            return "categories"
        return np.asarray(found.to_numpy(zero_copy_only=False))

    return _from_columns(X.column_names, column, lambda place: X.column(place).to_pylist(), name)


def _is_arrow_stream(X: Any) -> bool:
    return hasattr(X, "__arrow_c_stream__") and not hasattr(X, "__array__") and "pyarrow" in sys.modules


def _read_arrow_stream(X: Any, name: str) -> Table:
    return _read_arrow(sys.modules["pyarrow"].table(X), name)


def _is_lazy(X: Any) -> bool:
    return hasattr(X, "collect") and hasattr(X, "collect_schema")


def _refuse_lazy(X: Any, name: str) -> Table:
    raise TypeError(f"{name} is a {type(X).__name__}, which has no rows yet: pass {name}.collect().")


def _is_narwhals(X: Any) -> bool:
    return hasattr(X, "to_native") and hasattr(X, "columns")


def _is_annotated(X: Any) -> bool:
    return hasattr(X, "obs_names") and hasattr(X, "var_names") and hasattr(X, "X")


def _read_annotated(X: Any, name: str) -> Table:
    values = X.X
    if values is None:
        raise ValueError(f"{name} has no matrix X.")
    values = real_array(values.toarray() if hasattr(values, "toarray") else values, f"{name}.X")
    columns = [str(head) for head in X.var_names]
    return Table(values, _names_of(X.obs_names), columns, wrap=_pandas_labels(X.obs_names))


def _is_xarray(X: Any) -> bool:
    return hasattr(X, "dims") and hasattr(X, "coords") and hasattr(X, "to_numpy")


def _is_dataset(X: Any) -> bool:
    return hasattr(X, "data_vars") and hasattr(X, "to_array")


def _read_dataset(X: Any, name: str) -> Table:
    return _read_xarray(X.to_array().transpose(..., "variable"), name)


def _read_xarray(X: Any, name: str) -> Table:
    values = real_array(X.to_numpy(), name)
    if values.ndim != 2:
        return Table(values)
    names, columns = (
        [str(key) for key in X.coords[dim].values.tolist()] if dim in X.coords else None for dim in X.dims
    )
    row = X.dims[0]
    xarray = import_module(type(X).__module__.split(".")[0])

    def one(labels: np.ndarray, kept: Any) -> Any:
        return xarray.DataArray(labels, dims=(row,), coords=kept, name="cluster")

    def wrap(labels: Labels, rows: np.ndarray | None) -> Any:
        kept = {row: X.coords[row].values[slice(None) if rows is None else rows]} if row in X.coords else {}
        if isinstance(labels, Mapping):
            return xarray.Dataset({title: one(each, kept) for title, each in labels.items()})
        return one(labels, kept)

    return Table(values, names, columns, wrap=wrap)


#: How each kind of table is known, and read.
_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Table]], ...] = (
    (_is_narwhals, lambda X, name: read_table(X.to_native(), name)),
    (_is_annotated, _read_annotated),
    (_is_dataset, _read_dataset),
    (_is_xarray, _read_xarray),
    (_is_lazy, _refuse_lazy),
    (_is_polars, _read_polars),
    (_is_pandas, _read_pandas),
    (_is_arrow, _read_arrow),
    (_is_arrow_stream, _read_arrow_stream),
)
