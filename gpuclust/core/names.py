"""Types of the names of linkages and metrics, for type checkers and editors; `tests/test_names.py` compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

MethodName = Literal["single", "complete", "average", "weighted", "ward", "centroid", "median"]
MetricName = Literal[
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "correlation",
    "cosine",
    "dice",
    "euclidean",
    "hamming",
    "haversine",
    "haversine_degrees",
    "jaccard",
    "jensenshannon",
    "mahalanobis",
    "minkowski",
    "nan_euclidean",
    "rogerstanimoto",
    "russellrao",
    "seuclidean",
    "sokalsneath",
    "spearman",
    "sqeuclidean",
    "yule",
]
#: A metric as it is given: a name, also one that is not listed, or a function of two points.
MetricLike = MetricName | str | Callable[..., float]
