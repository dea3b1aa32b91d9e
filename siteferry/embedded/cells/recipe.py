"""What is written for cells: the files all share, and one clone's configuration of web server and PHP."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from shared.cells.isolation import Walls
from shared.cells.source import cell_source
from siteferry.embedded.cells.origins import locations, origin_of
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.servers.base import make_directory, write_file
from siteferry.embedded.servers.phpfpm import quoted

RUNTIME = "/run/runtime"
"""Where a cell finds what all cells share."""
OWN = "/run/cell"
"""Where a cell finds its own configuration and sockets."""

PHP_VALUES: Mapping[str, str] = {
    "auto_prepend_file": "{clone}/guard/prepend.php",
    "sys_temp_dir": "{clone}/tmp",
    "upload_tmp_dir": "{clone}/tmp",
    "session.save_path": "{clone}/tmp",
    "error_log": "{clone}/log/php.log",
    "sendmail_path": "/bin/sh {clone}/guard/sendmail.sh",
    "memory_limit": "256M",
    "max_execution_time": "120",
    "upload_max_filesize": "128M",
    "post_max_size": "128M",
    "max_input_vars": "5000",
    "log_errors": "1",
    "display_errors": "0",
    "expose_php": "0",
    "allow_url_fopen": "0",
    "allow_url_include": "0",
    "user_ini.filename": "",  # a site's .user.ini must not undo what we set
    "enable_dl": "0",
    "ffi.enable": "false",
}
"""Settings of a clone's PHP; `{clone}` is its directory. No script can change them."""

COMPILED: Mapping[str, str] = {
    "opcache.validate_timestamps": "1",
    "opcache.revalidate_freq": "0",  # an edited file counts at once
    "opcache.file_cache": "{clone}/cache",  # so that the first page after waking need not be compiled
    "opcache.lockfile_path": "{clone}/tmp",
    "opcache.jit": "off",
}
"""How a clone's compiled code is kept, in a folder of its own."""

STARTUP: Mapping[str, str] = {
    **COMPILED,
    "opcache.enable": "1",
    "opcache.memory_consumption": "96",
    "opcache.interned_strings_buffer": "12",
    "opcache.max_accelerated_files": "16000",
    "realpath_cache_size": "4096K",
    "realpath_cache_ttl": "60",
}
"""Settings only PHP-FPM's master can take, at its start. Nobody shares its memory, so compiled code may be there."""


def write_runtime(settings: CellSettings) -> None:
    """Copy what all cells share to where their accounts can read it."""
    runtime = make_directory(settings.runtime, mode=0o755)
    for name in ("mime.types", "fastcgi.conf", "start.sh"):
        write_file(runtime / name, (cell_source() / name).read_text())
    shutil.rmtree(runtime / "agent", ignore_errors=True)
    make_directory(runtime / "agent", mode=0o755)
    for script in (cell_source() / "agent").glob("*.php"):
        write_file(runtime / "agent" / script.name, script.read_text())


def write_configuration(settings: CellSettings, clone_id: str, gid: int, *, plain: bool = False) -> Path:
    """One clone's nginx.conf and php-fpm.conf, readable by its group; returns their directory."""
    directory = make_directory(settings.directory(clone_id), mode=0o750)
    clone = Path(settings.clones) / clone_id
    here, runtime = (str(directory), str(settings.runtime)) if plain else (OWN, RUNTIME)
    words = {
        "LOG": f"{here}/log",
        "OWN": here,
        "WEB": f"{here}/web" if plain else "/run/web",
        "RUNTIME": runtime,
        "TMP": str(clone / "tmp"),
        "LISTEN": settings.listen or f"unix:{settings.web_socket(clone_id)}",
        "PROXIES": "0.0.0.0/0" if settings.listen else "unix:",
        "SITE": str(clone / "site"),
        "SYMLINKS": f"disable_symlinks on from={clone / 'site'};" if plain else "",
        "CHILDREN": str(settings.children),
        "MEDIA": locations(origin_of(settings, clone_id), clone, own=here, plain=plain),
        "PROXY": f"socks5h://localhost{here}/egress.sock",
        "VALUES": _values(settings, clone, plain=plain),
    }
    for name in ("nginx.conf", "php-fpm.conf"):
        write_file(directory / name, _filled((cell_source() / name).read_text(), words), mode=0o640)
        _give(directory / name, gid)
    _give(directory, gid)
    return directory


def startup(clone: Path) -> str:
    """PHP-FPM's arguments for STARTUP, as words without blanks."""
    return " ".join(f"-d {name}={value.format(clone=clone)}" for name, value in STARTUP.items())


def php_arguments(settings: CellSettings, clone: Path, *, compiled: bool) -> list[str]:
    """The same settings for PHP on the command line, without the guard's prepended file.

    `compiled`: with the clone's compiled code, in a folder that is there. What it holds the clone may have written.
    """
    values = {**PHP_VALUES, **settings.php_values, "auto_prepend_file": "", "error_log": "", "max_execution_time": "0"}
    values["disable_functions"] = settings.disabled_functions
    if compiled:
        values |= {**COMPILED, "opcache.enable_cli": "1", "opcache.file_cache_only": "1"}
    return [word for name, value in values.items() for word in ("-d", f"{name}={value.format(clone=clone)}")]


def _values(settings: CellSettings, clone: Path, *, plain: bool) -> str:
    values = {**PHP_VALUES, "disable_functions": settings.disabled_functions, **settings.php_values}
    if plain:
        values["open_basedir"] = f"{clone}/"
    return "".join(f"php_admin_value[{name}] = {quoted(value.format(clone=clone))}\n" for name, value in values.items())


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)


def _give(path: Path, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, 0, gid)


def walls(settings: CellSettings) -> Walls:
    """How cells are built here."""
    return Walls(settings.walls)
