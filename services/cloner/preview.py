"""Looks at a site before it is cloned (`rpc.cloner.preflight`). Reads only, stores nothing, takes 10 s at most."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from services.cloner.domain import php_note
from services.cloner.errors import MultisiteUnsupported
from shared.bus.connection import Bus
from shared.contract.jobs import ErrorInfo, Note
from shared.contract.preflight import PURPOSE, SECONDS, Login, Preview, Question, Reply
from shared.contract.subjects import rpc
from shared.engine.carriers.errors import CarrierDied, CarrierOutOfMemory, CarrierStalled
from shared.engine.carriers.pool import Carriers
from shared.errors import JobError
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.errors import (
    BasicAuthRequired,
    CaptchaRequired,
    HostChallenge,
    LoginHidden,
    LoginLockedOut,
    NotWordPress,
    SignInError,
    SourceUnreachable,
    SsoOnly,
    TwoFactorRequired,
)
from shared.wordpress.http import site_client
from shared.wordpress.install import check_may_install, is_network_page
from shared.wordpress.page import Page, fetch
from shared.wordpress.probe import SiteAddress, find_site
from shared.wordpress.signin import AdminSession, Desk, open_login_page, sign_in, wants_second_factor

log = get(__name__)

AT_ONCE = 8
"""Looks one cloner takes at the same time; more are told to come back."""
HASTE = 0.5
"""Seconds a look ends before nobody waits for it, so that it can still say what it has found."""
OPERATION = 5.0
"""Seconds one connect, read or write may take."""
QUEUE = "cloners"

POWERED_BY = re.compile(r"PHP/(\d{1,2}\.\d{1,2}[\w.]{0,20})")
HEALTH = re.compile(r"\bphp_version: (\d{1,2}\.\d{1,2}[\w.]{0,20})")
"""In what a person copies from Site Health, in every language."""
LOGINS: dict[type[JobError], Login] = {
    CaptchaRequired: "captcha",
    TwoFactorRequired: "two_factor",
    SsoOnly: "sso",
    LoginHidden: "hidden",
    LoginLockedOut: "locked",
    HostChallenge: "blocked",
    BasicAuthRequired: "blocked",
}


class Previews:
    """Answers questions, a bounded number at a time, each in a carrier of its own."""

    def __init__(self, bus: Bus, keys: KeyRing, carriers: Carriers, *, allow_private: bool, clones_php: str) -> None:
        self._bus = bus
        self._keys = keys
        self._carriers = carriers
        self._allow_private = allow_private
        self._clones_php = clones_php
        self._looking = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer for ever."""
        await self._bus.nc.subscribe(rpc("cloner", "preflight"), queue=QUEUE, cb=self._take)
        await asyncio.Event().wait()

    async def _take(self, msg: Msg) -> None:
        # not answered here: the next question would wait for this answer
        task = asyncio.create_task(self._answer(msg), name="preflight")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, msg: Msg) -> None:
        reply = Reply(busy=True)
        if self._looking < AT_ONCE:
            self._looking += 1
            try:
                question = Question.model_validate_json(msg.data)
                reply = Reply(preview=await self._look(question))
            except (ValidationError, JobError) as error:
                log.warning("a preflight could not be answered", error=type(error).__name__)
                return
            finally:
                self._looking -= 1
        with suppress(NatsError):
            await msg.respond(reply.model_dump_json().encode())

    async def _look(self, question: Question) -> Preview:
        login = None
        if question.sealed is not None:
            login = json.loads(self._keys.open(question.sealed, purpose=PURPOSE))
        url, begun = question.source_url, time.monotonic()
        try:
            said = await self._carriers.once(
                look_there, url, login, begun + SECONDS, self._allow_private, self._clones_php, seconds=SECONDS
            )
            return Preview.model_validate(said)
        except CarrierStalled:
            return against(_nothing_seen(url), _too_slow(url))
        except (CarrierDied, CarrierOutOfMemory) as error:
            return against(_nothing_seen(url), error)


def look_there(
    _context: object, url: str, login: dict[str, str] | None, deadline: float, allow_private: bool, clones_php: str
) -> Any:
    """`look`, in a carrier."""
    seen = look(
        _nothing_seen(url), login, deadline=deadline - HASTE, allow_private=allow_private, clones_php=clones_php
    )
    return seen.model_dump(mode="json")


def _nothing_seen(url: str) -> Preview:
    return Preview(ready=False, source_url=url, message="")


