"""Where `localhost` and the names below it lead: to this process's loopback, unless we live in a container.

There the people's machine is another one: `SITEFERRY_LOCALHOST` says which host stands for it, by port.
"""

from __future__ import annotations

from functools import cached_property

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

VARIABLE = "SITEFERRY_LOCALHOST"
ANY = "*"


class Nearby(BaseSettings):
    """Read once, when the module is loaded: carriers have no environment."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    localhost: str = ""
    """Where `localhost` and names below it lead when it is not to loopback: `port=host`, comma-separated, `*` for
    every other port, such as `8080=edge,*=host.docker.internal` ([compose.yaml](../compose.md)). A port that is
    named is our own: nothing but clones is there."""

    @field_validator("localhost")
    @classmethod
    def _readable(cls, text: str) -> str:
        _pairs(text)
        return text

    @cached_property
    def _by_port(self) -> dict[str, str]:
        return _pairs(self.localhost)

    def host(self, port: int) -> str | None:
        """The host that stands for localhost on this port; None: loopback."""
        return self._by_port.get(str(port), self._by_port.get(ANY))

    def ours(self, port: int) -> bool:
        """Whether our own edge answers on this port."""
        return str(port) in self._by_port


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
    for port, sign, host in pairs:
        if not sign or not host.strip() or not (port.strip() == ANY or port.strip().isdecimal()):
            raise ValueError(f"{VARIABLE} must be like 8080=edge,*=host.docker.internal, not {text!r}")
    return {port.strip(): host.strip() for port, _, host in pairs}


NEARBY = Nearby()
