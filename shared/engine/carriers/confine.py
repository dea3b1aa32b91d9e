"""What a freshly forked carrier gives up, in this order, before it does anything else; nothing of it can be undone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import site
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shared import turns
from shared.engine.carriers import landlock, seccomp

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
OPEN_FILES = 4096
PROCESSES = 512
"""Threads and processes of a carrier's own account. An account that others use as well gets no such limit: the kernel
counts by account."""
ARENAS = 2 << 30
"""Address space beyond memory in use: what threads and libraries reserve and never touch."""
LARGEST_FILE = 64 << 30
OOM_SCORE = 600
"""Where the machine's memory ends, a carrier ends before a server of ours does."""

RUNTIME = (
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/dev/null",
    "/dev/urandom",
)
"""What Python, TLS and the resolving of names read."""


@dataclass(frozen=True)
class Account:
    """User and group a carrier runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Confinement:
    """What is left to a carrier."""

    account: Account | None = None
    """None: our own, where we are nobody special."""
    writable: tuple[str, ...] = ()
    """Folders of its job."""
    readable: tuple[str, ...] = ()
    """Beyond the runtime."""
    memory: int = 1 << 30
    """Bytes of data; a bit more where it is reserved but not used."""
    nice: int = turns.WORK
    """How far it stands behind others."""


@cache
def runtime() -> tuple[str, ...]:
    """Paths of the interpreter, its packages and our sources, and what the system's libraries read."""
    ours = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "services")]
    packages = [*site.getsitepackages(), *sysconfig.get_paths().values()]
    python = [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    found = [*RUNTIME, *python, *packages, *ours]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in found if os.path.exists(path)))


def confine(limits: Confinement, ports: int | None = None) -> None:
    """Give up everything else. Raises OSError when something can not be given up that must be.

    `ports`: the descriptor of `landlock.ports_but`, if any.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    turns.stand(limits.nice)
    os.chdir("/")
    os.umask(0o022)
    rules = landlock.prepare(readable=(*runtime(), *limits.readable), writable=limits.writable)
    _limit(limits)
    if limits.account is not None:
        os.setgroups([])
        os.setresgid(*(limits.account.gid,) * 3)
        os.setresuid(*(limits.account.uid,) * 3)
    elif os.geteuid() == 0:
        raise PermissionError("a carrier must not be root")
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    landlock.enforce(rules)
    landlock.enforce(ports)
    seccomp.restrict()


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent`, which must be ours, ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def prctl(option: int, value: int) -> None:
    """prctl(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def _limit(limits: Confinement) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_DATA, limits.memory)
    _lower(resource.RLIMIT_AS, limits.memory + ARENAS)
    _lower(resource.RLIMIT_FSIZE, LARGEST_FILE)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if limits.account is not None:
        _lower(resource.RLIMIT_NPROC, PROCESSES)


def _lower(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))
