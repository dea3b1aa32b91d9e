"""What the worker tells carriers of a clone, and what it opens for them."""

from __future__ import annotations

import base64
import json
from typing import Any

from services.cloner.commands import command_of
from services.cloner.drivers.port import Provisioner, Target
from services.cloner.run import Brief, Secrets
from services.cloner.settings import ClonerSettings
from shared.contract.jobs import CloneAction
from shared.engine.context import JobContext
from shared.secrets.vault import KeyRing


class Briefs:
    """For the carriers of one job after the other."""

    def __init__(self, driver: Provisioner, settings: ClonerSettings, keys: KeyRing) -> None:
        self._driver = driver
        self._settings = settings
        self._keys = keys

    async def brief(self, context: JobContext, target: Target) -> Brief:
        settings = self._settings
        dialect = await context.blocking(self._driver.dialect)
        php = await context.blocking(self._driver.php_version)
        return Brief(
            target,
            dialect,
            settings.allow_private_sources,
            settings.connector_hours,
            settings.compress,
            php,
            settings.id_band,
            self._no_media(context),
            self._becomes(context),
        )

    def _no_media(self, context: JobContext) -> str:
        """Why media can not stay on the source, "" when they can."""
        if not self._driver.fetches_media:
            return "clones of this installation fetch nothing from their sources"
        return (
            "the site is behind a password of its web server, which no clone keeps" if "basic" in context.state else ""
        )

    def secrets(self, context: JobContext, login: dict[str, Any] | None) -> Secrets:
        state, known = context.state, {}
        if login and login.get("password"):
            known = {name: str(login[name]) for name in ("username", "password", "login_url") if login.get(name)}
        key = base64.b64decode(self.open(context, state["connector_key"])) if "connector_key" in state else b""
        password = self.open(context, state["password"]) if "password" in state else ""
        basic = tuple(json.loads(self.open(context, state["basic"]))) if "basic" in state else None
        return Secrets(known, key, password, basic)

    def seal(self, context: JobContext, text: str) -> str:
        return self._keys.seal(text, purpose=context.job_id)

    def open(self, context: JobContext, sealed: str) -> str:
        return self._keys.open(sealed, purpose=context.job_id)

    def _becomes(self, context: JobContext) -> tuple[str, str] | None:
        """Address and document root of the clone a copy is exchanged for; None: it stays where it is made."""
        command = command_of(context)
        if command.action is not CloneAction.REFRESH:
            return None
        target = self._driver.place(command.clone_id or "")
        return target.url, str(target.document_root)
