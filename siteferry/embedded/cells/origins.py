"""Where the media of a clone are that stayed on its source (ADR 59), and what a cell's web server is told about them.

What has been fetched is in `<clone>/media`, by the path it is asked for. The cell's web server reads it; nothing in
the cell writes there, and nothing there is ever part of the site: no reset, version or restore knows of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.cells.source import cell_source
from shared.wordpress.media import DOCUMENTS, IMAGES, PLAIN
from siteferry.embedded.cells.facts import cell_facts
from siteferry.embedded.cells.settings import CellSettings

FETCHED = "media"
"""Folder of a clone: what came from the source when it was asked for."""
SOCKET = "media.sock"
LARGEST = 64 << 20
"""Bytes of a file that is fetched."""


@dataclass(frozen=True)
class Origin:
    """Where one clone's media are, as it was written when the clone was made."""

    prefix: str
    """Path of the uploads on the clone, with slashes at both ends."""
    source: str
    """Address of the uploads on the source, with a slash at its end."""
    page: str
    """The source's home page."""


def origin_of(settings: CellSettings, clone_id: str) -> Origin | None:
    """None: the clone's media came with it, or nobody can read what was written."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = cell_facts(settings, clone_id)["media"]
        origin = Origin(str(found["prefix"]), str(found["source"]), str(found["page"]))
        if PLAIN.fullmatch(origin.prefix) and origin.source.startswith(("http://", "https://")):
            return origin
    return None


def locations(origin: Origin | None, clone: Path, *, own: str, plain: bool) -> str:
    """The part of a cell's nginx.conf about media; "" where all came with the clone."""
    if origin is None:
        return ""
    kept = clone / FETCHED
    words = {
        "UPLOADS": origin.prefix.replace(".", "\\."),
        "IMAGES": "|".join(sorted(IMAGES)),
        "DOCUMENTS": "|".join(sorted(DOCUMENTS)),
        "KEPT": str(kept),
        "LINKS": f"disable_symlinks on from={kept};" if plain else "",
        "SOCKET": f"{own}/{SOCKET}",
    }
    text = (cell_source() / "media.conf").read_text()
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text
