"""Which URLs and paths of the source become which of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.wordpress.rewrite import PathMapping, UrlMapping

WORDPRESS_OWN = (
    "wp-admin",
    "wp-includes",
    "wp-content",
    "wp-login.php",
    "wp-signup.php",
    "wp-activate.php",
    "wp-comments-post.php",
    "wp-cron.php",
    "wp-links-opml.php",
    "wp-mail.php",
    "wp-trackback.php",
    "xmlrpc.php",
)
"""What stands below siteurl, and never below home where the two differ."""


def url_mappings(source: Mapping[str, Any], target: Mapping[str, Any]) -> list[UrlMapping]:
    """Home first; directories of WordPress's own where they lie elsewhere. The longest path wins."""
    found: dict[str, str] = {}
    for name in ("home", "siteurl", "content", "plugins", "uploads"):
        here, there = str(source.get(name) or "").rstrip("/"), str(target.get(name) or "").rstrip("/")
        if here.startswith(("http://", "https://")) and there.startswith(("http://", "https://")):
            found.setdefault(here, there)
    home, siteurl = (str(source.get(name) or "").rstrip("/") for name in ("home", "siteurl"))
    if home == siteurl and found.get(home) and urlsplit(str(target["siteurl"])).netloc != urlsplit(found[home]).netloc:
        for name in WORDPRESS_OWN:  # the two are one on the clone: what only WordPress itself serves goes back to it
            found.setdefault(f"{home}/{name}", f"{str(target['siteurl']).rstrip('/')}/{name}")
    return [UrlMapping((here,), there) for here, there in found.items()]


def path_mappings(source: Mapping[str, Any], target: Mapping[str, Any]) -> list[PathMapping]:
    """Every directory both sites name."""
    found: dict[str, str] = {}
    for name in ("document_root", "home", "abspath", "content", "plugins", "mu-plugins", "themes", "uploads"):
        here, there = str(source["paths"].get(name, "")).rstrip("/"), str(target["paths"].get(name, "")).rstrip("/")
        if here.count("/") > 1 and there.startswith("/"):
            found.setdefault(here, there)
    return [PathMapping(here, there) for here, there in found.items()]


def same_site(one: str, other: str) -> bool:
    """Whether two addresses are the same site's, whatever the scheme and the leading www."""

    def essence(url: str) -> tuple[str, str]:
        parts = urlsplit(url)
        return parts.netloc.lower().removeprefix("www."), parts.path.rstrip("/")

    return essence(one) == essence(other)
