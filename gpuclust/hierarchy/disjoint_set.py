"""Disjoint sets (union-find) of hashable elements."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator


class DisjointSet:
    """A partition of hashable elements into subsets that can be merged (union-find).

    Parameters
    ----------
    elements : iterable of hashable, optional
        The first elements, each in a subset of its own.

    Attributes
    ----------
    n_subsets : int
        How many subsets there are.

    Notes
    -----
    Subsets are merged by size and searched with path halving, so that any sequence of operations takes practically
    constant time each (Tarjan & van Leeuwen, "Worst-case analysis of set union algorithms", J. ACM 31, 1984). The
    elements of a subset are linked in a ring, so that a subset is listed in time proportional to its size.

    Examples
    --------
    >>> from gpuclust.hierarchy import DisjointSet
    >>> parts = DisjointSet([1, 2, 3, "a"])
    >>> parts.merge(1, 2), parts.merge(2, 1)
    (True, False)
    >>> parts[2], parts.connected(1, 2), parts.subset_size(1), parts.n_subsets
    (1, True, 2, 3)
    """

    def __init__(self, elements: Iterable[Hashable] | None = None) -> None:
        self.n_subsets = 0
        self._number: dict[Hashable, int] = {}  # of each element, in the order they came
        self._element: list[Hashable] = []
        self._parent: list[int] = []
        self._size: list[int] = []  # right for roots
        self._next: list[int] = []  # the ring of a subset
        for element in () if elements is None else elements:
            self.add(element)

    def __iter__(self) -> Iterator[Hashable]:
        """The elements in the order in which they were added."""
        return iter(self._element)

    def __len__(self) -> int:
        return len(self._element)

    def __contains__(self, x: Hashable) -> bool:
        return x in self._number

    def __getitem__(self, x: Hashable) -> Hashable:
        """The element that stands for the subset of ``x``: its root. ``KeyError`` if ``x`` was never added."""
        return self._element[self._root(x)]

    def _root(self, x: Hashable) -> int:
        i = self._number[x]
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def add(self, x: Hashable) -> None:
        """Add ``x`` in a subset of its own; nothing happens if it is there already."""
        if x in self._number:
            return
        i = len(self._element)
        self._number[x] = i
        self._element.append(x)
        self._parent.append(i)
        self._size.append(1)
        self._next.append(i)
        self.n_subsets += 1

    def merge(self, x: Hashable, y: Hashable) -> bool:
        """Merge the subsets of ``x`` and ``y``.

        Parameters
        ----------
        x, y : hashable
            Elements that have been added.

        Returns
        -------
        bool
            False if the two were in one subset before.

        Raises
        ------
        KeyError
            One of them has not been added.

        Notes
        -----
        The root of the larger subset is the root of the new one; of equally large ones the root added first.
        """
        keep, drop = sorted((self._root(x), self._root(y)))
        if keep == drop:
            return False
        if self._size[drop] > self._size[keep]:
            keep, drop = drop, keep
        self._parent[drop] = keep
        self._size[keep] += self._size[drop]
        self._next[keep], self._next[drop] = self._next[drop], self._next[keep]
        self.n_subsets -= 1
        return True

    def connected(self, x: Hashable, y: Hashable) -> bool:
        """Whether ``x`` and ``y`` are in one subset; ``KeyError`` if one of them has not been added."""
        return self._root(x) == self._root(y)

    def subset(self, x: Hashable) -> set[Hashable]:
        """The subset that holds ``x``, as a set; ``KeyError`` if ``x`` has not been added."""
        first = self._number[x]
        members = {self._element[first]}
        i = self._next[first]
        while i != first:
            members.add(self._element[i])
            i = self._next[i]
        return members

    def subset_size(self, x: Hashable) -> int:
        """How many elements the subset of ``x`` has, without listing them."""
        return self._size[self._root(x)]

    def subsets(self) -> list[set[Hashable]]:
        """All subsets, in the order of the first element of each."""
        by_root: dict[int, set[Hashable]] = {}
        for x in self._element:
            by_root.setdefault(self._root(x), set()).add(x)
        return list(by_root.values())
