"""Parameters of tests: a part of a product in which every two values occur together; the rest is for the sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations, product
from typing import Any

import pytest


def covering(*factors: Iterable[Any], together: int = 2, rare: Callable[..., bool] = lambda *_: False) -> list[Any]:
    """The product of factors as parameters of a test, most of them with the mark ``sweep``.

    Without the mark are sets of values in which every two values of different factors occur together: faults depend
    on one value or on two far more often than on three. They are chosen greedily: the set with most new pairs, and
    of several the one whose values were chosen least often.

    Parameters
    ----------
    *factors : iterable
        Values of each parameter.
    together : int, optional
        How many values are to occur together: with 1, every value occurs.
    rare : callable, optional
        Takes a set of values, and returns True where it is for the sweep in any case.

    Returns
    -------
    list of ParameterSet
        In the order of the product.
    """
    every = list(product(*map(list, factors)))
    left = {values: set(combinations(enumerate(values), together)) for values in every if not rare(*values)}
    chosen, often = set(), Counter[Any]()
    while left:
        values = max(left, key=lambda values: (len(left[values]), -sum(often[each] for each in enumerate(values))))
        covered = left.pop(values)
        if not covered:
            break
        chosen.add(values)
        often.update(enumerate(values))
        for others in left.values():
            others -= covered
    return [pytest.param(*values, marks=[] if values in chosen else [pytest.mark.sweep]) for values in every]