def look(
    seen: Preview, login: dict[str, str] | None, *, deadline: float, allow_private: bool, clones_php: str = ""
) -> Preview:
    """Look at a site and, with a login, try it once; blocking. What is found out is written into `seen`.

    `deadline` is a time of `time.monotonic()`; no request begins and no answer is read after it.
    """
    login = login or {}
    basic = (login["basic_username"], login["basic_password"]) if login.get("basic_password") else None
    with site_client(basic_auth=basic, allow_private=allow_private, timeout=httpx2.Timeout(OPERATION)) as client:
        hurry(client, deadline, seen.source_url)
        try:
            site = find_site(client, seen.source_url, login_url=login.get("login_url"))
            _found(seen, site)
            if wants_second_factor(open_login_page(client, site)):
                seen.notes.append(Note(code="two_factor_likely", message="The login page mentions a second factor."))
            seen.login = "form"
            if login.get("password"):
                _try(client, site, login, seen, clones_php)
        except JobError as error:
            return against(seen, error)
    seen.ready, seen.message = True, _sentence(seen)
    return seen


def _found(seen: Preview, site: SiteAddress) -> None:
    seen.wordpress, seen.version = True, site.version or None
    seen.home, seen.login_url = site.home, site.login_url
    seen.https = site.home.startswith("https://")
    if site.home.rstrip("/") != seen.source_url.rstrip("/"):
        seen.notes.append(Note(code="moved", message=f"The site is at {site.home}."))
    if not seen.https:
        text = "The site is not encrypted (no HTTPS): whoever is on the way can read the password."
        seen.notes.append(Note(code="no_https", message=text))


def _try(client: httpx2.Client, site: SiteAddress, login: dict[str, str], seen: Preview, clones_php: str) -> None:
    desk = Desk(lambda: sign_in(client, site, login["username"], login["password"]), time.sleep)
    try:
        desk.session()
    except SignInError:
        seen.signed_in = False
        raise
    seen.signed_in = True
    try:
        seen.administrator = False
        page = desk.work(check_may_install)
        seen.administrator = True
        if is_network_page(page):
            raise MultisiteUnsupported()
        newer = php_note(_php_of(desk.session(), page), clones_php)
        if newer is not None:
            seen.notes.append(newer)
    finally:
        with suppress(JobError):
            _sign_out(desk.session())


def _php_of(session: AdminSession, page: Page) -> str:
    """The site's version of PHP: as its server tells it, else as Site Health tells administrators; or ""."""
    if found := POWERED_BY.search(page.headers.get("x-powered-by", "")):
        return found[1]
    try:
        found = HEALTH.search(session.get("site-health.php?tab=debug").text)
    except JobError:
        return ""
    return found[1] if found else ""


def _sign_out(session: AdminSession) -> None:
    """End the session: nothing of us stays on the site."""
    for link in session.get("profile.php").links():
        target = httpx2.URL(session.site.admin_url).join(link)
        if target.path.endswith("/wp-login.php") and target.params.get("action") == "logout":
            fetch(session.client, "GET", httpx2.URL(session.site.login_url).copy_with(query=target.query))
            return


def against(seen: Preview, error: JobError) -> Preview:
    """The preview with what speaks against cloning the site."""
    seen.error = ErrorInfo(code=error.code, message=error.message, hint=error.hint, details=error.details)
    seen.ready, seen.message = False, error.message
    seen.login = LOGINS.get(type(error), seen.login)
    if isinstance(error, NotWordPress):
        seen.wordpress = False
    return seen


def _sentence(seen: Preview) -> str:
    name = f"WordPress {seen.version}" if seen.version else "WordPress"
    if seen.administrator:
        return f"{name}; the login works and may install the connector."
    return f"{name}; its login form is there."


def _too_slow(source_url: str) -> SourceUnreachable:
    host = urlsplit(source_url).netloc
    return SourceUnreachable(f"{host} did not answer within {SECONDS:g} s.", host=host, reason="timeout")


def hurry(client: httpx2.Client, deadline: float, source_url: str) -> None:
    """Make a client give up at a deadline, however slowly answers drip in."""

    def before(request: httpx2.Request) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _too_slow(source_url)
        request.extensions["timeout"] = {kind: min(OPERATION, left) for kind in ("connect", "read", "write", "pool")}

    def after(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Hurried(response.stream, deadline, source_url)

    client.event_hooks = {"request": [before], "response": [after]}


class _Hurried(httpx2.SyncByteStream):
    """A body that breaks off at a deadline."""

    def __init__(self, stream: httpx2.SyncByteStream, deadline: float, source_url: str) -> None:
        self._stream = stream
        self._deadline = deadline
        self._source_url = source_url

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._deadline:
                raise _too_slow(self._source_url)
            yield chunk

    def close(self) -> None:
        self._stream.close()
