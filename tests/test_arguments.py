"""Every argument of every public function, with invalid values.

Invalid values cause a ``ValueError`` or ``TypeError`` that names the argument, and no other exception; values that
are accepted on purpose are listed here.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuclust
from gpuclust import distance, hierarchy, plotting
from gpuclust.errors import BackendUnavailable, DoesNotFit

RNG = np.random.default_rng(0)
X = RNG.random((6, 2))
Y = gpuclust.pdist(X)
Z = gpuclust.linkage(X, "average")
R = hierarchy.inconsistent(Z)
T = hierarchy.fcluster(Z, 3, "maxclust")

#: A right call of each function.
CALLS: dict[str, dict[str, Any]] = {
    "linkage": {"y": X, "method": "average"},
    "cluster": {"X": X, "method": "average", "k": 2},
    "single": {"y": X},
    "complete": {"y": X},
    "average": {"y": X},
    "weighted": {"y": X},
    "centroid": {"y": X},
    "median": {"y": X},
    "ward": {"y": X},
    "plan": {"n": 10, "m": 2},
    "warm": {"method": "single", "device": "cpu"},
    "show_versions": {},
    "pdist": {"X": X},
    "cdist": {"XA": X, "XB": X},
    "squareform": {"X": Y},
    "nearest_neighbors": {"X": X, "k": 2},
    "is_valid_dm": {"D": np.zeros((2, 2)), "throw": True},
    "is_valid_y": {"y": Y, "throw": True},
    "num_obs_dm": {"d": np.zeros((2, 2))},
    "num_obs_y": {"Y": Y},
    "fcluster": {"Z": Z, "t": 1.0},
    "fcluster_many": {"Z": Z, "t": [1.0, 2.0]},
    "fclusterdata": {"X": X, "t": 1.0},
    "cut_tree": {"Z": Z, "n_clusters": 2},
    "leaders": {"Z": Z, "T": T},
    "cophenet": {"Z": Z, "Y": Y},
    "cophenetic_correlation": {"Z": Z, "X": X},
    "correspond": {"Z": Z, "Y": Y},
    "is_isomorphic": {"T1": T, "T2": T},
    "inconsistent": {"Z": Z},
    "maxRstat": {"Z": Z, "R": R, "i": 1},
    "maxdists": {"Z": Z},
    "maxinconsts": {"Z": Z, "R": R},
    "leaf_positions": {"Z": Z},
    "leaves_list": {"Z": Z},
    "optimal_leaf_ordering": {"Z": Z, "y": X},
    "from_mlab_linkage": {"Z": hierarchy.to_mlab_linkage(Z)},
    "to_mlab_linkage": {"Z": Z},
    "to_newick": {"Z": Z},
    "from_newick": {"text": "(A:1,B:1);"},
    "to_tree": {"Z": Z},
    "acceleration": {"Z": Z},
    "suggest_k": {"Z": Z, "X": X},
    "is_valid_linkage": {"Z": Z, "throw": True},
    "is_valid_im": {"R": R, "throw": True},
    "is_monotonic": {"Z": Z},
    "num_obs_linkage": {"Z": Z},
    "dendrogram": {"Z": Z, "no_plot": True},
    "set_link_color_palette": {"palette": None},
    "fancy_dendrogram": {"Z": Z},
    "plot_elbow": {"Z": Z},
    "plot_clusters": {"X": X, "labels": T},
    "clustermap": {"X": X},
}

#: What no argument takes, unless it is listed below.
BAD: dict[str, Any] = {
    "None": None,
    "text": "abc",
    "empty text": "",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "-1": -1,
    "2.5": 2.5,
    "huge": 10**400,
    "complex": 1 + 2j,
    "a list of text": ["a", "b"],
    "nothing": [],
    "a square of text": np.array([["a", "b"], ["c", "d"]]),
    "an object": object(),
    "a dict": {"a": 1},
    "a type": int,
    "three dimensions": np.zeros((2, 2, 2)),
    "missing cells": [[1, None], [2, 3]],
    "NaN and infinity": np.array([[np.nan, 1.0], [2.0, np.inf]]),
    "4 x 4 of -1": -np.ones((4, 4)),
}

#: Flags: anything has a truth value.
FLAGS = {
    "optimal_ordering",
    "overwrite",
    "checks",
    "throw",
    "warning",
    "rd",
    "get_leaves",
    "show_leaf_counts",
    "no_plot",
    "no_labels",
    "show_contracted",
    "cluster_columns",
    "comments",
}
#: ... names for messages, and what is ignored with a warning that names it, as in SciPy.
FREE = {"name", "count_sort", "distance_sort"}
#: Other names that a message may give an argument.
CALLED = {
    "y": ("y", "condensed distance", "points", "observations", "distance matrix"),
    "XA": ("XA", "2-dimensional"),
    "X": ("X", "points", "labels must be", "k must be", "vector size", "condensed"),
    "D": ("distance matrix",),
    "d": ("d", "depth"),
    "Y": ("Y", "condensed distance"),
    "dtype": ("dtype", "float64"),
    "Z": ("Z", "linkage"),
    "R": ("R", "inconsistency"),
    "criterion": ("criterion",),
    "truncate_mode": ("truncation mode",),
    "method": ("method",),
    "link_color_func": ("link_color_func",),
    "text": ("text", "Newick"),
    "kwargs": ("parameter",),
    "metric_arguments": ("parameter",),
    "dendrogram_kwargs": ("dendrogram takes no argument",),
}
FUNCTIONS = {
    name: getattr(module, name)
    for module in (plotting, hierarchy, distance, gpuclust)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
}


def accepted(function: str, argument: str, what: str, value: Any) -> bool:
    """Values that look invalid, and are valid."""
    default = inspect.signature(FUNCTIONS[function]).parameters[argument].default
    if value is None and default is None:
        return True
    return what in ACCEPTED.get(argument, ()) or what in ACCEPTED.get(f"{function}.{argument}", ())


def table(text: str) -> dict[str, list[str]]:
    """``argument: value; value`` a line, or ``function.argument``."""
    rows = (line.partition(": ") for line in text.strip().splitlines())
    return {name.strip(): values.split("; ") for names, _, values in rows for name in names.split(",")}


#: Numbers that are what they say, and what SciPy takes too: empty input, single numbers, NaN among points.
ACCEPTED = table("""
    leaf_label_func: a type
    depth, d, min_size, last, max_k, sample, seed: huge
    t, height: infinity; 2.5; -1
    tol, tolerance: infinity; 2.5
    max_d: 2.5; -1
    annotate_above, color_threshold: infinity; 2.5; -1
    p, leaf_rotation: 2.5; -1
    leaf_font_size, memory_limit: 2.5
    left_out: -1; None
    above_threshold_color, title: text; empty text
    palette: a list of text; None
    dtype: None
    highlight, cut_tree.n_clusters, cut_tree.height, fcluster_many.t, is_valid_y.y: nothing
    y, fclusterdata.X, num_obs_dm.d, cluster.X, clustermap.X: 4 x 4 of -1
    squareform.X: nothing; -1; 2.5; NaN; infinity; complex; text; empty text
    from_mlab_linkage.Z, to_mlab_linkage.Z: nothing; -1; 2.5; NaN; infinity
    cdist.XA, cdist.XB, nearest_neighbors.X: NaN and infinity; 4 x 4 of -1
    pdist.X: NaN and infinity; 4 x 4 of -1; nothing
