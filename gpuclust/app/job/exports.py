"""Results for other programs: the input with labels, the tree in Newick form, and R's hclust as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.output import atomic_write
from gpuclust.core.text import guarded
from gpuclust.hierarchy.hclust import to_hclust
from gpuclust.hierarchy.newick import to_newick

#: Files by the name that the option ``write`` gives them.
EXPORTS = {"clustered": "clustered.csv", "newick": "tree.nwk", "hclust": "hclust.json"}


def write_export(
    folder: Path,
    name: str,
    data: DataSet,
    Z: NDArray[np.float64],
    labels: Mapping[str, NDArray[Any]],
    method: str,
    metric: str,
) -> str:
    """Write one of `EXPORTS`, and return the name of its file.

    Parameters
    ----------
    folder : Path
    name : {"clustered", "newick", "hclust"}
    data : DataSet
    Z : ndarray of shape (n - 1, 4)
    labels : dict of ndarray of shape (n,)
        Labels by the headings of their columns.
    method, metric : str
    """
    file_name = EXPORTS[name]
    with atomic_write(folder / file_name, "w") as file:
        if name == "clustered":
            _write_clustered(file, data, labels)
        elif name == "newick":
            file.write(to_newick(Z, data.names) + "\n")
        else:
            json.dump(to_hclust(Z, data.names, method, metric), file)
            file.write("\n")
    return file_name


def _write_clustered(file: Any, data: DataSet, labels: Mapping[str, NDArray[Any]]) -> None:
    """Write the rows of the input with their labels; rows that were left out have none."""
    assert data.original is not None
    rows = iter(data.original())
    heads = [str(head) for head in next(rows)]
    titles = [title if title not in heads else f"gpuclust_{title}" for title in labels]
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*map(guarded, heads), *titles])
    columns = [column.tolist() for column in labels.values()]
    place_of = None if data.rows is None else {int(row): place for place, row in enumerate(data.rows)}
    for row, cells in enumerate(rows):
        place = row if place_of is None else place_of.get(row)
        own = [""] * len(columns) if place is None else [column[place] for column in columns]
        table.writerow([*map(guarded, cells), *own])
