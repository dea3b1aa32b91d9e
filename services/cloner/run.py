"""What the steps of one clone share while they run in this process: clients, the inspection, the plan.

Everything durable is in the job's state; this is rebuilt from there by whichever worker has the job.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import asdict
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx2

from services.cloner.domain import Plan, make_plan
from services.cloner.drivers.port import Provisioner, Target
from services.cloner.settings import ClonerSettings
from shared.contract.events import CloneOptions, CloneRequested
from shared.engine.worker import JobContext, StopToken
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.addresses import is_localhost
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.http import site_client
from shared.wordpress.probe import SiteAddress, find_site
from shared.wordpress.rewrite import Rewriter
from shared.wordpress.signin import AdminSession, sign_in

log = get(__name__)


class CloneRun:
    """One clone in the hands of this worker. Its properties are made when first asked for, from the job's state."""

    def __init__(self, context: JobContext, driver: Provisioner, settings: ClonerSettings, keys: KeyRing) -> None:
        self.context = context
        self.driver = driver
        self.settings = settings
        self._keys = keys
        self._lock = threading.RLock()
        self._session: AdminSession | None = None

    @property
    def job_id(self) -> str:
        """The job's id, which is the clone's id."""
        return self.context.job_id

    @property
    def command(self) -> CloneRequested:
        """What was asked for."""
        command = self.context.command
        assert isinstance(command, CloneRequested)
        return command

    @property
    def state(self) -> dict[str, Any]:
        """The job's memory."""
        return self.context.state

    @property
    def token(self) -> StopToken:
        """Tells when to stop."""
        return self.context.token

    @property
    def options(self) -> CloneOptions:
        """What the person who asked for the clone chose."""
        return self.command.options

    @cached_property
    def http(self) -> httpx2.Client:
        """The client for the source: sign-in, pages."""
        return site_client(allow_private=self.settings.allow_private_sources, check=lambda: self.context.token.check())

    @cached_property
    def site(self) -> SiteAddress:
        """Where the source is. Raises the errors of `find_site` when it has to look."""
        if "site" not in self.state:
            self.state["site"] = asdict(find_site(self.http, self.command.source_url))
        return SiteAddress(**{**self.state["site"], "evidence": tuple(self.state["site"]["evidence"])})

    @property
    def source_host(self) -> str:
        """The source's name for people."""
        return urlsplit(self.site.home).netloc

    @property
    def source_is_near(self) -> bool:
        """Whether the source is on this machine: compressing what it sends would only cost."""
        return is_localhost(urlsplit(self.site.home).hostname or "")

    def session(self, secret: dict[str, Any]) -> AdminSession:
        """A signed-in administrator; signs in once per process. Raises the SignInError family."""
        with self._lock:
            if self._session is None:
                self._session = sign_in(self.http, self.site, secret["username"], secret["password"])
            return self._session

    @cached_property
    def connector(self) -> ConnectorClient:
        """The connector's client; only after the connector step stored its key."""
        return ConnectorClient(self.http, endpoints(self.site.home, self.site.siteurl), self.connector_key())

    def connector_key(self) -> bytes:
        """The key shared with the connector."""
        return base64.b64decode(self.open(self.state["connector_key"]))

    def remember_key(self, key: bytes) -> None:
        """Keep the connector's key in the job's state, sealed."""
        self.__dict__.pop("connector", None)
        self.state["connector_key"] = self._keys.seal(base64.b64encode(key).decode(), purpose=self.job_id)

    def seal(self, text: str) -> str:
        """Seal a text for this job."""
        return self._keys.seal(text, purpose=self.job_id)

    def open(self, sealed: str) -> str:
        """The sealed text again."""
        return self._keys.open(sealed, purpose=self.job_id)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The connector's inspection of the source."""
        return self.connector.call("inspect")

    @cached_property
    def target(self) -> Target:
        """The clone's place."""
        return self.driver.place(self.job_id)

    @cached_property
    def plan(self) -> Plan:
        """What is to be done, from the inspection."""
        return make_plan(
            self.facts,
            target_url=self.target.url,
            document_root=str(self.target.document_root),
            dialect=self.driver.dialect(),
            options=self.options,
        )

    @cached_property
    def rewriter(self) -> Rewriter:
        """Maps the source's URLs and paths to the clone's."""
        return Rewriter(self.plan.urls, self.plan.paths)
