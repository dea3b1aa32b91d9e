"""One HTML page of a WordPress site: fetched with limits, and read without a browser."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx2

from shared.wordpress import limits
from shared.wordpress.challenge import recognise_challenge
from shared.wordpress.errors import BasicAuthRequired, HostChallenge, SiteBroken, SourceUnreachable, TooManyRedirects
from shared.wordpress.http import map_transport_errors, retry_after
from shared.wordpress.markup import words
from shared.wordpress.outline import DIED, ERROR_PAGE, LOGIN_ERROR, NOTICE, TITLE, Form, Outline, outline
from shared.wordpress.unpacking import pieces

MAX_BYTES = int(limits.PAGE.most)
"""Pages are cut here: nothing we look for comes later, and a hostile host can not fill the memory."""
MAX_REDIRECTS = int(limits.REDIRECTS.most)
CHARSETS = re.compile(
    r"utf-8|utf-8-sig|ascii|utf-16(-[lb]e)?|(iso|iso-)?8859-\d+|iso8859-\d+|cp\d+|koi8-[ru]|mac-\w+|gb2312|gbk|gb18030|"
    r"big5(hkscs)?|euc_\w+|shift_jis\w*|iso2022_jp\w*|johab|tis-620"
)
REDIRECTS = (301, 302, 303, 307, 308)
LONGEST_WORDS = 400
MOST_ADDRESSES = 300


@dataclass(frozen=True)
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

    @cached_property
    def outline(self) -> Outline:
        """What is on it, read once."""
        return outline(self.text)

    @property
    def title(self) -> str:
        return words(self._first(TITLE), most=LONGEST_WORDS)

    @property
    def died(self) -> str:
        """The markup of wp_die()'s words, on a page of its own or where another one broke off; else ""."""
        return self._first(DIED)

    @property
    def login_error(self) -> str:
        """The markup of what the login form says."""
        return self._first(LOGIN_ERROR)

    def forms(self) -> list[Form]:
        return self.outline.forms

    def links(self) -> list[str]:
        """`href` of every link, unescaped, in page order."""
        return self.outline.links

    def message(self) -> str:
        """What WordPress says on a wp_die() page, an error notice or a result page: plain text, may be empty."""
        for kind in (DIED, LOGIN_ERROR, ERROR_PAGE, NOTICE):
            said = [words(inside, most=LONGEST_WORDS) for inside in self.outline.kept.get(kind, ())]
            if any(said):
                return " ".join(part for part in said if part)[:LONGEST_WORDS]
        return ""

    def _first(self, kind: str) -> str:
        kept = self.outline.kept.get(kind)
        return kept[0] if kept else ""


CRITICAL = re.compile(r"critical error|technical difficulties|://[^/\s]{0,20}wordpress\.org/", re.IGNORECASE)
"""What is on the page for a fatal error only; in every language it links to WordPress's help."""


def fetch(client: httpx2.Client, method: str, url: httpx2.URL | str, *, follow: int = 0, **request: Any) -> Page:
    """One request, its body read up to `MAX_BYTES`; up to `follow` redirects are followed, as GET.

    Raises what `map_transport_errors` raises, `HostChallenge`, `BasicAuthRequired`, `TooManyRedirects`,
    `AnswerTooLarge`.
    """
    page = _fetch_once(client, method, url, **request)
    for _ in range(follow):
        if page.location is None:
            return page
        page = _fetch_once(client, "GET", page.location)
    if follow and page.location is not None:
        raise TooManyRedirects(f"{page.url.host} still redirects after {follow} redirects.", host=page.url.host)
    return page


def fetch_at_home(client: httpx2.Client, url: str, *, guarded: bool = True, **request: Any) -> Page:
    """GET a page; redirects are followed within its origin. One that leads elsewhere is given back as it is.

    Raises what `fetch` raises. `guarded=False`: a bot check is a page like others.
    """
    page = _fetch_once(client, "GET", url, guarded=guarded, **request)
    home = page.url.copy_with(raw_path=b"/")
    for _ in range(MAX_REDIRECTS):
        target = page.location
        if target is None or target.copy_with(raw_path=b"/", fragment=None) != home:
            return page
        page = _fetch_once(client, "GET", target, guarded=guarded)
    raise TooManyRedirects(f"{page.url.host} still redirects after {MAX_REDIRECTS} redirects.", host=page.url.host)


def _fetch_once(
    client: httpx2.Client, method: str, url: httpx2.URL | str, *, guarded: bool = True, **request: Any
) -> Page:
    started = time.monotonic()
    with map_transport_errors(), client.stream(method, url, follow_redirects=False, **request) as response:
        body = bytearray()
        for chunk in pieces(response):
            body += chunk
            if len(body) > MAX_BYTES:
                break
            if time.monotonic() - started > limits.PAGE_SECONDS.most:
                raise SourceUnreachable(f"{response.url.host} took too long to send a page.", reason="timeout")
        encoding = response.charset_encoding or "utf-8"
    text = _decode(bytes(body[:MAX_BYTES]), encoding)
    page = Page(response.url, response.status_code, response.headers, text, truncated=len(body) > MAX_BYTES)
    if guarded:
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
        raise SiteBroken(f"{host} answers with an error page: {words(died, most=300)}", host=host)
    if page.status >= 500 or page.status in (408, 425) or (died and passes):
        text = f"{host} says: {words(died, most=300)}" if died else f"{host} answers with status {page.status}."
        raise SourceUnreachable(text, host=host, status=page.status, retry_after=retry_after(page.headers))


def _decode(body: bytes, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        name = ""
    # Not every codec of Python is one of the web: some take minutes over a page (punycode).
    return body.decode(name if CHARSETS.fullmatch(name) else "utf-8", errors="replace")


def absolute_urls(text: str) -> Iterator[str]:
    """The first http(s) URLs in a text, also with JSON's escaped slashes."""
    for number, match in enumerate(re.finditer(r"https?:(?:\\?/){2}[^\s\"'<>)]{1,2000}", text)):
        if number == MOST_ADDRESSES:
            return
        yield match[0].replace("\\/", "/")
