"""The formula that the documentation shows for a metric or a linkage is the one that is computed."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from conftest import OWN_METRICS, points_for

from gpuclust.core import methods, metrics
from gpuclust.distance import pdist
from gpuclust.linkage import linkage


def as_python(formula: str) -> str:
    """A formula of the tables as an expression of Python."""
    text = formula.replace("²", "**2").replace("^", "**").replace("' VI ", " @ VI @ ")
    text = text.replace("x = y = 0", "(x == 0) & (y == 0)").replace("x and y", "(x != 0) & (y != 0)")
    text = text.replace("x or y", "(x != 0) | (y != 0)").replace("[", "(").replace("]", ")")
    text = re.sub(r"\|([a-z])\|", r"n\1" if "d(" in text else r"abs(\1)", text)
    text = re.sub(r"(?<!\) )\|([^|()]*)\|", r"abs(\1)", text)
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    return text


def evaluated(formula: str, names: dict[str, Any]) -> Any:
    """The first of the parts between commas; the others define names, or say how much 0/0 is."""
    first, *rest = re.split(r", (?=\w+ = |0/0)", formula)
    known = {"sum": np.sum, "max": np.max, "abs": np.abs, "sqrt": np.sqrt, "log": np.log, **names}
    for part in rest:
        if not part.startswith("0/0"):
            name, value = part.split(" = ", 1)
            known[name] = eval(as_python(value), known)
    with np.errstate(invalid="ignore"):
        value = eval(as_python(first), known)
    return 0.0 if np.isnan(value) and "0/0 = 0" in rest else value


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [name for name in metrics.METRICS if name not in OWN_METRICS])
def test_formula_of_a_metric(name: str, weighted: bool) -> None:
    metric = metrics.METRICS[name]
    if weighted and not metric.accepts_weights:
        pytest.skip("takes no weights")
    X = points_for(name, 5, 4).astype(float)
    w = np.array([0.5, 1.0, 2.0, 3.0]) if weighted else np.ones(4)
    V, VI = X.var(axis=0, ddof=1) + 0.1, np.eye(4) + 0.1
    given = {key: value for key, value in (("p", 3.0), ("V", V), ("VI", VI)) if key in metric.parameters}
    expected = [
        evaluated(metric.formula, {"x": X[i], "y": X[j], "w": w, "p": 3.0, "V": V, "VI": VI})
        for i in range(5)
        for j in range(i + 1, 5)
    ]
    np.testing.assert_allclose(
        pdist(X, name, device="reference", **given, **({"w": w} if weighted else {})),
        expected,
        rtol=1e-10,
        atol=1e-12,
    )
    assert metric.formula in (inspect.getdoc(pdist) or "")


@pytest.mark.parametrize("name", methods.METHODS)
def test_formula_of_a_linkage(name: str) -> None:
    method = methods.METHODS[name]
    xa, xb, ab = 5.0, 6.5, 2.0
    sizes = {"na": 3.0, "nb": 2.0, "nx": 4.0} if method.counted else {"na": 1.0, "nb": 1.0, "nx": 1.0}
    text = re.sub(r"d\((\w),(\w)\)", r"\1\2", method.formula)
    text = re.sub(r"\|(\w)\|", r"n\1", text).replace("²", "**2")
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    found = eval(text, {"sqrt": np.sqrt, "xa": xa, "xb": xb, "ab": ab, **sizes})
    power = 2 if method.on_squares else 1
    expected = method.update(xa**power, xb**power, ab**power, *sizes.values()) ** (1 / power)
    assert found == pytest.approx(expected, rel=1e-12)
    assert method.formula in (inspect.getdoc(linkage) or "")