""")

CASES = [
    (name, argument)
    for name, function in sorted(FUNCTIONS.items())
    for argument, parameter in inspect.signature(function).parameters.items()
    if argument not in FLAGS | FREE and parameter.kind != parameter.VAR_KEYWORD
]


def test_every_public_function_is_called() -> None:
    assert set(CALLS) == set(FUNCTIONS)


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_bad_values_are_refused_by_name(name: str, argument: str) -> None:
    from matplotlib import pyplot

    unexpected = []
    for what, value in BAD.items():
        if what == "a type" and argument in ("metric", "progress"):
            continue  # it is callable: what int raises when it is called is its own affair
        arguments = {**CALLS[name], argument: value}
        if name == "cut_tree" and argument == "height":
            del arguments["n_clusters"]
        if argument == "monocrit":
            arguments["criterion"] = "monocrit"
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                FUNCTIONS[name](**arguments)
        except (ValueError, TypeError) as error:
            names = CALLED.get(argument, (argument,))
            if not any(re.search(rf"\b{re.escape(word)}", str(error), re.IGNORECASE) for word in names):
                unexpected.append(f"{what}: {type(error).__name__} does not name it: {error}")
        except (BackendUnavailable, DoesNotFit):
            assert argument in ("device", "output", "memory_limit")
        except Exception as error:
            unexpected.append(f"{what}: {type(error).__name__}: {error}")
        else:
            if not accepted(name, argument, what, value):
                unexpected.append(f"{what}: accepted")
    pyplot.close("all")
    hierarchy.set_link_color_palette(None)
    assert not unexpected, "\n".join(unexpected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hierarchy.cut_tree(Z, n_clusters=np.inf),
            ValueError,
            "n_clusters must be whole numbers >= 1, got inf",
        ),
        (
            lambda: hierarchy.fcluster(Z, 1, "distance", depth=-1),
            ValueError,
            "depth must be a whole number >= 0, got -1",
        ),
        (
            lambda: hierarchy.fcluster(Z, 1, "distance", depth=2.5),
            ValueError,
            "depth must be a whole number >= 0, got 2.5",
        ),
        (lambda: hierarchy.fcluster(Z, 1, depth=np.inf), ValueError, "depth must be a whole number >= 0, got inf"),
        (lambda: hierarchy.fcluster(Z, "1"), TypeError, "t must be a number, got '1'"),
        (
            lambda: distance.squareform(Y, force=3),
            TypeError,
            "force must be one of 'no', 'tomatrix', 'tovector', got 3",
        ),
        (
            lambda: distance.squareform(Y, force="matrix"),
            ValueError,
            "Unknown force 'matrix'. Did you mean 'tomatrix'",
        ),
        (lambda: hierarchy.dendrogram(Z, ax=3), TypeError, "ax must be a matplotlib.axes.Axes or None, got 3"),
        (
            lambda: plotting.plot_elbow(Z, ax="here"),
            TypeError,
            "ax must be a matplotlib.axes.Axes or None, got 'here'",
        ),
        (
            lambda: plotting.plot_clusters(X, T, highlight=3),
            TypeError,
            "highlight must be a sequence of indices.*got 3",
        ),
        (
            lambda: plotting.plot_clusters(X, T, highlight=[[1], "a"]),
            ValueError,
            "highlight must be a sequence of indices",
        ),
        (lambda: plotting.fancy_dendrogram(Z, colour="C0"), TypeError, "dendrogram takes no argument 'colour'"),
        (lambda: distance.pdist(X, "minkowski", p="2"), TypeError, "p must be a number, got '2'"),
        (lambda: distance.pdist(X, "minkowski", p=-1), ValueError, "p must be greater than 0, got -1"),
        (lambda: distance.pdist(X, w=["a", "b"]), ValueError, "w must hold real numbers"),
        (lambda: distance.pdist(X, w=[1, None]), ValueError, "w must hold real numbers: entry 1 is missing"),
        (lambda: distance.pdist(X, "seuclidean", V="ab"), ValueError, "V must hold real numbers"),
        (lambda: distance.pdist(X, "mahalanobis", VI=object()), ValueError, "VI must be an array of real numbers"),
        (lambda: gpuclust.linkage(X, memory_limit=[1]), TypeError, "memory_limit must be a positive number of bytes"),
    ],
)
def test_what_was_accepted_or_raised_in_other_words(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


#: What looks wrong for the estimator, and is not.
OF_THE_ESTIMATOR = table("""
    memory: text; empty text; None
    connectivity, metric_params, memory_limit, dtype: None
    distance_threshold: infinity; 2.5
