"""Record of what was accelerated and what was not: for -v, and for the decision when compiling is worth its time."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

from gpuclust.core.text import format_seconds

#: Lines for calls that say the same; a summary counts the others.
REPEATS = 3


@dataclass
class Entry:
    """All calls of a function with one outcome."""

    calls: int = 0
    seconds: float = 0.0
    saved: float = 0.0
    estimated: int = 0


@dataclass
class Ledger:
    """Outcomes by function, and what the originals took that gpuclust was not loaded or compiled for."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    missed: Counter[object] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _at_exit: bool = False

    def worth(self, key: object, estimate: float, price: float) -> bool:
        """Whether calls like this one have added up to the price of loading or compiling.

        The time lost is then at most that of the originals, whatever follows.

        Parameters
        ----------
        key : hashable
            What is to be loaded or compiled.
        estimate : float
            Seconds that this call would take in the original.
        price : float
            Seconds that loading or compiling takes.
        """
        with self._lock:
            if self.missed[key] + estimate >= price:
                return True
            self.missed[key] += estimate  # type: ignore[assignment]
        return False

    def note(
        self, what: str, label: str, outcome: str, verbose: bool, seconds: float = 0.0, original: float | None = None
    ) -> None:
        """Count a call; ``original`` is an estimate of the seconds that the original would have taken."""
        with self._lock:
            entry = self.entries.setdefault((what, outcome), Entry())
            entry.calls += 1
            entry.seconds += seconds
            if original is not None:
                entry.saved += original - seconds
                entry.estimated += 1
            calls = entry.calls
        if not verbose or calls > REPEATS:
            return
        took = "" if not seconds else f", {format_seconds(seconds)}"
        instead = "" if original is None else f"; the original: about {format_seconds(original)} (estimated)"
        more = "; more calls like this are only counted" if calls == REPEATS else ""
        print(f"gpuclust.accel: {what}({label}): {outcome}{took}{instead}{more}", file=sys.stderr)

    def summarise_at_exit(self) -> None:
        """Print the summary when the process ends."""
        if not self._at_exit:
            self._at_exit = True
            atexit.register(lambda: print(self.summary(), file=sys.stderr))

    def summary(self) -> str:
        """One line for each function and outcome."""
        if not self.entries:
            return "gpuclust.accel: no function that can be accelerated was called"
        lines = ["gpuclust.accel: summary"]
        for (what, outcome), entry in sorted(self.entries.items()):
            took = f", {format_seconds(entry.seconds)}" if entry.seconds else ""
            of = "" if entry.estimated == entry.calls else f" in {entry.estimated} of them"
            change = "saved" if entry.saved >= 0 else "lost"
            saved = f", about {format_seconds(abs(entry.saved))} {change}{of} (estimated)" if entry.estimated else ""
            lines.append(f"  {what}: {entry.calls} call{'s' * (entry.calls > 1)} {outcome}{took}{saved}")
        return "\n".join(lines)
