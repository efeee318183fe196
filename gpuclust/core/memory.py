"""Memory: parsing and formatting of sizes, available memory, and peak usage."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from math import prod
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gpuclust.errors import DoesNotFit

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: int | str) -> int:
    """Bytes from a number or from text such as ``"8GB"``, ``"512 MiB"``, ``"1.5g"``."""
    if not isinstance(text, str):
        allowed = "memory_limit must be a positive number of bytes or text such as '8GB'"
        if not isinstance(text, Real):
            raise TypeError(f"{allowed}, got {text!r}.")
        if isinstance(text, bool) or not 0 < text < 2**63:
            raise ValueError(f"{allowed}, got {text!r:.40}.")
        return int(text)
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise ValueError(f"memory_limit must be a positive number of bytes or text such as '8GB', got {text!r}.")
    return int(float(match[1]) * unit)


def format_bytes(count: float) -> str:
    """``1_600_000_000`` -> ``"1.60 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still allocate.

    The least of what the system has available, what the control groups of a container leave (both versions, and every
    group above one's own), and what ``ulimit`` leaves of address space and data. ``root``: where /proc and /sys are.
    """
    available = [2**63 - 1]
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    if found:
        available.append(int(found[1]) * 1024)
    for folder, names in _control_groups(root):
        available += _left_in(folder, *names)
    limits = _read(root / "proc/self/limits")
    for limit, used in (("Max address space", "VmSize"), ("Max data size", "VmData")):
        bound = re.search(rf"^{limit}\s+(\d+)", limits, re.MULTILINE)
        taken = bound and re.search(rf"^{used}:\s*(\d+) kB", _read(root / "proc/self/status"), re.MULTILINE)
        if bound and taken:
            available.append(int(bound[1]) - int(taken[1]) * 1024)
    return max(0, min(available))


#: Files with the limit and the usage of a control group, and the name of its reclaimable page cache.
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def _control_groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Folders of the control groups that this process is in, from its own upwards, and the names of their files.

    A container often sees its own group as the root, under the name that the host gives it: missing folders are
    skipped.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, names = root / "sys/fs/cgroup", _VERSION_2
        elif "memory" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/memory", _VERSION_1
        else:
            continue
        group = PurePosixPath(path.strip("/"))
        for part in (group, *group.parents):
            yield base / part, names


def _left_in(folder: Path, limit: str, used: str, cache: str) -> list[int]:
    """Bytes left within the limit of a control group; none if it has no limit."""
    bound = _read(folder / limit).strip()
    taken = _read(folder / used).strip() if bound.isdigit() else ""
    if not taken.isdigit():
        return []
    found = re.search(rf"^{cache} (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
    return [int(bound) - int(taken) + (int(found[1]) if found else 0)]


def peak_memory() -> int | None:
    """Peak resident memory of this process, or since `forget_peak`, in bytes; None if the system lacks it."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", _read(Path("/proc/self/status")), re.MULTILINE)
    if found:  # of this program alone; the value below includes the parent's memory at the fork
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Reset the peak of `peak_memory`, where the system supports it (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # in two thirds of the time of the path's own method
            return file.read()
    except OSError:
        return ""


#: Size in bytes up to which the free memory is not queried.
_SMALL = 2**26


def result_array(shape: tuple[int, ...], dtype: Any, out: Any, what: str) -> np.ndarray:
    """``out`` if it is suitable for the result, or a new array if that fits into memory."""
    dtype = np.dtype(dtype)
    if out is None:
        needed = prod(shape) * dtype.itemsize
        if needed > _SMALL and needed > (available := available_memory()):
            raise DoesNotFit(
                f"The result of {what}, {shape} numbers of type {dtype}, takes {format_bytes(needed)}; "
                f"{format_bytes(available)} are available. dtype='float32' takes half; gpuclust.linkage needs no "
                "matrix for single, centroid and median linkage of points."
            )
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an ndarray, got {type(out).__name__}.")
    if out.shape != shape:
        raise ValueError(f"Output array has incorrect shape: {out.shape}, where {shape} is needed.")
    if out.dtype != dtype:
        raise ValueError(f"Output array has the wrong type: {out.dtype}, where {dtype} (double type) is needed.")
    if not out.flags.c_contiguous:
        raise ValueError("Output array must be C-contiguous.")
    if not out.flags.behaved:
        raise ValueError("Output array must be aligned, writable and of native byte order.")
    return out
