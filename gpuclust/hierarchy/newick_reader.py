"""Linkage matrices from Newick, the text form of trees; see `gpuclust.hierarchy.newick`."""

from __future__ import annotations

import re
from math import isfinite

import numpy as np

from gpuclust.core.arguments import real_number
from gpuclust.hierarchy.newick import NHX
from gpuclust.hierarchy.validity import as_linkage

# Tokens: runs of opening brackets; the name of a node, in quotes or not; the length of its branch; the mark at its
# end; comments and blanks, which are skipped; any other single character.
_WORD = r"[^\s()\[\]',:;]+"
_NUMBER = rf"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!{_WORD})"
_PART = re.compile(
    rf"""\s*(?:
      (?P<opening>\(+)
    | (?=[^\s(\[\]':]|:\s*{_NUMBER}) (?P<name>{_WORD}(?:[ ]+{_WORD})*)?
                                     (?:\s*:\s*(?P<length>{_NUMBER}))?  (?:\s*(?P<mark>[,);]))?
    | '(?P<quoted>(?:[^']|'')*)'
    | \[(?P<comment>[^\]]*)\]
    | (?P<stray>\S)
    )""",
    re.VERBOSE,
)

#: Largest deviation, relative to the largest height in the cluster, of a height in a comment from that of the
#: branches.
_ROUNDING = 1e-14


