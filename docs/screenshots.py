"""Take the pictures of reports in docs/images again: ``python docs/screenshots.py``, from the repository's folder.

Needs Chromium. Shown are the report of the wines of examples/batch, and the index of a batch of 3 and of 3,000 data
sets, each on a screen of 1280 pixels and on a phone of 375.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from browser import Browser, browser  # noqa: E402
from gpuclust import batch  # noqa: E402
from gpuclust.app.job import runner  # noqa: E402
from gpuclust.app.job.job import Job  # noqa: E402

IMAGES, EXAMPLES = HERE / "images", HERE.parent / "examples" / "batch"
#: Width, height and pixels for each unit of a screen and of a phone.
SCREENS = {"desktop": (1280, 900, 1.0), "phone": (375, 812, 1.5)}
#: Number of data sets of the large batch, and of those among them that cannot be read.
MANY, BROKEN = 3000, 3
READY = "document.documentElement?.dataset.ready"


def main() -> None:
    with tempfile.TemporaryDirectory() as place, browser() as tab:
        os.chdir(place)  # messages name files as they are given
        folder = Path()
        wine = report_of_wine(folder)
        for name, scheme in (("report", "light"), ("report_dark", "dark")):
            take(tab, wine, name, READY, scheme, act=drag)
        take(tab, index_of_few(folder), "index_3")
        take(tab, index_of_many(folder), "index_3000")


def take(
    tab: Browser,
    page: Path,
    name: str,
    ready: str = "document.readyState === 'complete'",
    scheme: str = "light",
    act: object = None,
) -> None:
    """Save a picture of a page on each screen."""
    for screen, (width, height, scale) in SCREENS.items():
        tab.size(width, height, scale, phone=screen == "phone")
        tab.media(scheme=scheme)
        tab.open(page.resolve(), ready)
        if callable(act):
            act(tab)
        tab.frame()
        tab.picture(IMAGES / f"{name}_{screen}.png", whole=False)


def drag(tab: Browser) -> None:
    """Drag the cut down to some more clusters, and show the top of the page, on a phone that of the dendrogram."""
    x, y = tab.centre("#cut circle")
    tab.drag(x, y, y + 82)
    tab.value(
        "scrollTo(0, innerWidth < 500 ? document.getElementById('interactive').offsetTop - 8 : 0)"
    )


def report_of_wine(folder: Path) -> Path:
    options = {"method": "ward", "standardize": "zscore", "clusters": 3.0}
    runner.run(
        Job(
            str(EXAMPLES / "wine.csv"),
            folder / "wine",
            report=True,
            plots=False,
            **options,
        )
    )  # type: ignore[arg-type]
    return folder / "wine" / "report.html"


def index_of_few(folder: Path) -> Path:
    digits = HERE.parent / "examples" / "digits.npz:pixels"
    batch.run(
        [EXAMPLES / "iris.csv", EXAMPLES / "wine.csv", str(digits)],
        folder / "examples",
        method="ward",
        clusters=3,
        plots="none",
    )
    return folder / "examples" / "index.html"


def index_of_many(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    data = folder / "data"
    data.mkdir()
    for i in range(MANY):
        place = (
            data
            / f"plate {i // 96 + 1:02d}, well {'ABCDEFGH'[i % 96 // 12]}{i % 12 + 1:02d}.csv"
        )
        if i % (MANY // BROKEN) == 7:
            place.write_text("x,y\n1,2\n3\n")
            continue
        groups = rng.normal(0, 4, (rng.integers(2, 5), 3))
        np.savetxt(
            place,
            np.vstack([rng.normal(group, 1, (12, 3)) for group in groups]),
            "%.4g",
            ",",
            header="x,y,z",
        )
    batch.run(
        sorted(data.iterdir()),
        folder / "plates",
        clusters=3,
        plots="none",
        reports=False,
    )
    return folder / "plates" / "index.html"


if __name__ == "__main__":
    main()
