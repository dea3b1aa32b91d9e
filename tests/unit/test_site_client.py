"""What a site does to those who wait for it."""

from __future__ import annotations

import socket
import time

import httpx2
import pytest

from shared.engine.worker import StopToken
from shared.errors import Cancelled
from shared.wordpress.http import LOOK_UP, map_transport_errors, site_client


def test_who_waits_for_a_silent_site_stops_when_told() -> None:
    token, begun = StopToken(), time.monotonic()

    def check() -> None:
        if time.monotonic() - begun > 2 * LOOK_UP:
            token.stop(Cancelled)
        token.check()

    with socket.create_server(("127.0.0.1", 0)) as silent, site_client(check=check) as client:
        with pytest.raises(Cancelled), map_transport_errors():
            client.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert time.monotonic() - begun < 20, "its read may take a minute"


def test_a_read_that_takes_too_long_is_still_a_timeout() -> None:
    timeout = httpx2.Timeout(2.5 * LOOK_UP)
    with socket.create_server(("127.0.0.1", 0)) as silent, site_client(check=lambda: None, timeout=timeout) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")
