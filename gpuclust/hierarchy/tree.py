"""A linkage matrix as linked nodes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from gpuclust.hierarchy.validity import as_linkage, children


def _number(node: ClusterNode) -> int:
    return node.id


class ClusterNode:
    """A node of a cluster tree: a leaf, which is an observation, or the merge of two nodes.

    Parameters
    ----------
    id : int
        Number of the cluster: below n an observation, ``n + i`` the cluster formed by row ``i``.
    left, right : ClusterNode, optional
        The two children; both or neither.
    dist : float
        Height of the merge, 0 for a leaf.
    count : int
        Observations in a leaf; of an inner node it is the sum over its children.

    Raises
    ------
    TypeError
        A child is no node, or something else no number.
    ValueError
        ``id`` or ``dist`` is negative, ``count`` is below 1, or only one child is given.

    Notes
    -----
    Nodes are compared by ``dist``; they are equal when these are, and so cannot be hashed. They can be pickled and
    copied, whatever the depth of the tree below them; what a pickle or a deep copy holds twice is the same node.

    Examples
    --------
    >>> from gpuclust.hierarchy import ClusterNode
    >>> root = ClusterNode(2, ClusterNode(0), ClusterNode(1), dist=1.5)
    >>> root.count
    2
    >>> root.pre_order()
    [0, 1]
    """

    def __init__(
        self,
        id: int,
        left: ClusterNode | None = None,
        right: ClusterNode | None = None,
        dist: float = 0.0,
        count: int = 1,
    ) -> None:
        for name, number in (("id", id), ("dist", dist), ("count", count)):
            if not isinstance(number, Real):
                raise TypeError(f"{name} must be a number, got {number!r}.")
        for name, child in (("left", left), ("right", right)):
            if not (child is None or isinstance(child, ClusterNode)):
                raise TypeError(f"{name} must be a ClusterNode or None, got {child!r}.")
        if id < 0:
            raise ValueError(f"The id must be non-negative, got {id}.")
        if dist < 0:
            raise ValueError(f"The distance must be non-negative, got {dist}.")
        if count < 1:
            raise ValueError(f"A cluster must contain at least one original observation, got count={count}.")
        self.id = id
        self.left = left
        self.right = right
        self.dist = dist
        if left is None and right is None:
            self.count = count
        elif left is None or right is None:
            raise ValueError("Only full or proper binary trees are permitted. This node has one child.")
        else:
            self.count = left.count + right.count

    def __lt__(self, node: object) -> bool:
        return self.dist < _node(node).dist

    def __gt__(self, node: object) -> bool:
        return self.dist > _node(node).dist

    def __eq__(self, node: object) -> bool:
        return self.dist == _node(node).dist

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.left is None or id(self) in _pickling.nodes:
            return super().__reduce_ex__(protocol)
        return _last, (_Below(self),)

    def __copy__(self) -> ClusterNode:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> ClusterNode:
        for node in _children_first(self):
            if id(node) in memo:
                continue
            memo[id(node)] = twin = copy.copy(node)
            for name, value in node.__dict__.items():  # the children are in the memo
                setattr(twin, name, copy.deepcopy(value, memo))
        twin = memo[id(self)]
        assert isinstance(twin, ClusterNode)
        return twin

    def get_id(self) -> int:
        """Number of the cluster: below n an observation, ``n + i`` the cluster formed by row ``i``."""
        return self.id

    def get_count(self) -> int:
        """How many leaves are below this node; 1 for a leaf."""
        return self.count

    def get_left(self) -> ClusterNode | None:
        """The left child; None for a leaf."""
        return self.left

    def get_right(self) -> ClusterNode | None:
        """The right child; None for a leaf."""
        return self.right

    def is_leaf(self) -> bool:
        """Whether this node is an observation."""
        return self.left is None

    def pre_order(self, func: Callable[[ClusterNode], Any] = _number) -> list[Any]:
        """``func`` of every leaf below this node, from left to right.

        Parameters
        ----------
        func : callable
            Called with each leaf; by default it gives the leaf's ``id``.

        Returns
        -------
        list
            The values of ``func``.

        Notes
        -----
        No recursion: trees of any depth.
        """
        if not callable(func):
            raise TypeError(f"func must be callable, got {func!r}.")
        found = []
        waiting: list[Any] = [self]
        while waiting:
            node = waiting.pop()
            if node.left is None:
                found.append(func(node))
            else:
                waiting.append(node.right)
                waiting.append(node.left)
        return found


class _Pickling(threading.local):
    """``nodes``: the ids of nodes that are being pickled after all nodes below them, and so are not deep."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()


