"""Arrays in the memory of a device, by the CUDA array interface or DLPack, without a copy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from gpuclust.core.devices import emulated


def from_interface(x: Any) -> Any:
    """The device array on the memory of ``x``, which has ``__cuda_array_interface__``.

    CuPy waits for the stream that the interface names. Emulated, the pointer is one of the host, and NumPy reads it.
    """
    if emulated():
        return np.asarray(_OnHost(x))
    xp = import_module("cupy")
    if isinstance(x, xp.ndarray):
        return x
    pointer = x.__cuda_array_interface__["data"][0]
    if pointer == 0:  # of an array without entries
        return xp.asarray(x)
    with xp.cuda.Device(xp.cuda.runtime.pointerGetAttributes(pointer).device):  # on another one it would be copied
        return xp.asarray(x)


def from_dlpack(x: Any) -> Any:
    """The device array on the memory of ``x``, which has ``__dlpack__`` and ``__dlpack_device__``."""
    return (np if emulated() else import_module("cupy")).from_dlpack(x)


class _OnHost:
    """Adapter from the CUDA array interface, of host memory, to NumPy's; keeps the owner alive."""

    def __init__(self, owner: Any) -> None:
        given = owner.__cuda_array_interface__
        if given.get("mask") is not None:
            raise ValueError("Arrays with a mask are not supported.")
        self.owner = owner
        names = ("shape", "typestr", "data", "strides", "descr")
        self.__array_interface__ = {name: given[name] for name in names if name in given} | {"version": 3}
