"""Commands that run a program inside of a clone's walls: what it sees is listed here, and nothing else is there.

/usr/lib/…, /etc/php, the programs themselves   PHP's runtime, read-only
/run/runtime, /run/cell                         our configuration and sockets, read-only
<clone>/site, tmp, log, mail, cache             its own folders, writable unless it holds more than it may
<clone>/guard, <clone>/wp-config.php, media     ours, read-only
the directory of MariaDB's socket               where its own user of the database is let in
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from shared.cells.isolation import Walls, become, walls_argv
from shared.system_calls import Filter
from siteferry.embedded.cells.origins import FETCHED
from siteferry.embedded.cells.recipe import OWN, RUNTIME, php_arguments, startup, walls
from siteferry.embedded.cells.settings import CellSettings

SH, CAT, DATE, SETPRIV = "/usr/bin/dash", "/usr/bin/cat", "/usr/bin/date", "/usr/bin/setpriv"
LIBRARIES = ("/usr/lib64", "/usr/lib/php", "/usr/lib/locale", "/usr/lib/ssl", "/usr/share/zoneinfo", "/usr/share/php")
SETTINGS = (
    *("/etc/php", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ImageMagick-6", "/etc/ImageMagick-7"),
)
WRITABLE = ("site", "tmp", "log", "mail", "cache")
OF_THE_SITE = frozenset({"administrator"})
"""Scripts of the agent that load the clone's whole WordPress and believe nothing else: what they compile is there for
the first page, and compiled code that the clone has forged is worth no more than its files."""
FULL_TMP = 64 << 20
FILTER = Filter(processes=True)
"""What PHP, its web server and a mail program never ask of the kernel is refused."""


@dataclass(frozen=True)
class Account:
    """Who owns a clone's files and runs its PHP."""

    uid: int
    gid: int

    @classmethod
    def of(cls, clone: Path) -> Account:
        """The owner of the clone's document root. Raises OSError when there is none."""
        facts = os.lstat(clone / "site")
        return cls(facts.st_uid, facts.st_gid)


