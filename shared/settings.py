"""Settings every service shares, from environment variables `SITEFERRY_…` (or secret files).

Services compose their own settings class from `Settings`; nothing else in the product reads the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contract.streams import AuditKept
from shared.own import Own


class Settings(BaseSettings):
    """What every service needs to join the bus."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:4222"
    """Servers, comma-separated, without credentials."""
    nats_token_file: Path | None = None
    """File with what the NATS connection proves itself with: `user:password`, or a token. A file, so that no
    process list or log shows it."""
    nats_install: bool = True
    """Whether services make streams and buckets themselves; off where their NATS users may not (`siteferry up` does
    it then)."""
    replicas: int = Field(1, ge=1, le=5)
    """Copies of streams and buckets: 1 on one machine, 3 in a cluster."""
    ack_wait: float = Field(30.0, ge=1)
    """Seconds after which a silent worker's job goes to another one; the same for all services."""
    audit_days: int = Field(AuditKept.days, ge=1)
    """Days the audit log is kept."""
    audit_mb: int = Field(AuditKept.megabytes, ge=1)
    """Megabytes of the store of NATS it may take, which are set aside for it; then its oldest records go."""
    vault_key_file: Path = Path("vault.key")
    """File with one base64 key of 32 bytes a line; the first seals, all open. Made when absent."""
    edge_url: str = "http://localhost:8080"
    """Where people reach the product; links and clone addresses begin with it."""
    log_format: Literal["console", "json"] = "console"
    """What lines of the log are: for people, or JSON."""
    log_level: str = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    part_away_hours: float = Field(6.0, gt=0)
    """How long a job waits for a part of our own (database, PHP, web server, disk, NATS) before it fails."""
    parts_file: Path | None = None
    """Where the keeper of the parts writes how they stand; set by `siteferry up`."""
    own_ports: str = ""
    """Ports of this machine where parts of Siteferry listen, with commas between: nothing that reads a site, and no
    webhook, connects there. Set by `siteferry up`."""
    allow_private_sources: bool = True
    """Whether sources on private or loopback addresses may be cloned; turn off where strangers may submit."""

    @property
    def audit_kept(self) -> AuditKept:
        """How long and how large the audit log gets."""
        return AuditKept(self.audit_days, self.audit_mb)

    @property
    def own(self) -> Own:
        """Our own servers on this machine. Raises ValueError when `own_ports` are no numbers."""
        ports = frozenset(int(port) for port in self.own_ports.split(",") if port)
        return Own(ports, edge=(urlsplit(self.edge_url).port or 0) if ports else 0)

    @property
    def nats_login(self) -> dict[str, str]:
        """How to sign in to NATS, as nats-py's options; read when asked."""
        if self.nats_token_file is None:
            return {}
        user, colon, password = self.nats_token_file.read_text().strip().partition(":")
        if not colon:
            return {"token": user}
        return {"user": user, "password": password, "inbox_prefix": f"_INBOX.{user}"}
