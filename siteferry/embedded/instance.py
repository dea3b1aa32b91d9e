"""What tells others that an instance runs here: the lock, run.json, and what a killed one may have left behind.

Every command of the command line reads it, so what only the instance itself needs is loaded where it is needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

LOCK = "run.lock"
RUN = "run.json"


@dataclass
class Instance:
    """run.json. Paths and addresses, no secrets: logins of NATS stay in their files (0600)."""

    pid: int
    edge_url: str
    nats_url: str
    nats_token_file: str
    nats_operator_file: str
    mariadb_socket: str
    nats_max_store: int = 0
    """Bytes."""
    first_key_file: str = ""
    """Where the first API key is, if it is still there."""
    keys_needed: bool = False
    """Whether every call needs one."""
    pids: dict[str, int] = field(default_factory=dict)
    """Process (and process group) of each child by name."""
    services: dict[str, str] = field(default_factory=dict)
    """Address of /livez, /readyz and /metrics of each service."""

    def write(self, state: Path) -> None:
        """Atomically, readable by us alone."""
        from siteferry.embedded.servers.base import write_file

        write_file(state / RUN, json.dumps(asdict(self), indent=1) + "\n", mode=0o600)

    @classmethod
    def read(cls, state: Path) -> Instance | None:
        """What run.json says, whether or not it is still true; None when there is none that can be read."""
        try:
            return cls(**json.loads((state / RUN).read_text()))
        except (OSError, ValueError, TypeError):
            return None


class AlreadyRunning(Exception):
    """Another `up` holds this state directory."""

    def __init__(self, state: Path, instance: Instance | None) -> None:
        self.instance = instance
        where = f" (pid {instance.pid}) at {instance.edge_url}" if instance else ""
        super().__init__(f"Siteferry runs already{where}, with the state in {state}")


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the state directory. Raises `AlreadyRunning`. The kernel lets go when we die, whatever the way."""
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(state, Instance.read(state)) from None
        yield
    finally:
        os.close(descriptor)


def running_instance(state: Path) -> Instance | None:
    """The instance that runs with this state directory now, for the command line; None when none does."""
    try:
        descriptor = os.open(state / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Instance.read(state)
    finally:
        os.close(descriptor)
    return None


def clear_leftovers(state: Path, *, patience: float = 10.0) -> list[str]:
    """End what an instance that was killed left behind; returns the names. Call with the lock held; blocks.

    The kernel told the children to stop, so they get `patience` seconds to finish before SIGKILL. A process group
    counts only when one of its members works in our directory: numbers are reused.
    """
    from siteferry.embedded.servers.process import kill_group

    instance = Instance.read(state)
    groups = {} if instance is None else instance.pids
    left = {name: group for name, group in groups.items() if group_is_ours(group, state)}
    deadline = time.monotonic() + patience
    while any(group_is_ours(group, state) for group in left.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in left.values():
        if group_is_ours(group, state):
            kill_group(group)
    return sorted(left)


def group_is_ours(group: int, state: Path) -> bool:
    """Whether a living process of this group runs in, or was started with, a path below the state directory."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError, ValueError):
            if os.getpgid(int(process.name)) != group:
                continue
            if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            words = (process / "cmdline").read_bytes()
            directory = (process / "cwd").readlink()
            if directory.is_relative_to(state) or os.fsencode(f"{state}/") in words:
                return True
    return False


def nats_environment(instance: Instance) -> str:
    """What the `nats` command needs to look at this machine's instance, as the user who may only read."""
    from shared.contract.rights import OPERATOR

    login = f"NATS_USER={OPERATOR} NATS_PASSWORD=\"$(cut -d: -f2 '{instance.nats_operator_file}')\""
    return f"NATS_URL={instance.nats_url} {login}"
