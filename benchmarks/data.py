"""Data of the benchmarks: points of many distributions, with ties, duplicates and near-copies, and real ones."""

from __future__ import annotations

import numpy as np


def gaussian(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, m))


def uniform(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, m))


def clustered(n: int, m: int) -> np.ndarray:
    """Return a mixture of a hundred normal distributions."""
    rng = np.random.default_rng(0)
    return rng.random((100, m))[rng.integers(0, 100, n)] + rng.normal(size=(n, m)) / 1000


def duplicated(n: int, m: int) -> np.ndarray:
    """Return points of which each occurs twice."""
    return np.random.default_rng(0).permutation(np.tile(uniform(n - n // 2, m), (2, 1))[:n])


def near_copies(n: int, m: int) -> np.ndarray:
    """Return points of which a tenth has a copy at about 1e-6."""
    return _copied(uniform(n, m))


def heap(n: int, m: int) -> np.ndarray:
    """Return points of which half coincide."""
    X = uniform(n, m)
    X[: n // 2] = 0.5
    return X


def collinear(n: int, m: int) -> np.ndarray:
    return uniform(n, 1) * np.arange(1, m + 1)


def cauchy(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).standard_cauchy((n, m))


def geographic(n: int, m: int) -> np.ndarray:
    """Return longitudes and latitudes in towns whose sizes follow Zipf's law, to four decimals of a degree."""
    rng = np.random.default_rng(0)
    towns = 3000
    places = np.column_stack((rng.uniform(-180, 180, towns), rng.normal(30, 20, towns)))
    share = 1 / np.arange(1, towns + 1)
    town = rng.choice(towns, n, p=share / share.sum())
    spread = 0.2 * np.sqrt(share / share[0])[town, None]
    return np.round(places[town] + spread * rng.standard_t(3, size=(n, 2)), 4)


def equal(n: int, m: int) -> np.ndarray:
    return np.full((n, m), 0.1)


def grid(n: int, m: int) -> np.ndarray:
    """Return integers from 0 to n^(1/m), of at least three values: most distances are tied."""
    return np.random.default_rng(0).integers(0, max(3, round(n ** (1 / m))), (n, m)).astype(float)


def digits(n: int, m: int) -> np.ndarray:
    """Return scikit-learn's images of handwritten digits: 1,797 of 64 pixels."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data[:n], dtype=float)


def patches(n: int, m: int) -> np.ndarray:
    """Return patches of 8 x 8 pixels, red, green and blue, of the photograph of a temple in scikit-learn."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg")
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, side - 8, n) for side in image.shape[:2])
    found = [image[i : i + 8, j : j + 8].ravel() for i, j in zip(rows, columns, strict=True)]
    return np.array(found, dtype=float)[:, :m]


def spheres(n: int, m: int) -> np.ndarray:
    """Return embeddings: clusters with sizes of a power law, on a sphere, float32."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, int(n**0.5) + 1)
    centres = rng.normal(size=(share.size, m))
    chosen = rng.choice(share.size, n, p=share / share.sum())
    return _on_sphere(centres[chosen] + rng.normal(size=(n, m)) / 2)


def scattered(n: int, m: int) -> np.ndarray:
    """Return points that are uniform on a sphere, float32."""
    return _on_sphere(gaussian(n, m))


def copied_spheres(n: int, m: int) -> np.ndarray:
    """Return embeddings of which a tenth are near-copies."""
    return _on_sphere(_copied(spheres(n, m).astype(np.float64)))


def fingerprints(n: int, m: int) -> np.ndarray:
    """Return families of fingerprints: one in 50 is a prototype with a density, and 2 % of the bits differ."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((max(1, n // 50), m)) < rng.beta(1, 6, size=(max(1, n // 50), 1))
    return prototypes[rng.integers(len(prototypes), size=n)] ^ (rng.random((n, m)) < 0.02)


def _copied(X: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    copies = rng.permutation(len(X))[: len(X) // 10 * 2].reshape(2, -1)
    X[copies[0]] = X[copies[1]] + 1e-6 * rng.normal(size=(copies.shape[1], X.shape[1]))
    return X


def _on_sphere(X: np.ndarray) -> np.ndarray:
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
