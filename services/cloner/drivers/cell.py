"""What every driver does alike once a clone has a place: its configuration, its administrator, its mail, login links.

A driver says how a file of ours is written beside the site's, and how a script of the agent (`cell/agent`) is run where
the clone's PHP runs; the rest is here.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.cloner.drivers.config import cell_facts, constants, guard_config, php, wp_config
from services.cloner.drivers.login_link import LONGEST_LOGIN, make_link
from services.cloner.drivers.mailbox import read_mails
from services.cloner.drivers.port import CloneSilent, LoginLink, MailMessage, SiteConfig, UserNotFound
from services.cloner.errors import FinalizeFailed, PathRefused, WordPressMissing
from shared.cells.client import AgentFailed
from shared.cells.names import database_name
from shared.cells.source import cell_source
from shared.wordpress.transfer.errors import target_errors

GUARD_FILES = ("guard.php", "login.php", "media.php", "prepend.php", "sendmail.sh")
LOGIN_KEY = "guard/login-key.php"
CONFIG = "wp-config.php"
SITE = "guard/site.json"
"""What the configuration was written from, for a clone that is made of this one."""
PHP_SECONDS = 120
MAIL_SECONDS = 30
USER_SECONDS = 25
MAX_MAILS = 500
MAIL_BYTES = 850_000


class CellTarget:
    """One clone. Paths are those its own PHP sees."""

    clone_id: str
    url: str
    directory: Path
    wordpress_path: str = ""

    @property
    def document_root(self) -> Path:
        """Where the site's files are for its PHP."""
        return self.directory / "site"

    @property
    def database(self) -> str:
        """Name of the clone's database and of its user."""
        return database_name(self.clone_id)

    @property
    def database_socket(self) -> Path:
        """Where the clone's PHP finds its database server."""
        raise NotImplementedError

    # what a driver does in its own way

    def _write(self, name: str, text: str) -> None:
        """Write one of our own files, below the clone's directory; the site's PHP may read it, not change it."""
        raise NotImplementedError

    def _call(self, call: str, values: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Run a script of the agent. Raises AgentFailed, OwnPartAway."""
        raise NotImplementedError

    def _serve(self) -> None:
        """The configuration is there: have the clone answer."""
        raise NotImplementedError

    def _password(self) -> str:
        """Of the clone's own database user."""
        raise NotImplementedError

    def _login_key(self) -> str:
        """What login links are sealed with; its file is there afterwards."""
        raise NotImplementedError

    # the same for all

    def write_config(self, config: SiteConfig) -> None:
        """Write the guard and wp-config.php, which the site's PHP may read but not change, and have it served."""
        wordpress = checked_path(config.wordpress_path)
        if config.content_path is not None:
            checked_path(config.content_path)
        with target_errors("writing the clone's configuration"):
            self._write_guard()
            self._write("guard/config.php", guard_config(config, host=urlsplit(self.url).hostname or ""))
            self._write("guard/cell.json", cell_facts(config))
            text = constants(
                config,
                database=self.database,
                user=self.database,
                password=self._password(),
                socket=self.database_socket,
                clone_dir=self.directory,
            )
            self._write("guard/constants.php", text)
            self._write(SITE, json.dumps(asdict(config)))
            self._write(CONFIG, wp_config(config, clone_dir=self.directory))
        self.wordpress_path = wordpress
        self._serve()
        if wordpress:
            stub = (self.document_root / wordpress).parent / CONFIG
            places = {"stub": str(stub), "config": str(self.directory / CONFIG)}
            self._finalize("place", places)

    def make_administrator(self, username: str, password: str, email: str, *, like: str = "") -> None:
        """Create the administrator inside the clone's cell.

        Raises FinalizeFailed with PHP's own words, WordPressMissing.
        """
        wanted = {
            "wordpress": str(self.document_root / self.wordpress_path),
            "host": urlsplit(self.url).netloc,
            "username": username,
            "password": password,
            "email": email,
            "like": like,
        }
        answer = self._finalize("administrator", wanted)
        if "missing" in answer:
            raise WordPressMissing
        if not isinstance(answer.get("user_id"), int):
            raise FinalizeFailed("WordPress could not make the clone's administrator: it did not say which user it is")

    def login_link(self, user: str) -> LoginLink:
        """A link for one of the clone's users. A clone made by an older version gets the guard that knows links.

        Raises UserNotFound, CloneSilent, OwnPartAway, OSError.
        """
        wanted = {"config": str(self.directory / CONFIG), "host": urlsplit(self.url).netloc, "user": user}
        try:
            answer = self._call("user", wanted, seconds=USER_SECONDS)
        except AgentFailed as error:
            raise CloneSilent(str(error).replace(self._password(), "…")[-500:]) from error
        user_id, login = answer.get("user_id"), answer.get("login")
        if not isinstance(user_id, int) or user_id <= 0 or not isinstance(login, str):
            raise UserNotFound
        with target_errors("writing the clone's guard"):
            self._write_guard()
        return make_link(self._login_key(), user_id=user_id, login=login[:LONGEST_LOGIN])

    def mails(self) -> list[MailMessage]:
        """Captured mail, newest first. Raises OSError, OwnPartAway."""
        wanted = {"box": str(self.directory / "mail"), "messages": MAX_MAILS, "bytes": MAIL_BYTES}
        try:
            answer = self._call("mail", wanted, seconds=MAIL_SECONDS)
        except AgentFailed as error:
            raise OSError(f"the mail box can not be read: {error}") from error
        return read_mails(answer)

    def _write_guard(self) -> None:
        for name in GUARD_FILES:
            self._write(f"guard/{name}", (cell_source() / "guard" / name).read_text())
        self._login_key()

    def _finalize(self, call: str, values: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._call(call, values, seconds=PHP_SECONDS)
        except AgentFailed as error:
            words = str(error)
            for secret in filter(None, (values.get("password"), self._password())):
                words = words.replace(secret, "…")
            raise FinalizeFailed(f"WordPress could not make the clone's administrator: {words[-500:]}") from error


def login_key_file(key: str) -> str:
    """The text of LOGIN_KEY."""
    return f"<?php return {php(key)};\n"


def checked_path(path: str) -> str:
    """A path below the document root, as it is. Raises PathRefused for one that leads anywhere else."""
    if path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise PathRefused(f"The source says its WordPress lies in {path!r}, which is no folder of its document root.")
    return path


@cache
def php_version() -> str:
    """What PHP on this machine's command line says of itself: clones run on one of the same package. "" for none."""
    try:
        done = subprocess.run(
            ["php", "-n", "-r", "echo PHP_VERSION;"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if re.fullmatch(r"\d+\.\d+\.\d+\S{0,40}", done.stdout.strip()) else ""
