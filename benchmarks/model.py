"""Modelled time of a linkage on a GPU, from counted operations; ``python -m benchmarks.model [n m method ...]``.

The calls of primitives come from a run of the same algorithms on the CPU (`benchmarks.trace`), at no more than 20,000
points, and are scaled with n². What a call costs was counted in the compiled kernels: instructions of all lanes, and
bytes of the memory sectors they access. The time of a call is that of the slower of the two, plus launches and waits.
docs/gpu-model.md describes the counts, and the omissions of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import log2
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.trace import Call, TracedBackend
from gpuclust.compute import compute
from gpuclust.core.backend import select
from gpuclust.core.first_call import compiling

#: Number of points of a traced run.
MOST = 20_000
#: Seconds of a kernel launch, and of a synchronous copy to the host.
LAUNCH, WAIT = 5e-6, 15e-6
#: Numbers of launches and of synchronisations of a call.
CALLS = {
    "nearest": (8, 2),
    "nearest_outside": (5, 2),
    "knn": (24, 2),
    "nearest_among": (12, 3),
    "store_points": (8, 2),
    "store_clusters": (6, 2),
    "stored.merge": (2, 2),
    "stored.chain": (1, 2),
    "summaries.merge": (14, 3),
    "summaries.chain": (1, 2),
}
#: Seconds of one step of a nearest-neighbour chain: synchronisation of the grid, or of one block.
STEP = 6e-6


class Card(NamedTuple):
    """Datasheet figures of a GPU: float32 instructions/s of all lanes, slowdown of float64, bytes/s."""

    name: str
    rate: float
    double: float
    bandwidth: float


CARDS = (
    Card("RTX 3080", 29.8e12 / 2, 64, 760e9),
    Card("RTX 4090", 82.6e12 / 2, 64, 1008e9),
    Card("A100", 19.5e12 / 2, 2, 1555e9),
    Card("H100", 66.9e12 / 2, 2, 3350e9),
    Card("H200", 66.9e12 / 2, 2, 4800e9),
)


class Price(NamedTuple):
    """Cost of a primitive: instructions per pair, instructions per pair and feature, bytes per pair."""

    pair: float
    feature: float
    bytes: float


# Counted, for float32 and float64. Units: pairs of points or clusters whose distance is computed; "merge" is a number
# of (old² + new²) / 2 entries of a matrix.
PRICES = {
    "nearest": (Price(14, 2.62, 0.4), Price(20, 4.09, 0.8)),  # a pair counts for both of its points
    "outside": (Price(11, 2.61, 0.3), Price(15, 4.05, 0.6)),
    "search": (Price(31, 2.61, 0.5), Price(38, 4.05, 1.0)),
    "slab": (Price(6.4, 2.5, 8.5), Price(8.7, 3.81, 17)),
    "between": (Price(290, 23, 4), Price(290, 23, 8)),
    "merge": (Price(122, 0, 10.4), Price(122, 0, 16.4)),
}


def selection(n: int) -> float:
    """Return the instructions for selecting the 32 smallest of n distances."""
    return 1.97e6 + 0.24e6 * max(0.0, log2(n / 1024))


class Work(NamedTuple):
    """Return the instructions of all lanes, and the bytes."""

    instructions: float
    bytes: float


def work(call: Call, double: bool) -> Work:
    """Return the cost of a call."""

    def priced(unit: str, count: float) -> Work:
        price = PRICES[unit][double]
        return Work(count * (price.pair + price.feature * call.m), count * price.bytes)

    n, left = call.n, call.left
    if call.name == "nearest":
        return priced("nearest", n * n / 2)
    if call.name == "nearest_outside":
        return priced("outside", call.rows * n)
    if call.name == "knn":
        slab = priced("slab", n * n)
        return Work(slab.instructions + n * selection(n), slab.bytes)
    if call.name == "nearest_among":
        return priced("between", call.pairs)
    if call.name == "store_clusters":
        return priced("between", call.pairs)
    if call.name == "store_points":
        return priced("slab", n * n)
    if call.name == "stored.merge":
        return priced("merge", (n * n + left * left) / 2)
    if call.name == "summaries.merge":
        return priced("search", call.rows * left)
    return Work(0, 0)  # a chain: steps, not work


class Cost(NamedTuple):
    """Return seconds, bytes and rounds of a linkage on a GPU."""

    seconds: float
    bytes: float
    rounds: int
    waits: int


def cost(calls: Iterable[Call], card: Card, double: bool) -> Cost:
    seconds = moved = 0.0
    rounds = waits = 0
    for call in calls:
        asked = work(call, double)
        launches, waited = CALLS[call.name]
        # A third of the instructions of float64 kernels are float64: the others run at the full rate.
        slow = 1 + (card.double - 1) * 0.7 if double and card.double > 2 else 1.5 if double else 1
        seconds += max(asked.instructions * slow / card.rate, asked.bytes / card.bandwidth)
        seconds += launches * LAUNCH + waited * WAIT
        if call.name.endswith(".chain"):
            seconds += call.merged * 4 * STEP
        moved += asked.bytes
        waits += waited
        rounds += 1
    return Cost(seconds, moved, rounds, waits)


def calls_of(n: int, m: int, method: str, double: bool) -> list[Call]:
    """Return the calls of a linkage of n Gaussian points, scaled up from a run of at most MOST points."""
    size = min(n, MOST)
    traced = TracedBackend(select("cpu"))
    X = np.random.default_rng(0).normal(size=(size, m))
    with compiling():
        compute(X, method, device="cpu", dtype="float64" if double else "float32", backend=traced)  # type: ignore[arg-type]
    k = n / size
    return [scaled(call, k) for call in traced.calls]


def scaled(call: Call, k: float) -> Call:
    """Scale a call to ``k`` times as many clusters; the number of the last rounds' clusters stays the same."""
    if call.name.endswith(".chain"):
        return call
    sizes: dict[str, Any] = {name: int(getattr(call, name) * k) for name in ("n", "rows", "left", "merged")}
    return call._replace(**sizes, pairs=int(call.pairs * k * k))


#: What the peers' authors measured on an RTX 3080, and what is asked of us.
ASKED = (
    (20_000, 32, "ward"),
    (100_000, 32, "ward"),
    (20_000, 32, "complete"),
    (20_000, 32, "average"),
    (1_000_000, 32, "single"),
    (100_000, 64, "complete"),
)


def main() -> None:
    arguments = sys.argv[1:]
    cases = [(int(n), int(m), name) for n, m, name in zip(*[iter(arguments)] * 3, strict=True)] or list(ASKED)
    table = Table("n", "m", "linkage", "dtype", *(card.name for card in CARDS), "bytes / n²", "calls", "waits a call")
    for n, m, method in cases:
        for double in (False, True):
            calls = calls_of(n, m, method, double)
            costs = [cost(calls, card, double) for card in CARDS]
            table.add_row(
                f"{n:,}",
                str(m),
                method,
                "float64" if double else "float32",
                *(f"{made.seconds:.3g} s" for made in costs),
                f"{costs[0].bytes / n / n:.3g}",
                str(costs[0].rounds),
                f"{costs[0].waits / costs[0].rounds:.1f}",
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
