"""Reports for tests in a browser, and what such a page shows and saves."""

from __future__ import annotations

import json
import time

import browser as chromium
import numpy as np
import pytest

import gpuclust
from gpuclust.app.job.results import write_labels

NEEDS_BROWSER = pytest.mark.skipif(chromium.find() is None, reason="no Chromium is installed")
#: True once a report has drawn itself.
READY = "document.documentElement?.dataset.ready"


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
