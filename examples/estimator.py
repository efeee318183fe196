"""Handwritten digits with the scikit-learn estimator: one fit, many granularities, and a search for the best number.

Run it with ``python examples/estimator.py``; needs ``pip install 'gpuclust[sklearn]'``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpuclust import AgglomerativeClustering


def main() -> None:
    data = np.load(Path(__file__).parent / "digits.npz")
    pixels, digit = data["pixels"].astype(float), data["digit"]

    model = AgglomerativeClustering(n_clusters=10, linkage="ward").fit(pixels)
    print(f"{model.n_clusters_} clusters; agreement with the digits: {adjusted_rand_score(digit, model.labels_):.3f}")

    # The same tree, cut again: no second fit.
    counts = [5, 10, 15, 20, 30]
    for count, labels in zip(counts, model.cut(n_clusters=counts), strict=True):
        agreement, silhouette = adjusted_rand_score(digit, labels), silhouette_score(pixels, labels)
        print(f"{count:3d} clusters: agreement {agreement:.3f}, silhouette {silhouette:.3f}")

    # As the last step of a pipeline.
    pipeline = make_pipeline(StandardScaler(), AgglomerativeClustering(10, linkage="average", metric="cosine"))
    labels = pipeline.fit_predict(pixels)
    print(f"cosine, average, after scaling: agreement {adjusted_rand_score(digit, labels):.3f}")

    # The tree itself, for everything in gpuclust.hierarchy and in SciPy.
    print(f"The last merges are at heights {np.array2string(model.linkage_matrix_[-3:, 2], precision=1)}")


if __name__ == "__main__":
    main()
