"""How the site looks to a visitor, before and after: whether it got worse."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import httpx2

from services.restorer.run import RestoreRun
from shared.contract.jobs import Note
from shared.errors import JobError
from shared.wordpress.connector.target import Health
from shared.wordpress.limits import ADDRESS
from shared.wordpress.markup import words
from shared.wordpress.page import Page, fetch_at_home
from shared.wordpress.probe import SiteAddress

SAMPLES = 3
AT_ONCE = 2
"""Pages looked at together: a small host bears no more beside its visitors."""
LEAST_TEXT = 200
"""Characters a page must show; below it is white, if it was not before and lost most of them."""
WHITE_SHARE = 0.25
PAUSE = 1.0
BROKEN = re.compile(r"There has been a critical error[^<]{0,200}|Error establishing a database connection")
PHP_FATAL = re.compile(r"(?:Fatal error|Parse error)(?:</b>)?: .{0,200}")
NO_PAGE = re.compile(r"/(wp-|feed|comments/|author/)|\.\w{2,4}$")
CACHE_HEADERS = (
    "cf-cache-status", "x-cache", "x-cache-status", "x-proxy-cache", "x-litespeed-cache", "x-lsadc-cache",
    "x-nginx-cache", "x-fastcgi-cache", "x-sucuri-cache", "x-kinsta-cache", "x-sg-cache", "x-wpe-cached",
    "x-varnish-cache", "x-drupal-cache", "x-vercel-cache", "x-hs-cache", "x-srcache-fetch-status",
    "x-wp-cf-super-cache-active", "x-rocket-nginx-serving-static", "x-cached", "cache-status",
)  # fmt: skip
HIT = re.compile(r"\b(hit|stale|updating|revalidated|yes|cached)\b", re.IGNORECASE)
TIMEOUT = httpx2.Timeout(30.0, connect=10.0)


@dataclass(frozen=True)
class Look:
    """One page, seen once. `kind`: home, login, rest or page."""

    kind: str
    url: str
    status: int
    text: int
    """Characters a person can read."""
    form: bool = False
    said: str = ""
    """What it says of an error of its own."""
    whole: bool = False
    """Whether it has its end."""


def look(run: RestoreRun, pages: list[str] | None = None) -> list[Look]:
    """Look at home, login, REST and some pages (from the home page's links unless given)."""
    site = run.target.site
    with run.target.visitor(timeout=TIMEOUT) as http:
        rest = f"{site.home}/?rest_route=/"
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look") as looking:

            def see(urls: Iterable[str]) -> list[Page | None]:
                run.token.check()
                return list(looking.map(partial(_get, http), urls))

            sampled = list(pages or ())
            home, login, routes, *others = see([site.home + "/", site.login_url, rest, *sampled])
            if pages is None:
                sampled = _samples(site, home)
                others = see(sampled)
    run.token.check()  # a page that was not waited for looks like one that does not answer
    found = [_look("home", site.home + "/", home), _look("login", site.login_url, login), _look("rest", rest, routes)]
    return found + [_look("page", url, seen) for url, seen in zip(sampled, others, strict=True)]


def remember(run: RestoreRun) -> None:
    """How the site is before the exchange, into the job's state."""
    run.context.report(message="Looking at the site as it is")
    run.state["before"] = [asdict(seen) for seen in look(run)]
    run.state["before_errors"] = len(health(run, 0.0).php_errors)


def worse(before: list[Look], after: list[Look]) -> list[str]:
    """What got worse, one sentence each; pure."""
    known = {(seen.kind, seen.url): seen for seen in before}
    found = []
    for now in after:
        then = known.get((now.kind, now.url))
        if then is None or then.status >= 500 or then.status == 0:
            continue
        why = _why(then, now)
        if why:
            found.append(f"{now.url} {why}")
    return found


def watch(run: RestoreRun) -> list[str]:
    """What is worse than before, and stays so; empty: nothing."""
    before = [Look(**seen) for seen in run.state.get("before", [])]
    pages = [seen.url for seen in before if seen.kind == "page"]
    end = time.monotonic() + run.settings.watch_seconds
    while True:
        run.context.report(message="Watching the site")
        found = worse(before, look(run, pages))
        if not found:
            note_caches(run)
        if not found or time.monotonic() >= end:
            return found
        run.token.sleep(PAUSE)


def failing(run: RestoreRun) -> list[str]:
    """Pages that fail as the site is now, one sentence each."""
    return [f"{one.url}: HTTP {one.status}" for one in look(run) if one.status == 0 or one.status >= 500]


def note_caches(run: RestoreRun) -> None:
    """Say so when something in front of the site answers for it: visitors may see the old pages for a while."""
    with run.target.visitor(timeout=TIMEOUT) as http:
        try:
            page = fetch_at_home(http, f"{run.target.site.home}/", guarded=False)
        except JobError:
            return
    said = cached(page)
    if said:
        text = (
            f"A cache in front of the site may still serve pages from before ({said}). Empty it: in the caching "
            "plugin, in the host's panel, or at the content delivery network."
        )
        run.context.note(Note(code="page_cache", message=text))


def cached(page: Page) -> str:
    """The header by which a cache says that it answered; "" when none does. Pure."""
    for name in CACHE_HEADERS:
        value = page.headers.get(name, "")[:100]
        if HIT.search(value):
            return f"{name}: {value}"
    age = page.headers.get("age", "")[:20]
    return f"age: {age}" if age.isdigit() and int(age) > 0 else ""


def explained(run: RestoreRun, since: float) -> list[str]:
    """What PHP itself says went wrong since then."""
    return list(health(run, since).php_errors)[-3:]


def health(run: RestoreRun, since: float) -> Health:
    """How the site sees itself; nothing when it can not say."""
    try:
        return run.writer.health(since)
    except JobError:
        return Health((), False, (), "", ())


def _why(then: Look, now: Look) -> str:
    if now.status == 0:
        return "does not answer any more"
    if now.status >= 500:
        return f"answers HTTP {now.status}{': ' + now.said if now.said else ''}"
    if now.said and not then.said:
        return f"says: {now.said}"
    if then.status < 400 <= now.status and now.kind != "page":
        return f"answers HTTP {now.status}"
    if now.kind == "rest" and then.form and not now.form:
        return "does not answer as a REST interface any more"
    if now.kind == "login" and then.form and not now.form:
        return "has no login form any more"
    if now.kind in {"home", "page"} and then.whole and not now.whole and now.status < 300:
        return "breaks off before its end"
    if (
        now.kind in {"home", "page"}
        and now.status < 300
        and now.text < LEAST_TEXT <= then.text
        and now.text < WHITE_SHARE * then.text
    ):
        return "is a white page"
    return ""


def _get(http: httpx2.Client, url: str) -> Page | None:
    # a page cache in front must not answer for the site
    mark = "&" if "?" in url else "?"
    try:
        return fetch_at_home(http, f"{url}{mark}nocache={secrets.token_hex(4)}", guarded=False)
    except JobError:
        return None


def _look(kind: str, url: str, page: Page | None) -> Look:
    if page is None:
        return Look(kind, url, 0, 0)
    if kind == "rest":
        is_json = page.headers.get("content-type", "").startswith("application/json")
        return Look(kind, url, page.status, len(page.text), form=is_json and page.status == 200)
    return Look(
        kind,
        url,
        page.status,
        len(words(page.text)),
        form="log" in page.outline.names,
        said=_said(page),
        whole=page.outline.ends,
    )


def _said(page: Page) -> str:
    match = PHP_FATAL.search(page.text) or BROKEN.search(page.text)
    return words(match[0] if match else page.died, most=200).rstrip(". ")


def _samples(site: SiteAddress, home: Page | None) -> list[str]:
    """A few pages the home page links to."""
    if home is None or home.status != 200:
        return []
    found: dict[str, None] = {}
    for link in home.links():
        inside = link.startswith(site.home + "/") and link.rstrip("/") != site.home and len(link) <= ADDRESS.most
        if inside and "#" not in link and not NO_PAGE.search(link[len(site.home) :]):
            found[link] = None
        if len(found) == SAMPLES:
            break
    return list(found)
