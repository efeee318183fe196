"""Timings of gpuclust beside its peers: check, then time. See README.md."""
