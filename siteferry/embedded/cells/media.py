"""Who fetches pictures and documents that stayed on a clone's source (ADR 59), as the launcher sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siteferry.embedded.cells.helper import Duty, Helper, Talk
from siteferry.embedded.cells.origins import FETCHED, LARGEST, SOCKET, Origin, origin_of
from siteferry.embedded.cells.sandbox import Account
from siteferry.embedded.cells.settings import CellSettings

SHARE = 0.8
"""Of the bytes a clone may have: with more than that in all, what is fetched is not kept any more."""
CONNECTIONS = 64


@dataclass(frozen=True)
class Place:
    """What a process that fetches must know of the clone."""

    origin: Origin
    folder: Path
    room: int
    """Bytes that may be in `folder`."""
    allow_private: bool
    edge_port: int
    own_ports: frozenset[int]


def media(
    settings: CellSettings, clone_id: str, account: Account, directory: Path, *, others: Callable[[], int | None]
) -> Helper | None:
    """Who fetches one clone's media; None where all came with the clone. `others`: bytes of the clone without what was
    fetched; None: it holds more than it may."""
    if origin_of(settings, clone_id) is None:
        return None

    def duty() -> Duty:
        origin = origin_of(settings, clone_id) or Origin("/", "http://invalid.invalid/", "")
        held, folder = others(), Path(settings.clones) / clone_id / FETCHED
        room = 0 if held is None else max(0, int(settings.max_bytes * SHARE) - held)
        own = frozenset(settings.refused_ports)
        place = Place(origin, folder, room, settings.allow_private, settings.edge_port, own)
        name = f"what fetches media of {clone_id}"
        return Duty(name, lambda: _talk(place), (str(folder),), LARGEST, CONNECTIONS)

    return Helper(directory / SOCKET, account, duty, backlog=CONNECTIONS)


def _talk(place: Place) -> Talk:
    # Loaded by who fetches alone: the launcher itself speaks no HTTP.
    from siteferry.embedded.cells.fetching import talk

    return talk(place)
