"""`siteferry doctor`: what this machine lacks for `siteferry up`, and the command that brings it."""

from __future__ import annotations

import asyncio
import http.client
import os
import pwd
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.bus.connection import connect
from shared.bus.log_size import LogSize, log_size
from shared.cells.isolation import isolation
from shared.settings import Settings
from siteferry.cli.log_size import sentence
from siteferry.embedded.instance import Instance, nats_environment, running_instance
from siteferry.embedded.servers import ServerError
from siteferry.embedded.servers.base import find_binary, first_untraversable, running_as_root
from siteferry.embedded.servers.phpfpm import BINARIES as PHP_FPM
from siteferry.embedded.servers.ports import port_in_use, who_listens
from siteferry.environment import default_state_dir

INSTALL = "scripts/install.sh"
PHP_MODULES = ("curl", "dom", "exif", "gd", "intl", "mbstring", "mysqli", "openssl", "xml", "zip", "Zend OPcache")
"""What WordPress and its usual plugins ask for."""
PACKAGE_OF_MODULE = {"dom": "xml", "mysqli": "mysql", "Zend OPcache": "opcache", "exif": "common", "openssl": "common"}
OLDEST_MARIADB = (10, 6)
OLDEST_PHP = (7, 4)
LEAST_FREE = 2 << 30
FEW_FILES = 4096
NEARLY_FULL = 80
"""Percent."""


@dataclass(frozen=True)
class Check:
    """One thing looked at. `detail` says what was found, `fix` the command or act that mends it ("" when well)."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks(state: Path | None = None, *, port: int = 8080) -> list[Check]:
    """Look at everything; never raises. Takes about a second."""
    state = state or default_state_dir()
    found = [python_version(), *(program(*row) for row in PROGRAMS), php_modules()]
    found += [accounts(), walls(), state_directory(state), disk_space(state), open_files()]
    instance = running_instance(state)
    return [*found, *(running_checks(instance) if instance else [port_free(port)])]


def python_version() -> Check:
    """The oldest that will do is the one the code is written for."""
    ok = sys.version_info >= (3, 11)
    return Check("Python", ok, f"{dotted(sys.version_info[:3])} ({sys.executable})", "" if ok else INSTALL)


Version = tuple[int, ...]
PROGRAMS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], Version, str], ...] = (
    ("nats-server", ("nats-server",), ("--version",), (2, 12), INSTALL),
    ("Caddy", ("caddy",), ("version",), (2, 8), INSTALL),
    ("MariaDB", ("mariadbd", "mysqld"), ("--version",), OLDEST_MARIADB, "apt-get install mariadb-server"),
    ("mariadb-install-db", ("mariadb-install-db",), (), (), "apt-get install mariadb-server"),
    ("PHP-FPM", PHP_FPM, ("--version",), OLDEST_PHP, "apt-get install php-fpm"),
    ("PHP command line", ("php",), ("--version",), OLDEST_PHP, "apt-get install php-cli"),
    ("nginx", ("nginx",), ("-v",), (1, 18), "apt-get install nginx"),
    ("bubblewrap", ("bwrap",), ("--version",), (0, 5), "apt-get install bubblewrap"),
    ("setpriv", ("setpriv",), ("--version",), (2, 33), "apt-get install util-linux"),
)
"""Name, programs that will do, arguments that print the version, oldest version that will do, command that helps."""


def program(name: str, binaries: tuple[str, ...], ask: tuple[str, ...], oldest: Version, fix: str) -> Check:
    """Whether a program is there and new enough."""
    try:
        path = find_binary(*binaries)
    except ServerError as error:
        return Check(name, False, str(error), fix)
    if not ask:
        return Check(name, True, path)
    said = output_of([path, *ask])
    version = first_version(said)
    if version < oldest:
        wanted = ".".join(map(str, oldest))
        return Check(name, False, f"{path} is {dotted(version) or said or 'broken'}; {wanted} or newer is needed", fix)
    return Check(name, True, f"{dotted(version)} ({path})")


def php_modules() -> Check:
    """Modules of PHP-FPM: those of the command line may differ."""
    try:
        present = output_of([find_binary(*PHP_FPM), "-m"]).splitlines()
    except ServerError as error:
        return Check("PHP modules", False, str(error), "apt-get install php-fpm")
    missing = [module for module in PHP_MODULES if module not in present]
    if not missing:
        return Check("PHP modules", True, ", ".join(PHP_MODULES))
    packages = sorted({f"php-{PACKAGE_OF_MODULE.get(module, module)}" for module in missing})
    return Check("PHP modules", False, f"missing: {', '.join(missing)}", f"apt-get install {' '.join(packages)}")


def accounts() -> Check:
    """As root the database and the sites run under system accounts of their own."""
    if not running_as_root():
        return Check("accounts", True, f"everything runs as {pwd.getpwuid(os.geteuid()).pw_name}")
    known = {entry.pw_name for entry in pwd.getpwall()}
    if "mysql" not in known:
        return Check("accounts", False, "no user mysql", f"{INSTALL} (its packages make it)")
    return Check("accounts", True, "database as mysql, each clone as a number of its own")


def walls() -> Check:
    """How far strange sites are walled in. Less than all of it is for those who said so: SITEFERRY_ISOLATION=best."""
    found = isolation()
    ok = found.full or os.environ.get("SITEFERRY_ISOLATION") == "best"
    confined = f"Landlock ABI {found.landlock}" if found.landlock else "no Landlock"
    return Check("isolation", ok, f"{found.level} (cells: {found.walls}; carriers: {confined})", found.fix)


def state_directory(state: Path) -> Check:
    """Whether we may write there and the accounts of database and sites may pass through."""
    name = "state directory"
    existing = next(folder for folder in (state, *state.parents) if os.path.exists(folder))
    if not existing.is_dir():
        return Check(name, False, f"{existing} is not a directory", "siteferry up --state DIR")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check(name, False, f"{existing} is not writable for you", f"sudo chown -R $USER {existing}")
    for account in ("mysql", "www-data") if running_as_root() else ():
        try:
            blocked = first_untraversable(state, account)
        except KeyError:
            continue  # told by the check of accounts
        if blocked:
            return Check(name, False, f"user {account} can not enter {blocked}", f"chmod o+x {blocked}")
    return Check(name, True, f"{state}{'' if os.path.exists(state) else ' (will be made)'}")


def disk_space(state: Path) -> Check:
    """Clones need as much as their sources, and the database's logs a little."""
    existing = next(folder for folder in (state, *state.parents) if os.path.exists(folder))
    free = shutil.disk_usage(existing).free
    detail = f"{free / (1 << 30):.1f} GB free at {existing}"
    return Check("disk space", free >= LEAST_FREE, detail, "" if free >= LEAST_FREE else "siteferry up --state DIR")


