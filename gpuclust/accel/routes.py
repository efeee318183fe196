"""Functions of other packages, as jobs of gpuclust; `Declined` for what only the original does.

Each function here takes the arguments of the original by name. Rates and sizes were measured once for each function,
with two threads: seconds of the original, and the least size at which gpuclust is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpuclust.accel import routing
from gpuclust.accel.patching import TARGETS, original
from gpuclust.accel.routing import Declined, Job

#: Observations of the part for which the original is timed, and whose distances are compared.
PART, COMPARED = 500, 91
#: Distances nearer to each other than this fraction of the largest count as equal.
EQUAL = 1e-12
#: Metrics of which fastcluster.linkage_vector has SciPy's definition.
VECTOR_METRICS = ("euclidean", "sqeuclidean", "cityblock", "cosine", "correlation", "canberra")


#: Metrics that SciPy does not have.
OTHERS = ("haversine", "haversine_degrees", "nan_euclidean", "spearman")


def array(values: Any, *dimensions: int) -> np.ndarray:
    """Real numbers in NumPy's own array, of one of these numbers of dimensions."""
    if type(values) is not np.ndarray:
        if not isinstance(values, (list, tuple)) and type(values).__module__.partition(".")[0] != "pandas":
            raise Declined("input of another kind")
        values = np.asarray(values)
    if values.ndim not in dimensions or values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise Declined("input of another shape or type")
    return values


def check_metric(metric: Any, p: float | None, *sets: np.ndarray) -> None:
    """Decline all but SciPy's own names of metrics that are faster here."""
    from gpuclust.algorithms.costs import threads
    from gpuclust.core import metrics

    if not isinstance(metric, str) or metric not in metrics.METRICS:
        raise Declined("this metric")
    found = metrics.simplest(metrics.named(metric), p)
    if found.name in OTHERS or (found.heavy and threads() < 4):
        raise Declined("this metric")
    of_counts = found.boolean or found.signed  # signed: dice, whose formula cancels for numbers
    if of_counts and found.name not in ("hamming", "jaccard") and any(X.dtype != np.bool_ for X in sets):
        raise Declined("numbers for a metric of booleans")


def distance_seconds(pairs: float, m: int) -> float:
    """Seconds that SciPy takes for distances of m features."""
    return 1e-9 * pairs * (1.6 + 0.3 * m)


def pdist(X: Any, metric: Any = "euclidean", out: Any = None, **parameters: Any) -> Job:
    X = array(X, 2)
    n, m = X.shape
    return _distances("pdist", (X,), n * (n - 1) / 2, f"{n:,} x {m:,}", metric, out, parameters)


def cdist(XA: Any, XB: Any, metric: Any = "euclidean", out: Any = None, **parameters: Any) -> Job:
    XA, XB = array(XA, 2), array(XB, 2)
    label = f"{len(XA):,} and {len(XB):,} x {XA.shape[1]:,}"
    return _distances("cdist", (XA, XB), float(len(XA)) * len(XB), label, metric, out, parameters)


def _distances(
    name: str,
    sets: tuple[np.ndarray, ...],
    pairs: float,
    label: str,
    metric: Any,
    out: Any,
    parameters: dict[str, Any],
) -> Job:
    if not set(parameters) <= {"p", "w", "V", "VI"}:
        raise Declined("other parameters")
    given = {key: value for key, value in parameters.items() if value is not None}
    check_metric(metric, given.get("p"), *sets)
    m = sets[0].shape[1]
    estimate = distance_seconds(pairs, m)

    def compute(compile: bool) -> tuple[Any, str]:
        from gpuclust import distance
        from gpuclust.core.first_call import compiled_only, compiling
        from gpuclust.distance.pairs import device_for

        with compiling() if compile else compiled_only():
            result = getattr(distance, name)(*sets, metric, out=out, **given)
        return result, str(device_for("auto", pairs**0.5, m, "float64", int(pairs)))

    part = [X[:PART] for X in sets]
    sampled = len(part[0]) * (len(part[0]) - 1) / 2 if len(part) == 1 else float(len(part[0]) * len(part[1]))

    def sample(function: Callable[..., Any]) -> float:
        function(*part, metric, **given)
        return pairs / sampled

    kind = (name, metric, bool(given), sets[0].dtype == np.bool_)
    return Job(f"{label}, {metric}", estimate, estimate >= 1.5e-4, 3.0, kind, compute, sample)


