"""Fixtures every test may ask for."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
"""The same examples each time, so that a change is judged by what it changes; `random` looks for new ones."""

pytest_plugins = ["tests.sites.fixtures", "tests.kubernetes.fixtures"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and what it starts inherits that; tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_FIRST = (
    "hostile/test_hostile_sources",
    "contract/",
    "integration/test_sweeper_real",
    "integration/test_connector_broken_install",
    "e2e/",
    "kubernetes/",
    "integration/",
    "faults/",
    "hostile/",
)
"""Where files begin that take long. What is not named takes seconds, and comes last.
Attacks take what processors give: beside them comes what waits for nothing, and what has deadlines comes long after."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers take the longest files first, so that none is left alone with one at the end.

    Left to itself xdist begins with the files of most tests, which are those of `unit`.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid.removeprefix("tests/")))


def _place(name: str) -> int:
    return next((n for n, start in enumerate(LONGEST_FIRST) if name.startswith(start)), len(LONGEST_FIRST))
