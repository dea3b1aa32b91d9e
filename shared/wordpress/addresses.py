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

from shared.own import IPAddress, Own, is_clone
from shared.wordpress.errors import AddressRefused
from shared.wordpress.nearby import NEARBY, Nearby

# Cloud metadata services hand out credentials to whoever asks from inside: never, in any mode.
METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Google Cloud, Azure, DigitalOcean, OpenStack...
        "fe80::/10",  # link-local
        "fd00:ec2::/32",  # AWS over IPv6
        "fd20:ce::254/128",  # Google Cloud over IPv6
        "fd00:42::42/128",  # Scaleway over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle Cloud
    )
)
# Addresses that no site has, though `is_global` says so of some, and says so or not by the version of Python.
NOT_SERVERS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; Linux connects to itself
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "240.0.0.0/4",  # reserved
        "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
        "100::/64",  # discard
        "100:0:0:1::/64",  # dummy
        "2001::/23",  # protocol assignments; Teredo is looked into before
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing (RFC 9602)
        "fec0::/10",  # site-local, deprecated (RFC 3879)
    )
)
LOOPBACK6 = ipaddress.IPv6Address("::1")
EMBEDDING = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "::ffff:0:0:0/96",  # translated (RFC 2765)
        "::/96",  # compatible (RFC 4291)
    )
)
"""Networks whose last 32 bits are an IPv4 address."""


def is_localhost(host: str) -> bool:
    """True for `localhost` and every name below it, which RFC 6761 reserves for loopback."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def embedded_ipv4(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one (mapped, compatible, translated, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address) or address == LOOPBACK6 or address.is_unspecified:
        return address
    if any(address in network for network in EMBEDDING):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def refusal(address: IPAddress, *, allow_private: bool) -> str | None:
    """Why this address must not be called, as the end of a sentence; None when it may be."""
    address = embedded_ipv4(address)
    if any(address in network for network in METADATA_NETWORKS):
        return "is a link-local or cloud metadata address"
    if address.is_multicast or address.is_unspecified or any(address in network for network in NOT_SERVERS):
        return "is not the address of a server"
    if not allow_private and not address.is_global:
        return "is in a private network"
    return None


_own = Own()


def keep_off(own: Own) -> None:
    """From now on nothing of this process, nor of what is forked from it, connects to our own servers as to a site."""
    global _own
    _own = own


class Resolver:
    """Resolves host names for one client: once per name, checked, pinned. Safe to share between threads."""

    def __init__(
        self, *, allow_private: bool, only: frozenset[tuple[str, int]] | None = None, nearby: Nearby = NEARBY
    ) -> None:
        """`only`: the servers (host, port) that may be called; every other is refused, whatever its address."""
        self.allow_private = allow_private
        self._only = only
        self._nearby = nearby
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
        self._check(host, checked)
        with self._lock:
            return self._pinned.setdefault(host, checked)

    def _check(self, host: str, addresses: Iterable[str]) -> None:
        for address in addresses:
            reason = refusal(_parsed(address), allow_private=self.allow_private)
            if reason is not None:
                raise AddressRefused(f"{host} {reason}; Siteferry does not connect there.", host=host)

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Addresses to connect to, best first. Raises `socket.gaierror`, `AddressRefused`."""
        if self._only is not None and (host.lower(), port) not in self._only:
            raise AddressRefused(f"{host}:{port} is not the site that is looked at.", host=host)
        if is_localhost(host) and (stand_in := self._nearby.host(port)):
            return self._standing_in(stand_in, host, port)
        found = self.pinned(host)
        if found is None:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = self.pin(host, (str(answer[4][0]) for answer in answers))
        if any(_own.refuses(host, port, embedded_ipv4(_parsed(address))) for address in found):
            raise AddressRefused(f"Siteferry itself answers at {host}:{port}; there is no site.", host=host)
        return found

    def _standing_in(self, stand_in: str, host: str, port: int) -> tuple[str, ...]:
        """Where localhost is another machine. Not pinned: the operator named it, and a container that is started again
        may have another address."""
        if self._nearby.ours(port) and not is_clone(host):
            raise AddressRefused(f"Siteferry itself answers at {host}:{port}; there is no site.", host=host)
        answers = socket.getaddrinfo(stand_in, port, type=socket.SOCK_STREAM)
        found = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
        self._check(host, found)
        return found


def _parsed(address: str) -> IPAddress:
    return ipaddress.ip_address(address.partition("%")[0])
