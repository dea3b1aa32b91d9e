"""Is it WordPress, and where exactly? From what a person types to the addresses everything else uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx2

from shared.errors import JobError
from shared.wordpress import limits
from shared.wordpress.addresses import is_localhost
from shared.wordpress.errors import (
    InvalidAddress,
    NotWordPress,
    SourceUnreachable,
    TlsError,
)
from shared.wordpress.http import map_transport_errors
from shared.wordpress.page import MAX_REDIRECTS, Page, absolute_urls, fetch, refuse_trouble

WORDPRESS_PATHS = re.compile(
    r"/(wp-admin|wp-login\.php|wp-includes|wp-content|wp-json|xmlrpc\.php|index\.php|feed)(/.*)?$",
    re.IGNORECASE | re.DOTALL,
)
GENERATOR = re.compile(r"WordPress ?([\d.]{0,20})")
REST_REL = "https://api.w.org/"
REST_TAIL = re.compile(r"/?(index\.php/?)?(wp-json/?|\?rest_route=.*)$", re.DOTALL)
MOST_HEADS = 200
MOST_PATHS = 6
USUAL_DIRECTORIES = ("", "/wp", "/wordpress")


@dataclass(frozen=True, slots=True)
class SiteAddress:
    """Where a WordPress site is. All addresses are on the origin we can reach, without a slash at the end.

    home         the site as visitors see it
    siteurl      the directory of WordPress's own files (wp-admin, wp-login.php); often the same
    login_url    the page with the login form, as far as known
    login_found  whether a login form was seen there
    evidence     what showed that it is WordPress, e.g. ("generator", "api.w.org", "login form")
    version      WordPress's version if the site tells it, else ""
    """

    home: str
    siteurl: str
    login_url: str
    login_found: bool
    evidence: tuple[str, ...] = ()
    version: str = ""

    @property
    def origin(self) -> str:
        return origin_of(httpx2.URL(self.home))

    @property
    def admin_url(self) -> str:
        """`<siteurl>/wp-admin/`, with the slash."""
        return f"{self.siteurl}/wp-admin/"


@dataclass
class _Evidence:
    """Signals of WordPress in one page, and the paths they give away."""

    signals: list[str] = field(default_factory=list)
    home_paths: list[str] = field(default_factory=list)
    core_paths: list[str] = field(default_factory=list)
    version: str = ""


def origin_of(url: httpx2.URL) -> str:
    """`scheme://host[:port]`."""
    port = f":{url.port}" if url.port else ""
    host = f"[{url.host}]" if ":" in url.host else url.raw_host.decode("ascii")
    return f"{url.scheme}://{host}{port}"


def normalise(typed: str) -> list[str]:
    """Candidate URLs for what a person typed, the likeliest first; two when the scheme was left out.

    Host names become lower-case ASCII (IDNA), WordPress's own paths, query and fragment are cut off.
    Raises `InvalidAddress`.
    """
    text = typed.strip().strip("<>\"'").strip()
    if len(text) > limits.ADDRESS.most or any(ord(char) < 32 or ord(char) == 127 for char in unquote(text)):
        raise InvalidAddress()
    scheme, separator, rest = text.partition("://")
    if not separator:
        rest, scheme = text.removeprefix("//"), ""
    scheme = scheme.lower()
    if scheme not in ("", "http", "https") or not rest or re.search(r"[\s\\]", rest):
        raise InvalidAddress()
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        raise InvalidAddress(
            "The address contains a user name or password.",
            hint="Leave them out of the address.",
        )
    try:
        url = httpx2.URL(f"{scheme or 'https'}://{rest}")
        host, port = url.raw_host.decode("ascii").rstrip("."), url.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise InvalidAddress() from error
    if not host or ("." not in host and ":" not in host and not is_localhost(host)):
        raise InvalidAddress(f"{host or 'This'} is not a full host name.")
    path = WORDPRESS_PATHS.sub("", re.sub(r"/{2,}", "/", url.path)).rstrip("/")
    address = f"[{host}]" if ":" in host else host
    tail = f"{address}{f':{port}' if port else ''}{httpx2.URL(path=path).raw_path.decode('ascii')}".rstrip("/")
    if scheme:
        return [f"{scheme}://{tail}"]
    plain_first = is_localhost(host) or (port is not None and port not in (443, 8443))
    return [f"{first}://{tail}" for first in (("http", "https") if plain_first else ("https", "http"))]


def find_site(client: httpx2.Client, typed: str, *, login_url: str | None = None) -> SiteAddress:
    """Find the WordPress site a person means. `login_url` helps where the login page is hidden.

    Makes 2 to 6 GET requests. The client's cookie jar may gain cookies.
    Raises `InvalidAddress`, `HostNotFound`, `AddressRefused`, `SourceUnreachable`, `TlsError`, `HostChallenge`,
    `BasicAuthRequired`, `TooManyRedirects`, `SiteBroken`, `NotWordPress`.
    """
    front = _front_page(client, normalise(typed))
    seen = examine(front)
    origin = origin_of(front.url)
    page, siteurl = _find_login(client, origin, seen, front)
    if page is not None:
        seen.signals.append("login form")
    if not seen.signals:
        _give_up(front)
    home = _home(front, seen, siteurl)
    shown = origin + siteurl if page is None else _base_of(page.url)
    where = str(page.url.copy_with(query=None, fragment=None)) if page is not None else f"{shown}/wp-login.php"
    if login_url is not None:
        with map_transport_errors():
            where = str(httpx2.URL(origin).join(login_url))
    return SiteAddress(home, shown, where, page is not None, tuple(dict.fromkeys(seen.signals)), seen.version)


def _front_page(client: httpx2.Client, candidates: list[str]) -> Page:
    failure: JobError | None = None
    for candidate in candidates:
        try:
            return fetch(client, "GET", candidate + "/", follow=MAX_REDIRECTS)
        except (SourceUnreachable, TlsError) as error:
            failure = failure or error
    assert failure is not None
    raise failure


def examine(page: Page) -> _Evidence:
    """Collect the signals of WordPress in a page."""
    found, text = _Evidence(), page.text
    links = [head for head in page.outline.heads[:MOST_HEADS] if "href" in head]
    generators = [head.get("content", "") for head in page.outline.heads if head.get("name", "").lower() == "generator"]
    if match := next(filter(None, map(GENERATOR.match, generators)), None):
        found.signals.append("generator")
        found.version = match[1]
    rest = [head["href"] for head in links if head.get("rel") == REST_REL]
    for link in _rest_headers(page.headers.get("link", "")) + rest:
        found.signals.append("api.w.org")
        found.home_paths.append(_path(REST_TAIL.sub("", link[: int(limits.ADDRESS.most)])))
    for link in (head["href"] for head in links if head.get("rel") == "EditURI"):
        base, mark, _ = link.partition("/xmlrpc.php?rsd")
        if mark:
            found.signals.append("EditURI")
            found.core_paths.append(_path(base))
    pingback = page.headers.get("x-pingback", "")
    if pingback.endswith("/xmlrpc.php"):
        found.signals.append("x-pingback")
        found.core_paths.append(_path(pingback.removesuffix("/xmlrpc.php")))
    if "wordpress" in page.headers.get("x-redirect-by", "").lower():
        found.signals.append("x-redirect-by")
    for url in absolute_urls(text):
        base, mark, _ = url.partition("/wp-includes/")
        if mark and _host(base) == page.url.host:
            found.signals.append("wp-includes")
            found.core_paths.append(_path(base))
    if re.search(r"/wp-content/(themes|plugins|uploads)/", text):
        found.signals.append("wp-content")
    return found


def _rest_headers(header: str) -> list[str]:
    """Targets of `<target>; rel="https://api.w.org/"` in a Link header."""
    parts = (part.strip().partition(">;") for part in header.split(", <")[:MOST_HEADS])
    return [target.lstrip("<") for target, _, rest in parts if f'rel="{REST_REL}"' in rest]


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except httpx2.InvalidURL:
        return ""


def _find_login(client: httpx2.Client, origin: str, seen: _Evidence, front: Page) -> tuple[Page | None, str]:
    """The login page and the path of WordPress's files; without a page, the likeliest path."""
    typed_path = WORDPRESS_PATHS.sub("", front.url.path).rstrip("/")
    paths = [*seen.core_paths, typed_path, *seen.home_paths]
    paths += [base + usual for base in (typed_path, "") for usual in USUAL_DIRECTORIES]
    paths = list(dict.fromkeys(paths))
    for path in paths[: MOST_PATHS if seen.signals else 4]:
        page = fetch(client, "GET", f"{origin}{path}/wp-login.php")
        target = page.location
        if target is not None and target.host == front.url.host and target.path.endswith("/wp-login.php"):
            page = fetch(client, "GET", target)  # plain to TLS (FORCE_SSL_ADMIN), or www
        if is_login_page(page):
            return page, path
    return None, (seen.core_paths + seen.home_paths + [typed_path])[0]


def is_login_page(page: Page) -> bool:
    """Whether the page holds WordPress's login form."""
    return page.status == 200 and any({"log", "pwd"} <= form.fields.keys() for form in page.forms())


def _home(front: Page, seen: _Evidence, core_path: str) -> str:
    path = WORDPRESS_PATHS.sub("", front.url.path).rstrip("/")
    if seen.home_paths:
        path = seen.home_paths[0]
    elif path != core_path and path.startswith(core_path + "/"):
        path = core_path  # a page below the site was typed
    return origin_of(front.url) + path


def _base_of(login: httpx2.URL) -> str:
    return origin_of(login) + login.path.removesuffix("/wp-login.php")


def _path(url: str) -> str:
    try:
        return httpx2.URL(url).path.rstrip("/")
    except httpx2.InvalidURL:
        return ""


def _give_up(front: Page) -> None:
    host = front.url.host
    refuse_trouble(front)
    raise NotWordPress(f"{host} answers, but it does not look like WordPress.", host=host, status=front.status)
