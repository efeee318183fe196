"""A pytest plugin that accelerates SciPy before any test module is imported (``-p accel_plugin``).

All calls that gpuclust takes are its, whatever their size and however many distances are equal. When the tests have
run, the outcomes are printed, for `test_accel_suites.py`.
"""

from __future__ import annotations

import pytest

from gpuclust import accel
from gpuclust.accel import routing

accel.install(ties="any", always=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(routing.ledger.summary())
