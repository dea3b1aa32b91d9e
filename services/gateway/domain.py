"""What the edge decides, pure: acceptable addresses and times, what a state allows, how a cursor reads."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from shared.contract.jobs import Clone, CloneState, Job, Phase, Status
from shared.contract.subjects import LANES, Lane

TTL_MAX_MINUTES = 30 * 24 * 60
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
HOST_MOST = 253
HIDDEN = re.compile(r"%(?:[01][0-9a-f]|7f|c2%[89][0-9a-f])", re.IGNORECASE)
"""A control character, percent-encoded: no site has one in its address, and some servers break lines at it."""
ADMIN_TAIL = re.compile(r"/(?:wp-admin(?:/.*)?|wp-login\.php|index\.php)$")


def normalise_source(text: str) -> str:
    """The address of a site as jobs know it: scheme, host and path without trailing slash.

    Pasted admin and login addresses lead to their site. Raises ValueError with a sentence for the person who typed.
    """
    if " " in text or not text.isprintable() or any(char.isspace() for char in text):
        raise ValueError("must be an address without spaces")
    if HIDDEN.search(text):
        raise ValueError("must be an address without control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not an address like https://example.com") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a login; send username and password as fields of their own")
    host = _host(parts.hostname or "")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme.lower()]:
        netloc += f":{port}"
    path = ADMIN_TAIL.sub("", re.sub(r"/{2,}", "/", parts.path)).rstrip("/")
    return f"{parts.scheme.lower()}://{netloc}{path}"


def login_place(text: str) -> str:
    """Where people sign in to a site: an address, or a path on it. Raises ValueError with a sentence."""
    if text.startswith("/") and not text.startswith("//"):
        normalise_source(f"https://site.example{text}")
        return text
    normalise_source(text)
    return text


def _host(name: str) -> str:
    if ":" in name:  # an IPv6 address: urlsplit took the brackets off
        try:
            return str(IPv6Address(name))
        except ValueError:
            raise ValueError("is not an address like https://example.com") from None
    try:
        ascii_name = name.encode("idna").decode().lower().rstrip(".")
    except UnicodeError:
        ascii_name = ""
    if len(ascii_name) > HOST_MOST or not all(LABEL.fullmatch(label) for label in ascii_name.split(".")):
        raise ValueError("is not an address like https://example.com")
    return ascii_name


def same_site(one: str, other: str) -> bool:
    """Whether two addresses name the same site, however it is called: by http or https. Raises ValueError."""
    return _place(one) == _place(other)


def _place(address: str) -> str:
    return normalise_source(address).partition("://")[2]


def bare(address: str) -> str:
    """An address without what all addresses begin with, for people to sort by."""
    return address.partition("://")[2].removeprefix("www.")


def lane_for(wanted: Lane | None, allowed: Lane | None) -> Lane | None:
    """The lane a request gets; None when it asks for more than `allowed`, the best one of its key (None: any)."""
    if wanted is None:
        return allowed or Lane.NORMAL
    if allowed is not None and LANES.index(wanted) < LANES.index(allowed):
        return None
    return wanted


def expiry(now: datetime, *, ttl_minutes: int | None, expires_at: datetime | None) -> datetime:
    """When a clone shall end. Raises ValueError with a sentence when that is too soon or too far."""
    at = expires_at if expires_at is not None else now + timedelta(minutes=ttl_minutes or 0)
    if at <= now:
        raise ValueError("expires_at is in the past; delete the clone instead")
    if at > now + timedelta(minutes=TTL_MAX_MINUTES, seconds=60):
        raise ValueError("expires_at is more than 30 days away")
    return at


def may_extend(clone: Clone) -> bool:
    return clone.state is CloneState.ACTIVE


def may_cancel(job: Job) -> bool:
    """Only what is completed can not be cancelled; cancelling what ended otherwise changes nothing and is no error."""
    return job.status is not Status.COMPLETED


def may_retry(job: Job) -> bool:
    """Only what failed: a job that ended otherwise has forgotten its login."""
    return job.status is Status.FAILED and job.phase is not Phase.CANCELLING


def sort_key(job_id: str) -> str:
    """Orders ids of any kind by the time they were made."""
    return job_id.partition("-")[2]


def encode_cursor(job_id: str) -> str:
    """An opaque cursor: the page after this id."""
    return base64.urlsafe_b64encode(b"1" + job_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id a cursor stands for. Raises ValueError for anything we did not make."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError("is not a cursor of this API") from None
    if not raw.startswith("1") or "-" not in raw:
        raise ValueError("is not a cursor of this API")
    return raw[1:]
