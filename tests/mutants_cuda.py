"""Planted bugs in kernels of CUDA, found by tests in Numba's simulator: ``python tests/mutants_cuda.py [--only NAME]``.

Each is planted in a copy of the package, in which the tests named with it must fail; see `mutants.py`.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutants import Copy
from mutants_list import Mutant

NAMES = "screen", "products", "components", "boxes"
SCREEN, PRODUCTS, COMPONENTS, BOXES = (f"tests/test_cuda_{name}.py" for name in NAMES)
UNIONS = "tests/test_unions.py"
#: Planted bugs, and the tests that are to find each.
MUTANTS = [
    (
        Mutant(
            "screen_other_weight",
            "kernels/cuda/screen_kernels.py",
            "return square <= fma(most, y, mul(most, x))",
            "return square <= mul(most, x)",
            "what the other cluster's weight adds to a limit is left out",
        ),
        (SCREEN, PRODUCTS, "several_points"),
    ),
    (
        Mutant(
            "screen_scatter",
            "kernels/cuda/screen_kernels.py",
            "return square <= (most - x) - y",
            "return square <= (most - x) - (y + y)",
            "scatter counts twice",
        ),
        (SCREEN, PRODUCTS, "centroids or linkages"),
    ),
    (
        Mutant(
            "screen_own",
            "kernels/cuda/screen_kernels.py",
            " & np.uint32(1) and own_there[x0 + SIDE * j] != label:",
            " & np.uint32(1):",
            "a cluster is its own nearest",
        ),
        (SCREEN, "bits_of_float64"),
    ),
    (
        Mutant(
            "screen_reach_once",
            "kernels/cuda/screen_kernels.py",
            "np.int32(corner + at)\n                reached[thread] = min(reached[thread], loosened(rounded(best * scale), slack, growth))",
            "np.int32(corner + at)\n                reached[thread] = min(reached[thread], rounded(best * scale))",
            "what is nearer by less than the error of the screen is left out",
        ),
        (SCREEN, "bits_of_float64"),
    ),
    (
        Mutant(
            "screen_minima_not_loosened",
            "kernels/cuda/screen_kernels.py",
            "reached[thread] = min(reached[thread], loosened(far, slack, growth))",
            "reached[thread] = min(reached[thread], below)",
            "the nearest by the screen is taken for the nearest",
        ),
        (SCREEN, PRODUCTS, "bits_of"),
    ),
    (
        Mutant(
            "lists_certain",
            "kernels/cuda/neighbours.py",
            "certain[row] = rough[row, count - 1] > loosened(farthest, slack[own], growth)",
            "certain[row] = True",
            "lists are taken as they are where distances are nearly equal",
        ),
        (SCREEN, "lists_of_neighbours"),
    ),
    (
        Mutant(
            "halves_spread",
            "kernels/cuda/halves.py",
            "SPREAD = 1100.0",
            "SPREAD = 500.0",
            "the slack for rounded coordinates is too small",
        ),
        (PRODUCTS, "slack_of_rests"),
    ),
    (
        Mutant(
            "halves_added",
            "kernels/cuda/halves.py",
            "ADDED, UNIT = 3 * 2.0**-24, 2.0**-24",
            "ADDED, UNIT = 2.0**-24, 2.0**-24",
            "sums of products are taken to be rounded as those of float32",
        ),
        (PRODUCTS, "error_of_products"),
    ),
    (
        Mutant(
            "halves_subnormal",
            "kernels/cuda/halves.py",
            "if abs(seen) < SMALLEST:",
            "if abs(seen) < 0:",
            "numbers below the smallest normal one are kept",
        ),
        (PRODUCTS, "halves_are"),
    ),
    (
        Mutant(
            "halves_second_parts",
            "kernels/cuda/halves.py",
            "apart = (sqrt(apart) + mul(eps, total)) * ROUNDED",
            "apart = sqrt(apart) * ROUNDED",
            "second parts of centroids are not in the rest",
        ),
        (PRODUCTS, "halves_are"),
    ),
    (
        Mutant(
            "halves_largest",
            "kernels/cuda/side_kernels.py",
            "unit = rest[x] + bits(most[1])",
            "unit = rest[x]",
            "the other point's rounding is left out of the slack",
        ),
        (PRODUCTS, "slack_of_rests"),
    ),
    (
        Mutant(
            "sides_weight",
            "kernels/cuda/side_kernels.py",
            "part[x] = rounded(0.5 / geometric(",
            "part[x] = rounded(0.25 / geometric(",
            "the weight of clusters is twice theirs",
        ),
        (SCREEN, PRODUCTS, "several_points"),
    ),
    (
        Mutant(
            "sides_label",
            "kernels/cuda/side_kernels.py",
            "own[k] = label[x] if label.size > 0 else x",
            "own[k] = x",
            "points are compared with those of their component",
        ),
        (PRODUCTS, "bits_of_searches"),
    ),
    (
        Mutant(
            "sides_sample",
            "kernels/cuda/side_kernels.py",
            "reach[k] = min(reach[k], loosened(loosened(low, slack[k], growth), slack[k], growth))",
            "reach[k] = min(reach[k], low)",
            "the nearest by the screen of a sample is taken for the nearest",
        ),
        (PRODUCTS, "bits_of"),
    ),
    (
        Mutant(
            "sides_tie",
            "kernels/cuda/side_kernels.py",
            "if place >= 0 and low < held[rows[place]]:",
            "if place >= 0 and low <= held[rows[place]]:",
            "of equally near clusters the new one is taken",
        ),
        (SCREEN, "as_near_as"),
    ),
    (
        Mutant(
            "rows_by_id",
            "kernels/cuda/summary_rows.py",
            "for old in order:",
            "for old in range(nearest.size):",
            "of equally near clusters the first row is taken, not the smallest id",
        ),
        (PRODUCTS, "ties or equal"),
    ),
    (
        Mutant(
            "boxes_part",
            "kernels/cuda/side_kernels.py",
            "boxes[2 * m, tile] = low if spread else high",
            "boxes[2 * m, tile] = high if spread else low",
            "of a tile the largest cluster bounds dissimilarities, not the smallest",
        ),
        (BOXES, "rounds_by_boxes and graded"),
    ),
    (
        Mutant(
            "boxes_first_row",
            "kernels/cuda/screen_kernels.py",
            "most = max(most, reached[i])",
            "most = min(most, reached[i])",
            "tiles are left out that are too far for some row only",
        ),
        (BOXES, "rounds_by_boxes and graded"),
    ),
    (
        Mutant(
            "boxes_ties",
            "kernels/cuda/screen_kernels.py",
            "best, which = smaller(best, which, nearest, label_G[min(corner + at, n - 1)])",
            "best, which = (nearest, label_G[min(corner + at, n - 1)]) if nearest < best else (best, which)",
            "of equally near clusters the one in the nearest box is taken",
        ),
        (BOXES, "rounds_by_boxes and grid"),
    ),
    (
        Mutant(
            "boxes_ties_within",
            "kernels/cuda/summaries.py",
            "label = xp.take(label, xp.lexsort(xp.stack((label, xp.arange(many) // size))))",
            "many, size = many, size",
            "of equally near clusters of a tile the first one by place is taken",
        ),
        (BOXES, "rounds_by_boxes and grid"),
    ),
    (
        Mutant(
            "boxes_group",
            "kernels/cuda/screen_kernels.py",
            "begin += chunks * THREADS",
            "begin += 2 * chunks * THREADS",
            "every other group of tiles is left out",
        ),
        (BOXES, "rounds_by_boxes and float32"),
    ),
    (
        Mutant(
            "tree_tie",
            "kernels/cuda/component_kernels.py",
            "(min(x, y) << POINT) | max(x, y)",
            "(max(x, y) << POINT) | min(x, y)",
            "of equally long edges another one is taken",
        ),
        (COMPONENTS, "grid or equal"),
    ),
    (
        Mutant(
            "tree_limit",
            "kernels/cuda/component_kernels.py",
            "joined and distance[x] <= limit[component[x]]",
            "joined and distance[x] < limit[component[x]]",
            "points whose edge may be as short are not searched again",
        ),
        (COMPONENTS, "grid or equal"),
    ),
    (
        Mutant(
            "tree_mutual",
            "kernels/cuda/component_kernels.py",
            "kept[c] = not mutual or c < other",
            "kept[c] = c < other",
            "edges to smaller components are lost",
        ),
        (COMPONENTS, "normal"),
    ),
    (
        Mutant(
            "tree_zeros",
            "kernels/cuda/components.py",
            "(self.distance + self.dtype.type(0))",
            "self.distance",
            "a negative zero is nearer than a zero",
        ),
        (COMPONENTS, "zeros_of_both_signs"),
    ),
    (
        Mutant(
            "rows_searched",
            "kernels/cuda/summary_rows.py",
            "searched += near[row] < 0",
            "searched += near[row] <= 0",
            "rows are searched whose nearest still exists, and others are not",
        ),
        (UNIONS, "gpu_searches"),
    ),
    (
        Mutant(
            "rows_sizes",
            "kernels/cuda/summaries.py",
            "self.low, self.sizes, self.scatter, self.held = features, low, rows.size, scatter, held",
            "self.low, self.scatter, self.held = features, low, scatter, held",
            "sizes are those of the points",
        ),
        (PRODUCTS, "ties or equal"),
    ),
    (
        Mutant(
            "rows_chain",
            "kernels/cuda/summaries.py",
            "        self.sizes = sizes[:n]\n",
            "        self.sizes = self.sizes.copy()\n",
            "a chain's unions have the sizes of their first parts",
        ),
        ("tests/test_cuda_linkage.py", "chains_between"),
    ),
    (
        Mutant(
            "union_once",
            "gpuclust/algorithms/unions.py",
            "kept += not (mutual and other < row)",
            "kept += not (mutual and other <= row + 1)",
            "unions of neighbouring rows are dropped",
        ),
        (UNIONS, "one_pass"),
    ),
    (
        Mutant(
            "union_size",
            "gpuclust/algorithms/unions.py",
            "            if counted:\n",
            "            if True:\n",
            "sizes are added where linkages count none",
        ),
        (UNIONS, "one_pass"),
    ),
    (
        Mutant(
            "union_finite",
            "gpuclust/algorithms/unions.py",
            "wrong += not abs(distance[row]) < np.inf",
            "wrong += not distance[row] < np.inf",
            "a dissimilarity of minus infinity is taken",
        ),
        (UNIONS, "not_finite"),
    ),
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Planted bugs that the simulator must find; the exit code is 1 if not."
    )
    parser.add_argument("--only", default="", help="mutants with this in their name")
    only = parser.parse_args(arguments).only
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        copy.environment["NUMBA_ENABLE_CUDASIM"] = "1"
        for mutant, (*files, wanted) in MUTANTS:
            if only not in mutant.name:
                continue
            tests = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-m", "emulated", "-k", wanted, *files]
            started = time.monotonic()
            wrong = copy.survives(mutant, lambda _, tests=tests: copy.says(tests))
            survived += wrong is None
            seconds = time.monotonic() - started
            print(
                f"{'killed' if wrong else 'SURVIVED':9} {mutant.name} ({seconds:.0f} s): {wrong or mutant.breaks}",
                flush=True,
            )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
