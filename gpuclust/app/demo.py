"""``gpuclust demo``: the SciPy tutorial's figures, handwritten digits, and a larger data set timed against SciPy."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from gpuclust.app import tutorial
from gpuclust.app.compare.peers import PEERS, Size, Task
from gpuclust.app.compare.process import measure
from gpuclust.app.data.files import read_points
from gpuclust.app.data.output import check_output_folder, save_figure, staging
from gpuclust.app.data.ownership import OutputFolder, check_folder
from gpuclust.app.terminal import ProgressBar, console
from gpuclust.compute import compute
from gpuclust.core.jit import thread_count
from gpuclust.core.text import displayed
from gpuclust.errors import InputFileError
from gpuclust.hierarchy.correspondence import adjusted_rand_index
from gpuclust.hierarchy.cut import fcluster
from gpuclust.plan import available_memory, format_bytes
from gpuclust.plotting import fancy_dendrogram
from gpuclust.plotting.scatter import plot_clusters

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Example data of the package.
EXAMPLES = Path(__file__).resolve().parent / "examples"
#: Pictures drawn in addition to the tutorial's plots.
PICTURES = ("digits-dendrogram.png", "digits-clusters.png", "digits-true.png", "points-dendrogram.png")
#: Numbers of features and of groups of the generated points.
FEATURES, GROUPS = 16, 25
#: Number of points clustered before timing: enough to compile every kernel that a larger number needs.
WARM_UP = 4000
#: Relative difference from SciPy's heights that rounding may cause.
TOLERANCE = 1e-12


def run(
    out: Path,
    *,
    points: int = 20_000,
    examples: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    screen: Console | None = None,
) -> bool:
    """Run all three parts, and return whether every figure is as expected.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    points : int
        Size of the generated data set.
    examples : Path, optional
        Folder that holds digits.npz; by default that of the package.
    device : str
        As for `gpuclust.linkage`.
    overwrite : bool
        Whether pictures may replace files of these names that gpuclust did not write.
    screen : rich.console.Console, optional
        Where to print; standard output by default.
    """
    screen = screen or console()
    folder = check_output_folder(out)
    check_folder(folder / "tutorial")
    plots = OutputFolder(folder / "tutorial", tutorial.PICTURES, overwrite=overwrite)
    pictures = OutputFolder(folder, PICTURES, overwrite=overwrite)
    for results, names in ((plots, tutorial.PICTURES), (pictures, PICTURES)):
        results.check(names)
    check_output_folder(plots.path)
    equal = show_tutorial(screen, plots, device)
    equal &= show_digits(screen, pictures, examples or EXAMPLES, device)
    equal &= show_large(screen, pictures, points, device)
    screen.print()
    if not equal:
        screen.print("[bold red]Some figures differ; see above.[/bold red]")
    # Not through rich: a path must stay one line, to be copied.
    where = displayed(f"{folder.resolve()} (the tutorial's in {folder / 'tutorial'})")
    print(f"The pictures are in {where}", file=screen.file)
    return equal


def show_tutorial(screen: Console, results: OutputFolder, device: str) -> bool:
    """Show the tutorial's tables beside ours, and draw its plots."""
    _heading(screen, "1. The SciPy dendrogram tutorial: 150 and 750 points, Ward linkage")
    with ProgressBar() as bar:
        bar.phase("clustering (the first run compiles)")
        result = tutorial.cluster(device)
        compared = tutorial.compare(result)
        bar.phase("drawing the tutorial's plots")
        with staging(results.path) as folder:
            pictures = tutorial.draw(result, folder)
            results.commit(folder, [picture.name for picture in pictures])
    table = _table("the tutorial prints", "gpuclust")
    for figure in compared:
        verdict = "[green]equal[/]" if figure.equal else "[bold red]DIFFERENT[/]"
        table.add_row(f"[bold]{escape(figure.name)}[/]", verdict)
        table.add_row(figure.printed, figure.ours, end_section=True)
    screen.print(table)
    count = sum(figure.equal for figure in compared)
    screen.print(f"{count} of {len(compared)} figures equal to the printed digits; {len(pictures)} plots drawn.")
    return count == len(compared)


