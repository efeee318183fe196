"""Amounts of memory: as text, and what there is."""

from __future__ import annotations

import re
import sys
from math import isfinite
from pathlib import Path

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: int | str) -> int:
    """Bytes from a number or from text such as ``"8GB"``, ``"512 MiB"``, ``"1.5g"``."""
    if not isinstance(text, str):
        if isinstance(text, bool) or not isfinite(text) or text <= 0:
            raise ValueError(f"memory_limit must be a positive number of bytes or text such as '8GB', got {text!r}.")
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


def available_memory() -> int:
    """Bytes this process may still take: what the system has available, or less in a container."""
    available = []
    meminfo = _read("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo, re.MULTILINE)
    if found:
        available.append(int(found[1]) * 1024)
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit, used = _read(limit_file).strip(), _read(used_file).strip()
        if limit.isdigit() and used.isdigit():
            available.append(max(0, int(limit) - int(used)))
    return min(available) if available else 2**63 - 1


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes, where the system tells."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", _read("/proc/self/status"), re.MULTILINE)
    if found:  # of this program alone, where what follows starts from what the parent process had
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
