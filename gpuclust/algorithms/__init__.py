"""Algorithms, each written once for all devices on the primitives of `gpuclust.core.backend`; `table` lists them."""
