"""What the steps of one clone share in a carrier: clients, the inspection, the plan.

Everything durable is in the job's state; this is rebuilt from there by whichever carrier has the job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx2

from services.cloner.compression import Compress, compresses
from services.cloner.domain import Plan, file_rules, make_plan
from services.cloner.drivers.port import Target
from shared.contract.events import CloneOptions, CloneRequested
from shared.engine.carriers.surface import StepContext
from shared.engine.token import StopToken
from shared.settings import Settings
from shared.wordpress.addresses import keep_off
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.skips import FileRule
from shared.wordpress.http import site_client
from shared.wordpress.probe import SiteAddress, find_site
from shared.wordpress.rewrite import Rewriter, warm_patterns
from shared.wordpress.signin import AdminSession, Desk, sign_in
from shared.wordpress.transfer.ddl import Dialect


@dataclass(frozen=True)
class Brief:
    """What the worker tells a carrier about the clone."""

    target: Target
    dialect: Dialect
    allow_private_sources: bool
    connector_hours: int
    compress: Compress = "auto"
    php: str = ""
    """Version of the PHP clones run on."""
    id_band: int = 0
    """How far behind the source's the ids of new rows begin."""
    no_media: str = ""
    """Why media can not stay on the source; "" when they can."""
    becomes: tuple[str, str] | None = None
    """Address and document root of the clone whose place it will take; None: it stays where it is made."""


@dataclass(frozen=True)
class Secrets:
    """What the worker has opened for one call."""

    login: dict[str, str] = field(default_factory=dict, repr=False)
    """`username` and `password` of the source's administrator, `login_url` if one was given; empty: nothing is."""
    connector_key: bytes = field(default=b"", repr=False)
    administrator: str = field(default="", repr=False)
    """Password of the clone's own administrator."""
    basic: tuple[str, str] | None = field(default=None, repr=False)
    """Name and password the source's web server asks for."""


class CloneRun:
    """One clone in a carrier. Its properties are made when first asked for, from the job's state."""

    def __init__(self, context: StepContext, brief: Brief) -> None:
        self.context = context
        self.settings = brief
        self.secrets = Secrets()

    @property
    def job_id(self) -> str:
        """The job's id, which is that of the place it fills."""
        return self.context.job_id

    @property
    def command(self) -> CloneRequested:
        """What was asked for."""
        command = self.context.command
        assert isinstance(command, CloneRequested)
        return command

    @property
    def clone_id(self) -> str:
        """The clone that it is, or whose place it takes."""
        return self.command.clone_id or self.job_id

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
        return site_client(
            basic_auth=self.secrets.basic,
            allow_private=self.settings.allow_private_sources,
            check=lambda: self.context.token.check(),
        )

    def visitor(self) -> httpx2.Client:
        """A client without cookies, to see the source as its visitors do."""
        return site_client(
            basic_auth=self.secrets.basic,
            allow_private=self.settings.allow_private_sources,
            only=(self.site.home, self.site.siteurl),
            check=lambda: self.context.token.check(),
        )

    @cached_property
    def site(self) -> SiteAddress:
        """Where the source is. Raises the errors of `find_site` when it has to look."""
        if "site" not in self.state:
            self.state["site"] = asdict(
                find_site(self.http, self.command.source_url, login_url=self.secrets.login.get("login_url"))
            )
        return SiteAddress(**{**self.state["site"], "evidence": tuple(self.state["site"]["evidence"])})

    @property
    def source_host(self) -> str:
        """The source's name for people."""
        return urlsplit(self.site.home).netloc

    @property
    def compress(self) -> bool:
        """Whether the source compresses what it sends."""
        return compresses(self.settings.compress, self.site.home)

    @cached_property
    def desk(self) -> Desk:
        """Where an administrator signs in to the source."""
        return Desk(self._sign_in, self.token.sleep)

    def _sign_in(self) -> AdminSession:
        login = self.secrets.login
        return sign_in(self.http, self.site, login["username"], login["password"])

    @cached_property
    def connector(self) -> ConnectorClient:
        """The connector's client; only after the connector step."""
        entries = endpoints(self.site.home, self.site.siteurl)
        return ConnectorClient(self.http, entries, self.secrets.connector_key, called=self.context.called)

    def learn(self, secrets: Secrets) -> None:
        """What the worker has opened for the next call."""
        if secrets.connector_key != self.secrets.connector_key:
            self.__dict__.pop("connector", None)
        self.secrets = secrets

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The connector's inspection of the source; another carrier of this job may have it already."""
        known = self.context.shelf.get()
        if known is not None:
            found: dict[str, Any] = json.loads(known)
            return found
        facts = self.connector.call("inspect", {"constants": self.options.constants})
        self.context.shelf.put(json.dumps(facts).encode())
        return facts

    @property
    def target(self) -> Target:
        """The clone's place."""
        return self.settings.target

    @cached_property
    def plan(self) -> Plan:
        """What is to be done, from the inspection."""
        url, root = self.settings.becomes or (self.target.url, str(self.target.document_root))
        return make_plan(
            self.facts,
            target_url=url,
            document_root=root,
            dialect=self.settings.dialect,
            options=self.options,
            id_band=self.settings.id_band,
            no_media=self.state.get("no_media") or self.settings.no_media,
        )

    @property
    def file_rules(self) -> list[FileRule]:
        """What stays on the source among the files."""
        return file_rules(self.options, media=self.plan.media is not None)

    @cached_property
    def rewriter(self) -> Rewriter:
        """Maps the source's URLs and paths to the clone's."""
        return Rewriter(self.plan.urls, self.plan.paths)


def step(run: CloneRun, function: Callable[..., Any], secrets: Secrets, *arguments: Any) -> Any:
    """One call of the worker: what it has opened, then the step itself."""
    run.learn(secrets)
    return function(run, *arguments)


def warm() -> None:
    """Whatever is loaded late: once, before carriers are forked; and what they must keep off."""
    keep_off(Settings().own)
    site_client().close()
    warm_patterns()
