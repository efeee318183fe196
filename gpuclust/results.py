"""What a clustering leaves in its folder: the linkage matrix, the labels of a cut, and pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.hierarchy.suggest import acceleration
from gpuclust.output import atomic_write, save_figure

#: Heights written into the dendrogram: those of so many merges from the top.
ANNOTATED = 12
#: The elbow looks for a change of growth in so many of the last merges, and needs a few.
ELBOW_MERGES, FEWEST_FOR_ELBOW = 10, 3


@dataclass(frozen=True)
class Cut:
    """How a tree is cut into clusters: `fcluster` with this criterion, threshold and (for inconsistent) depth."""

    criterion: str
    threshold: float
    depth: int = 2

    def check(self) -> None:
        if self.criterion == "maxclust" and self.threshold < 1:
            raise ValueError(f"the number of clusters must be at least 1, got {self.threshold:g}")
        if not 0 <= self.threshold < np.inf:
            raise ValueError(f"the threshold of a cut must be a number >= 0, got {self.threshold:g}")
        if self.depth < 1:
            raise ValueError(f"the depth of inconsistency must be at least 1, got {self.depth}")


def suggest_clusters(Z: NDArray[np.float64]) -> int | None:
    """Number of clusters where the last merge heights accelerate most; ``None`` with fewer than three merges."""
    if len(Z) < FEWEST_FOR_ELBOW:
        return None
    return acceleration(Z, last=ELBOW_MERGES).k


def write_linkage(folder: Path, Z: NDArray[np.float64]) -> str:
    """Z.npy, as `numpy.load` reads it; its name."""
    with atomic_write(folder / "Z.npy") as file:
        np.save(file, Z)
    return "Z.npy"


def write_labels(folder: Path, labels: NDArray[Any], names: list[str] | None) -> str:
    """labels.csv: a table of row (from 0), name if there is one, and label (from 1); its name."""
    rows = range(len(labels))
    with atomic_write(folder / "labels.csv", "w") as file:
        table = csv.writer(file, lineterminator="\n")
        if names is None:
            table.writerow(["row", "label"])
            table.writerows(zip(rows, labels.tolist(), strict=True))
        else:
            table.writerow(["row", "name", "label"])
            table.writerows(zip(rows, names, labels.tolist(), strict=True))
    return "labels.csv"


def draw(
    folder: Path, Z: NDArray[np.float64], cut: Cut | None, labels: NDArray[Any] | None, names: list[str] | None
) -> list[str]:
    """dendrogram.png, and elbow.png when there are enough merges; their names."""
    from gpuclust.plotting import fancy_dendrogram, plot_elbow

    highest = np.sort(Z[:, 2])[::-1]
    options: dict[str, Any] = {
        "annotate_above": highest[ANNOTATED] if len(highest) > ANNOTATED else 0.0,
        "max_d": None if cut is None or labels is None else cut_height(Z, cut, int(labels.max())),
        "leaf_rotation": 90.0,
    }
    if names is not None:
        options["labels"] = names
    save_figure(folder / "dendrogram.png", lambda ax: fancy_dendrogram(Z, ax=ax, **options), (12.0, 7.0))
    if len(Z) < FEWEST_FOR_ELBOW:
        return ["dendrogram.png"]
    save_figure(folder / "elbow.png", lambda ax: plot_elbow(Z, last=ELBOW_MERGES, ax=ax))
    return ["dendrogram.png", "elbow.png"]


def cut_height(Z: NDArray[np.float64], cut: Cut, clusters: int) -> float | None:
    """Where to draw the line of a cut, if one height separates its clusters.

    The height itself for a cut by distance; halfway between the last merge done and the first one not done for a
    number of clusters. ``None`` for a cut by inconsistency, for one cluster, and for trees with inversions.
    """
    heights = Z[:, 2]
    if cut.criterion == "distance":
        return cut.threshold
    if cut.criterion != "maxclust" or clusters < 2 or (np.diff(heights) < 0).any():
        return None
    above = float(heights[len(heights) - clusters + 1])
    below = float(heights[len(heights) - clusters]) if clusters <= len(heights) else 0.0
    return (above + below) / 2


def forget_earlier(folder: Path) -> None:
    """Delete what an earlier run recorded as its own, so that the folder never mixes two runs' results."""
    record = folder / "run.json"
    try:
        listed = json.loads(record.read_text(encoding="utf-8")).get("files", [])
    except (OSError, ValueError, AttributeError):
        return  # no record, or not one of ours: nothing here is known to be a result
    record.unlink(missing_ok=True)
    for name in listed:
        if name in ("Z.npy", "labels.csv", "dendrogram.png", "elbow.png"):
            (folder / name).unlink(missing_ok=True)
