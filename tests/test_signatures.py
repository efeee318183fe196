"""Every public function: SciPy's signature where SciPy has one, and documentation that names each parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
import scipy.spatial.distance as scipy_distance

import gpuclust
from gpuclust import distance, hierarchy, plotting

EMPTY = inspect.Parameter.empty
#: SciPy's classes, and the names that are compared with SciPy's in `gpuclust.distance`.
CLASSES = ("ClusterNode", "DisjointSet")
DISTANCES = ("pdist", "cdist", "squareform", "is_valid_dm", "is_valid_y", "num_obs_dm", "num_obs_y")

PAIRS: dict[str, tuple[Any, Any]] = {
    name: (getattr(hierarchy, name), getattr(scipy_hierarchy, name)) for name in scipy_hierarchy.__all__
}
PAIRS |= {name: (getattr(distance, name), getattr(scipy_distance, name)) for name in DISTANCES}
PAIRS |= {
    f"{owner}.{name}": (getattr(getattr(hierarchy, owner), name), method)
    for owner in CLASSES
    for name, method in inspect.getmembers(getattr(scipy_hierarchy, owner), inspect.isfunction)
    if not name.startswith("_")
}


def public_functions() -> dict[str, Callable[..., Any]]:
    found = {}
    for module in (gpuclust, hierarchy, distance, plotting):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = value
    return found


FUNCTIONS = public_functions()


def by_position(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def documented(function: Callable[..., Any], section: str) -> set[str]:
    """Names defined in a section of a numpydoc docstring: ``a, b : type`` defines two."""
    text = inspect.getdoc(function) or ""
    found = re.search(rf"^{section}\n-+\n(.*?)(?=^\S[^\n]*\n---+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = found[1].splitlines() if found else []
    heads = [line.split(" : ")[0] for line in lines if line and not line[0].isspace()]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def test_the_names_are_scipys():
    assert set(scipy_hierarchy.__all__) <= set(hierarchy.__all__)
    assert len(PAIRS) > 50  # the tests below look at something


@pytest.mark.parametrize("name", [name for name, (ours, _) in PAIRS.items() if name != "ClusterWarning"])
def test_signature_is_scipys(name):
    ours, theirs = PAIRS[name]
    mine, expected = by_position(ours), by_position(theirs)
    assert [p.name for p in mine] == [p.name for p in expected]
    for own, other in zip(mine, expected, strict=True):
        if callable(other.default) and other.default is not EMPTY:  # a function, which is equal to itself only
            assert callable(own.default), own
        else:
            assert own.default == other.default, own
    # Keyword-only ones and **kwargs of SciPy's are there too; more keyword-only ones may be.
    named = inspect.signature(ours).parameters
    for parameter in inspect.signature(theirs).parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY:
            assert named[parameter.name].default == parameter.default
        elif parameter.kind == parameter.VAR_KEYWORD:
            assert any(p.kind == p.VAR_KEYWORD for p in named.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_ours_is_by_keyword_where_scipy_has_the_function(name):
    function = FUNCTIONS[name]
    pair = PAIRS.get(name.rsplit(".", 1)[-1])
    if pair is None:
        assert name.rsplit(".", 1)[-1] not in scipy_hierarchy.__all__
        return
    assert len(by_position(function)) == len(by_position(pair[1]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_names_each_parameter(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    assert len(text.splitlines()[0]) > 10
    assert documented(function, "Parameters") == set(inspect.signature(function).parameters)
    assert "Returns\n-------" in text or inspect.signature(function).return_annotation in (None, "None")
    assert not re.search(r"\S +-{3,}", text), "a heading has run into its text"


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_documented(name):
    owner = getattr(hierarchy, name)
    assert documented(owner, "Parameters") >= set(inspect.signature(owner).parameters)
    for method, function in inspect.getmembers(owner, inspect.isfunction):
        assert method.startswith("_") or inspect.getdoc(function), method


def test_names_are_listed_by_dir_and_help():
    import pydoc

    for module in (gpuclust, hierarchy):
        assert set(module.__all__) <= set(dir(module))
    text = pydoc.render_doc(hierarchy.fcluster, renderer=pydoc.plaintext)
    assert "criterion" in text
    assert "Parameters" in text
