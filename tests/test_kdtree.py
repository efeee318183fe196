"""The kd-tree of the CPU: the invariants that searches rely on, for any points and any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.kernels.cpu.space import kdtree


def sets(n: int, m: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng([n, m])
    spread = rng.standard_cauchy((m, n))
    grid = rng.integers(0, 3, (m, n))
    return [np.ascontiguousarray(x, dtype) for x in (spread, grid, np.full((m, n), 2.5), np.sort(spread)[:, ::-1])]


def borders(node: int, n: int) -> tuple[int, int]:
    level = (node + 1).bit_length() - 1
    j = node + 1 - 2**level
    return n * j // 2**level, n * (j + 1) // 2**level


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 3), (31, 2), (32, 1), (33, 2), (65, 3), (1000, 2), (777, 130)])
def test_tree(n, m, dtype):
    for features in sets(n, m, dtype):
        tree = kdtree.build(features)
        nodes = 2 ** (tree.depth + 1) - 1
        assert tree.low.shape == tree.high.shape == (nodes, m)
        assert tree.low.dtype == features.dtype
        np.testing.assert_array_equal(np.sort(tree.order), np.arange(n))
        for node in range(nodes):
            begin, end = borders(node, n)
            inside = features[:, tree.order[begin:end]]
            np.testing.assert_array_equal(tree.low[node], inside.min(axis=1))
            np.testing.assert_array_equal(tree.high[node], inside.max(axis=1))
            if 2 * node + 1 < nodes:
                middle = borders(2 * node + 1, n)[1]
                side = np.argmax(tree.high[node] - tree.low[node])
                keys = list(zip(features[side, tree.order], tree.order, strict=True))
                assert max(keys[begin:middle]) < min(keys[middle:end])
            else:
                assert n < 32 or 16 <= end - begin <= 32
                assert (np.diff(tree.order[begin:end]) > 0).all()


@pytest.mark.parametrize("n", [40_000, 100_003])
def test_threads_and_pieces_do_not_matter(n, monkeypatch):
    features = np.random.default_rng(n).integers(0, 50, (2, n)).astype(float)
    trees = []
    for threads, subtree in (("1", kdtree.SUBTREE), ("2", kdtree.SUBTREE), ("3", 100)):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        monkeypatch.setattr(kdtree, "SUBTREE", subtree)
        trees.append(kdtree.build(features))
    for other in trees[1:]:
        for ours, theirs in zip(trees[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
