"""One HTML page of a WordPress site: fetched with limits, and read without a browser."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx2

from shared.wordpress.challenge import recognise_challenge
from shared.wordpress.errors import BasicAuthRequired, HostChallenge, SiteBroken, SourceUnreachable, TooManyRedirects
from shared.wordpress.http import map_transport_errors, retry_after

MAX_BYTES = 5 << 20
"""Pages are cut here: nothing we look for comes later, and a hostile host can not fill the memory."""
DEADLINE = 120.0
"""Seconds for a whole page, however slowly it drips."""
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its attributes, and its fields by name with their preset values (checkboxes included)."""

    attributes: Mapping[str, str]
    fields: dict[str, str]

    @property
    def action(self) -> str:
        return self.attributes.get("action", "")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer with its body as text. `truncated` when the body was longer than `MAX_BYTES`."""

    url: httpx2.URL
    status: int
    headers: httpx2.Headers
    text: str
    truncated: bool = False

    @property
    def location(self) -> httpx2.URL | None:
        """Where a redirect leads, absolute; None when this is no redirect."""
        target = self.headers.get("location")
        if self.status not in REDIRECTS or not target:
            return None
        with map_transport_errors():
            return self.url.join(target)

    @property
    def title(self) -> str:
        found = re.search(r"<title[^>]*>(.*?)</title>", self.text, re.DOTALL | re.IGNORECASE)
        return plain(found[1]) if found else ""

    @property
    def died(self) -> str:
        """The markup of wp_die()'s words, on a page of its own or where another one broke off; else ""."""
        found = DIED.search(self.text)
        return found[1] if found else ""

    def forms(self) -> list[Form]:
        return _read(self.text).forms

    def links(self) -> list[str]:
        """`href` of every link, unescaped, in page order."""
        return _read(self.text).links

    def message(self) -> str:
        """What WordPress says on a wp_die() page, an error notice or a result page: plain text, may be empty."""
        for pattern in MESSAGES:
            found = [plain(match[1]) for match in pattern.finditer(self.text)]
            if any(found):
                return " ".join(part for part in found if part)[:400]
        return ""


DIED = re.compile(r'<div class="wp-die-message">(.*?)</div>', re.DOTALL)
CRITICAL = re.compile(r"critical error|technical difficulties|href=.{0,20}://[^/]{0,20}wordpress\.org/", re.IGNORECASE)
"""What is on the page for a fatal error only; in every language it links to WordPress's help."""
MESSAGES = tuple(
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r'<div[^>]*class="wp-die-message"[^>]*>(.*?)</div>',
        r'<div[^>]*id="login_error"[^>]*>(.*?)</div>',
        r'<body id="error-page">(.*?)</body>',
        r'<div[^>]*class="[^"]*\bnotice-error\b[^"]*"[^>]*>(.*?)</div>',
        r'<div[^>]*class="error"[^>]*>(.*?)</div>',
    )
)


def plain(fragment: str) -> str:
    """HTML as one line of text."""
    without_code = re.sub(r"<(script|style)\b.*?</\1>", " ", fragment, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", without_code))).strip()


def fetch(client: httpx2.Client, method: str, url: httpx2.URL | str, *, follow: int = 0, **request: Any) -> Page:
    """One request, its body read up to `MAX_BYTES`; up to `follow` redirects are followed, as GET.

    Raises what `map_transport_errors` raises, `HostChallenge`, `BasicAuthRequired`, `TooManyRedirects`.
    """
    page = _fetch_once(client, method, url, **request)
    for _ in range(follow):
        if page.location is None:
            return page
        page = _fetch_once(client, "GET", page.location)
    if follow and page.location is not None:
        raise TooManyRedirects(f"{page.url.host} still redirects after {follow} redirects.", host=page.url.host)
    return page


def _fetch_once(client: httpx2.Client, method: str, url: httpx2.URL | str, **request: Any) -> Page:
    started = time.monotonic()
    with map_transport_errors(), client.stream(method, url, follow_redirects=False, **request) as response:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                break
            if time.monotonic() - started > DEADLINE:
                raise SourceUnreachable(f"{response.url.host} took too long to send a page.", reason="timeout")
        encoding = response.charset_encoding or "utf-8"
    text = _decode(bytes(body[:MAX_BYTES]), encoding)
    page = Page(response.url, response.status_code, response.headers, text, truncated=len(body) > MAX_BYTES)
    refuse_gatekeepers(page)
    return page


def refuse_gatekeepers(page: Page) -> None:
    """Raise `HostChallenge` or `BasicAuthRequired` when something in front of the site answered instead of it."""
    vendor = recognise_challenge(page.status, page.headers, page.text)
    if vendor:
        raise HostChallenge(
            f"{page.url.host} answers with a bot check of {vendor} instead of the site.",
            host=page.url.host,
            vendor=vendor,
        )
    if page.status == 401 and "basic" in page.headers.get("www-authenticate", "").lower():
        raise BasicAuthRequired(host=page.url.host)


def refuse_trouble(page: Page, *, may_refuse: bool = False) -> None:
    """Raise what a failing server answers, before anybody guesses from its page what the site is like.

    `SourceUnreachable` (passes by itself: a gateway without PHP behind it, maintenance, a database that is away) or
    `SiteBroken` (WordPress's own fatal error page, which also comes with status 200). `may_refuse`: the request asked
    for something that WordPress may refuse, which it does on the same page, with the same status.
    """
    host, died = page.url.host, page.died
    passes = page.status == 503 or "<h1" in died  # maintenance; only the page of a lost database has a heading in it
    if died and may_refuse and not passes and not CRITICAL.search(died):
        return
    if died and not passes and (page.status >= 500 or page.status == 200):
        raise SiteBroken(f"{host} answers with an error page: {plain(died)[:300]}", host=host)
    if page.status >= 500 or page.status in (408, 425) or (died and passes):
        text = f"{host} says: {plain(died)[:300]}" if died else f"{host} answers with status {page.status}."
        raise SourceUnreachable(text, host=host, status=page.status, retry_after=retry_after(page.headers))


def _decode(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding, errors="replace")
    except LookupError:
        return body.decode("utf-8", errors="replace")


@dataclass
class _Reader(HTMLParser):
    """Collects forms and links. Fields outside any form are ignored."""

    forms: list[Form] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "form":
            self._open = Form(attributes, {})
            self.forms.append(self._open)
        elif tag in ("input", "select", "textarea", "button") and self._open is not None and attributes.get("name"):
            self._open.fields.setdefault(attributes["name"], attributes.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader


def absolute_urls(text: str) -> Iterator[str]:
    """Every http(s) URL in a text, also with JSON's escaped slashes."""
    for match in re.finditer(r"https?:(?:\\?/){2}[^\s\"'<>)]+", text):
        yield match[0].replace("\\/", "/")
