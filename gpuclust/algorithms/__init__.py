"""Algorithms, each written once for all devices on the primitives of `gpuclust.backends`; `table` lists them."""
