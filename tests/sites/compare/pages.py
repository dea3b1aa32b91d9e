"""What a visitor gets."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.sites import http

if TYPE_CHECKING:
    from tests.sites.site import Site

BANNER = re.compile(r"\s*<!-- siteferry:banner -->.*?<!-- /siteferry:banner -->\s*", re.S)
ROBOTS = re.compile(r"\s*<meta name=['\"]robots['\"][^>]*>\s*")
NONCES = (
    re.compile(r"(?<=[?&;]_wpnonce=)[0-9a-f]{10}\b"),
    re.compile(r"((?:nonce|_wpnonce|token)[\"'\\]*\s*(?:[:=]|value=)\s*[\\]*[\"'])[0-9a-f]{10}\b", re.I),
    re.compile(r"(name=[\"'][\w-]*nonce[\"'] value=[\"'])[0-9a-f]{10}\b", re.I),
)


def normalised(body: str, origin: str) -> str:
    """A page without what may differ: its origin in any spelling, nonces, the robots meta tag, our banner."""
    host = origin.split("://")[1]
    body = ROBOTS.sub("\n", BANNER.sub("\n", body))
    for nonce in NONCES:
        body = nonce.sub(lambda found: (found.group(1) if found.re.groups else "") + "NONCE", body)
    for colon in (":", "%3A", "%3a", "%253A"):
        body = re.sub(re.escape(host.replace(":", colon)), "ORIGIN", body, flags=re.I)
    # Some markup has the bare name. One in an address of mail stays when a site moves.
    return re.sub("(?<!@)" + re.escape(host.split(":")[0]), "HOST", body, flags=re.I)


def compare_pages(source: Site, clone_url: str, paths: list[str], *, ignore: tuple[str, ...] = ()) -> list[str]:
    """Fetch each path from both and tell what differs after normalising. Empty: nothing.

    `paths` are below the origin, as `Site.paths` gives them; `ignore` are regular expressions removed from both bodies
    (e.g. what quotes a guid).
    """
    found = []
    with source.client() as here, http.client(clone_url.rstrip("/")) as there:
        base = source.home.removeprefix(source.origin)
        for path in paths:
            one = here.get(path, follow_redirects=True)
            other = there.get(path.removeprefix(base) or "/", follow_redirects=True)
            if one.status_code != other.status_code:
                found.append(f"{path}: {one.status_code} on the source, {other.status_code} on the clone")
                continue
            kinds = [answer.headers.get("content-type") for answer in (one, other)]
            if kinds[0] != kinds[1]:
                found.append(f"{path}: {kinds[0]} on the source, {kinds[1]} on the clone")
            bodies = [normalised(_without_directory(one.text, source), source.origin)]
            bodies.append(normalised(other.text, clone_url.rstrip("/")))
            for pattern in ignore:
                bodies = [re.sub(pattern, "", body) for body in bodies]
            if bodies[0] != bodies[1]:
                found.append(f"{path}: {_first(*bodies)}")
    return found


def _without_directory(body: str, source: Site) -> str:
    """A page of a site below /blog as it would be at its origin, in every spelling of its address."""
    for spell in (str, lambda url: url.replace("/", "\\/"), lambda url: quote(url, safe=""), _lower_quoted):
        body = body.replace(spell(source.home), spell(source.origin))
    below = source.home.removeprefix(source.origin)
    if not below:
        return body
    # Plain in links; with JSON's slashes in the rules for speculative loading that WordPress writes since 6.8.
    anyhow = re.escape(below).replace("/", r"\\?/")
    return re.sub(rf"(?<=[\"']){anyhow}(?=\\?/)", "", body)


def _lower_quoted(url: str) -> str:
    return quote(url, safe="").replace("%3A", "%3a").replace("%2F", "%2f")


def _first(one: str, other: str) -> str:
    lines = [
        line[:300]
        for line in difflib.unified_diff(one.splitlines(), other.splitlines(), "source", "clone", "", "", 0, "")
    ]
    return "\n  ".join(lines[:10])
