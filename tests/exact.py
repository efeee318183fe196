"""Distances and heights in decimal numbers of 100 digits, from the points as they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, setcontext
from itertools import combinations

import numpy as np

setcontext(Context(prec=100, Emin=-(10**9), Emax=10**9))

#: Of two points and weights.
Distance = Callable[[Sequence[Decimal], Sequence[Decimal], Sequence[Decimal]], Decimal]


def _euclidean(x, y, w):
    return _sqeuclidean(x, y, w).sqrt()


def _sqeuclidean(x, y, w):
    return sum((c * (a - b) ** 2 for a, b, c in zip(x, y, w, strict=True)), Decimal(0))


def _cosine(x, y, w):
    def product(a, b):
        return sum(c * s * t for s, t, c in zip(a, b, w, strict=True))

    return 1 - product(x, y) / (product(x, x) * product(y, y)).sqrt()


def _correlation(x, y, w):
    def centred(a):
        mean = sum(c * s for s, c in zip(a, w, strict=True)) / sum(w)
        return [s - mean for s in a]

    return _cosine(centred(x), centred(y), w)


def _jensenshannon(x, y, w):
    p, q = ([s / sum(a) for s in a] for a in (x, y))
    terms = [a * (2 * a / (a + b)).ln() for a, b in zip((*p, *q), (*q, *p), strict=True) if a]
    return (sum(terms) / 2).sqrt()


def minkowski(p: float) -> Distance:
    def distance(x, y, w):
        terms = (c * abs(a - b) ** Decimal(p) for a, b, c in zip(x, y, w, strict=True) if a != b and c)
        return sum(terms, Decimal(0)) ** (1 / Decimal(p))

    return distance


def seuclidean(V: Sequence[Decimal]) -> Distance:
    return lambda x, y, w: Decimal(sum((a - b) ** 2 / v for a, b, v in zip(x, y, V, strict=True))).sqrt()


DISTANCES: dict[str, Distance] = {
    "braycurtis": lambda x, y, w: (
        sum(c * abs(a - b) for a, b, c in zip(x, y, w, strict=True))
        / sum(c * abs(a + b) for a, b, c in zip(x, y, w, strict=True))
    ),
    "canberra": lambda x, y, w: sum(
        c * abs(a - b) / (abs(a) + abs(b)) for a, b, c in zip(x, y, w, strict=True) if a or b
    ),
    "chebyshev": lambda x, y, w: max(abs(a - b) for a, b, c in zip(x, y, w, strict=True) if c),
    "cityblock": lambda x, y, w: sum(c * abs(a - b) for a, b, c in zip(x, y, w, strict=True)),
    "correlation": _correlation,
    "cosine": _cosine,
    "euclidean": _euclidean,
    "jensenshannon": _jensenshannon,
    "sqeuclidean": _sqeuclidean,
}


def numbers(X: np.ndarray) -> list[list[Decimal]]:
    return [[Decimal(float(x)) for x in row] for row in X.tolist()]


def variances(rows: list[list[Decimal]]) -> list[Decimal]:
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / len(column) for column in columns]
    return [
        sum((x - mean) ** 2 for x in column) / (len(column) - 1) for column, mean in zip(columns, means, strict=True)
    ]


def condensed(X: np.ndarray, distance: Distance, w: Sequence[float] | None = None) -> list[Decimal]:
    """Distances of all pairs."""
    rows = numbers(X)
    weights = [Decimal(1)] * X.shape[1] if w is None else [Decimal(float(c)) for c in w]
    return [distance(x, y, weights) for x, y in combinations(rows, 2)]


def heights(pairs: list[Decimal], n: int, method: str) -> list[Decimal]:
    """Heights of a linkage, by its definition (Lance-Williams), increasing."""
    at = dict(zip(combinations(range(n), 2), pairs, strict=True))
    squares = method in ("ward", "centroid", "median")
    d = {pair: value**2 if squares else value for pair, value in at.items()}
    size = dict.fromkeys(range(n), Decimal(1))
    found = []
    for new in range(n, 2 * n - 1):
        (a, b), height = min(d.items(), key=lambda item: (item[1], item[0]))
        found.append(height.sqrt() if squares else height)
        sa, sb = size.pop(a), size.pop(b)
        for x, sx in size.items():
            xa, xb = d.pop((min(a, x), max(a, x))), d.pop((min(b, x), max(b, x)))
            d[x, new] = _update(method, xa, xb, height, sa, sb, sx)
        del d[a, b]
        size[new] = sa + sb if method in ("average", "ward", "centroid") else Decimal(1)
    return sorted(found)


def _update(method, xa, xb, ab, sa, sb, sx):
    if method in ("single", "complete"):
        return (min if method == "single" else max)(xa, xb)
    if method in ("average", "weighted"):
        return (sa * xa + sb * xb) / (sa + sb)
    if method == "ward":
        return ((sa + sx) * xa + (sb + sx) * xb - sx * ab) / (sa + sb + sx)
    return (sa * xa + sb * xb) / (sa + sb) - sa * sb * ab / (sa + sb) ** 2
