"""The linkage table: each linkage is one Lance-Williams update and a few properties.

A linkage is added here and nowhere else.

An update gives the dissimilarity of a cluster ``x`` to the union of ``a`` and ``b``::

    update(dxa, dxb, dab, sa, sb, sx) -> d(x, a|b)

``s*`` are cluster sizes in the type of the dissimilarities, so that float32 work stays float32. Updates are plain
scalar Python: the reference backend calls them as they are, the CPU and CUDA backends compile them.

For a reducible linkage ``d(x, a|b) >= min(d(x,a), d(x,b))`` whenever a and b are nearest neighbours of each other.
The algorithms rely on this to the last bit, so an update whose rounding could break it is clamped; the true value is
never below the minimum, and clamping can only bring it nearer. In the update of centroid linkage the mean of two
equal distances is clamped to that distance: a union of copies of a point is as far from everything as the point.

Two linkages need no formula of their own: weighted (WPGMA) is average (UPGMA), and median (WPGMC) is centroid
(UPGMC), with every size held at one.

References
----------
Lance, Williams (1967), A general theory of classificatory sorting strategies, sections 2-4.
Murtagh (1983), A survey of recent advances in hierarchical clustering algorithms (reducibility).
Müllner (2011), Modern hierarchical, agglomerative clustering algorithms, arXiv:1109.2378, figure 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuclust.errors import unknown_name

# The parameters keep one signature for all updates, used or not.


def single(dxa: Any, dxb: Any, dab: Any, sa: Any, sb: Any, sx: Any) -> Any:
    return dxa if dxa < dxb else dxb


def complete(dxa: Any, dxb: Any, dab: Any, sa: Any, sb: Any, sx: Any) -> Any:
    return dxa if dxa > dxb else dxb


def average(dxa: Any, dxb: Any, dab: Any, sa: Any, sb: Any, sx: Any) -> Any:
    low = dxa if dxa < dxb else dxb
    mean = (sa * dxa + sb * dxb) / (sa + sb)
    return mean if mean > low else low


def ward(dxa: Any, dxb: Any, dab: Any, sa: Any, sb: Any, sx: Any) -> Any:
    low = dxa if dxa < dxb else dxb
    value = ((sa + sx) * dxa + (sb + sx) * dxb - sx * dab) / (sa + sb + sx)
    return value if value > low else low


def centroid(dxa: Any, dxb: Any, dab: Any, sa: Any, sb: Any, sx: Any) -> Any:
    size = sa + sb
    low = dxa if dxa < dxb else dxb
    high = dxa if dxa > dxb else dxb
    mean = (sa * dxa + sb * dxb) / size
    mean = mean if mean > low else low
    mean = mean if mean < high else high
    value = mean - sa / size * (sb / size) * dab
    zero = dab - dab
    return value if value > zero else zero


def ward_geometric(square: Any, sa: Any, sb: Any) -> Any:
    """Twice what the union adds to the sum of squares within clusters."""
    product = sa * sb
    return (product + product) / (sa + sb) * square


def scatter(square: Any, va: Any, vb: Any, sa: Any, sb: Any) -> Any:
    """Mean square distance of a union's points to its centroid, from those of its parts.

    ``square`` is the squared distance of their centroids. With it the mean of squared distances between the points of
    two clusters is ``square + (va + vb)``.
    """
    fa = sa / (sa + sb)
    fb = sb / (sa + sb)
    return (fa * va + fb * vb) + fa * fb * square


@dataclass(frozen=True)
class Method:
    """One linkage.

    Attributes
    ----------
    name : str
    update : callable
        The Lance-Williams update (see the module's text).
    formula : str
        The update in one line: d(x, a|b) from the dissimilarities and the sizes ``|a|``, ``|b|``, ``|x|``; shown in
        the documentation.
    reducible : bool
        No merge brings two clusters nearer together, and dissimilarities do not depend on the order of merges (as
        those of flexible linkage do), so reciprocal nearest neighbours may merge at once and heights
        never decrease. False for centroid and median, which have inversions.
    on_squares : bool
        The update holds for squared dissimilarities; heights are the square roots. Such a linkage means something
        only for Euclidean dissimilarities.
    pairs : {"largest", "mean", None}
        The aggregate of the dissimilarities of pairs of points that is the dissimilarity of two clusters; None:
        other.
    counted : bool
        Sizes are numbers of observations; otherwise every cluster weighs one.
    geometric : callable or None
        ``geometric(square, sa, sb)``, the dissimilarity of two clusters from the squared distance of their centroids
        and their sizes; None: there is no such form. To the last bit: symmetric in the sizes, ``square`` itself for
        two points, and ``geometric(1, sa, sb) * square``.
    scatter : callable or None
        For a mean over pairs of squared distances: ``scatter(square, va, vb, sa, sb)``, the scatter of a union. The
        dissimilarity of two clusters is then ``square + (va + vb)``.
    """

    name: str
    update: Callable[..., Any]
    formula: str = ""
    reducible: bool = True
    on_squares: bool = False
    counted: bool = True
    pairs: str | None = None
    geometric: Callable[..., Any] | None = None
    scatter: Callable[..., Any] | None = None

    def __hash__(self) -> int:
        return hash(self.name)  # see `gpuclust.core.points.Metric.__hash__`


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("single", single, "min(d(x,a), d(x,b))"),
        Method("complete", complete, "max(d(x,a), d(x,b))", pairs="largest"),
        Method("average", average, "(|a| d(x,a) + |b| d(x,b)) / (|a| + |b|)", pairs="mean", scatter=scatter),
        Method("weighted", average, "(d(x,a) + d(x,b)) / 2", counted=False, pairs="mean", scatter=scatter),
        Method(
            "ward",
            ward,
            "sqrt(((|a|+|x|) d(x,a)² + (|b|+|x|) d(x,b)² - |x| d(a,b)²) / (|a|+|b|+|x|))",
            on_squares=True,
            geometric=ward_geometric,
        ),
        Method(
            "centroid",
            centroid,
            "sqrt((|a| d(x,a)² + |b| d(x,b)²) / (|a|+|b|) - |a| |b| d(a,b)² / (|a|+|b|)²)",
            reducible=False,
            on_squares=True,
        ),
        Method(
            "median",
            centroid,
            "sqrt((d(x,a)² + d(x,b)²) / 2 - d(a,b)² / 4)",
            reducible=False,
            on_squares=True,
            counted=False,
        ),
    )
}


#: The update formulas as a definition list of reStructuredText.
FORMULAS = "\n\n".join(f"``{method.name}``\n    ``{method.formula}``" for method in METHODS.values())


def resolve(name: object) -> Method:
    """The linkage called ``name``; ``ValueError`` with a suggestion if there is none."""
    method = METHODS.get(name) if isinstance(name, str) else None
    if method is None:
        raise unknown_name("linkage method", name, METHODS)
    return method
