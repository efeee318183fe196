"""Small columnar files, sheets and arrays, each with what reading it must give; see `table_files`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Read(NamedTuple):
    """What is read: shape, some names of rows and columns, the first row, and words of the line that reports it."""

    shape: tuple[int, ...]
    names: list[str] | None = None
    columns: list[str] | None = None
    first: list[float] | None = None
    said: tuple[str, ...] = ()
    warned: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012
    needs: str | None = None


class Refused(NamedTuple):
    """The message of a file that is refused, as a regular expression."""

    message: str
    options: dict[str, Any] = {}  # noqa: RUF012
    needs: str | None = None


Content = str | bytes | Callable[[Path], Any]


def _arrow(**columns: Any) -> Callable[[Path], Any]:
    """Return a function that writes columns as a columnar file of the kind that the path's extension names."""

    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import feather, parquet

        made = {name: make(pyarrow) if callable(make) else make for name, make in columns.items()}
        table = pyarrow.table(made)
        if path.suffix == ".parquet":
            parquet.write_table(table, path)
        elif path.suffix == ".feather":
            feather.write_feather(table, path)
        else:
            with pyarrow.ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)

    return write


def _pandas(path: Path) -> None:
    import pandas

    pandas.DataFrame({"a": [1.5, 2.5, 9.0], "b": [1, 7, 3]}).to_csv(path)


def _strings(arrow: Any) -> Any:
    return arrow.array(["x", "y", "z"]).cast(getattr(arrow, "string_view", arrow.large_string)())


def _decimals(arrow: Any) -> Any:
    from decimal import Decimal

    return arrow.array([Decimal("1.25"), Decimal("2.50"), None])


def _sheets(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["name", "a", "b", "note"], ["x", 1, 2.5, "u"], ["y", 3, 0.001, "v"]):
        book.active.append(row)
    other = book.create_sheet("other")
    other.append([1, 2, 3])
    other.append([4, 5, 6])
    book.save(path)


def _annotated(path: Path) -> None:
    import anndata
    from scipy import sparse

    data = anndata.AnnData(sparse.csr_matrix(np.array([[1.0, 0, 2], [0, 3, 0]])))
    data.obs_names, data.var_names = ["c1", "c2"], ["g1", "g2", "g3"]
    data.write_h5ad(path)


def _sparse(path: Path) -> None:
    from scipy import sparse

    sparse.save_npz(path, sparse.csr_matrix(np.array([[1.0, 0, 2], [0, 3, 0]])))


BINARIES: dict[str, tuple[Content, Read | Refused]] = {
    "pandas.csv": (_pandas, Read((3, 2), ["0", "1", "2"], ["a", "b"], [1.5, 1], needs="pandas")),
    "types.parquet": (
        _arrow(
            gene=_strings,
            a=[1, 7, 3],
            flag=[True, False, True],
            text=["u", "v", "w"],
            when=lambda arrow: arrow.array([1, 2, 3], arrow.date32()),
            vector=[[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]],
        ),
        Read(
            (3, 4),
            ["x", "y", "z"],
            ["a", "flag", "vector[0]", "vector[1]"],
            [1, 1, 1.5, 2.5],
            ("left out (text): text; left out (date32[day]): when",),
            needs="pyarrow",
        ),
    ),
    "decimals.feather missing=error": (
        _arrow(a=_decimals, b=[1.5, 2.5, 3.5]),
        Refused(
            "column 'a' has no value in row 2 .1 are missing.: .*--missing drop",
            options={"missing": "error"},
            needs="pyarrow",
        ),
    ),
    "decimals.feather missing=mean": (
        _arrow(a=_decimals, b=[1.5, 2.5, 3.5]),
        Read((3, 2), first=[1.25, 1.5], options={"missing": "mean"}, needs="pyarrow"),
    ),
    "uneven.parquet": (
        _arrow(v=[[1.0, 2.0], [3.0]]),
        Refused("column 'v' holds 2 numbers in some rows and 1 in row 1; lists of equal length", needs="pyarrow"),
    ),
    "stream.arrow": (
        _arrow(a=[1, None, 3], b=[True, None, False]),
        Read((2, 2), first=[1, 1], options={"missing": "drop"}, needs="pyarrow"),
    ),
    "book.xlsx": (
        _sheets,
        Read((2, 2), ["x", "y"], ["a", "b"], [1, 2.5], ("left out (text): note",), needs="openpyxl"),
    ),
    "book.xlsx:other": (_sheets, Read((2, 3), first=[1, 2, 3], needs="openpyxl")),
    "cells.h5ad": (_annotated, Read((2, 3), ["c1", "c2"], ["g1", "g2", "g3"], [1, 0, 2], needs="anndata")),
    "sparse.npz": (_sparse, Read((2, 3), first=[1, 0, 2], needs="scipy")),
}
