"""A clone of a site behind a slow, far link (40 ms, 100 Mbit/s) against its bytes over one TCP stream of that link.

The link is in user space (tests/sites/link.py): everything of the source, pages and sign-in too, goes through it. The
floor sends `tar` and `mariadb-dump` of the same site, uncompressed, as one stream; `ratio_to_stream` is the whole job
over it, `data_path_ratio` its files and rows alone. `carried_ratio` is bytes over bytes.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import threading
import time
from typing import Any

from benchmarks.clone_transfer import _login, clone
from benchmarks.site import build
from tests.e2e.product import product
from tests.sites.farm import SourceFarm
from tests.sites.link import SlowLink
from tests.sites.site import Site

DELAY, RATE = 0.020, 100_000_000 / 8
FAR = "127.0.0.2"
"""Where the link listens: the farm's port is taken on 127.0.0.1, and the site's address must stay its own."""
ROUNDS = 2
BLOCK = 1 << 20


def run(scale: float = 1.0, rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures of one run; times are medians in seconds."""
    streams, clones, carried = [], [], []
    with SourceFarm() as farm:
        site = build(farm, scale=scale).site
        settings = {"SITEFERRY_COMPRESS": "always"}
        with (
            SlowLink(FAR, farm.port, ("127.0.0.1", farm.port), DELAY, RATE) as link,
            product(environment=settings, far=FAR) as siteferry,
        ):
            for _ in range(rounds):
                streams.append(stream(site))
                before = link.carried
                clones.append(clone(site, siteferry))
                carried.append(link.carried - before)
    stream_s = statistics.median(seconds for seconds, _ in streams)
    middle = sorted(clones, key=lambda c: c["whole_job"])[len(clones) // 2]
    data_path = statistics.median(c["data_path"] for c in clones)
    whole = statistics.median(c["whole_job"] for c in clones)
    return {
        "benchmark": "clone-far",
        "delay_ms": DELAY * 2000,
        "mbit": RATE * 8 / 1e6,
        "files": middle["files"],
        "rows": middle["rows"],
        "stream_bytes": streams[0][1],
        "carried_bytes": int(statistics.median(carried)),
        "carried_ratio": round(statistics.median(carried) / streams[0][1], 2),
        "stream_s": round(stream_s, 2),
        "data_path_s": round(data_path, 2),
        "whole_job_s": round(whole, 2),
        "phase_share": middle["share"],
        "data_path_ratio": round(data_path / stream_s, 2),
        "ratio_to_stream": round(whole / stream_s, 2),
    }


def stream(site: Site) -> tuple[float, int]:
    """Seconds and bytes of everything the site has over one connection through a link of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=_send, args=(server, site), daemon=True)
        sender.start()
        with SlowLink("127.0.0.1", 0, server.getsockname(), DELAY, RATE) as link:
            started, received = time.monotonic(), 0
            with socket.create_connection(("127.0.0.1", link.port)) as reader:
                while data := reader.recv(BLOCK):
                    received += len(data)
            taken = time.monotonic() - started
        sender.join(10)
    return taken, received


def _send(server: socket.socket, site: Site) -> None:
    connection, _ = server.accept()
    with connection:
        for command in (
            ["tar", "-C", str(site.docroot), "-cf", "-", "."],
            ["mariadb-dump", *_login(site.farm.database), site.database],
        ):
            subprocess.run(command, stdout=connection.fileno(), check=True)
        connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    import json

    print(json.dumps(run()))
