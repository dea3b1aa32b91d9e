"""Fixtures every test may ask for."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
"""The same examples each time, so that a change is judged by what it changes; `random` looks for new ones."""

pytest_plugins = ["tests.sites.fixtures", "tests.kubernetes.fixtures"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and what it starts inherits that; tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
