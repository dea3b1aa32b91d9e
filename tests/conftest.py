"""Fixtures every test may ask for."""

from __future__ import annotations

import signal

pytest_plugins = ["tests.sites.fixtures"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and what it starts inherits that; tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
