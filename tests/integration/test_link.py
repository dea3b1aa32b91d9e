"""The slow link of tests and benchmarks: everything arrives as it was sent, late, and the end as well."""

from __future__ import annotations

import random
import socket
import threading
import time

from tests.sites.link import SlowLink

DELAY, RATE = 0.05, 4_000_000


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


def test_bytes_and_their_end_arrive_late_and_no_faster_than_the_link_carries() -> None:
    payload = random.Random(7).randbytes(1_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with SlowLink("127.0.0.1", 0, server.getsockname(), DELAY, RATE) as link:
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", link.port), timeout=30) as client:
                threading.Thread(target=lambda: (client.sendall(payload), client.shutdown(socket.SHUT_WR))).start()
                received = b"".join(iter(lambda: client.recv(65536), b""))
            taken = time.monotonic() - started
        server.shutdown(socket.SHUT_RDWR)
    assert received == payload
    assert link.carried == len(payload)
    assert taken >= 2 * DELAY + len(payload) / RATE, "never faster than that; how much slower depends on the machine"