def from_newick(text: str, tolerance: float = 1e-6) -> tuple[np.ndarray, list[str]]:
    """Read a tree in Newick form.

    Parameters
    ----------
    text : str
        One tree, with branch lengths, whose leaves all lie equally far below the root (as they do in a dendrogram).
    tolerance : float
        How much the heights at which the branches of a node end may differ, as a part of the largest height (lengths
        are rounded). The node gets the largest of them.

    Returns
    -------
    Z : ndarray
        Linkage matrix, float64, shape (n - 1, 4). Rows are in the order that comments of `to_newick` say; without
        them sorted by height (by the largest height in the cluster where there are inversions), equal ones as they
        stand in the text. Children stand as in the text.
    labels : list of str
        The name of each observation. If the names are the numbers 0 to n-1 they say which observation a leaf is;
        otherwise leaves are numbered as they come.

    Raises
    ------
    TypeError
        ``text`` is no str, or ``tolerance`` no number.
    ValueError
        The text is not a Newick tree (the message says at which character, and what was expected), has fewer than
        two leaves, lacks a branch length, or has leaves unequally far below the root.

    Notes
    -----
    ``from_newick(to_newick(Z))`` gives ``Z`` again, to the last bit and row by row; with labels, with its leaves
    numbered from left to right.

    O(n log n) time, no recursion. Names in quotes, comments in brackets (those of `to_newick` are used, others
    ignored) and names of inner nodes (ignored) are understood; underscores stay as they are. A node with more than
    two children becomes several merges at its height; one with a single child is left out.

    Examples
    --------
    >>> from gpuclust.hierarchy import from_newick
    >>> Z, labels = from_newick("((a:1,b:1):2,c:3);")
    >>> Z
    array([[0., 1., 1., 2.],
           [3., 2., 3., 3.]])
    >>> labels
    ['a', 'b', 'c']
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str that holds a Newick tree, got {type(text).__name__}.")
    tolerance = real_number(tolerance, "tolerance", 0)
    tree = _Tree(text)
    tree.read()
    n = len(tree.names)
    if n < 2:
        raise ValueError(f"A linkage matrix needs at least two leaves, the Newick tree has {n}.")
    heights = np.array(tree.heights)
    allowed = tolerance * np.abs(heights).max()
    if not tree.unequal <= allowed:
        raise ValueError(
            f"The leaves are not equally far below the root: at character {tree.unequal_at} two branches end at "
            f"heights that differ by {tree.unequal:g}, more than tolerance={tolerance:g} times the largest height "
            f"({np.abs(heights).max():g}) allows. Such a tree has no linkage matrix."
        )
    order = tree.order()
    number = np.empty(2 * n - 1, dtype=np.int64)
    number[:n] = _observations(tree.names)
    number[n + order] = np.arange(n, 2 * n - 1)
    joined: np.ndarray = np.array(tree.joined, dtype=np.int64).reshape(n - 1, 2)
    joined = np.where(joined < 0, n - 1 - joined, joined)  # cluster -1 is the first merge
    Z = np.empty((n - 1, 4))
    Z[:, :2] = number[joined[order]]
    Z[:, 2] = heights[order]
    Z[:, 3] = np.array(tree.sizes)[order]
    labels = [""] * n
    for name, i in zip(tree.names, number[:n].tolist(), strict=True):
        labels[i] = name
    return as_linkage(Z, "Z from Newick"), labels


def _observations(names: list[str]) -> np.ndarray:
    """Which observation each leaf is: by its name if the names are 0 to n-1, otherwise in order."""
    n = len(names)
    plain = np.arange(n)
    if not all(name.isascii() and name.isdigit() and len(name) <= 18 for name in names):
        return plain
    given = np.array([int(name) for name in names])
    same_text = all(str(i) == name for i, name in zip(given.tolist(), names, strict=True))
    return given if same_text and np.array_equal(np.sort(given), plain) else plain


class _Tree:
    """The merges of a Newick text in the order in which they are closed. Cluster ``-k`` is the ``k``-th merge."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []  # of the leaves
        self.joined: list[int] = []  # two of them a merge
        self.heights: list[float] = []
        self.peaks: list[float] = []  # the largest height in each merge's cluster
        self.sizes: list[int] = []
        self.rows: dict[int, int] = {}  # of merges, by comments
        self.unequal, self.unequal_at = 0.0, 0  # the largest disagreement about a height, and where

    def read(self) -> None:
        """Go through the text once."""
        open_at: list[int] = []  # for each open bracket, how many finished branches were there before
        clusters: list[int] = []  # of finished branches,
        tops: list[float] = []  # and the heights at which these end
        node: int | None = None  # the cluster whose branch is being read,
        base = length_of_branch = 0.0  # where that begins, and how long it is
        has_length = named = finished = False
        for part in _PART.finditer(self.text):
            opening, name, length, mark, quoted, comment, stray = part.groups()
            if comment is not None:
                if node is not None and node < 0 and comment.startswith(NHX):
                    base = self._told(node, base, comment)
                continue
            if finished and part.lastindex:
                raise self._expected("nothing after the ';'", part)
            if stray:
                wanted = {":": "a number after ':'", "'": "a closing quote", "[": "a closing ']'"}
                raise self._expected(wanted.get(stray, "a name, ':', '(', ',', ')' or ';'"), part)
            if opening:
                if node is not None:
                    raise self._expected("':', ',', ')' or ';' after a node", part)
                open_at.extend([len(clusters)] * len(opening))
            if quoted is not None:
                name = quoted.replace("''", "'")
            if name is not None:
                if node is None:
                    node = self._leaf(name)
                elif named:
                    raise self._expected("one name only, then ':', ',', ')' or ';'", part)
                named = True
            if length:
                if node is None:
                    node = self._leaf("")
                elif has_length:
                    raise self._expected("',', ')' or ';' after a branch length", part, "length")
                length_of_branch = float(length)
                if not isfinite(base + length_of_branch):
                    raise self._expected("a finite length", part, "length")
                has_length = named = True
            if mark:
                if node is None:
                    node = self._leaf("")
                self._check_mark(mark, len(open_at), has_length, part)
                if mark == ";":
                    finished = True
                    continue
                clusters.append(node)
                tops.append(base + length_of_branch)
                length_of_branch = 0.0
                if mark == ",":
                    node, base, has_length, named = None, 0.0, False, False
                else:
                    first = open_at.pop()
                    node, base = self._merge(clusters[first:], tops[first:], part.start("mark"))
                    del clusters[first:], tops[first:]
                    has_length = named = False
        if not finished:
            raise ValueError(f"Newick text ends at character {len(self.text)} without a ';'.")

    def _check_mark(self, mark: str, brackets: int, has_length: bool, part: re.Match[str]) -> None:
        """Raise an error if a node may not end with a mark, ``brackets`` being open."""
        if mark == ";":
            if brackets:
                raise self._expected(f"',' or ')', {brackets} bracket(s) being open", part, "mark")
        elif not brackets:
            raise self._expected("';', no bracket being open", part, "mark")
        elif not has_length:
            raise self._expected("':' and a branch length", part, "mark")

    def _leaf(self, name: str) -> int:
        self.names.append(name)
        return len(self.names) - 1

    def _merge(self, clusters: list[int], tops: list[float], at: int) -> tuple[int, float]:
        """The cluster of all the branches that end in one node, and its height: the largest at which one ends."""
        cluster, height = clusters[0], max(tops)
        if not height - min(tops) <= self.unequal:
            self.unequal, self.unequal_at = height - min(tops), at
        for other in clusters[1:]:
            size, peak = 0, height
            for child in (cluster, other):
                if child >= 0:
                    size += 1
                else:
                    size += self.sizes[-child - 1]
                    peak = max(peak, self.peaks[-child - 1])
            self.joined.append(cluster)
            self.joined.append(other)
            self.heights.append(height)
            self.peaks.append(peak)
            self.sizes.append(size)
            cluster = -len(self.heights)
        return cluster, height

    def _told(self, cluster: int, height: float, comment: str) -> float:
        """Note the row of a merge from a comment; returns its height, by the comment or as it is."""
        merge = -cluster - 1
        noted = dict(part.partition("=")[::2] for part in comment[len(NHX) :].split(":"))
        if noted.get("row", "").isdecimal() and len(noted["row"]) < 12:
            self.rows[merge] = int(noted["row"])
        try:
            exact = float(noted.get("height", "nan"))
        except ValueError:
            return height
        if not abs(exact - height) <= _ROUNDING * max(self.peaks[merge], exact):
            return height
        below = [self.peaks[-child - 1] for child in self.joined[2 * merge : 2 * merge + 2] if child < 0]
        self.heights[merge], self.peaks[merge] = exact, max([exact, *below])
        return exact

    def order(self) -> np.ndarray:
        """The merges as they come in Z: by the rows that comments give, if these can be right, or by height."""
        merges = len(self.heights)
        rows = np.array([self.rows.get(merge, -1) for merge in range(merges)], dtype=np.int64)
        if np.array_equal(np.sort(rows), np.arange(merges)):
            below = np.array(self.joined, dtype=np.int64).reshape(merges, 2)
            if (
                np.where(below < 0, rows[np.where(below < 0, -below - 1, 0)], -1) < rows[:, None]
            ).all():  # children come first
                return np.argsort(rows)
        return np.argsort(np.array(self.peaks), kind="stable")  # children's peaks are not above

    def _expected(self, what: str, part: re.Match[str], at_group: str = "") -> ValueError:
        at = part.start(at_group) if at_group else part.end() - len(part[0].lstrip())
        return ValueError(f"Newick text, character {at}: expected {what}, got {self.text[at : at + 20]!r}.")
