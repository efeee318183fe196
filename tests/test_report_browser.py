"""The interactive report in headless Chromium: what a person does, and what the page shows and saves then."""

from __future__ import annotations

import json
import time
from pathlib import Path

import browser as chromium
import numpy as np
import pytest

import gpuclust
from gpuclust.app.job import runner
from gpuclust.app.job.job import Job
from gpuclust.app.job.results import write_labels
from gpuclust.hierarchy import fcluster
from gpuclust.plotting.style import distinct_colors, to_hex
from gpuclust.report.svg import sample_of

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium is installed")

#: Text of a computation that went wrong.
WRONG = "document.querySelector('main').outerHTML.match(/.{0,60}(NaN|null|Infinity|(?<!is )undefined).{0,20}/)?.[0]"
READY = "document.documentElement?.dataset.ready"
#: Names that mean something to HTML, to a script, to a spreadsheet, or to a terminal.
NAMES = [
    "</script><script>document.title='broken'</script>", "<img src=x onerror=\"document.title='broken'\">", "=1+1",
    'a,"b"', "l1\nl2", "\u202egnp.exe", "\u2028", "nul\x00", "caf\udce9", "-1.5", "<!--",
]  # fmt: skip


@pytest.fixture(scope="module")
def tab():
    with chromium.browser() as opened:
        yield opened


@pytest.fixture
def page(tab):
    """The tab as a screen of 1280 x 900 pixels, with functions to read the page."""
    tab.size(1280, 900)
    tab.media()
    return tab


