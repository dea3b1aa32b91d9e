"""What the supervisor tests run as a process of its own: `python -m tests.integration.supervised DIRECTORY`.

Real servers and two small services, supervised as by `siteferry up`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from siteferry.embedded.instance import AlreadyRunning, clear_leftovers, exclusive
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers import Caddy, MariaDB, Nats, PhpFpm, Server, farm_config
from siteferry.embedded.supervisor import Backoff, Supervisor, stop_by_signals

BACKOFF = Backoff(first=0.1, longest=0.4, steady_after=600)

# Says when it stops, so that the order can be read in the log.
ORDERLY = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("worker ends", flush=True)))
print("worker begins", flush=True)
while True:
    signal.pause()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\nsignal.pause()"


class Worker(Server):
    """A service without a port."""

    name: ClassVar[str] = "worker"
    code: ClassVar[str] = ORDERLY

    def argv(self) -> list[str]:
        return ["/usr/bin/env", "python3", "-u", "-c", self.code]

    def is_ready(self) -> bool:
        return True

    def shows(self, line: str) -> bool:
        return True


class Stubborn(Worker):
    """Ends only by force, and so quickly given up on."""

    name: ClassVar[str] = "stubborn"
    code: ClassVar[str] = STUBBORN
    stop_timeout: ClassVar[float] = 0.3
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL


def stages(home: Path, *extra: Server) -> list[list[Server]]:
    php = PhpFpm(home / "php")
    caddy = Caddy(home / "caddy", lambda c: farm_config(port=c.port, sites_dir=home / "sites", php_socket=php.socket))
    return [[Nats(home / "nats"), MariaDB(home / "mariadb"), php], [Worker(home / "worker"), *extra], [caddy]]


def chosen(words: list[str]) -> tuple[Backoff, tuple[tuple[str, ...], ...]]:
    """How to keep them, as the words of a test say."""
    if "impatient" in words:
        Server.hang_timeout = 3.0
    backoff = Backoff(first=0.1, longest=0.4, steady_after=1.0) if "steady" in words else BACKOFF
    return backoff, (("worker",), ("caddy",)) if "workers first" in words else ()


async def main(home: Path, extra: list[Server], words: list[str]) -> int:
    backoff, stops = chosen(words)
    try:
        with exclusive(home):
            clear_leftovers(home)
            log = MergedLog(home / "siteferry.log", sys.stderr)
            parts = stages(home, *extra)
            supervisor = Supervisor(parts, log, backoff=backoff, stops=stops)

            def tell() -> None:
                caddy = parts[-1][0]
                assert isinstance(caddy, Caddy)
                standings = {name: asdict(standing) for name, standing in supervisor.standings.items()}
                facts = {"pids": supervisor.pids, "port": caddy.port, "standings": standings}
                (home / "facts.new").write_text(json.dumps(facts))
                (home / "facts.new").replace(home / "facts.json")

            supervisor.on_change = tell
            async with stop_by_signals(supervisor):
                await supervisor.run(lambda: log.say("all ready"))
            log.say("all stopped")
    except AlreadyRunning:
        return 3
    return 0


if __name__ == "__main__":
    where, words = Path(sys.argv[1]), sys.argv[2:]
    extra: list[Server] = [Stubborn(where / "stubborn")] if "stubborn" in words else []
    sys.exit(asyncio.run(main(where, extra, words)))
