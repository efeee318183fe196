"""Every public name has examples in its docstring, and they run."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import pytest
from matplotlib import pyplot

import gpuclust
from gpuclust import batch, distance, errors, hierarchy, plotting

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def public_names() -> dict[str, Any]:
    """Functions and classes, each once; modules and the version have no examples."""
    found: dict[int, tuple[str, Any]] = {}
    for module in (gpuclust, hierarchy, distance, plotting, batch):
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value):
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    for name, value in vars(errors).items():
        if inspect.isclass(value) and value.__module__ == errors.__name__:
            found.setdefault(id(value), (f"{errors.__name__}.{name}", value))
    return dict(found.values())


NAMES = public_names()
#: Methods that do work, of the classes that users hold.
NAMES |= {
    f"{owner.__name__}.{name}": method
    for owner in (gpuclust.Clustering, gpuclust.AgglomerativeClustering)
    for name, method in inspect.getmembers(owner, inspect.isfunction)
    if not name.startswith("_") and method.__module__ == owner.__module__
}


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(NAMES[name]) or "", {}, name, None, None)
    assert test.examples, f"{name} has no examples"
    assert not any(example.options.get(doctest.SKIP) for example in test.examples)
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    assert not failed, "".join(said)
    pyplot.close("all")