@contextmanager
def filter_file(settings: CellSettings) -> Iterator[int | None]:
    """The filter over system calls as a file that bubblewrap reads once; None where there is no filter or no cell."""
    program = None if walls(settings) is Walls.NONE else FILTER.program()
    if program is None:
        yield None
        return
    descriptor = os.memfd_create("filter")
    try:
        os.write(descriptor, program)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def cell_command(
    settings: CellSettings,
    clone_id: str,
    account: Account,
    *,
    read_only: bool,
    filtered: int | None,
    database: bool = True,
) -> list[str]:
    """Web server and PHP-FPM, with MariaDB's socket or without. File descriptor 8 is the web server's socket, 9 PHP's,
    10 where bubblewrap reports, `filtered` the one of `filter_file` there."""
    clone = Path(settings.clones) / clone_id
    here, runtime, sh = _places(settings, clone_id)
    start = [sh, f"{runtime}/start.sh", settings.nginx, settings.php_fpm]
    limits = [settings.processes, settings.file_bytes // 512, settings.php_address_space // 1024]
    environment = {
        "FPM_SOCKETS": f"{OWN}/php.sock=9",
        "NGINX": "8;",
        "SITEFERRY_PHP_STARTUP": startup(clone),
        "PATH": "/usr/bin:/bin",
    }
    start += [*map(str, limits), here]
    start += ["setpriv"] if walls(settings) is Walls.NONE else []
    given = ["--info-fd", "10", *_filtered(filtered)]
    reached = settings if database else replace(settings, mariadb_socket="")
    return _inside(reached, clone_id, account, environment, start, read_only=read_only, given=given)


def agent_command(
    settings: CellSettings, clone_id: str, account: Account, script: str, *, filtered: int | None
) -> list[str]:
    """PHP on the command line with one of the agent's scripts. `filtered`: the descriptor of `filter_file` there."""
    clone = Path(settings.clones) / clone_id
    _, runtime, _ = _places(settings, clone_id)
    compiled = script in OF_THE_SITE and (clone / "cache").is_dir()  # PHP does not start without the folder
    php = [settings.php_cli, *php_arguments(settings, clone, compiled=compiled), f"{runtime}/agent/{script}.php"]
    environment, given = {"PATH": "/usr/bin:/bin"}, _filtered(filtered)
    return _inside(settings, clone_id, account, environment, php, read_only=False, given=given)


def as_account(account: Account) -> list[str]:
    """Before a command that may run outside of the walls: the clone's account, and no right."""
    return become(account.uid, account.gid) if os.geteuid() == 0 else []


def _places(settings: CellSettings, clone_id: str) -> tuple[str, str, str]:
    if walls(settings) is Walls.NONE:
        return str(settings.directory(clone_id)), str(settings.runtime), "/bin/sh"
    return OWN, RUNTIME, SH


def _inside(
    settings: CellSettings,
    clone_id: str,
    account: Account,
    environment: dict[str, str],
    program: list[str],
    *,
    read_only: bool,
    given: list[str],
) -> list[str]:
    kind = walls(settings)
    if kind is Walls.NONE:
        words = [f"{name}={value}" for name, value in environment.items()]
        words = [word.replace(OWN, str(settings.directory(clone_id))) for word in words]
        return [*as_account(account), "setpriv", "--pdeathsig", "TERM", "/usr/bin/env", "-i", *words, *program]
    argv = [*walls_argv(kind, settings.bwrap), *given]
    mounts = _runtime(settings, kind) + _folders(settings, clone_id, read_only=read_only)
    # Made by root, they would be root's alone.
    argv += [word for folder in _parents(mounts) for word in ("--dir", folder)] if kind is Walls.ROOT else []
    argv += mounts
    argv += [word for name, value in environment.items() for word in ("--setenv", name, value)]
    argv += ["--remount-ro", "/", "--chdir", "/", "--"]
    if kind is Walls.ROOT:
        return [*argv, *become(account.uid, account.gid), *program]
    return [*as_account(account), *argv, *program]


def _filtered(descriptor: int | None) -> list[str]:
    return [] if descriptor is None else ["--seccomp", str(descriptor)]


def _parents(mounts: list[str]) -> list[str]:
    places = [mounts[number + 2] for number, word in enumerate(mounts) if word.startswith(("--ro-bind", "--bind"))]
    return sorted({str(folder) for place in places for folder in Path(place).parents} - {"/"})


def _runtime(settings: CellSettings, kind: Walls) -> list[str]:
    argv = []
    machine = sorted(str(path) for path in Path("/usr/lib").glob("*-linux-*"))
    libraries = [*machine, *LIBRARIES] if machine else ["/usr/lib", *LIBRARIES]
    programs = [settings.nginx, settings.php_fpm, settings.php_cli, SH, CAT, DATE]
    programs += [SETPRIV] if kind is Walls.ROOT else []
    local = ["/usr/local/lib", "/usr/local/etc"] if settings.php_fpm.startswith("/usr/local/") else []
    for path in (*libraries, *local, *SETTINGS, *dict.fromkeys(programs)):
        if os.path.exists(path):
            argv += ["--ro-bind", path, path]
    for name in ("lib", "lib64", "bin", "sbin"):
        if os.path.islink(f"/{name}"):
            argv += ["--symlink", f"usr/{name}", f"/{name}"]
        elif name.startswith("lib") and os.path.isdir(f"/{name}"):
            argv += ["--ro-bind", f"/{name}", f"/{name}"]
    argv += ["--symlink", "dash", "/usr/bin/sh", "--dev", "/dev", "--tmpfs", "/run/web", "--chmod", "1777", "/run/web"]
    argv += ["--ro-bind", str(settings.runtime), RUNTIME]
    if settings.mariadb_socket:
        folder = str(Path(settings.mariadb_socket).parent)
        argv += ["--ro-bind-try", folder, folder]
    return argv


def _folders(settings: CellSettings, clone_id: str, *, read_only: bool) -> list[str]:
    clone = Path(settings.clones) / clone_id
    argv = ["--ro-bind", str(settings.directory(clone_id)), OWN]
    for name in WRITABLE:
        path = str(clone / name)
        if read_only and name == "tmp":
            argv += ["--size", str(FULL_TMP), "--tmpfs", path]
        else:
            argv += ["--ro-bind-try" if read_only else "--bind-try", path, path]
    for name in ("guard", "wp-config.php", FETCHED):
        argv += ["--ro-bind-try", str(clone / name), str(clone / name)]
    for folder in (clone.parent, clone.parent.parent):  # to be passed through, not looked at
        argv += ["--chmod", "0111", str(folder)]
    if not clone.is_relative_to("/tmp"):  # noqa: S108 - a name inside of the cell
        argv += ["--symlink", str(clone / "tmp"), "/tmp"]  # noqa: S108
    return argv
