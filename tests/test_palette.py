"""Colours of clusters, as people with and without colour blindness see them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gpuclust import linkage
from gpuclust.hierarchy import fcluster
from gpuclust.plotting import fancy_dendrogram
from gpuclust.plotting.style import PALETTE, cluster_colors, distinct_colors

#: Simulations of Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB.
SEEN = {
    "trichromacy": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(color: str, seen: str) -> np.ndarray:
    """CIELAB (D65) of a colour."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.array(TO_XYZ) @ np.clip(np.array(SEEN[seen]) @ linear, 0, 1) / [0.95047, 1.0, 1.08883]
    f = [np.cbrt(t) if t > (6 / 29) ** 3 else t * (29 / 6) ** 2 / 3 + 4 / 29 for t in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def cie2000(p: np.ndarray, q: np.ndarray) -> float:
    """The difference of two colours by CIEDE2000."""
    c = (np.hypot(*p[1:]) + np.hypot(*q[1:])) / 2
    stretch = 1.5 - 0.5 * np.sqrt(c**7 / (c**7 + 25.0**7))
    (l1, a1, b1), (l2, a2, b2) = p * [1, stretch, 1], q * [1, stretch, 1]
    c1, c2, h1, h2 = np.hypot(a1, b1), np.hypot(a2, b2), np.arctan2(b1, a1), np.arctan2(b2, a2)
    turn = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    hue = np.degrees(h1 + turn / 2) % 360
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        w * np.cos(np.radians(k * hue + o))
        for w, k, o in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    )
    light = (l2 - l1) / (1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2))
    chroma = (c2 - c1) / (1 + 0.045 * cm)
    angle = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * cm * t)
    rotation = -2 * np.sqrt(cm**7 / (cm**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return float(np.sqrt(light**2 + chroma**2 + angle**2 + rotation * chroma * angle))


def test_cie2000_is_that_of_sharma_and_others():
    """Pairs 1, 7 and 25 of "The CIEDE2000 color-difference formula" (2005)."""
    pairs = [
        ([50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425),
        ([50, 0, 0], [50, -1, 2], 2.3669),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
    ]
    for p, q, expected in pairs:
        assert cie2000(np.array(p), np.array(q)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seen", SEEN)
def test_the_closest_colours_differ(seen):
    places = [lab(color, seen) for color in PALETTE]
    for (p, q), names in zip(combinations(places, 2), combinations(PALETTE, 2), strict=True):
        assert np.linalg.norm(p - q) >= 15, names
        assert cie2000(p, q) >= 10, names


def test_no_colour_is_lost_on_white_or_on_the_dark_page():
    for color in PALETTE:
        assert 34 <= lab(color, "trichromacy")[0] <= 92, color


def test_a_cluster_keeps_its_colour_when_there_are_more():
    many = distinct_colors(60)
    for count in (1, 5, len(PALETTE), 30):
        assert (distinct_colors(count) == many[:count]).all()
    assert len({tuple(color) for color in many.tolist()}) == 60


def test_a_dendrogram_that_is_cut_has_the_colours_of_its_labels():
    X = np.random.default_rng(3).normal(size=(40, 2))
    Z = linkage(X, "single")  # with clusters of one observation, which have no link
    height = float(Z[-12, 2])
    labels = fcluster(Z, height, "distance")
    colors, sizes = cluster_colors(labels), np.bincount(labels)
    drawn = fancy_dendrogram(Z, max_d=height, ax=Figure().subplots())
    for leaf, color in zip(drawn["leaves"], drawn["leaves_color_list"], strict=True):
        if sizes[labels[leaf]] > 1:
            assert color == colors[labels[leaf]]
