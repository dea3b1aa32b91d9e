"""Whether a clone's media stay on the source, and from where they are fetched when they are asked for (ADR 59)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from shared.contract.events import CloneOptions
from shared.contract.jobs import Note
from shared.contract.media import Media
from shared.wordpress.found import Address
from shared.wordpress.media import PLAIN

PORTS = {"http": 80, "https": 443}


class Origin(BaseModel):
    """Where a clone's media are: what its cell asks for below `prefix` is fetched below `source`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: Annotated[str, Field(max_length=500, pattern=f"^{PLAIN.pattern}$")]
    """Path of the uploads on the clone, with slashes at both ends."""
    source: Address
    """Address of the uploads on the source, with a slash at its end."""
    page: Address
    """The source's home page: many servers give pictures to those only who come from there."""


def origin(facts: Mapping[str, Any], options: CloneOptions, uploads: str, *, offered: str) -> tuple[Origin | None, str]:
    """Where media are fetched from, None when they travel; and why they do although they should not have.

    `facts`: the connector's inspection; `uploads`: the folder relative to the clone's document root; `offered`: "" or
    why nobody fetches anything here.
    """
    if options.media is not Media.REMOTE:
        return None, ""
    if offered:
        return None, offered
    urls, prefix = facts["urls"], f"/{uploads.strip('/')}/"
    source = f"{str(urls['uploads']).rstrip('/')}/"
    if not PLAIN.fullmatch(prefix) or not PLAIN.fullmatch(f"/{urlsplit(source).path.lstrip('/')}"):
        return None, "the path of its uploads is an unusual one"
    if not same_server(source, (urls["home"], urls["siteurl"])):
        return None, "its uploads are on another server than its pages"
    return Origin(prefix=prefix, source=source, page=f"{urls['home'].rstrip('/')}/"), ""


def copied(why: str) -> list[Note]:
    """What the result says of media that travelled although they should not have; nothing when `why` is empty."""
    text = f"The media were copied, not left on the source: {why}"
    return [Note(code="media_copied", message=text)] if why else []


def same_server(address: str, others: Iterable[str]) -> bool:
    """Whether an address is on the host and port of one of the others; http and https on their own ports are one."""
    return _server(address) in map(_server, others)


def _server(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    try:
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    return (parts.hostname or "").lower(), 0 if port in PORTS.values() else port
