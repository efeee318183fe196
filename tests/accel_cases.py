"""Calls of functions that are accelerated, good and bad, for comparison of their outcomes with and without."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fastcluster
import numpy as np
import pandas as pd
import scipy.cluster.hierarchy as hierarchy
import scipy.spatial.distance as distance

METHODS = ("single", "complete", "average", "weighted", "ward", "centroid", "median")
#: One metric of each form, whose kernels other tests compile too; and all others, for the sweep.
FORMS = ("euclidean", "cityblock", "cosine", "canberra", "minkowski", "jensenshannon", "hamming", "jaccard")
METRICS = ("sqeuclidean", "chebyshev", "correlation", "braycurtis", "seuclidean", "mahalanobis")
COUNTS = ("dice", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
RNG = np.random.default_rng(5)
X = RNG.random((70, 4))
LATTICE = RNG.integers(0, 4, (40, 2)).astype(float)
BITS = RNG.random((40, 9)) < 0.5
Y = distance.pdist(X)
Z = {method: hierarchy.linkage(Y, method) for method in METHODS}
TIED = hierarchy.linkage(LATTICE, "average")
R = hierarchy.inconsistent(Z["average"])
T = hierarchy.fcluster(Z["average"], 7, "maxclust")
BAD = (None, "abc", [], [[1.0, 2.0], [3.0]], np.zeros((2, 2, 2)), 1j * X, X[:1], X[:0], np.full((5, 2), np.nan))

Call = tuple[str, Callable[[], Any]]


def linkages() -> Iterator[Call]:
    yield from linkages_by(FORMS)
    for method in METHODS:
        for name, y in {
            "points": X,
            "condensed": Y,
            "float32": X.astype(np.float32),
            "integers": (1000 * X).astype(np.int32),
            "a list": X.tolist(),
            "a data frame": pd.DataFrame(X),
            "in Fortran's order": np.asfortranarray(X),
            "a subclass": np.ma.masked_array(X),
            "a lattice": LATTICE,
            "a square": distance.squareform(Y[: 5 * 4 // 2]),
            "negative": -Y,
            "three": Y[:3],
        }.items():
            yield f"linkage {method} of {name}", lambda y=y, method=method: hierarchy.linkage(y, method)
        yield f"fastcluster {method}", lambda method=method: fastcluster.linkage(Y, method)
        yield f"linkage {method} ordered", lambda method=method: hierarchy.linkage(X, method, optimal_ordering=True)
        yield f"named {method}", lambda method=method: getattr(hierarchy, method)(Y)
    for method in ("single", "ward", "centroid", "median"):
        yield f"vector {method}", lambda method=method: fastcluster.linkage_vector(X, method)
    yield "of a function", lambda: hierarchy.linkage(X, "average", lambda a, b: abs(a - b).max())
    yield "unknown method", lambda: hierarchy.linkage(X, "nope")
    yield "unknown metric", lambda: hierarchy.linkage(X, "average", "haversine")
    for k, bad in enumerate(BAD):
        yield f"linkage bad {k}", lambda bad=bad: hierarchy.linkage(bad, "average")


def linkages_by(names: Iterable[str]) -> Iterator[Call]:
    for metric in names:
        yield f"linkage {metric}", lambda metric=metric: hierarchy.linkage(X, "average", metric)
        yield f"linkage ward {metric}", lambda metric=metric: hierarchy.linkage(X, "ward", metric)


def other_metrics() -> Iterator[Call]:
    yield from linkages_by(METRICS)
    yield from distances_by(METRICS, COUNTS)


def distances_by(names: Iterable[str], counts: Iterable[str]) -> Iterator[Call]:
    zero = np.vstack((X, np.zeros((1, 4)), np.ones((1, 4))))
    for metric in names:
        yield f"pdist {metric}", lambda metric=metric: distance.pdist(X, metric)
        yield f"cdist {metric}", lambda metric=metric: distance.cdist(X, X[:9] + 1, metric)
        yield f"pdist {metric} float32", lambda metric=metric: distance.pdist(X.astype(np.float32), metric)
        if metric != "mahalanobis":
            yield f"pdist {metric} undefined", lambda metric=metric: distance.pdist(zero, metric)
        yield f"pdist {metric} w", lambda metric=metric: distance.pdist(X, metric, w=[1.0, 2.0, 0.5, 1.0])
        yield f"pdist {metric} out", lambda metric=metric: distance.pdist(X, metric, out=np.empty(len(Y)))
        yield f"pdist {metric} bad out", lambda metric=metric: distance.pdist(X, metric, out=np.empty(3))
    for metric in counts:
        yield f"pdist bits {metric}", lambda metric=metric: distance.pdist(BITS, metric)
        yield f"cdist bits {metric}", lambda metric=metric: distance.cdist(BITS, BITS[:7], metric)


def distances() -> Iterator[Call]:
    yield from distances_by(FORMS, ("hamming", "jaccard"))
    for p in (1, 1.5, 2, np.inf, 0, -1, "a"):
        yield f"minkowski {p}", lambda p=p: distance.pdist(X, "minkowski", p=p)
    for name in ("haversine", "manhattan", "l2", "EUCLIDEAN", "test_euclidean", "nope", 3, None):
        yield f"metric {name}", lambda name=name: distance.pdist(X, name)
    yield "long doubles", lambda: distance.pdist(X.astype(np.longdouble))
    yield "other features", lambda: distance.cdist(X, X[:, :2])
    for k, bad in enumerate(BAD):
        yield f"pdist bad {k}", lambda bad=bad: distance.pdist(bad)
        yield f"cdist bad {k}", lambda bad=bad: distance.cdist(X, bad)


def trees() -> Iterator[Call]:
    wrong_sizes = Z["average"].copy()
    wrong_sizes[:, 3] = 2
    others = {"tied": TIED, "sizes": wrong_sizes, "float32": TIED.astype(np.float32), "reversed": TIED[::-1]}
    for name, tree in {**Z, **others, **{f"bad {k}": bad for k, bad in enumerate(BAD)}}.items():
        for function, calls in {
            "fcluster": ({"t": 0.4, "criterion": "distance"}, {"t": 5, "criterion": "maxclust"}, {"t": 1.1}),
            "cut_tree": ({}, {"n_clusters": [2, 5]}, {"height": 0.5}, {"n_clusters": 0}),
            "dendrogram": (
                {"no_plot": True},
                {"no_plot": True, "count_sort": True, "color_threshold": 0.3},
                {"no_plot": True, "truncate_mode": "lastp", "p": 9},
                {"no_plot": True, "link_color_func": "C{}".format},
                {"no_plot": True, "labels": ["a"]},
                {"no_plot": True, "orientation": "nowhere"},
            ),
            "inconsistent": ({}, {"d": 3}, {"d": -1}, {"d": 1.5}),
            "cophenet": ({}, {"Y": Y}, {"Y": Y[:-1]}, {"Y": Y.astype(np.float32)}),
            "leaves_list": ({},),
            "maxdists": ({},),
            "leaders": ({"T": T}, {"T": T[::-1].copy()}, {"T": T.astype(np.int64)}),
            "maxinconsts": ({"R": R}, {"R": R[:-1]}),
            "maxRstat": ({"R": R, "i": 2}, {"R": R, "i": 4}, {"R": R, "i": 1.0}),
        }.items():
            for arguments in calls:
                yield (
                    f"{function} of {name}, {list(arguments.items())!s:.60}",
                    lambda function=function, tree=tree, arguments=arguments: getattr(hierarchy, function)(
                        tree, **arguments
                    ),
                )


def outcome(call: Callable[[], Any]) -> tuple[Any, list[tuple[Any, ...]]]:
    """The result or the error of a call, and its warnings with the place that each names."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with np.errstate(all="ignore"):
            try:
                result = call()
            except Exception as error:
                result = type(error), str(error)
    return result, [(one.category, str(one.message), one.filename, one.lineno) for one in caught]
