"""CUDA devices: their properties, missing software, and arrays in their memory. Light to import.

The driver is queried directly (`gpuclust.core.cuda_driver`), which takes microseconds on a machine without one;
numba-cuda and CuPy are imported only if a device was found.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import cuda_driver
from gpuclust.errors import BackendUnavailable, DoesNotFit, unknown_name

OUTPUTS = ("numpy", "cupy")

#: Oldest compute capability that kernels are compiled for, and that of toolkits of CUDA 13.
OLDEST, OLDEST_FOR_13 = (7, 0), (7, 5)

#: Errors of cuInit (cuda.h), and of asking.
_ERRORS = {
    cuda_driver.NO_ANSWER: "the NVIDIA driver crashes, or does not answer; nvidia-smi and dmesg may say more",
    3: "this process was forked from one that used CUDA already; start processes with 'spawn'",
    100: "the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES, or a container started without GPUs, may hide it)",
    803: "the NVIDIA driver's library and its kernel module are of different versions; restart, or update the driver",
    804: "the CUDA compatibility package does not support this driver or card",
}
_NO_DEVICE = 100


@dataclass(frozen=True)
class Card:
    """A CUDA device, as its driver describes it."""

    index: int
    name: str
    capability: tuple[int, int]
    memory: int  # bytes
    multiprocessors: int
    clock: float  # Hz
    bandwidth: float  # bytes a second

    def rate(self, dtype: str) -> float:
        """Arithmetic instructions a second at best."""
        lanes = 64 if self.capability[0] == 7 or self.capability in ((6, 0), (8, 0)) else 128
        if dtype == "float64":
            lanes = {(6, 0): 32, (7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}.get(self.capability, 2)
        return lanes * self.multiprocessors * self.clock

    @property
    def slowdown(self) -> int:
        """Ratio of the rates of float32 and float64: 2 on GPUs for computing, 32 or 64 on others."""
        return round(self.rate("float32") / self.rate("float64"))


class Lack(NamedTuple):
    """A component that CUDA needs and that is missing."""

    piece: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.what}{': ' + self.how if self.how else ''}."


def emulated() -> bool:
    """Whether CUDA kernels run on the host: in Numba's simulator, or by a substitute for numba.cuda."""
    return simulated() or os.environ.get("GPUCLUST_CUDA_EMULATION", "0") not in ("", "0")


def simulated() -> bool:
    """Whether CUDA kernels run in Numba's simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def cards() -> tuple[Card, ...]:
    """The CUDA devices visible to this process; where CUDA is emulated, one of nominal speed."""
    if emulated():
        return (Card(0, "emulated", (9, 0), 2**33, 2, 1e9, 1e10),)
    return _driver(os.getpid())[1]


def driver_version() -> tuple[int, int] | None:
    """The newest CUDA version that the driver supports; None without a driver."""
    version = 0 if emulated() else _driver(os.getpid())[0]
    return (version // 1000, version % 1000 // 10) if version else None


def missing() -> Lack | None:
    """The first component that is missing to use CUDA, or None."""
    return _first_lack(os.getpid(), emulated(), simulated())


def unavailable(device: str, lack: Lack) -> BackendUnavailable:
    """The error for an explicit request of a device that cannot be used."""
    return BackendUnavailable(f"device={device!r} was asked for, but {lack}")


def no_such_card(device: str) -> BackendUnavailable:
    """The error for a device number that is too large."""
    found = cards()
    names = ", ".join(f"'cuda:{card.index}' ({card.name})" for card in found)
    count = "is 1 CUDA device" if len(found) == 1 else f"are {len(found)} CUDA devices"
    return BackendUnavailable(f"device={device!r} was asked for, but there {count}: {names}.")


@cache
def _first_lack(process: int, emulated: bool, simulated: bool) -> Lack | None:
    return next(lacks(), None)


def lacks() -> Iterator[Lack]:
    """Yield the missing components, in an order in which the later checks need imports."""
    if emulated():
        yield from _numba_lacks(None)
        return
    version, found, lack = _driver(os.getpid())
    if lack is not None:
        yield lack
    for card in found[:1]:
        if card.capability < OLDEST:
            what = f"{card.name} has compute capability {_dotted(card.capability)}, {_dotted(OLDEST)} is needed"
            yield Lack("device", what, "")
    yield from _numba_lacks(found[0] if found else None)
    yield from _cupy_lacks(version)


def numba_cuda(name: str = "numba.cuda") -> ModuleType:
    """Import a module of numba-cuda; every first import of one goes through here.

    While it is imported, numba-cuda (up to 0.30 at least) uses features that NumPy 2.5 and cuda-core 0.7 have
    deprecated: with warnings as errors the import would fail. When it compiles the first kernel it also refers to
    ``numpy.row_stack``, which NumPy 2.5 has removed: so that module is imported here, with the name defined.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"numba(_cuda)?\.|cuda\.core")
        if not hasattr(np, "row_stack") and not simulated():
            setattr(np, "row_stack", np.vstack)  # noqa: B010 (types know no such name)
            try:
                with suppress(ImportError):  # of a version that has no such module
                    import_module("numba.cuda.np.arrayobj")
            finally:
                delattr(np, "row_stack")
        return import_module(name)


