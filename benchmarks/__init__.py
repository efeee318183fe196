"""Benchmarks of gpuclust and other programs, with checks of their results. See README.md."""
