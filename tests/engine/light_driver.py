"""The things of light jobs as a provisioner the sweeper can look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class LightDriver:
    """What light jobs made, by job id. Only what the sweeper needs."""

    images = None
    states = None

    def __init__(self, things: Path) -> None:
        self._things = things

    def ids(self) -> list[str]:
        return sorted({path.name.partition(".")[0] for path in self._things.glob("clone-*.*")})

    def destroy(self, clone_id: str) -> None:
        for path in self._things.glob(f"{clone_id}.*"):
            path.unlink(missing_ok=True)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the sweeper has no business with {name}")
