"""What the supervisor tests run as a process of its own: `python -m tests.integration.supervised DIRECTORY`.

Real servers and two small services, supervised as by `siteferry up`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import ClassVar

from siteferry.embedded.instance import AlreadyRunning, clear_leftovers, exclusive
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers import Caddy, MariaDB, Nats, PhpFpm, Server, farm_config
from siteferry.embedded.supervisor import Backoff, Supervisor, stop_by_signals

BACKOFF = Backoff(first=0.1, longest=0.4)

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


async def main(home: Path, extra: list[Server]) -> int:
    try:
        with exclusive(home):
            clear_leftovers(home)
            log = MergedLog(home / "siteferry.log", sys.stderr)
            parts = stages(home, *extra)
            supervisor = Supervisor(parts, log, backoff=BACKOFF)

            def tell() -> None:
                caddy = parts[-1][0]
                assert isinstance(caddy, Caddy)
                facts = {"pids": supervisor.pids, "port": caddy.port}
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
    where = Path(sys.argv[1])
    sys.exit(asyncio.run(main(where, [Stubborn(where / "stubborn")] if "stubborn" in sys.argv[2:] else [])))
