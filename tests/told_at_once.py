"""`pytest -p tests.told_at_once`: a failure is printed when it happens, not at the end, which a run may not reach."""

from __future__ import annotations

import os
import sys

import pytest

MOST = 3000
"""Characters of a failure, its end: the whole comes with the summary."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called where the terminal is, too, when tests run in several workers."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        out = sys.__stdout__ or sys.stdout
        out.write(f"\n{report.nodeid} ({report.when}, {report.duration:.0f} s)\n{report.longreprtext[-MOST:]}\n")
        out.flush()