def linkage(y: Any, method: Any = "single", metric: Any = "euclidean", optimal_ordering: Any = False) -> Job:
    if optimal_ordering:
        raise Declined("SciPy's order of leaves")
    y = array(y, 1, 2)
    n, _ = _size(y)
    same_rows = method == "single" and (y.ndim == 1 or n <= 1024)  # docs/promises.md
    return _linkage(y, method, metric, same_rows)


def fastcluster_linkage(X: Any, method: Any = "single", metric: Any = "euclidean", preserve_input: Any = True) -> Job:
    return _linkage(array(X, 1, 2), method, metric)


def linkage_vector(X: Any, method: Any = "single", metric: Any = "euclidean", extraarg: Any = None) -> Job:
    if extraarg is not None or method not in ("single", "ward", "centroid", "median") or metric not in VECTOR_METRICS:
        raise Declined("this method or metric")
    return _linkage(array(X, 2), method, metric, vector=True)


def _size(y: np.ndarray) -> tuple[int, int | None]:
    """Number of observations, and of features."""
    from gpuclust.core.triangle import count_of

    return (len(y), y.shape[1]) if y.ndim == 2 else (count_of(len(y)), None)


def _linkage(y: np.ndarray, method: Any, metric: Any, same_rows: bool = False, vector: bool = False) -> Job:
    from gpuclust.core.methods import METHODS

    n, m = _size(y)
    if not isinstance(method, str) or method not in METHODS or n < 2:
        raise Declined("this method or size")
    if m is not None:
        check_metric(metric, None, y)
        if m == n and np.allclose(np.diag(y), 0):
            raise Declined("perhaps a square matrix of distances")
        if METHODS[method].on_squares and metric != "euclidean":
            raise Declined("this metric with this method")
    elif y.min() < 0:
        raise Declined("negative distances")
    estimate = 1e-9 * n * n * (8 if method == "single" else 24)
    if m is not None:
        estimate += distance_seconds(n * n / 2, m)

    def compute(compile: bool) -> tuple[Any, str]:
        from gpuclust.compute import compute as clustered
        from gpuclust.core.first_call import compiled_only, compiling

        if not same_rows and routing.settings.ties == "original":
            _decline_ties(y, metric)
        with compiling() if compile else compiled_only():
            found = clustered(y, method, metric)
        return found.Z, f"{found.plan.device}, {found.plan.algorithm}"

    k = min(n, PART)

    def sample(function: Callable[..., Any]) -> float:
        function(y[:k] if m is not None else _first_observations(y, n, k), method, *([metric] if m else []))
        return (n / k) ** 2

    slow = method in ("centroid", "median") or (method == "single" and m is None)
    label = f"{n:,}{'' if m is None else f' x {m:,}'}, {method}{'' if m is None else f', {metric}'}"
    kind = ("linkage", method, metric if m else "", n > 1024, m is None or m > 4)
    return Job(label, estimate, n >= (1000 if slow else 500), 10.0, kind, compute, sample)


