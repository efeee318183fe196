"""Modelled time of a linkage on a GPU, from counted operations; ``python -m benchmarks.model [n m method ...]``.

The calls of primitives come from a run of the same algorithms on the CPU (`benchmarks.trace`), at no more than 20,000
points, and are scaled with n². What a call costs was counted in the compiled kernels: instructions of all lanes, and
bytes of the memory sectors they access. The time of a call is that of the slower of the two, plus launches and waits.
docs/gpu-model.md describes the counts, and the omissions of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import ceil, log, log2
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.trace import Call, TracedBackend
from gpuclust.algorithms.costs import SLAB
from gpuclust.compute import compute
from gpuclust.core.backend import select
from gpuclust.core.first_call import compiling

#: Number of points of a traced run.
MOST = 20_000
#: Seconds of a kernel launch, and of a synchronous copy to the host.
LAUNCH, WAIT = 5e-6, 15e-6
#: Numbers of launches, operations on arrays and uploads among them, and of synchronisations of a call.
CALLS = {
    "nearest": (8, 2),
    "nearest_outside": (60, 2),
    "knn": (24, 2),
    "nearest_among": (12, 3),
    "store_points": (8, 2),
    "store_clusters": (6, 2),
    "stored.merge": (2, 2),
    "stored.chain": (1, 2),
    "summaries.merge": (15, 1),  # `benchmarks.launches` counts them
    "summaries.chain": (1, 2),
}
#: Seconds of one step of a nearest-neighbour chain: synchronisation of the grid, or of one block.
STEP = 6e-6


class Card(NamedTuple):
    """Datasheet figures of a GPU.

    float32 instructions/s of all lanes, slowdown of float64, bytes/s; and products/s of tensor cores in half
    precision with sums in float32, at most as many as shared memory feeds: 1,024 a clock and multiprocessor.
    """

    name: str
    rate: float
    double: float
    bandwidth: float
    products: float


CARDS = (
    Card("RTX 3080", 29.8e12 / 2, 64, 760e9, 59.5e12 / 2),
    Card("RTX 4090", 82.6e12 / 2, 64, 1008e9, 165e12 / 2),
    Card("A100", 19.5e12 / 2, 2, 1555e9, 312e12 / 2),
    Card("H100", 66.9e12 / 2, 2, 3350e9, 132 * 1.755e9 * 1024),
    Card("H200", 66.9e12 / 2, 2, 4800e9, 132 * 1.755e9 * 1024),
)


class Price(NamedTuple):
    """Cost of a primitive: instructions per pair, per pair and feature; bytes per pair; part of them in float64."""

    pair: float
    feature: float
    bytes: float
    doubles: float = 0.0


# Counted, for float32 and float64. Units: pairs of points or clusters whose distance is computed; "merge" is a number
# of (old² + new²) / 2 entries of a matrix.
PRICES = {
    "nearest": (Price(16.7, 2.68, 2.7), Price(22.4, 4.08, 7.5, 0.66)),  # a pair counts for both of its points
    "outside": (Price(11.5, 2.47, 2.5), Price(16.1, 3.76, 6.9, 0.66)),
    "search": (Price(5.2, 2.5, 2.6), Price(49.6, 3.87, 22, 0.55)),
    "slab": (Price(5.2, 2.54, 8.5), Price(8.7, 3.67, 17, 0.72)),
    "between": (Price(290, 23, 4), Price(290, 23, 8, 0.13)),  # pair by pair
    "aggregate": (Price(92, 3.76, 17.6), Price(96, 3.67, 34, 0.6)),  # by tiles, with the minima of rows
    "merge": (Price(122, 0, 10.4), Price(122, 0, 16.4, 0.04)),
}
#: The same in float64 by a screen in single precision, of tiles with nothing to compute again.
SCREENED = {
    "nearest": Price(3.7, 2.5, 2.5, 0.004),  # of all pairs, not of half of them
    "outside": Price(3.7, 2.5, 2.5, 0.004),
    "search": Price(5.2, 2.5, 2.6, 0.004),
    "slab": Price(5.2, 2.54, 8.5),
}
#: By products in half precision; and bytes of a pair and feature, and of rounding a feature of a point.
PRODUCTS = {
    "nearest": Price(6.6, 0.1, 0.3, 0.004),
    "outside": Price(6.6, 0.1, 0.3, 0.004),
    "search": Price(8.0, 0.1, 0.3, 0.004),
    "slab": Price(8.2, 0.11, 8.5),
}
WORDS, ROUNDING = 1 / 32, 12
#: Instructions in addition of a pair of a tile in which some row has something to compute again.
HIT = 12


class Again(NamedTuple):
    """Cost of a pair that is computed again: instructions, and those, float64 and bytes per feature."""

    pair: float
    feature: float
    doubles: float
    bytes: float


AGAIN = {"nearest": Again(460, 22, 3.2, 64), "outside": Again(460, 22, 3.2, 64), "search": Again(474, 36, 5.4, 130)}
#: Neighbours of a row that are computed again: those wanted and the spare ones.
LISTED = 64
#: See `gpuclust.kernels.cuda.screen`.
CHUNKS, PART = 8, 8
#: Points of a side of a tile in float32; blocks of a launch, by which chunks of columns are chosen (132 x 16).
TILE, BLOCKS = 128, 2112


def again(rows: float, n: float) -> float:
    """Return how many pairs a screened search computes again.

    In each chunk of columns a row has a new minimum in the k-th tile with probability 1 / k. Where there are many
    chunks, a part of the columns is compared before, and as many are nearer as there are such parts.
    """
    tiles = max(1.0, n / TILE)
    chunks = min(tiles, max(1.0, BLOCKS * TILE / max(rows, 1.0)))
    return rows * (PART if chunks >= CHUNKS else chunks * (1 + log(tiles / chunks)))


def hits(rows: float, n: float) -> float:
    """Return how many pairs stand in tiles in which some row has a new minimum."""
    tiles = max(1.0, n / TILE)
    chunks = min(tiles, max(1.0, BLOCKS * TILE / max(rows, 1.0)))
    if chunks >= CHUNKS:
        return rows * n * (1 - (1 - min(1.0, PART / tiles)) ** TILE)
    k = np.arange(1, int(tiles / chunks) + 1)
    return rows * TILE * chunks * float((1 - (1 - 1 / k) ** TILE).sum())


def sample(rows: float, n: float) -> float:
    """Return how many columns are compared first."""
    return n / PART if min(n / TILE, BLOCKS * TILE / max(rows, 1.0)) >= CHUNKS else 0.0


def selection(n: int) -> float:
    """Return the instructions for selecting the 32 smallest of n distances."""
    return 1.97e6 + 0.24e6 * max(0.0, log2(n / 1024))


class Work(NamedTuple):
    """Return the instructions of all lanes, those of them in float64, the bytes, and the products of tensor cores."""

    instructions: float
    doubles: float
    bytes: float
    products: float = 0.0


def work(call: Call, double: bool) -> Work:
    """Return the cost of a call."""
    screened = double and call.screened and call.name != "store_points"
    products = call.products and call.name != "store_points"

    def priced(unit: str, count: float, rows: float = 0) -> Work:
        price, total = PRICES[unit][double], count / max(1, rows)
        if screened or products:
            price = (PRODUCTS if products else SCREENED).get(unit, price)
        if unit in AGAIN and rows and (screened or products or not double):
            count += rows * sample(rows, total)
        instructions = count * (price.pair + price.feature * call.m)
        found = Work(instructions, instructions * price.doubles, count * price.bytes)
        if products and unit in PRODUCTS:
            moved = count * call.m * WORDS + (call.n * call.m * ROUNDING if rows else 0)
            found = found._replace(bytes=found.bytes + moved, products=count * 16 * ceil(call.m / 16))
        if unit not in AGAIN or not rows or (double and not screened):
            return found
        times, more = again(rows, total), AGAIN[unit]
        return Work(
            found.instructions + times * (more.pair + more.feature * call.m) + HIT * hits(rows, total),
            found.doubles + times * more.doubles * call.m * double,
            found.bytes + times * more.bytes * call.m,
            found.products,
        )

    n, left = call.n, call.left
    if call.name == "nearest":
        return priced("nearest", n * n, n) if screened or products else priced("nearest", n * n / 2)
    if call.name == "nearest_outside":
        return priced("outside", call.rows * n, call.rows if screened or products else 0)
    if call.name == "knn":
        slab, listed = priced("slab", n * n), n * LISTED * call.m
        if not (screened or products):
            chosen = n * selection(n)
            return Work(slab.instructions + chosen, slab.doubles + 0.3 * double * chosen, slab.bytes)
        instructions = slab.instructions + n * (selection(n) + 1e5) + 23 * listed
        moved = slab.bytes + (32 if double else 16) * listed + n * call.m * ROUNDING
        return Work(instructions, 3 * listed * double, moved, slab.products)
    if call.name == "nearest_among":
        return priced("between", call.pairs)
    if call.name == "store_clusters":
        return priced("aggregate", call.pairs)
    if call.name == "store_points":
        return priced("slab", n * n / 2)
    if call.name == "stored.merge":
        return priced("merge", (n * n + left * left) / 2)
    if call.name == "summaries.merge":
        asked, others = priced("search", call.rows * left, call.rows), priced("search", call.pairs)
        return Work(*(one + other for one, other in zip(asked, others, strict=True)))
    return Work(0, 0, 0)  # a chain: steps, not work


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
        if call.name == "store_clusters":
            launches += 2 * ceil(call.pairs * (8 if double else 4) / SLAB)
        computed = max(asked.instructions, asked.doubles * card.double) / card.rate
        seconds += max(computed, asked.bytes / card.bandwidth, asked.products / card.products)
        seconds += launches * LAUNCH + waited * WAIT
        if call.name.endswith(".chain"):
            seconds += call.merged * 4 * STEP
        moved += asked.bytes
        waits += waited
        rounds += 1
    return Cost(seconds, moved, rounds, waits)


def calls_of(n: int, m: int, method: str, double: bool, metric: str = "euclidean") -> list[Call]:
    """Return the calls of a linkage of n Gaussian points, scaled up from a run of at most MOST points.

    Of fewer with very many features.
    """
    size = min(n, MOST, max(3000, MOST * 64 // m))
    traced = TracedBackend(select("cpu"))
    X = np.random.default_rng(0).normal(size=(size, m))
    with compiling():
        dtype = "float64" if double else "float32"
        compute(X, method, metric, device="cpu", dtype=dtype, backend=traced)  # type: ignore[arg-type]
    k = n / size
    return [scaled(call, k) for call in traced.calls]


def scaled(call: Call, k: float) -> Call:
    """Scale a call to ``k`` times as many clusters; the number of the last rounds' clusters stays the same.

    The lists of neighbours are as long as before, so the pairs on them grow with k, all pairs with k².
    """
    if call.name.endswith(".chain"):
        return call
    sizes: dict[str, Any] = {name: int(getattr(call, name) * k) for name in ("n", "rows", "left", "merged")}
    return call._replace(**sizes, pairs=int(call.pairs * (k if call.name == "nearest_among" else k * k)))


#: What the peers' authors measured on an RTX 3080, and what is asked of us.
ASKED = (
    (20_000, 32, "ward"),
    (100_000, 32, "ward"),
    (20_000, 32, "complete"),
    (20_000, 32, "average"),
    (1_000_000, 32, "single"),
    (1_000_000, 64, "single"),
    (100_000, 64, "complete"),
    (100_000, 768, "average cosine"),
)


def main() -> None:
    arguments = sys.argv[1:]
    cases = [(int(n), int(m), name) for n, m, name in zip(*[iter(arguments)] * 3, strict=True)] or list(ASKED)
    table = Table("n", "m", "linkage", "dtype", *(card.name for card in CARDS), "bytes / n²", "calls", "waits a call")
    for n, m, method in cases:
        for double in (False, True):
            calls = calls_of(n, m, *method.split()[:1], double, *method.split()[1:])
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
