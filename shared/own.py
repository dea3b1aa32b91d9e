"""Our own servers on this machine: there is no site where they listen, whatever a site or its owner says."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from shared.ids import is_job_id

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Own:
    """Where parts of ours listen."""

    ports: frozenset[int] = frozenset()
    """For our parts alone."""
    edge: int = 0
    """Where clones are, and beside them the product itself. 0: none."""

    def refuses(self, host: str, port: int, address: IPAddress) -> bool:
        """Whether a connection to an address that `host` leads to would reach a part of ours, and no clone."""
        if port not in self.ports and port != self.edge:
            return False
        return not (port == self.edge and is_clone(host)) and is_this_machine(address)


def is_this_machine(address: IPAddress) -> bool:
    """Whether an address is one of this machine's own: it can be bound to."""
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def is_clone(host: str) -> bool:
    """Whether a name is one that a clone has here."""
    name, dot, rest = host.rstrip(".").lower().partition(".")
    return dot == "." and rest == "localhost" and is_job_id(name)
