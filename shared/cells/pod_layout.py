"""Ports, accounts and paths of a clone's Pod: what its driver writes into the Pod and its programs read there."""

from __future__ import annotations

from pathlib import Path

WEB_PORT, AGENT_PORT, DATABASE_PORT = 8080, 8443, 3306
SITE_ACCOUNT, DATABASE_ACCOUNT = 10007, 10006
"""Users and groups: of the site's files, its PHP and the agent; of the database."""

CLONES = Path("/clones")
"""Below it the clone's directory, named by its id as on one machine."""
WRITABLE = ("site", "tmp", "log", "mail", "cache")
"""What of it the site's PHP may write to; all else of it is read-only there."""
QUARANTINE = "quarantine"
SECRETS = Path("/run/siteferry/secret")
TOKEN, PASSWORD, KEY, CERTIFICATE = "token", "database-password", "tls.key", "tls.crt"
CELL = Path("/run/siteferry/cell")
"""Where the web part listens for the agent, and keeps its configuration."""
CONTROL = CELL / "control.sock"
DATABASE = Path("/run/siteferry/database")
"""Where the database listens for the site's PHP."""
DATABASE_SOCKET = DATABASE / "run" / "mariadb.sock"
DATA = Path("/var/lib/siteferry/database")
"""Where the database keeps its tables."""