""")


@pytest.mark.parametrize("argument", sorted(inspect.signature(gpuclust.AgglomerativeClustering).parameters))
def test_parameters_of_the_estimator(argument: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # memory="abc" is a folder
    unexpected = []
    for what, value in BAD.items():
        if argument == "compute_distances" or (what == "a type" and argument == "metric"):
            continue
        arguments = {"linkage": "average", argument: value}
        if argument == "distance_threshold":
            arguments["n_clusters"] = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gpuclust.AgglomerativeClustering(**arguments).fit(X)
        except (ValueError, TypeError) as error:
            names = {
                "linkage": "linkage|method",
                "metric_params": "metric_params|parameter",
                "dtype": "dtype|float64",
            }.get(argument, argument)
            if not re.search(names, str(error)):
                unexpected.append(f"{what}: {type(error).__name__} does not name it: {error}")
        except (BackendUnavailable, DoesNotFit):
            assert argument in ("device", "memory_limit")
        except Exception as error:
            unexpected.append(f"{what}: {type(error).__name__}: {error}")
        else:
            if what not in OF_THE_ESTIMATOR.get(argument, ()):
                unexpected.append(f"{what}: accepted")
    assert not unexpected, "\n".join(unexpected)


@pytest.mark.parametrize("argument", ["n_clusters", "distance_threshold"])
def test_cuts_of_the_estimator(argument: str) -> None:
    model = gpuclust.AgglomerativeClustering(2, linkage="average").fit(X)
    for what, value in BAD.items():
        if (argument, what) in (
            ("distance_threshold", "infinity"),
            ("distance_threshold", "2.5"),
        ) or what == "nothing":
            assert model.cut(**{argument: value}).shape[-1] == len(X)
            continue
        with pytest.raises((ValueError, TypeError), match=argument):
            model.cut(**{argument: value})
