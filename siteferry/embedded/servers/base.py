"""What every embedded server has in common: how it is prepared, started, asked whether it is ready, and stopped."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

TROUBLE = re.compile(r"\b(?:warn(?:ing)?|err(?:or)?|alert|crit(?:ical)?|fatal|fault|panic|emerg)\b", re.IGNORECASE)


class ServerError(RuntimeError):
    """A server can not be prepared, started or stopped. The message is one a person can act on."""


class Server(ABC):
    """One child process with a directory of its own.

    `prepare` may block and is idempotent; `argv`, `env` and the other facts are valid once it has run.
    """

    name: ClassVar[str]
    """Name in logs and in run.json."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """Asks for an orderly stop."""
    stop_timeout: ClassVar[float] = 10.0
    """Seconds an orderly stop may take; then SIGKILL."""
    ready_timeout: ClassVar[float] = 30.0
    """Seconds until ready, at most."""
    hang_timeout: ClassVar[float] = 20.0
    """Seconds without an answer after which a process that lives is killed and started again."""
    needed_by_jobs: ClassVar[bool] = True
    """Whether a job may fail when it is away."""
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """What the kernel sends when whoever started us dies without a word."""

    def __init__(self, directory: Path) -> None:
        self.directory = checked_directory(directory)
        self.problem = ""
        """Why it does not answer as it should, in words, as far as it is known."""

    @property
    def log_file(self) -> Path:
        """Where `running` writes what the server prints."""
        return self.directory / f"{self.name}.log"

    @property
    def account(self) -> str | None:
        """System account the process is started under; None keeps ours."""
        return None

    def prepare(self) -> None:
        """Create directories, configuration and secrets. Idempotent; raises `ServerError`."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)

    @abstractmethod
    def argv(self) -> list[str]:
        """The command, without any secret in it."""

    def env(self) -> dict[str, str]:
        """The whole environment of the process: nothing of ours leaks into it."""
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}

    def command(self) -> list[str]:
        """`argv` under the right account, tied to the life of the process that starts it.

        The kernel clears the death signal when a process changes its user, so setpriv does both in the right order.
        """
        drop = ["--reuid", self.account, "--regid", self.account, "--init-groups"] if self.account else []
        death = self.death_signal.name.removeprefix("SIG")
        return [find_binary("setpriv"), *drop, "--pdeathsig", death, "--", *self.argv()]

    @abstractmethod
    def is_ready(self) -> bool:
        """One quick probe, never longer than about a second, never an exception."""

    def answers(self) -> bool:
        """Like `is_ready`, of one that has been ready: whether it still does its work."""
        return self.is_ready()

    def restart_helps(self) -> bool:
        """Whether one that does not answer would answer after a new start."""
        return True

    def shows(self, line: str) -> bool:
        """Whether a line it printed is worth showing to the person at the terminal; the log file gets all."""
        return bool(TROUBLE.search(line))

    def wait_ready(self, timeout: float | None = None, *, alive: Callable[[], bool] = lambda: True) -> None:
        """Block until ready. Raises `ServerError` when `alive` says no or the time is up."""
        deadline = time.monotonic() + (timeout or self.ready_timeout)
        pause = 0.01
        while not self.is_ready():
            if not alive():
                raise ServerError(f"{self.name} ended while starting")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not become ready within {timeout or self.ready_timeout:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        if not alive():  # somebody else answered on our address
            raise ServerError(f"{self.name} ended while starting")


def running_as_root() -> bool:
    return os.geteuid() == 0


UNFIT = frozenset("\"'`:;{}()[]<>$%#\\|&!?*^~")
"""Signs with a meaning in the settings of one of the servers; blanks part words there."""


def checked_directory(path: Path) -> Path:
    """The absolute path, refused when a configuration file of one of the servers could not spell it."""
    absolute = Path(os.path.abspath(path))
    if bad := sorted({sign for sign in str(absolute) if sign in UNFIT or sign.isspace() or not sign.isprintable()}):
        named = ", ".join("a blank" if sign == " " else repr(sign) for sign in bad)
        raise ServerError(
            f"the directory {str(absolute)!r} has {named} in its name, which settings of its servers can not hold; "
            "choose another, with --state or SITEFERRY_STATE"
        )
    return absolute


def find_binary(*names: str, hint: str = "") -> str:
    """Path of the first program found: beside our Python (wheels put theirs there), in PATH, in the sbin directories.

    A name may be a glob; the highest version wins. Raises `ServerError` with `hint`, the command that installs it.
    """
    folders = [Path(sys.executable).parent, *map(Path, os.environ.get("PATH", "").split(":"))]
    folders += map(Path, ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"))
    for name in names:
        for folder in folders:
            found = []
            with suppress(PermissionError):  # of a PATH that was somebody else's
                found = [path for path in folder.glob(name) if os.access(path, os.X_OK) and path.is_file()]
            if found:
                return str(max(found, key=lambda path: (len(path.name), path.name)))
    raise ServerError(f"{names[0]} is not installed" + (f"; get it with: {hint}" if hint else ""))


def write_file(path: Path, content: str, *, mode: int = 0o644, owner: str | None = None, durable: bool = False) -> None:
    """Write atomically, with the mode set before the content is there. Unchanged files stay untouched. `durable`: it
    survives a power cut once this returns."""
    with suppress(OSError):
        if path.read_text() == content and path.stat().st_mode & 0o777 == mode:
            return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if owner:
        shutil.chown(temporary, owner, pwd.getpwnam(owner).pw_gid)
    temporary.replace(path)
    if durable:
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = 0o755, owner: str | None = None) -> Path:
    """Create the directory and give it mode and owner, also when it exists already."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if owner:
        shutil.chown(path, owner, pwd.getpwnam(owner).pw_gid)
    return path


def secret_file(path: Path) -> str:
    """The secret kept in a 0600 file, made on first use. Letters and digits only: any configuration can hold it."""
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    write_file(path, secrets.token_hex(24) + "\n", mode=0o600)
    return path.read_text().strip()


def first_untraversable(path: Path, account: str) -> Path | None:
    """The topmost ancestor (or `path` itself) that `account` may not pass through; None when all is well."""
    user = pwd.getpwnam(account)
    groups = set(os.getgrouplist(account, user.pw_gid))
    for folder in [*reversed(path.parents), path]:
        try:
            info = folder.stat()
        except FileNotFoundError:
            return None
        shift = 6 if info.st_uid == user.pw_uid else 3 if info.st_gid in groups else 0
        if not (info.st_mode >> shift) & 1:
            return folder
    return None


def require_traversable(path: Path, account: str | None) -> None:
    """Raise `ServerError`, naming the command that helps, when `account` can not reach `path`."""
    if account and (blocked := first_untraversable(path, account)):
        raise ServerError(f"user {account} can not enter {blocked}; allow it with: chmod o+x {blocked}")


def require_traversable_by_all(path: Path) -> None:
    """Raise `ServerError`, naming the command that helps, when accounts of clones can not reach `path`."""
    for folder in [*reversed(path.parents), path]:
        if folder.exists() and not folder.stat().st_mode & 0o001:
            raise ServerError(f"accounts of clones can not enter {folder}; allow it with: chmod o+x {folder}")


def traversable_by_all(path: Path) -> bool:
    """Whether every account may use a file or pass through a directory."""
    real = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in [*path.parents, real, *real.parents])


def shared_temporary() -> Path:
    """Where temporary files go that other accounts must reach: root's own TMPDIR (libpam-tmpdir gives one) is shut."""
    chosen = Path(tempfile.gettempdir())
    return Path("/tmp") if running_as_root() and not traversable_by_all(chosen) else chosen  # noqa: S108
