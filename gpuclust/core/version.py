"""The version, which is written down in pyproject.toml only."""

from importlib.metadata import version

__version__ = version("gpuclust")
