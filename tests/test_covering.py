"""Of a product of parameters, the part that `make test` runs."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from covering import covering

FACTORS = (("single", "ward", "median"), ("euclidean", "cosine"), (2, 3, 150), (True, False))


def part(parameters):
    return [tuple(each.values) for each in parameters if not each.marks]


@pytest.mark.parametrize("together", [1, 2, 3])
def test_values_occur_together(together):
    parameters = covering(*FACTORS, together=together)
    assert [tuple(each.values) for each in parameters] == list(product(*FACTORS))
    found = {some for values in part(parameters) for some in combinations(enumerate(values), together)}
    assert found == {some for values in product(*FACTORS) for some in combinations(enumerate(values), together)}
    assert len(part(parameters)) <= {1: 3, 2: 10, 3: 24}[together]
    assert part(parameters) == part(covering(*FACTORS, together=together))


def test_rare_values_are_for_the_sweep():
    found = part(covering(*FACTORS, rare=lambda method, metric, *_: method == "ward" and metric == "cosine"))
    assert {values[:2] for values in found} == {*product(*FACTORS[:2])} - {("ward", "cosine")}
