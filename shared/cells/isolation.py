"""Which walls this machine can build around a clone, found out by building one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_VERSION = 1
PROBE_SECONDS = 10
PROBE = ("--ro-bind", "/", "/", "--dev", "/dev", "--", "/bin/true")
NOBODY = 65534
ACCOUNTS = (1_900_000_000, 100_000)
"""First account of ours and how many there are: beyond those of systemd, containers and people."""
SMALL_ACCOUNTS = (61_200, 4_000)
"""Where the machine is a container that knows 65,536 accounts only."""
RESERVED = 16
"""Accounts before those of clones, for parts of our own."""


class Walls(StrEnum):
    """How a cell is built."""

    USER_NAMESPACE = "user-namespace"
    """bubblewrap as the clone's account, in a user namespace of its own."""
    ROOT = "root"
    """bubblewrap as root, which becomes the clone's account inside: where user namespaces are off."""
    NONE = "none"
    """No namespaces: an account of its own (as root), `open_basedir`, functions switched off."""


@dataclass(frozen=True)
class Isolation:
    """What holds here, and what to do about what does not."""

    walls: Walls
    landlock: int
    """Version of Landlock's interface (its ABI), 0 when the kernel has none."""
    fix: str = ""
    """What brings the walls that are missing."""

    @property
    def cells(self) -> bool:
        """Whether a clone's PHP sees nothing but its own files and processes, and no network."""
        return self.walls is not Walls.NONE

    @property
    def full(self) -> bool:
        """Whether, besides, what reads a source is confined to its job's folders."""
        return self.cells and self.landlock > 0

    @property
    def level(self) -> str:
        """In words."""
        lacks = [] if self.cells else ["no user namespaces: clones share the machine's files and network"]
        lacks += [] if self.landlock else ["no Landlock: what reads a source is not confined to its job's folders"]
        return "; ".join(lacks) or "full"


@cache
def isolation() -> Isolation:
    """The walls of this machine, tried out once."""
    walls, fix = _walls()
    found = landlock()
    return Isolation(walls, found, "; ".join(filter(None, [fix, "" if found else _landlock_advice()])))


def _walls() -> tuple[Walls, str]:
    """The walls of cells, and what to do when there are none."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Walls.NONE, "apt-get install bubblewrap"
    for walls in (Walls.USER_NAMESPACE, Walls.ROOT):
        if (walls is not Walls.ROOT or os.geteuid() == 0) and _holds(walls, bwrap):
            return walls, ""
    return Walls.NONE, _advice()


def edge_account() -> int:
    """The account of the web server in front of the clones."""
    return _range()[0]


def accounts() -> tuple[int, int]:
    """First account of clones, and how many."""
    first, count = _range()
    return first + RESERVED, count - RESERVED


def _range() -> tuple[int, int]:
    with open("/proc/self/uid_map") as file:
        known = [(int(line.split()[0]), int(line.split()[2])) for line in file]
    first, count = ACCOUNTS
    covered = any(start <= first and first + count <= start + length for start, length in known)
    return ACCOUNTS if covered else SMALL_ACCOUNTS


def walls_argv(walls: Walls, bwrap: str) -> list[str]:
    """bubblewrap's options that make the namespaces."""
    common = ["--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "clone", "--clearenv"]
    if walls is Walls.ROOT:
        needed = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
        kept = [word for name in needed for word in ("--cap-add", name)]
        spaces = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        return [bwrap, *spaces, "--cap-drop", "ALL", *kept, *common]
    return [*_user_namespace(bwrap), "--uid", "1000", "--gid", "1000", *common]


def become(uid: int, gid: int) -> list[str]:
    """The command that turns root into an account without any right, for good."""
    return [
        *("setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups"),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--"),
    ]


def landlock() -> int:
    """Version of Landlock's interface the kernel offers, 0 for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION)))


@cache
def _user_namespace(bwrap: str) -> list[str]:
    """The command's beginning, with no more namespaces inside of it where that can be had: not with bubblewrap before
    0.8, nor in a container, where /proc/sys can not be written."""
    plain = [bwrap, "--unshare-all", "--unshare-user"]
    strict = [*plain, "--disable-userns"]
    return strict if _runs([*strict, *PROBE], as_nobody=True) else plain


def _holds(walls: Walls, bwrap: str) -> bool:
    return _runs([*walls_argv(walls, bwrap), *PROBE], as_nobody=walls is Walls.USER_NAMESPACE)


def _runs(command: list[str], *, as_nobody: bool) -> bool:
    if as_nobody and os.geteuid() == 0:
        command = [*become(NOBODY, NOBODY), *command]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _advice() -> str:
    if _reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps ordinary programs from making user namespaces: install a profile for bwrap "
            "(apt-get install apparmor-profiles) or run: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if _reads("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "sysctl kernel.unprivileged_userns_clone=1"
    if _reads("/proc/sys/user/max_user_namespaces") == "0":
        return "sysctl user.max_user_namespaces=10000"
    return "allow user namespaces; in a container: run it with a seccomp profile that does not forbid them"


def _landlock_advice() -> str:
    """Built in since Linux 5.13, but on only where it is among the kernel's security modules (`lsm=`)."""
    modules = _reads("/sys/kernel/security/lsm")
    if modules and "landlock" not in modules.split(","):
        return f"start the kernel with lsm=landlock,{modules} (GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub)"
    return "Landlock needs Linux 5.13 or newer, and a container's seccomp profile that allows it"


def _reads(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