_pickling = _Pickling()


class _Below:
    """The pickled form of a node: a list of the nodes below it, children before parents, itself, and an end marker.

    A list's items are pickled one after the other; a node in a node, or in a state, would be pickled inside it.
    """

    def __init__(self, root: ClusterNode) -> None:
        self.root = root
        self.end = _End(set())

    def __reduce__(self) -> tuple[Any, ...]:
        nodes = _children_first(self.root)
        self.end = _End({id(node) for node in nodes} - _pickling.nodes)
        return list, (), None, iter([*nodes, self.end])

    def __del__(self) -> None:  # pickling may have failed before the end
        self.end.reached()


class _End:
    """The item after the nodes: when it is pickled, all of them have been."""

    def __init__(self, nodes: set[int]) -> None:
        self.nodes, self.known = nodes, _pickling.nodes
        self.known |= nodes

    def reached(self) -> None:
        self.known -= self.nodes
        self.nodes = set()

    def __reduce__(self) -> tuple[Any, ...]:
        self.reached()
        return bool, ()


def _last(nodes: list[ClusterNode]) -> ClusterNode:
    return nodes[-2]  # the end comes after it


def _children_first(root: ClusterNode) -> list[ClusterNode]:
    """All nodes below a node, and itself last, each after its children."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if node.left is not None and node.right is not None:
            waiting += (node.left, node.right)
    return found[::-1]


def _node(other: object) -> ClusterNode:
    if not isinstance(other, ClusterNode):
        raise ValueError(f"Can't compare ClusterNode to type {type(other)}")
    return other


@overload
def to_tree(Z: ArrayLike, rd: Literal[False] = False) -> ClusterNode: ...
@overload
def to_tree(Z: ArrayLike, rd: Literal[True]) -> tuple[ClusterNode, list[ClusterNode]]: ...
@overload
def to_tree(Z: ArrayLike, rd: bool) -> ClusterNode | tuple[ClusterNode, list[ClusterNode]]: ...


def to_tree(Z: ArrayLike, rd: bool = False) -> ClusterNode | tuple[ClusterNode, list[ClusterNode]]:
    """Build the tree of a linkage matrix from linked nodes.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    rd : bool
        Return all the nodes as well.

    Returns
    -------
    root : ClusterNode
        The node of the last merge.
    nodes : list of ClusterNode
        With ``rd`` only: the node of cluster ``i`` at place ``i``, 2n-1 in all.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix; see `is_valid_linkage`.

    Notes
    -----
    O(n) time and memory: 2n-1 Python objects, about 200 bytes each.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, to_tree
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> root = to_tree(Z)
    >>> float(root.dist), root.count
    (5.5, 4)
    >>> root.left.pre_order()
    [0, 1]
    """
    Z = as_linkage(Z, cast=False)
    n = Z.shape[0] + 1
    nodes = [ClusterNode(i) for i in range(n)]
    left, right = (side.tolist() for side in children(Z))
    for i, height in enumerate(Z[:, 2]):
        nodes.append(ClusterNode(n + i, nodes[left[i]], nodes[right[i]], height))
    return (nodes[-1], nodes) if rd else nodes[-1]
