"""The connector's answers about an exchange, as records."""

from __future__ import annotations

from typing import Any

from shared.wordpress.connector.target import LateRows, RolledBack, SnapshotFound, Swapped, SwapPhase, SwapState

Said = dict[str, Any]


def late(said: Said) -> LateRows:
    return LateRows(int(said["rows"]), dict(said["by_table"]), dict(said["skipped"]))


def swapped(said: Said) -> Swapped:
    return Swapped(
        float(said["rename_ms"]),
        float(said["files_ms"]),
        int(said["files"]),
        int(said["tables"]),
        late(said["late"]),
    )


def rolled_back(said: Said) -> RolledBack:
    return RolledBack(float(said["rename_ms"]), float(said["total_ms"]), late(said["late"]))


def state(said: Said) -> SwapState:
    if said["state"] == SwapPhase.NONE:
        return SwapState(SwapPhase.NONE, str(said["restore"]))
    return SwapState(
        SwapPhase(said["state"]),
        str(said["restore"]),
        float(said["created"]),
        int(said["tables"]),
        int(said["files"]),
        swapped(said["swapped"]) if said["swapped"] else None,
        rolled_back(said["rolled_back"]) if said["rolled_back"] else None,
        bool(said["replayed"]),
    )


def snapshot(said: Said) -> SnapshotFound:
    return SnapshotFound(
        str(said["restore"]),
        SwapPhase(said["state"]),
        float(said["created"]),
        int(said["tables"]),
        int(said["files"]),
        int(said["bytes"]),
    )