def _numba_lacks(card: Card | None) -> Iterator[Lack]:
    if find_spec("numba_cuda") is None:
        yield Lack("numba-cuda", "numba-cuda is not installed", install())
        return
    if simulated():
        return
    try:
        numba_cuda("numba.cuda.cudadrv.nvvm").NVVM()
        numba_cuda("numba.cuda.cudadrv.libs").open_libdevice()
    except Exception as error:  # its class depends on the version and on the missing file
        how = f"{install()}, or set CUDA_HOME to the folder of a CUDA toolkit"
        yield Lack("NVVM", f"numba-cuda finds no NVVM ({_line(error)})", how)
        return
    toolkit, able = toolkit_version(), driver_version()
    if toolkit and able and toolkit[0] > able[0]:
        what = f"numba-cuda compiles for CUDA {toolkit[0]}, but the driver can do CUDA {_dotted(able)}"
        yield Lack("numba-cuda", what, f"{install()}, or update the driver")
    elif toolkit and toolkit[0] >= 13 and card and OLDEST <= card.capability < OLDEST_FOR_13:
        what = f"CUDA {toolkit[0]} cannot compile for compute capability {_dotted(card.capability)} of {card.name}"
        yield Lack("numba-cuda", what, 'pip install "gpuclust[cuda12]"')


def _cupy_lacks(version: int) -> Iterator[Lack]:
    if find_spec("cupy") is None:
        yield Lack("CuPy", "CuPy is not installed", install())
        return
    try:
        made_for = import_module("cupy").cuda.runtime.runtimeGetVersion() // 1000
    except Exception as error:
        yield Lack("CuPy", f"CuPy cannot be imported ({_line(error)})", install())
        return
    if version and made_for > version // 1000:
        what = f"CuPy is made for CUDA {made_for}, but the driver can do CUDA {version // 1000}"
        yield Lack("CuPy", what, f"pip uninstall cupy-cuda{made_for}x, then {install()}")


def toolkit_version() -> tuple[int, int] | None:
    """The CUDA version that numba-cuda compiles for; None if unknown."""
    try:
        major, minor = numba_cuda().runtime.get_version()
    except Exception:
        return None
    return (int(major), int(minor)) if major > 0 else None  # the simulator says -1


def libraries() -> dict[str, str | None]:
    """Where the libraries are that compile and link kernels; None if one is not found."""
    found: dict[str, str | None] = {}
    for name in ("nvvm", "nvrtc", "nvJitLink"):
        try:
            found[name] = str(import_module("cuda.pathfinder").load_nvidia_dynamic_lib(name).abs_path)
        except Exception:  # of any class: cuda-pathfinder is not there, or finds nothing, or the file is damaged
            found[name] = None
    return found


def install() -> str:
    """The command that installs the missing packages for the driver's CUDA version."""
    version = driver_version()
    if version is None:
        return 'pip install "gpuclust[cuda12]" or "gpuclust[cuda13]", by the CUDA version that nvidia-smi shows'
    return f'pip install "gpuclust[cuda{min(max(version[0], 12), 13)}]"'


@cache
def _driver(process: int) -> tuple[int, tuple[Card, ...], Lack | None]:
    """Driver version (13020: CUDA 13.2), devices, and the lack, if any; asked anew in a forked process."""
    version = cuda_driver.version()
    if version is None:
        return 0, (), Lack("driver", f"no NVIDIA driver is found ({cuda_driver.LIBRARY})", "")
    said = cuda_driver.ask("describe")
    if said["error"]:
        return version, (), _lack_of(said["error"])
    found = tuple(_card(index, device) for index, device in enumerate(said["devices"]))
    return version, found, None if found else _lack_of(_NO_DEVICE)


