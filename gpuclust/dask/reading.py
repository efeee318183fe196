"""Points of a job on a cluster: from arrays, dask arrays, and files that the client reads."""

from __future__ import annotations

import io
import os
from math import isfinite
from typing import Any

import numpy as np

from gpuclust.dask.connection import reaching, result

#: What X may be.
KINDS = "the path or URL of a .npy file, of an array in .zarr, or of .parquet"


def read(X: Any, client: Any, timeout: float) -> Any:
    """The points of an array, a dask array or a file, in the memory of the client (of a local .npy file, mapped)."""
    if isinstance(X, (str, os.PathLike)):
        return _read_file(os.fspath(X))
    if type(X).__module__.partition(".")[0] != "dask":
        return X
    if not hasattr(X, "chunks"):
        raise TypeError(
            f"X: a dask array is needed, got {type(X).__name__}; X.to_dask_array(lengths=True) makes one."
        )
    if not all(isfinite(size) for sizes in X.chunks for size in sizes):
        raise ValueError("X has chunks of unknown size: call X.compute_chunk_sizes() first.")
    with reaching(client):
        future = client.compute(X)
    return result(client, future, timeout)


def _read_file(path: str) -> np.ndarray:
    name = path.rstrip("/").lower()
    if name.endswith(".npy"):
        if "://" not in path:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        import fsspec

        with fsspec.open(path) as file:
            return np.load(io.BytesIO(file.read()), allow_pickle=False)
    if name.endswith((".parquet", ".pq")):
        return _read_parquet(path)
    if ".zarr" in name:
        return _read_zarr(path)
    raise ValueError(f"X: {KINDS} is needed, got {path!r}.")


def _read_zarr(path: str) -> np.ndarray:
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ImportError(f"X: {path} needs zarr: pip install zarr") from error
    found = zarr.open(path, mode="r")
    if not hasattr(found, "shape"):
        raise ValueError(f"X: {path} is a group: give the path of one of its arrays, {', '.join(sorted(found))}.")
    return np.asarray(found[...])


def _read_parquet(path: str) -> np.ndarray:
    """All columns of a file, or of a folder of files in the order of their names."""
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ImportError(f"X: {path} needs pyarrow: pip install 'gpuclust[io]'") from error
    from fsspec.core import url_to_fs

    system, place = url_to_fs(path)
    table = parquet.read_table(place, filesystem=system)
    table = table.select([name for name in table.column_names if not name.startswith("__index_level_")])
    columns = [column.to_numpy() for column in table.columns]
    for name, column in zip(table.column_names, columns, strict=True):
        if column.dtype.kind not in "biuf":
            raise ValueError(f"X: column {name!r} of {path} is not of numbers ({column.dtype}).")
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
