"""Settings about API keys, the same for gateway and status."""

from __future__ import annotations

from pathlib import Path

from shared.settings import Settings


class KeySettings(Settings):
    """Who needs a key, and which there are beside those of the bucket."""

    api_keys_file: Path | None = None
    """Keys beside those of `siteferry keys`, one `name:sha256hex[:tenant][:lane][:scope]` a line. When set, every
    call about jobs and clones needs a key."""
    require_keys: bool | None = None
    """Whether every call about jobs and clones needs a key. Unless said: where there is a file of keys, or where
    `siteferry up` listens beyond loopback."""

    @property
    def keys_needed(self) -> bool:
        """Whether who shows no key is nobody."""
        return self.api_keys_file is not None if self.require_keys is None else self.require_keys
