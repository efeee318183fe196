"""Pictures of a run: colours of clusters, scatter plots, names as text, and pictures that fail."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist, squareform
from typer.testing import CliRunner

from gpuclust import plotting
from gpuclust.app.batch.outcome import Outcome
from gpuclust.app.batch.summary import index_page, row_of
from gpuclust.app.cli import app
from gpuclust.app.job import results, runner
from gpuclust.app.job.job import Job
from gpuclust.app.report import report
from gpuclust.core.text import displayed, guarded, unguarded
from gpuclust.errors import PictureWarning
from gpuclust.plotting import fancy_dendrogram, plot_clusters
from gpuclust.plotting.as_clustered import view_of
from gpuclust.plotting.clustermap import paint_scores
from gpuclust.plotting.style import GREY, LEFT_OUT, PALETTE, cluster_colors
from gpuclust.report import page
from gpuclust.report.page import table_of_sizes
from gpuclust.report.svg import dendrogram_svg, scatter_svg

#: Names that mean something to a program that draws, prints or reads them.
NAMES = [
    "df$x_1_2$y",
    "R$10-R$20",
    "<b>&\"'</b>",
    "a\x1b[31mred",
    "\u202egnp.exe",
    "nul\x00",
    "=1+1",
    "l1\nl2",
    "\udcff",
]
POINTS = np.random.default_rng(0).normal(size=(60, 3))


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def colors_in(svg: str) -> set[str]:
    """The colours of links or points of an SVG."""
    classes = {PALETTE[int(place)] for place in re.findall(r'class="(?:link|dots) c(\d+)"', svg)}
    return classes | set(re.findall(r"stroke:(#[0-9a-f]{6})", svg))


@pytest.mark.parametrize("k", [1, 2, 5, 9, 10, 30])
def test_a_cluster_has_one_colour_in_all_pictures(k):
    Z = reference.linkage(POINTS, "average")
    labels = reference.fcluster(Z, k, "maxclust")
    colors = cluster_colors(labels)
    assert len(set(colors.values())) == labels.max() == k
    tree = fancy_dendrogram(Z, no_plot=True, clusters=labels)
    sizes = np.bincount(labels)
    for leaf, color in zip(tree["leaves"], tree["leaves_color_list"], strict=True):
        assert color == (colors[labels[leaf]] if sizes[labels[leaf]] > 1 else GREY)

    ax = Figure().add_subplot()
    plot_clusters(POINTS[:, :2], labels, ax=ax)
    drawn = ax.collections[0]
    for place, color in zip(drawn.get_offsets().tolist(), drawn.get_facecolors(), strict=True):
        (row,) = np.flatnonzero((POINTS[:, :2] == place).all(axis=1))
        assert to_hex(color[:3]) == colors[labels[row]]
    assert colors_in(scatter_svg(POINTS, labels)) == set(colors.values())
    rows = table_of_sizes(labels)["rows"]
    for row in rows:
        color = colors[row["label"]]
        assert row["color"] == (f"var(--c{PALETTE.index(color)})" if color in PALETTE else color)


def test_colours_of_a_tree_drawn_as_svg():
    Z = reference.linkage(POINTS[:12], "average")
    for k in (3, 11):
        labels = reference.fcluster(Z, k, "maxclust")
        sizes = np.bincount(labels)
        expected = {color for label, color in cluster_colors(labels).items() if sizes[label] > 1}
        assert colors_in(dendrogram_svg(Z, 0.5, None, labels)) == expected
    assert 'class="link above"' in dendrogram_svg(Z, None, None, None)
    assert colors_in(dendrogram_svg(Z, None, None, None)) == set()


def test_what_is_left_out_is_grey_everywhere():
    Z = reference.linkage(POINTS[:12], "single")
    labels = np.where(np.arange(12) < 4, 0, reference.fcluster(Z, 3, "maxclust"))
    colors = cluster_colors(labels)
    assert colors[0] == LEFT_OUT
    assert len(set(colors.values())) == len(np.unique(labels))
    assert LEFT_OUT not in fancy_dendrogram(Z, no_plot=True, clusters=labels)["color_list"]
    with pytest.raises(ValueError, match="clusters must be 12 labels"):
        fancy_dendrogram(Z, no_plot=True, clusters=labels[1:])


def test_a_tree_that_is_not_cut_has_no_colours_of_clusters(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(results, "save_figure", lambda path, paint, size: kept.append(_painted(paint)))
    results.draw(tmp_path, reference.linkage(POINTS, "average"), None, None)
    lines = [drawn for drawn in kept[0].collections if isinstance(drawn, LineCollection)]
    assert [to_hex(line.get_color()[0]) for line in lines] == [to_hex(GREY)]


def _painted(paint):
    ax = Figure().add_subplot()
    paint(ax)
    return ax


# What a scatter shows


@pytest.mark.parametrize(
    ("metric", "p", "weights"),
    [
        ("euclidean", None, None),
        ("euclidean", None, (1, 0.25, 4)),
        ("sqeuclidean", None, (1, 0.25, 4)),
        ("seuclidean", None, None),
        ("mahalanobis", None, None),
        ("cosine", None, None),
        ("cosine", None, (1, 0.25, 4)),
        ("correlation", None, None),
    ],
)
def test_a_scatter_shows_the_distances_that_were_clustered(metric, p, weights):
    arguments = {} if weights is None else {"w": weights}
    expected = pdist(POINTS, metric, **arguments)
    view = view_of(POINTS, metric, p, weights, ["a", "b", "c"])
    square = pdist(view.change(POINTS), "sqeuclidean")
    found = {"euclidean": np.sqrt(square), "seuclidean": np.sqrt(square), "mahalanobis": np.sqrt(square)}
    np.testing.assert_allclose(found.get(metric, square / (2 if metric[:2] == "co" else 1)), expected, rtol=1e-9)
    assert bool(view.note) == (metric not in ("euclidean", "sqeuclidean") or weights is not None)


def test_a_scatter_of_other_metrics_has_the_scale_of_their_columns():
    weights = (2.0, 0.0, 0.5)
    np.testing.assert_array_equal(view_of(POINTS, "cityblock", None, weights).change(POINTS), POINTS * weights)
    third = view_of(POINTS, "minkowski", 3, weights).change(POINTS)
    np.testing.assert_allclose(pdist(third, "minkowski", p=3), pdist(POINTS, "minkowski", p=3, w=weights))
    np.testing.assert_array_equal(view_of(POINTS, "canberra", None, weights).change(POINTS), POINTS * [1, 0, 1])
    assert view_of(POINTS, "canberra").change(POINTS).tolist() == POINTS.tolist()


def test_the_scatter_of_a_job(tmp_path, monkeypatch):
    """Weighted columns, those that were chosen, by their names; of distances, points that have about these."""
    table = tmp_path / "t.csv"
    np.savetxt(table, POINTS, delimiter=",", header="a,b$1$,c", comments="")
    kept = {}
    monkeypatch.setattr(results, "save_figure", lambda path, paint, size: kept.update({path.name: _painted(paint)}))

    def drawn(**options):
        kept.clear()
        options = {"data": str(table), "out": tmp_path / "o", "report": True, **options}
        work = Job(**options)
        data = runner.load(work)
        assert runner._draw(work, tmp_path, Z, None, data, None)[1] == {}
        return kept.get("scatter.png")

    Z = reference.linkage(POINTS, "ward")
    ax = drawn(columns=("c", "b$1$"), weights=(4.0, 1.0), method="ward")
    np.testing.assert_allclose(np.asarray(ax.collections[0].get_offsets()), POINTS[:, [2, 1]] * [2, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("c", "b$1$")
    assert ax.xaxis.label.get_parse_math() is False
    assert ax.get_title().endswith("columns weighted")
    ax = drawn(columns=("a", "b$1$"), metric="cosine")
    assert np.allclose(np.linalg.norm(ax.collections[0].get_offsets(), axis=1), 1)
    np.save(tmp_path / "d.npy", squareform(pdist(POINTS)))
    ax = drawn(data=str(tmp_path / "d.npy"), precomputed=True)
    assert ax.get_title().endswith("multidimensional scaling of the distances")
    assert set(kept) == {"dendrogram.png", "elbow.png", "scatter.png"}


def test_a_heat_map_of_a_run(table, tmp_path):
    done = invoke("run", table, "-k", 3, "--heatmap", "--format", "png,svg", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    pictures = {f"{name}.{form}" for name in ("dendrogram", "elbow", "heatmap") for form in ("png", "svg")}
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"Z.npy", "labels.csv", "run.json", *pictures}
    assert "<svg" in (tmp_path / "o" / "heatmap.svg").read_text()
    (tmp_path / "m.csv").write_text("path,heatmap\nt.csv,yes\n")
    done = invoke("batch", tmp_path / "m.csv", "--out", tmp_path / "b", "--no-reports")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "b" / "t" / "heatmap.png").exists()
    np.save(tmp_path / "d.npy", pdist(POINTS))
    done = invoke("run", tmp_path / "d.npy", "--heatmap", "--out", tmp_path / "d")
    assert done.exit_code == 2
    assert "heatmap mean nothing" in " ".join(done.output.split())


def test_a_heat_map_shows_z_scores_and_leaves_gaps():
    values = np.where(np.arange(180).reshape(60, 3) % 17 == 0, np.nan, POINTS * [1, 100, 1e6])
    Z = reference.linkage(POINTS, "average")
    ax = Figure().add_subplot()
    paint_scores(ax, values, None, ["a", "b", "c"], Z, None, "average")
    (image,) = (drawn.images[0] for drawn in ax.figure.axes if drawn.images and drawn.images[0].get_array().ndim == 2)
    shown = image.get_array().filled(np.nan)
    order = reference.leaves_list(Z)
    expected = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    np.testing.assert_allclose(shown, expected[order])
    assert ax.figure.axes[-1].get_xlabel() == "z-score"


# Names are text


def test_displayed_and_guarded():
    assert displayed("plain ü 漢 \N{GREEK SMALL LETTER ALPHA}") == "plain ü 漢 \N{GREEK SMALL LETTER ALPHA}"
    assert displayed("\x1b[2J\r\n\t\x7f\x9b") == r"\x1b[2J\x0d\x0a\x09\x7f\x9b"
    assert displayed("a\u202eb\u2066c\u200fd\u2028e") == r"a\u202eb\u2066c\u200fd\u2028e"
    assert displayed("\udcff") == r"\xff"
    assert displayed("a\nb", keep="\n") == "a\nb"
    assert displayed("abcdef", most=4) == "abc…"
    assert displayed(Path("a\x07")) == r"a\x07"
    for name in ("=1", "+a", "-a", "@x", "\ta", "\ra", "'=1", "''@"):
        assert guarded(name) == "'" + name
        assert unguarded(guarded(name)) == name
    for name in ("-1.5", "+2", "-1e-5", "a=b", "'a", "", "1"):
        assert guarded(name) == unguarded(name) == name
    assert guarded(-5) == -5
    assert guarded("-1+cmd|'/C calc'!A0").startswith("'-")
    assert guarded("\udcff") == r"\xff"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_of_rows_are_drawn_as_text(tmp_path):
    names = [*NAMES, "x" * 5000]
    Z = reference.linkage(np.arange(10.0)[:, np.newaxis] ** 1.5, "average")
    drawn, failed = results.draw(tmp_path, Z, None, names, np.eye(10)[:, :2], np.ones(10, int))
    assert (len(drawn), failed) == (3, {})
    ax = Figure().add_subplot()
    fancy_dendrogram(Z, ax=ax, labels=[*names[:9], "y"])
    texts = [text.get_text() for text in ax.get_xticklabels()]
    assert {"df$x_1_2$y", "R$10-R$20", r"a\x1b[31mred", r"\u202egnp.exe", r"l1\x0al2"} <= set(texts)
    assert not any(text.get_parse_math() for text in ax.get_xticklabels())
    ax.figure.canvas.draw()


def test_svg_and_pages_are_well_formed_whatever_names_are(tmp_path):
    Z = reference.linkage(np.arange(9.0)[:, np.newaxis] ** 1.5, "average")
    tree = ElementTree.fromstring(dendrogram_svg(Z, 1.0, NAMES, np.ones(9, int)))
    leaves = {node.text for node in tree.iter() if node.get("class") == "leaf"}
    assert {"<b>&\"'</b>", r"a\x1b[31mred", r"nul\x00", r"\xff", "df$x_1_2$y"} <= leaves
    view = view_of(POINTS[:, :2], "euclidean", columns=NAMES[2:4])
    texts = {node.text for node in ElementTree.fromstring(scatter_svg(POINTS[:, :2], None, view)).iter()}
    assert {"<b>&\"'</b>", r"a\x1b[31mred"} <= texts
    failures = [
        Outcome(i, name, f"{name}.csv", tmp_path / "o", "failed", error=f'"{name}', kind="x")
        for i, name in enumerate(NAMES)
    ]
    page = index_page(tmp_path / "out\u202e", failures, [row_of(outcome) for outcome in failures], 1.0)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page)
    assert "<b>&\"'" not in page
    page.encode("utf-8")


def test_names_reach_no_terminal_as_they_are(tmp_path):
    bad = tmp_path / "e\x1b[31m\u202e.csv"
    bad.write_text("name,a\x1b]0;t\x07\nx,1\ny,z\x9b\n")
    for command in (["run", bad, "-o", tmp_path / "o"], ["plan", bad], ["compare", bad]):
        done = invoke(*command)
        assert done.exit_code == 2
        assert r"e\x1b[31m\u202e.csv" in done.stderr
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stderr + done.output)
    good = tmp_path / "g\x1b[31m[bold].csv"
    good.write_text("name,a\x1b]0;t\x07,[red]b\nx,1,2\ny,5,2\nz,3,1\nw,4,4\n")
    done = invoke("run", good, "-o", tmp_path / "o\x1b[0m[red]", "--no-plots")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    said = "".join(done.output.split())
    assert r"g\x1b[31m[bold].csv" in said
    assert r"(a\x1b]0;t\x07,[red]b)" in said
    assert r"o\x1b[0m[red]" in said
    done = invoke("batch", bad, good, "--out", tmp_path / "b", "--plots", "none", "--no-reports")
    assert done.exit_code == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stderr + done.output)
    done = invoke("batch", bad, good, "--out", tmp_path / "b\x07[red]", "--dry-run")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stderr + done.output)
    assert r"b\x07[red]" in "".join(done.output.split())


def test_cells_of_summary_csv_are_no_formulas(tmp_path):
    from gpuclust.app.batch.summary import FILES, write_summary
    from gpuclust.app.data.ownership import OutputFolder

    failures = [Outcome(0, "=cmd", "-x.csv", tmp_path / "=cmd", "failed", error="@SUM(1)", kind="E")]
    write_summary(OutputFolder(tmp_path, FILES), failures, 1.0)
    line = (tmp_path / "summary.csv").read_text().splitlines()[1]
    assert line.startswith("'=cmd,failed,'-x.csv,")
    assert ",'@SUM(1),'=cmd," in line


# A picture that fails


@pytest.fixture
def table(tmp_path):
    np.savetxt(tmp_path / "t.csv", POINTS, delimiter=",", header="a,b,c", comments="")
    return tmp_path / "t.csv"


def _raise(*arguments, **options):
    raise ValueError("x_1_2\n      ^\nDouble subscript")


@pytest.mark.parametrize(
    ("module", "name", "lost"),
    [
        (plotting, "fancy_dendrogram", {"dendrogram.png"}),
        (plotting, "plot_elbow", {"elbow.png"}),
        (runner, "draw", {"dendrogram.png"}),
        (report, "to_scatter", {"scatter.png", "report.html"}),
        (page, "dendrogram_svg", {"report.html"}),
        (report, "assess", {"report.html"}),
    ],
)
def test_a_picture_that_fails_costs_no_result(table, tmp_path, monkeypatch, module, name, lost):
    monkeypatch.setattr(module, name, _raise)
    out = tmp_path / "o"
    with pytest.warns(PictureWarning, match="could not be made .ValueError: x_1_2 . Double subscript") as said:
        found = runner.run(Job(str(table), out, clusters=3, report=True))
    assert {str(warning.message).partition(" ")[0] for warning in said} == lost
    np.testing.assert_allclose(np.load(out / "Z.npy"), reference.linkage(POINTS, "average"), rtol=1e-12)
    record = json.loads((out / "run.json").read_text())
    assert set(record["failed_pictures"]) == lost == {text.partition(" ")[0] for text in record["warnings"]}
    assert record["failed_pictures"] == found.record["failed_pictures"]
    assert {path.name for path in out.iterdir()} == set(record["files"])
    assert {"Z.npy", "labels.csv", "run.json"} <= set(record["files"])
    assert not lost & set(record["files"])


@pytest.mark.filterwarnings("default")
def test_exit_code_and_words_for_a_picture_that_fails(table, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "fancy_dendrogram", _raise)
    done = invoke("run", table, "-k", 3, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[1].startswith(
        "gpuclust: warning: dendrogram.png could not be made (ValueError: x_1_2"
    )
    assert "elbow.png" in done.output


def test_a_name_that_matplotlib_reads_as_mathematics(tmp_path):
    (tmp_path / "dollar.csv").write_text("name,a\ndf$x_1_2$y,1\nb,2\nc,9\n")
    done = invoke("run", tmp_path / "dollar.csv", "-k", 2, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (tmp_path / "o").iterdir()} >= {"dendrogram.png", "labels.csv", "Z.npy"}


def test_a_batch_does_not_draw_again_what_cannot_be_drawn(table, tmp_path, monkeypatch):
    from gpuclust.app.batch import worker

    monkeypatch.setattr(plotting, "fancy_dendrogram", _raise)
    work = Job(str(table), tmp_path / "o", clusters=3)
    first = worker.do(work)
    assert first.status == "done"
    assert any("dendrogram.png could not be made" in text for text in first.record["warnings"])
    assert worker.do(work).status == "unchanged"
