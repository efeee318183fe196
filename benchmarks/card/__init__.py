"""One bounded run on a machine with a GPU: ``python -m benchmarks card --seconds 540 --out DIR``.

Needs Python with numba-cuda and CuPy, and no make, network or virtual environment. Each stage is a process with a
time limit of its own, writes its results line by line as it goes, and is stopped with all its children at its limit;
a stage that fails stops nothing. ``python -m benchmarks card --report DIR`` makes docs/gpu-measured.md of them, and
``--expect`` computes on a CPU, beforehand, the heights that a GPU's are compared with.
"""
