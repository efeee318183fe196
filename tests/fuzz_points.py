"""Points that are hard in some way. Each maker takes a generator, a number of points and of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _groups(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    width = 10.0 ** r.integers(-9, 0, 7)
    which = r.integers(0, 7, n)
    return r.normal(size=(7, m))[which] + r.normal(size=(n, m)) * width[which, None]


def _ulps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    base = r.choice([1.0, 3.0, -3.0, 0.1, 100.0], size=(3, m))[r.integers(0, 3, n)]
    return base + np.spacing(base) * r.integers(-20, 21, (n, m))


def _one_place_of_ulps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    base = np.full((n, m), float(r.choice([0.7, 1.0, 3.0, 1e3])))
    return base + np.spacing(base) * r.integers(0, int(r.choice([4, 30, 1000])), (n, m))


def _duplicates(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.normal(size=(max(1, n // 4), m))[r.integers(0, max(1, n // 4), n)]


def _decimals(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.round(r.random((n, m)), int(r.integers(1, 3)))


def _nearly_a_lattice(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Distances that single precision cannot tell apart, of which many compete."""
    X = r.integers(0, int(r.choice([2, 3, 6])), (n, m)) + r.normal(size=(n, m)) * 10.0 ** r.integers(-10, -5)
    return np.where(r.random((n, 1)) < 0.1, X * 10.0 ** r.integers(0, 3), X)  # some far away, so that boxes are wide


def _hub(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = r.normal(size=(n, m))
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    return X * np.where(np.arange(n) == 0, 0.0, 1 + r.random(n) * float(r.choice([0.0, 1e-15, 1e-3])))[:, None]


def _star(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = np.zeros((n, m))
    X[np.arange(n), np.arange(n) % m] = 1 + np.arange(n) // m
    return X


def _gaps(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    ratio = float(r.choice([1 + 1e-12, 1.001, 1.1, 2.0]))
    steps = np.minimum(ratio ** np.arange(n), 1e12) * np.sign(r.random() - 0.5)
    return np.cumsum(steps)[:, None] * r.normal(size=m)


def _outliers(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = r.normal(size=(n, m))
    X[r.integers(0, n, max(1, n // 20))] *= 10.0 ** r.integers(1, 9)
    return X


def _chain(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.cumsum(r.normal(size=(n, m)) * (0.1 + r.random((n, 1))), axis=0)


def _nearly_a_line(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    along = r.random(n) if r.random() < 0.5 else np.arange(n) / n
    return along[:, None] * r.normal(size=m) + r.normal(size=(n, m)) * float(r.choice([0.0, 1e-16, 1e-12, 1e-6]))


def _offset(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.normal(size=(n, m)) + 10.0 ** r.integers(1, 10) * r.normal(size=m)


def _heavy(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return r.standard_cauchy((n, m)) ** int(r.choice([1, 3]))


def _half_equal(r: np.random.Generator, n: int, m: int) -> np.ndarray:
    return np.where(r.random((n, 1)) < 0.5, 0.1, r.normal(size=(n, m)))


KINDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "normal": lambda r, n, m: r.normal(size=(n, m)),
    "uniform": lambda r, n, m: r.random((n, m)),
    "groups": _groups,
    "ulps": _ulps,
    "one place of ulps": _one_place_of_ulps,
    "duplicates": _duplicates,
    "decimals": _decimals,
    "lattice": lambda r, n, m: r.integers(0, int(r.choice([2, 3, 6, 20])), (n, m)).astype(float),
    "nearly a lattice": _nearly_a_lattice,
    "hub": _hub,
    "star": _star,
    "gaps": _gaps,
    "outliers": _outliers,
    "chain": _chain,
    "nearly a line": _nearly_a_line,
    "offset": _offset,
    "heavy": _heavy,
    "half equal": _half_equal,
    "equal": lambda r, n, m: np.full((n, m), 0.1),
}
