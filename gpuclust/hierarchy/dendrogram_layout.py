"""Layout of a dendrogram: positions of links and leaves, and colours of clusters.

Only the nodes that are shown are visited, in one loop over a stack: a truncated dendrogram of a million merges costs
as much as its few links, and a tree as deep as it is large is no problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpuclust.hierarchy.validity import children


class Layout:
    """The visible part of a tree: links (children before parents), leaves (left to right) and their positions."""

    def __init__(
        self,
        Z: np.ndarray,
        contracted: Callable[[int, int], bool],
        ordered: Callable[[int, int], tuple[int, int]],
    ) -> None:
        self.Z = Z
        self.contracted = contracted
        self.ordered = ordered
        self.links: list[int] = []
        self.leaves: list[int] = []
        self.icoord: list[list[float]] = []
        self.dcoord: list[list[float]] = []
        self.colors: list[str] = []

    def walk(self, threshold: float, above_color: str, palette: Sequence[str]) -> None:
        """Visit the shown nodes. A node is entered, passed between its two children (where its colour is decided),
        and left; the three are entries of one stack."""
        enter, between, leave = 0, 1, 2
        Z, n = self.Z, self.Z.shape[0] + 1
        leaf_height = 0.0
        stack = [(enter, 2 * n - 2, 0, leaf_height)]
        ends: list[tuple[float, float]] = []  # tops (position, height) of finished subtrees that have no parent yet
        colors: list[str] = []  # of the links entered and not left
        turn, below = 0, False
        while stack:
            step, node, level, height = stack.pop()
            if step == enter:
                if node < n or self.contracted(node, level):
                    ends.append((10.0 * len(self.leaves) + 5.0, leaf_height))
                    self.leaves.append(node)
                else:
                    first, second, height, _ = Z[node - n]
                    first, second = self.ordered(int(first), int(second))
                    stack.append((leave, node, level, height))
                    stack.append((enter, second, level + 1, leaf_height))
                    stack.append((between, node, level, height))
                    stack.append((enter, first, level + 1, leaf_height))
            elif step == between:
                if height >= threshold or threshold <= 0:
                    turn, below = turn + below, False  # a cluster has ended: the next one gets the next colour
                    colors.append(above_color)
                else:
                    below = True
                    colors.append(palette[turn % len(palette)])
            else:
                right, right_height = ends.pop()
                left, left_height = ends.pop()
                ends.append(((left + right) / 2, height))
                self.links.append(node)
                self.icoord.append([left, left, right, right])
                self.dcoord.append([left_height, height, height, right_height])
                self.colors.append(colors.pop())

    def contraction_marks(self) -> np.ndarray:
        """Position and height, shape (k, 2), of each merge hidden below a contracted leaf."""
        n = self.Z.shape[0] + 1
        above = np.arange(
            n - 1
        )  # row of each merge's parent; pointers are then doubled until they end at a shown node
        for child in children(self.Z):
            merged = np.flatnonzero(child >= n)
            above[child[merged] - n] = merged
        leaves = np.array(self.leaves, dtype=np.int64)
        position = np.zeros(n - 1)
        position[leaves[leaves >= n] - n] = 10.0 * np.flatnonzero(leaves >= n) + 5.0
        shown = np.concatenate((np.array(self.links, dtype=np.int64), leaves[leaves >= n])) - n
        above[shown] = shown
        while True:
            further = above[above]
            if np.array_equal(further, above):
                break
            above = further
        hidden = np.ones(n - 1, dtype=bool)
        hidden[shown] = False
        return np.column_stack((position[above[hidden]], self.Z[hidden, 2]))
