"""Which network addresses we connect to: names are resolved once, checked, and pinned.

The address a user gives is untrusted input, so it must not lead into the operator's network (server-side request
forgery). Every connection of a site's client goes through one `Resolver`: it resolves a name once, refuses what is
forbidden, and answers the same addresses for as long as the client lives, so a DNS answer can not change between check
and use (DNS rebinding). It works below Host header, cookies and TLS server name, which all keep the real name.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable

from shared.wordpress.errors import AddressRefused

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Cloud metadata services hand out credentials to whoever asks from inside: never, in any mode.
METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Google Cloud, Azure, DigitalOcean, OpenStack...
        "fe80::/10",  # link-local
        "fd00:ec2::/32",  # AWS over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "192.0.0.192/32",  # Oracle Cloud
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_localhost(host: str) -> bool:
    """True for `localhost` and every name below it, which RFC 6761 reserves for loopback."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def embedded_ipv4(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def refusal(address: IPAddress, *, allow_private: bool) -> str | None:
    """Why this address must not be called, as the end of a sentence; None when it may be."""
    address = embedded_ipv4(address)
    if any(address in network for network in METADATA_NETWORKS):
        return "is a link-local or cloud metadata address"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and address.version == 4):
        return "is not the address of a server"
    if not allow_private and not address.is_global:
        return "is in a private network"
    return None


class Resolver:
    """Resolves host names for one client: once per name, checked, pinned. Safe to share between threads."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        self._pinned: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def pinned(self, host: str) -> tuple[str, ...] | None:
        """Addresses already decided for `host`: pinned ones, an IP literal's own, loopback for `*.localhost`."""
        if host in self._pinned:
            return self._pinned[host]
        if is_localhost(host):
            return self.pin(host, ("127.0.0.1",) if host.rstrip(".").lower() != "localhost" else ("127.0.0.1", "::1"))
        try:
            return self.pin(host, (str(ipaddress.ip_address(host)),))
        except ValueError:
            return None

    def pin(self, host: str, addresses: Iterable[str]) -> tuple[str, ...]:
        """Check the addresses a name resolved to and keep them. Raises `AddressRefused` when any is forbidden."""
        checked = tuple(dict.fromkeys(addresses))
        for address in checked:
            reason = refusal(ipaddress.ip_address(address.partition("%")[0]), allow_private=self.allow_private)
            if reason is not None:
                raise AddressRefused(f"{host} {reason}; Siteferry does not connect there.", host=host)
        with self._lock:
            return self._pinned.setdefault(host, checked)

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Addresses to connect to, best first. Raises `socket.gaierror`, `AddressRefused`."""
        known = self.pinned(host)
        if known is not None:
            return known
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self.pin(host, (str(answer[4][0]) for answer in answers))