def open_files() -> Check:
    """Every clone's tables are open files of one MariaDB."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= hard < FEW_FILES
    detail = "unlimited" if hard == resource.RLIM_INFINITY else f"up to {hard} per process"
    return Check("open files", not few, detail, f"ulimit -Hn {FEW_FILES * 4}" if few else "")


def port_free(port: int) -> Check:
    """Whether `siteferry up` could listen."""
    if port_in_use(port):
        return Check(f"port {port}", False, f"in use{who_listens(port)}", "siteferry up --port PORT")
    return Check(f"port {port}", True, "free")


def running_checks(instance: Instance) -> list[Check]:
    """What the instance that runs says of itself."""
    where = f"{instance.edge_url} (pid {instance.pid})"
    status, text = get(instance.edge_url, "/readyz")
    look = Check("nats command", True, f"{nats_environment(instance)} nats stream report   (may only read)")
    if status == 200:
        return [Check("running instance", True, where), look, log_room(instance)]
    found = f"{where}: {status or ''} {text}".rstrip()
    return [Check("running instance", False, found, "look into siteferry.log in the state directory")]


def log_room(instance: Instance) -> Check:
    """How full the store of NATS is."""
    name, settings = "log", Settings(nats_url=instance.nats_url, nats_token_file=Path(instance.nats_token_file))

    async def measure() -> LogSize:
        async with asyncio.timeout(5), connect(settings, service="doctor") as bus:
            return await log_size(bus, limit=instance.nats_max_store)

    try:
        size = asyncio.run(measure())
    except Exception as error:
        return Check(name, False, f"can not be measured: {error!r}", "siteferry log-size")
    well = size.percent < NEARLY_FULL
    return Check(name, well, sentence(size), "" if well else "make SITEFERRY_NATS_STORE_GB larger, start again")


def get(base: str, path: str) -> tuple[int, str]:
    """Status and the beginning of the body; (0, reason) when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(base.rpartition(":")[2]), timeout=5)
    try:
        connection.request("GET", path, headers={"Host": base.partition("://")[2]})
        answer = connection.getresponse()
        return answer.status, answer.read(500).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return 0, f"does not answer: {error}"
    finally:
        connection.close()


def output_of(argv: list[str]) -> str:
    """What a program prints; an empty string when it can not be run."""
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    try:
        done = run(argv, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def first_version(text: str) -> Version:
    """The first dotted number of a text: `v2.11.7 h1:…` is (2, 11, 7); () when there is none."""
    found = re.search(r"(?<![\d.])\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def dotted(version: Version) -> str:
    return ".".join(map(str, version))
