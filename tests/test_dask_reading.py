"""Files that gpuclust.dask takes for points."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("distributed")
from dask_clusters import data

from gpuclust.dask.reading import read


def test_parquet(tmp_path):
    """A file, and a folder of parts as Dask writes them, with the index of pandas left out."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    X = data(50, 3)
    table = arrow.table({"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": X[:, 2].astype(int)})
    (tmp_path / "X.parquet").mkdir()
    parquet.write_table(table.append_column("__index_level_0__", arrow.array(range(50))), tmp_path / "whole.parquet")
    for part, rows in (("part.0", table[:20]), ("part.1", table[20:])):
        parquet.write_table(rows, tmp_path / "X.parquet" / f"{part}.parquet")
    expected = np.column_stack((X[:, 0], X[:, 1].astype(np.float32), X[:, 2].astype(int)))
    for path in (tmp_path / "whole.parquet", tmp_path / "X.parquet", f"file://{tmp_path}/X.parquet/"):
        assert (read(path, None, 1) == expected).all()
    parquet.write_table(arrow.table({"a": ["x", "y"]}), tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="column 'a'"):
        read(tmp_path / "text.parquet", None, 1)


@pytest.mark.parametrize("real", [False, True])
def test_zarr(tmp_path, monkeypatch, real):
    """An array, and a group, which is refused; by zarr itself where it is installed."""
    X = data(50, 3)
    if real:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "all.zarr"), mode="w")
        group.create_array("X", shape=X.shape, dtype=X.dtype)[...] = X
    else:
        stored = {str(tmp_path / "all.zarr/X"): X, str(tmp_path / "all.zarr"): {"X": X}}
        monkeypatch.setitem(sys.modules, "zarr", SimpleNamespace(open=lambda path, mode: stored[path]))
    assert (read(tmp_path / "all.zarr" / "X", None, 1) == X).all()
    with pytest.raises(ValueError, match=r"is a group: .* X\."):
        read(tmp_path / "all.zarr", None, 1)