def _lack_of(error: int) -> Lack:
    piece = "device" if error == _NO_DEVICE else "driver"
    return Lack(piece, _ERRORS.get(error, f"the NVIDIA driver does not start (error {error})"), "")


def _card(index: int, said: dict[str, Any]) -> Card:
    value = {int(which): number for which, number in said["attributes"].items()}
    return Card(
        index,
        said["name"],
        (value[cuda_driver.MAJOR], value[cuda_driver.MINOR]),
        said["memory"],
        value[cuda_driver.MULTIPROCESSORS] or 1,
        1e3 * value[cuda_driver.CLOCK] or 1.5e9,
        2 * 1e3 * value[cuda_driver.MEMORY_CLOCK] * value[cuda_driver.BUS_WIDTH] / 8 or 3e11,
    )


#: Process ids in which the driver has been initialised: this one, and those that it was forked from.
_user: set[int] = set()


def enter() -> None:
    """Initialise the driver in this process, before it uses a device.

    Raises
    ------
    BackendUnavailable
        It does not start here, since the process was forked from one that used CUDA, for example.
    """
    if os.getpid() not in _user:
        error = cuda_driver.initialise()
        if error:
            raise BackendUnavailable(f"CUDA cannot be used in this process: {_lack_of(error)}")
        _user.add(os.getpid())


def free_memory(index: int) -> int:
    """Bytes that are free on a device; asked in a child process as long as this one does not use CUDA.

    Raises
    ------
    BackendUnavailable
        The device cannot be used.
    """
    if os.getpid() in _user or emulated():
        launch = import_module("gpuclust.kernels.cuda.launch")
        try:
            with launch.on_device(index):
                return int(launch.free_memory()[0])
        except Exception as error:
            if not failed(error):
                raise
            raise BackendUnavailable(f"device='cuda:{index}' cannot be used ({_line(error)})") from error
    said = _said_of_memory(os.getpid(), index, int(time.monotonic() / _VALID))
    if said["error"]:
        why = _ERRORS.get(said["error"], f"error {said['error']} of the NVIDIA driver")
        raise BackendUnavailable(f"device='cuda:{index}' cannot be used ({why})")
    return int(said["free"])


#: Seconds for which an answer about free memory counts.
_VALID = 10


@lru_cache(maxsize=8)
def _said_of_memory(process: int, index: int, moment: int) -> dict[str, Any]:
    return cuda_driver.ask("free_memory", index)


def is_device_array(array: Any) -> bool:
    """Whether an array is in the memory of a CUDA device (CuPy, Numba, a CUDA tensor of torch, ...)."""
    return not isinstance(array, np.ndarray) and hasattr(array, "__cuda_array_interface__")


def array_module(array: Any) -> Any:
    """The array module of an array: NumPy or CuPy."""
    return np if isinstance(array, np.ndarray) else import_module("cupy")


_ON_HOST = nullcontext()


def device_of(array: Any) -> AbstractContextManager[Any]:
    """Make the device of an array the current one."""
    return _ON_HOST if isinstance(array, np.ndarray) else array.device


def check_output(output: str) -> None:
    """Refuse an ``output`` that cannot be given, before anything is computed.

    Raises
    ------
    ValueError
        It is neither "numpy" nor "cupy".
    BackendUnavailable
        It is "cupy", and there is no CuPy or no device.
    """
    if not isinstance(output, str) or output not in OUTPUTS:
        raise unknown_name("output", output, OUTPUTS)
    if output == "cupy" and not emulated():
        lack = _driver(os.getpid())[2] or next(_cupy_lacks(_driver(os.getpid())[0]), None)
        if lack is not None:
            raise BackendUnavailable(f'output="cupy" was asked for, but {lack}')


def to_output(array: Any, output: str) -> Any:
    """Convert a result to a NumPy array, or to a CuPy array on the current device.

    Copies only if necessary. Where CUDA is emulated, both kinds are NumPy arrays.
    """
    if output == "cupy" and not emulated():
        return import_module("cupy").asarray(array)
    return array if isinstance(array, np.ndarray) else array_module(array).asnumpy(array)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a device (`DoesNotFit` does not)."""
    if isinstance(error, MemoryError):
        return not isinstance(error, DoesNotFit)
    return failed(error) and ("OUT_OF_MEMORY" in str(error) or "cudaErrorMemoryAllocation" in str(error))


def failed(error: BaseException) -> bool:
    """Whether an error is one of CUDA, CuPy or numba-cuda: of a device that is not usable, or of missing software."""
    return type(error).__module__.split(".")[0] in ("cupy", "cupy_backends", "numba", "cuda")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".:")
