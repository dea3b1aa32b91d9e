"""One PHP-FPM with one on-demand pool for all sites.

What differs from site to site (its own directory above all) travels with every request as the FastCGI parameter
PHP_ADMIN_VALUE, written by Caddy (`caddy_config`); what is the same for all is fixed here.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from siteferry.embedded.servers.base import (
    Server,
    find_binary,
    make_directory,
    require_traversable,
    running_as_root,
    write_file,
)
from siteferry.embedded.servers.ports import accepts
from siteferry.embedded.servers.sockets import prepare_socket_directory, socket_path

HINT = "apt-get install php-fpm"
BINARIES = ("php-fpm8.[0-9]*", "php-fpm7.4", "php-fpm")

NO_PROGRAMS_NO_SOCKETS = (
    "exec,passthru,shell_exec,system,proc_open,popen,pcntl_exec,pcntl_fork,pcntl_alarm,pcntl_signal,pcntl_waitpid,"
    "fsockopen,pfsockopen,stream_socket_client,stream_socket_server,stream_socket_pair,socket_create,socket_connect,"
    "socket_create_listen,ftp_connect,ftp_ssl_connect,ldap_connect,imap_open,ssh2_connect,"
    "dl,putenv,link,symlink,posix_kill,posix_setpgid,posix_setsid"
)
"""Functions a clone has no business with. The clone's guard filters WordPress's own HTTP; this is the floor."""

NOWHERE = "http://127.0.0.1:9"
"""A proxy that refuses: what curl is told to use when a plugin calls it behind WordPress's back."""

CONFIG = """\
[global]
error_log = /proc/self/fd/2
log_level = notice
daemonize = no
process_control_timeout = 5s

[sites]
{identity}listen = {socket}
listen.mode = 0600
listen.backlog = 511
pm = ondemand
pm.max_children = {max_children}
pm.process_idle_timeout = 20s
pm.max_requests = 500
request_terminate_timeout = 300s
catch_workers_output = yes
decorate_workers_output = no
clear_env = yes
security.limit_extensions = .php
env[PATH] = /usr/local/bin:/usr/bin:/bin
{environment}{values}"""

COMMON_VALUES: Mapping[str, str] = {
    "log_errors": "1",
    "display_errors": "0",
    "expose_php": "0",
}
HARDENED_VALUES: Mapping[str, str] = {
    "disable_functions": NO_PROGRAMS_NO_SOCKETS,
    "allow_url_fopen": "0",
    "allow_url_include": "0",
    "user_ini.filename": "",  # a site's .user.ini must not undo what we set
    "enable_dl": "0",
    "ffi.enable": "false",
}
STARTUP: Mapping[str, str] = {
    "opcache.enable": "1",
    "opcache.validate_timestamps": "1",
    "opcache.revalidate_freq": "0",  # an edited file counts at once
    "opcache.interned_strings_buffer": "16",
    "opcache.max_accelerated_files": "60000",
    "opcache.restrict_api": "/nowhere",  # no site may list or empty what others have cached
    "opcache.validate_permission": "1",
    "opcache.jit": "off",
}
"""Settings only the master can take, at its start."""


class PhpFpm(Server):
    """PHP for all sites, on a unix socket that only we (and so Caddy, not the sites) may open."""

    name: ClassVar[str] = "php-fpm"
    stop_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    def __init__(
        self,
        directory: Path,
        *,
        hardened: bool = True,
        max_children: int = 24,
        code_memory: int = 192,
        admin_values: Mapping[str, str] | None = None,
    ) -> None:
        """`hardened=False` makes an ordinary host, as sources are; `admin_values` are set for all sites on top.

        `code_memory`: megabytes for compiled code, about 18 for each site. What finds no room is compiled at every
        request, which costs six times as much: a full cache is not emptied.
        """
        super().__init__(directory)
        self.hardened, self.max_children, self.code_memory = hardened, max_children, code_memory
        self.admin_values = dict(admin_values or {})
        self.socket = socket_path(self.directory, "php-fpm.sock")

    @property
    def config_file(self) -> Path:
        return self.directory / "php-fpm.conf"

    @property
    def site_account(self) -> str | None:
        """System account the sites' PHP runs under; None: ours."""
        return "www-data" if running_as_root() else None

    def prepare(self) -> None:
        super().prepare()
        make_directory(self.directory, mode=0o711)
        require_traversable(self.directory, self.site_account)
        prepare_socket_directory(self.socket)
        write_file(self.config_file, self._config(), mode=0o600)
        shutil.rmtree(self.code_cache, ignore_errors=True)
        make_directory(self.code_cache, mode=0o700, owner=self.site_account)

    @property
    def code_cache(self) -> Path:
        """Compiled code of hardened sites, on disk and out of the sites' reach, made anew at every start.

        PHP's shared-memory cache is no place for sites that must not see each other: `include` takes from it what
        `open_basedir` forbids. From disk it takes only what it could open.
        """
        return self.directory / "opcache"

    def _config(self) -> str:
        values = {**COMMON_VALUES, **(HARDENED_VALUES if self.hardened else {}), **self.admin_values}
        proxies = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY") if self.hardened else ()
        user = self.site_account
        return CONFIG.format(
            identity=f"user = {user}\ngroup = {user}\n" if user else "",
            socket=self.socket,
            max_children=self.max_children,
            environment="".join(f"env[{name}] = {NOWHERE}\n" for name in proxies),
            values="".join(f"php_admin_value[{name}] = {quoted(value)}\n" for name, value in values.items()),
        )

    def argv(self) -> list[str]:
        cache = {"opcache.file_cache_only": "1", "opcache.file_cache": str(self.code_cache)} if self.hardened else {}
        values = {**STARTUP, "opcache.memory_consumption": str(self.code_memory), **cache}
        startup = [argument for name, value in values.items() for argument in ("-d", f"{name}={value}")]
        program = find_binary(*BINARIES, hint=HINT)
        return [program, "--nodaemonize", "--force-stderr", "--fpm-config", str(self.config_file), *startup]

    def is_ready(self) -> bool:
        return accepts(self.socket)


def quoted(value: str) -> str:
    """A value as PHP's ini parser reads it back unchanged. Raises `ValueError` for what it can not hold."""
    if re.search(r'["\n\r\0]|\$\{', value):
        raise ValueError(f"not expressible as a PHP setting: {value!r}")
    return f'"{value}"'
