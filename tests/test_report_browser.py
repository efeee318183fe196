"""The interactive report in headless Chromium: what a person does with pointer, finger and keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from report_pages import NEEDS_BROWSER, READY, blobs, each, expected, height_of, report, saved, set_k, text

from gpuclust.hierarchy import fcluster

pytestmark = NEEDS_BROWSER


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
    page.open(path, READY)  # Chromium refuses the eleventh file of a page
    _, y = page.centre("#cut circle")
    for to in (y - 10, y - 80, y - 170):
        page.drag(*page.centre("#cut circle"), to)
        labels = fcluster(found.Z, height_of(page), "distance")
        assert saved(page, tmp_path) == expected(tmp_path, labels, found.names)


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
    assert "feature 3: " in tip
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
