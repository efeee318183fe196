"""Compiled kernels: implementations of the backend protocol for ``cpu``, ``cuda`` and ``reference``.

This folder stands at the top of the repository and installs as ``gpuclust.kernels``.
"""

if __name__ == "kernels":
    raise ImportError(
        "'kernels' is not a package of its own: it installs as gpuclust.kernels. Write `import gpuclust.kernels` "
        "(after `pip install -e .` in the repository)."
    )
