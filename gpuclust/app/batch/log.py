"""Progress of a batch: bars on a terminal, lines of text or of JSON in a log."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from gpuclust.app.batch.outcome import DONE, FAILED, UNCHANGED, Outcome
from gpuclust.core.progress import live_display
from gpuclust.core.text import displayed, format_seconds

FORMATS = ("text", "json")
#: Seconds between two lines of progress in a log, and after which a running job is shown by name.
_LINE_EVERY, _SHOW_AFTER = 10.0, 2.0
_MOST_SHOWN = 6


class Listener:
    """Receives the events of a batch; this base class ignores them."""

    def begin(self, total: int, out: Path) -> None:
        """The batch begins, with ``total`` data sets."""

    def started(self, name: str) -> None:
        """A worker begins a data set."""

    def progress(self, name: str, phase: str, done: int, total: int) -> None:
        """A data set has reached ``done`` of ``total`` steps of a phase."""

    def finished(self, outcome: Outcome) -> None:
        """A data set is finished, or has failed."""

    def tick(self) -> None:
        """Called at least every 0.2 s."""

    def end(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """The batch has ended."""


class JsonLines(Listener):
    """One JSON object a line: time, event, and the event's fields."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._counts: Counter[str] = Counter()
        self._total, self._next = 0, time.monotonic() + _LINE_EVERY

    def _write(self, event: str, **content: Any) -> None:
        when = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        print(json.dumps({"time": when, "event": event, **content}), file=self._stream, flush=True)

    def begin(self, total: int, out: Path) -> None:
        self._total = total
        self._write("begin", data_sets=total, out=str(out))

    def finished(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        content: dict[str, Any] = {"name": outcome.name, "data": outcome.data, "seconds": round(outcome.seconds, 4)}
        if outcome.ok:
            content |= {"n": outcome.record["input"]["n"], "clusters": outcome.record["result"]["clusters"]}
            content["device"] = outcome.record["device"]
            content["read_as"] = outcome.record["input"].get("read_as", "")
            content |= {"said": list(outcome.said)} if outcome.said else {}
        else:
            content |= {"error": outcome.kind, "message": outcome.error}
        self._write(outcome.status, **content)

    def tick(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            self._write("progress", over=sum(self._counts.values()), data_sets=self._total, **self._counts)

    def end(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        counts = Counter(outcome.status for outcome in outcomes)
        self._write("end", seconds=round(seconds, 3), data_sets=len(outcomes), **counts)


class Lines(Listener):
    """Lines of text: each failure at once, and the progress every ten seconds."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._total, self._began = 0, time.monotonic()
        self._next = self._began + _LINE_EVERY

    def begin(self, total: int, out: Path) -> None:
        self._total = total

    def finished(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        if not outcome.ok:
            print(displayed(f"gpuclust: failed: {outcome.name}: {outcome.error}"), file=sys.stderr, flush=True)
        for text in outcome.said:
            print(displayed(f"gpuclust: {outcome.name}: {text}"), file=sys.stderr, flush=True)

    def tick(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LINE_EVERY
        over = sum(self._counts.values())
        rate = over / (now - self._began)
        left = f", about {format_seconds((self._total - over) / rate)} left" if over else ""
        print(f"gpuclust: {over} of {self._total}, {self._counts[FAILED]} failed{left}", file=sys.stderr, flush=True)


class Bars(Listener):
    """Bars: one for all data sets, with rate and remaining time, and one for each that takes long."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        self._counts: Counter[str] = Counter()
        self._started: dict[str, float] = {}
        self._shown: dict[str, Any] = {}
        self._began = time.monotonic()
        description, note = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}")
        self._screen = live_display(description, BarColumn(), MofNCompleteColumn(), note)
        self._all: Any = None

    def begin(self, total: int, out: Path) -> None:
        self._all = self._screen.add_task("data sets", total=total, note="")
        self._screen.start()

    def started(self, name: str) -> None:
        self._started[name] = time.monotonic()

    def progress(self, name: str, phase: str, done: int, total: int) -> None:
        began = self._started.setdefault(name, time.monotonic())
        if name not in self._shown:
            if time.monotonic() - began < _SHOW_AFTER or len(self._shown) >= _MOST_SHOWN:
                return
            self._shown[name] = self._screen.add_task(displayed(name), total=None, note="")
        self._screen.update(self._shown[name], completed=done, total=total or None, note=phase)

    def finished(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        self._started.pop(outcome.name, None)
        if outcome.name in self._shown:
            self._screen.remove_task(self._shown.pop(outcome.name))
        if outcome.status == FAILED:
            self._screen.console.print(
                displayed(f"failed: {outcome.name}: {outcome.error}"), style="red", markup=False, soft_wrap=True
            )
        for text in outcome.said:
            self._screen.console.print(
                displayed(f"{outcome.name}: {text}"), style="yellow", markup=False, soft_wrap=True
            )
        over = sum(self._counts.values())
        rate = over / max(1e-9, time.monotonic() - self._began)
        parts = [f"{self._counts[status]} {status}" for status in (DONE, UNCHANGED, FAILED) if self._counts[status]]
        pace = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
        self._screen.update(self._all, completed=over, note=f"{', '.join(parts)}, {pace}")

    def end(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        self._screen.stop()


def listener_for(form: str, quiet: bool) -> Listener:
    """Return the listener for a format, bars if standard error is a terminal."""
    if form not in FORMATS:
        raise ValueError(f"the format of the log must be one of {', '.join(FORMATS)}, got {form!r}")
    if form == "json":
        return JsonLines()
    if quiet:
        return Listener()
    return Bars() if sys.stderr.isatty() else Lines()
