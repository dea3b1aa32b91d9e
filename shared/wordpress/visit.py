"""One site in a carrier of one job: found, signed in to, with our connector on it. A job may visit two sites.

Everything durable is in the job's state under the visit's name; a carrier that takes the job over goes on from there.
What needs the bus or the vault is `shared.wordpress.entrance`, in the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from shared.contract.jobs import Note
from shared.engine.carriers.surface import StepContext
from shared.errors import JobError
from shared.log import get
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import LoginHidden, SourceUnreachable
from shared.wordpress.http import BasicCredentials, site_client
from shared.wordpress.install import install_connector, remove_connector
from shared.wordpress.probe import SiteAddress, find_site
from shared.wordpress.signin import AdminSession, Desk, sign_in

log = get(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Login:
    """How to get into a site; empty where that is not known any more."""

    username: str = ""
    password: str = field(default="", repr=False)
    url: str | None = None
    """Where people sign in, if that is hidden."""
    elsewhere: str | None = None
    """Where else, a path with its query, if there is no form at the place the site itself shows."""
    basic: BasicCredentials | None = field(default=None, repr=False)
    """What the web server in front of the site asks for."""


class Visit:
    """Use in one carrier only."""

    def __init__(
        self,
        context: StepContext,
        *,
        name: str,
        url: str,
        allow_private: bool,
        hours: int,
        unreachable: type[SourceUnreachable] = SourceUnreachable,
    ) -> None:
        """`name`: the visit's place in the job's state, "source" or "target", also what people read; `unreachable`:
        what to raise when this site does not answer; `hours`: the connector's life."""
        self.context = context
        self.name = name
        self._url = url
        self._allow_private = allow_private
        self._hours = hours
        self._unreachable = unreachable
        self._desk = Desk(self._open_session, context.token.sleep)
        self._login = Login()
        self._key = b""

    @property
    def state(self) -> dict[str, Any]:
        """This visit's part of the job's memory."""
        found: dict[str, Any] = self.context.state.setdefault(self.name, {})
        return found

    @cached_property
    def http(self) -> httpx2.Client:
        """The client for this site: its cookies, its connections."""
        return site_client(
            basic_auth=self._login.basic,
            allow_private=self._allow_private,
            check=lambda: self.context.token.check(),
        )

    def visitor(self, *, timeout: httpx2.Timeout) -> httpx2.Client:
        """A client without cookies, to see the site as its visitors do: it never leaves the site's own server."""
        return site_client(
            basic_auth=self._login.basic,
            allow_private=self._allow_private,
            only=(self.site.home, self.site.siteurl, self.site.login_url),
            timeout=timeout,
            check=lambda: self.context.token.check(),
        )

    @cached_property
    def site(self) -> SiteAddress:
        """Where the site is. Raises the errors of `find_site` when it has to look."""
        if "site" not in self.state:
            self.state["site"] = asdict(self._named(lambda: find_site(self.http, self._url, login_url=self._login.url)))
        return SiteAddress(**{**self.state["site"], "evidence": tuple(self.state["site"]["evidence"])})

    @property
    def host(self) -> str:
        """The site's name for people."""
        return urlsplit(self.site.home).netloc

    @cached_property
    def client(self) -> ConnectorClient:
        """The connector's client; only after `enter`."""
        addresses = endpoints(self.site.home, self.site.siteurl)
        return _NamedClient(self, addresses, self._key, self._unreachable)

    def learn(self, login: Login, key: bytes) -> None:
        """What the worker has opened for the next call: the way in, the connector's key."""
        if key != self._key:
            self.__dict__.pop("client", None)
        self._login, self._key = login, key

    def close(self) -> None:
        """Close the connections."""
        if "http" in self.__dict__:
            self.http.close()

    def sign_in(self) -> AdminSession:
        """Find the site and sign in, once. Raises the SignInError family."""
        return self._desk.session()

    def _open_session(self) -> AdminSession:
        self.context.report(message=f"Signing in to {self.host}")
        return self._named(self._signed_in)

    def _signed_in(self) -> AdminSession:
        login = self._login
        try:
            return sign_in(self.http, self.site, login.username, login.password)
        except LoginHidden:
            if login.elsewhere is None:
                raise
            place = str(httpx2.URL(self.site.login_url).join(login.elsewhere))
            self.state["site"] = asdict(self.site) | {"login_url": place}
            self.__dict__.pop("site")
            return sign_in(self.http, self.site, login.username, login.password)

    def install(self, archive: bytes) -> None:
        """Upload and activate the connector. Raises the InstallError family."""
        self.sign_in()
        self.context.report(message=f"Installing the connector on {self.host}")
        self._named(lambda: self._desk.work(lambda session: install_connector(session, archive)))

    def greet(self) -> None:
        """Have the connector answer. Raises ConnectorGone or ConnectorRefused."""
        self.context.report(message=f"Asking the connector on {self.host}")
        self.client.call("hello")

    def remove(self) -> bool:
        """Take the connector off; whether it is gone. What stays is said in a note."""
        problem = self._remove_by_itself()
        if problem is not None:
            problem = self._remove_as_administrator()
        if problem is None:
            return True
        log.warning("connector stays on the site", job=self.context.job_id, site=self.name, error=problem)
        text = (
            f"The connector could not be removed from the {self.name}; it stops working and removes itself within "
            f"{self._hours} hours. You can delete the plugin “Siteferry Connector” now. ({problem})"
        )
        self.context.note(Note(code=f"connector_not_removed_{self.name}", message=text))
        return False

    def _remove_by_itself(self) -> str | None:
        """Not `client.remove()`: one that does not answer may be gone, or only be switched off."""
        try:
            answer = self.client.call("remove")
        except JobError as error:
            self.context.token.check()
            return error.message
        return None if answer.get("removed", True) else f"left behind: {', '.join(answer['left'][:5])}"

    def _remove_as_administrator(self) -> str | None:
        try:
            self._desk.work(remove_connector)
        except JobError as error:
            self.context.token.check()
            return error.message
        return None

    def _named(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except SourceUnreachable as error:
            raise _renamed(error, self._unreachable, self.name) from error


def enter(visit: Visit) -> None:
    """Find the site and sign in."""
    visit.sign_in()


class _NamedClient(ConnectorClient):
    """A connector's client whose site is called by its part in the job."""

    def __init__(self, visit: Visit, addresses: list[str], key: bytes, unreachable: type[SourceUnreachable]) -> None:
        super().__init__(visit.http, addresses, key, called=visit.context.called)
        self._unreachable = unreachable
        self._name = visit.name

    def stream(self, op: str, params: dict[str, Any]) -> Iterator[Frame]:
        try:
            yield from super().stream(op, params)
        except SourceUnreachable as error:
            raise _renamed(error, self._unreachable, self._name) from error


def _renamed(error: SourceUnreachable, kind: type[SourceUnreachable], name: str) -> SourceUnreachable:
    if type(error) is kind:
        return error
    return kind(error.message.replace("The source", f"The {name}"), retry_after=error.retry_after, **error.details)
