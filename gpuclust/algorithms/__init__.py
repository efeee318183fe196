"""Algorithms, each written once for all devices on the primitives of `gpuclust.backends`."""

from gpuclust.algorithms.generic import greedy as greedy
from gpuclust.algorithms.spanning_tree import boruvka as boruvka
from gpuclust.algorithms.spanning_tree import prim as prim
from gpuclust.algorithms.stored import from_matrix as from_matrix
from gpuclust.algorithms.stored import from_points as from_points
from gpuclust.algorithms.stored import from_summaries as from_summaries
