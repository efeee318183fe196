"""A fake machine with CUDA devices, for tests of host code: devices, a CuPy of NumPy arrays, and a backend.

Its device arrays refuse implicit conversion to NumPy arrays, like CuPy's, and count the copies of points to the host.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cupy_signatures import SIGNATURES

from gpuclust.core import devices
from gpuclust.core.device import Device
from gpuclust.core.devices import Card
from gpuclust.core.points import Points

H200 = Card(0, "H200", (9, 0), 141 * 10**9, 132, 1.98e9, 4.8e12)
GAMES = Card(1, "RTX 3080", (8, 6), 10 * 10**9, 68, 1.71e9, 7.6e11)


def place(data: np.ndarray) -> np.ndarray:
    """The memory of a device array: any. See `cuda_driver/machine.py`, which replaces this."""
    return data


class _Memory(np.ndarray):
    """An array with its address: `cupy.ndarray.data`."""

    @property
    def ptr(self) -> int:
        return int(self.__array_interface__["data"][0])


class DeviceArray:
    """Substitute for `cupy.ndarray`, as far as host code needs it."""

    fetched = 0  # times that points were brought to the host; one number a point, as a result is, may be

    def __init__(self, data: Any, device: int = 0) -> None:
        self.data = place(np.asarray(data)).view(_Memory)
        self.device = _Device(device)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("NumPy's functions are not for device arrays.")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.data.__array_interface__, "version": 3}

    def get(self, stream: Any = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        DeviceArray.fetched += self.data.ndim > 1
        if out is None:
            return np.array(self.data)
        assert (out.dtype, out.shape) == (self.data.dtype, self.data.shape)
        assert out.flags.c_contiguous  # or CuPy raises RuntimeError
        assert self.data.flags.c_contiguous
        out[...] = self.data
        return out

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        assert array.dtype == self.data.dtype
        assert array.flags.c_contiguous
        assert array.shape == self.data.shape
        self.data[...] = array

    def __float__(self) -> float:
        return float(self.data)

    def item(self) -> Any:
        return self.data.item()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.data, name)
        if isinstance(value, np.ndarray):
            return self._wrap(value)
        if name in ("min", "max", "sum", "all", "any", "argmin", "astype", "reshape", "ravel", "copy", "view"):
            return lambda *args, **kwargs: self._wrap(value(*args, **kwargs))
        return value

    def _wrap(self, value: Any) -> DeviceArray:
        return DeviceArray(value, self.device.id)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self._wrap(part) for part in self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __setitem__(self, where: Any, value: Any) -> None:
        self.data[where] = value.data if isinstance(value, DeviceArray) else value

    def __getitem__(self, where: Any) -> DeviceArray:
        assert not isinstance(where, np.ndarray), "indices must be on the device"
        return self._wrap(self.data[where.data if isinstance(where, DeviceArray) else where])


def _operator(name: str) -> Any:
    def apply(self: DeviceArray, *others: Any) -> DeviceArray:
        values = (other.data if isinstance(other, DeviceArray) else other for other in others)
        return DeviceArray(getattr(self.data, name)(*values), self.device.id)

    return apply


for _name in (
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "mod",
    "pow",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "and",
    "or",
    "invert",
    "neg",
    "abs",
    "iand",
    "xor",
    "rshift",
):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))


class _Device:
    """`cupy.cuda.Device`: the current one inside a with block."""

    current: int | None = None

    def __init__(self, index: int) -> None:
        self.id = index

    def __enter__(self) -> None:
        self._before, _Device.current = _Device.current, self.id

    def __exit__(self, *error: Any) -> None:
        _Device.current = self._before


class Stream:
    """`cupy.cuda.Stream`; ``waited`` holds the streams whose work this one has waited for."""

    current: Stream
    made = 0

    def __init__(self, null: bool = False) -> None:
        Stream.made += 0 if null else 1
        self.ptr = 0 if null else 0x4000 + 16 * Stream.made
        self.waited: list[Stream] = []

    def __enter__(self) -> Stream:
        self._before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *error: Any) -> None:
        Stream.current = self._before

    def record(self) -> Stream:
        return self

    def wait_event(self, event: Stream) -> None:
        self.waited.append(event)


Stream.current = Stream(null=True)

#: Functions that take arrays of the host.
_FROM_HOST = ("array", "asarray", "ascontiguousarray", "from_dlpack")


def _function(name: str, signature: str) -> Any:
    """A function of CuPy that computes with NumPy. Like CuPy's, it takes device arrays only."""
    scope: dict[str, Any] = {}
    exec(f"def {name}{signature}: return locals()", scope)

    def bare(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.ndim and name not in _FROM_HOST:
            raise TypeError(f"cupy.{name}: unsupported type {type(value)}")
        if isinstance(value, tuple | list):
            return type(value)(map(bare, value))
        return value.data if isinstance(value, DeviceArray) else value

    def call(*args: Any, **kwargs: Any) -> Any:
        scope[name](*args, **kwargs)  # raises a TypeError for arguments that CuPy's does not have
        if name == "lexsort" and not isinstance(args[0], DeviceArray):
            raise TypeError("cupy.lexsort takes one array")
        found = getattr(np, name)(*map(bare, args), **{key: bare(value) for key, value in kwargs.items()})
        return DeviceArray(found, _Device.current or 0)

    return call


def _cupy() -> types.ModuleType:
    module = types.ModuleType("cupy")
    for name, signature in SIGNATURES.items():
        setattr(module, name, _function(name, signature))
    module.ndarray = DeviceArray
    module.asnumpy = lambda array: array.get()
    runtime = types.SimpleNamespace(
        getDevice=lambda: _Device.current or 0,
        memGetInfo=lambda: (10**9, 10**9),
        runtimeGetVersion=lambda: 13000,
        pointerGetAttributes=lambda pointer: types.SimpleNamespace(device=1),
    )
    module.cuda = types.SimpleNamespace(
        Device=_Device, runtime=runtime, Stream=Stream, get_current_stream=lambda: Stream.current
    )
    module.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    return module


class FakeCuda:
    """The CPU backend in the guise of a card's; it insists on being the active one."""

    def __init__(self, index: int) -> None:
        self.cpu = importlib.import_module("gpuclust.kernels.cpu.backend").backend()
        self.index = index
        self.name = Device(f"cuda:{index}")

    def active(self) -> Any:
        return _Device(self.index)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("square_of"):  # as on a GPU: there are no square arrays
            return lambda *_: None
        primitive = getattr(self.cpu, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            assert _Device.current == self.index, f"{name} outside of active()"
            machine.calls.append((self.name, name))
            return primitive(*map(_on_host, args), **kwargs)

        return call


def _on_host(value: Any) -> Any:
    """Device memory as a kernel sees it. Copies that it makes are not counted."""
    if isinstance(value, Points):
        machine.kept.append(isinstance(value.features, DeviceArray))
        return replace(value, features=_on_host(value.features))
    return value.data if isinstance(value, DeviceArray) else value


@dataclass
class Machine:
    """The events on the fake machine.

    Attributes
    ----------
    calls : primitives called, with the device
    kept : for each primitive that took points, whether they were on the device already
    """

    calls: list[tuple[str, str]] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)


machine = Machine()


def install(patch: Any, cards: tuple[Card, ...] = (H200, GAMES), memory: int = 10**10) -> Machine:
    """Install these GPUs, with this free memory, and CuPy, until pytest's monkeypatch is undone."""
    for name in ("NUMBA_ENABLE_CUDASIM", "GPUCLUST_CUDA_EMULATION"):
        patch.delenv(name, raising=False)
    patch.setattr(devices, "missing", lambda: None)
    patch.setattr(devices, "cards", lambda: cards)
    patch.setattr(devices, "_driver", lambda process: (13000, cards, None))
    patch.setitem(sys.modules, "cupy", _cupy())
    module = types.ModuleType("fake_cuda_backend")
    module.backend = FakeCuda  # type: ignore[attr-defined]
    patch.setitem(sys.modules, module.__name__, module)
    patch.setitem(importlib.import_module("gpuclust.core.backend").REGISTRY, "cuda", module.__name__)
    plan, layout = (importlib.import_module(f"gpuclust.{name}") for name in ("plan", "core.sizes"))
    available, stored = plan._available, layout.stored_bytes
    patch.setattr(plan, "_available", lambda at: memory if "cuda" in at else available(at))
    for user in ("plan", "algorithms.base", "algorithms.stored", "algorithms.cluster_tree"):
        module = importlib.import_module(f"gpuclust.{user}")
        patch.setattr(module, "stored_bytes", lambda clusters, dtype, device=None: stored(clusters, dtype))
    machine.__init__()  # type: ignore[misc]
    DeviceArray.fetched = 0
    return machine
