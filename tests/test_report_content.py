"""What an interactive report shows in headless Chromium, of any data, names, cut, medium and size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report_pages import NEEDS_BROWSER, READY, blobs, each, expected, report, saved, set_k, text

import gpuclust
from gpuclust.app.job import runner
from gpuclust.app.job.job import Job
from gpuclust.plotting.style import distinct_colors, to_hex
from gpuclust.report.svg import sample_of

pytestmark = NEEDS_BROWSER

#: Names that mean something to HTML, to a script, to a spreadsheet, or to a terminal.
NAMES = [
    "</script><script>document.title='broken'</script>", "<img src=x onerror=\"document.title='broken'\">", "=1+1",
    'a,"b"', "l1\nl2", "\u202egnp.exe", "\u2028", "nul\x00", "caf\udce9", "-1.5", "<!--",
]  # fmt: skip
#: Text of a computation that went wrong.
WRONG = "document.querySelector('main').outerHTML.match(/.{0,60}(NaN|null|Infinity|(?<!is )undefined).{0,20}/)?.[0]"


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


@pytest.mark.parametrize("kind", ["distances", "one column", "two rows", "equal", "large", "far"])
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
    elif kind == "far":
        X = X * 1e-3 + 1e9
    n = 60 if kind != "two rows" else 2
    found, path = report(tmp_path, X, names=[f"row {i}" for i in range(n)], **options)
    page.open(path, READY)
    assert text(page, "#count") == str(found.labels.max())
    set_k(page, 2)
    assert saved(page, tmp_path) == expected(tmp_path, found.cut(k=2).labels, found.names)
    assert page.value(WRONG) is None
    if kind == "far":
        sizes = each(page, "#profile tbody td:nth-child(2) small", "parseFloat(e.textContent.slice(3))")
        assert sizes == pytest.approx(X.std(axis=0), rel=0.05)


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


def test_profiles_of_numbers_and_categories(page, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"size": [1.0, 1.5, 1.2, 8.0, 9.0, 8.5], "kind": list("aab") + [None] * 3, "ok": [True] * 6})
    found = gpuclust.cluster(frame, metric="gower", k=2)
    page.open(found.report(tmp_path / "page.html"), READY)
    assert each(page, "#profile th[scope=row]", "e.textContent") == ["size", "ok", "kind = a", "kind = b"]
    rows = each(page, "#clusters tbody tr", "[...e.cells].map(c => c.textContent)")
    assert {row[0]: row[5] for row in rows} == {"1": "5", "2": "0"}, "the medoids"
    assert page.value(WRONG) is None
