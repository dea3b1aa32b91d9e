"""What the cloner wrote about a clone for the launcher of its cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siteferry.embedded.cells.settings import CellSettings

MAX_FACTS = 64 * 1024


def cell_facts(settings: CellSettings, clone_id: str) -> Any:
    """The clone's cell.json. Raises OSError, ValueError."""
    path = Path(settings.clones) / clone_id / "guard" / "cell.json"
    return json.loads(path.read_bytes()[:MAX_FACTS])
