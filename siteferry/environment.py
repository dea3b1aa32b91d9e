"""What every command may be told in place of options. Every command reads it, so it loads nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CommandLine:
    """Variables `SITEFERRY_…`; options win, and an empty one says nothing."""

    state: Path | None = None
    """State directory of `siteferry up`; none: `/var/lib/siteferry` for root, `~/.local/share/siteferry` for others."""
    url: str | None = None
    """Where Siteferry answers; none: the instance of this machine."""
    api_key: str | None = None
    """The API key that is shown there."""

    @classmethod
    def read(cls) -> CommandLine:
        """As the environment is now."""
        state, url, key = (os.environ.get(f"SITEFERRY_{name}") or None for name in ("STATE", "URL", "API_KEY"))
        return cls(Path(state) if state else None, url, key)


def default_state_dir() -> Path:
    """SITEFERRY_STATE, else /var/lib/siteferry for root, else $XDG_DATA_HOME/siteferry (~/.local/share/siteferry)."""
    if chosen := CommandLine.read().state:
        return chosen
    if os.geteuid() == 0:
        return Path("/var/lib/siteferry")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "siteferry"