def show_digits(screen: Console, results: OutputFolder, examples: Path, device: str) -> bool:
    """Cluster handwritten digits into ten clusters."""
    _heading(screen, "2. Real data: 1,797 handwritten digits (8 x 8 pixels), Ward linkage")
    try:
        pixels = read_points(examples / "digits.npz", "pixels").values
        digit = read_points(examples / "digits.npz", "digit").values
    except InputFileError as error:
        screen.print(f"Skipped: {escape(displayed(error))}. --examples says where the data are.")
        return True
    with ProgressBar() as bar, staging(results.path) as folder:
        bar.phase("clustering the digits")
        found = compute(pixels, "ward", device=device, progress=bar)
        labels = fcluster(found.Z, 10, criterion="maxclust")
        bar.phase("drawing the digits")
        height = float(found.Z[-10:-8, 2].mean())
        highest = float(found.Z[-20, 2])
        save_figure(
            folder / "digits-dendrogram.png",
            lambda ax: fancy_dendrogram(found.Z, ax=ax, max_d=height, annotate_above=highest, leaf_rotation=90.0),
            (12.0, 7.0),
        )
        save_figure(folder / "digits-clusters.png", lambda ax: plot_clusters(pixels, labels, ax=ax), (10.0, 7.0))
        save_figure(
            folder / "digits-true.png", lambda ax: plot_clusters(pixels, digit, ax=ax, left_out=None), (10.0, 7.0)
        )
        results.commit(folder, PICTURES[:3])
    counts = contingency(digit, labels)
    table = _table("digit", *(f"{label:4d}" for label in range(1, counts.shape[1] + 1)), title="cluster")
    for value, row in enumerate(counts):
        table.add_row(str(value), *(str(cell) if cell else "" for cell in row))
    screen.print(table)
    agreement = adjusted_rand_index(digit, labels)
    screen.print(
        f"Adjusted Rand index of clusters and digits: {agreement:.3f} (1: the same partition, 0: chance). "
        f"Clustered in {sum(found.seconds.values()):.2f} s. Data: E. Alpaydin, C. Kaynak (1998), UCI repository."
    )
    return True


def show_large(screen: Console, results: OutputFolder, n: int, device: str) -> bool:
    """Cluster generated points by average linkage, and compare time and heights with SciPy where it is installed."""
    _heading(screen, f"3. {n:,} x {FEATURES} generated points, average linkage")
    peer = PEERS["scipy"].installed
    needed = PEERS["scipy"].memory(Size(n, FEATURES))
    if peer and available_memory() < needed * 1.1:
        screen.print(f"SciPy would need {format_bytes(needed)} of memory, and is skipped.")
        peer = False
    if peer and n >= 10_000:
        screen.print("This takes about a minute, most of it SciPy's. --points takes a smaller number of points.")
    points = generate(n)
    with ProgressBar() as bar, staging(results.path) as folder:
        bar.phase("compiling, once")
        compute(points[:WARM_UP], "average", device=device)
        bar.phase("gpuclust")
        start = time.perf_counter()
        found = compute(points, "average", device=device, progress=bar)
        ours = time.perf_counter() - start
        bar.phase("drawing")
        save_figure(
            folder / "points-dendrogram.png",
            lambda ax: fancy_dendrogram(found.Z, ax=ax, annotate_above=float(found.Z[-15, 2]), leaf_rotation=90.0),
            (12.0, 7.0),
        )
        results.commit(folder, PICTURES[3:])
        if peer:
            bar.phase("SciPy, on one core (no progress available)")
            theirs, Z = scipy_average(points)
    table = _table("", "seconds", "heights")
    cores = f"{thread_count()} threads" if found.plan.device == "cpu" else found.plan.device
    table.add_row(f"gpuclust, {cores}", f"{ours:.2f}", "")
    equal = True
    if peer:
        difference = float(np.max(np.abs(found.Z[:, 2] - Z[:, 2]) / Z[:, 2]))
        equal = difference <= TOLERANCE
        verdict = "agree" if equal else "[bold red]DIFFER[/]"
        table.add_row("SciPy, 1 thread", f"{theirs:.2f}", f"{verdict} (largest relative difference {difference:.1e})")
    screen.print(table)
    if peer:
        screen.print(f"[bold]SciPy's time is {theirs / ours:.1f} times that of gpuclust.[/bold]")
    else:
        screen.print("SciPy was not run. Install it (pip install scipy) to compare.")
    return equal


def generate(n: int) -> NDArray[np.float64]:
    """Draw ``n`` points around 25 centres, from a fixed seed."""
    random = np.random.default_rng(20)
    centres = random.normal(scale=4.0, size=(GROUPS, FEATURES))
    points: NDArray[np.float64] = centres[random.integers(GROUPS, size=n)] + random.normal(size=(n, FEATURES))
    return points


def scipy_average(points: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Seconds and Z of SciPy's average linkage, in a process of its own, so that Ctrl-C stops it too."""
    with tempfile.TemporaryDirectory(prefix="gpuclust-") as scratch:
        data = Path(scratch, "points.npy")
        np.save(data, points)
        done, Z = measure("scipy", Task("average"), data, len(points))
    if Z is None or done.seconds is None:
        raise OSError(f"SciPy's process failed: {done.reason}")
    return done.seconds, Z


def contingency(truth: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the contingency table: classes (from 0) in rows, clusters (from 1) in columns."""
    counts = np.zeros((int(truth.max()) + 1, int(labels.max())), dtype=np.int64)
    np.add.at(counts, (truth.astype(np.int64), labels.astype(np.int64) - 1), 1)
    return counts


def _heading(screen: Console, text: str) -> None:
    screen.print()
    screen.print(f"[bold]{text}[/bold]")


def _table(*columns: str, title: str | None = None) -> Table:
    """Return a table without wrapped cells; columns whose headings are numbers are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_style="")
    for column in columns:
        number = column.strip().isdigit() or column == "seconds"
        table.add_column(column.strip(), no_wrap=True, overflow="fold", justify="right" if number else "left")
    return table