def _first_observations(y: np.ndarray, n: int, k: int) -> np.ndarray:
    """Condensed distances of the first k of n observations."""
    starts = [n * i - i * (i + 1) // 2 for i in range(k - 1)]
    return np.concatenate([y[start : start + k - 1 - i] for i, start in enumerate(starts)])


def _decline_ties(y: np.ndarray, metric: Any) -> None:
    """Decline input of which some distances in a sample are equal."""
    if y.ndim == 2:
        from scipy.spatial.distance import pdist

        sample = pdist(y[:: max(1, len(y) // COMPARED)][:COMPARED], metric)
    else:
        sample = y[:: max(1, len(y) // COMPARED**2)].astype(np.float64)
    sample.sort()
    if not (np.diff(sample) > EQUAL * sample[-1]).all():
        raise Declined("equal distances, so that the tree is not unique")


#: Seconds of SciPy for n observations: a rate, times n to a power; and the least n at which gpuclust is faster.
TREES = {
    "cophenet": (8e-9, 2, 200),
    "cut_tree": (30e-9, 2, 100),
    "dendrogram": (25e-6, 1, 100),
    "fcluster": (2e-7, 1, 200),
    "inconsistent": (2e-7, 1, 200),
    "leaders": (2e-7, 1, 200),
    "leaves_list": (2e-7, 1, 200),
    "maxRstat": (2e-7, 1, 200),
    "maxdists": (2e-7, 1, 200),
    "maxinconsts": (2e-7, 1, 200),
}


def of_tree(name: str, Z: Any, **arguments: Any) -> Job:
    """A function of a linkage matrix."""
    Z = array(Z, 2)
    _check_tree(Z)
    n = len(Z) + 1
    for value in arguments.values():
        if isinstance(value, np.ndarray) and not (type(value) is np.ndarray and value.dtype.kind in "if"):
            raise Declined("input of another kind")
    if name == "cut_tree" and not (np.diff(Z[:, 2]) > 0).all():
        raise Declined("equal heights, or inversions")
    if name == "cophenet" and getattr(arguments["Y"], "dtype", np.float64) != np.float64:
        raise Declined("distances of another type")
    if name == "dendrogram":
        arguments = _layout_only(arguments)
    rate, power, least = TREES[name]

    def compute(compile: bool) -> tuple[Any, str]:
        from gpuclust import hierarchy
        from gpuclust.core.first_call import NotCompiled, compiling, known, note

        if not compile and not known(kind):
            raise NotCompiled
        with compiling():
            result = getattr(hierarchy, name)(Z, **arguments)
        note(kind)
        return result, "cpu"

    kind = ("hierarchy", name)
    return Job(f"{n:,} observations", rate * n**power, n >= least, 1.0, kind, compute)


def _check_tree(Z: np.ndarray) -> None:
    """Decline what gpuclust repairs or refuses, such as sizes that do not follow from the ids."""
    n = len(Z) + 1
    if Z.dtype != np.float64 or Z.shape[1:] != (4,) or n < 2 or not np.isfinite(Z).all() or (Z < 0).any():
        raise Declined("a linkage matrix of another kind")
    ids = Z[:, :2].astype(np.int64)
    if (ids != Z[:, :2]).any() or (ids >= np.arange(n, 2 * n - 1)[:, None]).any():
        raise Declined("a linkage matrix of another kind")
    sizes = np.concatenate((np.ones(n), Z[:, 3]))
    if (sizes[ids].sum(axis=1) != Z[:, 3]).any():
        raise Declined("a linkage matrix with other sizes")


def _layout_only(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of gpuclust's dendrogram, with SciPy's palette; drawings and functions of the user are SciPy's."""
    if not arguments["no_plot"] or not arguments["get_leaves"] or arguments["ax"] is not None:
        raise Declined("drawn by SciPy")
    if arguments["leaf_label_func"] is not None or arguments["link_color_func"] is not None:
        raise Declined("functions of the user")
    colors = original("scipy.cluster.hierarchy.dendrogram").__globals__.get("_link_line_colors")
    if not colors:
        raise Declined("an unknown palette")
    return {**arguments, "palette": tuple(colors)}


ROUTES: dict[str, Callable[..., Job]] = {
    **{f"scipy.cluster.hierarchy.{name}": partial(of_tree, name) for name in TREES},
    "scipy.cluster.hierarchy.linkage": linkage,
    "scipy.spatial.distance.pdist": pdist,
    "scipy.spatial.distance.cdist": cdist,
    "fastcluster.linkage": fastcluster_linkage,
    "fastcluster.linkage_vector": linkage_vector,
}
assert {f"{module}.{name}" for module, names in TARGETS.items() for name in names} == set(ROUTES)
