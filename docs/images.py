"""Draw the pictures of the README again: ``python docs/images.py``, from the repository's folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from gpuclust import cluster, linkage
from gpuclust.app.data.files import read_points
from gpuclust.app.data.output import save_figure
from gpuclust.app.demo import EXAMPLES
from gpuclust.app.tutorial import data_sets
from gpuclust.core.tables import Table
from gpuclust.hierarchy.cut import fcluster, separating_height
from gpuclust.plotting import fancy_dendrogram
from gpuclust.plotting.clustermap import draw_clustermap
from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
SIZE = (9.0, 4.8)  # inches, at 100 dots each
DIGITS = 10


def main() -> None:
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    shown = {"annotate_above": 10, "leaf_rotation": 90.0}
    of_tutorial = linkage(data_sets()[0], "ward")
    draw = partial(
        fancy_dendrogram, of_tutorial, truncate_mode="lastp", p=12, max_d=50, **shown
    )
    save_figure(folder / "dendrogram.png", lambda ax: draw(ax=ax), SIZE)

    pixels = read_points(EXAMPLES / "digits.npz", "pixels").values
    of_digits = linkage(pixels, "ward")
    shown["annotate_above"] = float(np.sort(of_digits[:, 2])[-DIGITS])
    height = separating_height(of_digits, "maxclust", DIGITS, DIGITS)
    title = f"{len(pixels):,} handwritten digits, Ward's linkage, cut into {DIGITS} clusters"
    save_figure(
        folder / "digits.png",
        lambda ax: fancy_dendrogram(
            of_digits, ax=ax, max_d=height, title=title, **shown
        ),
        SIZE,
    )
    draw_heat_map(folder / "heatmap.png")


def draw_heat_map(path: Path) -> None:
    """Wines: z-scores of 13 measurements, cut into three clusters."""
    wines = read_points(HERE.parent / "examples" / "batch" / "wine.csv")
    found = cluster(wines.values, "ward", k=3, standardize="zscore")
    table = Table(found.table.values, None, wines.columns)
    labels = fcluster(found.Z, 3, "maxclust")
    drawn = draw_clustermap(
        table, found.Z, labels, "ward", scaled=True, figsize=(9.0, 6.0)
    )
    drawn.figure.savefig(path, dpi=100)
    pyplot.close(drawn.figure)


if __name__ == "__main__":
    main()
