"""AnnData files (.h5ad), read through anndata: the matrix X, with the names of observations and variables."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpuclust.app.data.opening import check_size, damage_of
from gpuclust.app.data.reading import Reading, Table, describe, rows_of_values
from gpuclust.app.data.table_columns import select_columns
from gpuclust.errors import InputFileError


def read_annotated(path: Path, reading: Reading) -> Table:
    """Read X; a sparse matrix is made dense if it fits.

    Raises
    ------
    InputFileError
        The file is damaged, or anndata is missing.
    DoesNotFit
        The numbers take more than the limit.
    """
    try:
        import anndata
    except ImportError:
        raise InputFileError(
            f"{path}: reading it needs anndata, which is not installed: pip install anndata, or save X by np.save"
        ) from None
    with damage_of(path, "is not an .h5ad file, or a damaged one"):
        found: Any = anndata.read_h5ad(path, backed="r")
        shape = tuple(map(int, found.shape))
        if found.X is None or 0 in shape:
            raise InputFileError(f"{path}: is empty (X has shape {shape})")
        check_size(str(path), math.prod(shape), 8, reading.limit)
        names, heads = [str(name) for name in found.obs_names], [str(name) for name in found.var_names]
        values = found.X[:]
        values = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
        found.file.close()
    places = select_columns(path, reading, heads, len(heads))
    chosen = [heads[place] for place in places]
    if len(places) < len(heads):
        values = np.ascontiguousarray(values[:, places])
    how = describe(path, values.shape, chosen, "", "'obs_names'")
    return Table(values, names, chosen, how, partial(rows_of_values, values, names, chosen))