def blobs(n=150, m=4, seed=0):
    rng = np.random.default_rng(seed)
    return np.vstack([rng.normal(place, 1, (n // 3, m)) for place in rng.normal(0, 6, (3, m))])


def report(folder, X=None, method="average", names=None, **options):
    X = blobs() if X is None else X
    if names is None:
        names = [f"row {i}" for i in range(len(X))]
    found = gpuclust.cluster(X, method, names=names, **{"k": 3, **options})
    return found, found.report(folder / "page.html")


def text(page, selector):
    return page.value(f"document.querySelector({json.dumps(selector)}).textContent")


def height_of(page):
    return float(page.value("document.getElementById('cut').getAttribute('aria-valuenow')"))


def each(page, selector, expression):
    """The value of an expression of ``e`` for each element that a selector finds."""
    return page.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => {expression})")


def set_k(page, k):
    page.value(f"document.getElementById('k').value = {k}")
    page.value("document.getElementById('k').dispatchEvent(new Event('change'))")
    page.frame()


def saved(page, folder):
    """The file that the button for labels saves."""
    target = folder / "saved"
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(target))
    page.click(*page.centre("#download"))
    deadline = time.monotonic() + chromium.PATIENCE
    while not (done := [path for path in target.iterdir() if path.suffix == ".csv"]):
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.02)
    return done[0].read_bytes()


def expected(folder, labels, names, rows=None):
    write_labels(folder, labels, names, rows=rows)
    return (folder / "labels.csv").read_bytes()


def test_the_cut_is_dragged_and_everything_follows(page, tmp_path):
    found, path = report(tmp_path)
    page.open(path, READY)
    before = page.value("document.querySelectorAll('#points .dots').length")
    assert (before, text(page, "#count")) == (3, "3")
    x, y = page.centre("#cut circle")
    page.drag(x, y, y + 60)
    height = height_of(page)
    labels = fcluster(found.Z, height, "distance")
    assert labels.max() > 3
    assert text(page, "#count") == str(labels.max())
    assert page.value("Number(document.getElementById('k').value)") == labels.max()
    assert page.value("document.querySelectorAll('#points .dots').length") == labels.max()
    sizes = each(page, "#clusters tbody tr", "[e.cells[0].textContent, e.cells[1].textContent]")
    counts = np.bincount(labels)
    assert {int(label): int(size) for label, size in sizes} == {i: int(counts[i]) for i in range(1, len(counts))}
    heads = page.value("document.querySelectorAll('#profile thead th').length")
    assert heads == 2 + min(8, labels.max())
    assert f"{labels.max()} clusters, cut at" in text(page, "#cut text")
    assert saved(page, tmp_path) == expected(tmp_path, labels, found.names)


@pytest.mark.parametrize("method", ["single", "average", "ward", "centroid", "median"])
def test_labels_are_those_of_fcluster_with_ties_and_inversions(page, tmp_path, method):
    X = np.random.default_rng(5).integers(0, 4, (60, 2)).astype(float)
    found, path = report(tmp_path, X, method, k=4)
    page.open(path, READY)
    for k in (1, 2, 5, 9, 17, 40, 59, 60):
        set_k(page, k)
        assert saved(page, tmp_path) == expected(tmp_path, found.cut(k=k).labels, found.names), k
    _, y = page.centre("#cut circle")
    for to in (y - 10, y - 80, y - 170):
        page.drag(*page.centre("#cut circle"), to)
        labels = fcluster(found.Z, height_of(page), "distance")
        assert saved(page, tmp_path) == expected(tmp_path, labels, found.names)


@pytest.mark.parametrize(
    "options", [{"k": 4, "min_size": 8}, {"k": None, "distance": 3.0}, {"k": None}, {"k": [2, 5]}]
)
def test_the_page_opens_with_the_cut_of_the_result(page, tmp_path, options):
    found, path = report(tmp_path, **options)
    page.open(path, READY)
    cut = next(iter(found.cuts.values()), None)
    if cut is None:
        assert text(page, "#count") == text(page, ".facts div:nth-child(4) b"), "the suggested number of clusters"
        return
    assert saved(page, tmp_path) == expected(tmp_path, cut.labels, found.names)
    if cut.min_size > 1:
        set_k(page, 30)
        assert saved(page, tmp_path) == expected(tmp_path, found.cut(k=30, min_size=8).labels, found.names)


def test_a_cut_by_inconsistency_and_rows_that_were_left_out(page, tmp_path):
    table = tmp_path / "t.csv"
    rows = [",".join(f"{value:.4f}" for value in row) for row in blobs()]
    rows[7] = ",1,1,1"
    table.write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    done = runner.run(Job(str(table), tmp_path / "out", inconsistent=1.0, report=True, plots=False))
    page.open(tmp_path / "out" / "report.html", READY)
    assert text(page, "#count") == str(done.labels.max())
    assert "no height separates them" in text(page, "#cut text")
    assert saved(page, tmp_path) == (tmp_path / "out" / "labels.csv").read_bytes()


def test_names_are_text(page, tmp_path):
    names = [f"{NAMES[i % len(NAMES)]}{i if i >= len(NAMES) else ''}" for i in range(150)]
    found, path = report(tmp_path, names=names)
    source = path.read_text()
    assert all(name not in source for name in NAMES[:2])
    page.open(path, READY)
    assert page.value("document.title") == "page \N{EN DASH} gpuclust"
    page.value("document.getElementById('wanted').focus()")
    page.type("onerror")
    assert text(page, "#hits button") == NAMES[1]
    page.key("Enter")
    x, y = page.centre("#tree .mark.found")
    page.mouse("mouseMoved", x, y)
    assert NAMES[1] in text(page, "#tip")
    assert page.value("document.querySelectorAll('img').length") == 0
    assert saved(page, tmp_path) == expected(tmp_path, found.labels, names)


def test_zoom_into_a_branch_down_to_a_leaf_and_back(page, tmp_path):
    _, path = report(tmp_path, blobs(600))
    page.open(path, READY)
    crumbs = "[...document.querySelectorAll('#path button')].map(b => b.textContent)"
    assert page.value(crumbs) == ["all 600"]
    depth = 1
    while any(name.startswith("(") for name in each(page, "#leaves text", "e.textContent")):
        page.click(*page.centre("#in"))
        page.frame()
        assert len(page.value(crumbs)) > depth
        depth = len(page.value(crumbs))
    assert depth > 1
    assert all(name.startswith("row ") for name in each(page, "#leaves text", "e.textContent"))
    x, y = page.centre("#tree")
    page.value("document.getElementById('explorer').focus()")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    page.wait(f"{crumbs}.length === {depth - 1}")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    page.wait(f"{crumbs}.length === {depth}")
    page.click(*page.centre("#out"))
    assert len(page.value(crumbs)) == depth - 1
    page.click(*page.centre("#path button"))
    assert page.value(crumbs) == ["all 600"]
    assert page.value("document.getElementById('out').disabled")


def test_hover_shows_names_and_values(page, tmp_path):
    _, path = report(tmp_path, blobs(60))
    page.open(path, READY)
    x, y = page.centre("#strip rect:nth-child(2)")
    page.mouse("mouseMoved", x, y)
    tip = page.value("document.getElementById('tip').innerText")
    assert tip.startswith("row ")
    assert "cluster 1" in tip
    assert "column 3: " in tip
    page.mouse("mouseMoved", *page.centre("#heat"))
    assert "z-score" in text(page, "#tip")


def test_search_marks_a_row_everywhere(page, tmp_path):
    _, path = report(tmp_path, blobs(600))
    page.open(path, READY)
    page.value("document.getElementById('wanted').focus()")
    page.type("ROW 59")
    page.frame()
    hits = each(page, "#hits button", "e.textContent")
    assert hits == ["row 59", *(f"row 59{i}" for i in range(10))]
    page.click(*page.centre("#hits li:nth-child(3) button"))
    page.frame()
    assert text(page, "#leaves .found") == "row 591"
    assert page.value("document.getElementById('ring').getAttribute('visibility')") == "visible"
    assert page.value("document.querySelectorAll('#hits button').length") == 0


def test_by_keyboard_alone(page, tmp_path):
    found, path = report(tmp_path)
    page.open(path, READY)
    seen = []
    for _ in range(40):
        page.key("Tab")
        seen.append(page.value("document.activeElement.id || document.activeElement.dataset.k || ''"))
        if seen[-1] == "cut":  # a line, whose outline would be a box around it
            assert page.value("getComputedStyle(document.querySelector('#cut circle')).strokeWidth") == "4px"
            break
        assert page.value("getComputedStyle(document.activeElement).outlineStyle") in ("auto", "solid"), seen[-1]
    assert {"k", "range", "download", "in", "wanted", "explorer", "cut"} <= set(seen)
    for key, k in (("ArrowDown", 4), ("ArrowDown", 5), ("ArrowUp", 4), ("End", 1), ("Home", 150)):
        page.key(key)
        assert page.value("Number(document.getElementById('k').value)") == k
        assert page.value("document.getElementById('cut').getAttribute('aria-valuetext')").startswith(f"{k} cluster")
    page.value("document.getElementById('explorer').focus()")
    page.key("ArrowRight")
    assert text(page, "#live")
    page.key("ArrowUp")
    page.key("Enter")
    assert page.value("document.querySelectorAll('#path button').length") == 2
    page.key("Backspace")
    assert page.value("document.querySelectorAll('#path button').length") == 1
    page.key("-")
    assert saved(page, tmp_path) == expected(tmp_path, found.cut(k=149).labels, found.names)


def test_a_phone_scrolls_down_only(page, tmp_path):
    X = np.hstack([blobs(300), blobs(300, 8, seed=1)])
    _, path = report(tmp_path, X, names=[f"a rather long name of a row {i} " * 3 for i in range(300)])
    page.size(375, 812, phone=True)
    page.open(path, READY)
    assert page.value("document.documentElement.scrollWidth") == 375
    inside = "e.getBoundingClientRect().right <= 376 || !!e.closest('.card, #silhouettes, .hidden')"
    assert all(each(page, "main *", inside))
    page.size(1280, 900)
    page.wait("document.getElementById('tree').getBoundingClientRect().width > 800")


def test_the_cut_is_dragged_by_a_finger(page, tmp_path):
    found, path = report(tmp_path)
    page.size(375, 812, phone=True)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        page.open(path, READY)
        x, y = page.centre("#cut circle")
        at = page.value("scrollY")
        page.swipe(x, y, y + 50)
        assert page.value("scrollY") == at
        labels = fcluster(found.Z, height_of(page), "distance")
        assert labels.max() > 3
        assert text(page, "#count") == str(labels.max())
    finally:
        page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_colours_are_those_of_the_other_pictures_in_the_dark_too(page, tmp_path):
    _, path = report(tmp_path, k=30)
    page.open(path, READY)
    drawn = {}
    for scheme in ("light", "dark"):
        page.media(scheme=scheme)
        ground = page.value("getComputedStyle(document.body).backgroundColor")
        drawn[scheme] = [ground, *each(page, "#points .dots", "e.dataset.label + getComputedStyle(e).stroke")]
    assert drawn["light"][0] != drawn["dark"][0]
    assert drawn["light"][1:] == drawn["dark"][1:]
    colors = [to_hex(color) for color in distinct_colors(30)]
    wanted = {f"{i}rgb({', '.join(str(int(c[j : j + 2], 16)) for j in (1, 3, 5))})" for i, c in enumerate(colors, 1)}
    assert set(drawn["light"][1:]) == wanted


def test_print_leaves_out_controls(page, tmp_path):
    _, path = report(tmp_path)
    page.open(path, READY)
    page.media("print")
    shown = "getComputedStyle(document.querySelector('%s')).display"
    assert page.value(shown % ".tools") == "none"
    assert page.value(shown % "#tree") != "none"


@pytest.mark.parametrize("kind", ["distances", "one column", "two rows", "equal", "large"])
def test_other_data(page, tmp_path, kind):
    X, options = blobs(60), {"method": "average"}
    if kind == "distances":
        X, options["metric"] = gpuclust.distance.pdist(X), "precomputed"
    elif kind == "one column":
        X = X[:, :1]
    elif kind == "two rows":
        X, options["k"] = X[:2], 2
    elif kind == "equal":
        X[:] = 1.0
    elif kind == "large":
        X = X * 1e100
    n = 60 if kind != "two rows" else 2
    found, path = report(tmp_path, X, names=[f"row {i}" for i in range(n)], **options)
    page.open(path, READY)
    assert text(page, "#count") == str(found.labels.max())
    set_k(page, 2)
    assert saved(page, tmp_path) == expected(tmp_path, found.cut(k=2).labels, found.names)
    assert page.value(WRONG) is None


def test_missing_values(page, tmp_path):
    X = blobs(60)
    X[::7, 1] = np.nan
    np.save(tmp_path / "x.npy", X)
    runner.run(
        Job(str(tmp_path / "x.npy"), tmp_path / "o", metric="nan_euclidean", clusters=3, report=True, plots=False)
    )
    page.open(tmp_path / "o" / "report.html", READY)
    assert page.value(WRONG) is None
    assert text(page, "#profile tbody tr:nth-child(2) td").startswith(f"{np.nanmean(X[:, 1]):.2f}")


def test_silhouettes_means_and_representatives(page, tmp_path):
    from sklearn.metrics import silhouette_samples, silhouette_score

    X = blobs()
    found, path = report(tmp_path, X)
    page.open(path, READY)
    widths = silhouette_samples(X, found.labels)
    rows = each(page, "#clusters tbody tr", "[...e.cells].map(c => c.textContent)")
    for label, _, _, _, silhouette, representative, _ in rows:
        inside = found.labels == int(label)
        assert abs(float(silhouette) - widths[inside].mean()) < 0.006
        away = ((X - X[inside].mean(axis=0)) ** 2).sum(axis=1)
        assert representative == f"row {np.flatnonzero(inside)[away[inside].argmin()]}"
    assert f"{silhouette_score(X, found.labels):.2f}" == text(page, '#silhouettes [data-k="3"] small')
    cells = each(page, "#profile tbody tr", "[...e.cells].slice(1).map(c => parseFloat(c.textContent))")
    labels = [int(row[0]) for row in rows]
    for column, (every, *means) in enumerate(cells):
        assert every == pytest.approx(X[:, column].mean(), rel=1e-3, abs=1e-3)
        for label, mean in zip(labels, means, strict=True):
            assert mean == pytest.approx(X[found.labels == label, column].mean(), rel=1e-3, abs=1e-3)


def test_nothing_is_loaded_from_elsewhere(page, tmp_path):
    _, path = report(tmp_path)
    source = path.read_text()
    assert "default-src 'none'" in source
    assert "http" not in source.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    page.open(path, READY)
    assert page.value("performance.getEntriesByType('resource').length") == 0


def test_the_size_of_pages(tmp_path):
    _, path = report(tmp_path)
    assert path.stat().st_size < 150_000


@pytest.mark.slow
def test_a_million_leaves(page, tmp_path):
    """The page is below 20 MB. Its time is measured by benchmarks; here it draws, zooms, and finds a row."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    names = [f"sample-{i:07d}" for i in range(n)]
    X = rng.normal(size=(n, 2)) + 8 * rng.integers(0, 3, (n, 1))
    found, path = report(tmp_path, X, "single", names=names)
    assert path.stat().st_size < 20_000_000
    page.open(path, READY)
    page.wait("document.documentElement.dataset.named !== undefined")
    set_k(page, 1000)
    assert text(page, "#count") == f"{found.cut(k=1000).n_clusters:,}"
    page.value("document.getElementById('wanted').focus()")
    page.type("0654321")
    page.key("Enter")
    assert text(page, "#leaves .found") == "sample-0654321"
    assert len(sample_of(n)) == 2000


def test_without_scripts_the_drawings_remain(page, tmp_path):
    _, path = report(tmp_path)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.call("Page.navigate", url=Path(path).as_uri())
        page.wait("document.readyState === 'complete'")
        assert page.value("document.querySelectorAll('.static svg').length") == 2
        assert page.value("getComputedStyle(document.querySelector('.static')).display") != "none"
        assert page.value("getComputedStyle(document.getElementById('interactive')).display") == "none"
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
