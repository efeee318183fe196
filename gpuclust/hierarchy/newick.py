"""Linkage matrices to Newick, the text form of trees that phylogenetics programs read and write.

``((A:1,B:1):2,C:3);`` is the tree that merges A with B at height 1 and both with C at height 3: the number after a
colon is the length of the branch to the parent. Information that lengths and brackets cannot express is written to
comments in the form of NHX, ``[&&NHX:row=5:height=0.3]``, which other programs ignore.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.arguments import label_list, one_of
from gpuclust.hierarchy.inconsistent import largest_below
from gpuclust.hierarchy.ordering import leaf_positions
from gpuclust.hierarchy.validity import as_linkage, children

_NEEDS_QUOTES = re.compile(r"[\s()\[\]{}/\\,;:='\"<>_]|^$")
#: How a comment of `to_newick` begins.
NHX = "&&NHX:"


def to_newick(Z: ArrayLike, labels: Any = None, *, comments: bool = True, quote: str = "auto") -> str:
    """Write a tree in Newick form.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    labels : sequence, Series or dict, optional
        A name for each observation, length n (of a dict: by its number); by default its number.
    comments : bool, optional
        Write the row of each merge into comments if `from_newick` would not find their order (it may not where
        heights are equal), and the height where the sum of two lengths cannot be rounded to it.
    quote : {"auto", "always", "never"}
        Which names are put in quotation marks: those that would be misread, all, or none, for programs that do not
        read them: characters that would be misread are then replaced by ``_``.

    Returns
    -------
    str
        One line, with branch lengths (the parent's height less the child's, negative at an inversion), ended by
        a semicolon.

    Raises
    ------
    TypeError
        ``Z`` does not hold numbers, or ``labels`` is no sequence.
    ValueError
        ``Z`` is not a linkage matrix or has an infinite height, there are not n labels, or ``quote`` is unknown.

    Notes
    -----
    O(n) time, no recursion.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, to_newick
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> to_newick(Z, ["a", "b", "c", "d"], comments=False)
    '((a:1.0,b:1.0):4.5,(c:2.0,d:2.0):3.5);'
    """
    one_of(quote, "quote", _QUOTE)
    Z = as_linkage(Z)
    n = Z.shape[0] + 1
    if labels is None:
        names = [str(i) for i in range(n)]
    else:
        names = [str(label) for label in label_list(labels, n)]
    names = list(map(_QUOTE[quote], names))
    infinite = np.isinf(Z[:, 2])
    if infinite.any():
        raise ValueError(
            f"Newick text has no infinite lengths, but Z has an infinite height in row {infinite.argmax()}."
        )
    numbers = _branch_lengths(Z)
    lengths = [f":{length!r}" for length in numbers.tolist()]
    lengths.append("")  # the root has no branch

    # From left to right: what opens at a leaf, the leaf, then the clusters that end with it, inner ones first.
    start, size = leaf_positions(Z)
    leaves = np.argsort(start[:n])
    opened = np.bincount(start[n:], minlength=n).tolist()
    ends = start[n:] + size[n:]  # how many leaves come before the closing bracket
    closing = np.argsort(ends, kind="stable")
    if comments:
        for row, comment in _comments(Z, numbers, closing).items():
            lengths[n + row] += comment
    texts = np.empty(2 * n - 1, dtype=object)
    texts[np.arange(n) + np.searchsorted(ends[closing], np.arange(n), side="right")] = [
        "," + "(" * brackets + names[leaf] + lengths[leaf]
        for brackets, leaf in zip(opened, leaves.tolist(), strict=True)
    ]
    texts[np.arange(n - 1) + ends[closing]] = [")" + lengths[row + n] for row in closing.tolist()]
    return "".join(texts.tolist())[1:] + ";"


def _comments(Z: np.ndarray, lengths: np.ndarray, closing: np.ndarray) -> dict[int, str]:
    """By row, what `from_newick` would not find: rows where it orders merges otherwise, heights where it rounds.

    ``closing`` are the rows in the order in which their brackets close.
    """
    peaks = largest_below(Z, Z, 2)
    ordered = closing[np.argsort(peaks[closing], kind="stable")]
    in_order = bool((ordered[1:] > ordered[:-1]).all())
    left, right = children(Z)
    height = np.concatenate((np.zeros(len(Z) + 1), Z[:, 2]))
    found = np.maximum(height[left] + lengths[left], height[right] + lengths[right])
    rounded = found != Z[:, 2]
    texts = {}
    for row in np.flatnonzero(rounded).tolist() if in_order else range(len(Z)):
        parts = [] if in_order else [f"row={row}"]
        parts += [f"height={float(Z[row, 2])!r}"] if rounded[row] else []
        texts[row] = f"[{NHX}{':'.join(parts)}]"
    return texts


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _quoted_if_needed(name: str) -> str:
    return _quoted(name) if _NEEDS_QUOTES.search(name) else name


def _unquoted(name: str) -> str:
    return _NEEDS_QUOTES.sub("_", name)


#: The text of a name by the choice of quotation marks.
_QUOTE = {"auto": _quoted_if_needed, "always": _quoted, "never": _unquoted}


def _branch_lengths(Z: np.ndarray) -> np.ndarray:
    """Of every cluster but the root: float64, shape (2 n - 2,), such that height + length is the parent's height.

    Where no number does it, the sum is one bit less: a reader that takes the largest sum loses nothing by that, as
    long as one child has the right one.
    """
    n = Z.shape[0] + 1
    height = np.concatenate((np.zeros(n), Z[:, 2]))
    above = np.empty(2 * n - 2)
    for side in children(Z):
        above[side] = Z[:, 2]
    below = height[:-1]
    length = above - below
    more, less = np.nextafter(length, np.inf), np.nextafter(length, -np.inf)
    length = np.where((below + length != above) & (below + more == above), more, length)
    return np.where(below + length > above, less, length)
