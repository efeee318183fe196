"""Declaration and launch of CUDA kernels; the only module that depends on whether there is a device.

Three ways to run, decided by the environment when this module is imported:

* on a device: device arrays are CuPy's, on CuPy's current device and stream;
* ``NUMBA_ENABLE_CUDASIM=1``: Numba's simulator runs kernels as Python threads;
* ``GPUCLUST_CUDA_EMULATION=1``: a substitute for ``numba.cuda`` runs compiled kernels on host memory.

In the last two device arrays are NumPy arrays and CuPy is not imported. The simulator is slow, so tiles are small
there. Everything else is the same: kernels, algorithms, and the checks of what is passed to them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property, wraps
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import devices
from gpuclust.core.closures import named, stamp
from gpuclust.core.devices import numba_cuda
from gpuclust.core.disk_cache import protect
from gpuclust.core.sizes import tiles_on_gpu
from gpuclust.kernels.cuda.direct import Launcher

__all__ = ["EMULATED", "SIMULATED", "Kernel", "cuda", "device", "kernel", "named", "stamp", "types", "xp"]

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
EMULATED = SIMULATED or os.environ.get("GPUCLUST_CUDA_EMULATION", "0") not in ("", "0")

_cuda = numba_cuda()  # the simulator is chosen when it is imported

from numba.cuda import types  # noqa: E402
from numba.cuda.extending import register_jitable  # noqa: E402


class _SimulatedCuda:
    """``numba.cuda`` inside a simulated kernel, for functions of every module.

    The simulator itself replaces the name only in the module of the kernel.
    """

    def __init__(self) -> None:
        self._simulator = numba_cuda("numba.cuda.simulator.kernel")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator._get_kernel_context() or _cuda, name)


#: The module ``cuda`` for kernels: always import it from here.
cuda: Any = _SimulatedCuda() if SIMULATED else _cuda

#: Threads of a block, and side of the square in which distance kernels arrange them.
THREADS = 16 if SIMULATED else 256
SIDE = 4 if SIMULATED else 16
#: Side of a tile of the stored layout.
TILE = tiles_on_gpu()

INT = types.int64
#: The oldest compute capability that kernels are for, unless they say another one.
OLDEST = (7, 5)


def real(dtype: Any) -> Any:
    """Numba's type for float32 or float64."""
    return types.float32 if np.dtype(dtype) == np.float32 else types.float64


