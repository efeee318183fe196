"""`Device`: the name of a device, parsed once. Light to import."""

from __future__ import annotations

import re

from gpuclust.errors import unknown_name

_FORM = re.compile(r"(auto|cpu|reference|cuda)(?:(?<=cuda):([0-9]+))?")
_KNOWN: dict[str, Device] = {}
_FAMILIES = ("auto", "cpu", "cuda", "reference")


class Device(str):
    """A device by name: "cpu", "cuda", "cuda:1", "reference" (the specification), or "auto" (not yet chosen).

    It is a string, so it compares, prints and pickles like its name.

    Attributes
    ----------
    family : {"auto", "cpu", "cuda", "reference"}
    number : int
        Which CUDA device; 0 elsewhere.
    """

    family: str
    number: int

    def __new__(cls, name: object) -> Device:
        if isinstance(name, Device):
            return name
        if isinstance(name, str) and name in _KNOWN:
            return _KNOWN[name]
        match = _FORM.fullmatch(name.lower()) if isinstance(name, str) else None
        if match is None:
            raise unknown_name("device", name, [*_FAMILIES, "cuda:1"])
        family, number = match[1], int(match[2] or 0)
        device = super().__new__(cls, f"{family}:{number}" if number else family)
        device.family, device.number = family, number
        if device == name:
            _KNOWN[name] = device
        return device

    @property
    def on_gpu(self) -> bool:
        return self.family == "cuda"

    @property
    def automatic(self) -> bool:
        """Whether the device is still to be chosen."""
        return self.family == "auto"


CPU = Device("cpu")
