"""Webhooks: who wants to be told what, how a message is signed, and where it must not be sent.

Signatures follow Standard Webhooks (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and
`webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`, with a secret written as `whsec_<base64>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from shared.contract.subjects import KINDS, NOTIFIED
from shared.contract.times import Time
from shared.ids import ALPHABET
from shared.wordpress.addresses import Resolver, embedded_ipv4
from shared.wordpress.errors import AddressRefused

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 24
ID_CHARACTERS = 16
EVENTS = tuple(f"{kind}.{event}" for kind in KINDS for event in sorted(NOTIFIED))
"""What can be told. `webhook.test` comes when asked for."""
TEST = "webhook.test"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Endpoint(BaseModel):
    """Somebody's address: the value in the bucket `webhooks`."""

    model_config = ConfigDict(extra="ignore")

    id: str
    tenant: str
    url: str
    events: list[str]
    """Of `EVENTS`; empty: all, those of versions to come included."""
    sealed_secret: str
    description: str = ""
    created_at: Time
    disabled: str | None = None
    """Why nothing is sent any more."""

    def wants(self, tenant: str, event: str, at: datetime) -> bool:
        """Whether this is to be told of an event of a tenant; never of what happened before it was registered."""
        return (
            self.disabled is None
            and self.tenant == tenant
            and (not self.events or event in self.events)
            and at >= self.created_at
        )


class Attempt(BaseModel):
    """One line of the delivery log."""

    model_config = ConfigDict(extra="ignore")

    delivery: str
    """The message's `webhook-id`, the same for every attempt."""
    type: str
    job_id: str | None
    attempt: int
    at: Time
    outcome: Literal["delivered", "retrying", "failed"]
    status_code: int | None = None
    error: str = ""
    duration_ms: int = 0
    next_at: Time | None = None


def new_endpoint_id() -> str:
    """`wh-` and 80 random bits."""
    return "wh-" + "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS))


def new_secret() -> str:
    """A secret for signing."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def purpose(endpoint_id: str) -> str:
    """What an endpoint's secret is sealed for."""
    return f"webhook {endpoint_id}"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message. Raises ValueError when the secret is not one."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not a webhook secret") from error
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def delivery_id(event_id: str, endpoint_id: str) -> str:
    """The `webhook-id` of one event for one endpoint: the same however often it is worked out."""
    return "msg_" + hashlib.sha256(f"{endpoint_id} {event_id}".encode()).hexdigest()[:27]


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated networks such as `127.0.0.0/8,10.1.0.0/16`. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def check_url(url: str) -> str:
    """The host of an address that can be a receiver's. Raises ValueError with the end of a sentence."""
    if not url.isprintable() or " " in url or re.search(r"%(?:[01][0-9a-f]|7f)", url, re.IGNORECASE):
        raise ValueError("must not hold spaces or control characters")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must be an address that begins with https:// or http://") from None
    try:
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise ValueError("must be an address that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a login: receivers know us by the signature")
    if parts.fragment:
        raise ValueError("must not have a part after #")
    return parts.hostname


class OutwardResolver(Resolver):
    """Public addresses only, and those in `networks`. One per connection: what is checked is what is connected to."""

    def __init__(self, networks: Iterable[Network]) -> None:
        super().__init__(allow_private=True)  # which still refuses what no setting may open: metadata services
        self._networks = tuple(networks)

    def pin(self, host: str, addresses: Iterable[str]) -> tuple[str, ...]:
        """Check and keep. Raises `AddressRefused` when any of the addresses is forbidden."""
        found = tuple(addresses)
        for text in found:
            address = embedded_ipv4(ipaddress.ip_address(text.partition("%")[0]))
            if any(address in network for network in self._networks):
                continue
            if not address.is_global or address.is_multicast or getattr(address, "is_site_local", False):
                raise AddressRefused(f"{host} is in a private network; no webhook is sent there.", host=host)
        return super().pin(host, found)