def device(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for kernels to call. May use ``cuda``. Give closures a name of their own first."""
    return function if SIMULATED else register_jitable(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `device`, for a function of local arrays, which stay in registers only if Numba itself inlines it.

    It is inlined before types are inferred. (`register_jitable(inline="always")` does that afterwards, gives the same
    instructions, and takes twice as long: it also compiles the function by itself.)
    """
    return function if SIMULATED else _cuda.jit(device=True, inline="always")(function)


class Kernel:
    """A compiled kernel with one signature, and how many threads a block of it has.

    Call it with the number of blocks and the arguments; numbers are converted to the types of the signature. Nothing
    is launched for no blocks. A launch is asynchronous.
    """

    def __init__(
        self,
        function: Callable[..., None],
        signature: tuple[Any, ...],
        threads: int = THREADS,
        resident: int = 1,
        cooperative: bool = False,
        oldest: tuple[int, int] = OLDEST,
    ) -> None:
        self.function = function
        self.signature = signature
        self.threads = threads
        self.resident = resident
        self.cooperative = cooperative
        self.oldest = oldest

    @property
    def name(self) -> str:
        return self.function.__name__

    @cached_property
    def compiled(self) -> Any:
        if SIMULATED:
            return _cuda.jit(_quiet(self.function))
        return protect(_cuda.jit(cache=True, launch_bounds=(self.threads, self.resident))(self.function))

    @cached_property
    def takes(self) -> list[tuple[np.dtype | None, Any]]:
        """Of every argument the type of its elements, if it is an array, and dimensions, or how to convert it."""
        return [
            (np.dtype(str(kind.dtype)), kind.ndim) if isinstance(kind, types.Array) else (None, _SCALARS[kind])
            for kind in self.signature
        ]

    @cached_property
    def launcher(self) -> Any:
        """A `Launcher`; None: Numba launches."""
        if EMULATED or not Launcher.possible():
            return None
        return Launcher(self.compiled, self.signature, self.threads, self.cooperative)

    def __call__(self, blocks: int, *arguments: Any) -> None:
        if blocks == 0:
            return
        if len(arguments) != len(self.signature):
            raise TypeError(f"{self.name} takes {len(self.signature)} arguments, got {len(arguments)}.")
        counts["launches"] += 1
        passed = list(arguments)
        for place, (dtype, how) in enumerate(self.takes):
            if dtype is None:
                passed[place] = how(passed[place])
            else:
                _check(passed[place], dtype, how, self.signature[place], self.name)
        if self.launcher is not None:
            # (cuda.core refuses NumPy's integers as numbers of blocks.)
            self.launcher(int(blocks), current_index(), xp.cuda.get_current_stream().ptr, _stream, passed)
            return
        if EMULATED:
            launched.setdefault(self.name, self)
        else:
            passed = [
                value if isinstance(value, np.generic) else _cuda.as_cuda_array(value, sync=False) for value in passed
            ]
        with _one_at_a_time if SIMULATED else nullcontext():
            _configured(self.compiled, blocks, self.threads)(*passed)

    def most_blocks(self) -> int:
        """Blocks of a cooperative launch that can run at once."""
        if SIMULATED:
            return 1
        definition = self.compiled
        if not definition.overloads:
            definition.compile(self.signature)
        return int(next(iter(definition.overloads.values())).max_cooperative_grid_blocks(self.threads))


def kernel(
    *signature: Any,
    threads: int = THREADS,
    resident: int = 1,
    cooperative: bool = False,
    oldest: tuple[int, int] = OLDEST,
) -> Callable[[Callable[..., None]], Kernel]:
    """Declare a kernel: types of its arguments, threads a block, blocks that should fit on a multiprocessor at once.

    ``oldest`` is the lowest compute capability that it is for. A kernel that calls ``cuda.cg.this_grid().sync()`` is
    cooperative, and launched with at most `Kernel.most_blocks`.
    """

    def declare(function: Callable[..., None]) -> Kernel:
        return Kernel(function, signature, threads, resident, cooperative, oldest)

    return declare


def _quiet(function: Callable[..., None]) -> Callable[..., None]:
    """Silence NumPy's warnings in simulated threads, since arithmetic on a device gives none."""

    @wraps(function)
    def simulated(*arguments: Any) -> None:
        with np.errstate(all="ignore"):
            function(*arguments)

    return simulated


#: Launches, transfers and bytes moved since the start; ``counts["downloads"]`` are those the host waits for.
counts: Counter[str] = Counter()
#: The simulator runs one kernel at a time.
_one_at_a_time = threading.Lock()
_configuring = threading.Lock()
#: Kernels launched so far, when emulated: tests compare them with the catalogue.
launched: dict[str, Kernel] = {}

_SCALARS: dict[Any, Callable[[Any], Any]] = {
    types.int64: np.int64,
    types.int32: np.int32,
    types.float64: np.float64,
    types.float32: np.float32,
    types.boolean: np.bool_,
}


def _check(value: Any, dtype: np.dtype, dimensions: int, kind: Any, name: str) -> None:
    """The type of an array must be that of the signature."""
    if value.dtype != dtype or value.ndim != dimensions or not value.flags.c_contiguous:
        raise TypeError(f"{name} takes {kind}, got a {value.ndim}-dimensional array of {value.dtype}.")


def _configured(compiled: Any, blocks: int, threads: int) -> Any:
    """A kernel with its launch configuration, without Numba's warning of grids below 128 blocks, as small data have.

    The setting is that of the process, so it is put back. (cuda.core refuses NumPy's integers as numbers of blocks.)
    """
    if EMULATED:
        return compiled[blocks, threads, 0]
    config = numba_cuda("numba.cuda.dispatcher").config
    with _configuring:
        before = config.CUDA_LOW_OCCUPANCY_WARNINGS
        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
        try:
            return compiled[int(blocks), threads, _stream()]
        finally:
            config.CUDA_LOW_OCCUPANCY_WARNINGS = before


#: Handles of the null stream, the legacy default stream, and the default stream of a thread (cuda.h).
_DEFAULT_STREAMS = (0, 1, 2)
#: The stream of each thread, by device.
_own_streams = threading.local()


def _stream() -> Any:
    """CuPy's current stream."""
    pointer = xp.cuda.get_current_stream().ptr
    return _cuda.external_stream(pointer) if pointer else 0


class _Lazy:
    """The array module: CuPy, imported when first used, or NumPy."""

    def __getattr__(self, name: str) -> Any:
        if EMULATED:
            return getattr(np, name)
        import cupy

        return getattr(cupy, name)


#: Array functions on the device. Keep their number small: memory, sorting, scans, gathers.
xp: Any = _Lazy()


def empty(shape: int | tuple[int, ...], dtype: Any) -> Any:
    """A new device array, from CuPy's pool, or from the emulator, which tracks its allocations."""
    if EMULATED and not SIMULATED:
        return _cuda.device_array(shape, dtype)
    return xp.empty(shape, dtype)


def full(shape: int | tuple[int, ...], value: Any, dtype: Any) -> Any:
    array = empty(shape, dtype)
    array[...] = value
    return array


#: Bytes up to which an array is uploaded through page-locked memory. CuPy copies it there as a whole, and keeps that
#: memory, so larger arrays would be twice on the host; those go through the driver's own buffer.
STAGED = 1 << 22


def upload(array: Any) -> Any:
    """A copy on the device; an array that is there already as it is."""
    if not isinstance(array, np.ndarray):
        return array
    counts["uploads"] += 1
    counts["bytes up"] += array.nbytes
    if EMULATED:
        copy = empty(array.shape, array.dtype)
        copy[...] = array
        return copy
    array = np.ascontiguousarray(array)
    if array.nbytes <= STAGED:
        return xp.asarray(array)
    there = xp.empty(array.shape, array.dtype)
    there.set(array, xp.cuda.get_current_stream())
    return there


class Together:
    """Vectors that are parts of the same memory, so that one transfer uploads all.

    ``parts`` are those on the host: some of integers, and then one of another type.
    """

    def __init__(self, integers: Sequence[int], numbers: int, dtype: Any) -> None:
        self._ends = list(accumulate(integers))
        self._numbers, self._dtype = numbers, np.dtype(dtype)
        self._whole = np.empty(self._ends[-1] + -(-numbers * self._dtype.itemsize // 8), np.int64)
        self.parts: list[Any] = self._divided(self._whole)

    def upload(self) -> list[Any]:
        """Copies of the parts on the device."""
        return self._divided(upload(self._whole))

    def _divided(self, whole: Any) -> list[Any]:
        parts, begin = [], 0
        for end in self._ends:
            parts.append(whole[begin:end])
            begin = end
        return [*parts, whole[begin:].view(self._dtype)[: self._numbers]]


def current_index() -> int:
    """Number of the current device."""
    return 0 if EMULATED else int(xp.cuda.runtime.getDevice())


_resident: dict[tuple[int, int], tuple[weakref.ref[np.ndarray], Any]] = {}


def resident(array: Any) -> Any:
    """A copy on the device that lives as long as ``array``, which must not be changed."""
    if not isinstance(array, np.ndarray):
        return array
    key = (id(array), current_index())
    known = _resident.get(key)
    if known is None or known[0]() is not array:
        known = weakref.ref(array, lambda _: _resident.pop(key, None)), upload(array)
        _resident[key] = known
    return known[1]


def download(array: Any, out: np.ndarray | None = None) -> np.ndarray:
    """A copy on the host, in ``out`` if that is given; the host waits for it.

    The driver writes straight to ``out`` where it stands in C order and has the type of the array.
    """
    counts["downloads"] += 1
    counts["bytes down"] += array.nbytes
    if not EMULATED and out is not None and out.flags.c_contiguous and out.dtype == array.dtype and out.size:
        return array.get(out=out)
    copy = np.array(array, subok=False) if EMULATED else xp.asnumpy(array)
    if out is None:
        return copy
    out[...] = copy
    return out


class Device(NamedTuple):
    """Properties of a device by which work is divided."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int


@cache
def _described(index: int) -> Device:
    if SIMULATED:
        return Device("Numba's simulator", (9, 0), 2)
    found = _cuda.get_current_device()
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Device(name, tuple(found.compute_capability), int(found.MULTIPROCESSOR_COUNT))


def current_device() -> Device:
    return _described(current_index())


@contextmanager
def on_device(index: int) -> Iterator[None]:
    """Everything inside runs on this device, on a stream that CuPy and Numba share.

    What CuPy and Numba take for the default stream differs where one of them is set to a default stream for each
    thread, and then their work would be unordered. So a stream is made where CuPy's current one is a default one; it
    waits for what the caller has queued, and the caller's stream for it.
    """
    if EMULATED:
        with nullcontext() if SIMULATED else _cuda.gpus[index]:
            yield
        return
    devices.enter()
    with xp.cuda.Device(index), _cuda.gpus[index]:
        current = xp.cuda.get_current_stream()
        if current.ptr not in _DEFAULT_STREAMS:
            yield
            return
        streams = _own_streams.__dict__.setdefault("by_device", {})
        if index not in streams:
            streams[index] = xp.cuda.Stream()
        with streams[index] as own:
            own.wait_event(current.record())
            yield
            current.wait_event(own.record())


def free_memory() -> tuple[int, int]:
    """Free bytes of the device, CuPy's unused blocks included, and its total bytes."""
    if SIMULATED:
        return 2**33, 2**33
    if EMULATED:
        free, total = _cuda.current_context().get_memory_info()
        return int(free), int(total)
    free, total = xp.cuda.runtime.memGetInfo()
    return int(free) + int(xp.get_default_memory_pool().free_bytes()), int(total)


def blocks_for(items: int, threads: int = THREADS) -> int:
    """Blocks that give each of ``items`` a thread."""
    return -(-items // threads)
