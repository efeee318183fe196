"""Draw the pictures of the README again: ``python docs/images.py``, from the repository's folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from gpuclust.files import read_points
from gpuclust.output import save_figure
from gpuclust.results import Cut, cut_height
from gpuclust.tutorial import data_sets

from gpuclust import linkage
from gpuclust.plotting import fancy_dendrogram

HERE = Path(__file__).resolve().parent
SIZE = (9.0, 4.8)  # inches, at 100 dots each
DIGITS = 10


def main() -> None:
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    shown = {"annotate_above": 10, "leaf_rotation": 90.0}
    of_tutorial = linkage(data_sets()[0], "ward")
    draw = partial(fancy_dendrogram, of_tutorial, truncate_mode="lastp", p=12, max_d=50, **shown)
    save_figure(folder / "dendrogram.png", lambda ax: draw(ax=ax), SIZE)

    pixels = read_points(HERE.parent / "examples" / "digits.npz", "pixels").values
    of_digits = linkage(pixels, "ward")
    shown["annotate_above"] = float(np.sort(of_digits[:, 2])[-DIGITS])
    height = cut_height(of_digits, Cut("maxclust", DIGITS), DIGITS)
    title = f"{len(pixels):,} handwritten digits, Ward's linkage, cut into {DIGITS} clusters"
    save_figure(
        folder / "digits.png", lambda ax: fancy_dendrogram(of_digits, ax=ax, max_d=height, title=title, **shown), SIZE
    )


if __name__ == "__main__":
    main()
